"""Reads text in a picture with the three PP-OCR networks, each an `onnxruntime.InferenceSession` of fixed shape.

    words = read_text(image, det_session, cls_session, rec_session)

The sessions may run on any provider, so the same call compares the NPU with the CPU. Detection finds a probability
map (DB: Liao et al., "Real-time Scene Text Detection with Differentiable Binarization", 2019), every box is cut out upright,
turned by 180 degrees where the orientation network says so, and recognised (CTC).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from PIL import Image

DET_SIZE = (480, 480)
CLS_SIZE = (48, 192)
REC_SIZE = (48, 320)
"""(height, width) of the networks' inputs."""

_TEXT_PIXEL = 0.3
_BOX_SCORE = 0.5
_UNCLIP_RATIO = 1.6
_UPSIDE_DOWN_SCORE = 0.9
_WORD_SCORE = 0.5
_SMALLEST_SIDE = 3.0
_UPRIGHT_RATIO = 1.5
"""Thresholds as the package that ships these networks sets them (rapidocr-onnxruntime 1.4.4, config.yaml)."""

Pixels = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]


class Session(Protocol):
    """What is used of an `onnxruntime.InferenceSession`."""

    def run(self, output_names: Sequence[str] | None, input_feed: dict[str, Any]) -> Sequence[Any]:
        """Run on arrays by input name."""

    def get_inputs(self) -> Sequence[Any]:
        """Inputs, each with a name."""

    def get_modelmeta(self) -> Any:
        """Metadata, where the recognition network keeps its dictionary."""


@dataclass(frozen=True)
class Box:
    """A rotated rectangle in the picture's pixels; the angle (radians, clockwise in the picture) is that of its width."""

    x: float
    y: float
    width: float
    height: float
    angle: float

    def corners(self) -> Floats:
        """[4,2]: top left, top right, bottom right, bottom left as (x, y), seen along the text."""
        along = np.array([math.cos(self.angle), math.sin(self.angle)], np.float32) * self.width / 2
        across = np.array([-math.sin(self.angle), math.cos(self.angle)], np.float32) * self.height / 2
        middle = np.array([self.x, self.y], np.float32)
        return np.stack([middle - along - across, middle + along - across, middle + along + across, middle - along + across])


@dataclass(frozen=True)
class Word:
    """A piece of text that was read."""

    text: str
    score: float
    """Mean probability of its characters, 0..1."""
    box: Box


def read_text(image: Pixels, det: Session, cls: Session, rec: Session, *, det_size: tuple[int, int] = DET_SIZE) -> list[Word]:
    """Find and read the text in a picture.

    Args:
        image: RGB, [height, width, 3] uint8.
        det: text detection; input [1,3,*det_size].
        cls: orientation; input [1,3,48,192].
        rec: recognition; input [1,3,48,320].
        det_size: height and width, multiples of 32; the picture is scaled into it and padded at the right or bottom.

    Returns:
        Words from top to bottom, then left to right; those that were read with a score below 0.5 are left out.
    """
    characters = dictionary(rec)
    words = []
    for box in detect(image, det, det_size):
        patch = upright(cut_out(image, box), cls)
        text, score = recognise(patch, rec, characters)
        if text and score >= _WORD_SCORE:
            words.append(Word(text, score, box))
    return words


def detect(image: Pixels, det: Session, size: tuple[int, int] = DET_SIZE) -> list[Box]:
    """Boxes around text, in reading order. `image` is RGB [height, width, 3]."""
    tensor, scale = det_input(image, size)
    probability = np.asarray(_run(det, tensor), np.float32)[0, 0]
    boxes = [Box(b.x / scale, b.y / scale, b.width / scale, b.height / scale, b.angle) for b in find_boxes(probability)]
    line = max(8.0, 0.5 * float(np.median([box.height for box in boxes]))) if boxes else 1.0
    return sorted(boxes, key=lambda box: (round(box.y / line), box.x))


def det_input(image: Pixels, size: tuple[int, int] = DET_SIZE) -> tuple[Floats, float]:
    """The detection network's input [1,3,*size] and the scale that was applied; padding is black."""
    scale = min(size[0] / image.shape[0], size[1] / image.shape[1])
    shape = (max(1, round(image.shape[0] * scale)), max(1, round(image.shape[1] * scale)))
    canvas = np.zeros((*size, 3), np.uint8)
    canvas[: shape[0], : shape[1]] = _resize(image, shape)
    return _normalise(canvas), scale


def line_input(patch: Pixels, size: tuple[int, int]) -> Floats:
    """A text line as the orientation and recognition networks take it: [1,3,*size], full height, padded with mid-grey."""
    width = min(size[1], max(1, math.ceil(size[0] * patch.shape[1] / patch.shape[0])))
    tensor = np.zeros((1, 3, *size), np.float32)
    tensor[..., :width] = _normalise(_resize(patch, (size[0], width)))
    return tensor


