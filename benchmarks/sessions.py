"""Sessions to compare: the provider, and ONNX Runtime's CPU provider with the same number of threads."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort

import rknn_ep


@cache
def register() -> str:
    """Register the provider once and give its name."""
    rknn_ep.register()
    return rknn_ep.get_ep_name()


@contextmanager
def folder() -> Iterator[Path]:
    """A temporary folder for models and caches."""
    with tempfile.TemporaryDirectory(prefix="rknn_ep-benchmark-") as name:
        yield Path(name)


def npu(model: Path, *, threads: int = 1, **options: Any) -> ort.InferenceSession:
    """A session with the provider; the simulator and what stays on the CPU have `threads` each."""
    from rknn_ep.options import Options

    parsed = Options.parse({"target": "rk3588", "device": "simulator", "simulation_threads": threads, **options})
    return ort.InferenceSession(model, _settings(threads), providers=[(register(), parsed.as_text()), "CPUExecutionProvider"])


def cpu(model: Path, *, threads: int = 1, unsaturated: bool = False) -> ort.InferenceSession:
    """A session on the CPU provider.

    Args:
        model: what to run.
        threads: how many.
        unsaturated: multiply 8-bit codes without losing anything. ONNX Runtime's default kernels for x64 without VNNI add
            pairs of products in 16 bits and cut off what does not fit: quicker, and not what the model says.
    """
    settings = _settings(threads)
    if unsaturated:
        settings.add_session_config_entry("session.x64quantprecision", "1")
    return ort.InferenceSession(model, settings, providers=["CPUExecutionProvider"])


def _settings(threads: int) -> ort.SessionOptions:
    settings = ort.SessionOptions()
    settings.intra_op_num_threads = threads
    settings.inter_op_num_threads = 1
    # Spinning threads of one session would take the core from the other in a comparison that takes turns.
    settings.add_session_config_entry("session.intra_op.allow_spinning", "0")
    settings.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
    return settings


def share_on_npu(session: ort.InferenceSession) -> str:
    """How many nodes run where, for the note of a row."""
    counts: dict[str, int] = {}
    for subgraph in session.get_provider_graph_assignment_info():
        counts[subgraph.ep_name] = counts.get(subgraph.ep_name, 0) + len(subgraph.get_nodes())
    return f"{counts.get('RKNNExecutionProvider', 0)} of {sum(counts.values())} nodes on the NPU"


def random_input(session: ort.InferenceSession, shape: tuple[int, ...], seed: int = 0) -> dict[str, np.ndarray[Any, Any]]:
    """A standard normal input for a model with one input."""
    return {session.get_inputs()[0].name: np.random.default_rng(seed).normal(0, 1, shape).astype(np.float32)}
