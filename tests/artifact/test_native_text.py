"""The key=value lines that native code reads."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rknn_ep.artifact.native_text import NativeDescription, SocFacts, TensorDescription, format_lines, parse_lines
from rknn_ep.errors import ArtifactError
from tests.artifact.mutations import SEEDS, mutated

KEYS = st.from_regex(r"[A-Za-z0-9._-]{1,20}", fullmatch=True)
VALUES = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
FLOATS = st.floats(allow_nan=False, allow_infinity=False, width=32)
TENSORS = st.builds(
    TensorDescription,
    name=VALUES,
    dims=st.lists(st.integers(0, 2**31 - 1), max_size=6).map(tuple),
    dtype=st.sampled_from(["FLOAT", "INT64", "BOOL"]),
    qtype=st.sampled_from(["NONE", "INT8"]),
    scale=FLOATS,
    zero_point=st.integers(-32768, 32767),
)
DESCRIPTIONS = st.builds(
    NativeDescription,
    target=VALUES,
    precision=st.sampled_from(["int8", "fp16"]),
    partition=VALUES,
    inputs=st.lists(TENSORS, max_size=3).map(tuple),
    outputs=st.lists(TENSORS, max_size=3).map(tuple),
    cores=st.integers(1, 3),
    core_masks=st.lists(st.integers(0, 7), max_size=5).map(tuple),
    copying_api=st.booleans(),
    sdk=VALUES,
    weight_bytes=st.integers(0, 2**40),
    also=st.sampled_from([(), (SocFacts("rk3576", 2, (0, 1, 2, 3)), SocFacts("rv1106", copying_api=False))]),
    extra=st.dictionaries(KEYS.map(lambda key: f"x.{key}"), VALUES, max_size=3),
)


def test_one_description_serves_several_socs_and_no_other() -> None:
    both = NativeDescription(
        "rk3588", "int8", "rknn_0", (), (), 3, (0, 1, 2, 4, 3, 7), also=(SocFacts("rv1106", copying_api=False),)
    )
    assert both.targets == ("rk3588", "rv1106")
    small = both.for_target("rv1106")
    assert (small.target, small.cores, small.core_masks, small.copying_api, small.also) == ("rv1106", 1, (), False, ())
    assert both.for_target("rk3588").core_masks == both.core_masks
    with pytest.raises(ArtifactError, match="compiled for rk3588, rv1106, not for rk3576"):
        both.for_target("rk3576")


@given(st.dictionaries(KEYS, VALUES, max_size=8))
def test_lines_come_back_whatever_the_values_hold(values: dict[str, str]) -> None:
    text = format_lines(values)
    assert parse_lines(text) == values
    assert text.count("\n") == len(values) and "\0" not in text and "\r" not in text


@settings(max_examples=30, deadline=None)
@given(DESCRIPTIONS)
def test_descriptions_come_back(description: NativeDescription) -> None:
    assert NativeDescription.from_text(description.to_text()) == description


DESCRIPTION = NativeDescription(
    "rk3588",
    "int8",
    "rknn_0",
    (TensorDescription("x", (1, 3, 480, 480), "FLOAT", "INT8", 0.0078125, -1),),
    (TensorDescription("y=%", (), "INT64"), TensorDescription("z", (7,), "BOOL")),
    cores=3,
    core_masks=(1, 2, 4, 3, 7),
)


@settings(max_examples=100, deadline=None)
@given(SEEDS)
def test_thousands_of_mutated_lines_give_a_description_or_artifact_error(seed: int) -> None:
    for changed in mutated(DESCRIPTION.to_text().encode(), seed):
        try:
            read = NativeDescription.from_text(changed.decode("utf-8", "replace"))
        except ArtifactError:
            continue
        assert all(math.isfinite(tensor.scale) for tensor in read.inputs)


@given(st.text(max_size=200))
def test_arbitrary_text_is_artifact_error(text: str) -> None:
    with pytest.raises(ArtifactError):
        NativeDescription.from_text(text)


def test_another_format_is_refused_naming_both_and_the_writer() -> None:
    text = NativeDescription("rk3588", "int8", "rknn_0", (), (), sdk="9.9.9").to_text().replace("format=1", "format=2")
    with pytest.raises(ArtifactError, match=r"format 2, written by rknn_ep 9\.9\.9; this version reads format 1"):
        NativeDescription.from_text(text, "model.onnx")


def test_an_extra_key_may_not_hide_a_fixed_one() -> None:
    with pytest.raises(ArtifactError, match="target"):
        NativeDescription("rk3588", "int8", "rknn_0", (), (), extra={"target": "rk3566"}).to_text()


@pytest.mark.parametrize("key", ["", "a b", "a=b", "ä", "a\n"])
def test_keys_that_the_lines_cannot_hold_are_refused(key: str) -> None:
    with pytest.raises(ArtifactError):
        format_lines({key: ""})
