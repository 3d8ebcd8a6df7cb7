"""One product of quantised operands: how large its sums can get, and how to write it in integers."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import onnx_ir as ir

from rknn_ep_simulator.graphs import (
    DEQUANTIZE,
    constant,
    dequantize_of,
    float_attribute,
    integer_attribute,
    new_initializer,
)

Array = np.ndarray[Any, Any]
INTEGER_LIMIT = 2**31 - 1
CODES = {np.dtype(np.uint8), np.dtype(np.int8)}


@dataclass(frozen=True)
class Operand:
    """The input of a DequantizeLinear."""

    codes: ir.Value
    scale: Array
    zero: Array
    axis: int
    dtype: np.dtype[Any]
    array: Array | None
    """The codes where they are constant."""

    @classmethod
    def read(cls, value: ir.Value | None) -> Operand | None:
        """The operand behind `value`, or None where it is not quantised with constant parameters."""
        node = dequantize_of(value)
        if node is None or node.domain not in ("", "ai.onnx", "com.microsoft") or node.inputs[0] is None:
            return None
        scale = constant(node.inputs[1])
        if scale is None or ("block_size" in node.attributes and integer_attribute(node, "block_size", 0)):
            return None
        codes = node.inputs[0]
        array = constant(codes)
        zero = constant(node.inputs[2]) if len(node.inputs) > 2 and node.inputs[2] is not None else None
        if zero is None and len(node.inputs) > 2 and node.inputs[2] is not None:
            return None
        if codes.dtype is None:
            return None
        dtype = np.dtype(codes.dtype.numpy())
        if zero is None:
            zero = np.zeros(scale.shape, dtype)
        return cls(codes, scale.astype(np.float32), zero, integer_attribute(node, "axis", 1), dtype, array)

    @property
    def per_tensor(self) -> bool:
        """One scale for all of it."""
        return self.scale.size == 1

    def centred(self) -> Array:
        """Constant codes minus their zero point, as int16, which holds every such difference."""
        assert self.array is not None
        zero = self.zero.astype(np.int16)
        if zero.size > 1:
            shape = [1] * self.array.ndim
            shape[self.axis] = zero.size
            zero = zero.reshape(shape)
        return np.asarray(self.array.astype(np.int16) - zero)

    def largest(self) -> int:
        """Largest magnitude of a code minus its zero point."""
        limits = np.iinfo(self.dtype)
        return max(int(limits.max) - int(self.zero.min()), int(self.zero.max()) - int(limits.min))


class Product:
    """One quantised product and how to write it in integers."""

    def __init__(self, node: ir.Node, first: Operand, second: Operand, bias: Operand | None) -> None:
        self.node, self.first, self.second, self.bias = node, first, second, bias
        assert node.graph is not None
        self.graph: ir.Graph = node.graph
        self.name = node.outputs[0].name or ""

    @classmethod
    def read(cls, node: ir.Node) -> Product | None:
        """The product that `node` is, or None where it is not one of 8-bit operands."""
        if len(node.inputs) < 2:
            return None
        first, second = Operand.read(node.inputs[0]), Operand.read(node.inputs[1])
        if first is None or second is None or first.dtype not in CODES or second.dtype not in CODES or not first.per_tensor:
            return None
        if second.array is None and not second.per_tensor:
            return None
        bias_value = node.inputs[2] if len(node.inputs) > 2 else None
        bias = Operand.read(bias_value)
        if bias is not None and (bias.array is None or bias.zero.any() or bias.dtype != np.int32):
            bias = None
        if node.op_type == "Gemm" and (float_attribute(node, "alpha", 1.0), float_attribute(node, "beta", 1.0)) != (1.0, 1.0):
            return None
        product = cls(node, first, second, bias)
        if (
            second.scale.size > 1
            and second.axis % (second.array.ndim if second.array is not None else 1) != product._channel_axis()
        ):
            return None
        return product

    def fold_foreign_bias(self) -> bool:
        """Make a bias that counts in steps of its own a float constant, and say whether it was one.

        ONNX Runtime before 1.24 fuses such a convolution as if the bias counted in steps of the product's scale.
        """
        bias = self.bias
        if bias is None or bias.array is None or self.bias_on_grid():
            return False
        real = (bias.array.astype(np.float32) * bias.scale.astype(np.float32)).astype(np.float32)
        self.node.replace_input_with(2, self._initializer("bias", real))
        return True

    # ------------------------------------------------------------------ how large sums can get

    @cached_property
    def bound(self) -> int:
        """What no partial sum's magnitude exceeds: largest input code times the sum of weight magnitudes, and the bias."""
        largest = self.first.largest()
        if self.second.array is None:
            shape = self.node.inputs[0].shape if self.node.inputs[0] is not None else None
            if self.node.op_type != "MatMul" or shape is None or not isinstance(shape[-1], int):
                return INTEGER_LIMIT + 1
            return largest * self.second.largest() * shape[-1]
        weights = np.abs(self.second.centred())
        axis = self._channel_axis()
        summed = -2 if self.node.op_type == "MatMul" else tuple(index for index in range(weights.ndim) if index != axis)
        sums = weights.sum(axis=summed, dtype=np.int64)
        limits = largest * int(sums.max(initial=0))
        if self.bias is not None and self.bias.array is not None and self.bias_on_grid():
            limits += int(np.abs(self.bias.array.astype(np.int64)).max(initial=0))
        return limits

    def integers_possible(self) -> bool:
        """Whether ONNX has an integer operator that computes this product without overflow."""
        if self.node.op_type == "ConvTranspose" or self.bound > INTEGER_LIMIT or np.unique(self.second.zero).size > 1:
            return False
        if self.node.op_type != "Gemm":
            return True
        return not integer_attribute(self.node, "transA", 0)

    def _channel_axis(self) -> int:
        """The axis of the second operand along which output channels lie."""
        rank = self.second.array.ndim if self.second.array is not None else 2
        if self.node.op_type == "ConvTranspose":
            return 1
        if self.node.op_type == "Gemm":
            return 0 if integer_attribute(self.node, "transB", 0) else 1
        return rank - 1 if self.node.op_type == "MatMul" else 0

    def _channel_shape(self, size: int) -> tuple[int, ...]:
        """How a value per output channel broadcasts over the output."""
        if size == 1:
            return ()
        if self.node.op_type in ("Gemm", "MatMul"):
            return (size,)
        rank = self.second.array.ndim if self.second.array is not None else 4
        return (1, size, *[1] * (rank - 2))

    # ------------------------------------------------------------------ writing it

    def rewrite(self, *, integers: bool) -> None:
        """Replace the node; the name of its output stays."""
        scale = self.first.scale.reshape(()) * self.second.scale.reshape(-1)
        if self.node.op_type == "ConvTranspose" and scale.size > 1:
            scale = np.tile(scale, integer_attribute(self.node, "group", 1))
        multiplier = self._initializer("rescale", scale.astype(np.float32).reshape(self._channel_shape(scale.size)))
        total = self._integer_sum() if integers else self._float_sum()
        result = self._node("Mul", [total, multiplier])
        bias = self.node.inputs[2] if len(self.node.inputs) > 2 else None
        if bias is not None and not self.bias_on_grid():
            result = self._node("Add", [result, self._per_channel(bias)])
        self._replace(result)

    def _per_channel(self, bias: ir.Value) -> ir.Value:
        """A float bias as it broadcasts over the output."""
        if self.node.op_type in ("Gemm", "MatMul"):
            return bias
        shape = np.asarray(self._channel_shape(2), np.int64)
        shape[1] = -1
        return self._node("Reshape", [bias, self._initializer("bias_shape", shape)])

    def _float_sum(self) -> ir.Value:
        inputs: list[ir.Value | None] = [self._unscaled(self.first), self._unscaled(self.second)]
        if self.bias is not None and self.bias_on_grid():
            inputs.append(self._unscaled(self.bias))
        return self._node(self.node.op_type, inputs, list(self.node.attributes.values()))

    def _integer_sum(self) -> ir.Value:
        first, first_zero = self._unsigned(self.first)
        second, second_zero = self._unsigned(self.second)
        if self.node.op_type == "Gemm" and integer_attribute(self.node, "transB", 0):
            second = self._node("Transpose", [second], [ir.AttrInt64s("perm", [1, 0])])
        convolves = self.node.op_type == "Conv"
        attributes = list(self.node.attributes.values()) if convolves else []
        total = self._node("ConvInteger" if convolves else "MatMulInteger", [first, second, first_zero, second_zero], attributes)
        if self.bias is not None and self.bias_on_grid() and self.bias.array is not None:
            size = self.bias.array.size
            codes = self._initializer("bias", self.bias.array.reshape(self._channel_shape(size)))
            total = self._node("Add", [total, codes])
        return self._node("Cast", [total], [ir.AttrInt64("to", int(ir.DataType.FLOAT))])

    def bias_on_grid(self) -> bool:
        """Whether the bias counts in steps of the product's scale, as QDQ has it."""
        if self.bias is None or self.bias.array is None or self.bias.array.ndim > 1:
            return False
        grid = self.first.scale.reshape(()) * self.second.scale.reshape(-1)
        if self.node.op_type == "ConvTranspose" and grid.size > 1:
            grid = np.tile(grid, integer_attribute(self.node, "group", 1))
        scale = self.bias.scale.reshape(-1)
        if scale.size not in (1, grid.size) and grid.size != 1:
            return False
        return bool(np.allclose(scale, grid, rtol=1e-5, atol=0))

    def _unscaled(self, operand: Operand) -> ir.Value:
        """The codes minus their zero point, as float32 integers."""
        uniform = np.unique(operand.zero).size == 1
        one = np.ones((), np.float32) if uniform else np.ones(operand.zero.shape, np.float32)
        zero = operand.zero.reshape(-1)[0].reshape(()) if uniform else operand.zero
        inputs = [operand.codes, self._initializer("one", one), self._initializer("zero", zero)]
        return self._node(DEQUANTIZE, inputs, [] if uniform else [ir.AttrInt64("axis", operand.axis)])

    def _unsigned(self, operand: Operand) -> tuple[ir.Value, ir.Value]:
        """The codes as uint8 with their zero point; int8 codes move up by 128."""
        zero = int(operand.zero.reshape(-1)[0])
        if operand.dtype == np.uint8:
            return operand.codes, self._initializer("zero", np.asarray(zero, np.uint8))
        wide = self._node("Cast", [operand.codes], [ir.AttrInt64("to", int(ir.DataType.INT32))])
        moved = self._node("Add", [wide, self._initializer("offset", np.asarray(128, np.int32))])
        codes = self._node("Cast", [moved], [ir.AttrInt64("to", int(ir.DataType.UINT8))])
        return codes, self._initializer("zero", np.asarray(zero + 128, np.uint8))

    def _initializer(self, suffix: str, array: Array) -> ir.Value:
        return new_initializer(self.graph, f"{self.name}_{suffix}", np.asarray(array))

    def _node(self, op_type: str, inputs: list[ir.Value | None], attributes: list[ir.Attr] | None = None) -> ir.Value:
        node = ir.Node("", op_type, inputs, attributes or [])
        self.graph.insert_before(self.node, node)
        output = node.outputs[0]
        output.name = f"{self.name}_exact_{len(self.graph)}"
        return output

    def _replace(self, result: ir.Value) -> None:
        old = self.node.outputs[0]
        result.dtype, result.shape = old.dtype, old.shape
        old.replace_all_uses_with(result, replace_graph_outputs=True)
        self.graph.remove(self.node, safe=True)
        old.name, result.name = None, self.name
