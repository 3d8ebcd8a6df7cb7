"""Bring the ONNX operators to the opset that planning reads."""

from __future__ import annotations

import logging
from functools import lru_cache
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir

from rknn_ep.errors import ModelError
from rknn_ep.graph.inference import NodeInference, schema_of
from rknn_ep.graph.opset_adapters import ADAPTERS, Step, refused
from rknn_ep.graph.passes.base import GraphPass, demand, done
from rknn_ep.graph.provenance import bodies_of
from rknn_ep.graph.values import add_constant, take_over

log = logging.getLogger(__name__)

PREFERRED = (17, 19)
"""The vendor toolkit reads opsets 10 to 19; 17 is the first with LayerNormalization."""


OLDEST_READ = 7
"""Broadcasting and inference mode were something else before; ONNX Runtime, too, promises nothing below."""


class ConvertOpset(GraphPass):
    """Rewrite nodes for opset 17, else 19, else the lowest later one that can say what the model says.

    onnxscript's converter goes neither below 18 nor down, and onnx's own refuses models with foreign operators and
    renames nodes. Most operators mean the same in both opsets anyway: that is read off the schemas, and only the
    operators whose meaning changed have an adapter. Bodies of control flow are not rewritten; a body with an operator
    that would need it keeps the whole model at its opset. So does any node that no opset up to the model's own can hold.

    Raises:
        ModelError: the model is older than opset 7 and uses operators that were redefined since.
    """

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Rewrite in place; unconvertible models are left entirely as they are."""
        source = model.opset_imports.get("", 0)
        nodes = list(model.graph)
        for target in _candidates(source):
            rewrites = _plan(nodes, source, target)
            if rewrites is None:
                continue
            model.opset_imports[""] = target
            inference = NodeInference(model)
            # A rewrite was planned with values that an earlier one may have replaced since.
            replaced: dict[ir.Value, ir.Value] = {}
            for node, steps in rewrites:
                self._apply(model.graph, node, steps, inference, replaced)
            return done(model, True)
        if 0 < source < OLDEST_READ:
            raise ModelError(
                f"the model uses opset {source}, and some of its operators meant something else before opset {OLDEST_READ}",
                remedy="Export the model again with opset 17, or convert it with onnx.version_converter.",
            )
        if source not in PREFERRED:
            log.info("the model stays at opset %d", source)
        return done(model, False)

    def ensures(self, model: ir.Model) -> None:
        """Every ONNX operator is one of the opset that the model names, or was unknown from the start."""
        opset = model.opset_imports.get("", 0)
        for node in model.graph:
            known = _attribute_names(node.op_type, opset) if node.domain == "" else None
            for name in node.attributes if known is not None else ():
                demand(known is not None and name in known, f"{node.op_type} has no attribute '{name}' in opset {opset}")

    def _apply(
        self, graph: ir.Graph, node: ir.Node, steps: list[Step], inference: NodeInference, replaced: dict[ir.Value, ir.Value]
    ) -> None:
        base = str(node.outputs[0].name)
        made: list[ir.Value] = []
        for number, step in enumerate(steps):
            last = number == len(steps) - 1
            inputs = [self._input(graph, base, one, made) for one in step.inputs]
            inputs = [None if value is None else replaced.get(value, value) for value in inputs]
            new = ir.Node(
                "",
                step.op_type,
                inputs,
                [ir.convenience.convert_attribute(name, value) for name, value in step.attributes.items()],
                num_outputs=len(node.outputs) if last else 1,
                name=node.name if last else None,
            )
            graph.insert_before(node, new)
            if not last:
                new.outputs[0].name = self.provenance.fresh(f"{base}_{step.op_type.lower()}")
                inference.infer(new)
                made.append(new.outputs[0])
        replaced.update(zip(node.outputs, new.outputs, strict=True))
        _hand_over(new, node)
        inference.infer(new)

    def _input(self, graph: ir.Graph, base: str, one: Any, made: list[ir.Value]) -> ir.Value | None:
        if isinstance(one, np.ndarray):
            return add_constant(graph, self.provenance.fresh(f"{base}_constant"), one)
        if isinstance(one, int):
            return made[one]
        assert one is None or isinstance(one, ir.Value)
        return one


def _hand_over(new: ir.Node, old: ir.Node) -> None:
    *others, last = zip(new.outputs, old.outputs, strict=True)
    for survivor, gone in others:
        gone.replace_all_uses_with(survivor, replace_graph_outputs=True)
        survivor.name, gone.name = gone.name, None
        survivor.shape, survivor.type = gone.shape, gone.type
    take_over(*last)


def _unchanged_since(op_type: str, source: int) -> bool:
    """Whether an operator of the first opsets is one of those that opset 7 did not redefine."""
    old, new = schema_of(op_type, "", source), schema_of(op_type, "", OLDEST_READ)
    return old is not None and new is not None and old.since_version == new.since_version


def _candidates(source: int) -> list[int]:
    """Opsets to try, best first; the model's own is not among them."""
    if source in (0, PREFERRED[0]):
        return []
    later = range(PREFERRED[0], min(source, onnx.defs.onnx_opset_version() + 1))
    return (
        [*PREFERRED, *(version for version in later if version not in PREFERRED)]
        if source < PREFERRED[0]
        else [version for version in (*PREFERRED, *later) if version < source]
    )


