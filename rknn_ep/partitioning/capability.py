"""A verdict for every node: on the NPU, on the vendor runtime's CPU side, or refused with the reason.

    verdicts = judge(view, target, "int8", rules=plugins().capabilities())

Rules are asked by falling priority; the first that answers decides. `table_rule()` is the shipped one: it names the
probed case that a node is an instance of (`rules/`), holds the node's figures against the limits of the native
operator, and reads what becomes of the case on the target's table (`tables/`).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

from rknn_ep.errors import did_you_mean
from rknn_ep.partitioning.camera import VERDICT as CAMERA_VERDICT
from rknn_ep.partitioning.camera import find_cameras
from rknn_ep.partitioning.patterns import probed_patterns
from rknn_ep.partitioning.rules import RULES, Case, Refuse
from rknn_ep.partitioning.rules.codes import float_form, is_quantized_operator
from rknn_ep.partitioning.tables_reader import Finding, Table, load_table
from rknn_ep.records import Capability, NodeFacts, Outcome, Target, TensorFacts, Verdict

if TYPE_CHECKING:
    from rknn_ep.graph import View

OPSETS = (10, 19)
"""The compiler imports these versions of the ONNX operator set (measured: "Unsupport onnx opset 20, need <= 19")."""

COMPILER = "what RKNN-Toolkit2 2.5.0 builds (docs/capability.md)"

CONTROL_FLOW = frozenset({"If", "Loop", "Scan"})
HOST_ONLY = {
    "Shape": "a shape is known before the model runs",
    "Size": "a shape is known before the model runs",
    "NonZero": "how much comes out depends on the data",
    "Unique": "how much comes out depends on the data",
    "Compress": "how much comes out depends on the data",
    "NonMaxSuppression": "how much comes out depends on the data",
    "Bernoulli": "random numbers",
    "Multinomial": "random numbers",
    "RandomNormal": "random numbers",
    "RandomNormalLike": "random numbers",
    "RandomUniform": "random numbers",
    "RandomUniformLike": "random numbers",
}
"""Operators that the compiler refuses, or that cannot be compared with the host's result."""

FLOAT16_INSIDE = "stays in float16 inside the quantised partition"
"""How the detail of a verdict begins when the node should not be quantised."""


SHAPING = frozenset({"Reshape", "Transpose", "exDataConvert"})
"""Native operators that bring data into the shape, layout or type that another wants."""


def judge(
    view: View,
    target: Target,
    precision: str,
    *,
    rules: Sequence[Capability] | None = None,
    exclude_nodes: Collection[str] = frozenset(),
    exclude_ops: Collection[str] = frozenset(),
) -> tuple[Verdict, ...]:
    """One verdict for each node of the view, in its order.

    Args:
        view: the normalised graph.
        target: the SoC.
        precision: int8, int16 or fp16.
        rules: what to ask, the first at the front; None asks the shipped table alone.
        exclude_nodes: names of nodes (or of their first outputs) that the user keeps off the NPU.
        exclude_ops: operators that the user keeps off the NPU.
    """
    asked = [table_rule()] if rules is None else list(rules)
    excluded = _excluded(view, exclude_nodes, exclude_ops)
    verdicts = [excluded.get(node.index) or _judge(node.facts, target, precision, asked) for node in view.nodes]
    for camera in find_cameras(view):
        if not excluded.keys() & set(camera.nodes):
            for node in camera.nodes:
                verdicts[node] = CAMERA_VERDICT
    _fuse(view, verdicts, target, precision)
    return tuple(verdicts)


def _fuse(view: View, verdicts: list[Verdict], target: Target, precision: str) -> None:
    """Nodes that the compiler makes one operator of go where that one goes, as far as the table alone has judged them.

    So Erf is the NPU's within a GELU, and a root-mean-square normalisation the CPU side's where that computes normalisations.
    """
    table = load_table(target.capability_table or target.name)
    for name, nodes in probed_patterns(view):
        if any(verdicts[node].outcome is Outcome.REFUSED for node in nodes):
            continue
        case = Case(name, note="fused with the nodes around it")
        together = _verdict(case, table, precision)
        if together.outcome is Outcome.NPU:
            moved = Outcome.NATIVE_CPU
        elif together.outcome is Outcome.NATIVE_CPU and _one_operator(table.cases[name][_column(precision)]):
            moved = Outcome.NPU
        else:
            continue
        for node in nodes:
            if verdicts[node].outcome is moved and verdicts[node] == judge_by_table(view.nodes[node].facts, target, precision):
                verdicts[node] = together


