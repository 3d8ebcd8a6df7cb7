"""The board's lines of `rknn-ep doctor`."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from functools import partial

from rknn_ep.errors import RknnEpError
from rknn_ep.memory import Memory, memory_of
from rknn_ep.records import Health, HealthCheck, HealthContext
from rknn_ep_board import board
from rknn_ep_board.board import Board, read_board
from rknn_ep_board.combinations import Version
from rknn_ep_board.driver import Clock, cpu_clocks, free_bytes, npu_clocks
from rknn_ep_board.machine import Machine

_TIGHT = 0.8
"""A model that takes more of the free memory than this leaves too little for the frames around it."""


def all_checks() -> Iterable[HealthCheck]:
    """SoC, driver, permissions, runtime, versions together, clocks, memory."""
    yield HealthCheck("board-soc", partial(_of_board, board.check_soc), "the SoC and its NPU cores")
    yield HealthCheck("board-driver", partial(_of_board, board.check_driver), "the kernel's NPU driver")
    yield HealthCheck("board-permissions", partial(_of_board, board.check_permissions), "who may open the NPU")
    yield HealthCheck("board-runtime", partial(_of_board, board.check_library), "the vendor's librknnrt.so")
    yield HealthCheck("board-versions", check_versions, "driver, runtime and toolkit together", takes_context=True)
    yield HealthCheck("board-frequency", check_frequency, "clock governors of CPU and NPU")
    yield HealthCheck("board-memory", check_memory, "the model's need against what is free", takes_context=True)


def check_versions(context: HealthContext) -> Health:
    """Driver and runtime together, and with a model its compiler too."""
    return board.check_versions(read_board(), _toolkit(context))


def check_frequency() -> Health:
    """Whether a governor holds the CPU or the NPU down."""
    machine = Machine.here()
    npu, cpu = npu_clocks(machine), cpu_clocks(machine)
    if not read_board(machine).soc.target or not (npu or cpu):
        return Health("skipped", "no governors are to be seen")
    said = "; ".join(f"{name} {', '.join(map(_clock_text, clocks))}" for name, clocks in (("NPU", npu), ("CPU", cpu)) if clocks)
    held = [clock for clock in (*npu, *cpu) if _held_down(clock)]
    if not held:
        return Health("ok", said)
    paths = [
        f"/sys/class/devfreq/{clock.name}/governor"
        if clock in npu
        else f"/sys/devices/system/cpu/cpufreq/{clock.name}/scaling_governor"
        for clock in held
    ]
    return Health("warning", f"{said}: held below its highest", f"echo performance | sudo tee {' '.join(paths)}")


def check_memory(context: HealthContext) -> Health:
    """The model's need against the memory that is free now."""
    free = free_bytes(Machine.here())
    if context.model is None or not read_board().soc.target or free is None:
        return Health("skipped", "no model is named" if context.model is None else "this is no such board")
    need: Memory = memory_of(context.model, context.options)
    contexts = int(context.options.get("contexts", "1"))
    total = need.total(contexts)
    said = f"{total / 2**20:.1f} MiB for {contexts} context{'s' if contexts > 1 else ''}, {free / 2**20:.0f} MiB free"
    if total > free:
        return Health("error", said, "Use a smaller model or fewer contexts, or free memory.")
    return Health("warning" if total > _TIGHT * free else "ok", said, "Leave room for frames." if total > _TIGHT * free else "")


def _of_board(check: Callable[[Board], Health]) -> Health:
    return check(read_board())


def _toolkit(context: HealthContext) -> Version:
    """The version of the compiler that wrote the model's first .rknn; empty where there is none."""
    from rknn_ep.memory import compiled_metadata

    if context.model is None:
        return ()
    try:
        found = compiled_metadata(context.model, context.options.get("target", read_board().soc.target))
    except RknnEpError:
        return ()  # another check says what is wrong with the model
    match = re.match(r"(\d+)\.(\d+)\.(\d+)", found[0].compiler) if found else None
    return tuple(map(int, match.groups())) if match else ()


def _held_down(clock: Clock) -> bool:
    fixed = clock.governor == "userspace" and clock.current is not None and clock.highest is not None
    return clock.governor == "powersave" or (fixed and (clock.current or 0) < (clock.highest or 0))


def _clock_text(clock: Clock) -> str:
    speed = f" at {clock.current}" if clock.current is not None else ""
    return f"{clock.name} {clock.governor}{speed}{f' of {clock.highest} MHz' if clock.highest else ''}"
