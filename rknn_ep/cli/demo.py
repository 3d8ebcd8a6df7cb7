"""`rknn-ep demo`: a real photo read by PP-OCR on a simulated NPU."""

from __future__ import annotations

from rknn_ep.cli.output import Json


def demo(json: Json = False) -> None:
    """Read a real photo with PP-OCR on a simulated RK3588 and compare with the CPU."""