def _one_operator(finding: Finding) -> bool:
    """Whether the compiler made a single operator of what was asked, but for what brings its data into shape."""
    return len([native for native in finding.native if native not in SHAPING]) == 1


def _excluded(view: View, exclude_nodes: Collection[str], exclude_ops: Collection[str]) -> dict[int, Verdict]:
    """What the user keeps off the NPU: nodes that are named themselves, or that stand for an original that is."""
    found: dict[int, Verdict] = {}
    if not exclude_nodes and not exclude_ops:
        return found
    original = view.original
    for view_node in view.nodes:
        node, behind = view_node.node, view_node.origins
        names = {node.name, *view.wiring.makes[view_node.index], *(original.names[origin] for origin in behind)}
        names.update(name for origin in behind for name in original.wiring.makes[origin])
        names.discard("")
        if kinds := {node.op_type, *(original.op_types[origin] for origin in behind)}.intersection(exclude_ops):
            found[view_node.index] = Verdict(Outcome.REFUSED, "excluded", f"exclude_ops names {min(kinds)}", source="options")
        elif named := names.intersection(exclude_nodes):
            found[view_node.index] = Verdict(Outcome.REFUSED, "excluded", f"exclude_nodes names '{min(named)}'", source="options")
    return found


def unknown_exclusions(view: View, exclude_nodes: Collection[str], exclude_ops: Collection[str]) -> list[str]:
    """What is to stay off the NPU and is not in the model, each in a sentence with the name that may be meant.

    An operator that other models have is no mistake.
    """
    if not exclude_nodes and not exclude_ops:
        return []
    original = view.original
    types = {*original.op_types, *(node.node.op_type for node in view.nodes)}
    said = [
        f"exclude_ops: there is no operator '{name}'; {did_you_mean(name, types)}".rstrip("; ")
        for name in sorted({*exclude_ops} - types - {*RULES})
    ]
    names = {*original.names, *(name for made in original.wiring.makes for name in made)}
    for node in view.nodes:
        names.update((node.node.name or "", *view.wiring.makes[node.index]))
    names.discard("")
    return said + [
        f"exclude_nodes: the model has no node '{name}'; {did_you_mean(name, names)}".rstrip("; ")
        for name in sorted({*exclude_nodes} - names)
    ]


def table_rule() -> Capability:
    """The shipped tables as a rule, priority 0."""
    return Capability("tables", judge_by_table, description="what RKNN-Toolkit2 does with each operator, and the vendor's limits")


def stays_float(verdict: Verdict) -> bool:
    """Whether a node that the NPU takes should keep float tensors in a quantised partition."""
    return verdict.detail.startswith(FLOAT16_INSIDE)


def judge_by_table(node: NodeFacts, target: Target, precision: str) -> Verdict:
    """The shipped table's verdict; it always has one."""
    if precision != "fp16":
        node = float_form(node)
    if (early := _not_for_an_npu(node)) is not None:
        return early
    table = load_table(target.capability_table or target.name)
    try:
        case = RULES[node.op_type](node)
    except Refuse as refusal:
        return Verdict(
            Outcome.REFUSED,
            refusal.reason,
            refusal.detail,
            refusal.limit,
            "the configurations that were probed, docs/capability.md",
        )
    if (broken := _broken_limit(case, table)) is not None:
        return broken
    return _verdict(case, table, precision)


def _judge(node: NodeFacts, target: Target, precision: str, rules: Sequence[Capability]) -> Verdict:
    for rule in rules:
        if rule.op_types and node.op_type not in rule.op_types:
            continue
        verdict = rule.judge(node, target, precision)
        if verdict is not None:
            return verdict
    return Verdict(Outcome.REFUSED, "operator", f"no rule knows {node.op_type}")


