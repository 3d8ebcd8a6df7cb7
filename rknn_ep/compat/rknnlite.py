"""RKNNLite, the class that board programs use, on rknn_ep's runtime: one changed import, and the program runs on a PC too.

    from rknn_ep.compat.rknnlite import RKNNLite   # instead of: from rknnlite.api import RKNNLite

Methods, parameters, defaults, constants and return codes are those of rknn-toolkit-lite2 2.5.0: methods return 0 or -1,
`inference` returns a list of arrays or None, and what went wrong is logged. Beyond .rknn files, `load_rknn` takes EPContext
models and bundles. Where there is no board, models run on the simulator.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import numpy as np

from rknn_ep.artifact.rknn_file import read_metadata
from rknn_ep.errors import ExecutionError, OptionError, RknnEpError, ShapeError
from rknn_ep.runtime import Session
from rknn_ep.runtime.source import open_source

log = logging.getLogger(__name__)

_SAME_BINARY = (("RK3566", "RK3568"),)
"""SoCs that run each other's models."""


class RKNNLite:
    """Loads a compiled model and runs it."""

    NPU_CORE_AUTO = 0
    NPU_CORE_0 = 1
    NPU_CORE_1 = 2
    NPU_CORE_2 = 4
    NPU_CORE_0_1 = 3
    NPU_CORE_0_1_2 = 7
    NPU_CORE_ALL = 65535

    def __init__(self, verbose: bool = False, verbose_file: str | None = None) -> None:
        """Nothing is loaded yet.

        Args:
            verbose: log what is done, beyond errors.
            verbose_file: write the log there as well.
        """
        self._log = logging.Logger(log.name, logging.DEBUG if verbose else logging.WARNING)  # of this object alone
        self._log.parent = log
        self._file: logging.Handler | None = None
        if verbose_file is not None:
            self._file = logging.FileHandler(verbose_file)
            self._log.addHandler(self._file)
        self._path: Path | None = None
        self._session: Session | None = None
        self._asynchronous = False
        self._previous: Future[list[np.ndarray[Any, Any]]] | None = None
        self._frame = 0
        self._reused: list[np.ndarray[Any, Any]] | None = None

    def load_rknn(self, path: str, key_path: str | None = None) -> int:
        """Name the model. Returns 0, or -1 where it is missing or no compiled model; `key_path` is for encrypted models, which
        are not supported.
        """
        if key_path is not None:
            self._log.error("key_path: encrypted models are not supported")
            return -1
        try:
            open_source(path)
        except RknnEpError as error:
            self._log.error("load_rknn: %s", error)
            return -1
        self._path = Path(path)
        self._log.info("load_rknn: %s", path)
        return 0

    def list_devices(self) -> tuple[list[str], list[str]]:
        """Devices that are connected by USB (adb, ntb): none, the model runs on this machine."""
        return [], []

    def init_runtime(
        self, target: str | None = None, device_id: str | None = None, async_mode: bool = False, core_mask: int = NPU_CORE_AUTO
    ) -> int:
        """Open the model on the device. Returns 0, or -1 with the reason in the log.

        Args:
            target: ignored, as on a board: the model runs on this machine.
            device_id: ignored likewise.
            async_mode: `inference` starts a frame and returns the one before it; the first call returns its own.
            core_mask: NPU_CORE_...
        """
        if self._path is None:
            self._log.error("init_runtime: no model is loaded: call load_rknn first")
            return -1
        if target is not None or device_id is not None:
            self._log.info("init_runtime: target and device_id are ignored: the model runs on this machine")
        self._close()
        try:
            mask = "auto" if core_mask == self.NPU_CORE_AUTO else "all" if core_mask == self.NPU_CORE_ALL else core_mask
            self._session = Session(self._path, core_mask=mask)
        except RknnEpError as error:
            self._log.error("init_runtime: %s", error)
            return -1
        self._asynchronous = async_mode
        self._log.info("init_runtime: %s on %s", self._session.facts.get("api_version", ""), self._session.device)
        return 0

    def inference(
        self,
        inputs: Sequence[Any],
        data_type: str | Sequence[str] | None = None,
        data_format: str | Sequence[str] | None = None,
        inputs_pass_through: Sequence[int] | None = None,
        get_frame_id: bool = False,
        reuse_outputs: bool = False,
    ) -> Any:
        """Run once.

        Args:
            inputs: arrays in the model's order, of any number type; pictures have four dimensions.
            data_type: the type to take inputs as, one for all or one each; None: their own.
            data_format: nhwc or nchw, one for all or one each; None: nhwc.
            inputs_pass_through: 1 for inputs that are in the device's own type and layout.
            get_frame_id: return (outputs, number of the frame that they belong to).
            reuse_outputs: fill the arrays that the last call returned.

        Returns:
            A list of arrays in the model's order and NCHW, or None with the reason in the log.
        """
        try:
            outputs, frame = self._infer(inputs, data_type, data_format, inputs_pass_through, reuse_outputs)
        except RknnEpError as error:
            self._log.error("inference: %s", error)
            return None
        return (outputs, frame) if get_frame_id else outputs

    def _infer(
        self,
        inputs: Sequence[Any],
        data_type: str | Sequence[str] | None,
        data_format: str | Sequence[str] | None,
        pass_through: Sequence[int] | None,
        reuse: bool,
    ) -> tuple[list[np.ndarray[Any, Any]], int]:
        session = self._session
        if session is None:
            raise ExecutionError("the runtime is not initialised: call init_runtime first")
        if inputs is None or isinstance(inputs, np.ndarray):
            raise ShapeError("inputs is a list of arrays, even for one input")
        types = _each(data_type, len(inputs), "data_type")
        layouts = _each(data_format, len(inputs), "data_format")
        through = [False] * len(inputs) if pass_through is None else [bool(one) for one in pass_through]
        arrays = [np.asarray(one) for one in inputs]
        arrays = [
            array if kind is None else array.astype(_dtype(kind), copy=False) for array, kind in zip(arrays, types, strict=True)
        ]
        # A session takes one layout; what differs is turned round here.
        layout = (layouts[0] or "nhwc").lower() if layouts else "nhwc"
        for index, one in enumerate(layouts):
            if (one or "nhwc").lower() != layout and arrays[index].ndim == 4:
                order = (0, 3, 1, 2) if layout == "nchw" else (0, 2, 3, 1)
                arrays[index] = np.ascontiguousarray(arrays[index].transpose(order))
        self._frame += 1
        if not self._asynchronous:
            out = self._reused if reuse else None
            results = session.run(arrays, out, layout=layout, pass_through=through)
            self._reused = results if reuse else None
            return results, self._frame
        arrays = [array.copy() for array in arrays]  # the caller may overwrite them while they are being read
        future = session.submit(arrays, layout=layout, pass_through=through)
        before, self._previous = self._previous, future
        return (before or future).result(), self._frame - 1 if before is not None else self._frame

    def get_sdk_version(self) -> str | None:
        """Versions of the device's runtime and driver; None before init_runtime."""
        if self._session is None:
            self._log.error("get_sdk_version: the runtime is not initialised: call init_runtime first")
            return None
        facts = self._session.facts
        return f"SDK version: {facts.get('api_version', 'unknown')}\nDRV version: {facts.get('driver_version', 'unknown')}"

    def list_support_target_platform(self, rknn_model: str | None = None) -> OrderedDict[str, list[str]] | None:
        """SoCs that a model runs on, of `rknn_model` or of what was loaded.

        Returns:
            support_target_platform and filled_target_platform (what it was compiled for), each a list of names; None where
            there is no model or it cannot be read.
        """
        path = Path(rknn_model) if rknn_model is not None else self._path
        if path is None:
            self._log.error("list_support_target_platform: no model is loaded and none was named")
            return None
        try:
            source = open_source(path)
            target = source.description.target if source.description is not None else read_metadata(path).target
        except RknnEpError as error:
            self._log.error("list_support_target_platform: %s", error)
            return None
        filled = target.upper()
        family = next((names for names in _SAME_BINARY if filled in names), (filled,))
        return OrderedDict(support_target_platform=list(family), filled_target_platform=[filled])

    def release(self) -> None:
        """Give device and model back."""
        self._close()
        self._path = None
        if self._file is not None:
            self._log.removeHandler(self._file)
            self._file.close()
            self._file = None

    def _close(self) -> None:
        session, self._session = self._session, None
        self._previous = self._reused = None
        self._frame = 0
        if session is not None:
            session.close()


def _each(value: str | Sequence[str] | None, count: int, name: str) -> Sequence[str | None]:
    if value is None or isinstance(value, str):
        return [value] * count
    if len(value) != count:
        raise OptionError(f"{name} has {len(value)} entries for {count} inputs")
    return value


def _dtype(name: str) -> np.dtype[Any]:
    try:
        return np.dtype(name)
    except TypeError:
        raise OptionError(f"data_type '{name}' is no number type: uint8, int8, int16, float16, float32, ...") from None
