"""`rknn-ep wrap`: somebody else's .rknn as an EPContext model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rknn_ep.cli.output import Json, print_json


def wrap(
    rknn: Annotated[Path, typer.Argument(help="The .rknn file.", show_default=False)],
    output: Annotated[Path, typer.Option("--output", "-o", help="Where to write the EPContext model.", show_default=False)],
    embed_mode: Annotated[int, typer.Option(min=0, max=1, help="1: the file inside the model; 0: in a file beside it.")] = 1,
    json: Json = False,
) -> None:
    """Wrap a .rknn that something else compiled into an ONNX model that ONNX Runtime loads with our provider.

    Inputs and outputs are taken from the file's own description. It runs on boards; a PC has nothing to compute it with.

    Example: `rknn-ep wrap yolo.rknn -o yolo_ctx.onnx`
    """
    from rknn_ep_toolkit2.wrapping import wrap_rknn

    output.parent.mkdir(parents=True, exist_ok=True)
    description = wrap_rknn(rknn, output, embed_mode=embed_mode)
    if json:
        print_json(
            {
                "output": output,
                "target": description.target,
                "inputs": {tensor.name: list(tensor.dims) for tensor in description.inputs},
                "outputs": {tensor.name: list(tensor.dims) for tensor in description.outputs},
            }
        )
        return
    for side, tensors in (("input", description.inputs), ("output", description.outputs)):
        for tensor in tensors:
            typer.echo(f"{side} {tensor.name} {tensor.dtype}{list(tensor.dims)}, {tensor.qtype} inside")
    typer.echo(f"wrote {output}, for {description.target}")
