"""Runs the pip of an environment: what it does becomes progress, what it refuses becomes an error with its own words."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path

from rknn_ep_toolkit2.errors import ToolkitError

_COLLECT = re.compile(r"^\s*Collecting (?P<name>[\w.-]+)")
_DOWNLOAD = re.compile(r"^\s*(?:Downloading|Using cached) (?P<file>\S+)(?: \((?P<size>[^)]+)\))?")
_PIP = """
import ctypes, os, runpy, signal, sys
ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG: no pip goes on writing when its host is killed
if os.getppid() != int(sys.argv.pop(1)):
    os._exit(1)
sys.argv[0] = "pip"
runpy.run_module("pip", run_name="__main__", alter_sys=True)
"""
_KEPT_LINES = 400
_OWN_INDEX = ("--index-url", "-i", "--no-index")


class Pip:
    """The pip of an environment. It ends with this process, however that ends."""

    def __init__(self, python: Path, temporary: Path) -> None:
        """`temporary` is for pip's own files: emptied now, because an earlier pip that was killed has left some there."""
        self._python = python
        self._temporary = temporary
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(parents=True)

    def run(self, arguments: Sequence[str], step: Callable[[str], None]) -> None:
        """Run `pip ARGUMENTS`; `step` is called with each step in words: "downloading torch (180 MB)".

        Raises:
            ToolkitError: pip failed; the message holds its reason.
        """
        here = str(os.getpid())
        command = [str(self._python), "-I", "-c", _PIP, here, "--disable-pip-version-check", "--no-input", *arguments]
        environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
        kept: deque[str] = deque(maxlen=_KEPT_LINES)
        with subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            env={**environment, "TMPDIR": str(self._temporary)},
        ) as process:
            assert process.stdout is not None
            try:
                for line in process.stdout:
                    kept.append(line)
                    if words := _in_words(line):
                        step(words)
            except BaseException:  # interrupted: pip may not work on behind the user's back
                process.kill()
                raise
        if process.returncode != 0:
            raise _failed("".join(kept))


def has_own_index(pip_arguments: Sequence[str]) -> bool:
    """Whether the user said where packages come from."""
    return any(argument.split("=")[0] in _OWN_INDEX for argument in pip_arguments)


def _in_words(line: str) -> str:
    """The step that a line of pip's output tells of; empty for all other lines."""
    if found := _COLLECT.match(line):
        return f"looking for {found['name']}"
    if found := _DOWNLOAD.match(line):
        name = found["file"].rpartition("/")[2].split("-")[0]
        return f"downloading {name}" + (f" ({found['size']})" if found["size"] else "")
    return ""


def _failed(output: str) -> ToolkitError:
    said = "\n".join(dict.fromkeys(line[7:].strip() for line in output.splitlines() if line.startswith("ERROR: ")))
    words = said or output.strip().rpartition("\n")[2]
    message = "pip could not install the toolkit" + "".join(f"\n    {line}" for line in words.splitlines()[:6])
    if "No space left on device" in output:
        return ToolkitError(message, kind="disk", log=output, said=said, remedy="Make room, and run the same command again.")
    return ToolkitError(
        message,
        kind="environment",
        log=output,
        said=said,
        remedy="Run the same command again: it goes on where it stopped. "
        "For a mirror or without a network: --pip-args '--index-url URL' or --pip-args '--no-index --find-links FOLDER'.",
    )
