"""Rockchip's rknn-toolkit2, which writes .rknn files, in an environment and processes of its own.

See docs/toolkit.md (installing it, the worker) and docs/vendor-compiler.md (compiling, the vendor's simulator).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from rknn_ep.hookspecs import hookimpl
from rknn_ep.records import (
    Command,
    Compiler,
    CompileRequest,
    CompileResult,
    Health,
    HealthCheck,
    Importer,
    PythonExecutor,
    Runtime,
)


@hookimpl
def rknn_ep_commands() -> Iterable[Command]:
    """`rknn-ep toolkit install | use | status | remove`, `verify`, `wrap`."""
    from rknn_ep_toolkit2.commands import toolkit_commands
    from rknn_ep_toolkit2.verify_command import verify
    from rknn_ep_toolkit2.wrap_command import wrap

    yield Command(
        "toolkit",
        description="Install and choose the vendor's toolkit, which writes .rknn files.",
        subcommands=tuple(toolkit_commands()),
    )
    yield Command("verify", verify, "Compare our simulation, the vendor's and float32, operator by operator.")
    yield Command("wrap", wrap, "Make an ONNX model of somebody else's .rknn.")


@hookimpl
def rknn_ep_health_checks() -> Iterable[HealthCheck]:
    """Whether there is a toolkit to compile with."""
    yield HealthCheck("toolkit2", _check, "the vendor's toolkit, which writes .rknn files")


@hookimpl
def rknn_ep_compilers() -> Iterable[Compiler]:
    """What boards load: `<target>.rknn`."""
    yield Compiler(
        "toolkit2",
        _compile,
        devices=("board",),
        version=_version,
        check_options=_check_options,
        available=_unavailable,
        description="writes .rknn files",
    )


@hookimpl
def rknn_ep_runtimes() -> Iterable[Runtime]:
    """`device=toolkit2`: the vendor's own simulator."""
    yield Runtime("toolkit2", executor=_executor, available=_unavailable, description="the vendor's simulator")


@hookimpl
def rknn_ep_importers() -> Iterable[Importer]:
    """Caffe and Darknet, by the toolkit's own loaders."""
    yield Importer(
        "toolkit2",
        (".prototxt", ".cfg"),
        _import,
        available=_unavailable,
        description="Caffe (.prototxt with its .caffemodel) and Darknet (.cfg with its .weights)",
    )


def _check() -> Health:
    from rknn_ep_toolkit2.environment import current
    from rknn_ep_toolkit2.errors import ToolkitError

    try:
        toolkit = current()
    except ToolkitError as error:
        return Health("warning", error.message, error.remedy)
    return Health("ok", f"rknn-toolkit2 {toolkit.version}, {toolkit.python}")


def _compile(request: CompileRequest) -> CompileResult:
    from rknn_ep_toolkit2.compiler import compile_partition

    return compile_partition(request)


def _check_options(options: Mapping[str, str]) -> None:
    from rknn_ep_toolkit2.settings import check_options

    check_options(options)


def _executor(bundle: Path, options: Mapping[str, str]) -> PythonExecutor:
    from rknn_ep_toolkit2.device import Toolkit2Executor

    return Toolkit2Executor(bundle, options)


def _import(path: Path, options: Mapping[str, str]) -> bytes:
    from rknn_ep_toolkit2.importers import load

    return load(path, options)


def _version() -> str:
    from rknn_ep_toolkit2.compiler import version

    return version()


def _unavailable() -> str:
    from rknn_ep_toolkit2.compiler import available

    return available()
