"""The core's own features, registered through the same hooks as everybody else's."""

from __future__ import annotations

from collections.abc import Iterable

from rknn_ep.hookspecs import hookimpl
from rknn_ep.records import Calibrator, Capability, Command, HealthCheck, Importer, Target


@hookimpl
def rknn_ep_targets() -> Iterable[Target]:
    """The eleven SoCs of the shipped tables."""
    from rknn_ep.partitioning.targets import all_targets

    return all_targets()


@hookimpl
def rknn_ep_capabilities() -> Iterable[Capability]:
    """The shipped tables as a rule."""
    from rknn_ep.partitioning.capability import table_rule

    yield table_rule()


@hookimpl
def rknn_ep_calibrators() -> Iterable[Calibrator]:
    """minmax, normal, kl_divergence, mmse, percentile."""
    from rknn_ep.quantization.calibrators import all_calibrators

    return all_calibrators()


@hookimpl
def rknn_ep_importers() -> Iterable[Importer]:
    """ONNX itself."""
    yield Importer("onnx", (".onnx",), lambda path, options: path, description="ONNX, with or without external data")


@hookimpl
def rknn_ep_health_checks() -> Iterable[HealthCheck]:
    """Plugins, host runtime, device, compilers, cache, and the model that is named."""
    from rknn_ep.health import all_checks

    return all_checks()


@hookimpl
def rknn_ep_commands() -> Iterable[Command]:
    """demo, partition, quantize, compile, run, inspect, doctor, plugins."""
    from rknn_ep.cli.commands import all_commands

    return all_commands()
