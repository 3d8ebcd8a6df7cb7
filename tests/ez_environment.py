"""The environment of the wheel ztu-somemodelruntime-ez-rknn-async: a client that nobody here wrote. It is AGPL."""

from __future__ import annotations

from pathlib import Path

from tests.peer_environment import python_with

WHEEL = "ztu-somemodelruntime-ez-rknn-async==0.11.0"


def ez_python() -> Path | str:
    """Python of the environment; or, as text, why there is none."""
    return python_with(WHEEL, "RKNN_EP_EZ_RKNN_PYTHON")
