"""The built-in subcommands as records, in the order of `rknn-ep --help`."""

from __future__ import annotations

from collections.abc import Iterable

from rknn_ep.records import Command


def all_commands() -> Iterable[Command]:
    """demo, partition, quantize, compile, run, inspect, doctor, plugins."""
    from rknn_ep.cli import compile, demo, doctor, inspect, partition, plugins, quantize, run

    yield Command("demo", demo.demo, "Read a real photo on a simulated NPU and compare with the CPU.")
    yield Command("partition", partition.partition, "Say what of a model goes to the NPU, and why the rest does not.")
    yield Command("quantize", quantize.quantize, "Write a quantised (QDQ) model that any ONNX Runtime runs.")
    yield Command("compile", compile.compile_model, "Compile ahead of time into an EPContext model.")
    yield Command("run", run.run, "Run a model on arrays or pictures and keep its outputs.")
    yield Command("inspect", inspect.inspect, "Look into a bundle, an EPContext model, a .rknn file or the cache.")
    yield Command("doctor", doctor.doctor, "Say what is wrong with this machine, and whether a model can run on it.")
    yield Command("plugins", plugins.plugins, "List the plugins, what each provides and where it comes from.")
