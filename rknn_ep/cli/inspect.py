"""`rknn-ep inspect`: what is in a bundle, an EPContext model, a vendor .rknn file or the cache."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from rknn_ep.cli.output import Json, print_json, stdout
from rknn_ep.errors import ArtifactError, OptionError, RknnEpError

ZIP_MAGIC = b"PK\x03\x04"
RKNN_MAGICS = (b"RKNN", b"RKNX")
BYTES = ("bytes", "size", "weights", "internal", "inputs", "outputs")
"""What is shown with its thousands apart."""
MOST_COLUMNS = 8
"""What is wider is shown entry by entry, not as a table."""


def inspect(
    path: Annotated[Path | None, typer.Argument(help="A bundle, an .onnx model or a .rknn file.", show_default=False)] = None,
    cache: Annotated[
        bool, typer.Option("--cache", help="List what the cache holds (in PATH, else in its usual folder).")
    ] = False,
    target: Annotated[
        str | None, typer.Option("--target", metavar="SOC", help="The SoC whose memory an uncompiled model is estimated for.")
    ] = None,
    input_shapes: Annotated[
        str | None,
        typer.Option("--input-shapes", metavar="NAME:1,3,H,W;...", help="Shapes of a dynamic model, for the estimate."),
    ] = None,
    json: Json = False,
) -> None:
    """Show what a file says about itself, by its content and not by its name, and how much memory it needs on the board.

    Example: `rknn-ep inspect model_ctx.onnx`

    Before it is compiled: `rknn-ep inspect model.onnx --target rk3566`

    What the compiler of the vendor wrote: `rknn-ep inspect model.rknn --json`

    What is kept from earlier sessions: `rknn-ep inspect --cache`
    """
    from rknn_ep.cli.rknn_view import view

    found = describe_cache(path) if cache else describe(path, {"target": target, "input_shapes": input_shapes})
    if found["kind"] == "rknn":  # of every tensor and native operator a program may want to know
        found["metadata"] = asdict(found["metadata"]) if json else view(found["metadata"])
    if json:
        print_json(found)
    else:
        _print(found)


def describe(path: Path | None, options: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """What the file at `path` is and holds, with the memory it needs; `options` (target, input_shapes) shape the estimate.

    The `metadata` of a .rknn is an `RknnMetadata`, everything else is JSON-like.

    Raises:
        OptionError: no path.
        ArtifactError: it cannot be read, or is none of the kinds.
    """
    if path is None:
        raise OptionError("there is nothing to inspect", remedy="Name a file, or --cache.")
    try:
        with path.open("rb") as file:
            magic = file.read(4)
    except OSError as error:
        raise ArtifactError(f"{path} cannot be read: {error.strerror}") from error
    if magic in RKNN_MAGICS:
        return _rknn(path)
    found = _bundle(path) if magic == ZIP_MAGIC else _onnx(path)
    found["memory"] = _memory(path, found["kind"], dict(options or {}))
    return found


def _memory(path: Path, kind: str, options: dict[str, Any]) -> dict[str, Any]:
    """What the model needs on the board; of one that is not compiled the estimate for each precision that it may get."""
    from rknn_ep.memory import memory_of
    from rknn_ep.options import Options
    from rknn_ep.plugins import plugins

    try:
        if kind != "onnx":
            return memory_of(path, options).to_dict()
        target = plugins().target(Options.parse(options).target)
        precisions = [precision for precision in ("int8", "fp16") if precision in target.precisions]
        estimates = ((precision, memory_of(path, {**options, "precision": precision})) for precision in precisions)
        return {"target": target.name} | {precision: memory.to_dict() for precision, memory in estimates}
    except OptionError:
        raise
    except RknnEpError as error:
        return {"unknown": error.message, "remedy": error.remedy}


def describe_cache(folder: Path | None) -> dict[str, Any]:
    """Every bundle of a cache folder, the last used first."""
    from rknn_ep.artifact.bundle import Bundle
    from rknn_ep.artifact.cache import BUNDLE_SUFFIX, Cache

    directory = Cache(folder).directory
    entries = []
    for path in directory.glob(f"**/*{BUNDLE_SUFFIX}"):
        status = path.stat()
        entry: dict[str, Any] = {"file": str(path.relative_to(directory)), "bytes": status.st_size, "used": status.st_atime}
        try:
            manifest = Bundle.open(path, verify=False).manifest
            entry |= {key: manifest.get(key) for key in ("partition", "target", "precision", "macs")}
        except ArtifactError as error:
            entry["damaged"] = error.message
        entries.append(entry)
    entries.sort(key=lambda entry: -entry["used"])
    return {"kind": "cache", "folder": str(directory), "bytes": sum(entry["bytes"] for entry in entries), "bundles": entries}


def _bundle(path: Path) -> dict[str, Any]:
    from rknn_ep.artifact.bundle import Bundle
    from rknn_ep.artifact.native_text import NativeDescription

    bundle = Bundle.open(path)
    found: dict[str, Any] = {"kind": "bundle", "file": str(path), "bytes": path.stat().st_size, "manifest": bundle.manifest}
    if "native.txt" in bundle.names:
        text = bundle.read("native.txt").decode("utf-8", "replace")
        found["native"] = asdict(NativeDescription.from_text(text, f"native.txt of {path}"))
    found["entries"] = [
        {"name": name, "offset": bundle.entry(name)[0], "bytes": bundle.entry(name)[1], "verified": True} for name in bundle.names
    ]
    return found


def _rknn(path: Path) -> dict[str, Any]:
    from rknn_ep.artifact.rknn_file import read_metadata
    from rknn_ep.memory import Memory, of_metadata

    metadata = read_metadata(path)
    return {
        "kind": "rknn",
        "file": str(path),
        "bytes": path.stat().st_size,
        "shapes": metadata.shapes,
        "metadata": metadata,
        "memory": Memory((of_metadata(path.name, metadata),)).to_dict(),
    }


def _onnx(path: Path) -> dict[str, Any]:
    from rknn_ep.artifact.epcontext_reader import read_epcontext

    model = read_epcontext(path)
    if not model.nodes:
        return _plain_onnx(path)
    nodes = []
    for node in model.nodes:
        entry: dict[str, Any] = {"name": node.name, "ours": node.ours, "problem": node.problem}
        entry |= {"inputs": node.inputs, "outputs": node.outputs}
        entry |= {key: value for key, value in node.attributes.items() if key != "notes"}
        if node.ours and not node.problem:
            bundle = node.open_bundle()
            entry["payload"] = str(node.payload) if isinstance(node.payload, Path) else "in the model"
            entry["entries"] = [{"name": name, "bytes": bundle.entry(name)[1]} for name in bundle.names]
            entry["manifest"] = {key: value for key, value in bundle.manifest.items() if key != "entries"}
        nodes.append(entry)
    return {
        "kind": "epcontext",
        "file": str(path),
        "bytes": path.stat().st_size,
        "nodes": nodes,
        "other_nodes": model.other_nodes,
    }


def _plain_onnx(path: Path) -> dict[str, Any]:
    """An ONNX model that nobody compiled: what it takes, gives and consists of."""
    from collections import Counter

    from rknn_ep.graph import load_model

    model = load_model(path)

    def tensor(value: Any) -> dict[str, Any]:
        shape = None if value.shape is None else [dim if isinstance(dim, int) else str(dim.value) for dim in value.shape]
        return {"name": value.name, "dtype": value.dtype.name if value.dtype else "", "shape": shape}

    operators = Counter(node.op_type if not node.domain else f"{node.domain}.{node.op_type}" for node in model.graph)
    return {
        "kind": "onnx",
        "file": str(path),
        "bytes": path.stat().st_size,
        "opset": dict(model.opset_imports),
        "producer": f"{model.producer_name or ''} {model.producer_version or ''}".strip(),
        "inputs": [tensor(value) for value in model.graph.inputs if value.name not in model.graph.initializers],
        "outputs": [tensor(value) for value in model.graph.outputs],
        "operators": dict(operators.most_common()),
    }


def _print(found: dict[str, Any]) -> None:
    """Nested facts as an indented list; what is long and uniform as a table."""
    from rich.markup import escape
    from rich.table import Table

    console = stdout()

    def show(key: str, value: Any, depth: int) -> None:
        margin = "  " * depth
        if isinstance(value, dict) and value:
            console.print(f"{margin}[bold]{escape(key)}[/]")
            for name, item in value.items():
                show(str(name), item, depth + 1)
        elif isinstance(value, (list, tuple)) and value and isinstance(value[0], dict):
            console.print(f"{margin}[bold]{escape(key)}[/]")
            columns = [name for name in value[0] if not isinstance(value[0][name], dict)]
            if len(columns) > MOST_COLUMNS:
                for item in value:
                    show(str(item.get("name", "")), {name: part for name, part in item.items() if name != "name"}, depth + 1)
                return
            table = Table(*columns, box=None, header_style="dim", padding=(0, 2, 0, len(margin) + 2))
            for item in value:
                table.add_row(*(escape(_text(name, item.get(name))) for name in columns))
            console.print(table)
        else:
            console.print(f"{margin}[dim]{escape(key)}[/] {escape(_text(key, value))}", soft_wrap=True)

    for key, value in found.items():
        show(key, value, 0)


def _text(key: str, value: Any) -> str:
    if value is None or value in ("", [], ()):
        return "-"
    if key == "used":
        return f"{datetime.fromtimestamp(value):%Y-%m-%d %H:%M}"
    if isinstance(value, int) and not isinstance(value, bool) and (key in BYTES or "_bytes" in key or key.startswith("bytes_")):
        return f"{value:,}"
    if isinstance(value, (list, tuple)):
        if value and isinstance(value[0], dict):
            return ", ".join(f"{item.get('name')}" for item in value)
        return ", ".join(map(str, value))
    return str(value)
