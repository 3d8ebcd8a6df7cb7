"""From a partition to what the simulator loads: simulation.onnx, its weights, an exact variant and native.txt.

Nothing is approximated here: the QDQ model is the arithmetic of an integer partition, and the Casts that are added are
the float16 stores that the NPU makes at the border of each native operator.
"""

from __future__ import annotations

from typing import Any

import onnx
import onnx_ir as ir

from rknn_ep.artifact.bundle import NATIVE_TEXT
from rknn_ep.errors import CompileError
from rknn_ep.graph.inference import infer_shapes
from rknn_ep.records import CompileRequest, CompileResult
from rknn_ep_simulator.avx2 import make_avx2
from rknn_ep_simulator.exact import fold_foreign_biases, make_exact
from rknn_ep_simulator.external import WeightFile
from rknn_ep_simulator.factors import multiply_by_reciprocals
from rknn_ep_simulator.half import round_at_borders
from rknn_ep_simulator.instance import take_apart
from rknn_ep_simulator.native import describe
from rknn_ep_simulator.trial import refuse_what_cannot_load
from rknn_ep_simulator.unshared import unshare_weights
from rknn_ep_simulator.unsigned import make_large_weights_unsigned

MODEL = "simulation.onnx"
EXACT_MODEL = "simulation_exact.onnx"
AVX2_MODEL = "simulation_avx2.onnx"
"""What x64 processors without VNNI run; other entries are for every ONNX Runtime, this one for the simulator alone."""
WEIGHTS = "simulation.data"


def compile_partition(request: CompileRequest) -> CompileResult:
    """Make the simulator's entries of a bundle.

    Raises:
        CompileError: the partition is not a valid model, has a shape that is not static, or holds an operator that
            ONNX Runtime cannot run.
    """
    weights = WeightFile(WEIGHTS)
    entries, notes = _simulation(request, weights)
    for shape, variant in enumerate(request.variants, 1):
        made, _ = _simulation(variant, weights, shape)
        entries |= made
    entries[WEIGHTS] = weights.content()
    return CompileResult(entries, notes)


def _simulation(request: CompileRequest, weights: WeightFile, shape: int = 0) -> tuple[dict[str, bytes], dict[str, Any]]:
    """The entries for one choice of input shapes, numbered but for the first, and notes; the weights go to their file."""
    try:
        model = ir.from_proto(onnx.load_model_from_string(request.model))
        infer_shapes(model)
    except Exception as error:
        raise CompileError(f"{request.partition} is not a valid ONNX model: {error}") from error
    _require_types(model, request.partition)
    multiply_by_reciprocals(model)
    borders = round_at_borders(model, [*request.groups, *take_apart(model)])
    description = describe(model, request)
    fold_foreign_biases(model)
    make_large_weights_unsigned(model)
    unshare_weights(model)
    exact = make_exact(model)
    name, exact_name, own_name = (_numbered(one, shape) for one in (MODEL, EXACT_MODEL, AVX2_MODEL))
    entries = {name: weights.detach(model)}
    if exact is not None:
        entries[exact_name] = weights.detach(exact.model)
    content = weights.content()
    for entry in entries.values():
        refuse_what_cannot_load(entry, {WEIGHTS: content}, request.partition)
    if (own := make_avx2(model)) is not None:
        entries[own_name] = weights.detach(own)
    entries[_numbered(NATIVE_TEXT, shape)] = description(exact_name if exact else name).encode()
    notes: dict[str, Any] = {"float16_borders": borders}
    if exact is not None:
        notes |= {"exact_nodes": exact.nodes, "exact_in_integers": exact.in_integers, "not_exact": list(exact.inexact)}
    return entries, notes


def _numbered(name: str, shape: int) -> str:
    """simulation.onnx of the first choice of input shapes, simulation.1.onnx of the second."""
    stem, _, suffix = name.rpartition(".")
    return f"{stem}.{shape}.{suffix}" if shape else name


def _require_types(model: ir.Model, partition: str) -> None:
    """What has no type cannot be rounded as its type demands."""
    for node in model.graph:
        for value in node.outputs:
            if value.name and value.dtype is None:
                raise CompileError(f"{partition}: shape inference finds no type for '{value.name}', made by {node.op_type}")
