"""Makes RKNNExecutionProvider known to ONNX Runtime, once a process."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec

from rknn_ep.api import EP_NAME, get_library_path
from rknn_ep.artifact.native_text import format_lines
from rknn_ep.errors import ExecutionError, NotInstalledError, OptionError
from rknn_ep.options import Options
from rknn_ep.pipeline import choose_runtime
from rknn_ep_onnxruntime.native import PlanFunction, encoded, library
from rknn_ep_onnxruntime.planner import answer

OLDEST = (1, 23)
"""The first version with the plugin interface that the provider needs."""

_PLANNER = PlanFunction(answer)
"""ONNX Runtime may call it as long as the process lives, so it is never given back."""


def missing() -> str:
    """Empty when onnxruntime can be imported, else what to install. Does not import it."""
    return "" if find_spec("onnxruntime") is not None else "onnxruntime is not installed: python -m pip install onnxruntime"


def unavailable() -> str:
    """Empty when an onnxruntime that takes plugin providers is installed, else why not."""
    if why := missing():
        return why
    for distribution in ("onnxruntime", "onnxruntime-gpu"):
        try:
            found = version(distribution)
        except PackageNotFoundError:
            continue
        if tuple(int(part) for part in found.split(".")[:2]) < OLDEST:
            return (
                f"{distribution} {found} takes no plugin providers; 1.23 or later does: python -m pip install -U {distribution}"
            )
        return ""
    return ""  # a build of one's own: register() finds out


def register() -> None:
    """Register the provider's library with ONNX Runtime and our planner with the library. Idempotent.

    Raises:
        NotInstalledError: onnxruntime is missing or too old, or the native libraries are.
        ExecutionError: ONNX Runtime refused the library.
    """
    if why := unavailable():
        raise NotInstalledError(why)
    import onnxruntime

    if not hasattr(onnxruntime, "register_execution_provider_library"):
        raise NotInstalledError(
            f"onnxruntime {onnxruntime.__version__} takes no plugin providers", remedy="python -m pip install 'onnxruntime>=1.23'"
        )
    path = get_library_path()
    library().rknn_ep_set_planner(_PLANNER)
    if _registered():
        return
    library().rknn_ep_set_device_metadata(encoded(format_lines(_metadata())))
    try:
        onnxruntime.register_execution_provider_library(EP_NAME, path)
    except Exception as error:  # onnxruntime's exceptions share no base of their own
        raise ExecutionError(f"ONNX Runtime refused {path}: {error}") from error


def unregister() -> None:
    """Take the provider out of ONNX Runtime. Sessions that are open keep working."""
    import onnxruntime

    if _registered():
        onnxruntime.unregister_execution_provider_library(EP_NAME)
    library().rknn_ep_set_planner(PlanFunction())


def _metadata() -> dict[str, str]:
    """What `OrtEpDevice.ep_metadata` shows: the device that `device=auto` means here, and what it says of itself."""
    try:
        runtime = choose_runtime(Options.parse({}))
    except OptionError as error:  # a board that lacks something: sessions on it will say so, other devices still work
        return {"device": "", "problem": error.message}
    return {"device": runtime.name, **runtime.metadata()}


def _registered() -> bool:
    import onnxruntime

    return any(device.ep_name == EP_NAME for device in onnxruntime.get_ep_devices())
