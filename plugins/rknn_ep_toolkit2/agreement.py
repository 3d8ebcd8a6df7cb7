"""How far two results of one tensor are apart, over any number of samples."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]

_SAME_STEP = 0.25
"""Two values on one integer grid are the same code where they differ by less than this part of a step: float32 makes no
more of code * scale. Codes differ by whole steps."""


@dataclass
class Agreement:
    """Sums over what was seen."""

    scale: float | None = None
    """The grid's step; None for float tensors, which have no LSB."""
    count: int = 0
    exact: int = 0
    near: int = 0
    """Values at most one step apart."""
    largest: float = 0.0
    """Largest absolute difference."""
    _dot: float = 0.0
    _first: float = 0.0
    _second: float = 0.0

    def add(self, first: Array, second: Array) -> None:
        """Count two arrays of one shape."""
        a, b = np.asarray(first, np.float64).reshape(-1), np.asarray(second, np.float64).reshape(-1)
        difference = np.abs(a - b)
        self.count += a.size
        self.exact += int(np.count_nonzero(difference <= (_SAME_STEP * self.scale if self.scale else 0.0)))
        self.near += int(np.count_nonzero(difference <= (1 + _SAME_STEP) * self.scale)) if self.scale else 0
        self.largest = max(self.largest, float(difference.max(initial=0.0)))
        self._dot += float(a @ b)
        self._first += float(a @ a)
        self._second += float(b @ b)

    @property
    def cosine(self) -> float:
        """Of the angle between all that was seen; 1 where both are zero."""
        lengths = math.sqrt(self._first) * math.sqrt(self._second)
        return self._dot / lengths if lengths else float(self._first == self._second)

    @property
    def share_exact(self) -> float:
        """0 to 1."""
        return self.exact / self.count if self.count else 1.0

    @property
    def largest_steps(self) -> float | None:
        """Largest difference in LSB; None for float tensors."""
        return round(self.largest / self.scale, 2) if self.scale else None

    def to_dict(self) -> dict[str, Any]:
        """JSON-like figures."""
        return {
            "cosine": round(self.cosine, 7),
            "share_exact": round(self.share_exact, 6),
            "share_within_1_lsb": round(self.near / self.count, 6) if self.scale and self.count else None,
            "max_lsb": self.largest_steps,
            "max_difference": self.largest,
            "values": self.count,
        }
