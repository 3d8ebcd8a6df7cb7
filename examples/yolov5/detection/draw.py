"""Draws boxes into a picture."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

from detection.decode import Detection
from detection.names import NAMES

WIDTH = 3


def color(kind: int) -> tuple[int, int, int]:
    """A colour for each class; neighbours differ."""
    return (37 * kind + 80) % 206 + 50, (91 * kind + 160) % 206 + 50, (151 * kind + 20) % 206 + 50


def draw(picture: np.ndarray, detections: Sequence[Detection]) -> np.ndarray:
    """A copy of the picture, uint8 [H,W,3], with a frame and a label for each detection; the best lie on top."""
    image = Image.fromarray(picture)
    canvas = ImageDraw.Draw(image)
    for found in reversed(detections):
        x1, y1, x2, y2 = (round(value) for value in found.box)
        x2, y2 = max(x1, min(x2, image.width - 1)), max(y1, min(y2, image.height - 1))
        canvas.rectangle((x1, y1, x2, y2), outline=color(found.kind), width=WIDTH)
        label = f"{NAMES[found.kind] if found.kind < len(NAMES) else found.kind} {found.score:.2f}"
        left, top, right, bottom = canvas.textbbox((x1, y1), label)
        above = y1 - (bottom - y1) - 2 if y1 > bottom - top + 4 else y1
        canvas.rectangle((x1, above, x1 + right - left + 4, above + bottom - y1 + 2), fill=color(found.kind))
        canvas.text((x1 + 2, above), label, fill=(0, 0, 0))
    return np.asarray(image)
