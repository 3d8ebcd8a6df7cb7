"""A capability rule: what this team's boards taught it about Resize."""

from __future__ import annotations

from rknn_ep.records import NodeFacts, Outcome, Target, Verdict

WIDEST = 4096


def judge_width(node: NodeFacts, target: Target, precision: str) -> Verdict | None:
    """Refuse what is too wide; None leaves the node to the next rule."""
    shape = node.outputs[0].shape
    if shape is None or not shape or shape[-1] <= WIDEST:
        return None
    return Verdict(
        Outcome.REFUSED,
        reason="limit",
        detail=f"the output is {shape[-1]} wide",
        limit=f"width <= {WIDEST}",
        source="rknn-ep-batch-percentile: our own board tests",
    )
