"""Many quantised convolutions in one model, and what integers make of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper

from tests.simulator import bundles

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Shape:
    """A convolution: input [N,C,H,W], weights [M,C/group,KH,KW], pads as ONNX orders them."""

    x: tuple[int, int, int, int]
    weights: tuple[int, int, int, int]
    strides: tuple[int, int] = (1, 1)
    pads: tuple[int, int, int, int] = (0, 0, 0, 0)
    dilations: tuple[int, int] = (1, 1)
    group: int = 1


@dataclass(frozen=True)
class Case:
    """A convolution with its numbers, and the codes that exact sums, one float32 product and one rounding give."""

    shape: Shape
    codes: Array
    weights: Array
    bias: Array
    x_scale: np.float32
    w_scale: Array
    y_scale: np.float32
    x_zero: int
    y_zero: int

    @classmethod
    def draw(cls, shape: Shape, rng: np.random.Generator, extreme: bool = False) -> Case:
        """Codes and weights of the whole range, or of its ends alone; some results saturate."""
        codes, weights = rng.integers(0, 256, shape.x), rng.integers(-128, 128, shape.weights)
        if extreme:
            weights = np.where(rng.random((shape.weights[0], 1, 1, 1)) < 0.5, np.sign(weights) * 127.5 - 0.5, -128)
            codes = np.where(codes < 26, 0, 255)
        bias = rng.integers(-5000, 5000, shape.weights[0])
        w_scale = rng.uniform(0.001, 0.01, shape.weights[0]).astype(np.float32)
        x_zero, y_zero = (int(rng.choice([0, 77, 128, 255])) for _ in range(2))
        case = cls(
            shape,
            codes,
            weights.astype(np.int8),
            bias.astype(np.int32),
            np.float32(0.0173),
            w_scale,
            np.float32(1),
            x_zero,
            y_zero,
        )
        largest = np.abs(case.sums() * (case.x_scale * w_scale)[:, None, None]).max()
        return cls(**{**case.__dict__, "y_scale": np.float32(max(largest, 1e-3) / 200)})

    def sums(self) -> Array:
        exact = convolve(self.codes - self.x_zero, self.weights, self.shape)
        return exact + self.bias[:, None, None]

    @property
    def values(self) -> Array:
        """The input that is quantised to the codes."""
        return (self.codes - self.x_zero).astype(np.float32) * self.x_scale

    def expected(self) -> Array:
        """The output's codes."""
        multiplier = ((self.x_scale * self.w_scale) / self.y_scale).astype(np.float32)[:, None, None]
        return np.clip(np.rint(self.sums().astype(np.float32) * multiplier) + self.y_zero, 0, 255)

    def got(self, output: Array) -> Array:
        """The codes of a float output."""
        return np.rint(output / self.y_scale) + self.y_zero


def convolve(codes: Array, weights: Array, shape: Shape) -> Array:
    """Integer convolution of [N,C,H,W] codes whose zero point is 0, in int64."""
    top, left, bottom, right = shape.pads
    padded = np.pad(codes.astype(np.int64), ((0, 0), (0, 0), (top, bottom), (left, right)))
    out_channels, _, height, width = weights.shape
    (stride_y, stride_x), (dilation_y, dilation_x) = shape.strides, shape.dilations
    rows = (padded.shape[2] - dilation_y * (height - 1) - 1) // stride_y + 1
    columns = (padded.shape[3] - dilation_x * (width - 1) - 1) // stride_x + 1
    total = np.zeros((len(codes), out_channels, rows, columns), np.int64)
    inputs, outputs = codes.shape[1] // shape.group, out_channels // shape.group
    for one in range(shape.group):
        part = padded[:, one * inputs : (one + 1) * inputs]
        kernel = weights[one * outputs : (one + 1) * outputs].astype(np.int64)
        for i in range(height):
            for j in range(width):
                y, x = i * dilation_y, j * dilation_x
                window = part[:, :, y : y + stride_y * rows : stride_y, x : x + stride_x * columns : stride_x]
                window = window[:, :, :rows, :columns]
                total[:, one * outputs : (one + 1) * outputs] += np.einsum("nchw,oc->nohw", window, kernel[:, :, i, j])
    return total


def model(cases: Sequence[Case]) -> onnx.ModelProto:
    """All cases beside each other: inputs x0, x1, ..., outputs y0, y1, ..."""
    nodes: list[onnx.NodeProto] = []
    constants: dict[str, Any] = {}
    inputs, outputs = [], []
    for i, case in enumerate(cases):
        shape = case.shape
        nodes += [
            *bundles.pair(f"x{i}", f"xs{i}", f"xz{i}", f"xd{i}"),
            helper.make_node("DequantizeLinear", [f"w{i}", f"ws{i}", f"wz{i}"], [f"wd{i}"], axis=0),
            helper.make_node("DequantizeLinear", [f"b{i}", f"bs{i}"], [f"bd{i}"], axis=0),
            helper.make_node(
                "Conv", [f"xd{i}", f"wd{i}", f"bd{i}"], [f"c{i}"],
                strides=shape.strides, pads=shape.pads, dilations=shape.dilations, group=shape.group,
            ),
            *bundles.pair(f"c{i}", f"ys{i}", f"yz{i}", f"y{i}"),
        ]  # fmt: skip
        constants |= {
            f"xs{i}": case.x_scale, f"xz{i}": np.uint8(case.x_zero), f"w{i}": case.weights, f"ws{i}": case.w_scale,
            f"wz{i}": np.zeros(len(case.weights), np.int8), f"b{i}": case.bias, f"bs{i}": case.x_scale * case.w_scale,
            f"ys{i}": case.y_scale, f"yz{i}": np.uint8(case.y_zero),
        }  # fmt: skip
        inputs.append((f"x{i}", TensorProto.FLOAT, shape.x))
        outputs.append((f"y{i}", TensorProto.FLOAT, case.expected().shape))
    return bundles.model(nodes, inputs, outputs, constants)
