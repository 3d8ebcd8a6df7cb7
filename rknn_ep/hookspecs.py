"""The plugin contract: what a plugin may offer.

A plugin is a module (or object) named by an entry point of the group `rknn_ep`; it implements any of these hooks
with `@rknn_ep.hookimpl`. Every hook is a plural noun and yields records from `rknn_ep.records`. Built-in features
come in through the same hooks.
"""

from __future__ import annotations

from collections.abc import Iterable

import pluggy

from rknn_ep.records import (
    Calibrator,
    Capability,
    Command,
    Compiler,
    FloatExecutor,
    Frontend,
    HealthCheck,
    Importer,
    Runtime,
    Target,
)

NAMESPACE = "rknn_ep"

hookspec = pluggy.HookspecMarker(NAMESPACE)
hookimpl = pluggy.HookimplMarker(NAMESPACE)


@hookspec
def rknn_ep_targets() -> Iterable[Target]:
    """SoCs to plan and compile for: values of the option `target`.

    Example:
        @rknn_ep.hookimpl
        def rknn_ep_targets():
            yield Target("rk3583", precisions=("int8", "fp16"), cores=2, capability_table="rk3588")
    """
    raise AssertionError("a specification is never called")


@hookspec
def rknn_ep_capabilities() -> Iterable[Capability]:
    """Rules that say where a node runs. The first rule that answers, by falling priority, decides.

    Example:
        def no_big_resize(node, target, precision):
            if node.op_type == "Resize" and node.outputs[0].shape[-1] > 4096:
                return Verdict(Outcome.REFUSED, "limit", "output is too wide", "width <= 4096", "our board tests")

        @rknn_ep.hookimpl
        def rknn_ep_capabilities():
            yield Capability("big-resize", no_big_resize, op_types=("Resize",), priority=10)
    """
    raise AssertionError("a specification is never called")


@hookspec
def rknn_ep_calibrators() -> Iterable[Calibrator]:
    """Calibration methods: values of the option `calibration_method`.

    Example:
        @rknn_ep.hookimpl
        def rknn_ep_calibrators():
            yield Calibrator("three_sigma", lambda grid, options: ThreeSigma(grid))
    """
    raise AssertionError("a specification is never called")


@hookspec
def rknn_ep_compilers() -> Iterable[Compiler]:
    """What turns a quantised partition into files that a device loads.

    Example:
        @rknn_ep.hookimpl
        def rknn_ep_compilers():
            yield Compiler("my-npu", compile_for_my_npu, devices=("my-npu",))
    """
    raise AssertionError("a specification is never called")


@hookspec
def rknn_ep_runtimes() -> Iterable[Runtime]:
    """Devices: values of the option `device`.

    Example:
        @rknn_ep.hookimpl
        def rknn_ep_runtimes():
            yield Runtime("remote", executor=RemoteBoard)
    """
    raise AssertionError("a specification is never called")


@hookspec
def rknn_ep_importers() -> Iterable[Importer]:
    """Model formats that can be read into ONNX, chosen by file name ending, or by what an object in memory is.

    Example:
        @rknn_ep.hookimpl
        def rknn_ep_importers():
            yield Importer("tflite", (".tflite",), lambda path, options: convert_tflite(path))
    """
    raise AssertionError("a specification is never called")


@hookspec
def rknn_ep_float_executors() -> Iterable[FloatExecutor]:
    """Ways to run a float model on the host, for calibration and comparison.

    Example:
        @rknn_ep.hookimpl
        def rknn_ep_float_executors():
            yield FloatExecutor("onnxruntime", create_session)
    """
    raise AssertionError("a specification is never called")


@hookspec
def rknn_ep_frontends() -> Iterable[Frontend]:
    """Host runtimes to register with when the user calls `rknn_ep.register()`.

    Example:
        @rknn_ep.hookimpl
        def rknn_ep_frontends():
            yield Frontend("onnxruntime", register, unregister)
    """
    raise AssertionError("a specification is never called")


@hookspec
def rknn_ep_health_checks() -> Iterable[HealthCheck]:
    """Checks that `rknn-ep doctor` runs.

    Example:
        @rknn_ep.hookimpl
        def rknn_ep_health_checks():
            yield HealthCheck("npu-permissions", can_open_the_device)
            yield HealthCheck("model-fits", fits_into_flash, takes_context=True)
    """
    raise AssertionError("a specification is never called")


@hookspec
def rknn_ep_commands() -> Iterable[Command]:
    """Subcommands of `rknn-ep`.

    Example:
        @rknn_ep.hookimpl
        def rknn_ep_commands():
            yield Command("flash", flash_the_board)
    """
    raise AssertionError("a specification is never called")
