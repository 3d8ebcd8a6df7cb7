"""Starting: `import rknn_ep`, finding the plugins, and `rknn-ep --help`, each beyond an empty Python.

Importing should take under 50 ms and load no runtime; the help should be there in half a second.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from time import perf_counter

from benchmarks.results import Row
from benchmarks.timing import interleaved

HELP = "import sys; sys.argv = ['rknn-ep', '--help']; from rknn_ep.cli.main import main; main()"
CASES = (
    ("import rknn_ep", "import rknn_ep", "under 50 ms"),
    ("find the plugins", "from rknn_ep.plugins import plugins; plugins()", ""),
    ("rknn-ep --help", HELP, "under 500 ms"),
)


def run(quick: bool = False) -> Iterator[Row]:
    work = {name: partial(start, code) for name, code, _ in CASES} | {"nothing": partial(start, "pass")}
    taken = interleaved(work, rounds=5 if quick else 21, warm_up=1, clock=perf_counter)
    for name, _, goal in CASES:
        yield Row("startup", name, "beyond an empty Python", 1000 * (taken[name] - taken["nothing"]), "ms", goal=goal)


def start(code: str) -> None:
    """A new process, from beginning to end."""
    subprocess.run([sys.executable, "-c", code], stdout=subprocess.DEVNULL, check=True)
