"""Small quantised models with operators that compute on float16: what they store so, as the vendor's compiler lists it.

Each was compiled for rk3588 with RKNN-Toolkit2 2.5.0, whose layer table names the type of every operator.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper

from tests.simulator import bundles

Array = np.ndarray[Any, Any]
Step = tuple[str, Sequence[str], str, Mapping[str, Any]]

_RNG = np.random.default_rng(12)
SHAPE = (1, 40, 64)
PICTURE = (1, 64, 8, 20)
RANGE = (-4.0, 4.1)
"""Of the inputs: its zero point is not the middle code, which the toolkit takes for symmetric."""
WEIGHT_STEP = np.float32(0.004)


def _normal(*shape: int, scale: float = 1.0) -> Array:
    return (_RNG.standard_normal(shape) * scale).astype(np.float32)


CONSTANTS: Mapping[str, Array] = {
    "gamma": _RNG.uniform(0.5, 2, 64).astype(np.float32),
    "beta": _normal(64),
    "weight": _normal(64, 32, scale=0.12),
    "kernel": _normal(32, 64, 1, 1, scale=0.12),
    "bias": _normal(32),
    "slope": _RNG.uniform(0.1, 0.4, (64, 1, 1)).astype(np.float32),
    "two": np.float32(2),
    "half": np.float32(0.5),
    "one": np.float32(1),
    "root": np.float32(1.4142135),
    "epsilon": np.float32(1e-5),
}


@dataclass(frozen=True)
class Island:
    """A model of `x` and `z`, quantised, to `y`, quantised."""

    name: str
    steps: Sequence[Step]
    """(operator, inputs, output, attributes); `x_d` and `z_d` are the dequantised inputs."""
    limits: tuple[float, float]
    """Of `y`."""
    stored: frozenset[str] = frozenset()
    """Values that are stored as float16."""
    inside: frozenset[str] = frozenset()
    """Values that do not leave a native operator."""
    shape: Sequence[int] = SHAPE

    def model(self) -> onnx.ModelProto:
        """As ONNX."""
        used = {name for _, inputs, _, _ in self.steps for name in inputs}
        inputs = [name for name in ("x", "z") if f"{name}_d" in used]
        constants: dict[str, Any] = {name: value for name, value in CONSTANTS.items() if name in used}
        nodes: list[onnx.NodeProto] = []
        for name, limits in (*((one, RANGE) for one in inputs), ("y", self.limits)):
            constants |= {f"{name}_s": _scale(limits), f"{name}_z": np.uint8(round(-limits[0] / _scale(limits)))}
            if name != "y":
                nodes += bundles.pair(name, f"{name}_s", f"{name}_z", f"{name}_d")
        if "weight_d" in used:
            codes = np.rint(CONSTANTS["weight"] / WEIGHT_STEP).clip(-127, 127).astype(np.int8)
            constants |= {"codes": codes, "weight_s": WEIGHT_STEP, "weight_z": np.int8(0)}
            nodes.append(helper.make_node("DequantizeLinear", ["codes", "weight_s", "weight_z"], ["weight_d"], name="weight_d"))
        nodes += [helper.make_node(op, list(read), [made], name=made, **attributes) for op, read, made, attributes in self.steps]
        nodes += bundles.pair("y", "y_s", "y_z", "y_d")
        bare = bundles.model(
            nodes,
            [(name, TensorProto.FLOAT, list(self.shape)) for name in inputs],
            [("y_d", TensorProto.FLOAT, [f"d{axis}" for axis in range(len(self.shape))])],
            constants,
        )
        return onnx.shape_inference.infer_shapes(bare, data_prop=True)

    @property
    def groups(self) -> list[tuple[str]]:
        """The values that leave native operators."""
        return [(made,) for _, _, made, _ in self.steps if made not in self.inside]

    @property
    def step(self) -> float:
        """One LSB of `y`."""
        return float(_scale(self.limits))

    def data(self) -> list[Array]:
        """Inputs, the same at every call."""
        draw = np.random.default_rng(3)
        return [(draw.standard_normal(self.shape) * 1.5).clip(*RANGE).astype(np.float32) for _ in self.model().graph.input]


def _scale(limits: tuple[float, float]) -> np.float32:
    return np.float32((limits[1] - limits[0]) / 255)


def _norm(x: str, y: str) -> Step:
    return "LayerNormalization", (x, "gamma", "beta"), y, {"axis": -1, "epsilon": 1e-5}


def _some(*names: str) -> frozenset[str]:
    return frozenset(names)


ISLANDS = (
    # All codes around them, and rounded once.
    Island("softmax of codes", [("Softmax", ["x_d"], "y", {"axis": -1})], (0, 0.3)),
    Island("exponential of codes", [("Exp", ["x_d"], "y", {})], (0, 60)),
    Island("sum that is moved", [("Add", ["x_d", "z_d"], "a", {}), ("Transpose", ["a"], "y", {"perm": [0, 2, 1]})], (-6, 6.3)),
    Island("sum that is joined", [("Add", ["x_d", "z_d"], "a", {}), ("Concat", ["a", "z_d"], "y", {"axis": 1})], (-6, 6.3)),
    Island("prelu of codes", [("PRelu", ["x_d", "slope"], "y", {})], (-2, 4), shape=PICTURE),
    Island(
        "GELU of codes",
        [
            ("Div", ["x_d", "root"], "d", {}),
            ("Erf", ["d"], "e", {}),
            ("Add", ["e", "one"], "f", {}),
            ("Mul", ["x_d", "f"], "g", {}),
            ("Mul", ["g", "half"], "y", {}),
        ],
        (-0.3, 4.1),
        inside=_some("d", "e", "f", "g"),
    ),
    # Normalisations, among codes too.
    Island("layer normalisation", [_norm("x_d", "y")], (-6, 6.2), _some("x_d", "y")),
    Island(
        "layer normalisation, moved",
        [_norm("x_d", "n"), ("Transpose", ["n"], "y", {"perm": [0, 2, 1]})],
        (-6, 6.2),
        _some("x_d", "n"),
    ),
    Island(
        "layer normalisation, joined",
        [_norm("x_d", "n"), ("Concat", ["n", "z_d"], "y", {"axis": 2})],
        (-6, 6.2),
        _some("x_d", "n"),
    ),
    Island("layer normalisation and Relu", [_norm("x_d", "n"), ("Relu", ["n"], "y", {})], (0, 6.2), _some("x_d", "n")),
    Island(
        "root-mean-square normalisation",
        [
            ("Pow", ["x_d", "two"], "p", {}),
            ("ReduceMean", ["p"], "m", {"axes": [-1], "keepdims": 1}),
            ("Add", ["m", "epsilon"], "a", {}),
            ("Sqrt", ["a"], "s", {}),
            ("Div", ["x_d", "s"], "d", {}),
            ("Mul", ["d", "gamma"], "y", {}),
        ],
        (-6, 6.3),
        _some("x_d", "y"),
        inside=_some("p", "m", "a", "s", "d"),
    ),
    Island(
        "instance normalisation, three operators",
        [("InstanceNormalization", ["x_d", "gamma", "beta"], "y", {"epsilon": 1e-5})],
        (-6, 6.2),
        _some("x_d", "y_plain", "y_scaled", "y"),
        shape=PICTURE,
    ),
    # What reads a float, or is read as one.
    Island(
        "sum behind a normalisation",
        [_norm("x_d", "n"), ("Add", ["n", "z_d"], "y", {})],
        (-8, 8.3),
        _some("x_d", "n", "z_d", "y"),
    ),
    Island("sigmoid behind a normalisation", [_norm("x_d", "n"), ("Sigmoid", ["n"], "y", {})], (0, 1), _some("x_d", "n", "y")),
    Island(
        "mean behind a normalisation",
        [_norm("x_d", "n"), ("ReduceMean", ["n"], "y", {"axes": [-1], "keepdims": 1})],
        (-0.2, 0.3),
        _some("x_d", "n", "y"),
    ),
    Island(
        "softmax of a sum",
        [("Add", ["x_d", "z_d"], "a", {}), ("Softmax", ["a"], "y", {"axis": -1})],
        (0, 0.7),
        _some("x_d", "z_d", "a", "y"),
    ),
    Island(
        "sum of a softmax",
        [("Softmax", ["x_d"], "s", {"axis": -1}), ("Add", ["s", "z_d"], "y", {})],
        (-4, 5),
        _some("x_d", "s", "z_d", "y"),
    ),
    # Products: a bias keeps its precision, and the sum is stored before an activation.
    Island(
        "convolution by floats", [("Conv", ["x_d", "kernel", "bias"], "y", {})], (-10, 10.5), _some("x_d", "y"), shape=PICTURE
    ),
    Island(
        "convolution by floats, then SiLU",
        [
            ("Conv", ["x_d", "kernel", "bias"], "c", {}),
            ("Sigmoid", ["c"], "s", {}),
            ("Mul", ["c", "s"], "y", {}),
        ],
        (-0.3, 8),
        _some("x_d", "c", "y"),
        _some("c", "s"),
        PICTURE,
    ),
    Island(
        "product of floats with a bias",
        [_norm("x_d", "n"), ("MatMul", ["n", "weight"], "m", {}), ("Add", ["m", "bias"], "y", {})],
        (-8, 8.3),
        _some("x_d", "n", "y"),
        _some("m"),
    ),
    Island(
        "product of codes, scaled, for a softmax",
        [
            ("Transpose", ["z_d"], "t", {"perm": [0, 2, 1]}),
            ("MatMul", ["x_d", "t"], "m", {}),
            ("Div", ["m", "root"], "d", {}),
            ("Softmax", ["d"], "y", {"axis": -1}),
        ],
        (0, 0.9),
        _some("x_d", "z_d", "d", "y"),
    ),
    Island(
        "product of codes for a softmax",
        [("MatMul", ["x_d", "weight_d"], "m", {}), ("Softmax", ["m"], "y", {"axis": -1})],
        (0, 0.9),
        _some("x_d", "weight_d", "m", "y"),
    ),
)
