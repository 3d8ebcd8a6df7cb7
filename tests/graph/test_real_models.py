"""Real models, from the file and as ONNX Runtime hands them to a provider: every surviving value keeps its numbers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from rknn_ep.graph import View, load_model, normalize
from tests import models
from tests.graph.helpers import assert_same_numbers, assert_traceable, op_types, random_feed
from tests.graph.test_origins import optimised_by_onnx_runtime

pytestmark = pytest.mark.models

MODELS: dict[str, tuple[Callable[[], Path], dict[str, tuple[int, ...]]]] = {
    "det": (models.ppocr_det, {"x": (1, 3, 96, 160)}),
    "rec": (models.ppocr_rec, {"x": (1, 3, 48, 320)}),
    "rec, batch of 2": (models.ppocr_rec, {"x": (2, 3, 48, 64)}),
    "cls, batch of 3": (models.ppocr_cls, {"x": (3, 3, 48, 192)}),
    "silero": (models.silero_vad, {"input": (1, 576), "state": (2, 1, 128)}),
    "magika": (models.magika, {"bytes": (2, 2048)}),
}
ULPS = 256
"""Some 300 operators follow one another, with convolutions whose terms add up in another order once they are folded."""


def feed_of(view: View) -> dict[str, np.ndarray]:
    feed = random_feed(view)
    if "sr" in feed:
        feed["sr"] = np.array(16000)
    return feed


@pytest.mark.parametrize("name", MODELS)
def test_from_the_file(name: str) -> None:
    fetch, shapes = MODELS[name]
    view = normalize(load_model(fetch()), input_shapes=shapes)
    assert view.opset == 17
    assert_traceable(view)
    # Sigmoid and Softmax end these models: their scale is 1, whatever the largest value is.
    assert_same_numbers(view, feed_of(view), ulps=ULPS, least=1.0)


@pytest.mark.parametrize("level", ["ORT_ENABLE_BASIC", "ORT_ENABLE_EXTENDED"])
@pytest.mark.parametrize("name", MODELS)
def test_as_onnx_runtime_hands_it_over(name: str, level: str, tmp_path: Path) -> None:
    fetch, shapes = MODELS[name]
    view = normalize(load_model(optimised_by_onnx_runtime(str(fetch()), tmp_path, level)), input_shapes=shapes)
    assert_traceable(view)
    assert_same_numbers(view, feed_of(view), ulps=ULPS, least=1.0)


def test_what_is_recognised_in_pp_ocr() -> None:
    det = normalize(load_model(models.ppocr_det()), input_shapes={"x": (1, 3, 480, 480)})
    counted = Counter(op_types(det))
    assert counted["HardSwish"] == 24 and not {"BatchNormalization", "Clip", "Div", "Constant", "Identity"} & set(counted)
    rec = normalize(load_model(models.ppocr_rec()), input_shapes={"x": (1, 3, 48, 320)})
    counted = Counter(op_types(rec))
    assert (
        counted["HardSwish"] == 28
        and counted["LayerNormalization"] == 5
        and not {"Shape", "Cast", "BatchNormalization"} & set(counted)
    )
    for view in (det, rec):
        assert all(output.shape is not None for one in view.nodes for output in one.facts.outputs)


def test_a_transformer_is_traceable() -> None:
    view = normalize(
        load_model(models.minilm()),
        input_shapes=dict.fromkeys(("input_ids", "attention_mask", "token_type_ids"), (1, 128)),
    )
    assert_traceable(view)
    assert_same_numbers(view, feed_of(view), ulps=ULPS, least=1.0)
