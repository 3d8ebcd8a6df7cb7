"""Turn a picture file into a model's input: size, colour order, mean and standard deviation, layout."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from rknn_ep.errors import CalibrationError

if TYPE_CHECKING:
    from PIL.Image import Image

Array = np.ndarray[Any, Any]

SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")
PADDING = 114
"""Grey that `resize=pad` fills with, in the picture's 0..255 scale: what YOLO pipelines use."""


def load_picture(
    path: Path,
    name: str,
    shape: Sequence[int],
    *,
    mean: Sequence[float] = (),
    std: Sequence[float] = (),
    color: str = "rgb",
    resize: str = "stretch",
) -> Array:
    """Read one picture for the input `name`.

    Args:
        path: any format that Pillow reads; EXIF orientation is applied, transparency is dropped.
        name: the input's name, for messages.
        shape: (1, C, H, W), (1, H, W, C) or the same without the leading 1; C is 1 or 3.
        mean: subtracted, one for all channels or one a channel in the order of `color`, in the 0..255 scale.
        std: divides, likewise.
        color: rgb, bgr or gray. An input with one channel gets grey whatever this says.
        resize: `stretch` to the size; `crop` the centre after scaling the picture to cover it; `pad` the picture, scaled to
            fit, with grey 114 on both sides.

    Returns:
        float32 of `shape`.

    Raises:
        CalibrationError: the file is no picture, the input is no picture's, mean or std do not fit.
    """
    from PIL import Image, ImageOps, UnidentifiedImageError

    channels_first, channels, height, width = picture_layout(name, shape)
    if channels == 3 and color == "gray":
        raise CalibrationError(f"input '{name}' has 3 channels, and color=gray gives 1", remedy="Use color=rgb or color=bgr.")
    offset, factor = _per_channel("mean", mean, 0.0, channels, name), _per_channel("std", std, 1.0, channels, name)
    if not np.all(factor > 0):
        raise CalibrationError(f"std must be above zero, not {','.join(map(str, std))}")
    try:
        with Image.open(path) as opened:
            picture = ImageOps.exif_transpose(opened).convert("L" if channels == 1 else "RGB")
    except FileNotFoundError:
        raise CalibrationError(f"there is no picture {path}") from None
    except (UnidentifiedImageError, OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise CalibrationError(f"{path} is not a picture that can be read: {error}") from error
    pixels: Array = np.asarray(_fit(picture, width, height, resize), np.float32).reshape(height, width, channels)
    if color == "bgr":
        pixels = pixels[..., ::-1]
    pixels = (pixels - offset) / factor
    if channels_first:
        pixels = pixels.transpose(2, 0, 1)
    return np.ascontiguousarray(pixels, np.float32).reshape(tuple(shape))


def picture_layout(name: str, shape: Sequence[int]) -> tuple[bool, int, int, int]:
    """(channels first, C, H, W) of an input that takes one picture.

    Raises:
        CalibrationError: no axis of 1 or 3 channels is where one should be.
    """
    dims = tuple(shape[1:]) if len(shape) == 4 and shape[0] == 1 else tuple(shape)
    if len(dims) == 3 and dims[0] in (1, 3):
        return True, dims[0], dims[1], dims[2]
    if len(dims) == 3 and dims[2] in (1, 3):
        return False, dims[2], dims[0], dims[1]
    raise CalibrationError(
        f"input '{name}' has shape {tuple(shape)}, which no picture fits: expected (1, C, H, W) or (1, H, W, C) with C 1 or 3",
        remedy="Give the calibration data as .npz, with one array per input.",
    )


def _per_channel(option: str, values: Sequence[float], default: float, channels: int, name: str) -> Array:
    given = tuple(values) or (default,)
    if len(given) not in (1, channels):
        raise CalibrationError(f"{option} has {len(given)} numbers, and input '{name}' has {channels} channels")
    return np.array(given, np.float32)


def _fit(picture: Image, width: int, height: int, resize: str) -> Image:
    from PIL import Image, ImageOps

    if resize == "crop":
        return ImageOps.fit(picture, (width, height), Image.Resampling.BILINEAR)
    if resize == "pad":
        grey = PADDING if picture.mode == "L" else (PADDING,) * 3
        return ImageOps.pad(picture, (width, height), Image.Resampling.BILINEAR, color=grey)
    return picture.resize((width, height), Image.Resampling.BILINEAR)
