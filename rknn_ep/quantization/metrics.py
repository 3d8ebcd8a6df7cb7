"""How far two results are apart."""

from __future__ import annotations

from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]


def cosine(a: Array, b: Array) -> float:
    """Cosine of the angle between two tensors of one shape, in -1..1; two zero tensors are equal: 1."""
    x, y = np.asarray(a, np.float64).reshape(-1), np.asarray(b, np.float64).reshape(-1)
    lengths = float(np.linalg.norm(x) * np.linalg.norm(y))
    if lengths == 0.0:
        return 1.0 if np.array_equal(x, y) else 0.0
    return float(np.dot(x, y)) / lengths


def signal_to_noise(reference: Array, values: Array) -> float:
    """Signal to quantisation noise of `values` against `reference` in dB; infinite where both are equal."""
    signal = float(np.square(np.asarray(reference, np.float64)).sum())
    noise = float(np.square(np.asarray(values, np.float64) - np.asarray(reference, np.float64)).sum())
    if noise == 0.0:
        return float("inf")
    return 10.0 * float(np.log10(signal / noise)) if signal else float("-inf")


def top1_agreement(reference: Array, values: Array) -> float:
    """Share of rows (all leading axes) whose largest entry along the last axis has the same index, 0..1."""
    return float(np.mean(np.argmax(reference, -1) == np.argmax(values, -1)))


def largest_difference(a: Array, b: Array) -> float:
    """Largest absolute difference of two tensors of one shape."""
    return float(np.max(np.abs(np.asarray(a, np.float64) - np.asarray(b, np.float64)), initial=0.0))
