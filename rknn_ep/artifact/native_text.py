"""Plain `key=value` lines: what native code reads of a bundle, without a JSON parser.

One pair a line, the first `=` splits. In values `%`, line feed, carriage return and NUL stand as `%25`, `%0A`, `%0D`
and `%00`; keys need no escaping because they may only hold letters, digits, `.`, `_` and `-`.

    format=1
    target=rk3588
    inputs=1
    input.0.name=x
    input.0.dims=1,3,480,480
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from rknn_ep.errors import ArtifactError

FORMAT = 1
"""Version of the lines and of the bundle around them; readers refuse any other."""

UINT8_NHWC = "UINT8_NHWC"
"""A picture as cameras give it."""

_KEY = re.compile(r"[A-Za-z0-9._-]+")
_ESCAPES = {"%": "%25", "\n": "%0A", "\r": "%0D", "\0": "%00"}
_CHARACTERS = {escape: character for character, escape in _ESCAPES.items()}
_ESCAPED = re.compile(r"%.{0,2}", re.DOTALL)
_INTEGER = re.compile(r"-?[0-9]{1,19}")
_LARGEST_DIMENSION = 2**31 - 1
_MOST_TENSORS = 4096
_MOST_SHAPES = 512
"""RKNN_MAX_DYNAMIC_SHAPE_NUM."""


@dataclass(frozen=True)
class TensorDescription:
    """An input or output of a partition at its border and inside the device."""

    name: str
    dims: tuple[int, ...]
    """In the order of the ONNX graph; empty for a scalar."""
    dtype: str
    """ONNX name of the element type that the runtime hands over: FLOAT, FLOAT16, INT64, INT32, BOOL, UINT8, INT8."""
    qtype: str = "NONE"
    """What the device computes with: INT8, INT16, FLOAT16, or NONE where it takes the tensor as it is."""
    scale: float = 1.0
    """A float32 value."""
    zero_point: int = 0
    """In int8 (int16) codes."""
    border: str = ""
    """UINT8_NHWC: the host hands over pictures as they are, uint8 [N,H,W,C], and `dims` and `dtype` are what the device makes
    of them, FLOAT [N,C,H,W]; empty: `dims` and `dtype` hold at the border too."""

    @property
    def border_dims(self) -> tuple[int, ...]:
        """The shape of the tensor that the host hands over."""
        return (self.dims[0], *self.dims[2:], self.dims[1]) if self.border == UINT8_NHWC else self.dims

    @property
    def border_dtype(self) -> str:
        """ONNX name of its element type."""
        return "UINT8" if self.border == UINT8_NHWC else self.dtype


@dataclass(frozen=True)
class SocFacts:
    """A SoC as programs see it."""

    name: str
    cores: int = 1
    core_masks: tuple[int, ...] = ()
    """Values that rknn_set_core_mask takes; empty: the SoC refuses the call."""
    copying_api: bool = True


@dataclass(frozen=True)
class NativeDescription:
    """Everything native code needs to know of a partition; `native.txt` in bundles and `notes` of EPContext nodes."""

    target: str
    precision: str
    partition: str
    inputs: tuple[TensorDescription, ...]
    outputs: tuple[TensorDescription, ...]
    cores: int = 1
    core_masks: tuple[int, ...] = ()
    """Values that rknn_set_core_mask takes; empty: the SoC refuses the call."""
    copying_api: bool = True
    sdk: str = ""
    """The version of rknn_ep that wrote it."""
    weight_bytes: int = 0
    internal_bytes: int = 0
    exact_model: str = "simulation.onnx"
    """The bundle entry that `simulation=exact` runs."""
    also: tuple[SocFacts, ...] = ()
    """SoCs beside `target` that the bundle serves."""
    shapes: int = 1
    """Choices of input shapes in the bundle; the second is described in native.1.txt."""
    extra: Mapping[str, str] = field(default_factory=dict)
    """Further keys, kept as they are."""

    @property
    def targets(self) -> tuple[str, ...]:
        """Every SoC that the bundle serves, the one that it was planned for first."""
        return (self.target, *(soc.name for soc in self.also))

    def for_target(self, target: str) -> NativeDescription:
        """The same for one of `targets` alone.

        Raises:
            ArtifactError: the bundle does not serve it.
        """
        if target == self.target:
            return replace(self, also=())
        for soc in self.also:
            if soc.name == target:
                return replace(
                    self, target=target, cores=soc.cores, core_masks=soc.core_masks, copying_api=soc.copying_api, also=()
                )
        raise ArtifactError(
            f"partition {self.partition} was compiled for {', '.join(self.targets)}, not for {target}",
            remedy=f"Compile the model again: rknn-ep compile --target {target}, or --also-target beside others.",
        )

    def to_text(self) -> str:
        """The lines, always in the same order."""
        values = {
            "format": str(FORMAT),
            "target": self.target,
            "precision": self.precision,
            "partition": self.partition,
            "cores": str(self.cores),
            "core_masks": ",".join(map(str, self.core_masks)),
            "copying_api": "1" if self.copying_api else "0",
            "sdk": self.sdk,
            "weight_bytes": str(self.weight_bytes),
            "internal_bytes": str(self.internal_bytes),
            "exact_model": self.exact_model,
        }
        if self.shapes > 1:
            values["shapes"] = str(self.shapes)
        for kind, tensors in (("input", self.inputs), ("output", self.outputs)):
            values[f"{kind}s"] = str(len(tensors))
            for index, tensor in enumerate(tensors):
                values[f"{kind}.{index}.name"] = tensor.name
                values[f"{kind}.{index}.dims"] = ",".join(map(str, tensor.dims))
                values[f"{kind}.{index}.dtype"] = tensor.dtype
                values[f"{kind}.{index}.qtype"] = tensor.qtype
                values[f"{kind}.{index}.scale"] = repr(float(tensor.scale))
                values[f"{kind}.{index}.zero_point"] = str(tensor.zero_point)
                if tensor.border:
                    values[f"{kind}.{index}.border"] = tensor.border
        if self.also:
            values["also"] = ",".join(soc.name for soc in self.also)
        for soc in self.also:
            values[f"{soc.name}.cores"] = str(soc.cores)
            values[f"{soc.name}.core_masks"] = ",".join(map(str, soc.core_masks))
            values[f"{soc.name}.copying_api"] = "1" if soc.copying_api else "0"
        for key in sorted(self.extra):
            if key in values:
                raise ArtifactError(f"native description: '{key}' is one of the fixed keys and cannot be an extra one")
            values[key] = self.extra[key]
        return format_lines(values)

    @classmethod
    def from_text(cls, text: str, origin: str = "native.txt") -> NativeDescription:
        """Read the lines back.

        Raises:
            ArtifactError: a missing or unreadable value, or another format number; `origin` is named.
        """
        values = parse_lines(text, origin)
        check_format(values, origin)
        reader = _Reader(values, origin)
        description = cls(
            target=reader.text("target"),
            precision=reader.text("precision"),
            partition=reader.text("partition"),
            inputs=reader.tensors("input"),
            outputs=reader.tensors("output"),
            cores=reader.integer("cores", 1),
            core_masks=reader.integers("core_masks", ()),
            copying_api=reader.integer("copying_api", 1) != 0,
            sdk=reader.values.pop("sdk", ""),
            weight_bytes=reader.integer("weight_bytes", 0),
            internal_bytes=reader.integer("internal_bytes", 0),
            exact_model=reader.values.pop("exact_model", "simulation.onnx"),
            also=tuple(reader.soc(name) for name in reader.values.pop("also", "").split(",") if name),
            shapes=reader.integer("shapes", 1),
            extra={},
        )
        if not 1 <= description.shapes <= _MOST_SHAPES:
            raise ArtifactError(f"{origin}: {description.shapes} choices of input shapes cannot be")
        reader.values.pop("format")
        return cls(**{**description.__dict__, "extra": dict(reader.values)})


def format_lines(values: Mapping[str, str]) -> str:
    """Write `key=value` lines in the mapping's order.

    Raises:
        ArtifactError: a key that the format cannot hold.
    """
    lines = []
    for key, value in values.items():
        if not _KEY.fullmatch(key):
            raise ArtifactError(f"'{key}' cannot be the key of a key=value line: letters, digits, '.', '_' and '-' can")
        lines.append(f"{key}={''.join(_ESCAPES.get(character, character) for character in value)}\n")
    return "".join(lines)


def parse_lines(text: str, origin: str = "native.txt") -> dict[str, str]:
    """Read `key=value` lines; empty lines are skipped.

    Raises:
        ArtifactError: a line without `=`, a malformed key or escape, or a key that appears twice; `origin` is named.
    """
    values: dict[str, str] = {}
    for number, line in enumerate(text.split("\n"), 1):
        if not line:
            continue
        key, equals, value = line.partition("=")
        if not equals or not _KEY.fullmatch(key) or key in values or "\0" in value or "\r" in value:
            raise ArtifactError(f"{origin}: line {number} is not a key=value line of its own: {line[:60]!r}")
        for escape in _ESCAPED.findall(value):
            if escape not in _CHARACTERS:
                raise ArtifactError(f"{origin}: line {number}: '{escape}' is not an escaped character")
        values[key] = _ESCAPED.sub(lambda match: _CHARACTERS[match.group(0)], value)
    return values


def check_format(values: Mapping[str, str], origin: str) -> None:
    """Refuse lines of another format number, naming both and the version that wrote them.

    Raises:
        ArtifactError: `format` is not this version's.
    """
    found = values.get("format", "none")
    if found != str(FORMAT):
        writer = values.get("sdk") or "an unknown version"
        raise ArtifactError(
            f"{origin}: format {found[:20]}, written by rknn_ep {writer[:40]}; this version reads format {FORMAT}",
            remedy="Compile the model again with the installed version: rknn-ep compile.",
        )


class _Reader:
    """Takes typed values out of parsed lines; what is left over are the extra keys."""

    def __init__(self, values: dict[str, str], origin: str) -> None:
        self.values = dict(values)
        self.origin = origin

    def text(self, key: str) -> str:
        if key not in self.values:
            raise ArtifactError(f"{self.origin}: '{key}' is missing")
        return self.values.pop(key)

    def integer(self, key: str, default: int | None = None) -> int:
        if default is not None and key not in self.values:
            return default
        return self._integer(key, self.text(key))

    def integers(self, key: str, default: tuple[int, ...] | None = None) -> tuple[int, ...]:
        if default is not None and key not in self.values:
            return default
        text = self.text(key)
        return tuple(self._integer(key, part) for part in text.split(",")) if text else ()

    def soc(self, name: str) -> SocFacts:
        return SocFacts(
            name,
            self.integer(f"{name}.cores", 1),
            self.integers(f"{name}.core_masks", ()),
            self.integer(f"{name}.copying_api", 1) != 0,
        )

    def number(self, key: str) -> float:
        text = self.text(key)
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            raise ArtifactError(f"{self.origin}: '{key}' is not a finite number: '{text[:40]}'")
        return value

    def tensors(self, kind: str) -> tuple[TensorDescription, ...]:
        count = self.integer(f"{kind}s")
        if not 0 <= count <= _MOST_TENSORS:
            raise ArtifactError(f"{self.origin}: {count} {kind}s cannot be")
        return tuple(self._tensor(f"{kind}.{index}") for index in range(count))

    def _tensor(self, prefix: str) -> TensorDescription:
        dims = self.integers(f"{prefix}.dims")
        if any(not 0 <= dim <= _LARGEST_DIMENSION for dim in dims):
            raise ArtifactError(f"{self.origin}: '{prefix}.dims' holds an impossible dimension: {dims}")
        border = self.values.pop(f"{prefix}.border", "")
        if border not in ("", UINT8_NHWC) or (border and len(dims) != 4):
            raise ArtifactError(f"{self.origin}: '{prefix}.border' is '{border[:40]}', which this version does not know")
        return TensorDescription(
            name=self.text(f"{prefix}.name"),
            dims=dims,
            dtype=self.text(f"{prefix}.dtype"),
            qtype=self.text(f"{prefix}.qtype"),
            scale=self.number(f"{prefix}.scale"),
            zero_point=self.integer(f"{prefix}.zero_point"),
            border=border,
        )

    def _integer(self, key: str, text: str) -> int:
        if not _INTEGER.fullmatch(text):
            raise ArtifactError(f"{self.origin}: '{key}' is not a whole number: '{text[:40]}'")
        return int(text)
