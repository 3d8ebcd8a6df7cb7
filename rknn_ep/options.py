"""Provider options: string keys and values, validated, with the nearest valid name in every error.

The same options serve `InferenceSession(providers=[(name, options)])`, `rknn_ep.compile(...)` and the command line.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from rknn_ep.errors import OptionError, nearest
from rknn_ep.plugins import PluginManager, plugins
from rknn_ep.records import Target
from rknn_ep.shapes import ShapeSet, parse_dynamic_input, parse_input_shapes

PRECISIONS = ("auto", "int8", "int16", "fp16")
IO_MODES = ("auto", "general", "zero_copy")
SIMULATIONS = ("fast", "exact")
QUANTIZERS = ("ours", "toolkit2")
COLORS = ("rgb", "bgr", "gray")
RESIZES = ("stretch", "crop", "pad")
MOST_CONTEXTS = 64
"""As the native library has it."""
MOST_THREADS = 1024
"""As the simulator has it."""
DEFAULT_TARGET = "rk3588"
DEFAULT_CALIBRATION_METHOD = "mmse"


@dataclass(frozen=True)
class Options:
    """Everything that shapes how a model is partitioned, quantised, compiled and run. See docs/options.md."""

    target: str = DEFAULT_TARGET
    device: str = "auto"
    precision: str = "auto"
    input_shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    """Input name -> dimensions."""
    dimensions: Mapping[str, int] = field(default_factory=dict)
    """Symbolic dimension name -> value."""
    dynamic_input: tuple[ShapeSet, ...] = ()
    """Choices of input shapes between which programs change at run time."""
    calibration: Path | None = None
    calibration_method: str = DEFAULT_CALIBRATION_METHOD
    mean: tuple[float, ...] = ()
    """One a channel, in the picture's 0..255 scale, in the order of `color`."""
    std: tuple[float, ...] = ()
    color: str = "rgb"
    resize: str = "stretch"
    quantizer: str = "ours"
    per_channel: bool = True
    exclude_nodes: frozenset[str] = frozenset()
    exclude_ops: frozenset[str] = frozenset()
    min_partition_macs: int | None = None
    """None: the cost model decides."""
    cache_dir: Path | None = None
    report: Path | None = None
    keep_failing: Path | None = None
    """Folder for the smallest model that shows why a partition cannot be compiled."""
    core_mask: str = "auto"
    contexts: int = 1
    io_mode: str = "auto"
    simulation: str = "fast"
    simulation_threads: int = 1
    strict: bool = False
    plugin: Mapping[str, str] = field(default_factory=dict)
    """`<plugin>.<key>` -> value, untouched."""

    @classmethod
    def parse(cls, given: Mapping[str, Any], manager: PluginManager | None = None) -> Options:
        """Validate options as a runtime or a program hands them over.

        Args:
            given: option name -> string, or the value itself from Python (numbers, booleans, paths, mappings).
            manager: the plugins that give `target`, `device` and `calibration_method` their values; the installed ones.

        Raises:
            OptionError: an unknown name or value.
        """
        manager = manager or plugins()
        values: dict[str, Any] = {}
        plugin: dict[str, str] = {}
        for key, value in given.items():
            if value is None:
                continue
            if "." in key:
                plugin[key] = _plugin_option(key, value, manager)
            elif key == "input_shapes":
                values["input_shapes"], values["dimensions"] = parse_input_shapes(value)
            elif key == "dynamic_input":
                values[key] = parse_dynamic_input(value)
            elif key in _PARSERS:
                values[key] = _PARSERS[key](key, value)
            else:
                raise OptionError(f"unknown option '{key}': {nearest(key, [*_PARSERS, 'input_shapes', 'dynamic_input'])}")
        options = cls(**{"target": default_target(manager), **values}, plugin=plugin)
        target = manager.target(options.target)
        _one_of("device", options.device, ["auto", *manager.runtimes()])
        _one_of("calibration_method", options.calibration_method, manager.calibrators())
        options = replace(options, target=target.name)
        options.check_for(target.name, manager)
        return options

    def check_for(self, target: str, manager: PluginManager | None = None) -> None:
        """Let the plugins look at their own options for a SoC.

        Raises:
            OptionError: one that the SoC has not, or that does not fit the others.
        """
        text = {**self.as_text(), "target": target}
        for compiler in (manager or plugins()).compilers().values():
            compiler.check_options(text)

    def at_shapes(self, choice: ShapeSet, inputs: Sequence[str]) -> Options:
        """The options of a build for one choice of input shapes; `inputs` are the names of the model's.

        Raises:
            ShapeError: the choice does not fit them.
        """
        shapes = {**self.input_shapes, **choice.named(inputs)}
        return replace(self, input_shapes=shapes, dimensions={**self.dimensions, **choice.dimensions}, dynamic_input=())

    def as_text(self) -> dict[str, str]:
        """The options that differ from their defaults, as strings that `parse` reads back."""
        default = Options(target=default_target(plugins()))
        text = dict(self.plugin)
        for item in fields(self):
            value = getattr(self, item.name)
            if item.name in ("plugin", "dimensions", "input_shapes", "dynamic_input") or value == getattr(default, item.name):
                continue
            text[item.name] = _to_text(value)
        shapes = [f"{name}:{','.join(map(str, dims))}" for name, dims in sorted(self.input_shapes.items())]
        shapes += [f"{name}={value}" for name, value in sorted(self.dimensions.items())]
        if shapes:
            text["input_shapes"] = ";".join(shapes)
        if self.dynamic_input:
            text["dynamic_input"] = "|".join(map(str, self.dynamic_input))
        return text


