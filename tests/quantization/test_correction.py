"""Bias correction gives back, on average, what rounding the weights took."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest

from rknn_ep.quantization.correction import ChannelMeans, correctable, correction

RANDOM = np.random.default_rng(5)


def node_of(op_type: str, weight: np.ndarray, **attributes: int) -> ir.Node:
    source = ir.Value(name="x")
    constant = ir.val("w", const_value=ir.tensor(weight, name="w"))
    node = ir.node(op_type, [source, constant], attributes)
    ir.Graph([source], list(node.outputs), nodes=[node], initializers=[constant], opset_imports={"": 17})
    return node


def convolve(x: np.ndarray, weight: np.ndarray, group: int) -> np.ndarray:
    """1x1 convolution in float64: every position is an inner one, so that means carry over exactly."""
    per_group = x.reshape(x.shape[0], group, -1, *x.shape[2:])
    rows = weight.reshape(group, -1, weight.shape[1])
    return np.einsum("ngchw,gmc->ngmhw", per_group, rows).reshape(x.shape[0], -1, *x.shape[2:])


@pytest.mark.parametrize("group", [1, 2, 6])
def test_the_mean_of_every_output_channel_is_restored(group: int) -> None:
    x = RANDOM.normal(1.0, 2.0, (5, 6, 4, 4)).astype(np.float32)
    weight = RANDOM.normal(0, 1, (6, 6 // group, 1, 1))
    rounded = np.round(weight * 3) / 3
    means = ChannelMeans(["x"])
    for sample in x:
        means.observe("x", sample[None])
    shift = correction(node_of("Conv", weight, group=group), weight, rounded, means.means())
    assert shift is not None
    wanted = convolve(x, weight[:, :, 0, 0], group).mean(axis=(0, 2, 3))
    got = convolve(x, rounded[:, :, 0, 0], group).mean(axis=(0, 2, 3))
    assert np.abs(wanted - got).max() > 1e-2
    np.testing.assert_allclose(got + shift, wanted, rtol=0, atol=1e-6)  # float32 sums of 16 numbers around 1


@pytest.mark.parametrize("transposed", [0, 1])
def test_gemm_is_corrected_in_both_layouts(transposed: int) -> None:
    x, weight = RANDOM.normal(1, 1, (50, 8)).astype(np.float32), RANDOM.normal(0, 1, (8, 3))
    rounded = np.round(weight)
    means = ChannelMeans(["x"])
    means.observe("x", x)
    stored = (weight.T, rounded.T) if transposed else (weight, rounded)
    shift = correction(node_of("Gemm", stored[0], transB=transposed), *stored, means.means())
    np.testing.assert_allclose((x @ rounded).mean(axis=0) + shift, (x @ weight).mean(axis=0), rtol=0, atol=1e-9)


def test_only_tensors_that_feed_constant_weights_are_averaged() -> None:
    weight = np.ones((2, 2, 1, 1), np.float32)
    node = node_of("Conv", weight)
    assert node.graph is not None
    assert correctable(ir.Model(node.graph, ir_version=8)) == {"x"}
    means = ChannelMeans(["x"])
    means.observe("y", np.ones((1, 2)))
    assert means.means() == {} and correction(node, weight, weight, {}) is None
