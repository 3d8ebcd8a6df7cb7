"""LSTM, GRU, RNN."""

from __future__ import annotations

from rknn_ep.partitioning.rules.common import (
    Case,
    Refuse,
    Rule,
    computed,
    data,
    fixed,
    float_types,
    given,
    integer,
    ranked,
    shape,
    text,
)
from rknn_ep.records import NodeFacts


def recurrent(node: NodeFacts) -> Case:
    """Default activations, sequence first; the states may come in and go out. The compiler dies on computed weights."""
    float_types(node)
    sequence, batch, size = shape(data(node)) if ranked(data(node), 3) else (0, 0, 0)
    if computed(node, 1, 2):
        return Case("LSTM_dynW" if node.op_type == "LSTM" else "GRU_dynW")
    fixed(node, 3, 7)
    if given(node, 4) is not None:
        raise Refuse("attribute", "sequence_lens is given", "no sequence_lens")
    for name in ("activations", "activation_alpha", "activation_beta", "clip"):
        if node.attributes.get(name) and not _default(node, name):
            raise Refuse("attribute", f"{name} is set", f"{name} as by default")
    if integer(node, "layout", 0) or integer(node, "input_forget", 0):
        raise Refuse("attribute", "layout or input_forget is set", "neither is set")
    direction = text(node, "direction", "forward")
    figures = {"sequence": (sequence,), "batch": (batch,), "input": (size,), "hidden": (integer(node, "hidden_size", 0),)}
    if node.op_type == "RNN":
        return Case("RNN", "", figures, heavy=True)
    if node.op_type == "LSTM":
        name = {"bidirectional": "LSTM_bi", "reverse": "LSTM_reverse"}.get(direction, "LSTM")
        return Case(name, "LSTM", figures, heavy=True)
    if direction == "bidirectional" and batch > 1:
        return Case("GRU_bi_batch", "GRU", figures, heavy=True)
    name = {"bidirectional": "GRU_bi", "reverse": "GRU_reverse"}.get(direction, "GRU")
    return Case(f"{name}{'_lbr' if integer(node, 'linear_before_reset', 0) else ''}", "GRU", figures, heavy=True)


def _default(node: NodeFacts, name: str) -> bool:
    usual = {"LSTM": ["Sigmoid", "Tanh", "Tanh"], "GRU": ["Sigmoid", "Tanh"], "RNN": ["Tanh"]}[node.op_type]
    return name == "activations" and list(node.attributes[name]) in (usual, usual * 2)


RULES: dict[str, Rule] = dict.fromkeys(("LSTM", "GRU", "RNN"), recurrent)