def _plan(nodes: list[ir.Node], source: int, target: int) -> list[tuple[ir.Node, list[Step]]] | None:
    """What to rewrite, or None when some node cannot be expressed at the target."""
    rewrites = []
    for node in nodes:
        for body in bodies_of(node):
            if not _body_keeps(body, source, target):
                log.debug("a body of '%s' cannot move to opset %d", node.name, target)
                return None
        if node.domain != "":
            continue
        if source < OLDEST_READ and not _unchanged_since(node.op_type, source):
            return None
        adapter = ADAPTERS.get(node.op_type)
        steps = adapter(node, source, target) if adapter is not None else None
        if steps:
            rewrites.append((node, steps))
        elif refused(node, source, target) or not means_the_same(node, source, target):
            log.debug("%s '%s' cannot move from opset %d to %d", node.op_type, node.name, source, target)
            return None
        elif extra := _surplus(node, target):
            kept = {name: attribute.value for name, attribute in node.attributes.items() if name not in extra}
            rewrites.append((node, [Step(node.op_type, list(node.inputs), kept)]))
    return rewrites


def _body_keeps(body: ir.Graph, source: int, target: int) -> bool:
    for node in body:
        if not all(_body_keeps(inner, source, target) for inner in bodies_of(node)):
            return False
        if node.domain != "":
            continue
        adapter = ADAPTERS.get(node.op_type)
        if adapter is not None and adapter(node, source, target):
            return False
        if refused(node, source, target) or not means_the_same(node, source, target) or _surplus(node, target):
            return False
    return True


def means_the_same(node: ir.Node, source: int, target: int) -> bool:
    """Whether a node reads the same in both opsets, by their schemas: attributes, defaults, arity and types.

    Changes of meaning that a schema does not show are the adapters' business.
    """
    relation = _relation(node.op_type, source, target)
    if relation is None:
        return node.op_type in _ORT_ONLY or schema_of(node.op_type, "", source) is None
    if relation == "same":
        return True
    schema, defaults = schema_of(node.op_type, "", target), dict(relation)
    if len(node.inputs) > schema.max_input or len(node.outputs) > schema.max_output or len(node.inputs) < schema.min_input:
        return False
    for name, default in defaults.items():
        # An attribute that differs between the two: either not given here, or given as what its absence means there.
        if name in node.attributes and not _is_default(name, node.attributes[name].value, default):
            return False
    return _types_fit(node, schema)


_ORT_ONLY = frozenset({"LayerNormalization", "SimplifiedLayerNormalization"})
"""ONNX Runtime writes these into the ONNX domain at any opset, with the meaning that ONNX gave the first in opset 17."""


@lru_cache(maxsize=4096)
def _relation(op_type: str, source: int, target: int) -> Any:
    """None: unknown in one of them. "same": one definition. Else the attributes that only the source has, with defaults."""
    old, new = schema_of(op_type, "", source), schema_of(op_type, "", target)
    if old is None or new is None or new.deprecated != old.deprecated:
        return None
    if old.since_version == new.since_version:
        return "same"
    return tuple((name, _default(old, name)) for name in old.attributes if name not in new.attributes)


def _default(schema: Any, name: str) -> Any:
    proto = schema.attributes[name].default_value
    return onnx.helper.get_attribute_value(proto) if proto.type else None


def _is_default(name: str, value: Any, default: Any) -> bool:
    if name == "dilations" and default is None:
        return all(one == 1 for one in value)
    return bool(value == (default.decode() if isinstance(default, bytes) else default))


@lru_cache(maxsize=4096)
def _attribute_names(op_type: str, opset: int) -> frozenset[str] | None:
    schema = schema_of(op_type, "", opset)
    return None if schema is None else frozenset(schema.attributes)


def _surplus(node: ir.Node, target: int) -> set[str]:
    known = _attribute_names(node.op_type, target)
    return set() if known is None else {name for name in node.attributes if name not in known}


def _types_fit(node: ir.Node, schema: Any) -> bool:
    pairs = [*zip(node.inputs, _formals(schema.inputs, len(node.inputs)), strict=True)]
    pairs += zip(node.outputs, _formals(schema.outputs, len(node.outputs)), strict=True)
    return all(
        f"tensor({value.type.dtype.name.lower()})" in formal.types
        for value, formal in pairs
        if value is not None and isinstance(value.type, ir.TensorType)
    )


def _formals(declared: Any, count: int) -> list[Any]:
    """The formal parameter of each actual one: the last is repeated where it is variadic."""
    return [declared[min(position, len(declared) - 1)] for position in range(count)]
