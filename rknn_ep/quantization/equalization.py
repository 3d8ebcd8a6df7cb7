"""Channel equalisation: quiet channels of a tensor are made louder by its maker, and its readers turn them down again.

One 8-bit grid serves all channels of a tensor, so a few loud channels leave the others few codes. Where a tensor goes from one
layer to the next through nothing but Relu, pooling or padding with zeros, channel c of the maker's weights may be divided by
any s_c > 0 and the readers' weights for that channel multiplied by it: the float model computes the same (Nagel et al.,
"Data-Free Quantization Through Weight Equalization and Bias Correction", 2019, section 4.1). A depthwise reader with a scale per
channel takes any s_c at no cost; a dense one shares its scale over its input channels, and meets half-way (Xiao et al.,
"SmoothQuant", 2022, section 4, alpha = 0.5).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir as ir

from rknn_ep.quantization.operators import WEIGHTED, constant, integer_attribute, pads_with_zero, text_attribute

Array = np.ndarray[Any, Any]

LARGEST = 8.0
"""A channel is made at most this much louder than another: one that slept through calibration may wake up later."""
FEWEST_VALUES = 64
"""Channels of which fewer were seen are left alone: the squeezed ones of squeeze-and-excite blocks have one a sample."""
_HOMOGENEOUS = frozenset({"Relu", "MaxPool", "AveragePool", "GlobalAveragePool", "GlobalMaxPool"})


@dataclass(frozen=True)
class Joint:
    """A tensor between layers whose channels may be scaled."""

    tensor: str
    """What the readers read; its channels are measured."""
    maker: ir.Node
    """Its weights, or gamma and beta, make the channels."""
    bias: ir.Node | None
    """The Add behind a MatMul that holds its bias."""
    readers: tuple[ir.Node, ...]
    axis: int
    """Of the channels: 1, or -1 behind a MatMul or LayerNormalization."""


def joints(graph: ir.Graph, parts: Sequence[Sequence[ir.Node]]) -> Iterator[Joint]:
    """All tensors of a float graph that can be equalised; everything around one lies in one of `parts`."""
    place = {node: index for index, part in enumerate(parts) for node in part}
    for node in graph:
        if node not in place or not node.outputs or node.domain != "":
            continue
        value = node.outputs[0]
        readers = tuple(dict.fromkeys(reader for reader, _ in value.uses()))
        if not readers or value.is_graph_output() or not all(_reads(reader, value) for reader in readers):
            continue
        chain = _chain(node)
        if chain is None or len({place.get(member) for member in (*chain, *readers)}) != 1:
            continue
        bias = chain[-2] if chain[-1].op_type == "MatMul" else None
        axis = -1 if chain[-1].op_type in ("MatMul", "LayerNormalization") else 1
        if all((reader.op_type == "MatMul") == (axis == -1) for reader in readers):
            yield Joint(value.name or "", chain[-1], bias, readers, axis)


def equalize(joint: Joint, loudness: Array, per_channel: bool = True) -> Array | None:
    """Scale the channels of one joint, in place: new constants are written, shared ones are left alone.

    Args:
        joint: of the graph to change.
        loudness: largest magnitude seen of each channel.
        per_channel: whether weights get a scale per output channel.

    Returns:
        What each channel was divided by, or None where nothing was done.
    """
    heard = [_input_magnitudes(reader, loudness.size) for reader in joint.readers]
    if not loudness.any() or any(weights is None for weights in heard):
        return None
    factors: Array
    loud = np.maximum(loudness, loudness.max() / LARGEST).astype(np.float64)
    if per_channel and all(_is_depthwise(reader, loudness.size) for reader in joint.readers):
        factors = loud
    else:
        weights = np.max([one for one in heard if one is not None], axis=0)
        weights = np.maximum(weights, weights.max() / LARGEST)
        if not weights.any():
            return None
        factors = np.sqrt(loud / weights)
    factors = np.asarray(np.maximum(factors / factors.max(), 1.0 / LARGEST), np.float32)
    if not _divide(joint, factors):
        return None
    for reader in joint.readers:
        _multiply(reader, factors)
    return factors


class Loudness:
    """The largest magnitude of every channel of the joints' tensors."""

    def __init__(self, axes: Mapping[str, int]) -> None:
        self.axes = axes
        self._seen: dict[str, Array] = {}
        self._counts: dict[str, int] = {}

    @property
    def found(self) -> dict[str, Array]:
        """Tensor -> float32 [channels], of those that showed enough values."""
        return {name: seen for name, seen in self._seen.items() if self._counts[name] >= FEWEST_VALUES}

    def observe(self, name: str, values: Array) -> None:
        """Count one batch of a tensor."""
        axis = self.axes[name] % values.ndim
        others = tuple(index for index in range(values.ndim) if index != axis)
        seen = np.maximum(values.max(axis=others), -values.min(axis=others))
        self._seen[name] = np.maximum(self._seen[name], seen) if name in self._seen else seen
        self._counts[name] = self._counts.get(name, 0) + values.size // values.shape[axis]


