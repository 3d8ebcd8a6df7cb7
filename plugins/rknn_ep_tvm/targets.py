"""Target tags: `rockchip/<soc>` compiles the remainder for the board's CPU, `rockchip/<soc>-sim` for this computer's own.

A target carries options for the pipeline `rknn` in `libs`, as `rknn:<option>=<value>`: TVM's LLVM targets take no other
free text. `make_target` writes them.
"""

from __future__ import annotations

import platform
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from rknn_ep.errors import OptionError, nearest

if TYPE_CHECKING:
    from tvm.target import Target as TvmTarget

    from rknn_ep.records import Target

LIBRARY = "rknn"
_OPTION = "rknn:"
SIMULATED = "-sim"
PREFIX = "rockchip/"


def register() -> None:
    """Register the tags of every target that is known, those of plugins and their aliases included."""
    from tvm.target.tag_registry import registry

    for name, target in _named():
        registry.register_tag(f"{PREFIX}{name}", configuration(target), override=True)
        registry.register_tag(f"{PREFIX}{name}{SIMULATED}", configuration(target, simulated=True), override=True)


def configuration(target: Target, *, simulated: bool = False, options: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The TVM target of a SoC, as the dictionary that `tvm.target.Target` takes.

    Args:
        target: the SoC.
        simulated: the remainder runs on this computer, and the partitions on its simulator.
        options: for the pipeline: docs/tvm.md lists them.
    """
    given = {"device": "simulator"} if simulated else {}
    given |= {name: str(value) for name, value in (options or {}).items()}
    found: dict[str, Any] = {
        "kind": "llvm",
        "device": target.name,
        "libs": [LIBRARY, *(f"{_OPTION}{name}={value}" for name, value in sorted(given.items()))],
    }
    if simulated:
        return {**found, "mtriple": _host_triple(), "mcpu": _host_cpu()}
    return {**found, "mtriple": target.triple, "mcpu": target.cpu}


def host_configuration() -> dict[str, Any]:
    """The TVM target of this computer's own CPU."""
    return {"kind": "llvm", "mtriple": _host_triple(), "mcpu": _host_cpu()}


def make_target(name: str, **options: Any) -> TvmTarget:
    """A TVM target with options for the pipeline `rknn`: `make_target("rockchip/rk3588", carrier="native", contexts=3)`.

    Raises:
        OptionError: there is no such target.
    """
    from tvm.target import Target as TvmTarget

    soc, simulated = split_name(name)
    return TvmTarget(configuration(_known(soc), simulated=simulated, options=options))


def split_name(name: str) -> tuple[str, bool]:
    """`rockchip/rk3588-sim`, `rk3588-sim` or `rk3588` -> (name of the SoC, whether simulated).

    Raises:
        OptionError: there is no such target.
    """
    soc = name.removeprefix(PREFIX)
    simulated = soc.endswith(SIMULATED)
    return _known(soc.removesuffix(SIMULATED)).name, simulated


def planning_options(target: str | TvmTarget, options: Mapping[str, Any]) -> dict[str, Any]:
    """Provider options for a target: those that it carries, under those that are given beside it.

    Args:
        target: a name that `split_name` takes, a TVM target of ours, or nothing.
        options: provider options.

    Raises:
        OptionError: there is no such target, or it is none of ours.
    """
    if not target:
        return dict(options)
    if isinstance(target, str):
        soc, simulated = split_name(target)
        carried = {"device": "simulator"} if simulated else {}
    else:
        found = options_of(target)
        if found is None:
            raise OptionError(f"target '{target}' is none of Rockchip's", remedy="rknn_ep_tvm.make_target('rockchip/rk3588-sim')")
        soc, carried = soc_of(target), {name: value for name, value in found.items() if name != "carrier"}
    return {**carried, **options, "target": soc}


def options_of(target: TvmTarget | None) -> dict[str, str] | None:
    """The pipeline's options in a TVM target, or None where it is no target of ours."""
    libraries = [str(name) for name in target.attrs.get("libs", ())] if target is not None else []
    if LIBRARY not in libraries:
        return None
    pairs = (name.removeprefix(_OPTION).partition("=") for name in libraries if name.startswith(_OPTION))
    return {key: value for key, _, value in pairs}


def soc_of(target: TvmTarget) -> str:
    """The SoC that a TVM target of ours is for."""
    return str(target.attrs.get("device", ""))


def _named() -> Iterable[tuple[str, Target]]:
    from rknn_ep.plugins import plugins

    for target in plugins().targets().values():
        for name in (target.name, *target.aliases):
            yield name, target


def _known(name: str) -> Target:
    named = dict(_named())
    if name.lower() not in named:
        raise OptionError(f"there is no target '{PREFIX}{name}': {nearest(name, named)}")
    return named[name.lower()]


def _host_triple() -> str:
    import tvm_ffi

    triple = tvm_ffi.get_global_func("target.llvm_get_system_triple", allow_missing=True)
    return str(triple()) if triple is not None else f"{platform.machine()}-linux-gnu"


def _host_cpu() -> str:
    import tvm_ffi

    cpu = tvm_ffi.get_global_func("target.llvm_get_system_cpu", allow_missing=True)
    return str(cpu()) if cpu is not None else "generic"
