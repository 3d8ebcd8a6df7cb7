"""ONNX graphs: reading them, and normalising them into the view that is planned."""

from __future__ import annotations

from rknn_ep.graph.float32 import to_float32
from rknn_ep.graph.load import load_model, serialize
from rknn_ep.graph.normalize import normalize
from rknn_ep.graph.view import View, ViewNode

__all__ = ["View", "ViewNode", "load_model", "normalize", "serialize", "to_float32"]