def _not_for_an_npu(node: NodeFacts) -> Verdict | None:
    """Refusals that need no table: the operator cannot be meant, or its tensors are not fixed before the model runs."""
    if is_quantized_operator(node):
        return _refused("precision", f"{node.op_type} computes on codes", "precision int8 or int16")
    if (unknown := _unknown_operator(node)) is not None:
        return unknown
    if not OPSETS[0] <= node.opset <= OPSETS[1]:
        return _refused("opset", f"the model is of opset {node.opset}", f"opset in [{OPSETS[0]}, {OPSETS[1]}]")
    for tensor in (*node.inputs, *node.outputs):
        if (found := _not_fixed(tensor)) is not None:
            return found
    return None


def _unknown_operator(node: NodeFacts) -> Verdict | None:
    if node.domain not in ("", "ai.onnx"):
        return _refused("domain", f"{node.op_type} is of the domain '{node.domain}'", "operators of ONNX itself")
    if node.op_type in CONTROL_FLOW:
        return _refused("control-flow", f"{node.op_type} chooses at run time what is computed")
    if why := HOST_ONLY.get(node.op_type):
        return _refused("operator", why)
    if node.op_type not in RULES:
        return _refused("operator", f"{node.op_type} was not probed")
    return None


def _not_fixed(tensor: TensorFacts | None) -> Verdict | None:
    if tensor is None or not tensor.name:
        return None
    if tensor.shape is None:
        return _refused("shape", f"the shape of '{tensor.name}' is not static", "static shapes")
    if tensor.constant is not None:
        return None
    if 0 in tensor.shape:
        return _refused("shape", f"'{tensor.name}' is empty", "at least one element")
    return None if tensor.shape else _refused("rank", f"'{tensor.name}' is a scalar", "rank 1 or more")


def _refused(reason: str, detail: str, limit: str = "") -> Verdict:
    return Verdict(Outcome.REFUSED, reason, detail, limit, COMPILER)


def _broken_limit(case: Case, table: Table) -> Verdict | None:
    limits = table.limits.get(case.native, {})
    for quantity, figures in case.figures.items():
        limit = limits.get(quantity)
        if limit is None:
            continue
        for figure in figures:
            if not limit.holds(figure):
                outcome = Outcome.REFUSED if case.heavy else Outcome.NATIVE_CPU
                return Verdict(outcome, "limit", f"{quantity} is {figure}", limit.words(quantity), limit.source)
    return None


def _verdict(case: Case, table: Table, precision: str) -> Verdict:
    """Read the case's column."""
    if case.name not in table.cases:
        return _refused("operator", f"{case.name} was not asked for {table.soc}", "the cases of the SoC's table")
    found = table.cases[case.name][_column(precision)]
    if precision == "fp16":
        return _from_finding(case, found, "")
    notes = (FLOAT16_INSIDE if found.stays_float else "", "int16 is taken to go as int8 does" if precision == "int16" else "")
    return _from_finding(case, found, "; ".join(note for note in notes if note))


def _column(precision: str) -> str:
    """Where a table has the findings of a precision: int16 is taken to go as int8 does."""
    return "fp16" if precision == "fp16" else "int8"


def _from_finding(case: Case, finding: Finding, note: str) -> Verdict:
    detail = "; ".join(part for part in (note, case.note, finding.why) if part)
    if finding.unit == "npu":
        return Verdict(Outcome.NPU, "", detail, source=finding.source)
    if finding.unit == "mixed":
        detail = "; ".join(part for part in (detail, "the CPU side moves its data") if part)
        return Verdict(Outcome.NPU, "", detail, source=finding.source)
    if finding.unit == "cpu":
        detail = "; ".join(
            part for part in (detail, f"the vendor runs {', '.join(finding.native) or 'it'} on its CPU side") if part
        )
        return Verdict(Outcome.NATIVE_CPU, "operator", detail, source=finding.source)
    reason = "precision" if finding.unit == "unmeasured" else "operator"
    return Verdict(Outcome.REFUSED, reason, detail or "the compiler refuses it", "", finding.source)
