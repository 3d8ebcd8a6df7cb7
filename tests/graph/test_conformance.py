"""The ONNX conformance cases: normalising never fails, and the view computes what the case's model computes."""

from __future__ import annotations

import os
from collections.abc import Iterator

import numpy as np
import onnx
import onnxruntime as ort
import pytest

from rknn_ep.errors import ModelError, ShapeError
from rknn_ep.graph import load_model, normalize, serialize
from tests.graph.helpers import assert_close, assert_traceable, session

REFUSED = {
    # Dimensions named N and M have no value.
    "test_sequence_map": ShapeError,
}
LOOSE_MODELS = ("test_affine_grid_2d_expanded", "test_affine_grid_2d_align_corners_expanded")
"""They give Range inputs of shape [1]; ONNX Runtime takes that only while it does not know the shape."""
RANDOM = ("bernoulli", "multinomial", "random_")


@pytest.fixture(scope="module")
def cases() -> Iterator[list[object]]:
    from onnx.backend.test.loader import load_model_tests

    before = os.environ.get("ALLOW_RELEASED_ONNX_OPSET_ONLY")
    # Cases are written for the newest opset, which ONNX Runtime does not call released yet.
    os.environ["ALLOW_RELEASED_ONNX_OPSET_ONLY"] = "0"
    yield [case for case in load_model_tests(kind="node") if getattr(case, "model", None) is not None]
    if before is None:
        del os.environ["ALLOW_RELEASED_ONNX_OPSET_ONLY"]
    else:
        os.environ["ALLOW_RELEASED_ONNX_OPSET_ONLY"] = before


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_every_node_case(cases: list[object]) -> None:
    problems = []
    for case in cases:
        problem = _problem(case)
        if problem:
            problems.append(f"{case.name}: {problem}")  # type: ignore[attr-defined]
    assert len(cases) > 1000 and not problems, "\n".join(problems)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_folding_a_case_gives_what_onnx_runtime_computes(cases: list[object]) -> None:
    problems, folded = [], 0
    for case in cases:
        names = [value.name for value in case.model.graph.input]  # type: ignore[attr-defined]
        feed = _feed(names, case.data_sets[0][0] if case.data_sets else [])  # type: ignore[attr-defined]
        # Expanded cases are made of operators that have cases of their own.
        if len(feed) != len(names) or any(word in case.name for word in (*RANDOM, "_expanded")):  # type: ignore[attr-defined]
            continue
        try:
            expected = session(case.model.SerializeToString()).run(None, feed)  # type: ignore[attr-defined]
            constant = _with_constant_inputs(case.model, feed)  # type: ignore[attr-defined]
            view = normalize(load_model(constant.SerializeToString()))
        except Exception:  # noqa: BLE001 - what ONNX Runtime or the tensor format cannot take says nothing about folding
            continue
        if not view.nodes:
            folded += 1
            found = [value.const_value.numpy() for value in view.model.graph.outputs]  # type: ignore[union-attr]
            problems += [f"{case.name}: {text}" for text in _differences(expected, found)]  # type: ignore[attr-defined]
    assert folded > 500 and not problems, "\n".join(problems)


def _with_constant_inputs(model: onnx.ModelProto, feed: dict[str, np.ndarray]) -> onnx.ModelProto:
    constant = onnx.ModelProto()
    constant.CopyFrom(model)
    del constant.graph.input[:]
    constant.graph.initializer.extend(onnx.numpy_helper.from_array(array, name) for name, array in feed.items())
    return constant


def _feed(names: list[str], inputs: list[object]) -> dict[str, np.ndarray]:
    pairs = zip(names, inputs, strict=False)
    return {name: np.asarray(array) for name, array in pairs if isinstance(array, np.ndarray | np.generic)}


def _differences(expected: list[object], found: list[object]) -> list[str]:
    texts = []
    for one, other in zip(expected, found, strict=True):
        if isinstance(one, np.ndarray):
            try:
                assert_close(one, np.asarray(other), "output")
            except AssertionError as error:
                texts.append(str(error))
    return texts


def _problem(case: object) -> str:
    name, content = case.name, case.model.SerializeToString()  # type: ignore[attr-defined]
    try:
        view = normalize(load_model(content))
        written = serialize(view.model)
    except (ModelError, ShapeError) as error:
        expected = next((kind for start, kind in REFUSED.items() if name.startswith(start)), None)
        before_7 = max((item.version for item in case.model.opset_import if item.domain == ""), default=7) < 7  # type: ignore[attr-defined]
        return "" if (expected and isinstance(error, expected)) or before_7 else f"refused: {error}"
    try:
        assert_traceable(view)
    except AssertionError as error:
        return str(error)
    try:
        original = session(content)
    except Exception:  # noqa: BLE001 - what ONNX Runtime cannot load says nothing about us
        return ""
    if name in LOOSE_MODELS or any(word in name for word in RANDOM):
        return ""
    return _compare(case, original, session(written))


def _compare(case: object, original: ort.InferenceSession, normalised: ort.InferenceSession) -> str:
    names = [value.name for value in case.model.graph.input]  # type: ignore[attr-defined]
    for inputs, _ in case.data_sets:  # type: ignore[attr-defined]
        feed = _feed(names, inputs)
        if len(feed) != len(original.get_inputs()):
            continue
        try:
            expected = original.run(None, feed)
        except Exception:  # noqa: BLE001 - as above
            continue
        texts = _differences(expected, normalised.run(None, feed))
        if texts:
            return texts[0]
    return ""
