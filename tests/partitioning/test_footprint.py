"""The estimate of device memory: rules against sizes counted by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest
from onnx import TensorProto, helper, numpy_helper

from rknn_ep.memory import COMPILER, ESTIMATE, MARGIN, compiled_for, memory_of
from rknn_ep.partitioning.footprint import footprint

RKNN = Path(__file__).parents[1] / "artifact" / "data" / "two_convolutions_rk3588_int8.rknn"


def a_chain(channels: int = 24, group: int = 1, activation: str = "Relu") -> ir.Model:
    """Conv, activation, Conv on 32x32."""
    first = np.ones((channels, 3, 3, 3), np.float32)
    second = np.ones((channels, channels // group, 1, 1), np.float32)
    values = {name: helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, channels, 32, 32]) for name in ("a", "b", "y")}
    graph = helper.make_graph(
        [
            helper.make_node("Conv", ["x", "w", "bias"], ["a"], pads=[1, 1, 1, 1]),
            helper.make_node(activation, ["a"], ["b"]),
            helper.make_node("Conv", ["b", "v"], ["y"], group=group),
        ],
        "chain",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 32, 32])],
        [values["y"]],
        [numpy_helper.from_array(array, name) for name, array in (("w", first), ("bias", np.ones(channels, "f")), ("v", second))],
        value_info=[values["a"], values["b"]],
    )
    return ir.from_proto(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8))


GROUPS = (("b",), ("y",))
PIXELS = 32 * 32


def test_int8_rounds_channels_to_the_convolutions_unit() -> None:
    found = footprint(a_chain(), "int8", GROUPS)
    assert found.inputs == 3 * PIXELS and found.outputs == 24 * PIXELS
    # the input dies with the first convolution: 3 + 32 bytes a pixel; then 32 + 32
    assert found.internal == 64 * PIXELS
    assert found.weights == 32 * 27 + 4 * 24 + 32 * 24  # output channels rounded up to 16, bias in int32


def test_half_precision_takes_two_bytes() -> None:
    found = footprint(a_chain(), "fp16", GROUPS)
    assert found.internal == 2 * 64 * PIXELS  # 48 bytes round up to 64
    assert found.inputs == 2 * 3 * PIXELS


def test_a_depthwise_convolution_rounds_up_to_64_bytes() -> None:
    assert footprint(a_chain(group=24), "int8", GROUPS).internal == (32 + 64) * PIXELS


def test_a_hard_swish_in_half_precision_takes_three_times() -> None:
    found = footprint(a_chain(activation="HardSwish"), "fp16", GROUPS).internal
    assert found == (3 * 64 + 64) * PIXELS


@pytest.mark.parametrize(("precision", "pixel"), [("int8", 3 + 4 * 32 + 32), ("fp16", 3 * 64 + 64)])
def test_a_silu_takes_more_than_it_holds(precision: str, pixel: int) -> None:
    model = a_chain(activation="Relu")
    relu = next(node for node in model.graph if node.op_type == "Relu")
    gate = ir.Node(
        "", "Sigmoid", [relu.inputs[0]], outputs=[ir.Value(name="g", shape=relu.outputs[0].shape, type=relu.outputs[0].type)]
    )
    model.graph.insert_before(relu, gate)
    product = ir.Node(
        "",
        "Mul",
        [relu.inputs[0], gate.outputs[0]],
        outputs=[ir.Value(name="s", shape=gate.outputs[0].shape, type=gate.outputs[0].type)],
    )
    model.graph.insert_before(relu, product)
    relu.outputs[0].replace_all_uses_with(product.outputs[0])
    model.graph.remove(relu, safe=True)
    # int8: picture, four times the rounded result, and the convolution's beside it; fp16: three times, then with what follows.
    assert footprint(model, precision, (("s",), ("y",))).internal == pixel * PIXELS


def test_what_lies_inside_a_native_operator_is_not_stored() -> None:
    apart = (("a",), ("b",), ("y",))
    # 80 bytes a pixel round up to 96 behind a convolution and to 80 behind anything else
    assert footprint(a_chain(40), "fp16", apart).internal == (96 + 80) * PIXELS
    assert footprint(a_chain(40), "fp16", GROUPS).internal == (96 + 96) * PIXELS


def test_a_quantised_model_counts_as_its_float_form(tmp_path: Path) -> None:
    import onnx

    import rknn_ep
    from rknn_ep.graph import load_model

    path, data, quantized = tmp_path / "m.onnx", tmp_path / "d.npz", tmp_path / "q.onnx"
    model = a_chain(64)
    onnx.save(ir.to_proto(model), path)
    np.savez(data, x=np.random.default_rng(0).normal(0, 1, (8, 3, 32, 32)).astype(np.float32))
    rknn_ep.quantize(path, quantized, calibration=str(data), min_partition_macs=0, calibration_method="minmax")
    plain, coded = footprint(model, "int8", GROUPS), footprint(load_model(quantized), "int8", GROUPS)
    assert (coded.internal, coded.inputs, coded.outputs) == (plain.internal, plain.inputs, plain.outputs)
    # A zero bias that the quantiser adds to the second convolution: 4 bytes a channel.
    assert plain.weights <= coded.weights <= plain.weights + 4 * 64


def test_memory_of_a_rknn_is_the_compilers(tmp_path: Path) -> None:
    need = memory_of(RKNN)
    assert need.source == COMPILER and need.parts[0].target == "rk3588"
    assert need.weights > 0 and need.parts[0].internal > 0
    assert need.total(3) == need.weights + 3 * need.per_context
    assert compiled_for(RKNN) == {"rk3588": True}


def test_memory_of_a_model_is_estimated(tmp_path: Path) -> None:
    import onnx

    path = tmp_path / "m.onnx"
    onnx.save(ir.to_proto(a_chain(64)), path)
    need = memory_of(path, {"target": "rk3588", "min_partition_macs": 0})
    assert need.source == ESTIMATE and [part.name for part in need.parts] == ["rknn_0"]
    assert need.fits_domain and need.surely_fits_domain
    int8 = memory_of(path, {"target": "rv1106", "min_partition_macs": 0})  # no fp16 there, and no data is asked for
    assert int8.parts[0].inputs * 2 == need.parts[0].inputs


def test_an_estimate_near_the_limit_is_not_sure_to_fit() -> None:
    from rknn_ep.memory import DOMAIN_BYTES, Memory, Part

    near = int(DOMAIN_BYTES / MARGIN) + 1
    estimated, compiled = (Memory((Part("rknn_0", "rk3588", near, 0, 0, 0, source),)) for source in (ESTIMATE, COMPILER))
    assert estimated.fits_domain and not estimated.surely_fits_domain
    assert compiled.surely_fits_domain
    assert not Memory((Part("rknn_0", "rk3588", DOMAIN_BYTES + 1, 0, 0, 0, COMPILER),)).fits_domain


@pytest.mark.parametrize("name", ["model.onnx", "none.rknn"])
def test_a_file_that_is_not_there(tmp_path: Path, name: str) -> None:
    from rknn_ep.errors import ArtifactError

    with pytest.raises(ArtifactError, match="cannot be read"):
        memory_of(tmp_path / name)
