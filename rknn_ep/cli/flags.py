"""The provider options as command line flags, generated from one table.

    @provider_flags
    def compile_command(model: Path, options: dict[str, Any]) -> None: ...

The command receives what the user gave, as `rknn_ep.options.Options.parse` and `rknn_ep.compile(**options)` take it.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import wraps
from typing import Annotated, Any

import typer

from rknn_ep.errors import OptionError
from rknn_ep.options import COLORS, IO_MODES, PRECISIONS, QUANTIZERS, RESIZES, SIMULATIONS


@dataclass(frozen=True)
class Flag:
    """One provider option on the command line."""

    option: str
    """Name of the option; the flag is the same with dashes."""
    panel: str
    help: str
    metavar: str = "TEXT"
    values: Callable[[], Iterable[str]] | None = None
    """For shell completion, where the values are known."""
    boolean: bool = False

    @property
    def name(self) -> str:
        """The flag as it is typed: --calibration-method."""
        return "--" + self.option.replace("_", "-")


def _registry(kind: str) -> Callable[[], Iterable[str]]:
    def values() -> Iterable[str]:
        from rknn_ep.plugins import plugins

        return sorted(getattr(plugins(), kind)())

    return values


TARGET, CALIBRATION, PARTITIONING, RUNNING = "Target and precision", "Calibration", "Partitioning", "Running"

FLAGS = (
    Flag("target", TARGET, "The SoC: rk3588, rk3576, rk3566, rv1106, ...", "SOC", _registry("targets")),
    Flag("device", TARGET, "auto, simulator, board or what plugins add.", "NAME", _registry("runtimes")),
    Flag(
        "precision", TARGET, "auto: keep a quantised model's scales; int8 with calibration data; else fp16.", "|".join(PRECISIONS)
    ),
    Flag("input_shapes", TARGET, "For dynamic models: 'images:1,3,640,640' or 'batch=1;height=480'.", "NAME:DIMS;..."),
    Flag(
        "dynamic_input",
        TARGET,
        "Several choices of input shapes, between which programs change at run time: 'x:1,3,48,160|x:1,3,48,320'.",
        "NAME:DIMS;...|...",
    ),
    Flag("calibration", CALIBRATION, "Folder of pictures, .npz, .npy or list file.", "PATH"),
    Flag(
        "calibration_method",
        CALIBRATION,
        "minmax, normal, kl_divergence, mmse, percentile, ...",
        "NAME",
        _registry("calibrators"),
    ),
    Flag("mean", CALIBRATION, "Subtracted from each channel of a picture, on its 0..255 scale: 123.7,116.3,103.5.", "R,G,B"),
    Flag("std", CALIBRATION, "Divides each channel after the mean: 58.4,57.1,57.4.", "R,G,B"),
    Flag("color", CALIBRATION, "Channel order that the model wants.", "|".join(COLORS)),
    Flag("resize", CALIBRATION, "How a picture is brought to the input's size.", "|".join(RESIZES)),
    Flag("per_channel", CALIBRATION, "Weight scales per output channel, or one for the whole tensor.", boolean=True),
    Flag("quantizer", CALIBRATION, "Whose quantiser.", "|".join(QUANTIZERS)),
    Flag("exclude_nodes", PARTITIONING, "Names of nodes to leave on the CPU.", "NAME,..."),
    Flag("exclude_ops", PARTITIONING, "Operator types to leave on the CPU.", "TYPE,..."),
    Flag("min_partition_macs", PARTITIONING, "Give islands with fewer MACs back to the CPU (0: keep all).", "N"),
    Flag("strict", PARTITIONING, "Make any fallback that these options did not ask for an error.", boolean=True),
    Flag("report", PARTITIONING, "Also write the report there: .json, .md or .txt.", "FILE"),
    Flag("keep_failing", PARTITIONING, "Where a compiler fails: save the smallest model that shows it there.", "FOLDER"),
    Flag("cache_dir", RUNNING, "Where compiled partitions are kept.", "FOLDER"),
    Flag("core_mask", RUNNING, "NPU cores: auto, all or a bit mask such as 0x3.", "MASK"),
    Flag("contexts", RUNNING, "How many rknn contexts run side by side.", "N"),
    Flag("io_mode", RUNNING, "How tensors reach the NPU.", "|".join(IO_MODES)),
    Flag("simulation", RUNNING, "fast, or exact integer arithmetic.", "|".join(SIMULATIONS)),
    Flag("simulation_threads", RUNNING, "Threads of the simulator.", "N"),
)
"""Every provider option, in the order of --help."""


def provider_flags(command: Callable[..., None]) -> Callable[..., None]:
    """Give `command` a flag for every provider option and hand it what was given as its parameter `options`."""
    return _with_flags(command, FLAGS)


def some_provider_flags(**helps: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """`provider_flags` for a command to which only some options apply: name -> what it means there, empty: the usual help."""
    flags = [replace(flag, help=helps[flag.option] or flag.help) for flag in FLAGS if flag.option in helps]
    return lambda command: _with_flags(command, flags)


def _with_flags(command: Callable[..., None], chosen: Iterable[Flag]) -> Callable[..., None]:
    own = inspect.signature(command, eval_str=True)
    flags = {flag.option: _parameter(flag) for flag in chosen}
    plugin = inspect.Parameter(
        "plugin_option",
        inspect.Parameter.KEYWORD_ONLY,
        default=None,
        annotation=Annotated[
            list[str] | None,
            typer.Option(
                "--option", metavar="PLUGIN.KEY=VALUE", help="An option of a plugin; may be repeated.", rich_help_panel=RUNNING
            ),
        ],
    )

    @wraps(command)
    def with_flags(**given: Any) -> None:
        options = {option: value for option in flags if (value := given.pop(option)) is not None}
        options.update(_plugin_options(given.pop("plugin_option") or ()))
        command(**given, options=options)

    kept = [
        parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for name, parameter in own.parameters.items() if name != "options"
    ]
    signature = own.replace(parameters=[*kept, *flags.values(), plugin])
    with_flags.__signature__ = signature  # type: ignore[attr-defined]  # what typer reads the interface from
    with_flags.__annotations__ = {parameter.name: parameter.annotation for parameter in signature.parameters.values()}
    del with_flags.__wrapped__  # or its own signature would be found first
    return with_flags


def _parameter(flag: Flag) -> inspect.Parameter:
    spelling = f"{flag.name}/{flag.name.replace('--', '--no-', 1)}" if flag.boolean else flag.name
    option = typer.Option(
        spelling,
        help=flag.help,
        metavar=None if flag.boolean else flag.metavar,
        rich_help_panel=flag.panel,
        show_default=False,
        autocompletion=None if flag.values is None else flag.values,
    )
    annotation = Annotated[bool | None, option] if flag.boolean else Annotated[str | None, option]
    return inspect.Parameter(flag.option, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)


def _plugin_options(given: Iterable[str]) -> dict[str, str]:
    options = {}
    for text in given:
        key, equals, value = text.partition("=")
        if not equals or "." not in key:
            own = f"--{key.replace('_', '-')}" if key in {flag.option for flag in FLAGS} else ""
            remedy = f"{key} has a flag of its own: {own}." if own else "Example: --option simulator.trace=1"
            raise OptionError(f"--option takes PLUGIN.KEY=VALUE, not '{text}'", remedy=remedy)
        options[key] = value
    return options
