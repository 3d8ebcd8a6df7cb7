"""`rknn-ep quantize`: a QDQ model that any ONNX Runtime runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from rknn_ep.cli.flags import provider_flags
from rknn_ep.cli.output import Json, print_json, progress
from rknn_ep.cli.partition import Model, below_if_nothing


@provider_flags
def quantize(
    model: Model,
    output: Annotated[Path, typer.Option("--output", "-o", help="Where to write the quantised model.", show_default=False)],
    options: dict[str, Any],
    json: Json = False,
) -> None:
    """Write a quantised (QDQ) model that any ONNX Runtime runs and any viewer opens.

    Only what the target's NPU takes is quantised. 20 to 200 pictures that look like the real ones are enough.

    Example: `rknn-ep quantize model.onnx -o model_int8.onnx --calibration photos/ --mean 127 --std 128`

    Another method, and one scale per tensor: `rknn-ep quantize model.onnx -o model_int8.onnx --calibration data.npz
    --calibration-method kl_divergence --no-per-channel`
    """
    import rknn_ep

    output.parent.mkdir(parents=True, exist_ok=True)
    with progress() as show:
        report = rknn_ep.quantize(model, output, progress=show, **options)
    if json:
        print_json({"output": output, **report.to_dict()})
    else:
        typer.echo(report.to_table())
        typer.echo(f"\nwrote {output} ({output.stat().st_size / 1e6:.1f} MB)")
    below_if_nothing(report)