def find_boxes(probability: Floats) -> list[Box]:
    """Rotated boxes around connected text pixels of a probability map [height, width], grown as DB asks for."""
    from skimage.measure import label, regionprops

    mask = probability > _TEXT_PIXEL
    mask[1:] |= mask[:-1].copy()
    mask[:, 1:] |= mask[:, :-1].copy()
    boxes = []
    for region in regionprops(label(mask)):  # type: ignore[no-untyped-call]
        box = _smallest_rectangle(np.asarray(region.coords[:, ::-1], np.float32))
        if min(box.width, box.height) < _SMALLEST_SIDE or float(probability[tuple(region.coords.T)].mean()) < _BOX_SCORE:
            continue
        grow = 2 * _UNCLIP_RATIO * box.width * box.height / (2 * (box.width + box.height))
        boxes.append(Box(box.x, box.y, box.width + grow, box.height + grow, box.angle))
    return boxes


def cut_out(image: Pixels, box: Box) -> Pixels:
    """The box's content with its text lying horizontally; text that stands on end is turned by 90 degrees."""
    width, height = max(1, round(box.width)), max(1, round(box.height))
    top_left, top_right, _, bottom_left = box.corners()
    along, across = (top_right - top_left) / width, (bottom_left - top_left) / height
    matrix = (along[0], across[0], top_left[0], along[1], across[1], top_left[1])
    cut = Image.fromarray(image).transform(
        (width, height), Image.Transform.AFFINE, [float(value) for value in matrix], Image.Resampling.BICUBIC
    )
    patch = np.asarray(cut)
    return np.rot90(patch) if height >= _UPRIGHT_RATIO * width else patch


def upright(patch: Pixels, cls: Session) -> Pixels:
    """`patch`, turned by 180 degrees where the orientation network is sure that it is upside down."""
    probabilities = np.asarray(_run(cls, line_input(patch, CLS_SIZE)), np.float32)[0]
    return np.rot90(patch, 2) if probabilities[1] > _UPSIDE_DOWN_SCORE else patch


def recognise(patch: Pixels, rec: Session, characters: Sequence[str]) -> tuple[str, float]:
    """The text of one line and the mean probability of its characters (0 for no text)."""
    return decode(np.asarray(_run(rec, line_input(patch, REC_SIZE)), np.float32)[0], characters)


def decode(probabilities: Floats, characters: Sequence[str]) -> tuple[str, float]:
    """Greedy CTC: probabilities [steps, classes], class 0 is the blank, repeats count once."""
    best = probabilities.argmax(axis=1)
    kept = (best != 0) & np.concatenate([[True], best[1:] != best[:-1]])
    scores = probabilities.max(axis=1)[kept]
    return "".join(characters[index] for index in best[kept]).strip(), float(scores.mean()) if scores.size else 0.0


def dictionary(rec: Session) -> list[str]:
    """Characters by class: the blank, those of the model's metadata `character`, and the space."""
    return ["", *rec.get_modelmeta().custom_metadata_map["character"].splitlines(), " "]


def _run(session: Session, tensor: Floats) -> Any:
    return session.run(None, {session.get_inputs()[0].name: tensor})[0]


def _resize(image: Pixels, shape: tuple[int, int]) -> Pixels:
    return np.asarray(Image.fromarray(np.ascontiguousarray(image)).resize((shape[1], shape[0]), Image.Resampling.BILINEAR))


def _normalise(image: Pixels) -> Floats:
    """RGB [height, width, 3] 0..255 -> BGR [1,3,height,width] -1..1."""
    scaled = image[..., ::-1].astype(np.float32) / 127.5 - 1
    return np.ascontiguousarray(scaled.transpose(2, 0, 1)[None])


def _smallest_rectangle(points: Floats) -> Box:
    """The rotated rectangle of least area around points [N,2] (x, y); one of its sides lies on the convex hull."""
    hull = _hull(points)
    edges = np.roll(hull, -1, axis=0) - hull
    angles = np.unique(np.round(np.arctan2(edges[:, 1], edges[:, 0]) % (math.pi / 2), 5)) if len(hull) > 1 else np.zeros(1)
    best: Box | None = None
    for angle in (float(value) for value in angles):
        turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]], np.float32)
        turned = hull @ turn
        low, high = turned.min(axis=0), turned.max(axis=0)
        size, middle = high - low, turn @ ((low + high) / 2)
        if best is None or size[0] * size[1] < best.width * best.height:
            best = Box(float(middle[0]), float(middle[1]), float(size[0]), float(size[1]), angle)
    assert best is not None
    if best.angle > math.pi / 4:  # the text runs along the side that is nearer to horizontal
        best = Box(best.x, best.y, best.height, best.width, best.angle - math.pi / 2)
    return best


def _hull(points: Floats) -> Floats:
    """Convex hull (Andrew's monotone chain) of points [N,2]."""
    ordered = sorted({(float(x), float(y)) for x, y in points})
    if len(ordered) < 3:
        return np.array(ordered, np.float32)
    chains = []
    for run in (ordered, ordered[::-1]):
        chain: list[tuple[float, float]] = []
        for point in run:
            while len(chain) > 1 and _turn(chain[-2], chain[-1], point) <= 0:
                chain.pop()
            chain.append(point)
        chains += chain[:-1]
    return np.array(chains, np.float32)


def _turn(a: tuple[float, float], b: tuple[float, float], c: tuple[float, float]) -> float:
    return (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])
