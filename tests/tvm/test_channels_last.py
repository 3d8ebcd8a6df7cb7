"""Modules with their channels last, as TFLite's: the NPU takes them, and parameters and results keep their layout."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from rknn_ep_tvm.version import unavailable
from tests import models
from tests.required import missing
from tests.tvm import harness
from tests.tvm.harness import calls

if why := unavailable():
    missing("tvm", why)

import tvm
from tvm import relax
from tvm.relax import op

import rknn_ep_tvm
from rknn_ep_tvm.running import RUN

SHAPE = (1, 32, 32, 3)
FLOAT16 = 2**-8
"""Relative to the largest output: float16 has 11 bits, and some thirty roundings lie on the way."""


def network() -> Any:
    """Convolutions in HWIO and HWOI, a bias of one axis, a pool, a pad and a concatenation of channels."""
    random = np.random.default_rng(0)

    def weight(*shape: int) -> Any:
        return relax.const(random.normal(0, 0.2, shape).astype(np.float32))

    builder = relax.BlockBuilder()
    x = relax.Var("x", relax.TensorType(SHAPE, "float32"))
    with builder.function("main", [x]):
        with builder.dataflow():
            layout = {"data_layout": "NHWC", "kernel_layout": "HWIO"}
            value = builder.emit(op.nn.conv2d(x, weight(3, 3, 3, 16), strides=[2, 2], padding=[0, 0, 1, 1], **layout))
            value = builder.emit(op.clip(builder.emit(op.add(value, weight(16))), 0, 6))
            layout["kernel_layout"] = "HWOI"
            value = builder.emit(op.nn.conv2d(value, weight(3, 3, 16, 1), padding=[1, 1], groups=16, **layout))
            value = builder.emit(op.nn.max_pool2d(value, [2, 2], [2, 2], layout="NHWC"))
            padded = builder.emit(op.nn.pad(value, [0, 0, 0, 0, 0, 0, 0, 8]))
            features = builder.emit_output(op.concat([padded, value], axis=3))
            scores = builder.emit_output(op.mean(features, axis=[1, 2]))
        builder.emit_func_output(relax.Tuple([scores, features]))
    return builder.get()


def same_as_tvm(mod: Any, original: Any, values: np.ndarray[Any, Any]) -> None:
    expected = harness.run(tvm.compile(original, target="llvm"), values)
    for found, wanted in zip(harness.run(harness.compiled(mod), values), expected, strict=True):
        assert found.shape == wanted.shape
        np.testing.assert_allclose(found, wanted, atol=FLOAT16 * np.abs(wanted).max())


def test_a_hand_written_module() -> None:
    mod, report = rknn_ep_tvm.partition_for_rknn(network(), target=harness.TARGET, **harness.SMALL)
    assert calls(mod) == [RUN]
    assert report.to_dict()["macs"]["npu_share"] == 1.0
    same_as_tvm(mod, network(), harness.random(SHAPE))


@pytest.mark.models
def test_a_tflite_model() -> None:
    """BlazeFace with float16 weights, through TVM's frontend."""
    try:
        import tflite
    except ImportError:
        missing("tflite", "python -m pip install tflite")
    from tvm.relax.frontend.tflite import from_tflite

    plain = from_tflite(tflite.Model.GetRootAsModel(models.face_detection().read_bytes(), 0))
    mod, report = rknn_ep_tvm.partition_for_rknn(plain, target=harness.TARGET, **harness.SMALL)
    assert report.to_dict()["macs"]["npu_share"] >= 0.95
    assert calls(mod).count(RUN) <= 4  # three pools of two rows and columns stay with TVM: the report says why
    same_as_tvm(mod, plain, np.random.default_rng(0).uniform(-1, 1, (1, 128, 128, 3)).astype(np.float32))
