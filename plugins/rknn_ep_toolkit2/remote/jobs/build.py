"""Builds one .rknn: runs in a forked child of the toolkit's own Python, in a private folder. Python 3.8 and numpy only.

What the toolkit prints with verbose=True (its layer table, its memory figures) is in the log that the worker captures.
"""

from __future__ import annotations

import importlib.metadata
import os
from typing import Any, Dict, List, Optional

from ..answers import checked, progress

_CONFIG = (
    "target_platform",
    "custom_string",
    "quantized_dtype",
    "quantized_algorithm",
    "quantized_method",
    "float_dtype",
    "optimization_level",
    "mean_values",
    "std_values",
    "disable_rules",
)
"""The settings that a request may name."""


def run(arguments: Dict[str, Any], folder: str) -> Dict[str, Any]:
    """Build `arguments["model"]` into `arguments["output"]`, both names in `folder`.

    Args:
        arguments: model: file name of the ONNX model. output: file name of the .rknn to write. config: settings for
            RKNN.config, of those in `_CONFIG`. quantize: whether the toolkit quantises by itself. dataset: with
            quantize, for each sample a list of .npy file names in the order of the model's inputs.
        folder: where the files are.

    Returns:
        toolkit: its version; parameters: what `quantization_table` found.
    """
    rknn = build(arguments, folder)
    progress("writing", 0.9)
    checked("export_rknn", rknn.export_rknn(os.path.join(folder, arguments["output"])))
    return {"toolkit": importlib.metadata.version("rknn-toolkit2"), "parameters": quantization_table(rknn)}


def build(arguments: Dict[str, Any], folder: str) -> Any:
    """An RKNN object that has been built and can be exported or simulated."""
    from rknn.api import RKNN  # type: ignore[import-not-found]  # in the other environment

    rknn = RKNN(verbose=True)
    checked("config", rknn.config(**{name: value for name, value in arguments["config"].items() if name in _CONFIG}))
    progress("reading the model", 0.1)
    checked("load_onnx", rknn.load_onnx(model=os.path.join(folder, arguments["model"])))
    progress("building", 0.3)
    dataset = _dataset(arguments["dataset"], folder) if arguments.get("quantize") else None
    checked("build", rknn.build(do_quantization=dataset is not None, dataset=dataset))
    return rknn


def _dataset(samples: List[List[str]], folder: str) -> str:
    """The toolkit's list of calibration samples: a line each, the inputs separated by spaces."""
    path = os.path.join(folder, "dataset.txt")
    with open(path, "w") as file:
        for sample in samples:
            file.write(" ".join(os.path.join(folder, name) for name in sample) + "\n")
    return path


def quantization_table(rknn: Any) -> Optional[Dict[str, Any]]:
    """The parameters that the toolkit used: tensor name -> dtype, scale and zero_point (lists); None where they cannot be read.

    The attribute is not part of the toolkit's interface: another version may not have it.
    """
    table = getattr(getattr(getattr(rknn, "rknn_base", None), "quantizer", None), "quant_tab", None)
    if not isinstance(table, dict):
        return None
    return {
        str(name): {key: _plain(entry.get(key)) for key in ("dtype", "qmethod", "scale", "zero_point")}
        for name, entry in table.items()
        if isinstance(entry, dict)
    }


def _plain(value: Any) -> Any:
    """A JSON value for numbers, strings and lists of them; None for anything else."""
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, (list, tuple)):
        return [_plain(part) for part in value]
    return value if isinstance(value, (str, int, float, bool)) else None
