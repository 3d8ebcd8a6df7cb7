"""The YOLOv5 example: its README runs as it stands, all flows give equal boxes, and each step agrees with an independent one."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
import pytest
from PIL import Image

from rknn_ep.runtime.native import onnxruntime_library
from tests import models

EXAMPLE = Path(__file__).parents[2] / "examples" / "yolov5"
FENCE = re.compile(r"^```sh\n(.*?)^```", re.MULTILINE | re.DOTALL)
Array = np.ndarray[Any, Any]


@pytest.fixture(scope="module", autouse=True)
def example_on_path() -> Iterator[None]:
    sys.path.insert(0, str(EXAMPLE))
    yield
    sys.path.remove(str(EXAMPLE))


# --------------------------------------------------------------------------------------------- the whole way


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example as a user has it after following its README: a copy beside a copy of what it includes."""
    root = tmp_path_factory.mktemp("yolov5")
    folder = root / "examples" / "yolov5"
    shutil.copytree(EXAMPLE, folder)
    (root / "native").symlink_to(EXAMPLE.parents[1] / "native")
    (folder / "photos").mkdir()
    for index, path in enumerate(models.pictures()[:6]):
        Image.open(path).convert("RGB").resize((320, 240)).save(folder / "photos" / f"{index}.png")
    from skimage import data

    Image.fromarray(data.coffee()).save(folder / "photo.png")  # 600x400: letterboxed, and reduced
    script = "set -eu\npython() { " + sys.executable + ' "$@"; }\n' + "\n".join(FENCE.findall((folder / "README.md").read_text()))
    ran = subprocess.run(["bash", "-c", script], cwd=folder, capture_output=True, text=True, timeout=600, check=False)
    assert ran.returncode == 0, f"{ran.stdout[-2000:]}\n{ran.stderr[-4000:]}"
    return folder


def boxes(path: Path) -> tuple[list[int], Array]:
    """(classes, [N,5]: score and box)."""
    rows = [line.split() for line in path.read_text().splitlines()]
    return [int(row[0]) for row in rows], np.array([[float(value) for value in row[1:]] for row in rows])


def test_all_flows_in_both_languages_give_equal_boxes(folder: Path) -> None:
    kinds, numbers = boxes(folder / "onnxruntime.txt")
    assert len(kinds) > 5, "the model should find something"
    for name in ("copying", "zero_copy", "cpp_copying", "cpp_zero_copy"):
        others, found = boxes(folder / f"{name}.txt")
        assert others == kinds, name
        # Two decimals are printed; exp() of two libraries may differ in the last bit, and so the rounding.
        np.testing.assert_allclose(found, numbers, rtol=0, atol=0.0101, err_msg=name)


def test_boxes_lie_in_the_picture(folder: Path) -> None:
    _, numbers = boxes(folder / "onnxruntime.txt")
    x1, y1, x2, y2 = numbers[:, 1:].T
    assert (
        (x1 >= 0).all() and (y1 >= 0).all() and (x2 <= 600).all() and (y2 <= 400).all() and (x1 <= x2).all() and (y1 <= y2).all()
    )
    assert (np.diff(numbers[:, 0]) <= 0).all()


def test_both_languages_draw_frames_where_the_boxes_are(folder: Path) -> None:
    photo = np.asarray(Image.open(folder / "photo.png").convert("RGB")).astype(int)
    _, numbers = boxes(folder / "onnxruntime.txt")
    for name in ("boxes.png", "boxes.ppm"):
        drawn = np.asarray(Image.open(folder / name).convert("RGB")).astype(int)
        assert drawn.shape == photo.shape
        changed = np.abs(drawn - photo).sum(2) > 0
        best = np.rint(numbers[0, 1:]).astype(int)
        right, low = min(best[2], 599), min(best[3], 399)
        edge = changed[best[1] : low, right - 2 : right + 1]
        assert edge.mean() > 0.9, name
        assert not changed.all(), name


