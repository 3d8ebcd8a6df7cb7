"""Caffe and Darknet models: no kept converter reads them any more, the toolkit's own loaders do."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from rknn_ep.errors import ModelError
from rknn_ep_toolkit2.errors import ToolkitError

if TYPE_CHECKING:
    import onnx

WEIGHTS_OPTION = "toolkit2.weights"
_FORMATS = {".prototxt": ("caffe", ".caffemodel"), ".cfg": ("darknet", ".weights")}
_EXPORTED = "check0_base_optimize.onnx"
_WEIGHTED = ("Conv", "ConvTranspose", "Gemm", "MatMul")


def load(path: Path, options: Mapping[str, str]) -> bytes:
    """A network as serialised ONNX, float32, with the shapes that it declares.

    Args:
        path: `.prototxt` (Caffe) or `.cfg` (Darknet; its [yolo] layers are left out, as the vendor's demos decode them).
        options: `toolkit2.weights`, where the weights are not beside it under the same name.

    Raises:
        ModelError: a file is missing or cut, or the weights are another network's.
        ToolkitError: the toolkit is missing or refuses; its words are in the message.
    """
    import onnx

    from rknn_ep_toolkit2.worker import workers

    kind, ending = _FORMATS[path.suffix.lower()]
    weights = Path(options[WEIGHTS_OPTION]) if WEIGHTS_OPTION in options else path.with_suffix(ending)
    if not path.is_file():
        raise ModelError(f"cannot read '{path}': no such file")
    if not weights.is_file():
        raise ModelError(f"cannot read '{weights}': no such file", remedy=f"{WEIGHTS_OPTION} names the weights of {path.name}.")
    network, values = f"network{path.suffix.lower()}", f"network{ending}"
    try:
        result = workers().run(
            "to_onnx",
            {"format": kind, "network": network, "weights": values},
            files={network: path, values: weights},
            collect=[_EXPORTED],
        )
    except ToolkitError as error:
        if not error.lasting:
            raise
        raise error.reworded(
            message=f"'{path}' with '{weights}': {error.message}",
            remedy=f"It is no {kind.capitalize()} network that the toolkit reads, it is cut, or the weights are another's.",
        ) from error
    if not result.values["exported"]:
        raise ModelError(
            f"'{path}': this version of the toolkit does not leave the model that it loaded", remedy=result.log[-500:]
        )
    model = onnx.load_model_from_string(result.files[_EXPORTED])
    _refuse_invented_weights(model, weights)
    _make_constant(model)
    return bytes(model.SerializeToString())


def _refuse_invented_weights(model: onnx.ModelProto, weights: Path) -> None:
    """The loaders fill in numbers of their own where the file is cut or names its layers otherwise, and say nothing."""
    from onnx import numpy_helper

    content = weights.read_bytes()
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type not in _WEIGHTED or node.input[1] not in constants:
            continue
        values = numpy_helper.to_array(constants[node.input[1]])
        written = (values, values.T, values.astype(np.float64))  # Caffe keeps double nets as doubles
        if not any(np.ascontiguousarray(form).tobytes() in content for form in written):
            raise ModelError(
                f"'{weights}' does not hold the weights of layer '{node.name or node.output[0]}' "
                f"({', '.join(map(str, values.shape))})",
                remedy="The file is cut, or belongs to another network, or its layers have other names.",
            )


def _make_constant(model: onnx.ModelProto) -> None:
    """The loader lists weights as inputs too, which would make them variables."""
    constants = {tensor.name for tensor in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in constants]
    del model.graph.input[:]
    model.graph.input.extend(inputs)
