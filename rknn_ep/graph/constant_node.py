"""The value of a Constant node, in whichever of its attributes it stands."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir

_NUMBERS: dict[str, Any] = {
    "value_float": np.float32,
    "value_floats": np.float32,
    "value_int": np.int64,
    "value_ints": np.int64,
}


def tensor_of(node: ir.Node) -> ir.TensorProtocol | None:
    """The dense tensor that a Constant node holds, in whichever of its attributes."""
    name = str(node.outputs[0].name)
    for key, attribute in node.attributes.items():
        if key == "value":
            return attribute.as_tensor()
        if key in _NUMBERS:
            return ir.Tensor(np.array(attribute.value, dtype=_NUMBERS[key]), name=name)
        if key == "value_string":
            return ir.StringTensor(np.array(attribute.as_string().encode(), dtype=object), shape=ir.Shape(()), name=name)
        if key == "value_strings":
            texts = [text.encode() for text in attribute.as_strings()]
            return ir.StringTensor(texts, shape=ir.Shape((len(texts),)), name=name)
    return None
