"""`rknn-ep run`: a model on arrays or pictures, its outputs kept, its time measured, compared with the CPU."""

from __future__ import annotations

from pathlib import Path
from statistics import median
from time import perf_counter
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rknn_ep.cli.flags import provider_flags
from rknn_ep.cli.output import EXIT_BELOW, Json, print_json, stderr, stdout
from rknn_ep.errors import ModelError, OptionError

if TYPE_CHECKING:
    import onnxruntime

Inputs = Annotated[list[Path], typer.Argument(help="One file for each run: .npz, .npy or a picture.", show_default=False)]
Output = Annotated[
    Path | None,
    typer.Option(
        "--output", "-o", help="Where to keep the outputs: an .npz, an .npy for one output, or a folder.", show_default=False
    ),
]


@provider_flags
def run(
    model: Annotated[Path, typer.Argument(help="The .onnx model, also one that `rknn-ep compile` wrote.", show_default=False)],
    inputs: Inputs,
    options: dict[str, Any],
    output: Output = None,
    compare_cpu: Annotated[
        bool, typer.Option("--compare-cpu", help="Compare each output with ONNX Runtime's CPU provider.")
    ] = False,
    reference: Annotated[
        Path | None,
        typer.Option(help="Compare with this model on the CPU: for a compiled model, the original.", show_default=False),
    ] = None,
    min_cosine: Annotated[float, typer.Option(help="Leave with exit code 3 if an output's cosine is below.")] = 0.0,
    repeat: Annotated[int, typer.Option(min=1, help="Runs of each input; the median time is shown.")] = 1,
    json: Json = False,
) -> None:
    """Run a model through onnxruntime.InferenceSession with the NPU in front of the CPU.

    Example: `rknn-ep run model.onnx photo.jpg --mean 127 --std 128 -o outputs.npz`

    Is int8 good enough? `rknn-ep run model.onnx test/*.jpg --calibration photos/ --compare-cpu --min-cosine 0.99`

    A compiled model against its original: `rknn-ep run model_ctx.onnx x.npy --reference model.onnx`
    """
    from rknn_ep.cli.inputs import load_inputs, wanted_inputs
    from rknn_ep.cli.session import assigned, cpu_session, npu_session
    from rknn_ep.options import Options

    parsed = Options.parse(options)
    _refuse_overwriting(output, inputs)
    _refuse_missing(inputs)
    started = perf_counter()
    with stderr().status(f"preparing {model.name}"):
        session = npu_session(model, parsed.as_text())
    created = perf_counter() - started
    peer = cpu_session(reference or model) if compare_cpu or reference or min_cosine else None

    wanted = wanted_inputs(model, session, parsed)
    runs = []
    for path in inputs:
        feeds = load_inputs(path, wanted, parsed)
        results, times = _timed(session, feeds, path, repeat)
        entry: dict[str, Any] = {"input": path, "milliseconds": times}
        if peer is not None:
            expected, cpu_times = _timed(peer, feeds, path, repeat)
            entry |= {"cpu_milliseconds": cpu_times, "outputs": _compare(results, expected)}
        else:
            entry["outputs"] = {name: _describe(array) for name, array in results.items()}
        if output is not None:
            entry["written"] = _save(results, output if len(inputs) == 1 else output / f"{path.stem}.npz")
        runs.append(entry)

    result = {"model": model, "created_seconds": round(created, 3), "nodes": assigned(session), "runs": runs}
    if json:
        print_json(result)
    else:
        _print(result, peer is not None)
    lowest = min((item["cosine"] for entry in runs for item in entry["outputs"].values() if "cosine" in item), default=1.0)
    if lowest < min_cosine:
        stderr().print(f"the lowest cosine is {lowest:.5f}, below {min_cosine}", style="red")
        raise typer.Exit(EXIT_BELOW)


def _refuse_missing(inputs: list[Path]) -> None:
    """Said before the session is prepared, which may take minutes."""
    for path in inputs:
        if not path.is_file():
            raise ModelError(f"there is no input file {path}")


def _refuse_overwriting(output: Path | None, inputs: list[Path]) -> None:
    if output is not None and len(inputs) > 1 and output.suffix in (".npz", ".npy"):
        raise OptionError(f"--output is a folder when there are {len(inputs)} inputs, not the file {output}")
    stems = [path.stem for path in inputs]
    if output is not None and len(set(stems)) < len(stems):
        raise OptionError("two inputs have the same file name, so their outputs would overwrite each other")


def _timed(session: onnxruntime.InferenceSession, feeds: dict[str, Any], path: Path, repeat: int) -> tuple[dict[str, Any], float]:
    from rknn_ep.cli.session import run as run_session

    times = []
    results: dict[str, Any] = {}
    for _ in range(repeat):
        started = perf_counter()
        results = run_session(session, feeds, path)
        times.append(1000 * (perf_counter() - started))
    return results, round(median(times), 3)


def _describe(array: Any) -> dict[str, Any]:
    import numpy as np

    values = np.asarray(array)
    numeric = values.dtype.kind in "fiub" and values.size
    extremes = {"minimum": float(values.min()), "maximum": float(values.max())} if numeric else {}
    return {"shape": list(values.shape), "dtype": str(values.dtype), **extremes}


def _compare(results: dict[str, Any], expected: dict[str, Any]) -> dict[str, Any]:
    import numpy as np

    from rknn_ep.quantization.metrics import cosine

    compared = {}
    for name, array in results.items():
        compared[name] = _describe(array)
        peer = expected.get(name)
        if peer is not None and np.shape(peer) == np.shape(array) and np.asarray(array).dtype.kind in "fiub":
            difference = np.abs(np.asarray(array, np.float64) - np.asarray(peer, np.float64))
            compared[name] |= {"cosine": float(cosine(array, peer)), "max_difference": float(difference.max(initial=0.0))}
    return compared


def _save(results: dict[str, Any], path: Path) -> Path:
    import numpy as np

    if path.suffix == ".npy":
        if len(results) != 1:
            raise OptionError(f"the model has {len(results)} outputs, and {path.name} holds one", remedy="Name an .npz.")
        np.save(path, next(iter(results.values())))
        return path
    if path.suffix != ".npz":
        path.mkdir(parents=True, exist_ok=True)
        path = path / "outputs.npz"
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, **results)
    return path


def _print(result: dict[str, Any], compared: bool) -> None:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("input", "output", "shape", "range"):
        table.add_column(column)
    for column in ("cosine", "max difference") if compared else ():
        table.add_column(column, justify="right")
    table.add_column("ms (CPU ms)" if compared else "ms", justify="right")
    for entry in result["runs"]:
        head, time = entry["input"].name, f"{entry['milliseconds']:.2f}"
        if compared:
            time += f" ({entry['cpu_milliseconds']:.2f})"
        for name, item in entry["outputs"].items():
            extremes = f"{item['minimum']:.4g} .. {item['maximum']:.4g}" if "minimum" in item else item["dtype"]
            cells = [head, name, "x".join(map(str, item["shape"])), extremes]
            if compared:
                cells += [f"{item['cosine']:.5f}", f"{item['max_difference']:.4g}"] if "cosine" in item else ["-", "-"]
            table.add_row(*cells, time)
            head = time = ""
    console = stdout()
    console.print(table)
    nodes = result["nodes"]
    where = ", ".join(f"{count} nodes on {provider}" for provider, count in nodes.items()) if nodes else "nodes: not told"
    console.print(f"\n{where}; session created in {result['created_seconds']:.2f} s", style="dim")
    for entry in result["runs"]:
        if "written" in entry:
            console.print(f"wrote {entry['written']}")