def test_the_model_is_one_partition_that_takes_bytes(folder: Path) -> None:
    from rknn_ep.runtime import Session

    with Session(folder / "yolov5s.rknnctx", device="simulator") as session:
        assert session.inputs[0].dtype == np.uint8 and session.inputs[0].shape == (1, 320, 320, 3)
        assert [one.shape for one in session.outputs] == [(1, 255, 40, 40), (1, 255, 20, 20), (1, 255, 10, 10)]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("none.rknnctx", "photo.ppm", "copying"), "rknn_init failed"),
        (("yolov5s.rknnctx", "photo.png", "copying"), "is no binary PPM picture"),
        (("yolov5s.rknnctx", "photo.ppm", "sideways"), "the flow is copying or zero_copy"),
    ],
)
def test_wrong_files_are_messages_not_crashes(folder: Path, arguments: tuple[str, ...], message: str) -> None:
    environment = dict(os.environ) | {"RKNN_EP_ONNXRUNTIME": onnxruntime_library()}
    command = ["./detect", *arguments]
    ran = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60, check=False, env=environment)
    assert ran.returncode == 1 and message in ran.stderr


# --------------------------------------------------------------------------------------------- the architecture


def test_the_graph_is_yolov5s() -> None:
    import make_model

    model = make_model.build(640)
    onnx.checker.check_model(model, full_check=True)
    shapes = [[dim.dim_value for dim in output.type.tensor_type.shape.dim] for output in model.graph.output]
    assert shapes == [[1, 255, 80, 80], [1, 255, 40, 40], [1, 255, 20, 20]]
    weights = {value.name: value for value in model.graph.initializer}
    used = {name for node in model.graph.node if node.op_type == "Conv" for name in node.input[1:]}
    # What Ultralytics prints for yolov5s with its normalisations folded.
    assert sum(int(np.prod(weights[name].dims)) for name in used) == 7_225_885
    kinds = [node.op_type for node in model.graph.node]
    assert (kinds.count("Conv"), kinds.count("Concat"), kinds.count("MaxPool"), kinds.count("Resize"), kinds.count("Add")) == (
        60,
        13,
        3,
        2,
        7,
    )
    stem = next(node for node in model.graph.node if node.op_type == "Conv")
    assert list(weights[stem.input[1]].dims) == [32, 3, 6, 6]


# --------------------------------------------------------------------------------------------- steps against others


@pytest.mark.parametrize(("width", "height"), [(600, 400), (123, 457), (320, 320), (50, 31), (1, 700)])
def test_letterbox_is_opencvs(width: int, height: int) -> None:
    from detection.letterbox import letterbox

    picture = np.random.default_rng(width).integers(0, 256, (height, width, 3), np.uint8)
    square, place = letterbox(picture, 320)
    inner_width, inner_height = max(1, int(width * place.scale + 0.5)), max(1, int(height * place.scale + 0.5))
    resized = cv2.resize(picture, (inner_width, inner_height), interpolation=cv2.INTER_LINEAR)
    padding = (place.top, 320 - inner_height - place.top, place.left, 320 - inner_width - place.left)
    expected = cv2.copyMakeBorder(resized, *padding, cv2.BORDER_CONSTANT, value=(114, 114, 114))
    # OpenCV's weights are of 11 bits too; how its vector kernels round differs by one grey level.
    assert np.abs(square.astype(int) - expected.astype(int)).max() <= 1
    corners = place.to_picture(np.float32([[place.left, place.top, place.left + inner_width, place.top + inner_height]]))[0]
    np.testing.assert_allclose(corners, [0, 0, width, height], atol=0.51 / place.scale)  # the inner size is whole


def one_cell_at_a_time(heads: list[Array], size: int, confidence: float) -> list[tuple[float, ...]]:
    """A reference written down from the formulas, loop by loop, in float64."""
    anchors = {8: "10,13 16,30 33,23", 16: "30,61 62,45 59,119", 32: "116,90 156,198 373,326"}
    found = []
    for head in heads:
        stride = size // head.shape[2]
        sizes = [tuple(map(float, pair.split(","))) for pair in anchors[stride].split()]
        for (anchor, row, column), logit in np.ndenumerate(head.reshape(3, 85, *head.shape[2:])[:, 4]):
            cell = 1 / (1 + np.exp(-head.reshape(3, 85, *head.shape[2:])[anchor, :, row, column].astype(np.float64)))
            del logit
            kind = int(np.argmax(cell[5:]))
            score = cell[4] * cell[5 + kind]
            if score < confidence:
                continue
            x, y = (2 * cell[0] - 0.5 + column) * stride, (2 * cell[1] - 0.5 + row) * stride
            w, h = 4 * cell[2] ** 2 * sizes[anchor][0], 4 * cell[3] ** 2 * sizes[anchor][1]
            found.append((kind, score, x - w / 2, y - h / 2, x + w / 2, y + h / 2))
    return sorted(found)


