"""Lets the compiler build a model for what it says about it; nothing is written. Python 3.8 and numpy only."""

from __future__ import annotations

import importlib.metadata
from typing import Any, Dict

from .build import build


def run(arguments: Dict[str, Any], folder: str) -> Dict[str, Any]:
    """Build as the job `build` does, and leave it at that: the layer table is in the log.

    Returns:
        toolkit: its version.
    """
    build(arguments, folder)
    return {"toolkit": importlib.metadata.version("rknn-toolkit2")}
