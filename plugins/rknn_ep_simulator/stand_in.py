"""A stand-in for a vendor `.rknn`: for programs that look at a model's first bytes before they hand it to rknn_init.

It holds no instructions for hardware, only the vendor file's outer form (facts: header, root table, custom string) and in it the
name of the bundle that the simulator runs instead. A board refuses it.
"""

from __future__ import annotations

import hashlib
import json
import struct
from pathlib import Path

from rknn_ep.artifact.bundle import Bundle
from rknn_ep.errors import ArtifactError

_VERSION = 6
_SLOTS = 12
_CUSTOM_STRING = 11


def custom_string(bundle: Path) -> str:
    """How a .rknn names its companion: the partition and the SHA-256 of simulation.onnx followed by simulation.data.

    Raises:
        ArtifactError: not a bundle, or one without its simulation.
    """
    opened = Bundle.open(bundle)
    if "simulation.onnx" not in opened.names:
        raise ArtifactError(f"{bundle} holds no simulation", remedy="Compile the model again without --strip-simulation.")
    digest = hashlib.sha256()
    for name in ("simulation.onnx", "simulation.data"):
        if name in opened.names:
            digest.update(opened.read(name))
    partition = next(
        (line.partition("=")[2] for line in opened.read("native.txt").decode().splitlines() if line.startswith("partition=")), ""
    )
    return f"rknn_ep:1 partition={partition} bundle={digest.hexdigest()}"


def write_stand_in(bundle: Path, path: Path) -> Path:
    """Write `path`, a file that begins like a .rknn and whose companion is `bundle`.

    Raises:
        ArtifactError: not a bundle, or one without its simulation.
    """
    text = custom_string(bundle).encode() + b"\0"
    slots = [0] * _SLOTS
    slots[_CUSTOM_STRING] = 4
    vtable = struct.pack(f"<HH{_SLOTS}H", 4 + 2 * _SLOTS, 8, *slots)
    table = 8 + len(vtable)
    table_fields = struct.pack("<iI", table - 8, 4)
    string = struct.pack("<I", len(text) - 1) + text
    flatbuffer = struct.pack("<I4s", table, b"RKNN") + vtable + table_fields + string
    flatbuffer += b"\0" * (-len(flatbuffer) % 8)
    about = json.dumps({"rknn_ep": "stand-in for the simulator; no board can run it"}).encode()
    header = struct.pack("<8sQQ", b"RKNN", _VERSION, len(flatbuffer)).ljust(64, b"\0")
    path.write_bytes(header + flatbuffer + struct.pack("<Q", len(about)) + about)
    return path