# ------------------------------------------------------------------------------------------------ the graph


def _reads(reader: ir.Node, value: ir.Value) -> bool:
    """Whether a node reads the tensor only as what its constant weights are multiplied with."""
    if reader.domain != "" or reader.op_type not in WEIGHTED or list(reader.inputs).count(value) != 1:
        return False
    weight = constant(reader.inputs[1])
    if reader.inputs[0] is not value or weight is None or weight.dtype != np.float32:
        return False
    if reader.op_type == "Gemm":
        return not integer_attribute(reader, "transA", 0)
    return reader.op_type != "MatMul" or weight.ndim == 2


def _chain(node: ir.Node) -> list[ir.Node] | None:
    """From the node that makes a tensor upwards to the one whose weights make its channels; None where there is none."""
    chain = [node]
    while (last := chain[-1]).op_type in _HOMOGENEOUS or _is_matrix_bias(last) or _is_plain_pad(last):
        if len(last.outputs) > 1:
            return None
        position = next((i for i, value in enumerate(last.inputs) if value is not None and constant(value) is None), None)
        value = last.inputs[position] if position is not None else None
        above = value.producer() if value is not None else None
        if value is None or above is None or above.domain != "" or value.is_graph_output() or len(value.uses()) != 1:
            return None
        chain.append(above)
    maker = chain[-1]
    if maker.op_type == "LayerNormalization":
        gamma = constant(maker.inputs[1])
        fits = integer_attribute(maker, "axis", -1) == -1 and gamma is not None and gamma.ndim == 1 and len(maker.outputs) == 1
        return chain if fits and all(member.op_type == "LayerNormalization" for member in chain) else None
    weight = constant(maker.inputs[1]) if len(maker.inputs) > 1 else None
    if maker.op_type not in WEIGHTED or weight is None or weight.dtype != np.float32:
        return None
    if maker.op_type == "MatMul":
        fits = weight.ndim == 2 and len(chain) == 2 and chain[-2].op_type == "Add"
    elif maker.op_type == "ConvTranspose":
        fits = integer_attribute(maker, "group", 1) == 1
    else:
        fits = True
    has_bias = len(maker.inputs) > 2 and maker.inputs[2] is not None
    return chain if fits and (not has_bias or constant(maker.inputs[2]) is not None) else None


def _is_matrix_bias(node: ir.Node) -> bool:
    return (
        node.op_type == "Add"
        and any(
            value is not None and (above := value.producer()) is not None and above.op_type == "MatMul" for value in node.inputs
        )
        and any((array := constant(value)) is not None and array.ndim == 1 for value in node.inputs)
    )


def _is_plain_pad(node: ir.Node) -> bool:
    if node.op_type != "Pad" or text_attribute(node, "mode", "constant") != "constant" or not pads_with_zero(node):
        return False
    pads = constant(node.inputs[1]) if len(node.inputs) > 1 else None
    return pads is not None and len(node.inputs) < 4 and not pads.reshape(2, -1)[:, 1].any()


