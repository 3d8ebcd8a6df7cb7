"""Real networks whose packages hold weights only (PyTorch, safetensors): written as ONNX here, without PyTorch.

The graphs are what a framework's export gives: BatchNormalization and erf-GELU as nodes of their own.
"""

from __future__ import annotations

import json
import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

OPSET = 17
EFFICIENTNET_BLOCKS = (  # kernel, stride, expansion, output channels, repeats: efficientnet-lite-pytorch 0.1.0, utils.py
    (3, 1, 1, 16, 1),
    (3, 2, 6, 24, 2),
    (5, 2, 6, 40, 2),
    (3, 2, 6, 80, 3),
    (5, 1, 6, 112, 3),
    (5, 2, 6, 192, 4),
    (3, 1, 6, 320, 1),
)
_BATCH_NORM_EPSILON = 1e-3
_LAYER_NORM_EPSILON = 1e-12


class GraphWriter:
    """Collects nodes and initializers; every method returns the name of its output."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: dict[str, onnx.TensorProto] = {}

    def constant(self, name: str, value: Any, dtype: Any = np.float32) -> str:
        self.initializers.setdefault(name, numpy_helper.from_array(np.ascontiguousarray(value, dtype), name))
        return name

    def node(self, op_type: str, inputs: Sequence[str], **attributes: Any) -> str:
        name = f"{op_type}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(op_type, list(inputs), [f"{name}_output"], name=name, **attributes))
        return f"{name}_output"

    def save(self, path: Path, name: str, inputs: Sequence[Any], outputs: Sequence[Any], last: str) -> None:
        self.nodes[-1].output[0] = outputs[0].name
        assert last.startswith(self.nodes[-1].name)
        graph = helper.make_graph(self.nodes, name, inputs, outputs, list(self.initializers.values()))
        model = helper.make_model(
            graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=8, producer_name="rknn_ep tests"
        )
        onnx.checker.check_model(model)
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_suffix(".partial")
        temporary.write_bytes(model.SerializeToString())
        temporary.replace(path)


def efficientnet_lite0(weights: Path, path: Path) -> None:
    """Input [1,3,224,224], (RGB - 127) / 128; output [1,1000] logits."""
    state = read_pytorch(weights)
    graph = GraphWriter()

    def convolution(
        value: str, size: int, weight: str, norm: str, *, stride: int = 1, groups: int = 1, activation: bool = True
    ) -> str:
        kernel = state[f"{weight}.weight"].shape[-1]
        pad = max((-(-size // stride) - 1) * stride + kernel - size, 0)
        pads = [pad // 2, pad // 2, pad - pad // 2, pad - pad // 2]
        inputs = [value, graph.constant(f"{weight}.weight", state[f"{weight}.weight"])]
        value = graph.node("Conv", inputs, kernel_shape=[kernel] * 2, strides=[stride] * 2, pads=pads, group=groups)
        parts = [
            graph.constant(f"{norm}.{part}", state[f"{norm}.{part}"])
            for part in ("weight", "bias", "running_mean", "running_var")
        ]
        value = graph.node("BatchNormalization", [value, *parts], epsilon=_BATCH_NORM_EPSILON)
        limits = [graph.constant("zero", 0), graph.constant("six", 6)]
        return graph.node("Clip", [value, *limits]) if activation else value

    value, size, channels, index = convolution("input", 224, "_conv_stem", "_bn0", stride=2), 112, 32, 0
    for kernel, first_stride, expansion, output, repeats in EFFICIENTNET_BLOCKS:
        for repeat in range(repeats):
            stride = first_stride if repeat == 0 else 1
            block, before, wide = f"_blocks.{index}", value, channels * expansion
            if expansion != 1:
                value = convolution(value, size, f"{block}._expand_conv", f"{block}._bn0")
            assert state[f"{block}._depthwise_conv.weight"].shape == (wide, 1, kernel, kernel)
            value = convolution(value, size, f"{block}._depthwise_conv", f"{block}._bn1", stride=stride, groups=wide)
            size = -(-size // stride)
            value = convolution(value, size, f"{block}._project_conv", f"{block}._bn2", activation=False)
            if stride == 1 and channels == output:
                value = graph.node("Add", [value, before])
            channels, index = output, index + 1
    value = convolution(value, size, "_conv_head", "_bn1")
    value = graph.node("Flatten", [graph.node("GlobalAveragePool", [value])])
    parts = [graph.constant("_fc.weight", state["_fc.weight"]), graph.constant("_fc.bias", state["_fc.bias"])]
    value = graph.node("Gemm", [value, *parts], transB=1)
    graph.save(path, "efficientnet_lite0", [_tensor("input", 1, 3, 224, 224)], [_tensor("logits", 1, 1000)], value)


def minilm(archive: Path, path: Path, *, length: int = 128) -> None:
    """all-MiniLM-L6-v2 without its pooling: input_ids, attention_mask, token_type_ids [1,length] int64 -> [1,length,384]."""
    config, state = read_sentence_model(archive)
    hidden, heads = config["hidden_size"], config["num_attention_heads"]
    graph = GraphWriter()

    def weights(name: str) -> str:
        return graph.constant(name, state[name])

    def linear(value: str, name: str) -> str:
        value = graph.node("MatMul", [value, graph.constant(f"{name}.weight", state[f"{name}.weight"].T)])
        return graph.node("Add", [value, weights(f"{name}.bias")])

    def normalised(value: str, name: str) -> str:
        parts = [weights(f"{name}.weight"), weights(f"{name}.bias")]
        return graph.node("LayerNormalization", [value, *parts], axis=-1, epsilon=_LAYER_NORM_EPSILON)

    def split(value: str, order: Sequence[int]) -> str:
        shape = graph.constant("split_shape", [1, length, heads, hidden // heads], np.int64)
        return graph.node("Transpose", [graph.node("Reshape", [value, shape])], perm=order)

    def gelu(value: str) -> str:
        inner = graph.node("Erf", [graph.node("Div", [value, graph.constant("sqrt_two", np.sqrt(2))])])
        inner = graph.node("Mul", [value, graph.node("Add", [inner, graph.constant("one", 1)])])
        return graph.node("Mul", [inner, graph.constant("half", 0.5)])

    words = graph.node("Gather", [weights("embeddings.word_embeddings.weight"), "input_ids"])
    types = graph.node("Gather", [weights("embeddings.token_type_embeddings.weight"), "token_type_ids"])
    positions = graph.constant("positions", state["embeddings.position_embeddings.weight"][None, :length])
    value = normalised(graph.node("Add", [graph.node("Add", [words, types]), positions]), "embeddings.LayerNorm")
    mask = graph.node("Cast", ["attention_mask"], to=TensorProto.FLOAT)
    mask = graph.node("Unsqueeze", [mask, graph.constant("mask_axes", [1, 2], np.int64)])
    mask = graph.node("Mul", [graph.node("Sub", [graph.constant("one", 1), mask]), graph.constant("masked", -10000)])
    for layer in range(config["num_hidden_layers"]):
        prefix = f"encoder.layer.{layer}"
        query = split(linear(value, f"{prefix}.attention.self.query"), [0, 2, 1, 3])
        key = split(linear(value, f"{prefix}.attention.self.key"), [0, 2, 3, 1])
        content = split(linear(value, f"{prefix}.attention.self.value"), [0, 2, 1, 3])
        scores = graph.node("Div", [graph.node("MatMul", [query, key]), graph.constant("head_scale", np.sqrt(hidden / heads))])
        scores = graph.node("Softmax", [graph.node("Add", [scores, mask])], axis=-1)
        context = graph.node("Transpose", [graph.node("MatMul", [scores, content])], perm=[0, 2, 1, 3])
        context = graph.node("Reshape", [context, graph.constant("join_shape", [1, length, hidden], np.int64)])
        attended = linear(context, f"{prefix}.attention.output.dense")
        value = normalised(graph.node("Add", [attended, value]), f"{prefix}.attention.output.LayerNorm")
        fed = linear(gelu(linear(value, f"{prefix}.intermediate.dense")), f"{prefix}.output.dense")
        value = normalised(graph.node("Add", [fed, value]), f"{prefix}.output.LayerNorm")
    inputs = [_tensor(name, 1, length, dtype=TensorProto.INT64) for name in ("input_ids", "attention_mask", "token_type_ids")]
    graph.save(path, "all_minilm_l6_v2", inputs, [_tensor("last_hidden_state", 1, length, hidden)], value)


def read_pytorch(path: Path) -> dict[str, np.ndarray[Any, Any]]:
    """Tensors of a state dict in PyTorch's legacy file format: four pickles, the list of storages, then their contents."""
    with path.open("rb") as file:
        for _ in range(3):
            _Unpickler(file).load()
        unpickler = _Unpickler(file)
        state = unpickler.load()
        storages = {}
        for key in _Unpickler(file).load():
            count = int.from_bytes(file.read(8), "little")
            dtype = np.dtype(unpickler.dtypes[key])
            storages[key] = np.frombuffer(file.read(dtype.itemsize * count), dtype)
    return {name: _view(storages, *tensor) for name, tensor in state.items()}


