"""Channel equalisation changes constants only: the float model computes the same, and int8 comes nearer to it."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import onnx_ir as ir
import pytest

from rknn_ep.quantization.equalization import LARGEST, Loudness, equalize, joints
from rknn_ep.quantization.metrics import cosine
from tests.quantization.helpers import model_of, quantized, run, session

RANDOM = np.random.default_rng(11)
LOUD = np.geomspace(0.05, 5.0, 8).astype(np.float32)
"""Channels of very different loudness."""
X = RANDOM.normal(0, 1, (1, 4, 10, 10)).astype(np.float32)


def normal(*shape: int) -> np.ndarray:
    return RANDOM.normal(0, 0.5, shape).astype(np.float32)


def convolutions(between: str, group: int) -> ir.Model:
    text = f"""g (float[1,4,10,10] x) => (float[1,8,10,10] y)
    {{ a = Conv<pads=[1,1,1,1]>(x, w0, b0) {between} y = Conv<pads=[1,1,1,1], group={group}>(c, w1) }}"""
    first = normal(8, 4, 3, 3) * LOUD[:, None, None, None]
    return model_of(text, w0=first, b0=normal(8) * LOUD, w1=normal(8, 8 // group, 3, 3), p=np.array([0, 0, 1, 1, 0, 0, 0, 0]))


def transposed() -> ir.Model:
    text = """g (float[1,4,10,10] x) => (float[1,2,20,20] y)
    { a = Conv<pads=[1,1,1,1]>(x, w0) c = Relu(a) y = ConvTranspose<strides=[2,2]>(c, w1) }"""
    return model_of(text, w0=normal(8, 4, 3, 3) * LOUD[:, None, None, None], w1=normal(8, 2, 2, 2))


def matrices() -> ir.Model:
    text = """g (float[1,4,10,10] x) => (float[1,4,10,6] y, float[1,4,10,3] z)
    { n = LayerNormalization(x, gamma, beta) h = MatMul(n, w0) d = Add(b0, h) y = MatMul(d, w1) z = MatMul(d, w2) }"""
    gains = np.geomspace(0.1, 8, 10).astype(np.float32)
    constants = {"w0": normal(10, 8) * LOUD, "b0": normal(8) * LOUD, "w1": normal(8, 6), "w2": normal(8, 3)}
    return model_of(text, gamma=gains, beta=normal(10), **constants)


def gemms(layout: int) -> ir.Model:
    text = f"""g (float[1,4,10,10] x) => (float[4,6] y)
    {{ f = Reshape(x, s) h = Gemm<transB={layout}>(f, w0, b0) c = Relu(h) y = Gemm<transB={layout}>(c, w1, b1) }}"""
    first, second = normal(100, 8) * LOUD, normal(8, 6)
    shape = np.array([4, 100])
    if layout:
        first, second = first.T, second.T
    return model_of(text, s=shape, w0=first, b0=normal(8) * LOUD, w1=second, b1=normal(6))


MODELS = {
    "depthwise": lambda: convolutions("c = Relu(a)", 8),
    "grouped": lambda: convolutions("c = Relu(a)", 2),
    "dense": lambda: convolutions("c = Relu(a)", 1),
    "pooled": lambda: convolutions("r = Relu(a) c = AveragePool<kernel_shape=[3,3], pads=[1,1,1,1]>(r)", 1),
    "padded": lambda: convolutions("r = Pad(a, p) c = MaxPool<kernel_shape=[2,2]>(r)", 8),
    "transposed": transposed,
    "matrices": matrices,
    "gemm": lambda: gemms(0),
    "gemm, transposed": lambda: gemms(1),
}


def equalized(model: ir.Model, per_channel: bool = True) -> tuple[ir.Model, dict[str, np.ndarray]]:
    copy = model.clone()
    found = list(joints(copy.graph, [list(copy.graph)]))
    loudness = Loudness({joint.tensor: joint.axis for joint in found})
    for joint in found:
        watched = model.clone()
        value = next(value for node in watched.graph for value in node.outputs if value.name == joint.tensor)
        watched.graph.outputs[:] = [value]
        values = run(watched, {"x": X})
        for _ in range(20):  # a row a sample is all that a Gemm shows, and few values count for nothing
            loudness.observe(joint.tensor, values)
    found = [joint for joint in found if joint.tensor in loudness.found]
    done = {joint.tensor: equalize(joint, loudness.found[joint.tensor], per_channel) for joint in found}
    return copy, {name: factors for name, factors in done.items() if factors is not None}


def outputs(model: ir.Model) -> Iterator[np.ndarray]:
    yield from session(model).run(None, {"x": X})


@pytest.mark.parametrize("per_channel", [True, False])
@pytest.mark.parametrize("name", MODELS)
def test_the_float_model_computes_the_same(name: str, per_channel: bool) -> None:
    model = MODELS[name]()
    changed, factors = equalized(model, per_channel)
    assert factors
    assert all(factor.min() > 0 and factor.max() / factor.min() <= LARGEST * 1.001 for factor in factors.values())
    for before, after in zip(outputs(model), outputs(changed), strict=True):
        # Products of floats in another order of magnitude: float32 rounding of some hundred terms.
        np.testing.assert_allclose(after, before, rtol=0, atol=2e-5 * np.abs(before).max())


@pytest.mark.parametrize("name", ["depthwise", "grouped"])
def test_int8_comes_nearer_to_the_float_model(name: str) -> None:
    model = MODELS[name]()
    changed, _ = equalized(model)
    wanted = run(model, {"x": X})
    plain = [cosine(a, b) for a, b in zip(wanted[0], run(quantized(model, [{"x": X}]).model, {"x": X})[0], strict=True)]
    even = [cosine(a, b) for a, b in zip(wanted[0], run(quantized(changed, [{"x": X}]).model, {"x": X})[0], strict=True)]
    assert min(even) > min(plain)


def test_a_channel_that_slept_is_not_made_louder_than_the_limit() -> None:
    model = MODELS["depthwise"]()
    (joint,) = joints(model.graph, [list(model.graph)])
    loudness = np.ones(8, np.float32)
    loudness[3] = 0.0
    factors = equalize(joint, loudness)
    assert factors is not None
    assert factors[3] == pytest.approx(1 / LARGEST) and factors[0] == 1.0


@pytest.mark.parametrize(
    "between",
    [
        "c = HardSwish(a)",  # not homogeneous
        "q = Relu(a) c = Add(q, a)",  # two ways from the maker
        "c = Clip(a, zero, six)",
    ],
)
def test_what_does_not_commute_with_a_factor_is_left_alone(between: str) -> None:
    text = f"""g (float[1,4,10,10] x) => (float[1,8,10,10] y)
    {{ a = Conv<pads=[1,1,1,1]>(x, w0) {between} y = Conv<pads=[1,1,1,1]>(c, w1) }}"""
    constants = {"zero": np.float32(0), "six": np.float32(6)} if "Clip" in between else {}
    model = model_of(text, w0=normal(8, 4, 3, 3), w1=normal(8, 8, 3, 3), **constants)
    assert not list(joints(model.graph, [list(model.graph)]))


def test_what_leaves_the_partition_is_left_alone() -> None:
    model = MODELS["depthwise"]()
    nodes = list(model.graph)
    assert list(joints(model.graph, [nodes]))
    assert not list(joints(model.graph, [nodes[:2], nodes[2:]]))
    model.graph.outputs.append(nodes[1].outputs[0])
    assert not list(joints(model.graph, [nodes]))


def test_a_few_values_say_nothing_about_a_channel() -> None:
    loudness = Loudness({"squeezed": 1, "map": 1})
    for _ in range(8):
        loudness.observe("squeezed", np.ones((1, 5, 1, 1), np.float32))
        loudness.observe("map", np.full((1, 5, 3, 3), -2, np.float32))
    assert loudness.found.keys() == {"map"} and loudness.found["map"].tolist() == [2.0] * 5
