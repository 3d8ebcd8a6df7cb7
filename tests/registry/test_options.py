"""Provider options: every mistake is answered with what was meant."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rknn_ep.errors import OptionError
from rknn_ep.options import Options
from rknn_ep.shapes import parse_input_shapes


def test_defaults() -> None:
    options = Options.parse({})
    assert options == Options()
    assert options.as_text() == {}


@pytest.mark.parametrize(
    ("given_options", "message"),
    [
        ({"targt": "rk3588"}, "unknown option 'targt': did you mean 'target'"),
        ({"input_shape": "x:1"}, "did you mean 'input_shapes'"),
        ({"target": "rk3589"}, "unknown target 'rk3589': did you mean 'rk3588'"),
        ({"device": "simulatr"}, "option 'device' does not take 'simulatr': did you mean 'simulator'"),
        ({"calibration_method": "kl"}, "option 'calibration_method' does not take 'kl'"),
        ({"precision": "int9"}, "option 'precision' does not take 'int9': did you mean 'int8'"),
        ({"simulation": "exactly"}, "did you mean 'exact'"),
        ({"color": "rbg"}, "option 'color' does not take 'rbg'"),
        ({"strict": "maybe"}, "option 'strict' is 0 or 1, not 'maybe'"),
        ({"contexts": "0"}, "option 'contexts' is at least 1, not 0"),
        ({"contexts": "65"}, "option 'contexts' is at most 64, not 65"),
        ({"simulation_threads": "100000"}, "option 'simulation_threads' is at most 1024"),
        ({"contexts": "two"}, "option 'contexts' is a whole number, not 'two'"),
        ({"min_partition_macs": "-1"}, "at least 0"),
        ({"mean": "1,two"}, "option 'mean' is a list of numbers"),
        ({"mean": "nan"}, "option 'mean' takes finite numbers"),
        ({"std": "58,0,57"}, "option 'std' divides: its numbers are above 0"),
        ({"core_mask": "some"}, "option 'core_mask' is auto, all or a bit mask"),
        ({"acme.key": "1"}, "option 'acme.key' is for a plugin 'acme' that is not installed"),
        ({"input_shapes": "images"}, "'images' is neither name:1,3,480,480 nor dimension=480"),
        ({"input_shapes": "x:1,0"}, "0 is not a positive dimension"),
        ({"input_shapes": ":1,3"}, "is neither"),
        ({"input_shapes": "x=1,3,32,32"}, "did you mean 'x:1,3,32,32'? A shape follows ':', one dimension '='"),
        ({"input_shapes": "n=two"}, "input_shapes: 'n=two': two is not a positive dimension"),
        ({"input_shapes": "x:1,,3"}, "input_shapes: 'x:1,,3': nothing is not a positive dimension"),
    ],
)
def test_a_mistake_is_named_with_what_was_meant(given_options: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError) as caught:
        Options.parse(given_options)
    assert message in str(caught.value)


def test_every_valid_name_is_listed_where_nothing_is_near() -> None:
    with pytest.raises(OptionError, match="Valid: auto, board, simulator"):
        Options.parse({"device": "xyzzy"})


@pytest.mark.parametrize(
    ("value", "shapes", "dimensions"),
    [
        ("x:1,3,480,480", {"x": (1, 3, 480, 480)}, {}),
        (" x:1, 3,4 ; y:2 ", {"x": (1, 3, 4), "y": (2,)}, {}),
        ("input:0:1,3", {"input:0": (1, 3)}, {}),
        ("height=480;p2o.DynamicDimension.0=1", {}, {"height": 480, "p2o.DynamicDimension.0": 1}),
        ("a:b=5", {}, {"a:b": 5}),
        ({"x": [1, 3], "height": 480}, {"x": (1, 3)}, {"height": 480}),
        ({"x": "1,3"}, {"x": (1, 3)}, {}),
        ("", {}, {}),
    ],
)
def test_input_shapes_take_inputs_and_dimensions(value: Any, shapes: dict[str, Any], dimensions: dict[str, int]) -> None:
    assert parse_input_shapes(value) == (shapes, dimensions)


def test_a_program_may_give_values_of_their_own_type() -> None:
    options = Options.parse(
        {
            "per_channel": False,
            "contexts": 3,
            "mean": (1, 2.5, 3),
            "calibration": Path("photos"),
            "exclude_ops": ["Softmax", "Resize"],
            "input_shapes": {"x": (1, 3)},
            "strict": None,
        }
    )
    assert options.per_channel is False
    assert options.contexts == 3
    assert options.mean == (1.0, 2.5, 3.0)
    assert options.exclude_ops == {"Softmax", "Resize"}


names = st.text("abcXYZ_./0", min_size=1, max_size=8)
some_options = st.fixed_dictionaries(
    {},
    optional={
        "target": st.sampled_from(["rk3588", "RK3576", "rv1106"]),
        "precision": st.sampled_from(["auto", "int8", "int16", "fp16"]),
        "input_shapes": st.dictionaries(names, st.lists(st.integers(1, 9999), min_size=1, max_size=5), max_size=3),
        "mean": st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=3),
        "std": st.lists(st.floats(0.001, 1e6), min_size=1, max_size=3),
        "per_channel": st.booleans(),
        "exclude_nodes": st.sets(names, max_size=3),
        "min_partition_macs": st.integers(0, 10**12),
        "cache_dir": st.just("/somewhere/else"),
        "contexts": st.integers(1, 64),
        "core_mask": st.sampled_from(["auto", "all", "0x7", "3"]),
        "strict": st.booleans(),
        "simulator.key": st.text(max_size=5),
    },
)


@given(some_options)
def test_options_survive_the_way_through_text(given_options: dict[str, Any]) -> None:
    options = Options.parse(given_options)
    text = options.as_text()
    assert all(isinstance(value, str) for value in text.values())
    assert Options.parse(text) == options


def test_the_command_line_has_a_flag_for_every_option() -> None:
    from rknn_ep.cli.flags import FLAGS

    options = {item.name for item in fields(Options)} - {"dimensions", "plugin"}
    assert {flag.option for flag in FLAGS} == options
    assert len(FLAGS) == len(options)
