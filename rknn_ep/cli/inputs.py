"""What `rknn-ep run` feeds a model: arrays from .npy and .npz files, pictures prepared as for calibration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rknn_ep.errors import ModelError, ShapeError
from rknn_ep.records import TensorFacts

if TYPE_CHECKING:
    import numpy as np
    import onnxruntime

    from rknn_ep.options import Options


def wanted_inputs(model: Path, session: onnxruntime.InferenceSession, options: Options) -> list[TensorFacts]:
    """The inputs of a session of `model`, with the dimensions that options or compiled partitions fix; what stays open is 0.

    Raises:
        ArtifactError: the model cannot be read.
    """
    found = [_facts(item, options) for item in session.get_inputs()]
    if model.suffix.lower() != ".onnx" or not any(0 in (item.shape or ()) for item in found):
        return found
    compiled = _compiled_shapes(model)
    return [replace(item, shape=compiled.get(item.name, item.shape)) if 0 in (item.shape or ()) else item for item in found]


def _compiled_shapes(model: Path) -> dict[str, tuple[int, ...]]:
    """What the partitions of a compiled model read, by name: they run with these shapes and no others."""
    from rknn_ep.artifact.epcontext_reader import read_epcontext

    return {
        name: tensor.border_dims
        for node in read_epcontext(model).own
        if node.description is not None
        for name, tensor in zip(node.inputs, node.description.inputs, strict=True)
    }


def load_inputs(path: Path, wanted: Sequence[TensorFacts], options: Options) -> dict[str, np.ndarray[Any, Any]]:
    """One file as the model's inputs by name: .npz holds an array per input, .npy and a picture are the only input.

    Raises:
        ModelError: the file cannot be read, or names inputs that the model does not have, or leaves some out.
        ShapeError: an array's shape is not the input's.
    """
    arrays: Mapping[str, Any]
    match path.suffix.lower():
        case ".npz":
            arrays = _arrays(path)
        case ".npy":
            arrays = {_only(wanted, path).name: _arrays(path)[""]}
        case _:
            arrays = _picture(path, _only(wanted, path), options)
    if len(arrays) == len(wanted) == 1:
        arrays = {wanted[0].name: next(iter(arrays.values()))}
    names = {item.name for item in wanted}
    if names != set(arrays):
        raise ModelError(f"{path} has arrays {sorted(arrays)}, and the model's inputs are {sorted(names)}")
    return {item.name: _fitting(arrays[item.name], item, path) for item in wanted}


def _facts(item: Any, options: Options) -> TensorFacts:
    shape = options.input_shapes.get(item.name)
    if shape is None:
        shape = tuple(dim if isinstance(dim, int) else options.dimensions.get(dim or "", 0) for dim in item.shape)
    element = item.type.removeprefix("tensor(").removesuffix(")")
    return TensorFacts(item.name, shape, element.upper())


def _arrays(path: Path) -> dict[str, Any]:
    import numpy as np

    try:
        loaded = np.load(path, allow_pickle=False)
        return {name: loaded[name] for name in loaded.files} if hasattr(loaded, "files") else {"": loaded}
    except (OSError, ValueError, EOFError) as error:
        raise ModelError(f"{path} cannot be read: {error}") from error


def _only(wanted: Sequence[TensorFacts], path: Path) -> TensorFacts:
    if len(wanted) != 1:
        names = ", ".join(item.name for item in wanted)
        raise ModelError(
            f"{path.name} is one array, and the model has {len(wanted)} inputs: {names}",
            remedy="Give an .npz with one array for each of them.",
        )
    return wanted[0]


def _picture(path: Path, item: TensorFacts, options: Options) -> Mapping[str, Any]:
    from rknn_ep.quantization.pictures import load_picture

    if 0 in (item.shape or ()):
        raise ShapeError(
            f"input '{item.name}' is {_shown(item.shape or ())}, so {path.name} has no size to be brought to",
            remedy=f"Set --input-shapes '{item.name}:1,3,480,480' with the size you want.",
        )
    picture = load_picture(
        path, item.name, item.shape or (), mean=options.mean, std=options.std, color=options.color, resize=options.resize
    )
    if item.dtype == "UINT8":  # a picture that goes in as it is
        import numpy as np

        if picture.min() < 0 or picture.max() > 255:
            raise ModelError(f"input '{item.name}' takes bytes: leave --mean and --std out, the model has them inside")
        picture = np.rint(picture).astype(np.uint8)
    return {item.name: picture}


def _fitting(array: Any, item: TensorFacts, path: Path) -> Any:
    """The array in the input's element type, if its shape fits."""
    import numpy as np
    from onnx import TensorProto
    from onnx.helper import tensor_dtype_to_np_dtype

    shape = item.shape or ()
    if len(array.shape) != len(shape) or any(dim not in (0, size) for dim, size in zip(shape, array.shape, strict=True)):
        raise ShapeError(f"{path}: input '{item.name}' is {list(array.shape)}, and the model takes {_shown(shape)}")
    dtype = tensor_dtype_to_np_dtype(TensorProto.DataType.Value(item.dtype))
    if not np.can_cast(array.dtype, dtype, "same_kind"):
        raise ModelError(f"{path}: input '{item.name}' is {array.dtype}, and the model takes {dtype}")
    return array.astype(dtype, copy=False)


def _shown(shape: Sequence[int]) -> str:
    return f"[{', '.join(str(size) if size else 'any' for size in shape)}]"
