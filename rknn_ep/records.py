"""The typed records that plugins yield through the hooks of `rknn_ep.hookspecs`.

Every record is a frozen dataclass with a `name` that is unique among the records of its hook. This module knows
nothing of graphs, onnxruntime or any plugin: it may be imported by everyone and imports no one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

if TYPE_CHECKING:
    import numpy as np

# --------------------------------------------------------------------------------------------- targets


@dataclass(frozen=True)
class Target:
    """One Rockchip SoC with an NPU, as far as planning and simulating need to know it."""

    name: str
    """Lower-case SoC name, the value of the option `target`: rk3588."""
    precisions: tuple[str, ...]
    """What the NPU computes in: any of int8, int16, fp16."""
    cores: int = 1
    core_masks: tuple[int, ...] = ()
    """Values that rknn_set_core_mask takes; empty: the SoC refuses the call (single core)."""
    copying_api: bool = True
    """Whether rknn_inputs_set and rknn_outputs_get exist there (not on RV1103/RV1106 and RK2118)."""
    capability_table: str = ""
    """Name of the capability table that describes it; the SoC's own name unless given."""
    aliases: tuple[str, ...] = ()
    tops_int8: float | None = None
    npu_max_mhz: int | None = None
    smallest_weight_share: float = 2.0**-14
    """Of the largest scale of a weight's channels: its compiler raises smaller ones to it."""
    dram_gbps: float | None = None
    """Theoretical memory bandwidth in GB/s."""
    triple: str = "aarch64-linux-gnu"
    """LLVM triple of the programs that run on its CPU."""
    cpu: str = "generic"
    """LLVM name of the CPU that such programs are compiled for: the fastest cores'."""
    source: str = ""
    """Where these figures come from."""


# --------------------------------------------------------------------------------------------- capability


class Outcome(Enum):
    """Where a node runs once its partition is compiled."""

    NPU = "npu"
    NATIVE_CPU = "native_cpu"
    """The vendor runtime accepts it and computes it on its CPU side, inside the partition."""
    REFUSED = "refused"
    """It stays with the host runtime."""


@dataclass(frozen=True)
class Verdict:
    """What a target says to one node."""

    outcome: Outcome
    reason: str = ""
    """Stable reason code such as `operator`, `dtype`, `rank`, `attribute`, `limit`, `precision`; empty for NPU."""
    detail: str = ""
    """The reason in words with the node's own figures: "kernel_w is 40"."""
    limit: str = ""
    """The limit that was broken: "kernel_w in [1, 31]"."""
    source: str = ""
    """Where the limit was read: a document and section, or a probe of the compiler."""


@dataclass(frozen=True)
class TensorFacts:
    """A node's input or output as a capability rule sees it."""

    name: str
    shape: tuple[int, ...] | None
    """Static dimensions, or None where shape inference found none."""
    dtype: str
    """ONNX name of the element type: FLOAT, FLOAT16, INT64; empty where it is not known."""
    constant: np.ndarray[Any, Any] | None = None
    """The value where it is an initializer or a folded constant."""


@dataclass(frozen=True)
class NodeFacts:
    """A node as a capability rule sees it: no graph library type, so that rules outlive them."""

    name: str
    op_type: str
    domain: str
    opset: int
    attributes: Mapping[str, Any]
    """Python values: int, float, str, lists of them, numpy arrays for tensors; graphs are left out."""
    inputs: tuple[TensorFacts | None, ...]
    """None for an omitted optional input."""
    outputs: tuple[TensorFacts, ...]


@dataclass(frozen=True)
class Capability:
    """A rule that judges nodes. Rules are asked by falling `priority`; the first that answers decides."""

    name: str
    judge: Callable[[NodeFacts, Target, str], Verdict | None]
    """(node, target, precision) -> a verdict, or None: not for this rule to say."""
    op_types: tuple[str, ...] = ()
    """Operators that this rule wants to see; empty: all."""
    priority: int = 0
    """The built-in tables have priority 0; a plugin that knows better takes a higher one."""
    description: str = ""


# --------------------------------------------------------------------------------------------- calibration


@dataclass(frozen=True)
class QuantizationType:
    """An integer grid: `bits` wide, symmetric (zero point 0, -(2^(b-1)-1)..2^(b-1)-1) or asymmetric (all 2^b codes)."""

    bits: int = 8
    symmetric: bool = False

    @property
    def qmin(self) -> int:
        """Smallest signed code."""
        return -(1 << (self.bits - 1)) + (1 if self.symmetric else 0)

    @property
    def qmax(self) -> int:
        """Largest signed code."""
        return (1 << (self.bits - 1)) - 1


