"""The process of one job or session: forked off the server, so that the toolkit's import is paid once."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import faulthandler
import importlib
import importlib.util
import io
import json
import os
import resource
import signal
import socket
import sys
import tempfile
import traceback
from types import ModuleType
from typing import Any, Dict

from . import answers
from .channel import Channel

_PR_SET_PDEATHSIG = 1
_IOLBF = 1
_M_PERTURB = -6
"""glibc: what is allocated is filled with the complement of a byte, what is freed with the byte (mallopt(3))."""
_ZEROS = 0xFF
"""Freed memory is filled with it: whoever still reads that crashes, as is right."""
_LOG_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_APPEND


def main(request: Dict[str, Any], connection: socket.socket, server: int) -> None:
    """Do what `request` asks for, tell the host, and leave the process. Never returns."""
    status = 1
    try:
        _settle(request["folder"], server)
        channel = Channel(connection, request["folder"])
        # Said here and not by the server, whose word could come after the answer of a quick job.
        channel.send({"accepted": os.getpid()})
        answers.connect(channel)
        with open(os.path.join(request["folder"], "request.json"), "rb") as file:
            asked = json.loads(file.read())
        if asked.get("zeroed"):
            _zero_memory()
        work = os.path.join(request["folder"], "work")
        if request["session"]:
            _serve(channel, asked, work)
        else:
            channel.send(_answer(lambda: _load("jobs", asked["name"]).run(asked["arguments"], work)))
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        _flush()
        os._exit(status)


def _settle(folder: str, server: int) -> None:
    """Make this process its own: it dies with the server, writes into its log, and leaves nothing outside its folder."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != server:
        os._exit(1)
    os.setsid()
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w") as file:
        file.write("900")  # where memory runs out, this process goes, not the user's
    log = os.open(os.path.join(folder, "log"), _LOG_FLAGS, 0o600)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.close(log)
    # A crash loses what is in buffers: both Python's and the C library's standard output go out line by line.
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)
    library = ctypes.CDLL(None)
    library.setvbuf(ctypes.c_void_p.in_dll(library, "stdout"), None, _IOLBF, ctypes.c_size_t(0))
    faulthandler.enable(all_threads=False)
    temporary = os.path.join(folder, "tmp")
    os.environ["TMPDIR"] = temporary
    tempfile.tempdir = temporary
    os.chdir(os.path.join(folder, "work"))


def _zero_memory() -> None:
    """Fill what is allocated from here on with zeros; without it all children of a server find the same old bytes there."""
    ctypes.CDLL(None).mallopt(_M_PERTURB, _ZEROS)


def _serve(channel: Channel, asked: Dict[str, Any], work: str) -> None:
    """Make the session, then answer call after call until the host hangs up."""
    made = {}

    def make() -> Dict[str, Any]:
        made["session"] = _load("sessions", asked["name"]).Session(asked["arguments"], work)
        return {}

    channel.send(_answer(make))
    while made:
        call = channel.receive()
        if call is None:
            return
        channel.send(_answer(lambda call=call: getattr(made["session"], call["call"])(**call["arguments"])))


def _answer(work: Any) -> Dict[str, Any]:
    """What `work` returns, or how it failed, as a message."""
    try:
        return {"values": work() or {}}
    except answers.Refused as refusal:
        return {"failed": refusal.kind, "type": "", "words": str(refusal), "step": refusal.step}
    except MemoryError as error:
        traceback.print_exc()
        return {"failed": "memory", "type": "MemoryError", "words": str(error)}
    except SystemExit as error:
        return {"failed": "exit", "type": "SystemExit", "words": str(error.code)}
    except Exception as error:
        traceback.print_exc()
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            return {"failed": "disk", "type": type(error).__name__, "words": str(error)}
        return {"failed": "exception", "type": type(error).__name__, "words": str(error)}
    finally:
        _flush()


def _load(kind: str, name: str) -> ModuleType:
    """A module of ours by its name, or any file by its path."""
    if not name.endswith(".py"):
        return importlib.import_module("{}.{}.{}".format(__package__, kind, name))
    spec = importlib.util.spec_from_file_location("{}.{}.from_file".format(__package__, kind), name)
    if spec is None or spec.loader is None:
        raise ImportError(name)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _flush() -> None:
    """Bring Python's and the C library's buffers into the log: `_exit` drops them."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            continue
    ctypes.CDLL(None).fflush(None)
