"""The vendor's runtime library: where it is, for which processor, which version. It is looked at, not loaded."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from rknn_ep_board.machine import Machine

LIBRARY_VARIABLE = "RKNN_EP_LIBRKNNRT"
"""Names the library where it is not in one of the usual folders."""
NAMES = ("librknnrt.so", "librknnmrt.so")
"""The runtime of the larger SoCs; the small one of RV11xx."""
FOLDERS = (
    "/usr/lib",
    "/usr/lib/aarch64-linux-gnu",
    "/usr/lib/arm-linux-gnueabihf",
    "/usr/lib64",
    "/lib",
    "/usr/local/lib",
    "/oem/usr/lib",  # Luckfox boards
)
SIMULATOR_MARK = b"rknn_ep_simulator_configure"
"""The one symbol that only our own librknnrt.so has."""
MACHINES = {183: "aarch64", 40: "arm", 62: "x86_64", 3: "x86"}
"""ELF's e_machine: the System V ABI."""
_VERSION = re.compile(rb"librknnm?rt version: (\d+)\.(\d+)\.(\d+)([^\0\n]{0,80})")


@dataclass(frozen=True)
class Library:
    """A file that is called as the vendor's runtime is."""

    path: Path
    version: tuple[int, ...]
    """Empty where the file does not say it."""
    build: str
    """What stands behind the version: "(429f97ae6b@2025-04-09T09:09:27)"."""
    machine: str
    """Processor it is for: aarch64, arm; empty where it is no ELF file."""
    simulator: bool
    """It is rknn_ep's own simulator, put where the vendor's library belongs."""


def find_library(machine: Machine) -> Library | None:
    """The first library in the order: RKNN_EP_LIBRKNNRT, LD_LIBRARY_PATH, the system's folders."""
    if named := os.environ.get(LIBRARY_VARIABLE):
        return _read(Path(named)) if Path(named).is_file() else None
    # What the loader is told of belongs to the running machine, not to a recorded one.
    told = os.environ.get("LD_LIBRARY_PATH", "").split(":") if machine.root == Path("/") else []
    for folder in [*map(Path, filter(None, told)), *map(machine.path, FOLDERS)]:
        for name in NAMES:
            if (folder / name).is_file():
                return _read(folder / name)
    return None


def _read(path: Path) -> Library:
    status = path.stat()
    return _identify(path, status.st_size, status.st_mtime_ns)


@lru_cache(maxsize=8)
def _identify(path: Path, size: int, changed: int) -> Library:
    """Read the file once for each state of it (7 MB in version 2.3.2)."""
    try:
        content = path.read_bytes()
    except OSError:
        content = b""
    found = _VERSION.search(content)
    version = tuple(map(int, found.groups()[:3])) if found else ()
    build = found[4].decode("ascii", "replace").strip() if found else ""
    elf = content[:4] == b"\x7fELF" and len(content) > 20
    number = int.from_bytes(content[18:20], "little" if content[5] == 1 else "big") if elf else 0
    return Library(path, version, build, MACHINES.get(number, f"machine {number}") if elf else "", SIMULATOR_MARK in content)
