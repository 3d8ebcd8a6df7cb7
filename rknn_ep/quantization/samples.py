"""Calibration data as a stream of model inputs: a folder, a .npz, a .npy or a list file, read as it is needed."""

from __future__ import annotations

import math
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import IO, Any

import numpy as np

from rknn_ep.errors import CalibrationError, nearest
from rknn_ep.quantization.pictures import SUFFIXES, load_picture, picture_layout
from rknn_ep.records import TensorFacts

Array = np.ndarray[Any, Any]
Load = Callable[[], Array]

FEWEST = 20
MOST = 200


@dataclass(frozen=True)
class Samples:
    """Calibration samples, loaded anew each time they are iterated over."""

    count: int
    advice: tuple[str, ...]
    """What the user may want to know: too few samples, too many, arrays left unused."""
    _open: Callable[[], Iterator[dict[str, Array]]]

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[dict[str, Array]]:
        return self._open()

    def beside(self, constant: Mapping[str, Array]) -> Samples:
        """The same, with arrays that every sample holds."""
        return replace(self, _open=lambda: ({**constant, **sample} for sample in self))


def open_samples(
    path: Path,
    inputs: Sequence[TensorFacts],
    *,
    mean: Sequence[float] = (),
    std: Sequence[float] = (),
    color: str = "rgb",
    resize: str = "stretch",
) -> Samples:
    """Open calibration data for a model with `inputs` (static shapes).

    What `path` may be:
        a folder: one picture or .npy file a sample, in the order of their names; for models with one input.
        .npz: one array per input, named like it; the first axis counts the samples where the array has one axis more than
            the input, or else the first axis is a whole number of the input's own.
        .npy: the same for a model with one input.
        any other file: a list with one sample a line: the paths of its pictures or .npy files, one for each input in order,
            separated by spaces, relative to the list's folder; empty lines and lines that begin with # are skipped.

    Pictures go through `load_picture`; arrays are taken as they are.

    Raises:
        CalibrationError: nothing is there, or an array does not fit its input: names the input, what was expected and
            what was found. Files are looked at when they are reached: iterating raises the same error.
    """
    if any(facts.shape is None for facts in inputs):
        names = ", ".join(f"'{facts.name}'" for facts in inputs if facts.shape is None)
        raise CalibrationError(f"input {names} has no static shape", remedy="Set the option input_shapes.")
    if not path.exists():
        raise CalibrationError(f"there is no calibration data at {path}", remedy="Give a folder, .npz, .npy or list file.")
    if path.suffix == ".npz":
        return _from_npz(path, inputs)
    if path.suffix == ".npy":
        only = _only_input(inputs, path)
        array = _map_npy(path)
        load = partial(_slices, array, only, path)
        return _samples(_count(array.shape, only, path), lambda: ({only.name: part} for part in load()))
    preprocess = partial(load_picture, mean=mean, std=std, color=color, resize=resize)
    if path.is_dir():
        return _from_folder(path, inputs, preprocess)
    return _from_list(path, inputs, preprocess)


def _samples(count: int, start: Callable[[], Iterator[dict[str, Array]]], more: Sequence[str] = ()) -> Samples:
    advice = list(more)
    if count < FEWEST:
        advice.append(f"{count} calibration samples are few: {FEWEST} to {MOST} typical ones give steadier ranges")
    if count > MOST:
        advice.append(f"{count} calibration samples take long and seldom help: {FEWEST} to {MOST} are enough")
    return Samples(count, tuple(advice), start)


# --------------------------------------------------------------------------------------------- files, one a sample


def _from_folder(path: Path, inputs: Sequence[TensorFacts], preprocess: Callable[..., Array]) -> Samples:
    only = _only_input(inputs, path)
    files = sorted(item for item in path.iterdir() if item.is_file() and item.suffix.lower() in (*SUFFIXES, ".npy"))
    if not files:
        raise CalibrationError(f"there are no pictures in {path}", remedy=f"Pictures end in {', '.join(SUFFIXES)} or .npy.")
    return _from_rows([(file,) for file in files], [only], preprocess)


