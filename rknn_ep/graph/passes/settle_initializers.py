"""Which initializers are constants, and which are defaults that a program may override."""

from __future__ import annotations

import logging

import onnx_ir as ir

from rknn_ep.graph.passes.base import GraphPass, demand, done

log = logging.getLogger(__name__)

_IR_VERSION = 8
"""The first that goes with opset 17."""
_FIRST_WITH_CONSTANTS = 4
"""Before, every initializer had to be listed among the inputs, and nothing was meant by it."""


class SettleInitializers(GraphPass):
    """Take initializers out of the inputs where the old format demanded them there, and bring the format up.

    From IR version 4 on an initializer among the inputs is a default value: a program may feed another, so it is no
    constant, here as in ONNX Runtime.
    """

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Only the list of inputs changes."""
        graph = model.graph
        defaults = [value for value in graph.inputs if value.is_initializer()]
        old = model.ir_version < _FIRST_WITH_CONSTANTS
        if old:
            for value in defaults:
                graph.inputs.remove(value)
        elif defaults:
            log.warning(
                "%d initializers of the model are graph inputs too (the first is '%s'), so they count as variable and nodes that "
                "need constant weights stay off the NPU; export with keep_initializers_as_inputs=False",
                len(defaults),
                defaults[0].name,
            )
        model.ir_version = max(model.ir_version, _IR_VERSION)
        return done(model, old and bool(defaults))

    def ensures(self, model: ir.Model) -> None:
        """The format is one in which initializers can be constants."""
        demand(model.ir_version >= _FIRST_WITH_CONSTANTS, "the IR version is too old")
