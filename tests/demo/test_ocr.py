"""Reading text with PP-OCR on ONNX Runtime's CPU provider: what the demo compares the NPU with."""

import math
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rknn_ep.demo import calibration, ocr
from rknn_ep.demo.ocr import Box, Word
from rknn_ep.quantization.samples import open_samples
from rknn_ep.records import TensorFacts
from tests import models


@pytest.fixture(scope="module")
def sessions() -> list[ort.InferenceSession]:
    paths = (models.ppocr_det(), models.ppocr_cls(), models.ppocr_rec())
    return [ort.InferenceSession(path, providers=["CPUExecutionProvider"]) for path in paths]


@pytest.mark.models
def test_the_photo_is_read_as_a_person_reads_it(sessions: list[ort.InferenceSession]) -> None:
    words = ocr.read_text(models.photo(), *sessions)
    assert [word.text for word in words] == ["github", "SOCIAL CODING"]


@pytest.mark.models
def test_text_that_stands_on_its_head_is_turned(sessions: list[ort.InferenceSession]) -> None:
    words = ocr.read_text(models.photo()[::-1, ::-1].copy(), *sessions)
    assert "github" in [word.text for word in words]


@pytest.mark.models
def test_written_words_are_found_where_they_were_written(sessions: list[ort.InferenceSession]) -> None:
    found = written = 0
    for picture, boxes in calibration.text_pictures(4, seed=3):
        words = ocr.read_text(picture, *sessions)
        written += len(boxes)
        found += sum(any(_overlap(box, word) for word in words) for box in boxes)
    assert found >= 0.9 * written


def _overlap(box: Box, word: Word) -> bool:
    return math.hypot(box.x - word.box.x, box.y - word.box.y) < max(box.width, box.height) / 2


@pytest.mark.models
def test_calibration_pictures_become_the_inputs_that_reading_feeds(tmp_path: Path, sessions: list[ort.InferenceSession]) -> None:
    folders = calibration.write_calibration(tmp_path, count=3)
    picture, boxes = next(calibration.text_pictures(1))
    options = {key: [float(x) for x in calibration.OPTIONS[key].split(",")] for key in ("mean", "std")}
    for name, size, expected in (
        ("det", ocr.DET_SIZE, ocr.det_input(picture)[0]),
        ("rec", ocr.REC_SIZE, ocr.line_input(ocr.cut_out(picture, boxes[0]), ocr.REC_SIZE)),
    ):
        samples = open_samples(
            folders[name], [TensorFacts("x", (1, 3, *size), "FLOAT")], color=calibration.OPTIONS["color"], **options
        )
        assert len(samples) == 3
        assert np.abs(next(iter(samples))["x"] - expected).max() <= 1 / 127.5  # the grey of the padding is 127, not 127.5


RECTANGLES = st.builds(
    Box,
    x=st.floats(200, 280),
    y=st.floats(200, 280),
    width=st.floats(60, 150),
    height=st.floats(12, 40),
    angle=st.floats(-0.7, 0.7),
)


@settings(max_examples=25, deadline=None)
@given(RECTANGLES)
def test_a_rotated_rectangle_of_text_pixels_is_found_and_grown(box: Box) -> None:
    rows, columns = np.mgrid[:480, :480].astype(np.float32)
    along = (columns - box.x) * math.cos(box.angle) + (rows - box.y) * math.sin(box.angle)
    across = -(columns - box.x) * math.sin(box.angle) + (rows - box.y) * math.cos(box.angle)
    probability = ((abs(along) <= box.width / 2) & (abs(across) <= box.height / 2)).astype(np.float32)
    (found,) = ocr.find_boxes(probability)
    grown = 1.6 * box.width * box.height / (box.width + box.height)
    assert found.width == pytest.approx(box.width + grown, abs=5) and found.height == pytest.approx(box.height + grown, abs=5)
    assert (found.x, found.y) == pytest.approx((box.x, box.y), abs=2)
    assert found.angle == pytest.approx(box.angle, abs=0.15)


def test_an_empty_map_and_single_pixels_give_no_boxes() -> None:
    probability = np.zeros((64, 64), np.float32)
    assert ocr.find_boxes(probability) == []
    probability[10, 10] = 1
    assert ocr.find_boxes(probability) == []


def test_a_cut_out_box_holds_the_pixels_it_encloses_upright() -> None:
    image = np.zeros((100, 100, 3), np.uint8)
    image[40:60, 20:80] = 200
    image[40:60, 20:30, 0] = 90
    straight = ocr.cut_out(image, Box(50, 50, 60, 20, 0.0))
    assert straight.shape == (20, 60, 3) and (straight[2:-2, 12:-2] == 200).all() and (straight[2:-2, 2:8, 0] == 90).all()
    standing = ocr.cut_out(np.rot90(image).copy(), Box(50, 50, 20, 60, 0.0))
    assert standing.shape == (20, 60, 3)


@given(st.lists(st.integers(0, 4), min_size=1, max_size=30))
def test_ctc_drops_blanks_and_counts_repeats_once(classes: list[int]) -> None:
    probabilities = np.full((len(classes), 5), 0.05, np.float32)
    probabilities[np.arange(len(classes)), classes] = 0.8
    text, score = ocr.decode(probabilities, ["", "a", "b", "c", " "])
    expected = [c for c, before in zip(classes, [None, *classes], strict=False) if c and c != before]
    assert text == "".join(" abc "[c] if c < 4 else " " for c in expected).strip()
    assert score == pytest.approx(0.8 if expected else 0.0)


def test_pictures_are_the_same_for_a_seed_and_others_for_another() -> None:
    first, again, other = (next(calibration.text_pictures(1, seed))[0] for seed in (1, 1, 2))
    assert (first == again).all() and (first != other).any()