def _from_list(path: Path, inputs: Sequence[TensorFacts], preprocess: Callable[..., Array]) -> Samples:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise CalibrationError(f"{path} is neither .npz, .npy nor a list of files: it is not text ({error})") from error
    rows = []
    for number, line in enumerate(lines, 1):
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        parts = [text] if len(inputs) == 1 else text.split()
        if len(parts) != len(inputs):
            raise CalibrationError(
                f"{path} line {number} names {len(parts)} files, and the model has {len(inputs)} inputs: "
                f"{', '.join(facts.name for facts in inputs)}"
            )
        rows.append(tuple(path.parent / part for part in parts))
    if not rows:
        raise CalibrationError(f"the list {path} names no files")
    missing = next((file for row in rows for file in row if not file.exists()), None)
    if missing is not None:
        raise CalibrationError(f"{path} names {missing}, which does not exist", remedy="Paths are relative to the list.")
    return _from_rows(rows, inputs, preprocess)


def _from_rows(rows: Sequence[tuple[Path, ...]], inputs: Sequence[TensorFacts], preprocess: Callable[..., Array]) -> Samples:
    """Samples from files; for inputs with a batch above 1, each sample takes as many pictures, round and round."""
    batches = {_picture_batch(facts) for facts, file in zip(inputs, rows[0], strict=True) if file.suffix != ".npy"} or {1}
    batch = max(batches)
    count = math.ceil(len(rows) / batch)

    def start() -> Iterator[dict[str, Array]]:
        for index in range(count):
            chosen = [rows[(index * batch + offset) % len(rows)] for offset in range(batch)]
            yield {
                facts.name: _load_file([row[position] for row in chosen], facts, preprocess)
                for position, facts in enumerate(inputs)
            }

    return _samples(count, start)


def _picture_batch(facts: TensorFacts) -> int:
    shape = facts.shape or ()
    batch = shape[0] if len(shape) == 4 else 1
    picture_layout(facts.name, (1, *shape[1:]) if len(shape) == 4 else shape)
    return batch


def _load_file(files: Sequence[Path], facts: TensorFacts, preprocess: Callable[..., Array]) -> Array:
    shape = facts.shape or ()
    if files[0].suffix == ".npy":
        array = np.asarray(_map_npy(files[0]))
        if array.shape != shape and array.shape == shape[1:] and shape[0] == 1:
            array = array.reshape(shape)
        return _checked(array, facts, str(files[0]))
    batch = _picture_batch(facts)
    single = (1, *shape[1:]) if len(shape) == 4 else shape
    parts = [preprocess(file, facts.name, single) for file in files[:batch]]
    return _checked(np.concatenate(parts) if len(parts) > 1 else parts[0], facts, str(files[0]))


# --------------------------------------------------------------------------------------------- arrays


def _from_npz(path: Path, inputs: Sequence[TensorFacts]) -> Samples:
    try:
        with zipfile.ZipFile(path) as archive:
            members = {name.removesuffix(".npy"): name for name in archive.namelist()}
            shapes = {}
            for name, member in members.items():
                with archive.open(member) as stream:
                    shapes[name] = _npy_header(stream)[0]
    except (zipfile.BadZipFile, ValueError, OSError) as error:
        raise CalibrationError(f"{path} is not an .npz file that can be read: {error}") from error
    for facts in inputs:
        if facts.name not in members:
            raise CalibrationError(
                f"{path} has no array for input '{facts.name}': expected one of shape (samples, {_text(facts.shape)}), "
                f"found {', '.join(f'{name} {shape}' for name, shape in shapes.items()) or 'nothing'}",
                remedy=nearest(facts.name, shapes) if shapes else "",
            )
    counts = {facts.name: _count(shapes[facts.name], facts, path) for facts in inputs}
    if len(set(counts.values())) > 1:
        raise CalibrationError(f"the arrays of {path} differ in their number of samples: {counts}")
    unused = sorted(set(members) - set(counts))

    def start() -> Iterator[dict[str, Array]]:
        with zipfile.ZipFile(path) as archive:
            streams = [_stream(archive, members[facts.name], facts, path) for facts in inputs]
            for parts in zip(*streams, strict=True):
                yield {facts.name: part for facts, part in zip(inputs, parts, strict=True)}

    more = [f"{path.name}: no input takes the arrays {', '.join(unused)}"] if unused else []
    return _samples(next(iter(counts.values())), start, more)


