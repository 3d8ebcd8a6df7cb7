"""Models of any format into ONNX: importer plugins by file name ending, or by what an object in memory is."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rknn_ep.errors import NotInstalledError, OptionError
from rknn_ep.options import Options
from rknn_ep.plugins import PluginManager, plugins

if TYPE_CHECKING:
    import onnx_ir as ir

    from rknn_ep.records import Importer

Source = Any
"""A path, serialised ONNX as bytes, or an object that an importer plugin takes (a torch.nn.Module)."""


def import_model(source: Source, **options: Any) -> bytes:
    """The model as serialised ONNX, for `onnxruntime.InferenceSession`.

    Args:
        source: a path of any format that an importer plugin reads, serialised ONNX, or an object in memory that a plugin
            takes: a `torch.nn.Module` with the rknn_ep_pytorch plugin.
        **options: provider options; `input_shapes` and a plugin's own matter here.

    Raises:
        OptionError: no importer reads this.
        NotInstalledError: one does, and what it needs is not installed.
        ModelError: the model cannot be read or converted.
    """
    from rknn_ep.graph import serialize

    return serialize(load_source(source, Options.parse(options)))


def load_source(source: Source, options: Options, manager: PluginManager | None = None) -> ir.Model:
    """As `import_model`, as the graph that planning takes; weights in external files stay where they are."""
    from rknn_ep.graph import load_model

    if isinstance(source, bytes):
        return load_model(source)
    if isinstance(source, str):
        source = Path(source)
    importer = _importer(source, (manager or plugins()).importers().values())
    if why := importer.available():
        label = f"'{source}'" if isinstance(source, Path) else f"a {type(source).__name__}"
        raise NotInstalledError(f"{label} cannot be read here", remedy=why)
    return load_model(importer.load(source, options.as_text()))


def _importer(source: Source, importers: Collection[Importer]) -> Importer:
    found: Importer
    for found in importers:
        if isinstance(source, Path) and source.name.lower().endswith(found.suffixes):
            return found
        if not isinstance(source, Path) and found.accepts(source):
            return found
    known = ", ".join(sorted(suffix for importer in importers for suffix in importer.suffixes))
    if isinstance(source, Path):
        if not source.is_file():
            raise OptionError(f"cannot read '{source}': {'it is a folder' if source.is_dir() else 'no such file'}")
        raise OptionError(f"{source.name}: no importer reads '{source.suffix}' files. Readable here: {known}.")
    kind = type(source)
    raise OptionError(
        f"a model of type {kind.__module__}.{kind.__qualname__} is of no kind that is known here",
        remedy=f"Give a path ({known}), serialised ONNX as bytes, or an object that an importer plugin takes.",
    )