# ------------------------------------------------------------------------------------------------ the weights


def _is_depthwise(reader: ir.Node, channels: int) -> bool:
    return reader.op_type == "Conv" and channels > 1 and integer_attribute(reader, "group", 1) == channels


def _by_input_channel(reader: ir.Node, weight: Array, channels: int) -> tuple[int, ...] | None:
    """The shape in which a factor for each input channel multiplies a reader's weight, seen as `_grouped` lays it out."""
    if reader.op_type == "Conv":
        group = integer_attribute(reader, "group", 1)
        return (group, 1, channels // group, *(1,) * (weight.ndim - 2)) if weight.shape[1] * group == channels else None
    axis = 1 if reader.op_type == "Gemm" and integer_attribute(reader, "transB", 0) else 0
    return tuple(channels if index == axis else 1 for index in range(weight.ndim)) if weight.shape[axis] == channels else None


def _grouped(reader: ir.Node, weight: Array) -> Array:
    if reader.op_type != "Conv":
        return weight
    group = integer_attribute(reader, "group", 1)
    return weight.reshape(group, weight.shape[0] // group, *weight.shape[1:])


def _input_magnitudes(reader: ir.Node, channels: int) -> Array | None:
    """The largest weight for each input channel."""
    weight = constant(reader.inputs[1])
    shape = _by_input_channel(reader, weight, channels) if weight is not None else None
    if weight is None or shape is None:
        return None
    kept = tuple(index for index, length in enumerate(shape) if length == 1)
    grouped = np.abs(_grouped(reader, weight))
    if reader.op_type == "Conv":  # the group's axis belongs to the channels, also where there is one group
        kept = tuple(index for index in range(grouped.ndim) if index not in (0, 2))
    result: Array = grouped.max(axis=kept).reshape(-1)
    return result if result.size == channels else None


def _multiply(reader: ir.Node, factors: Array) -> None:
    weight = constant(reader.inputs[1])
    assert weight is not None
    shape = _by_input_channel(reader, weight, factors.size)
    assert shape is not None
    scaled = (_grouped(reader, weight) * factors.reshape(shape)).reshape(weight.shape)
    _write(reader, 1, scaled.astype(np.float32))


def _divide(joint: Joint, factors: Array) -> bool:
    """Divide the maker's channels; False, and nothing changed, where its constants have another form."""
    maker = joint.maker
    if maker.op_type == "LayerNormalization":
        places = [(maker, 1), (maker, 2)]
    elif joint.bias is not None:
        places = [(maker, 1), (joint.bias, 0 if constant(joint.bias.inputs[0]) is not None else 1)]
    else:
        places = [(maker, 1), (maker, 2)]
    changed = []
    for node, position in places:
        array = constant(node.inputs[position]) if len(node.inputs) > position else None
        if array is None:
            continue
        axis = _output_axis(maker, array) if position == 1 and node is maker else array.ndim - 1
        if array.ndim == 0 or array.shape[axis] != factors.size or array.dtype != np.float32:
            return False
        shape = [-1 if index == axis else 1 for index in range(array.ndim)]
        changed.append((node, position, (array / factors.reshape(shape)).astype(np.float32)))
    for node, position, array in changed:
        _write(node, position, array)
    return bool(changed)


def _output_axis(maker: ir.Node, weight: Array) -> int:
    if maker.op_type == "ConvTranspose":
        return 1
    if maker.op_type == "Gemm":
        return 0 if integer_attribute(maker, "transB", 0) else 1
    return weight.ndim - 1 if maker.op_type in ("MatMul", "LayerNormalization") else 0


def _write(node: ir.Node, position: int, array: Array) -> None:
    old = node.inputs[position]
    graph = node.graph
    assert old is not None and graph is not None
    name, number = f"{old.name}_equalized", 1
    while name in graph.initializers:
        number += 1
        name = f"{old.name}_equalized_{number}"
    graph.initializers[name] = ir.val(name, const_value=ir.tensor(np.ascontiguousarray(array), name=name))
    node.replace_input_with(position, graph.initializers[name])
