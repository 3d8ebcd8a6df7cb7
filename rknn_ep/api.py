"""Registering with host runtimes, and the helpers that ONNX Runtime's packaging guidance asks of a provider."""

from __future__ import annotations

import logging
from pathlib import Path

from rknn_ep.errors import NotInstalledError, OptionError, nearest
from rknn_ep.plugins import plugins

EP_NAME = "RKNNExecutionProvider"

log = logging.getLogger(__name__)


def register(frontend: str | None = None) -> None:
    """Register the NPU with every host runtime that is installed, or with the one named. Idempotent.

    After it, `onnxruntime.InferenceSession(model, providers=["RKNNExecutionProvider"])` works.

    Raises:
        NotInstalledError: no host runtime that a plugin knows is installed, or the one named is not.
        OptionError: no plugin provides a frontend of that name.
    """
    frontends = plugins().frontends()
    if frontend is not None and frontend not in frontends:
        raise OptionError(f"no frontend is called '{frontend}': {nearest(frontend, frontends)}")
    missing: list[str] = []
    registered = 0
    for name, record in frontends.items():
        if frontend not in (None, name):
            continue
        if why := record.available():
            missing.append(f"{name}: {why}")
            continue
        record.register()
        registered += 1
    if not registered:
        raise NotInstalledError(
            "no host runtime to register with: " + ("; ".join(missing) or "no plugin provides a frontend"),
            remedy="python -m pip install onnxruntime",
        )
    for line in missing:
        log.debug("not registered with %s", line)


def unregister() -> None:
    """Take the NPU out of every host runtime again. Sessions that are still open keep working."""
    for record in plugins().frontends().values():
        if not record.available():
            record.unregister()


def get_library_path() -> str:
    """Absolute path of the execution provider library, for `onnxruntime.register_execution_provider_library`.

    Raises:
        NotInstalledError: this is a checkout whose native libraries were never built.
    """
    return str(native_library("PROVIDER"))


def get_ep_name() -> str:
    """Name of the execution provider: RKNNExecutionProvider."""
    return EP_NAME


def get_ep_names() -> list[str]:
    """Names of all execution providers in the library: one."""
    return [EP_NAME]


def native_library(which: str) -> Path:
    """Path of a native library of the wheel: PROVIDER, SIMULATOR or TVM.

    Raises:
        NotInstalledError: the package is not installed, or was built without it.
    """
    try:
        import rknn_ep_native
    except ImportError as error:
        raise NotInstalledError(
            "the native libraries of rknn-ep are not installed (a checkout holds only their source)",
            remedy="python -m pip install .",
        ) from error
    path: Path = getattr(rknn_ep_native, which)
    if not path.is_file():
        reinstall = "python -m pip install --force-reinstall ."
        raise NotInstalledError(f"{path.name} is missing from the installation", remedy=reinstall)
    return path
