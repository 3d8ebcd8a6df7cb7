"""Several threads that call one session, ours or ez-rknn-async's; runs in either's environment and imports nothing of the other.

python callers.py ours|ez MODEL

Opens the model once for each number of contexts that it is asked for. Reads lines "callers contexts calls" and answers each with
the elapsed seconds of `calls` calls, shared out among the callers, the process's seconds of CPU time for them, and how often a
thread gave its processor up meanwhile (it waited for another).
"""

from __future__ import annotations

import resource
import sys
import threading
import time
from collections.abc import Callable

import numpy as np


def ours(model: str, contexts: int) -> tuple[Callable[[np.ndarray], object], tuple[int, ...]]:
    from rknn_ep.runtime import Session

    session = Session(model, device="simulator", contexts=contexts)
    return lambda x: session.run([x]), session.inputs[0].shape


def ez(model: str, contexts: int) -> tuple[Callable[[np.ndarray], object], tuple[int, ...]]:
    import ztu_somemodelruntime_ez_rknn_async as wheel

    # One context a core; more than the cores of a PC come as threads of a core.
    options = wheel.make_provider_options(schedule=list(range(min(contexts, 2))), threads_per_core=max(1, contexts // 2))
    session = wheel.InferenceSession(model, provider_options=options)
    name = session.get_inputs()[0].name
    return lambda x: session.run(None, {name: x}), tuple(session.get_inputs()[0].shape)


def measure(run: Callable[[np.ndarray], object], shape: tuple[int, ...], callers: int, calls: int) -> tuple[float, float, int]:
    inputs = [np.random.default_rng(index).normal(size=shape).astype(np.float32) for index in range(callers)]
    started = threading.Barrier(callers + 1)

    def work(x: np.ndarray) -> None:
        for _ in range(3):
            run(x)
        started.wait()
        for _ in range(calls // callers):
            run(x)

    threads = [threading.Thread(target=work, args=(x,)) for x in inputs]
    for thread in threads:
        thread.start()
    started.wait()
    begin, before, used = time.perf_counter(), resource.getrusage(resource.RUSAGE_SELF), time.process_time()
    for thread in threads:
        thread.join()
    elapsed, used = time.perf_counter() - begin, time.process_time() - used
    return elapsed, used, resource.getrusage(resource.RUSAGE_SELF).ru_nvcsw - before.ru_nvcsw


def main(which: str, model: str) -> None:
    opened: dict[int, tuple[Callable[[np.ndarray], object], tuple[int, ...]]] = {}
    for line in sys.stdin:
        callers, contexts, calls = map(int, line.split())
        if contexts not in opened:
            opened[contexts] = {"ours": ours, "ez": ez}[which](model, contexts)
        run, shape = opened[contexts]
        sys.stdout.write("{} {} {}\n".format(*measure(run, shape, callers, calls)))
        sys.stdout.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
