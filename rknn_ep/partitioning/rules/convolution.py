"""Conv and ConvTranspose."""

from __future__ import annotations

from dataclasses import replace
from math import prod

from rknn_ep.partitioning.rules.common import Case, Refuse, Rule, data, float_types, given, integer, integers, ranked, shape, text
from rknn_ep.partitioning.rules.windows import Window, window
from rknn_ep.records import NodeFacts

LARGEST_WHOLE = 16
"""Kernels above this are taken apart into several; the parts are in float16, which some SoCs have not."""
LARGEST_STRIDE = 7
"""Of depthwise kernels; above it each stride was asked by itself."""
LARGEST_VOLUME = 4096
"""Values of a kernel in three dimensions; RV1106B's compiler takes larger ones apart in float16, which it has not."""
LARGEST_SLICE = 1024
"""Values of one slice of such a kernel; of larger ones RV1106B's compiler dies where there are more than eight slices."""
LARGEST_DILATION = 16
"""Above it RK2118's CPU side spreads the input."""
LARGEST_DILATION_1D = 24
"""The same in one dimension: 24 was asked, and 32."""


def conv(node: NodeFacts) -> Case:
    """One to three spatial dimensions; grouped, depthwise, dilated, strided; weight and bias may be computed."""
    float_types(node)
    rank = ranked(data(node), 3, 4, 5)
    weight = shape(data(node, 1))
    spatial = window(node, weight[2:])
    group = integer(node, "group", 1)
    depthwise = group > 1 and weight[1] == 1 and weight[0] == group
    native = "DepthwiseConv" if depthwise else "Conv"
    if rank == 5 and group != 1:
        raise Refuse("attribute", f"group is {group} in three dimensions", "group = 1 in three dimensions")
    large = "_k17" if max(spatial.kernel) > LARGEST_WHOLE else ""
    if rank == 5:
        return _case(f"Conv3d{_volume(weight, spatial)}", native, spatial)
    if rank == 3:
        if max(spatial.dilations) > LARGEST_DILATION_1D:
            return _case("Conv1d_dil32", native, spatial)
        kind = f"_dw{large}" if depthwise else f"_group{large or 4}" if group > 1 else large
        return _case(f"Conv1d{kind}", native, spatial)
    if data(node, 1).constant is None:
        computed = _case("Conv_dynW_dw" if depthwise else "Conv_dynW", "ConvComputed", spatial)
        return replace(computed, figures={**computed.figures, "weight": (prod(weight[1:]),)})
    if depthwise:
        stride = max(spatial.strides)
        return _case(f"Conv_dw{large or (f'_s{stride}' if stride > LARGEST_STRIDE else '')}", native, spatial)
    if group > 1:
        return _case(f"Conv_group{large or 4}", native, spatial)
    if max(spatial.dilations) > LARGEST_DILATION:
        return _case("Conv_dil32", native, spatial)
    return _case("Conv_1x1" if set(weight[2:]) == {1} else f"Conv{large}", native, spatial)


def _volume(weight: tuple[int, ...], spatial: Window) -> str:
    """What sets kernels of three dimensions apart."""
    if prod(weight[1:]) > LARGEST_VOLUME:
        return "_large"
    if weight[1] * prod(weight[3:]) > LARGEST_SLICE:
        return "_wide"
    widest = max(spatial.dilations)
    return "" if widest == 1 else "_dil2" if widest == 2 else "_dil4"


def conv_transpose(node: NodeFacts) -> Case:
    """One or two dimensions; the compiler fails on an auto_pad that could not be written as pads."""
    float_types(node)
    rank = ranked(data(node), 3, 4)
    weight = shape(data(node, 1))
    group = integer(node, "group", 1)
    if text(node, "auto_pad", "NOTSET") not in ("NOTSET", "VALID") or "output_shape" in node.attributes:
        raise Refuse("attribute", "an output's shape, or auto_pad with a stride above the kernel", "pads and output_padding")
    spatial = window(node, weight[2:])
    # With a bias the compiler dies of a quantised depthwise one as it does of other groups.
    depthwise = group > 1 and weight[1] == 1 and weight[0] == group
    # As many scales as output channels of a group: with one, the compiler sees a scale for the whole layer.
    single = "_one" if group > 1 == weight[1] and given(node, 2) is None else ""
    bias = "_bias" if given(node, 2) is not None else ""
    if rank == 3:
        even = set(spatial.strides) <= {1, 2, 4, 8} or max(spatial.strides) > max(spatial.kernel)
        kind = ("" if even else "_s3") if group == 1 else f"_dw{bias}{'' if even else '_s3'}" if depthwise else f"_group{single}"
        return _case(f"ConvTranspose1d{kind}", "ConvTranspose", spatial)
    uneven = not set(spatial.strides) <= {1, 2, 4, 8}  # the CPU side spreads the input, a convolution follows
    if depthwise:
        return _case(f"ConvTranspose_dw{bias}{'_s3' if uneven else ''}", "ConvTranspose", spatial)
    if group > 1:
        kind = f"_group{single}_s3" if uneven else "_group_one" if single else "_group4"
        return _case(f"ConvTranspose{kind}", "ConvTranspose", spatial)
    if uneven:
        return _case("ConvTranspose_s3", "ConvTranspose", spatial)
    if any(integers(node, "output_padding", ())):
        return _case("ConvTranspose_outpad", "ConvTranspose", spatial)
    return _case("ConvTranspose_dyn" if data(node, 1).constant is None else "ConvTranspose", "ConvTranspose", spatial)


def _case(name: str, native: str, spatial: Window) -> Case:
    figures = {"kernel": spatial.kernel, "stride": spatial.strides, "pad": spatial.pads, "dilation": spatial.dilations}
    return Case(name, native, figures, heavy=True)


RULES: dict[str, Rule] = {"Conv": conv, "ConvTranspose": conv_transpose}