def default_target(manager: PluginManager) -> str:
    """What `target` is when nobody says: the SoC that this machine is, as far as its runtime knows it, else rk3588."""
    for runtime in manager.runtimes().values():
        if runtime.at_home() and (soc := runtime.target()):
            return soc
    return DEFAULT_TARGET


def _one_of(key: str, value: str, valid: Any) -> str:
    if value not in valid:
        raise OptionError(f"option '{key}' does not take '{value}': {nearest(value, valid)}")
    return value


def _choice(*valid: str) -> Any:
    return lambda key, value: _one_of(key, str(value).lower(), valid)


def _boolean(key: str, value: Any) -> bool:
    text = str(value).lower()
    if text in ("1", "true", "yes", "on"):
        return True
    if text in ("0", "false", "no", "off"):
        return False
    raise OptionError(f"option '{key}' is 0 or 1, not '{value}'")


def _integer(minimum: int, maximum: int | None = None) -> Any:
    def parse(key: str, value: Any) -> int:
        try:
            number = int(str(value))
        except ValueError:
            raise OptionError(f"option '{key}' is a whole number, not '{value}'") from None
        if number < minimum:
            raise OptionError(f"option '{key}' is at least {minimum}, not {number}")
        if maximum is not None and number > maximum:
            raise OptionError(f"option '{key}' is at most {maximum}, not {number}")
        return number

    return parse


def _floats(key: str, value: Any) -> tuple[float, ...]:
    try:
        parts = value.split(",") if isinstance(value, str) else value if isinstance(value, Iterable) else [value]
        numbers = tuple(float(part) for part in parts)
    except (TypeError, ValueError):
        raise OptionError(f"option '{key}' is a list of numbers such as 123.7,116.3,103.5, not '{value}'") from None
    if not all(map(math.isfinite, numbers)):
        raise OptionError(f"option '{key}' takes finite numbers, not '{value}'")
    return numbers


def _divisors(key: str, value: Any) -> tuple[float, ...]:
    numbers = _floats(key, value)
    if min(numbers, default=1.0) <= 0:
        raise OptionError(f"option '{key}' divides: its numbers are above 0, not '{value}'")
    return numbers


def _names(key: str, value: Any) -> frozenset[str]:
    parts = value.split(",") if isinstance(value, str) else value
    return frozenset(str(part).strip() for part in parts if str(part).strip())


def _text(key: str, value: Any) -> str:
    return str(value)


def _path(key: str, value: Any) -> Path:
    return Path(value).expanduser()


def _core_mask(key: str, value: Any) -> str:
    text = str(value).lower()
    if text in ("auto", "all"):
        return text
    try:
        int(text, 0)
    except ValueError:
        raise OptionError(f"option '{key}' is auto, all or a bit mask such as 0x7, not '{value}'") from None
    return text


def require_core_mask(text: str, target: Target) -> None:
    """Refuse cores that the SoC has not, where the SoC is known: a compiled model says its own only when it is loaded.

    Raises:
        OptionError: names what the SoC takes.
    """
    if text == "auto" or (text == "all" and target.core_masks):
        return
    if not target.core_masks:
        raise OptionError(f"option 'core_mask' is not for {target.name}, which has a single core: leave it out, not '{text}'")
    if text != "all" and int(text, 0) not in target.core_masks:
        valid = ", ".join(map(str, target.core_masks))
        raise OptionError(f"option 'core_mask' of {target.name} is auto, all or one of {valid}, not '{text}'")


def _plugin_option(key: str, value: Any, manager: PluginManager) -> str:
    owner = key.split(".", 1)[0]
    names = [origin.plugin for origin in manager.origins()]
    if owner not in names:
        raise OptionError(f"option '{key}' is for a plugin '{owner}' that is not installed: {nearest(owner, names)}")
    return str(value)


def _to_text(value: Any) -> str:
    if isinstance(value, bool):
        return "1" if value else "0"
    if isinstance(value, (tuple, frozenset)):
        return ",".join(map(str, sorted(value) if isinstance(value, frozenset) else value))
    return str(value)


_PARSERS: dict[str, Any] = {
    "target": _text,
    "device": _text,
    "precision": _choice(*PRECISIONS),
    "calibration": _path,
    "calibration_method": _text,
    "mean": _floats,
    "std": _divisors,
    "color": _choice(*COLORS),
    "resize": _choice(*RESIZES),
    "quantizer": _choice(*QUANTIZERS),
    "per_channel": _boolean,
    "exclude_nodes": _names,
    "exclude_ops": _names,
    "min_partition_macs": _integer(0),
    "cache_dir": _path,
    "report": _path,
    "keep_failing": _path,
    "core_mask": _core_mask,
    "contexts": _integer(1, MOST_CONTEXTS),
    "io_mode": _choice(*IO_MODES),
    "simulation": _choice(*SIMULATIONS),
    "simulation_threads": _integer(1, MOST_THREADS),
    "strict": _boolean,
}
