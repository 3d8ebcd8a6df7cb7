"""A planner made by hand: the provider is tested by itself, without normalising, partitioning or quantising."""

from __future__ import annotations

import ctypes
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper

from rknn_ep.api import EP_NAME, native_library
from rknn_ep.artifact.bundle import write_bundle
from rknn_ep.artifact.native_text import NativeDescription, SocFacts, TensorDescription
from rknn_ep_onnxruntime import native
from tests.required import missing

SHAPE = (1, 3, 4, 4)
RK3576 = SocFacts("rk3576", 2, (0, 1, 2, 3))
VERSION = tuple(int(part) for part in ort.__version__.split(".")[:2])
"""Of the onnxruntime that is tested."""


def make_model(nodes, inputs, outputs, initializers=(), *, opset=17, ir_version=8, **graph) -> onnx.ModelProto:
    """A model of float tensors: `inputs` and `outputs` map names to shapes."""
    return helper.make_model(
        helper.make_graph(
            nodes,
            "test",
            [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in inputs.items()],
            [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in outputs.items()],
            list(initializers),
            **graph,
        ),
        opset_imports=[helper.make_opsetid("", opset)],
        ir_version=ir_version,
    )


def mul_and_sin() -> onnx.ModelProto:
    """y = 3 x, z = sin(y): the first node is for the NPU."""
    return make_model(
        [helper.make_node("Mul", ["x", "w"], ["y"], name="mul"), helper.make_node("Sin", ["y"], ["z"], name="sin")],
        {"x": SHAPE},
        {"z": SHAPE},
        [helper.make_tensor("w", TensorProto.FLOAT, [1], [3.0])],
    )


def bundle_of(
    folder: Path,
    model: onnx.ModelProto,
    *,
    name: str = "rknn_0",
    target: str = "rk3588",
    entries: dict[str, bytes] | None = None,
    changes: Callable[[str], str] = lambda text: text,
    also: tuple[SocFacts, ...] = (),
) -> Path:
    """A bundle that computes `model` as it is. `changes` edits native.txt, `also` are further SoCs that it serves."""

    def tensors(values):
        return tuple(
            TensorDescription(
                value.name,
                tuple(dim.dim_value for dim in value.type.tensor_type.shape.dim),
                TensorProto.DataType.Name(value.type.tensor_type.elem_type),
            )
            for value in values
        )

    text = NativeDescription(
        target,
        "fp16",
        name,
        tensors(model.graph.input),
        tensors(model.graph.output),
        cores=3,
        core_masks=(1, 2, 4, 3, 7),
        also=also,
    ).to_text()
    path = folder / f"{name}.rknnctx"
    content = {"native.txt": changes(text).encode(), "simulation.onnx": model.SerializeToString(), "simulation.data": b""}
    write_bundle(path, {**content, **(entries or {})}, {"partition": name})
    return path


def mul_bundle(folder: Path, **options) -> Path:
    """The bundle of mul_and_sin's first node."""
    model = make_model(
        [helper.make_node("Mul", ["x", "w"], ["y"])],
        {"x": SHAPE},
        {"y": SHAPE},
        [helper.make_tensor("w", TensorProto.FLOAT, [1], [3.0])],
    )
    return bundle_of(folder, model, **options)


@dataclass
class HandPlanner:
    """Answers with what a test put in; keeps what it was asked."""

    partitions: list[tuple[tuple[str, ...], Path]] = field(default_factory=list)
    """(operator types that the partition takes, its bundle)."""
    act: Callable[[int, onnx.ModelProto], object] = lambda plan, model: None
    """Anything else to do with the plan's handle; what it raises fails the plan."""
    models: list[onnx.ModelProto] = field(default_factory=list)
    options: list[str] = field(default_factory=list)
    interrupted: list[BaseException] = field(default_factory=list)

    def answer(self, plan: int, address: int, size: int, options: bytes) -> int:
        try:
            model = onnx.ModelProto.FromString(ctypes.string_at(address, size))
            self.models.append(model)
            self.options.append(options.decode())
            self.act(plan, model)
            for op_types, bundle in self.partitions:
                nodes = [index for index, node in enumerate(model.graph.node) if node.op_type in op_types]
                if nodes:
                    self.add(plan, nodes, bundle)
            return 0
        except BaseException as error:  # noqa: BLE001  (nothing may cross into C)
            self.interrupted.append(error)
            native.library().rknn_ep_plan_fail(plan, f"{type(error).__name__}: {error}".encode())
            return 1

    def add(self, plan: int, nodes: list[int], bundle: Path, library: str | None = None) -> None:
        array = (ctypes.c_uint64 * max(len(nodes), 1))(*nodes)
        simulator = str(native_library("SIMULATOR")) if library is None else library
        native.library().rknn_ep_plan_add_partition(
            plan, bundle.stem.encode(), array, len(nodes), str(bundle).encode(), b"rk3588", simulator.encode(), b""
        )


def open_session(
    model,
    options: dict[str, str] | None = None,
    config: dict[str, str] | None = None,
    level: ort.GraphOptimizationLevel = ort.GraphOptimizationLevel.ORT_ENABLE_ALL,
    threads: int = 0,
) -> ort.InferenceSession:
    """A session with the provider, that records which nodes went where.

    By name where ONNX Runtime takes plugin providers so (1.25 and later), else by device.
    """
    settings = ort.SessionOptions()
    settings.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
    settings.graph_optimization_level = level
    settings.intra_op_num_threads = threads
    for key, value in (config or {}).items():
        settings.add_session_config_entry(key, value)
    source = model.SerializeToString() if isinstance(model, onnx.ModelProto) else str(model)
    if EP_NAME in ort.get_available_providers():
        providers = [(EP_NAME, options or {}), "CPUExecutionProvider"]
        if (config or {}).get("session.disable_cpu_ep_fallback") == "1":
            del providers[1]  # ONNX Runtime refuses both at once
        return ort.InferenceSession(source, settings, providers=providers)
    settings.add_provider_for_devices([one for one in ort.get_ep_devices() if one.ep_name == EP_NAME], options or {})
    return ort.InferenceSession(source, settings)


def on_npu(session: ort.InferenceSession) -> list[str]:
    """Operator types of the nodes that the provider took."""
    if not hasattr(session, "get_provider_graph_assignment_info"):
        missing("onnxruntime", "this one does not say which nodes went where (1.24 and later do)")
    return sorted(
        node.op_type
        for subgraph in session.get_provider_graph_assignment_info()
        if subgraph.ep_name == EP_NAME
        for node in subgraph.get_nodes()
    )


def random(shape=SHAPE, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def run_python(script: str, **options) -> subprocess.CompletedProcess[str]:
    """A Python of its own, that finds these helpers."""
    root = Path(__file__).parents[2]
    return subprocess.run(
        [sys.executable, "-c", script], check=False, capture_output=True, text=True, cwd=root, timeout=120, **options
    )
