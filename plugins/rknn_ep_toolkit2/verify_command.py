"""`rknn-ep verify`: our simulations, the vendor's, and float, side by side."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rknn_ep.cli.flags import some_provider_flags
from rknn_ep.cli.output import EXIT_BELOW, Json, print_json, progress
from rknn_ep.errors import ArtifactError, OptionError

if TYPE_CHECKING:
    from rknn_ep.artifact.epcontext import EpcontextModel
    from rknn_ep.options import Options
    from rknn_ep_toolkit2.verification import LayerRow, OutputRow, PartitionResult

OUTPUT_HEADER = ("output", "", "against", "cosine", "exact", "within 1 LSB", "max LSB")
LAYER_HEADER = ("native operators", "makes", "exact", "within 1 LSB", "max LSB", "cosine", "why it differs")


@some_provider_flags(
    target="The SoC whose simulator is asked: any that computes in the model's precision; by default the one it was made for.",
    input_shapes="",
    mean="",
    std="",
    color="",
    resize="",
)
def verify(
    model: Annotated[Path, typer.Argument(help="A model that `rknn-ep compile` wrote.", show_default=False)],
    inputs: Annotated[
        Path,
        typer.Option("--inputs", help="A folder of pictures, one picture, an .npz, an .npy or a list file.", show_default=False),
    ],
    options: dict[str, Any],
    reference: Annotated[
        Path | None, typer.Option(help="The float model that was compiled: adds float32 to the comparison.", show_default=False)
    ] = None,
    samples: Annotated[int, typer.Option(min=1, help="So many samples at most.")] = 4,
    layers: Annotated[bool, typer.Option("--layers/--no-layers", help="Compare each native operator alone too.")] = True,
    markdown: Annotated[Path | None, typer.Option(help="Write the tables here as Markdown.", show_default=False)] = None,
    min_cosine: Annotated[
        float, typer.Option(help="Leave with exit code 3 if exact and vendor are further apart on an output.")
    ] = 0.0,
    json: Json = False,
) -> None:
    """Compare rknn_ep's simulation (exact and fast), the vendor's simulator and float32, per output and per native operator.

    Example: `rknn-ep verify model_ctx.onnx --inputs photos/ --mean 127 --std 128 --reference model.onnx`

    Operators are fed with what the vendor's simulator had, so that each difference is shown where it is made.
    """
    from rknn_ep_toolkit2.feeding import samples_of
    from rknn_ep_toolkit2.verification import verify_partition

    compiled = _compiled(model)
    parsed = _options(compiled, options)
    text = {**parsed.as_text(), "target": parsed.target}
    for path, what in ((inputs, "are no inputs"), (reference, "is no reference model")):
        if path is not None and not path.exists():
            raise ArtifactError(f"there {what} at {path}")
    results = []
    with progress() as show:
        show("running the model for the partitions' inputs", 0.0)
        found = samples_of(compiled, inputs, parsed, reference, samples)
        for number, node in enumerate(compiled.own):
            share = number / len(compiled.own)
            results.append(
                verify_partition(
                    node.open_bundle(),
                    found[node.name],
                    text,
                    layers=layers,
                    progress=lambda message, part, name=node.name, share=share: show(  # type: ignore[misc]
                        f"{name}: {message}", share + part / len(compiled.own)
                    ),
                )
            )
    if markdown is not None:
        markdown.write_text("\n".join(line for result in results for line in as_markdown(result)) + "\n")
    if json:
        print_json({"model": model, "partitions": [result.to_dict() for result in results]})
    else:
        typer.echo("\n".join(line for result in results for line in as_text(result)))
    if any(row.agreement.cosine < min_cosine for one in results for row in one.outputs if row.second == "vendor"):
        raise typer.Exit(EXIT_BELOW)


def _compiled(model: Path) -> EpcontextModel:
    from rknn_ep.artifact.bundle import RKNN_SUFFIX
    from rknn_ep.artifact.cache import BUNDLE_SUFFIX
    from rknn_ep.artifact.epcontext import read_epcontext

    if model.suffix in (RKNN_SUFFIX, BUNDLE_SUFFIX):
        rknn = model.with_suffix(RKNN_SUFFIX)
        raise ArtifactError(
            f"{model} is no ONNX model, and the vendor's simulator loads no file that was compiled",
            remedy="Verify what rknn-ep compile writes without --format rknn; "
            f"or make a model of the pair: rknn-ep wrap {rknn} -o {model.stem}_ctx.onnx.",
        )
    compiled = read_epcontext(model)
    if not compiled.own:
        raise ArtifactError(
            f"{model} holds no partition of rknn_ep",
            remedy=f"Compile it first: rknn-ep compile {model} -o {model.stem}_ctx.onnx.",
        )
    return compiled


def _options(compiled: EpcontextModel, given: dict[str, Any]) -> Options:
    """The options for the SoC that was asked for, else the one that the model was planned for.

    Raises:
        OptionError: no such SoC, or it does not compute in the model's precision.
    """
    from rknn_ep.options import Options
    from rknn_ep.plugins import plugins

    described = [node.description for node in compiled.own if node.description is not None]
    default = {"target": described[0].target} if described else {}
    parsed = Options.parse({**default, **given})
    target = plugins().target(parsed.target)
    for one in described:
        if one.precision not in target.precisions:
            raise OptionError(
                f"{compiled.path} was compiled in {one.precision} for {', '.join(one.targets)}, "
                f"and {target.name} computes in {', '.join(target.precisions)}",
                remedy=f"Leave --target out, or compile the model for it: rknn-ep compile --target {target.name}.",
            )
    return parsed


def as_markdown(result: PartitionResult) -> list[str]:
    """Heading and tables of one partition."""
    lines = [f"## {_title(result)}", "", *_table(OUTPUT_HEADER, [_output(row) for row in result.outputs]), ""]
    if result.layers:
        lines += [*_table(LAYER_HEADER, [_layer(row) for row in result.layers]), ""]
    return lines


def as_text(result: PartitionResult) -> list[str]:
    """The same, aligned; of the operators only those that differ."""
    lines = [_title(result), "", *_aligned(OUTPUT_HEADER, [_output(row) for row in result.outputs]), ""]
    if result.layers:
        differing = [row for row in result.layers if row.reason]
        lines.append(f"{len(result.layers) - len(differing)} of {len(result.layers)} native operators are exact, fed alone")
        if differing:
            lines += ["", *_aligned(LAYER_HEADER, [_layer(row) for row in differing])]
        lines.append("")
    return lines


def _title(result: PartitionResult) -> str:
    times = ", ".join(f"{name} {1000 * value:.1f} ms" for name, value in sorted(result.seconds.items()))
    others = "" if result.target in result.compiled_for else f" (compiled for {', '.join(result.compiled_for)})"
    count = "1 sample" if result.samples == 1 else f"{result.samples} samples"
    return f"{result.partition}, {result.target}{others}, {count}: {times}"


def _output(row: OutputRow) -> Sequence[str]:
    figures = row.agreement.to_dict()
    return (row.output, row.first, row.second, f"{figures['cosine']:.6f}", *_steps(figures))


def _layer(row: LayerRow) -> Sequence[str]:
    figures = row.agreement.to_dict()
    return (row.native or "(folded)", row.tensor, *_steps(figures), f"{figures['cosine']:.6f}", row.reason)


def _steps(figures: dict[str, Any]) -> tuple[str, str, str]:
    if figures["max_lsb"] is None:
        return f"{figures['share_exact']:.2%}", "", f"({figures['max_difference']:.3g})"
    return f"{figures['share_exact']:.2%}", f"{figures['share_within_1_lsb']:.2%}", f"{figures['max_lsb']:g}"


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    return [f"| {' | '.join(cells)} |" for cells in (header, ["---"] * len(header), *rows)]


def _aligned(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    everything = [header, *rows]
    widths = [max(len(row[column]) for row in everything) for column in range(len(header))]
    return ["  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in everything]
