"""What the toolkit made of our quantisation: its own table, and what the file says, beside ours.

    check = compare(copy, table, metadata)
    check.kept, check.fused, check.differences

`table` is what the toolkit held in memory (None where a version does not show it), `metadata` what the .rknn says (None
for rv1106 and rv1103b, whose files describe themselves in another format).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from rknn_ep.artifact.rknn_file import RknnMetadata
from rknn_ep_toolkit2.vendor_copy import VendorCopy

TOLERANCE = 1e-6
"""Relative: scales are float32 on both sides, and the file keeps minimum and maximum, from which they are made again."""
_INTEGERS = frozenset({"int8", "int16", "INT8", "INT16"})


@dataclass(frozen=True)
class Difference:
    """A tensor that has other parameters there than here."""

    tensor: str
    where: str
    """toolkit (its table in memory) or file."""
    ours: tuple[float, int]
    """Scale and zero point; of weights the channel that differs most, with zero point 0."""
    theirs: tuple[float, int]


@dataclass(frozen=True)
class Check:
    """The comparison of one compilation."""

    kept: int
    """Activations whose scale and zero point are ours in every place where they were found."""
    fused: int
    """Activations of ours that no native operator stores: they live inside one."""
    floating: tuple[str, ...]
    """Activations of ours that the compiler keeps as float16."""
    weights_kept: int
    weights_rewritten: tuple[str, ...]
    """Weights that the compiler made others of: merged with an Add of the convolution's own input, say, and quantised anew."""
    differences: tuple[Difference, ...]
    sources: tuple[str, ...]
    """Where parameters were read: toolkit, file."""

    def to_dict(self) -> dict[str, Any]:
        """For the report."""
        return {
            "read_from": list(self.sources),
            "scales_kept": self.kept,
            "scales_fused_away": self.fused,
            "weight_scales_kept": self.weights_kept,
            **({"weights_rewritten": list(self.weights_rewritten)} if self.weights_rewritten else {}),
            **({"kept_as_float16": list(self.floating)} if self.floating else {}),
            "differences": [asdict(one) for one in self.differences],
        }


def compare(
    copy: VendorCopy, table: Mapping[str, Any] | None, metadata: RknnMetadata | None, stored: Collection[str] | None = None
) -> Check:
    """Compare every scale and zero point of ours with what was used and what was written.

    Args:
        copy: what was handed to the toolkit.
        table: its own table of parameters.
        metadata: what the file says.
        stored: names of the tensors that native operators store, where there is no metadata to say so.
    """
    places = {"toolkit": _of_table(table), "file": _of_file(metadata)}
    sources = tuple(name for name, given in (("toolkit", table), ("file", metadata)) if given is not None)
    kept = fused = 0
    floating: list[str] = []
    differences: list[Difference] = []
    survivors = set(places["file"]) if metadata is not None else None if stored is None else set(stored)
    for tensor, ours in _once(copy.parameters).items():
        names = (tensor, f"{tensor}_quantized", f"{tensor}_dequantized")
        if survivors is not None and not survivors.intersection(names):
            fused += 1
            continue
        # An average with a scale of its own is in the toolkit's table under the name of its codes.
        found = {where: _first(place, names[:2]) for where, place in places.items() if not place.keys().isdisjoint(names[:2])}
        known = {where: theirs for where, theirs in found.items() if theirs is not None}
        wrong = [Difference(tensor, where, ours, theirs) for where, theirs in known.items() if not _equal(ours, theirs)]
        differences += wrong
        if not found:
            fused += 1
        elif not known:
            floating.append(tensor)
        else:
            kept += not wrong
    weights_kept = 0
    rewritten: list[str] = []
    for name, ours_scales in copy.weights.items() if table is not None else ():
        entry = (table or {}).get(name, {})
        if not entry.get("scale") or entry.get("dtype") not in ("int8", "int4", "int16"):
            rewritten.append(name)
            continue
        theirs_scales = np.asarray(entry["scale"], np.float32)
        if theirs_scales.size != ours_scales.size or not np.allclose(theirs_scales, ours_scales, rtol=TOLERANCE, atol=0):
            differences.append(_weight_difference(name, ours_scales, theirs_scales))
        else:
            weights_kept += 1
    return Check(kept, fused, tuple(floating), weights_kept, tuple(rewritten), tuple(differences), sources)


def _first(place: Mapping[str, tuple[float, int] | None], names: Sequence[str]) -> tuple[float, int] | None:
    """The parameters under the first of the names that has some."""
    return next((place[name] for name in names if place.get(name) is not None), None)


def _once(parameters: Mapping[str, tuple[float, int]]) -> dict[str, tuple[float, int]]:
    """Each tensor by its own name, without the names of its codes and of its dequantised values."""
    return {name: value for name, value in parameters.items() if f"{name}_quantized" in parameters} or dict(parameters)


def _of_table(table: Mapping[str, Any] | None) -> dict[str, tuple[float, int] | None]:
    found: dict[str, tuple[float, int] | None] = {}
    for name, entry in (table or {}).items():
        scale, zero = entry.get("scale"), entry.get("zero_point")
        if entry.get("dtype") in _INTEGERS and scale and zero and len(scale) == 1:
            found[name] = (float(scale[0]), int(zero[0]))
        elif entry.get("dtype") == "float16":
            found[name] = None
    return found


def _of_file(metadata: RknnMetadata | None) -> dict[str, tuple[float, int] | None]:
    if metadata is None or not metadata.graphs:
        return {}
    return {
        tensor.name: (float(tensor.scale[0]), int(tensor.zero_point[0])) if len(tensor.scale) == 1 and tensor.zero_point else None
        for tensor in metadata.graphs[0].tensors
        if tensor.kind != "weight"
    }


def _equal(ours: tuple[float, int], theirs: tuple[float, int]) -> bool:
    return abs(ours[0] - theirs[0]) <= TOLERANCE * abs(ours[0]) and ours[1] == theirs[1]


def _weight_difference(name: str, ours: np.ndarray[Any, Any], theirs: np.ndarray[Any, Any]) -> Difference:
    if ours.size != theirs.size:
        return Difference(name, "toolkit", (float(ours[0]), 0), (float(theirs[0]), 0))
    channel = int(np.argmax(np.abs(theirs / ours - 1)))
    return Difference(name, "toolkit", (float(ours[channel]), 0), (float(theirs[channel]), 0))
