"""Runs a simulated model again and again, and prints how resident memory moved: python steady.py BUNDLE FLOW RUNS.

FLOW: copying, zero_copy, asynchronous, contexts (one made and destroyed for each of the runs). Prints bytes a run: the slope of a
straight line through the resident set's size, sampled fifty times after the first tenth of the runs.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np

from tests.simulator import driver
from tests.simulator.driver import Context, Input, Output


def resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def copying(context: Context) -> Callable[[], None]:
    attr = context.attr(driver.INPUT_ATTR)
    picture = np.zeros(attr.n_elems, np.float32)
    inputs, outputs = (Input * 1)(), (Output * 1)()
    inputs[0] = Input(0, picture.ctypes.data, picture.nbytes, 0, driver.FLOAT32, driver.NCHW)

    def run() -> None:
        outputs[0] = Output(1, 0, 0)
        context.call("rknn_inputs_set", 1, inputs)
        context.call("rknn_run", None)
        context.call("rknn_outputs_get", 1, outputs, None)
        context.call("rknn_outputs_release", 1, outputs)

    return run


def zero_copy(context: Context) -> Callable[[], None]:
    for command in (driver.NATIVE_INPUT_ATTR, driver.NATIVE_NHWC_OUTPUT_ATTR):
        attr = context.attr(command)
        context.call("rknn_set_io_mem", context.memory(attr.size_with_stride), ctypes.byref(attr))
    return lambda: context.call("rknn_run", None)


def slope(run: Callable[[], None], runs: int) -> float:
    samples = []
    for number in range(runs):
        run()
        if number % max(1, runs // 50) == 0 and number >= runs // 10:
            samples.append((number, resident()))
    numbers, sizes = np.array(samples, np.float64).T
    return float(np.polyfit(numbers, sizes, 1)[0])


def main(bundle: str, flow: str, runs: str) -> None:
    library = driver.load()
    if flow == "contexts":

        def cycle() -> None:
            with Context(library, Path(bundle)) as made:
                copying(made)()

        result = slope(cycle, int(runs))
    else:
        with Context(library, Path(bundle), flag=driver.FLAG_ASYNC_MASK if flow == "asynchronous" else 0) as context:
            result = slope(zero_copy(context) if flow == "zero_copy" else copying(context), int(runs))
    sys.stdout.write(f"{result:.3f}\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
