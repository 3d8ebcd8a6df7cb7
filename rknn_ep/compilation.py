"""Partitions through every compiler that a build wants, several at once where a compiler works in another process.

chosen = choose_compilers(options, manager, ahead)
for made in compile_partitions(requests, chosen, targets, progress): ...
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field, replace
from typing import Any

from rknn_ep.artifact.bundle import NATIVE_TEXT, RKNN_SUFFIX
from rknn_ep.artifact.native_text import NativeDescription, SocFacts
from rknn_ep.errors import CompileError, OptionError
from rknn_ep.options import Options
from rknn_ep.plugins import PluginManager
from rknn_ep.records import Compiler, CompileRequest, CompileResult, Target

EVERY = "*"
_TICK = 0.5
"""Seconds between two looks at whether the user has lost patience."""


@dataclass(frozen=True)
class Ahead:
    """A build ahead of time: for devices that need not be here."""

    also_targets: tuple[str, ...] = ()
    """SoCs beside the option `target`, for which the same partitions are compiled too."""


@dataclass(frozen=True)
class Chosen:
    """The compilers of a build."""

    everywhere: tuple[Compiler, ...]
    """For every bundle."""
    devices: tuple[Compiler, ...] = ()
    """For devices; they get what the others made."""
    missing: Mapping[str, str] = field(default_factory=dict)
    """Compilers that are left out because they are not available, and why."""

    def versions(self) -> list[str]:
        """Name and version of each, for the cache key."""
        return [f"compiler:{one.name}={_version(one)}" for one in (*self.everywhere, *self.devices)]


@dataclass
class Made:
    """What became of one partition."""

    entries: dict[str, bytes] = field(default_factory=dict)
    notes: dict[str, Any] = field(default_factory=dict)
    """Compiler (and target, beside the first) -> what it had to say."""
    error: CompileError | None = None
    """Why it cannot be compiled for the first target."""


def choose_compilers(options: Options, manager: PluginManager, device: str, ahead: Ahead | None) -> Chosen:
    """The compilers for a device, or ahead of time all that are here.

    Args:
        options: ahead of time, a `device` other than auto makes its compiler a must and leaves the others out.
        manager: the plugins.
        device: the runtime that a session was created for; ignored ahead of time.
        ahead: None for a session.

    Raises:
        OptionError: the device needs a compiler that is not available.
    """
    records = list(manager.compilers().values())
    everywhere = tuple(one for one in records if EVERY in one.devices)
    others = [one for one in records if EVERY not in one.devices]
    wanted = device if ahead is None else options.device
    if wanted == "auto":
        reasons = {one.name: _without_shapes(one, options) or one.available() for one in others}
        missing = {name: why for name, why in reasons.items() if why}
        return Chosen(everywhere, tuple(one for one in others if one.name not in missing), missing)
    needed = [one for one in others if wanted in one.devices]
    for one in needed:
        if why := _without_shapes(one, options) or one.available():
            raise OptionError(
                f"device={wanted} needs the compiler '{one.name}', which is not available: {why}",
                remedy="Compile the model ahead of time on a machine that has it: rknn-ep compile." if ahead is None else "",
            )
    return Chosen(everywhere, tuple(needed))


def _without_shapes(compiler: Compiler, options: Options) -> str:
    """Why a compiler cannot take the option dynamic_input; empty where it can, or need not."""
    return "it compiles for one choice of input shapes" if options.dynamic_input and not compiler.dynamic_input else ""


def compile_partitions(
    requests: Sequence[CompileRequest],
    chosen: Chosen,
    also: Sequence[Target],
    progress: Callable[[str, float], None],
) -> list[Made]:
    """Run the compilers over all partitions; a partition that one refuses gets its error, the others go on.

    Raises:
        CompileError: of the kind that no partition would survive (`refuses` is false).
    """
    made = [Made() for _ in requests]
    requests = list(requests)
    for index, request in enumerate(requests):
        progress(f"compiling {request.partition}", 0.5 * index / len(requests) if chosen.devices else index / len(requests))
        try:
            for compiler in chosen.everywhere:
                _keep(made[index], compiler.name, compiler.compile(requests[index]))
                requests[index] = replace(requests[index], entries=made[index].entries)
        except CompileError as error:
            _fail(made[index], error)
    jobs = [
        (index, compiler, replace(request, target=target))
        for index, request in enumerate(requests)
        if made[index].error is None
        for compiler in chosen.devices
        for target in (request.target, *also)
    ]
    if jobs:
        _run(jobs, requests, made, progress)
    for one in made:
        _name_others(one, also)
    return made


def _run(
    jobs: Sequence[tuple[int, Compiler, CompileRequest]],
    requests: Sequence[CompileRequest],
    made: Sequence[Made],
    progress: Callable[[str, float], None],
) -> None:
    pool = ThreadPoolExecutor(min(len(jobs), len(os.sched_getaffinity(0))), thread_name_prefix="rknn-ep-compile")
    futures: dict[Future[CompileResult], tuple[int, Compiler, CompileRequest]] = {
        pool.submit(job[1].compile, job[2]): job for job in jobs
    }
    pending = set(futures)
    try:
        while pending:
            done, pending = wait(pending, _TICK, FIRST_COMPLETED)
            names = sorted({f"{futures[one][2].partition} for {futures[one][2].target.name}" for one in pending})
            share = 0.5 + 0.5 * (len(jobs) - len(pending)) / len(jobs)
            progress(f"compiling {', '.join(names[:2]) or 'done'}{' and others' if len(names) > 2 else ''}", share)
            for future in done:
                index, compiler, request = futures[future]
                first = request.target.name == requests[index].target.name
                name = compiler.name if first else f"{compiler.name} for {request.target.name}"
                try:
                    _keep(made[index], name, future.result())
                except CompileError as error:
                    if not first and error.refuses:  # the bundle serves the other targets all the same
                        made[index].notes[name] = {"error": str(error)}
                    else:
                        _fail(made[index], error)
    except BaseException:
        for request in requests:
            request.cancel.set()
        for future in pending:
            future.cancel()
        raise
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _name_others(made: Made, also: Sequence[Target]) -> None:
    """Write the SoCs beside the first for which there is something to load into native.txt."""
    served = [target for target in also if f"{target.name}{RKNN_SUFFIX}" in made.entries]
    if not served or made.error is not None:
        return
    description = NativeDescription.from_text(made.entries[NATIVE_TEXT].decode())
    facts = tuple(SocFacts(one.name, one.cores, one.core_masks, one.copying_api) for one in served)
    made.entries[NATIVE_TEXT] = replace(description, also=facts).to_text().encode()


def _keep(made: Made, name: str, result: CompileResult) -> None:
    made.entries.update(result.entries)
    if result.notes:
        made.notes[name] = dict(result.notes)


def _fail(made: Made, error: CompileError) -> None:
    if not error.refuses:
        raise error
    made.error = error


def _version(compiler: Compiler) -> str:
    return compiler.version if isinstance(compiler.version, str) else compiler.version()
