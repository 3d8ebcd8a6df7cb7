"""Resizing, sampling, regions of interest, deformable convolution."""

from __future__ import annotations

from rknn_ep.partitioning.rules.common import Case, Refuse, Rule, data, fixed, float_types, integer, ranked, shape, text
from rknn_ep.records import NodeFacts


def resize(node: NodeFacts) -> Case:
    """Nearest and linear over height and width; cubic kills the compiler."""
    float_types(node)
    rank = ranked(data(node), 3, 4)
    fixed(node, *range(1, len(node.inputs)))
    mode = text(node, "mode", "nearest")
    before, after = shape(data(node)), shape(node.outputs[0])
    if mode == "cubic":
        return Case("Resize_cubic")
    if before[:2] != after[:2]:
        raise Refuse("attribute", "batch or channels are resized", "only height and width are resized")
    if integer(node, "antialias", 0) or text(node, "keep_aspect_ratio_policy", "stretch") != "stretch":
        raise Refuse("attribute", "antialias or an aspect ratio policy is set", "neither is set")
    if node.op_type == "Upsample":
        return Case("Upsample")
    whole = all(new % old == 0 for old, new in zip(before[2:], after[2:], strict=True))
    halved = all(old % new == 0 for old, new in zip(before[2:], after[2:], strict=True))
    name = _nearest(node, whole) if mode == "nearest" else _linear(node, whole, halved)
    if rank == 3:
        if name != "Resize_nearest":
            raise Refuse("rank", f"{mode} in one dimension", "nearest in one dimension")
        return Case("Resize_3d")
    return Case(name)


def _nearest(node: NodeFacts, whole: bool) -> str:
    how = text(node, "coordinate_transformation_mode", "half_pixel")
    rounding = text(node, "nearest_mode", "round_prefer_floor")
    if (how, rounding) == ("asymmetric", "floor"):
        return "Resize_nearest" if whole else "Resize_nearest_frac"
    if whole and how in ("half_pixel", "pytorch_half_pixel") and rounding.startswith("round"):
        return "Resize_nearest"  # output x reads (x + 0.5) / n - 0.5, whose nearest is floor(x / n) and never a tie
    name = _NEAREST.get((how.removeprefix("pytorch_"), rounding))  # they differ in resizing to a single value only
    if name is None or (how.startswith("pytorch") and 1 in shape(node.outputs[0])[2:]):
        raise Refuse(
            "attribute", f"nearest with {how} and {rounding}", "a probed pair, such as half_pixel and round_prefer_floor"
        )
    return name


_NEAREST = {
    ("half_pixel", "round_prefer_floor"): "Resize_nearest_half_frac",
    ("half_pixel", "floor"): "Resize_nearest_half_floor",
    ("asymmetric", "round_prefer_floor"): "Resize_nearest_asym_round",
    ("align_corners", "round_prefer_floor"): "Resize_nearest_ac_round",
    ("align_corners", "floor"): "Resize_nearest_ac_floor",
}
"""Asked, and run in the vendor's simulator: ONNX Runtime's values."""


def _linear(node: NodeFacts, whole: bool, halved: bool) -> str:
    how = text(node, "coordinate_transformation_mode", "half_pixel")
    if how == "align_corners":
        return "Resize_linear_ac"
    if how == "asymmetric" and whole:
        return "Resize_linear_4x"
    if how in ("half_pixel", "pytorch_half_pixel"):
        return "Resize_linear" if whole else "Resize_linear_down" if halved else "Resize_linear_half_frac"
    raise Refuse("attribute", f"linear with {how}", "half_pixel, align_corners, or asymmetric by a whole factor")


def sampled(node: NodeFacts) -> Case:
    """GridSample, RoiAlign, MaxRoiPool, DeformConv: computed on the CPU side."""
    for tensor in (data(node, 0), node.outputs[0]):
        ranked(tensor, 4)
    if node.op_type == "DeformConv":
        fixed(node, 1, 3)
    if node.op_type == "RoiAlign":
        fixed(node, 2)
    return Case(node.op_type)


RULES: dict[str, Rule] = {
    **dict.fromkeys(("Resize", "Upsample"), resize),
    **dict.fromkeys(("GridSample", "RoiAlign", "MaxRoiPool", "DeformConv"), sampled),
}
