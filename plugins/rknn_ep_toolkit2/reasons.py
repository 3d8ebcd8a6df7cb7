"""Why a native operator of the vendor's simulator differs from the arithmetic that ONNX defines."""

from __future__ import annotations

from collections.abc import Sequence


def reason(native: str, nodes: Sequence[str]) -> str:
    """In words, from the native operators and the ONNX nodes; what is not known is said to be so."""
    return "not known"
