"""The road from a model as it came in to the view that is planned."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import onnx_ir as ir

from rknn_ep.errors import ModelError, RknnEpError
from rknn_ep.graph.collector import collector_paused
from rknn_ep.graph.origins import trace
from rknn_ep.graph.passes.convert_opset import ConvertOpset
from rknn_ep.graph.passes.fold_affine import FoldAffine
from rknn_ep.graph.passes.fold_affine_ahead import FoldAffineAhead
from rknn_ep.graph.passes.freeze_inputs import FreezeInputs
from rknn_ep.graph.passes.fuse_hard_sigmoid import FuseHardSigmoid
from rknn_ep.graph.passes.fuse_hard_swish import FuseHardSwish
from rknn_ep.graph.passes.fuse_layer_normalization import FuseLayerNormalization
from rknn_ep.graph.passes.infer_and_fold import InferAndFold
from rknn_ep.graph.passes.lift_constants import LiftConstants
from rknn_ep.graph.passes.remove_identity import RemoveIdentity
from rknn_ep.graph.passes.remove_unused import RemoveUnused
from rknn_ep.graph.passes.settle_initializers import SettleInitializers
from rknn_ep.graph.passes.write_pads import WritePads
from rknn_ep.graph.provenance import Provenance
from rknn_ep.graph.view import Original, View, ViewNode
from rknn_ep.records import TensorFacts

UNFORESEEN = "the model cannot be normalised"


def normalize(
    model: ir.Model,
    *,
    input_shapes: Mapping[str, Sequence[int]] | None = None,
    dimensions: Mapping[str, int] | None = None,
    consume: bool = False,
) -> View:
    """Bring a model into the form that planning works on.

    Args:
        model: any ONNX model, also one that a host runtime has already optimised.
        input_shapes: input name -> dimensions, for dynamic inputs.
        dimensions: symbolic dimension name -> value.
        consume: the caller gives `model` away, so that no copy of it is made; else it is left as it is.

    Raises:
        ModelError: the model is too old, or breaks its operators' rules.
        ShapeError: a dimension of an input has no value, or what was given does not fit the model.
    """
    try:
        with collector_paused():
            return _normalize(model, input_shapes or {}, dimensions or {}, consume)
    except RknnEpError:
        raise
    except Exception as error:
        # Models are other people's: what no check foresaw must still come out as one clear error, with its cause attached.
        raise ModelError(
            f"{UNFORESEEN}: {error}", remedy="Check it with onnx.checker.check_model; if it is valid, report it."
        ) from error


def _normalize(model: ir.Model, input_shapes: Mapping[str, Sequence[int]], dimensions: Mapping[str, int], consume: bool) -> View:
    original = Original.of(model, keep=not consume)
    work = model if consume else model.clone()
    provenance = Provenance(work)
    passes: list[ir.passes.PassBase] = [
        SettleInitializers(provenance),
        FreezeInputs(provenance, input_shapes, dimensions),
        LiftConstants(provenance),
        InferAndFold(provenance, frozen=bool(input_shapes or dimensions)),
        RemoveUnused(provenance, work),
        RemoveIdentity(provenance),
        ConvertOpset(provenance),
        WritePads(provenance),
        FuseHardSigmoid(provenance),
        FoldAffine(provenance),
        FuseHardSwish(provenance),
        FuseLayerNormalization(provenance),
        FoldAffineAhead(provenance),
        RemoveUnused(provenance, work),
    ]
    for one in passes:
        one(work)
    return _view(work, original, provenance)


def _view(work: ir.Model, original: Original, provenance: Provenance) -> View:
    traced = trace(original.wiring, work.graph, frozenset(provenance.constants))
    opset = work.opset_imports.get("", 0)
    known: dict[ir.Value, TensorFacts] = {}
    nodes = tuple(
        ViewNode(index, node, origins, bound, opset, known)
        for index, (node, origins, bound) in enumerate(zip(work.graph, traced.origins, traced.bound_to, strict=True))
    )
    return View(model=work, original=original, nodes=nodes, folded=traced.folded)
