"""Answers the provider when ONNX Runtime asks which nodes it takes: plans, quantises and compiles, or says why not.

The provider calls `answer` on the thread that creates the session, without the GIL held before. Nothing may escape from it:
every failure becomes the text with which session creation fails.

Environment: RKNN_EP_PLAN_TIMEOUT, seconds after which planning gives up at its next step.
"""

from __future__ import annotations

import ctypes
import logging
import os
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import IntEnum
from urllib.parse import unquote

from rknn_ep.errors import CompileError, ExecutionError, OptionError, RknnEpError
from rknn_ep.options import Options, require_core_mask
from rknn_ep.plugins import plugins
from rknn_ep_onnxruntime.interruption import raise_in_caller
from rknn_ep_onnxruntime.native import encoded, library

TIMEOUT_VARIABLE = "RKNN_EP_PLAN_TIMEOUT"
HOST_PREFIX = "ort."
"""Keys under which the provider says what it knows of the session; they are not the user's options."""
_QUIET = 5.0
"""Seconds between two messages that a user sees who did not turn on ONNX Runtime's info log."""

log = logging.getLogger(__name__)


class Severity(IntEnum):
    """ONNX Runtime's."""

    VERBOSE = 0
    INFO = 1
    WARNING = 2
    ERROR = 3
    FATAL = 4


def answer(plan: int, model: int, size: int, options_text: bytes) -> int:
    """The callback: 0 when the plan stands, 1 when the session must not be created."""
    try:
        _plan(plan, ctypes.string_at(model, size), _parse(options_text.decode("utf-8", "surrogateescape")))
        return 0
    except RknnEpError as error:
        message = str(error)
    except KeyboardInterrupt:
        message = "interrupted (Ctrl-C) while the model was being planned and compiled; nothing was changed"
        raise_in_caller(message)
    except BaseException as error:
        log.exception("planning failed")
        message = f"planning failed with {type(error).__name__}: {error}\n  This is a defect of rknn_ep or of one of its plugins."
    library().rknn_ep_plan_fail(plan, encoded(message))
    return 1


def _plan(plan: int, model: bytes, given: Mapping[str, str]) -> None:
    from rknn_ep.pipeline import build_from_bytes, choose_runtime, fall_back

    options = _options(given)
    progress = _Progress(plan, _deadline())
    with _forwarding(plan):
        built = build_from_bytes(model, options, progress=progress)
    runtime = choose_runtime(options)
    path = "" if runtime.library is None else str(runtime.library())
    refused: dict[str, CompileError] = {}
    for part in built.partitions:
        made = None
        if runtime.executor is not None:
            try:
                made = runtime.executor(part.bundle, options.as_text())
            except CompileError as error:  # some devices compile only now, and may not take what others do
                if options.strict or not error.refuses:
                    raise
                progress.say(Severity.WARNING, f"{part.name} stays on the CPU: {error}")
                refused[part.name] = error
                continue
        nodes = (ctypes.c_uint64 * len(part.origins))(*part.origins)
        library().rknn_ep_plan_add_partition(
            plan,
            encoded(part.name),
            nodes,
            len(nodes),
            encoded(str(part.bundle)),
            encoded(built.target.name),
            encoded(path),
            encoded(part.native_text),
        )
        if made is not None:
            from rknn_ep_onnxruntime import python_executor

            python_executor.attach(plan, made, part.native_text)
    if not fall_back(built, refused, options).partitions:
        message = f"nothing of this model runs on {built.target.name}; the option report says why, node by node"
        library().rknn_ep_plan_nothing(plan, encoded(message))


@contextmanager
def _forwarding(plan: int) -> Iterator[None]:
    """Send what rknn_ep logs on this thread to the session's log as well: that is where users of a session look."""
    handler = _SessionLog(plan)
    logger = logging.getLogger("rknn_ep")
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)


class _SessionLog(logging.Handler):
    """Writes records to ONNX Runtime's logger of one session."""

    def __init__(self, plan: int) -> None:
        super().__init__()
        self._plan = plan
        self._thread = threading.get_ident()

    def emit(self, record: logging.LogRecord) -> None:
        if record.thread == self._thread:
            severity = min(max(record.levelno // 10 - 1, Severity.VERBOSE), Severity.FATAL)
            library().rknn_ep_plan_log(self._plan, severity, encoded(record.getMessage()))


def _options(given: Mapping[str, str]) -> Options:
    own = {key: value for key, value in given.items() if not key.startswith(HOST_PREFIX)}
    if given.get(f"{HOST_PREFIX}disable_cpu_fallback") == "1":
        own["strict"] = "1"  # the session's own way to ask for it
    options = Options.parse(own)
    require_core_mask(options.core_mask, plugins().target(options.target))
    return options


def _parse(text: str) -> dict[str, str]:
    pairs = (line.partition("=") for line in text.split("\n") if "=" in line)
    return {key: unquote(value, errors="surrogateescape") for key, _, value in pairs}


def _deadline() -> float | None:
    text = os.environ.get(TIMEOUT_VARIABLE, "")
    if not text:
        return None
    try:
        return time.monotonic() + float(text)
    except ValueError:
        raise OptionError(f"{TIMEOUT_VARIABLE} is a number of seconds, not '{text}'") from None


@dataclass
class _Progress:
    """Reports through ONNX Runtime's logger; to everyone only while it takes long, and stops at the deadline."""

    plan: int
    deadline: float | None
    spoken: float = field(default_factory=time.monotonic)

    def __call__(self, message: str, share: float) -> None:
        now = time.monotonic()
        if self.deadline is not None and now > self.deadline:
            raise ExecutionError(
                f"planning and compiling took longer than {TIMEOUT_VARIABLE}={os.environ.get(TIMEOUT_VARIABLE)} seconds "
                f"(while {message})",
                remedy="Compile ahead of time (rknn-ep compile), use fewer calibration samples, or raise the timeout.",
            )
        if now - self.spoken < _QUIET:
            self.say(Severity.INFO, f"{message} ({share:.0%})")
            return
        self.spoken = now
        self.say(Severity.WARNING, f"creating the session: {message} ({share:.0%}); Ctrl-C stops it")

    def say(self, severity: Severity, message: str) -> None:
        library().rknn_ep_plan_log(self.plan, int(severity), encoded(message))
