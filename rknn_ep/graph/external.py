"""Weights in files beside the model: they may not be anywhere else."""

from __future__ import annotations

import os
from pathlib import Path, PurePosixPath, PureWindowsPath

import onnx

from rknn_ep.errors import ModelError
from rknn_ep.graph.tensor_size import StoredSize


def check_external(tensor: onnx.TensorProto, size: StoredSize, owner: str, folder: Path | None) -> None:
    """Check that a tensor's data file lies in the model's folder and is long enough.

    Links are followed: what counts is where the data really is. A file with several hard links is refused as well,
    because nobody can say where its other names are.

    Raises:
        ModelError: the path is absolute, leads out of the folder, or the file is missing or too short.
    """
    entries = {entry.key: entry.value for entry in tensor.external_data}
    location = entries.get("location", "")
    if not location:
        raise ModelError(f"{owner} lies in an external file, but the model does not say which")
    if folder is None:
        raise ModelError(
            f"{owner} lies in the external file '{location}', but the model came as bytes, which have no folder",
            remedy="Give the model's path instead, or put its weights inside (onnx.save with save_as_external_data=False).",
        )
    if PurePosixPath(location).is_absolute() or PureWindowsPath(location).anchor or ".." in PurePosixPath(location).parts:
        raise ModelError(
            f"{owner} names the external file '{location}', which leaves the model's folder",
            remedy="Put the data file beside the model and name it by a relative path.",
        )
    path = folder / location
    home, real = (Path(os.path.realpath(place)) for place in (folder, path))  # unlike resolve(), quiet about loops
    if not real.is_relative_to(home):
        raise ModelError(
            f"{owner} names the external file '{location}', a link to '{real}' outside the model's folder",
            remedy="Copy the data file itself into the model's folder.",
        )
    try:
        status = real.stat()
    except OSError as error:
        raise ModelError(f"{owner} names the external file '{path}', which cannot be read: {error.strerror or error}") from error
    if not real.is_file():
        raise ModelError(f"{owner} names the external file '{path}', which is no regular file")
    if status.st_nlink > 1:
        raise ModelError(
            f"{owner} names the external file '{path}', which has {status.st_nlink} hard links",
            remedy="Copy the data file (cp breaks the link), so that it cannot be another file in disguise.",
        )
    _check_extent(entries, size, f"{owner} in '{path}'", status.st_size)


def _check_extent(entries: dict[str, str], size: StoredSize, what: str, available: int) -> None:
    try:
        offset, length = int(entries.get("offset", 0)), int(entries.get("length", size.bytes))
    except ValueError as error:
        raise ModelError(f"{what}: offset or length is not a number") from error
    if offset < 0 or length != size.bytes:
        raise ModelError(f"{what}: {length} bytes at offset {offset} do not hold the tensor's {size.bytes} bytes")
    if offset + length > available:
        raise ModelError(
            f"{what} needs bytes {offset} to {offset + length}, but the file has {available}",
            remedy="The data file is truncated or belongs to another model; fetch it again.",
        )
