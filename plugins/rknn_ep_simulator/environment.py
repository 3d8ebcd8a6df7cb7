"""`rknn-ep simulator-env`: what to export so that a board program finds the simulator where it expects the vendor's library."""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import Annotated, Any

import typer

from rknn_ep.cli.output import Json, print_json
from rknn_ep.errors import NotInstalledError, OptionError, nearest

COMPANIONS = "RKNN_EP_COMPANIONS"


def simulator_env(
    target: Annotated[str, typer.Option(help="The SoC that programs should believe in: models for others are refused.")] = "",
    companions: Annotated[
        list[Path] | None, typer.Option("--companions", help="A folder of bundles for vendor .rknn files; may be repeated.")
    ] = None,
    exact: Annotated[bool, typer.Option("--exact", help="Integer arithmetic as the ONNX operators define it, slower.")] = False,
    stand_in: Annotated[
        Path | None,
        typer.Option(help="Also write, beside this bundle, a .rknn for programs that check a model's first bytes."),
    ] = None,
    json: Json = False,
) -> None:
    """Print what to export so that programs written for a board run on this PC.

    Programs linked with -lrknnrt find our librknnrt.so through LD_LIBRARY_PATH, and it finds what it computes with through
    RKNN_EP_ONNXRUNTIME.

    Example: `eval "$(rknn-ep simulator-env)" && ./rknn_benchmark model.rknnctx`

    A client that wants a file beginning with RKNN: `rknn-ep simulator-env --stand-in model.rknnctx`
    """
    found = environment(target, companions or [], exact)
    if stand_in is not None:
        from rknn_ep_simulator.stand_in import write_stand_in

        write_stand_in(stand_in, stand_in.with_suffix(".rknn"))
    if json:
        print_json(found)
    else:
        typer.echo("\n".join(f"export {name}={shlex.quote(value)}" for name, value in found.items()))


def environment(target: str = "", companions: list[Path] | None = None, exact: bool = False) -> dict[str, Any]:
    """Variable -> value.

    Raises:
        NotInstalledError: the native libraries or onnxruntime are not installed.
        OptionError: no target is called so.
    """
    from rknn_ep.plugins import plugins
    from rknn_ep.runtime.native import onnxruntime_library

    targets = plugins().targets()
    if target and target not in targets:
        raise OptionError(f"no target is called {target!r}: {nearest(target, targets)}")
    library = plugins().runtimes()["simulator"].library
    assert library is not None
    path = library()
    computes = onnxruntime_library()
    if not computes:
        raise NotInstalledError(
            "the simulator computes with ONNX Runtime, which is not installed", remedy="python -m pip install onnxruntime"
        )
    before = [
        folder for folder in os.environ.get("LD_LIBRARY_PATH", "").split(os.pathsep) if folder not in ("", str(path.parent))
    ]
    found = {
        "LD_LIBRARY_PATH": os.pathsep.join([str(path.parent), *before]),
        "RKNN_EP_ONNXRUNTIME": computes,
        "ZTU_RKNPU2_RUNTIME_LIBRARY": str(path),
    }
    if target:
        found["RKNN_EP_SIMULATED_SOC"] = target
    if companions:
        found[COMPANIONS] = os.pathsep.join(str(folder.resolve()) for folder in companions)
    if exact:
        found["RKNN_EP_SIMULATION"] = "exact"
    return found
