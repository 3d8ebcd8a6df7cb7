"""Relax functions as ONNX: what the planner, the quantiser and the compilers of rknn_ep work on.

One converter an operator, `@converter("relax.nn.conv2d")`, in files by kind (attention, elementwise, ...); `graph.to_onnx`
walks a function. What no converter takes becomes a node of the domain `tvm.relax`, which every capability table refuses.
"""

from rknn_ep_tvm.relax_onnx import attention, elementwise, layers, reductions, shapes  # noqa: F401  (they fill CONVERTERS)
from rknn_ep_tvm.relax_onnx.graph import DOMAIN, Converted, parameter_names, to_onnx
from rknn_ep_tvm.relax_onnx.writer import CONVERTERS

__all__ = ["CONVERTERS", "DOMAIN", "Converted", "parameter_names", "to_onnx"]
