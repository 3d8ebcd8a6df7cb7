"""A small network of Caffe's, written as Caffe writes it: a .prototxt, and a .caffemodel in protobuf's wire format.

The messages are described here by their field numbers, the few that the files need.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

Field = descriptor_pb2.FieldDescriptorProto

INPUT = (1, 3, 32, 32)

PROTOTXT = """name: "small"
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 3 dim: 32 dim: 32 } } }
layer { name: "conv1" type: "Convolution" bottom: "data" top: "conv1"
  convolution_param { num_output: 16 kernel_size: 3 pad: 1 stride: 2 bias_term: false } }
layer { name: "norm1" type: "BatchNorm" bottom: "conv1" top: "conv1" batch_norm_param { use_global_stats: true eps: 1e-5 } }
layer { name: "scale1" type: "Scale" bottom: "conv1" top: "conv1" scale_param { bias_term: true } }
layer { name: "relu1" type: "ReLU" bottom: "conv1" top: "conv1" }
layer { name: "depthwise" type: "Convolution" bottom: "conv1" top: "depthwise"
  convolution_param { num_output: 16 kernel_size: 3 pad: 1 group: 16 } }
layer { name: "sum" type: "Eltwise" bottom: "depthwise" bottom: "conv1" top: "sum" eltwise_param { operation: SUM } }
layer { name: "left" type: "Convolution" bottom: "sum" top: "left" convolution_param { num_output: 8 kernel_size: 1 } }
layer { name: "right" type: "Pooling" bottom: "sum" top: "right" pooling_param { pool: MAX kernel_size: 3 stride: 1 pad: 1 } }
layer { name: "joined" type: "Concat" bottom: "left" bottom: "right" top: "joined" }
layer { name: "pool" type: "Pooling" bottom: "joined" top: "pool" pooling_param { pool: AVE kernel_size: 2 stride: 2 } }
layer { name: "scores" type: "InnerProduct" bottom: "pool" top: "scores" inner_product_param { num_output: 10 } }
layer { name: "prob" type: "Softmax" bottom: "scores" top: "prob" }
"""


def write(folder: Path) -> Path:
    """The two files with seeded weights; the path of the .prototxt."""
    random = np.random.default_rng(3)

    def weight(*shape: int) -> np.ndarray[Any, Any]:
        return random.normal(0, np.prod(shape[1:]) ** -0.5, shape)

    spread = np.abs(random.normal(1, 0.1, 16))
    layers = {
        "conv1": ("Convolution", [weight(16, 3, 3, 3)]),
        "norm1": ("BatchNorm", [random.normal(0, 0.1, 16), spread, np.ones(1)]),
        "scale1": ("Scale", [random.normal(1, 0.1, 16), random.normal(0, 0.1, 16)]),
        "depthwise": ("Convolution", [weight(16, 1, 3, 3), random.normal(0, 0.1, 16)]),
        "left": ("Convolution", [weight(8, 16, 1, 1), random.normal(0, 0.1, 8)]),
        "scores": ("InnerProduct", [weight(10, 24 * 8 * 8), random.normal(0, 0.1, 10)]),
    }
    network = _network_class()(name="small")
    for name, (kind, blobs) in layers.items():
        layer = network.layer.add(name=name, type=kind)
        for blob in blobs:
            written = layer.blobs.add()
            written.shape.dim.extend(blob.shape)
            written.data.extend(blob.astype(np.float32).ravel().tolist())
    (folder / "small.caffemodel").write_bytes(network.SerializeToString())
    path = folder / "small.prototxt"
    path.write_text(PROTOTXT)
    return path


def _network_class() -> Any:
    file = descriptor_pb2.FileDescriptorProto(name="caffe.proto", package="caffe", syntax="proto2")
    one, many = Field.LABEL_OPTIONAL, Field.LABEL_REPEATED
    _message(file, "BlobShape", ("dim", 1, Field.TYPE_INT64, many, ""))
    _message(file, "BlobProto", ("data", 5, Field.TYPE_FLOAT, many, ""), ("shape", 7, Field.TYPE_MESSAGE, one, "BlobShape"))
    _message(
        file,
        "LayerParameter",
        ("name", 1, Field.TYPE_STRING, one, ""),
        ("type", 2, Field.TYPE_STRING, one, ""),
        ("blobs", 7, Field.TYPE_MESSAGE, many, "BlobProto"),
    )
    fields = ("name", 1, Field.TYPE_STRING, one, ""), ("layer", 100, Field.TYPE_MESSAGE, many, "LayerParameter")
    _message(file, "NetParameter", *fields)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("caffe.NetParameter"))


def _message(file: Any, name: str, *fields: tuple[str, int, int, int, str]) -> None:
    message = file.message_type.add(name=name)
    for field, number, kind, label, type_name in fields:
        made = message.field.add(name=field, number=number, type=kind, label=label)
        if type_name:
            made.type_name = f".caffe.{type_name}"
        elif label == Field.LABEL_REPEATED:
            made.options.packed = True
