"""Where Q/DQ pairs go, which tensors share a scale, and that ONNX Runtime fuses what we write."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest

from rknn_ep.errors import QuantizationError
from rknn_ep.quantization.metrics import cosine
from rknn_ep.quantization.qdq import quantize, scheme_for, tensors_to_observe
from tests.quantization.helpers import Array, model_of, operators, pairs, quantized, run, session

RANDOM = np.random.default_rng(7)


def weight(*shape: int) -> Array:
    return RANDOM.normal(0, 1 / np.sqrt(np.prod(shape[1:])), shape).astype(np.float32)


def picture(*shape: int) -> Array:
    return RANDOM.normal(0, 1, shape).astype(np.float32)


CONV = "Conv<pads=[1,1,1,1]>"


@pytest.mark.parametrize("activation", ["Relu(c)", "Clip(c, zero, six)"])
def test_an_activation_fused_with_its_conv_gets_one_rounding(activation: str) -> None:
    model = model_of(
        f"g (float[1,4,8,8] x) => (float[1,4,8,8] y) {{ c = {CONV}(x, w) r = {activation} y = {CONV}(r, w) }}",
        w=weight(4, 4, 3, 3),
        zero=np.float32(0),
        six=np.float32(6),
    )
    made = quantized(model, [{"x": picture(1, 4, 8, 8) * 20}]).model
    assert set(pairs(made)) == {"x", "r", "y_unrounded"}


def test_the_given_model_is_left_as_it_is() -> None:
    model = model_of(f"g (float[1,4,8,8] x) => (float[1,4,8,8] y) {{ y = {CONV}(x, w) }}", w=weight(4, 4, 3, 3))
    before = ir.to_proto(model).SerializeToString(deterministic=True)
    quantized(model, [{"x": picture(1, 4, 8, 8)}])
    assert ir.to_proto(model).SerializeToString(deterministic=True) == before


@pytest.mark.parametrize(
    "mover",
    [
        "MaxPool<kernel_shape=[2,2], strides=[2,2]>(c)",
        "AveragePool<kernel_shape=[3,3]>(c)",
        "AveragePool<kernel_shape=[2,2], pads=[1,1,1,1]>(c)",
        "Transpose<perm=[0,2,3,1]>(c)",
        "Reshape(c, shape)",
        "Flatten(c)",
        "Slice(c, starts, ends)",
        'Resize<mode="nearest">(c, , scales)',
        "Pad(c, pads)",
        "DepthToSpace<blocksize=2>(c)",
    ],
)
def test_what_only_moves_or_averages_an_odd_number_keeps_the_scale(mover: str) -> None:
    model = model_of(
        f"g (float[1,4,8,8] x) => (y) {{ c = {CONV}(x, w) y = {mover} }}",
        w=weight(4, 4, 3, 3),
        shape=np.array([1, 2, 128]),
        starts=np.array([0, 1]),
        ends=np.array([1, 3]),
        scales=np.array([1, 1, 2, 2], np.float32),
        pads=np.array([0, 0, 1, 1, 0, 0, 1, 1]),
    )
    assert "y" not in tensors_to_observe(model)[0]
    made = quantized(model, [{"x": picture(1, 4, 8, 8)}]).model
    assert pairs(made)["c"] == pairs(made)["y_unrounded"]


@pytest.mark.parametrize(
    ("average", "widened"),
    [
        ("AveragePool<kernel_shape=[2,2], strides=[2,2]>(c)", 257 / 256),
        ("AveragePool<kernel_shape=[2,3], pads=[1,1,0,1], count_include_pad=1>(c)", 385 / 384),
    ],
)
def test_an_average_of_an_even_number_stays_off_the_borders_between_codes(average: str, widened: float) -> None:
    model = model_of(f"g (float[1,4,8,8] x) => (y) {{ c = {CONV}(x, w) y = {average} }}", w=weight(4, 4, 3, 3))
    assert "y" not in tensors_to_observe(model)[0]
    made = pairs(quantized(model, [{"x": picture(1, 4, 8, 8)}]).model)
    assert made["y_unrounded"] == (pytest.approx(made["c"][0] * widened, rel=1e-6), made["c"][1])


@pytest.mark.parametrize("average", ["GlobalAveragePool(c)", "ReduceMean<axes=[2,3]>(c)"])
def test_an_average_over_a_plane_has_a_scale_of_its_own(average: str) -> None:
    model = model_of(f"g (float[1,4,8,8] x) => (y) {{ c = {CONV}(x, w) y = {average} }}", w=weight(4, 4, 3, 3))
    assert "y" in tensors_to_observe(model)[0]
    samples = [{"x": picture(1, 4, 8, 8)} for _ in range(4)]
    made = quantized(model, samples).model
    (input_scale, _), (scale, _) = pairs(made)["c"], pairs(made)["y_unrounded"]
    assert scale < input_scale / 2
    # A sum of 64 codes is rescaled by p / q with an odd q: no mean is half way between two codes.
    rescaled = Fraction(float(input_scale) / (64 * float(scale))).limit_denominator(511)
    assert rescaled.denominator % 2 == 1
    assert float(rescaled) == pytest.approx(float(input_scale) / (64 * float(scale)), rel=1e-6)
    # Nothing is clipped, and half a step is the largest error besides what the convolution's own rounding shifts.
    error = np.abs(run(made, samples[0]) - run(model, samples[0]))
    assert error.max() <= 0.5 * scale + 0.5 * input_scale


def concat(last: str, second: float) -> ir.Model:
    return model_of(
        f"g (float[1,4,8,8] x) => (y) {{ a = {CONV}(x, w) b = {CONV}(x, v) j = Concat<axis=1>(a, b) y = {last} }}",
        w=weight(4, 4, 3, 3),
        v=weight(4, 4, 3, 3) * np.float32(second),
        u=weight(4, 8, 3, 3),
    )


def test_concat_inputs_of_a_kind_share_one_scale() -> None:
    made = quantized(concat(f"{CONV}(j, u)", 1.5), [{"x": picture(1, 4, 8, 8)}]).model
    assert pairs(made)["a"] == pairs(made)["b"] == pairs(made)["j"]


def test_an_average_in_a_concat_shares_its_scale_and_its_input_moves() -> None:
    text = f"""g (float[1,4,8,8] x) => (float[1,4,4,4] y) {{
        a = {CONV}(x, w) p = AveragePool<kernel_shape=[2,2], strides=[2,2]>(a) b = {CONV}(p, w)
        j = Concat<axis=1>(p, b) y = {CONV}(j, u) }}"""
    made = pairs(quantized(model_of(text, w=weight(4, 4, 3, 3), u=weight(4, 8, 3, 3)), [{"x": picture(1, 4, 8, 8)}]).model)
    assert made["p"] == made["b"] == made["j"]
    assert made["a"] == (pytest.approx(made["p"][0] * 256 / 257, rel=1e-6), made["p"][1])


@pytest.mark.parametrize(
    ("body", "alike"),
    [
        (f"c = {CONV}(x, w) a = ReduceMean<axes=[1]>(c) m = ReduceMax<axes=[1]>(c) j = Concat<axis=1>(a, m)", "camj"),
        (f"c = {CONV}(x, w) m = ReduceMax<axes=[1]>(c) a = ReduceMean<axes=[1]>(c) j = Concat<axis=1>(m, a)", "camj"),
        (f"b = {CONV}(x, v) c = {CONV}(x, w) a = ReduceMean<axes=[1]>(c) j = Concat<axis=1>(a, b)", "abj"),
        (f"c = {CONV}(x, w) a = ReduceMean<axes=[1]>(c) b = {CONV}(x, v) j = Concat<axis=1>(b, a)", "abj"),
        (
            f"b = {CONV}(x, v) c = {CONV}(x, v) a = ReduceMean<axes=[1]>(b) d = ReduceMean<axes=[1]>(c)"
            "k = Concat<axis=1>(a, c) l = Concat<axis=1>(d, b) j = Add(k, l)",
            "ack",
        ),
    ],
    ids=["attention over channels", "the maximum first", "a convolution before it", "a convolution behind it", "two in a circle"],
)
def test_whoever_shares_an_averages_scale_in_a_concat_has_the_very_same(body: str, alike: str) -> None:
    model = model_of(
        f"g (float[1,4,8,8] x) => (y) {{ {body} y = Conv<pads=[1,1,1,1]>(j, u) }}",
        w=weight(4, 4, 3, 3),
        v=weight(1, 4, 3, 3),
        u=weight(2, 2, 3, 3),
    )
    scales = pairs(quantized(model, [{"x": picture(1, 4, 8, 8)} for _ in range(4)]).model)
    assert len({scales[name] for name in alike}) == 1


def test_concat_inputs_of_different_kinds_keep_their_own_where_others_read_them() -> None:
    model = model_of(
        f"g (float[1,4,8,8] x) => (y) {{ a = {CONV}(x, w) b = {CONV}(x, v) j = Concat<axis=1>(a, b) "
        f"c = {CONV}(j, u) y = Add(c, a) }}",
        w=weight(4, 4, 3, 3),
        v=weight(4, 4, 3, 3) * np.float32(100),
        u=weight(4, 8, 3, 3),
    )
    made = quantized(model, [{"x": picture(1, 4, 8, 8)}]).model
    assert pairs(made)["a"] != pairs(made)["b"] == pairs(made)["j"]


def test_what_only_a_concat_reads_is_rounded_once_on_its_scale() -> None:
    model, x = concat(f"{CONV}(j, u)", 100), {"x": picture(1, 4, 8, 8)}
    made = quantized(model, [x]).model
    assert pairs(made)["a"] == pairs(made)["b"] == pairs(made)["j"]
    assert cosine(run(model, x), run(made, x)) > 0.999


@pytest.mark.parametrize("last", ["Identity(j)", "Transpose<perm=[0,2,3,1]>(j)"])
def test_an_output_concat_of_very_different_ranges_stays_float_with_a_warning(last: str) -> None:
    result = quantized(concat(last, 100), [{"x": picture(1, 4, 8, 8)}])
    (warning,) = result.notes["warnings"]
    assert warning["kind"] == "concat-of-different-ranges" and warning["tensor"] == "j"
    assert set(pairs(result.model)) == {"x", "a", "b"}
    x = {"x": picture(1, 4, 8, 8)}
    small = cosine(run(concat_float := concat(last, 100), x), run(quantize_again(concat_float, x), x))
    assert small > 0.999


def quantize_again(model: ir.Model, sample: dict[str, Array]) -> ir.Model:
    return quantized(model, [sample]).model


def test_a_positive_factor_rounds_nothing() -> None:
    model = model_of(
        f"g (float[1,4,8,8] x) => (float[1,4,8,8] y) {{ c = {CONV}(x, w) m = Mul(c, factor) y = {CONV}(m, w) }}",
        w=weight(4, 4, 3, 3),
        factor=np.float32(0.37),
    )
    made = quantized(model, [{"x": picture(1, 4, 8, 8)}]).model
    c, m = pairs(made)["c"], pairs(made)["m"]
    assert m[1] == c[1] and m[0] == pytest.approx(0.37 * c[0], rel=1e-6)


def test_a_shift_keeps_the_codes_where_the_range_allows_it() -> None:
    model = model_of(
        f"g (float[1,4,8,8] x) => (float[1,4,8,8] y) {{ c = {CONV}(x, w) m = Add(c, shift) y = {CONV}(m, w) }}",
        w=weight(4, 4, 3, 3) * 5,
        shift=np.float32(-1.7),
    )
    made = quantized(model, [{"x": picture(1, 4, 8, 8)}]).model
    c, m = pairs(made)["c"], pairs(made)["m"]
    assert m[0] == c[0] and (m[1] - c[1]) * c[0] == pytest.approx(1.7, rel=1e-5)


def test_softmax_and_normalisation_stay_float_and_logits_reach_them_unrounded() -> None:
    model = model_of(
        "g (float[4,16] x) => (float[4,16] y) { n = LayerNormalization(x, s) m = MatMul(n, w) a = Add(m, b) y = Softmax(a) }",
        s=np.ones(16, np.float32),
        w=weight(16, 16),
        b=weight(16, 1).reshape(16),
    )
    made = quantized(model, [{"x": picture(4, 16)}]).model
    assert set(pairs(made)) == {"n"}
    bias = next(value for name, value in made.graph.initializers.items() if name == "b_quantized")
    assert bias.dtype == ir.DataType.INT32


def test_a_float_group_keeps_its_inner_tensors_float() -> None:
    model = model_of(
        "g (float[4,16] x) => (float[4,16] y) { m = MatMul(x, w) d = Div(m, root) e = Erf(d) "
        "p = Add(e, one) q = Mul(m, p) g = Mul(q, half) y = MatMul(g, w) }",
        w=weight(16, 16),
        root=np.float32(1.41421),
        one=np.float32(1),
        half=np.float32(0.5),
    )
    made = quantized(model, [{"x": picture(4, 16)}], groups=[("m",), ("g",), ("y",)]).model
    assert set(pairs(made)) == {"x", "g", "y_unrounded"}


def test_products_of_two_activations_quantise_both() -> None:
    model = model_of("g (float[2,4,8] a, float[2,8,4] b) => (float[2,4,4] y) { y = MatMul(a, b) }")
    made = quantized(model, [{"a": picture(2, 4, 8), "b": picture(2, 8, 4)}]).model
    assert set(pairs(made)) == {"a", "b", "y_unrounded"}


def test_int16_runs_and_is_nearly_exact() -> None:
    model = model_of(
        f"g (float[1,4,8,8] x) => (float[1,4,8,8] y) {{ c = {CONV}(x, w, b) r = Relu(c) y = {CONV}(r, w) }}",
        w=weight(4, 4, 3, 3),
        b=np.array([1, -30, 1000, 0], np.float32),
    )
    x = {"x": picture(1, 4, 8, 8)}
    made = quantized(model, [x], scheme=scheme_for("int16")).model
    assert {node.domain for node in made.graph if node.op_type == "QuantizeLinear"} == {"com.microsoft"}
    assert made.graph.opset_imports[""] == 17
    for optimized in (False, True):
        difference = np.abs(run(made, x, optimized) - run(model, x))
        assert difference.max() < 1e-3 * np.abs(run(model, x)).max()


@pytest.mark.parametrize("per_channel", [True, False])
def test_an_int16_bias_that_32_bits_would_cut_off_gets_a_wider_scale_and_nothing_else_does(per_channel: bool) -> None:
    bias = np.array([1, -30, 1000, 0], np.float32)
    model = model_of(f"g (float[1,4,8,8] x) => (float[1,4,8,8] y) {{ y = {CONV}(x, w, b) }}", w=weight(4, 4, 3, 3), b=bias)
    x = {"x": picture(1, 4, 8, 8)}
    made = quantized(model, [x], scheme=scheme_for("int16", per_channel))
    assert made.notes["widened_biases"] == 1
    conv = next(node for node in made.model.graph if node.op_type == "Conv")
    activation, weights, scales = (real.producer().inputs[1].const_value.numpy() for real in conv.inputs)
    codes = conv.inputs[2].producer().inputs[0].const_value.numpy()
    product = np.broadcast_to(activation * weights, bias.shape).astype(np.float64)
    fits = np.abs(bias) / product <= 2**30  # half of the range is left to the sum
    assert fits[3] and not fits[2]  # the case is one where it matters
    assert np.abs(codes.astype(np.int64)).max() < 2**31 - 1
    assert np.abs(codes * scales.astype(np.float64) - bias).max() <= 1e-6 * 1000  # float32 of the largest
    if per_channel:
        np.testing.assert_allclose(scales[fits], product[fits], rtol=1e-6)  # a channel that fits keeps the product's scale
    for optimized in (False, True):
        # 1e-4 of 1000 is three steps of the 16-bit output
        assert np.abs(run(made.model, x, optimized) - run(model, x)).max() < 1e-4 * 1000


def test_what_is_missing_is_named() -> None:
    model = model_of(f"g (float[1,4,8,8] x) => (float[1,4,8,8] y) {{ y = {CONV}(x, w) }}", w=weight(4, 4, 3, 3))
    with pytest.raises(QuantizationError, match="tensor 'x' was not calibrated"):
        quantize(model, {})
    old = model_of(f"g (float[1,4,8,8] x) => (float[1,4,8,8] y) {{ y = {CONV}(x, w) }}", opset=11, w=weight(4, 4, 3, 3))
    with pytest.raises(QuantizationError, match="opset 11"):
        quantize(old, {})
    with pytest.raises(QuantizationError, match="fp16"):
        scheme_for("fp16")


MODEL_OF_EVERYTHING = f"""
g (float[1,8,16,16] x) => (float[1,10] y) {{
    p = Pad(x, pads)
    c1 = Conv<strides=[2,2]>(p, w, b)
    r1 = Clip(c1, zero, six)
    c2 = Conv<pads=[1,1,1,1], group=8>(r1, d, b)
    s = Sigmoid(c2)
    silu = Mul(c2, s)
    a = Add(silu, r1)
    m = MaxPool<kernel_shape=[3,3], pads=[1,1,1,1]>(a)
    j = Concat<axis=1>(a, m)
    z = Resize<mode="nearest", coordinate_transformation_mode="asymmetric", nearest_mode="floor">(j, , scales)
    c3 = {CONV}(z, w2, b)
    l = LeakyRelu<alpha=0.1>(c3)
    g = GlobalAveragePool(l)
    f = Flatten(g)
    y = Gemm<transB=1>(f, fc, fb)
}}"""


def everything() -> ir.Model:
    return model_of(
        MODEL_OF_EVERYTHING,
        pads=np.array([0, 0, 0, 0, 0, 0, 1, 1]),
        w=weight(8, 8, 3, 3) * 3,
        b=weight(8, 1).reshape(8),
        zero=np.float32(0),
        six=np.float32(6),
        d=weight(8, 1, 3, 3),
        scales=np.array([1, 1, 2, 2], np.float32),
        w2=weight(8, 16, 3, 3),
        fc=weight(10, 8),
        fb=weight(10, 1).reshape(10),
    )


def test_no_float_island_but_silu_is_left_after_onnxruntime_has_optimised(tmp_path: Path) -> None:
    model = everything()
    samples = [{"x": picture(1, 8, 16, 16)} for _ in range(4)]
    made = quantized(model, samples).model
    session(made, dump=str(tmp_path / "optimised.onnx"))
    left = operators(str(tmp_path / "optimised.onnx"))
    assert left["QLinearConv"] == 3 and left["QGemm"] == 1
    assert left["QLinearAdd"] == left["QLinearConcat"] == 1
    assert left["QLinearLeakyRelu"] == left["QLinearGlobalAveragePool"] == 1
    # The model's input and output, and those around SiLU: one operator of the NPU, which rounds once.
    assert (left["QuantizeLinear"], left["DequantizeLinear"], left["Sigmoid"], left["Mul"]) == (2, 3, 1, 1)
    assert not left.keys() & {"Conv", "Add", "Pad", "Clip", "Gemm", "LeakyRelu"}


@pytest.mark.parametrize("per_channel", [True, False])
def test_optimised_and_unoptimised_agree_and_are_near_the_float_model(per_channel: bool) -> None:
    model = everything()
    samples = [{"x": picture(1, 8, 16, 16)} for _ in range(8)]
    made = quantized(model, samples, "mmse", scheme_for("int8", per_channel)).model
    x = {"x": picture(1, 8, 16, 16)}
    assert cosine(run(made, x), run(made, x, optimized=False)) > 0.9995
    assert cosine(run(made, x), run(model, x)) > 0.99


def test_a_dynamic_kernel_and_a_transposed_convolution() -> None:
    model = model_of(
        f"g (float[1,4,8,8] x, float[4,4,3,3] k) => (float[1,6,16,16] y) "
        f"{{ c = {CONV}(x, k) y = ConvTranspose<strides=[2,2], group=2>(c, t, b) }}",
        t=weight(4, 3, 2, 2),
        b=weight(6, 1).reshape(6) * 4,
    )
    feeds = {"x": picture(1, 4, 8, 8), "k": picture(4, 4, 3, 3)}
    made = quantized(model, [feeds]).model
    assert cosine(run(made, feeds, optimized=False), run(model, feeds)) > 0.999
    assert cosine(run(made, feeds), run(model, feeds)) > 0.999


def test_a_mask_of_minus_ten_thousand_does_not_cost_the_scores_their_codes() -> None:
    text = """g (float[1,4,16] a, float[1,4,16] b, float[1,4,4] m) => (float[1,4,16] y)
    { t = Transpose<perm=[0,2,1]>(b) s = MatMul(a, t) n = Mul(m, low) k = Add(s, n) p = Softmax(k) y = MatMul(p, b) }"""
    model = model_of(text, low=np.float32(-10000))
    random = np.random.default_rng(2)
    feeds = {name: random.normal(0, 1, (1, 4, 16)).astype(np.float32) for name in ("a", "b")}
    feeds["m"] = np.triu(np.ones((1, 4, 4), np.float32), 1)
    made = quantized(model, [feeds])
    assert not {"s", "n", "k", "m"} & pairs(made.model).keys()
    assert {"a", "p", "b"} <= pairs(made.model).keys()
    assert cosine(run(model, feeds), run(made.model, feeds)) > 0.999  # three tensors at 8 bits


def test_a_residual_sum_that_only_a_normalisation_reads_is_not_rounded() -> None:
    text = """g (float[1,4,16] x) => (float[1,4,16] y)
    { h = MatMul(x, w) d = Add(h, b) r = Add(d, x) n = LayerNormalization(r, gamma) y = MatMul(n, w) }"""
    weights = {"w": np.eye(16, dtype=np.float32), "b": np.ones(16, np.float32), "gamma": np.ones(16, np.float32)}
    made = quantized(model_of(text, **weights), [{"x": np.random.default_rng(3).normal(0, 1, (1, 4, 16)).astype(np.float32)}])
    assert not {"h", "d", "r"} & pairs(made.model).keys()
    assert {"x", "n"} <= pairs(made.model).keys()