@pytest.fixture(scope="module")
def heads() -> list[Array]:
    """Random heads of a 160 square, logits."""
    random = np.random.default_rng(5)
    made = []
    for stride in (8, 16, 32):
        head = random.normal(-2, 2, (1, 255, 160 // stride, 160 // stride)).astype(np.float32)
        made.append(head)
    return made


def test_decoding_is_the_formulas(heads: list[Array]) -> None:
    from detection.decode import candidates

    decoded, scores, kinds = candidates(heads[::-1], 160, 0.3)
    expected = one_cell_at_a_time(heads, 160, 0.3)
    assert len(expected) > 50
    got = sorted((int(kind), float(score), *map(float, box)) for kind, score, box in zip(kinds, scores, decoded, strict=True))
    np.testing.assert_allclose(np.array(got), np.array(expected), rtol=2e-5, atol=2e-4)  # float32 against float64


def test_every_form_of_the_outputs_gives_the_same_boxes(heads: list[Array]) -> None:
    from detection.decode import candidates

    reference = candidates(heads, 160)
    probabilities = [(1 / (1 + np.exp(-head))).astype(np.float32) for head in heads]
    five = [head.reshape(1, 3, 85, *head.shape[2:]).transpose(0, 1, 3, 4, 2) for head in heads]
    rows = []
    for head, stride in zip(heads, (8, 16, 32), strict=True):  # what Ultralytics puts behind the heads
        sigmoid = (1 / (1 + np.exp(-head))).reshape(3, 85, *head.shape[2:]).transpose(0, 2, 3, 1).copy()
        side = head.shape[2]
        sigmoid[..., 0] = (sigmoid[..., 0] * 2 - 0.5 + np.arange(side)[None, None, :]) * stride
        sigmoid[..., 1] = (sigmoid[..., 1] * 2 - 0.5 + np.arange(side)[None, :, None]) * stride
        from detection.decode import ANCHORS

        sigmoid[..., 2:4] = (sigmoid[..., 2:4] * 2) ** 2 * np.array(ANCHORS[stride])[:, None, None]
        rows.append(sigmoid.reshape(-1, 85))
    for form in (probabilities, five, [np.concatenate(rows)[None].astype(np.float32)], [np.concatenate(rows)[None], *five]):
        for got, expected in zip(candidates(form, 160), reference, strict=True):
            np.testing.assert_allclose(got, expected, rtol=2e-5, atol=2e-4)
    with pytest.raises(ValueError, match="neither"):
        candidates(heads[:2], 160)


@pytest.mark.parametrize("seed", range(5))
def test_suppression_is_opencvs(seed: int) -> None:
    from detection.decode import suppress

    random = np.random.default_rng(seed)
    corners = random.uniform(0, 100, (300, 2))
    found = np.concatenate([corners, corners + random.uniform(5, 60, (300, 2))], 1).astype(np.float32)
    scores, kinds = random.uniform(0.25, 1, 300).astype(np.float32), random.integers(0, 4, 300)
    widths = np.concatenate([found[:, :2], found[:, 2:] - found[:, :2]], 1)
    expected = []
    for kind in range(4):
        (places,) = np.nonzero(kinds == kind)
        kept = cv2.dnn.NMSBoxes(widths[places].tolist(), scores[places].tolist(), 0.25, 0.45)
        expected += [int(places[index]) for index in np.asarray(kept).reshape(-1)]
    stay = suppress(found, scores, kinds)
    assert sorted(stay) == sorted(expected) and 50 < len(stay) < 280
    assert (np.diff(scores[stay]) <= 0).all()


def test_drawing_leaves_the_picture_alone_but_for_frames_and_labels() -> None:
    from detection.decode import Detection
    from detection.draw import color, draw

    picture = np.full((100, 120, 3), 255, np.uint8)
    drawn = draw(picture, [Detection(0, 0.9, (10.0, 40.0, 60.0, 90.0)), Detection(200, 0.5, (-5.0, -5.0, 500.0, 500.0))])
    assert (picture == 255).all()
    assert (drawn[60, 10] == color(0)).all() and (drawn[90, 30] == color(0)).all() and (drawn[65, 35] == 255).all()
    assert (drawn[99, 60] == color(200)).all()
