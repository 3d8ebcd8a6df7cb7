"""Which operators of a quantised partition compute on float16, and what they store so."""

from __future__ import annotations

import onnx
import pytest
from onnx import TensorProto

from tests.islands import ISLANDS, Island
from tests.simulator import bundles


@pytest.mark.parametrize("island", ISLANDS, ids=lambda island: island.name)
def test_a_float16_operator_reads_and_stores_float16_and_an_integer_one_only_codes(island: Island) -> None:
    entries = bundles.compiled(island.model(), "int8", groups=island.groups).entries
    for name in ("simulation.onnx", "simulation_exact.onnx"):
        if name in entries:
            nodes = onnx.load_model_from_string(entries[name]).graph.node
            down = [one for one in nodes if one.op_type == "Cast" and one.attribute[0].i == TensorProto.FLOAT16]
            assert {one.input[0] for one in down} == island.stored
