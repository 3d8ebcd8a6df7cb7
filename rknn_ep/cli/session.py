"""ONNX Runtime sessions for the commands: with the NPU or on the CPU alone, with failures as our errors."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rknn_ep.errors import ExecutionError, NotInstalledError

if TYPE_CHECKING:
    import onnxruntime


def npu_session(model: Path, options: Mapping[str, str], *, quiet: bool = False) -> onnxruntime.InferenceSession:
    """A session with the provider in front of the CPU; `options` are provider options as text.

    With `quiet` ONNX Runtime logs errors alone: for callers that show progress of their own.

    Raises:
        ExecutionError: ONNX Runtime refused the model, or the provider did; the message is theirs.
    """
    import rknn_ep

    ort = _onnxruntime()
    rknn_ep.register()
    name = rknn_ep.get_ep_name()
    settings = ort.SessionOptions()
    settings.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
    if quiet:
        ort.set_default_logger_severity(3)  # the logger that providers are handed is the process's, not the session's
    with _our_errors(model):
        if name in ort.get_available_providers():
            return ort.InferenceSession(model, settings, providers=[(name, dict(options)), "CPUExecutionProvider"])
        # Before 1.25 a plugin provider is known by its devices only, not by its name.
        devices = [device for device in ort.get_ep_devices() if device.ep_name == name]
        settings.add_provider_for_devices(devices, dict(options))
        return ort.InferenceSession(model, settings)


def cpu_session(model: Path, threads: int = 0) -> onnxruntime.InferenceSession:
    """A session on ONNX Runtime's own CPU provider; `threads` 0: as many as it likes.

    Raises:
        ExecutionError: ONNX Runtime refused the model.
    """
    ort = _onnxruntime()
    settings = ort.SessionOptions()
    settings.intra_op_num_threads = threads
    try:
        with _our_errors(model):
            return ort.InferenceSession(model, settings, providers=["CPUExecutionProvider"])
    except ExecutionError as error:
        if "EPContext" not in str(error):
            raise
        raise ExecutionError(
            f"{model} is compiled: the CPU cannot run it", remedy="Name the model that it was made of: --reference model.onnx."
        ) from error


def run(session: onnxruntime.InferenceSession, inputs: Mapping[str, Any], where: object) -> dict[str, Any]:
    """Outputs by name.

    Raises:
        ExecutionError: the run failed, for example on a tensor of another shape.
    """
    names = [output.name for output in session.get_outputs()]
    with _our_errors(where):
        return dict(zip(names, session.run(names, dict(inputs)), strict=True))


def assigned(session: onnxruntime.InferenceSession) -> dict[str, int] | None:
    """How many of the graph's nodes each provider runs, or None where this ONNX Runtime cannot say (before 1.24)."""
    if not hasattr(session, "get_provider_graph_assignment_info"):
        return None
    counts: dict[str, int] = {}
    for subgraph in session.get_provider_graph_assignment_info():
        counts[subgraph.ep_name] = counts.get(subgraph.ep_name, 0) + len(subgraph.get_nodes())
    return counts


def _onnxruntime() -> Any:
    try:
        import onnxruntime
    except ImportError as error:
        raise NotInstalledError("onnxruntime is not installed", remedy="python -m pip install onnxruntime") from error
    return onnxruntime


@contextmanager
def _our_errors(where: object) -> Iterator[None]:
    """ONNX Runtime's exceptions derive from Exception alone; they are told by the module that they live in."""
    try:
        yield
    except Exception as error:
        if not type(error).__module__.startswith("onnxruntime."):
            raise
        if "interrupted (Ctrl-C)" in str(error):  # it struck inside session creation, where ONNX Runtime turns it into a failure
            raise KeyboardInterrupt from error
        text = re.sub(r"^\[ONNXRuntimeError\] : \d+ : \w+ : ", "", str(error))
        raise ExecutionError(f"{where}: {text}") from error
