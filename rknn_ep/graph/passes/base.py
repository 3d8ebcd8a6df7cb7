"""What all passes share."""

from __future__ import annotations

import onnx_ir as ir

from rknn_ep.graph.provenance import Provenance


class GraphPass(ir.passes.InPlacePass):  # type: ignore[misc]
    """A pass over the main graph of a model; bodies of control flow are left as they are.

    A pass keeps the name of every value that survives, and lets no value vanish that `Provenance` has pinned.
    """

    def __init__(self, provenance: Provenance) -> None:
        super().__init__()
        self.provenance = provenance


def done(model: ir.Model, changes: int | bool) -> ir.passes.PassResult:
    """The result of an in-place pass."""
    return ir.passes.PassResult(model, modified=bool(changes))


def demand(condition: bool, message: str) -> None:
    """State a pre- or postcondition; a broken one is a defect of ours, not of the model."""
    if not condition:
        raise AssertionError(message)