class RangeObserver(Protocol):
    """Sees every value of one tensor, batch after batch, in memory that does not grow."""

    def observe(self, values: np.ndarray[Any, np.dtype[np.float32]]) -> None:
        """Take one batch: finite float32 of any shape."""

    def end_pass(self) -> None:
        """Called once after each pass over the calibration data."""

    def range(self) -> tuple[float, float]:
        """The clipping range (minimum, maximum), always with minimum <= 0 <= maximum."""


@runtime_checkable
class ExtremesObserver(Protocol):
    """A `RangeObserver` that needs no more of a batch than its smallest and largest value: it is spared the values."""

    def observe_extremes(self, low: float, high: float) -> None:
        """Take one batch that lies in low..high, with zero inside."""


@dataclass(frozen=True)
class Calibrator:
    """A method that turns what a tensor was seen to hold into a clipping range: a value of `calibration_method`."""

    name: str
    create: Callable[[QuantizationType, Mapping[str, str]], RangeObserver]
    """(grid, the plugin's own options) -> an observer for one tensor."""
    passes: int = 1
    """How many times the data must be run; 2 for methods whose histogram needs the exact range first."""
    description: str = ""


# --------------------------------------------------------------------------------------------- compiling and running


@dataclass(frozen=True)
class CompileRequest:
    """A partition on its way to a device."""

    model: bytes
    """ONNX: QDQ for int8/int16, plain float for fp16. Inputs and outputs are the partition's, in order."""
    target: Target
    precision: str
    """int8, int16 or fp16."""
    partition: str
    """The partition's name."""
    groups: tuple[tuple[str, ...], ...]
    """Names of the output values of the nodes that become one native operator; used to place fp16 borders."""
    options: Mapping[str, str]
    """The session's options as text, with the plugins' own."""
    entries: Mapping[str, bytes] = field(default_factory=dict)
    """What the compilers before this one put into the bundle; those for every device come first."""
    float_model: Callable[[], bytes] = lambda: b""
    """The partition before it was quantised, for compilers that quantise by themselves."""
    samples: Callable[[], Iterable[Sequence[np.ndarray[Any, Any]]]] | None = None
    """Calibration data as the partition sees it: for each sample its inputs, in order. None where there is none."""
    cancel: Event = field(default_factory=Event, compare=False)
    """Set when nobody waits for the result any more: long work should stop."""
    variants: tuple[CompileRequest, ...] = ()
    """The same partition for other input shapes (option `dynamic_input`), where a program may change them; this one, the
    largest, is the default."""
    pictures: tuple[str, ...] = ()
    """Inputs (float32 NCHW, 0..255 in `model`) that hosts hand over as uint8 NHWC; `native.txt` says so: border=UINT8_NHWC."""


@dataclass(frozen=True)
class CompileResult:
    """What a compiler puts into the bundle."""

    entries: Mapping[str, bytes]
    """File name in the bundle -> content."""
    notes: Mapping[str, Any] = field(default_factory=dict)
    """JSON-like facts for the report and the manifest."""


@dataclass(frozen=True)
class Compiler:
    """Turns a partition into what devices load."""

    name: str
    compile: Callable[[CompileRequest], CompileResult]
    devices: tuple[str, ...]
    """Devices that need this compiler's entries; "*": every bundle gets them. Those for "*" run first, in this thread; the
    others get what these made, and may run in several threads, one for each partition and target."""
    version: str | Callable[[], str] = ""
    """Part of the cache key: a new version rebuilds. A function is asked only when the compiler is about to be used."""
    check_options: Callable[[Mapping[str, str]], None] = lambda options: None
    """Raises an OptionError where options of the plugin's own make no sense, or not with the others. Asked when options are read,
    before any work, and for each further target of a build; gets all of them as text, `target` always among them. Asked also
    where the compiler is not available, so it must import nothing large."""
    dynamic_input: bool = False
    """Whether it takes requests with `variants`; a build for several input shapes leaves out compilers that do not."""
    available: Callable[[], str] = lambda: ""
    """Empty when it can compile here; else what is missing and how to get it."""
    description: str = ""


