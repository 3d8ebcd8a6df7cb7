"""TensorFlow and TFLite models through tf2onnx, in a process of its own. See docs/model-formats.md."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from rknn_ep import hookimpl
from rknn_ep.records import Importer


@hookimpl
def rknn_ep_importers() -> Iterable[Importer]:
    """`.tflite`; `.pb`, frozen or of a SavedModel; `.keras` and `.h5`."""
    from rknn_ep_tensorflow.convert import available

    yield Importer("tflite", (".tflite",), _load, available=available, description="TensorFlow Lite")
    yield Importer(
        "tensorflow",
        (".pb", ".keras", ".h5"),
        _load,
        available=available,
        description="TensorFlow: frozen graphs, SavedModel (its saved_model.pb), Keras files",
    )


def _load(path: Path, options: Mapping[str, str]) -> bytes:
    from rknn_ep_tensorflow.convert import convert

    return convert(path, options)
