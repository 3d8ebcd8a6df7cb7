"""Timing in turns: what is compared runs A, B, A, B, ... so that whatever else the machine does falls on both."""

from __future__ import annotations

import gc
from collections.abc import Callable, Mapping
from statistics import median
from time import perf_counter


def interleaved(
    candidates: Mapping[str, Callable[[], object]], *, rounds: int, calls: int = 1, warm_up: int = 2
) -> dict[str, float]:
    """Median seconds of one call of each candidate.

    Args:
        candidates: name -> function.
        rounds: how many times each has its turn.
        calls: calls in one turn; their mean is one sample. Above 1 for what takes microseconds.
        warm_up: calls before anything is measured.
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
                started = perf_counter()
                for _ in range(calls):
                    function()
                samples[name].append((perf_counter() - started) / calls)
            gc.collect(0)
    finally:
        if enabled:
            gc.enable()
    return {name: median(taken) for name, taken in samples.items()}