@dataclass(frozen=True)
class Runtime:
    """A device: a value of the option `device`. Either a library that implements rknn_api, or a Python object."""

    name: str
    library: Callable[[], Path] | None = None
    """Path of the rknn_api library to load; raises a RknnEpError when there is none."""
    executor: Callable[[Path, Mapping[str, str]], PythonExecutor] | None = None
    """(bundle, options) -> an object that runs it, for devices without a library."""
    available: Callable[[], str] = lambda: ""
    """Empty when the device is here; else why not."""
    automatic: int = 0
    """`device=auto` takes the available runtime with the highest value; 0 is never taken automatically."""
    at_home: Callable[[], bool] = lambda: False
    """Whether this machine is the device: then `device=auto` takes it, or fails with what `available` says, and nothing else."""
    target: Callable[[], str] = lambda: ""
    """The SoC of the device where there is one: the default of the option `target` on a machine where it is `at_home`."""
    metadata: Callable[[], Mapping[str, str]] = lambda: {}
    """What a host runtime shows of the device beside its name: soc, driver, cores."""
    description: str = ""


class PythonExecutor(Protocol):
    """Runs a bundle from Python."""

    def run(self, inputs: Sequence[np.ndarray[Any, Any]]) -> Sequence[np.ndarray[Any, Any]]:
        """Arrays in the order of the bundle's inputs -> arrays in the order of its outputs."""

    def close(self) -> None:
        """Give everything back."""


# --------------------------------------------------------------------------------------------- coming in


@dataclass(frozen=True)
class Importer:
    """Reads a model format into ONNX: files by the ending of their names, objects in memory by `accepts`."""

    name: str
    suffixes: tuple[str, ...]
    """File name endings in lower case, with the dot: (".onnx",)."""
    load: Callable[[Any, Mapping[str, str]], bytes | Path]
    """(path, or an object that `accepts` took; the options as text) -> a serialised ONNX ModelProto, or the path of one."""
    accepts: Callable[[object], bool] = lambda source: False
    """Whether it reads this object, which is no path: a torch.nn.Module. Asked of every object, so it must import nothing."""
    available: Callable[[], str] = lambda: ""
    """Empty when it can read here; else what is missing and how to get it."""
    description: str = ""


class FloatModel(Protocol):
    """A float model ready to run."""

    def run(self, inputs: Mapping[str, np.ndarray[Any, Any]]) -> Iterator[tuple[str, np.ndarray[Any, Any]]]:
        """Inputs by name -> every requested output as (name, array). Called from several threads at the same time."""


@dataclass(frozen=True)
class FloatExecutor:
    """Runs ONNX in float32 on the host: calibration and comparisons use it."""

    name: str
    create: Callable[[bytes, Sequence[str], int], FloatModel]
    """(serialised ONNX, names of the outputs wanted, threads) -> a model ready to run."""
    available: Callable[[], str] = lambda: ""
    description: str = ""


@dataclass(frozen=True)
class Frontend:
    """A host runtime that can hand us graphs: `rknn_ep.register()` registers with every available one."""

    name: str
    register: Callable[[], None]
    """Idempotent."""
    unregister: Callable[[], None]
    available: Callable[[], str] = lambda: ""
    description: str = ""


# --------------------------------------------------------------------------------------------- around it


@dataclass(frozen=True)
class Health:
    """What one health check found."""

    verdict: str
    """ok, warning or error; skipped where there is nothing to check."""
    evidence: str
    remedy: str = ""


@dataclass(frozen=True)
class HealthContext:
    """What the user asked the doctor about."""

    model: Path | None = None
    """A model, compiled or not, that is meant to run here."""
    options: Mapping[str, str] = field(default_factory=dict)
    """Provider options as text: target, contexts, device."""


@dataclass(frozen=True)
class HealthCheck:
    """One line of `rknn-ep doctor`."""

    name: str
    check: Callable[[], Health] | Callable[[HealthContext], Health]
    description: str = ""
    takes_context: bool = False
    """Whether `check` takes a HealthContext: a check of the model that the user named."""


@dataclass(frozen=True)
class Command:
    """A subcommand of `rknn-ep`, or a group of them: `rknn-ep toolkit install`."""

    name: str
    function: Callable[..., None] | None = None
    """A typer command function: its signature is the command's interface, its docstring the help. None: a group."""
    description: str = ""
    subcommands: tuple[Command, ...] = ()
    """What a group holds."""
