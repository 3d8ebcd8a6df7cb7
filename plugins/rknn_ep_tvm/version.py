"""Which TVM is installed, found without importing it."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec

from rknn_ep.errors import NotInstalledError

SERIES = (0, 27)
"""Python names change from one TVM to the next: 0.25 and 0.26 lack some of those that are used here."""
_INSTALL = "python -m pip install 'rknn-ep[tvm]'"


def unavailable() -> str:
    """Empty when the TVM that this package is written for is installed, else why not."""
    if find_spec("tvm") is None:
        return f"TVM is not installed: {_INSTALL}"
    try:
        found = version("apache-tvm")
    except PackageNotFoundError:
        return ""  # a build of one's own: what it lacks, it will say
    if tuple(int(part) for part in found.split(".")[:2]) != SERIES:
        return f"apache-tvm {found} is installed, and rknn_ep_tvm is written for {SERIES[0]}.{SERIES[1]}: {_INSTALL}"
    return ""


def require() -> None:
    """Refuse to go on without the right TVM.

    Raises:
        NotInstalledError: TVM is missing or of another version.
    """
    if why := unavailable():
        raise NotInstalledError(why)
