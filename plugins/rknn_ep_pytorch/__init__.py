"""PyTorch models: TorchScript and exported program files, and modules in memory. See docs/model-formats.md."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from importlib.util import find_spec
from typing import Any

from rknn_ep import hookimpl
from rknn_ep.records import Importer


@hookimpl
def rknn_ep_importers() -> Iterable[Importer]:
    """`.pt2` from torch.export, `.pt` and `.pth` from torch.jit.save, and torch.nn.Module objects."""
    yield Importer(
        "pytorch",
        (".pt", ".pth", ".pt2", ".torchscript"),
        _load,
        accepts=_is_torch,
        available=_available,
        description="TorchScript, exported programs, torch.nn.Module objects",
    )


def _load(source: Any, options: Mapping[str, str]) -> bytes:
    from rknn_ep_pytorch.export import export

    return export(source, options)


def _is_torch(source: object) -> bool:
    torch = sys.modules.get("torch")  # whoever holds a module has imported it
    return torch is not None and isinstance(source, torch.nn.Module | torch.export.ExportedProgram)


def _available() -> str:
    missing = [name for name in ("torch", "onnxscript") if find_spec(name) is None]
    return f"{' and '.join(missing)}: python -m pip install 'rknn-ep[pytorch]'" if missing else ""
