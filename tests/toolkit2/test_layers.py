"""The parser of the layer table takes whatever text it is given."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from rknn_ep_toolkit2.layers import read_layers

HEAD = "D RKNN: [19:00:10.439] ID   OpType  DataType Target InputShape  OutputShape  Cycles(DDR/NPU/Total)  RW(KB)  FullName"


@given(st.text())
def test_text_without_a_table_has_none(text: str) -> None:
    assert read_layers(text) is None or "Network Layer Information Table" in text


@given(st.lists(st.text(alphabet=st.characters(codec="utf-8", exclude_characters="\n\r"))))
def test_lines_that_are_no_layers_are_counted_not_raised(lines: list[str]) -> None:
    table = read_layers("\n".join(["Network Layer Information Table", "-----", HEAD, "-----", *lines]))
    assert table is not None and table.layers == ()


def test_a_build_that_died_in_the_table_gives_what_was_written() -> None:
    row = HEAD.replace("ID   OpType  DataType Target InputShape  OutputShape  Cycles(DDR/NPU/Total)  RW(KB)  FullName", "")
    row += "1    Conv    INT8     NPU    (1,3,8,8)   (1,8,8,8)    27/207/208             28      Conv:c"
    table = read_layers("\n".join(["Network Layer Information Table", "-----", HEAD, "-----", row, row[:40]]))
    assert table is not None and table.unread == 1
    (layer,) = table.layers
    assert (layer.native, layer.unit, layer.cycles, layer.kilobytes, layer.name) == ("Conv", "npu", 208, 28.0, "c")
