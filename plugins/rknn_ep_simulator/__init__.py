"""The simulated NPU: rknn_api on a PC, computing with ONNX Runtime. See docs/simulator.md."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from rknn_ep.errors import NotInstalledError
from rknn_ep.hookspecs import hookimpl
from rknn_ep.records import Command, Compiler, CompileRequest, CompileResult, Health, HealthCheck, Runtime

_DESCRIPTION = "the NPU's arithmetic on the PC's processor"


@hookimpl
def rknn_ep_compilers() -> Iterable[Compiler]:
    """Every bundle carries its simulation: one file serves boards and PCs."""
    yield Compiler("simulator", _compile, devices=("*",), dynamic_input=True, version="3", description=_DESCRIPTION)


@hookimpl
def rknn_ep_runtimes() -> Iterable[Runtime]:
    """`device=simulator`: our own librknnrt.so, which `device=auto` takes where there is no board."""
    yield Runtime("simulator", library=_library, available=_unavailable, automatic=1, description=_DESCRIPTION)


@hookimpl
def rknn_ep_health_checks() -> Iterable[HealthCheck]:
    """The simulator's library can be loaded and is of this version."""
    yield HealthCheck("simulator", _check, "the simulator's library")


def _check() -> Health:
    from rknn_ep_simulator.health import check

    return check(_library())


@hookimpl
def rknn_ep_commands() -> Iterable[Command]:
    """`rknn-ep simulator-env`."""
    from rknn_ep_simulator.environment import simulator_env

    yield Command("simulator-env", simulator_env, "Print what to export so that board programs run on this PC.")


def _compile(request: CompileRequest) -> CompileResult:
    from rknn_ep_simulator.compiler import compile_partition

    return compile_partition(request)


def _library() -> Path:
    if reason := _unavailable():
        raise NotInstalledError(reason, remedy="Install the wheel, or build it: python -m pip install .")
    import rknn_ep_native

    return Path(rknn_ep_native.SIMULATOR)


def _unavailable() -> str:
    try:
        import rknn_ep_native
    except ImportError:
        return "the native libraries are not installed"
    return "" if Path(rknn_ep_native.SIMULATOR).is_file() else f"{rknn_ep_native.SIMULATOR} is missing"
