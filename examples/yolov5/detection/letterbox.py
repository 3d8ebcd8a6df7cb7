"""Letterbox: scale a picture to fit a square and pad it with grey, in integers, so that every language gets the same bytes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

GREY = 114
BITS = 11
"""Bilinear weights are whole 2048ths, as in OpenCV."""


@dataclass(frozen=True)
class Letterbox:
    """Where the picture lies in the square."""

    scale: float
    left: int
    top: int
    width: int
    """Of the original picture."""
    height: int

    def to_picture(self, boxes: np.ndarray) -> np.ndarray:
        """Boxes [N,4] x1 y1 x2 y2 in the square -> in the original picture, clipped to it."""
        moved = (boxes - np.float32([self.left, self.top] * 2)) / np.float32(self.scale)
        return np.clip(moved, 0, np.float32([self.width, self.height] * 2))


def letterbox(picture: np.ndarray, size: int) -> tuple[np.ndarray, Letterbox]:
    """uint8 [H,W,3] -> (uint8 [size,size,3], where the picture lies in it)."""
    height, width = picture.shape[:2]
    scale = min(size / width, size / height)
    new_width, new_height = max(1, int(width * scale + 0.5)), max(1, int(height * scale + 0.5))
    left, top = (size - new_width) // 2, (size - new_height) // 2
    square = np.full((size, size, 3), GREY, np.uint8)
    square[top : top + new_height, left : left + new_width] = resize(picture, new_width, new_height)
    return square, Letterbox(scale, left, top, width, height)


def resize(picture: np.ndarray, width: int, height: int) -> np.ndarray:
    """Bilinear, half-pixel centres, fixed point: uint8 [H,W,3] -> uint8 [height,width,3]."""
    x0, x1, wx = _taps(picture.shape[1], width)
    y0, y1, wy = _taps(picture.shape[0], height)
    wx, wy = wx[None, :, None], wy[:, None, None]
    one = 1 << BITS
    source = picture.astype(np.int64)
    above = source[y0][:, x0] * (one - wx) + source[y0][:, x1] * wx
    below = source[y1][:, x0] * (one - wx) + source[y1][:, x1] * wx
    return ((above * (one - wy) + below * wy + (1 << (2 * BITS - 1))) >> (2 * BITS)).astype(np.uint8)


def _taps(old: int, new: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """For each new position the two old ones and the second's weight."""
    place = np.clip((np.arange(new) + 0.5) * (old / new) - 0.5, 0, old - 1)
    first = np.floor(place).astype(np.int64)
    weight = np.floor((place - first) * (1 << BITS) + 0.5).astype(np.int64)
    return first, np.minimum(first + 1, old - 1), weight
