"""Ctrl-C while a session is being created: KeyboardInterrupt where ONNX Runtime would report that its provider failed.

Python's signal handler raises inside our callback, and an exception cannot pass through ONNX Runtime's C++. So creation fails,
and the exception that ONNX Runtime then raises is replaced in the very frame that called it, which is what a trace function
may do. It is set for that one frame; Python takes away a trace function that raises.
"""

from __future__ import annotations

import sys
from types import FrameType
from typing import Any


def raise_in_caller(message: str) -> None:
    """Let the Python frame that called into ONNX Runtime raise KeyboardInterrupt(message) once its call has failed.

    To be called from a callback, on the thread that creates the session, as the last thing. Where no Python frame made the
    call, nothing happens; nor where something traces the thread already (a debugger, coverage), which would be lost.
    """
    caller = _caller()
    if caller is None or sys.gettrace() is not None:
        return

    def replace(frame: FrameType, event: str, argument: Any) -> Any:
        if event == "exception":
            raise KeyboardInterrupt(message) from None
        return replace

    caller.f_trace_lines = False
    caller.f_trace = replace
    sys.settrace(_nothing)


def _nothing(frame: FrameType, event: str, argument: Any) -> None:
    """A tracer of no function that is called from now on; without one, no frame is traced."""


def _caller() -> FrameType | None:
    """The innermost frame that is not of the callback."""
    frame: FrameType | None = sys._getframe()
    while frame is not None and frame.f_globals.get("__name__", "").partition(".")[0] == __name__.partition(".")[0]:
        frame = frame.f_back
    return frame