def _npy_header(stream: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    version = np.lib.format.read_magic(stream)
    reader = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, fortran, dtype = reader(stream)
    if dtype.hasobject:
        raise ValueError("it holds Python objects")
    return shape, fortran, dtype


def _stream(archive: zipfile.ZipFile, member: str, facts: TensorFacts, path: Path) -> Iterator[Array]:
    """The samples of one array of an .npz, one at a time: the array is never whole in memory unless stored by columns."""
    with archive.open(member) as stream:
        shape, fortran, dtype = _npy_header(stream)
        if fortran:
            rest = np.frombuffer(stream.read(), dtype).reshape(shape, order="F")
            yield from _slices(rest, facts, path)
            return
        size = dtype.itemsize * math.prod(facts.shape or ())
        for index in range(_count(shape, facts, path)):
            payload = stream.read(size)
            if len(payload) != size:
                raise CalibrationError(f"{path}: the array of input '{facts.name}' is cut short in sample {index}")
            yield _checked(np.frombuffer(payload, dtype).reshape(facts.shape or ()), facts, f"{path} sample {index}")


def _map_npy(path: Path) -> Array:
    try:
        array: Array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        raise CalibrationError(f"{path} is not an .npy file that can be read: {error}") from error
    return array


def _count(found: tuple[int, ...], facts: TensorFacts, path: Path) -> int:
    """How many samples an array of shape `found` holds for an input."""
    shape = facts.shape or ()
    if len(found) == len(shape) + 1 and found[1:] == shape:
        count = found[0]
    elif len(found) == len(shape) and found[1:] == shape[1:] and shape and found[0] % shape[0] == 0:
        count = found[0] // shape[0]
    else:
        raise CalibrationError(
            f"{path}: input '{facts.name}' expects arrays of shape ({_text(shape)}), "
            f"or (samples, {_text(shape)}) for all samples; found ({_text(found)})"
        )
    if count == 0:
        raise CalibrationError(f"{path} holds no samples for input '{facts.name}'")
    return count


def _slices(array: Array, facts: TensorFacts, path: Path) -> Iterator[Array]:
    shape = facts.shape or ()
    for index, part in enumerate(array.reshape(_count(array.shape, facts, path), *shape)):
        yield _checked(np.asarray(part).reshape(shape), facts, f"{path} sample {index}")


def _checked(array: Array, facts: TensorFacts, source: str) -> Array:
    """The array in the input's type, or an error that says what is wrong with it."""
    shape = facts.shape or ()
    if array.shape != shape:
        raise CalibrationError(
            f"{source}: input '{facts.name}' expects shape ({_text(shape)}), found ({_text(array.shape)})",
        )
    wanted = _numpy_type(facts)
    if wanted == np.uint8 and array.dtype == np.float32:  # a picture that goes in as it is
        if array.min(initial=0) < 0 or array.max(initial=0) > 255:
            raise CalibrationError(
                f"{source}: input '{facts.name}' takes bytes, and mean and std leave no bytes",
                remedy="Leave mean and std out: the model has them inside.",
            )
        array = np.rint(array).astype(np.uint8)
    if wanted.kind != array.dtype.kind and not (wanted.kind == "f" and array.dtype.kind in "iub"):
        raise CalibrationError(f"{source}: input '{facts.name}' expects {wanted}, found {array.dtype}")
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise CalibrationError(f"{source}: input '{facts.name}' holds NaN or infinity")
    return np.ascontiguousarray(array, wanted).reshape(shape)


def _numpy_type(facts: TensorFacts) -> np.dtype[Any]:
    names: Mapping[str, str] = {"FLOAT": "float32", "DOUBLE": "float64", "FLOAT16": "float16", "BOOL": "bool"}
    return np.dtype(names.get(facts.dtype, facts.dtype.lower() or "float32"))


def _only_input(inputs: Sequence[TensorFacts], path: Path) -> TensorFacts:
    if len(inputs) != 1:
        raise CalibrationError(
            f"{path} can feed one input, and the model has {len(inputs)}: {', '.join(facts.name for facts in inputs)}",
            remedy="Give .npz with one array per input, or a list file with one path per input on each line.",
        )
    return inputs[0]


def _text(shape: Sequence[int] | None) -> str:
    return ", ".join(map(str, shape or ()))
