"""From the network's outputs to boxes: anchors, confidence, suppression within each class."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

ANCHORS = {
    8: ((10, 13), (16, 30), (33, 23)),
    16: ((30, 61), (62, 45), (59, 119)),
    32: ((116, 90), (156, 198), (373, 326)),
}
"""Stride -> widths and heights in pixels of the square, as YOLOv5 has them."""
CONFIDENCE, OVERLAP, MOST = 0.25, 0.45, 300
FIELDS = 5
"""x, y, width, height, objectness; the classes follow."""


@dataclass(frozen=True)
class Detection:
    """A box in the picture, in pixels."""

    kind: int
    score: float
    box: tuple[float, float, float, float]
    """x1 y1 x2 y2"""


def candidates(
    outputs: Sequence[np.ndarray], size: int, confidence: float = CONFIDENCE
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What passes the threshold: boxes [N,4] x1 y1 x2 y2 in the square, scores [N], classes [N].

    Args:
        outputs: the raw form, three of [1,255,S,S] (or [1,3,S,S,85]) in any order, logits or, where all numbers lie in 0..1,
            probabilities; or the decoded form, [1,N,85]: centre, size in pixels, probabilities. What else a model gives out
            beside the decoded form is not looked at.
        size: of the square.
        confidence: the least objectness times class probability.

    Raises:
        ValueError: the outputs are neither.
    """
    decoded = [output for output in outputs if output.ndim == 3 and output.shape[0] == 1 and output.shape[2] > FIELDS]
    if decoded:
        rows = decoded[0][0].astype(np.float32)
        return _chosen(rows[:, :2], rows[:, 2:4], rows[:, 4], rows[:, FIELDS:], confidence)
    raw = [_cells(output, size) for output in outputs]
    if {stride for stride, _ in raw} != set(ANCHORS):
        raise ValueError(f"neither [1,N,85] nor three heads of a {size} square: {[output.shape for output in outputs]}")
    activated = all(cells.min() >= 0 and cells.max() <= 1 for _, cells in raw)
    parts = [
        _decode(cells if activated else _sigmoid(cells), stride, confidence)
        for stride, cells in sorted(raw, key=lambda one: one[0])
    ]
    boxes, scores, kinds = (np.concatenate(column) for column in zip(*parts, strict=True))
    return boxes, scores, kinds


def _cells(output: np.ndarray, size: int) -> tuple[int, np.ndarray]:
    """(stride, [3,S,S,85])."""
    if output.ndim == 5:
        return size // output.shape[2], output[0].astype(np.float32)
    _, channels, rows, columns = output.shape
    return size // rows, output.reshape(3, channels // 3, rows, columns).transpose(0, 2, 3, 1).astype(np.float32)


def _decode(cells: np.ndarray, stride: int, confidence: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    _, rows, columns, _ = cells.shape
    grid = np.stack(np.meshgrid(np.arange(columns), np.arange(rows)), -1).astype(np.float32)
    centre = (cells[..., :2] * 2 - np.float32(0.5) + grid) * np.float32(stride)
    extent = (cells[..., 2:4] * 2) ** 2 * np.float32(ANCHORS[stride])[:, None, None]
    flat = cells.reshape(-1, cells.shape[-1])
    return _chosen(centre.reshape(-1, 2), extent.reshape(-1, 2), flat[:, 4], flat[:, FIELDS:], confidence)


def _chosen(
    centre: np.ndarray, extent: np.ndarray, objectness: np.ndarray, classes: np.ndarray, confidence: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    kinds = classes.argmax(1)
    scores = objectness * classes[np.arange(len(kinds)), kinds]
    keep = scores >= np.float32(confidence)
    boxes = np.concatenate([centre - extent / 2, centre + extent / 2], 1)
    return boxes[keep], scores[keep], kinds[keep]


def suppress(boxes: np.ndarray, scores: np.ndarray, kinds: np.ndarray, overlap: float = OVERLAP) -> list[int]:
    """Indices of the boxes that stay, best first: a box goes where a better one of its class overlaps it by more."""
    order = np.argsort(-scores, kind="stable")
    stay: list[int] = []
    while order.size and len(stay) < MOST:
        best, rest = order[0], order[1:]
        stay.append(int(best))
        order = rest[(kinds[rest] != kinds[best]) | (_overlaps(boxes[best], boxes[rest]) <= overlap)]
    return stay


def _overlaps(box: np.ndarray, others: np.ndarray) -> np.ndarray:
    inside = np.maximum(np.minimum(box[2:], others[:, 2:]) - np.maximum(box[:2], others[:, :2]), 0).prod(1)
    areas = (others[:, 2:] - others[:, :2]).prod(1) + (box[2:] - box[:2]).prod()
    return inside / np.maximum(areas - inside, np.float32(1e-9))


def _sigmoid(values: np.ndarray) -> np.ndarray:
    return np.float32(1) / (np.float32(1) + np.exp(-values))