class _Unpickler(pickle.Unpickler):
    """Loads nothing but tensors: a tensor becomes (storage key, offset, shape, strides)."""

    def __init__(self, file: IO[bytes]) -> None:
        super().__init__(file)
        self.dtypes: dict[str, type] = {}

    def persistent_load(self, pid: Any) -> Any:
        self.dtypes[pid[2]] = {"FloatStorage": np.float32, "LongStorage": np.int64}[pid[1]]
        return pid[2]

    def find_class(self, module: str, name: str) -> Any:
        if name == "_rebuild_tensor_v2":
            return lambda key, offset, shape, strides, *rest: (key, offset, shape, strides)
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if module == "torch" and name.endswith("Storage"):
            return name
        raise pickle.UnpicklingError(f"{module}.{name} is not expected in a state dict")


def _view(
    storages: dict[str, Any], key: str, offset: int, shape: tuple[int, ...], strides: tuple[int, ...]
) -> np.ndarray[Any, Any]:
    flat = storages[key][offset:]
    return np.lib.stride_tricks.as_strided(flat, shape, [stride * flat.itemsize for stride in strides]).copy()


def read_sentence_model(archive: Path) -> tuple[dict[str, Any], dict[str, np.ndarray[Any, Any]]]:
    """(config.json, tensors) of a zipped sentence-transformers model; the safetensors layout is a JSON header and raw data."""
    with zipfile.ZipFile(archive) as opened:
        config = json.loads(opened.read("config.json"))
        content = opened.read("model.safetensors")
    size = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + size])
    body = memoryview(content)[8 + size :]
    state = {}
    for name, entry in header.items():
        if name != "__metadata__" and entry["dtype"] == "F32":
            begin, end = entry["data_offsets"]
            state[name] = np.frombuffer(body[begin:end], np.float32).reshape(entry["shape"])
    return config, state


def _tensor(name: str, *shape: int, dtype: int = TensorProto.FLOAT) -> Any:
    return helper.make_tensor_value_info(name, dtype, list(shape))
