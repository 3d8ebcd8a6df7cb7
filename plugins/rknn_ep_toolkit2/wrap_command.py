"""`rknn-ep wrap`: a .rknn as an EPContext model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rknn_ep.cli.output import Json, print_json


def wrap(
    rknn: Annotated[Path, typer.Argument(help="The .rknn file.", show_default=False)],
    output: Annotated[Path, typer.Option("--output", "-o", help="Where to write the EPContext model.", show_default=False)],
    companion: Annotated[
        Path | None,
        typer.Option(
            "--companion",
            help="The .rknnctx that rknn-ep wrote with it; looked for beside the file by default.",
            show_default=False,
        ),
    ] = None,
    embed_mode: Annotated[int, typer.Option(min=0, max=1, help="1: the file inside the model; 0: in a file beside it.")] = 1,
    json: Json = False,
) -> None:
    """Wrap a .rknn into an ONNX model that ONNX Runtime loads with our provider.

    Inputs and outputs are taken from the file's own description; the result runs on boards. What `rknn-ep compile --format rknn`
    wrote runs on the simulator too, where its companion is beside it.

    Example: `rknn-ep wrap yolo.rknn -o yolo_ctx.onnx`
    """
    from rknn_ep_toolkit2.wrapping import wrap_rknn

    output.parent.mkdir(parents=True, exist_ok=True)
    wrapped = wrap_rknn(rknn, output, embed_mode=embed_mode, companion=companion)
    description = wrapped.description
    if json:
        print_json(
            {
                "output": output,
                "target": description.target,
                "companion": wrapped.companion,
                "without_companion": wrapped.why,
                "inputs": {tensor.name: list(tensor.dims) for tensor in description.inputs},
                "outputs": {tensor.name: list(tensor.dims) for tensor in description.outputs},
            }
        )
        return
    for side, tensors in (("input", description.inputs), ("output", description.outputs)):
        for tensor in tensors:
            typer.echo(f"{side} {tensor.name} {tensor.dtype}{list(tensor.dims)}, {tensor.qtype} inside")
    if wrapped.companion is not None:
        typer.echo(f"with the simulation of {wrapped.companion.name}: it runs on a PC too")
    else:
        typer.echo(f"it runs on boards only: {wrapped.why}", err=True)
    typer.echo(f"wrote {output}, for {description.target}")
