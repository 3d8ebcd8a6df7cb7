"""Timing in turns: what is compared runs A, B, A, B, ... so that whatever else the machine does falls on both."""

from __future__ import annotations

import gc
from collections.abc import Callable, Mapping
from statistics import median
from time import process_time


def interleaved(
    candidates: Mapping[str, Callable[[], object]],
    *,
    rounds: int,
    calls: int = 1,
    warm_up: int = 2,
    clock: Callable[[], float] = process_time,
) -> dict[str, float]:
    """Median seconds of one call of each candidate.

    Args:
        candidates: name -> function.
        rounds: how many times each has its turn.
        calls: calls in one turn; their mean is one sample. Above 1 for what takes microseconds.
        warm_up: calls before anything is measured.
        clock: CPU time of the process unless said otherwise, which is the elapsed time of work in one thread on a machine that
            does nothing else; `perf_counter` for what several threads do together.
    """
    for function in candidates.values():
        for _ in range(warm_up):
            function()
    samples: dict[str, list[float]] = {name: [] for name in candidates}
    enabled = gc.isenabled()
    gc.disable()
    try:
        for turn in range(rounds):
            order = list(candidates) if turn % 2 == 0 else list(candidates)[::-1]
            for name in order:
                function = candidates[name]
                started = clock()
                for _ in range(calls):
                    function()
                samples[name].append((clock() - started) / calls)
            gc.collect(0)
    finally:
        if enabled:
            gc.enable()
    return {name: median(taken) for name, taken in samples.items()}
