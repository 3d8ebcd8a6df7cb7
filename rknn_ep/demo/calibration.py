"""Calibration pictures for the three networks: photographs with words written on them, always the same for a seed.

Detection must see text while its ranges are measured (without any its map is nearly zero), and the line networks must
see lines; the words and colours here have nothing to do with what the demo reads.
"""

from __future__ import annotations

import importlib.util
import math
import random
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from rknn_ep.demo.ocr import CLS_SIZE, DET_SIZE, REC_SIZE, Box, Pixels, cut_out
from rknn_ep.demo.photo import load
from rknn_ep.errors import NotInstalledError

OPTIONS = {"mean": "127.5,127.5,127.5", "std": "127.5,127.5,127.5", "color": "bgr"}
"""Provider options that turn these pictures into the networks' inputs."""

_PHOTOGRAPHS = (
    "astronaut.png",
    "chelsea.png",
    "coffee.png",
    "rocket.jpg",
    "motorcycle_left.png",
    "camera.png",
    "brick.png",
    "ihc.png",
)
_TEXT = (
    "station garden winter 2024 Platform EXIT coffee museum Open market river 7:30 Bridge library SALE north harbour ticket "
    "Cafe fresh Monday 50% bicycle theatre engine paper window stone 1899 Street orange silver Kitchen music planet"
)
_GREY = 127


def write_calibration(folder: Path, count: int = 24, seed: int = 1) -> dict[str, Path]:
    """Write PNG files for calibration; use them with the provider options `OPTIONS`.

    Args:
        folder: gets the folders det, cls and rec, each with `count` pictures of its network's input size.
        count: how many of each.
        seed: another seed gives other pictures, to test with.

    Returns:
        The folders by network: det, cls, rec.

    Raises:
        NotInstalledError: scikit-image, which ships the photographs, is not installed.
    """
    folders = {name: folder / name for name in ("det", "cls", "rec")}
    for path in folders.values():
        path.mkdir(parents=True, exist_ok=True)
    for index, (picture, boxes) in enumerate(text_pictures(count, seed)):
        name = f"{index:03d}.png"
        Image.fromarray(picture).save(folders["det"] / name)
        patch = cut_out(picture, boxes[index % len(boxes)])
        turned = patch[::-1, ::-1] if index % 3 == 0 else patch
        Image.fromarray(line_picture(turned, CLS_SIZE)).save(folders["cls"] / name)
        Image.fromarray(line_picture(patch, REC_SIZE)).save(folders["rec"] / name)
    return folders


def text_pictures(count: int, seed: int = 1) -> Iterator[tuple[Pixels, list[Box]]]:
    """Photographs [480,480,3] with three to six pieces of text, and the box of each piece.

    Raises:
        NotInstalledError: scikit-image is not installed.
    """
    chance = random.Random(seed)
    photographs = [load(path) for path in _photograph_files()]
    for index in range(count):
        picture = Image.fromarray(_crop(photographs[index % len(photographs)], chance))
        boxes = [_write(picture, chance, row, rows) for rows in (chance.randint(3, 6),) for row in range(rows)]
        yield np.asarray(picture), boxes


def line_picture(patch: Pixels, size: tuple[int, int]) -> Pixels:
    """A text line as a picture of the network's size, padded with grey on the right, as `ocr.line_input` does it."""
    width = min(size[1], max(1, math.ceil(size[0] * patch.shape[1] / patch.shape[0])))
    canvas = np.full((*size, 3), _GREY, np.uint8)
    canvas[:, :width] = np.asarray(
        Image.fromarray(np.ascontiguousarray(patch)).resize((width, size[0]), Image.Resampling.BILINEAR)
    )
    return canvas


def _photograph_files() -> list[Path]:
    spec = importlib.util.find_spec("skimage")
    if spec is None or spec.origin is None:
        raise NotInstalledError(
            "scikit-image is not installed; the demo calibrates on its photographs",
            remedy="Run: python -m pip install 'rknn-ep[demo]'.",
        )
    folder = Path(spec.origin).parent / "data"
    return [folder / name for name in _PHOTOGRAPHS if (folder / name).is_file()]


def _crop(photograph: Pixels, chance: random.Random) -> Pixels:
    """A square part of a photograph at 480x480."""
    side = round(min(photograph.shape[:2]) * chance.uniform(0.6, 1))
    top, left = (chance.randint(0, length - side) for length in photograph.shape[:2])
    part = Image.fromarray(np.ascontiguousarray(photograph[top : top + side, left : left + side]))
    return np.asarray(part.resize(DET_SIZE[::-1], Image.Resampling.BILINEAR))


def _write(picture: Image.Image, chance: random.Random, row: int, rows: int) -> Box:
    """Write words into a row of the picture, on a plate or straight onto the photograph, slightly turned."""
    text = " ".join(chance.sample(_TEXT.split(), chance.choice((1, 1, 2))))
    font = ImageFont.load_default(size=chance.randint(18, min(56, DET_SIZE[0] // rows - 20)))
    left, top, right, bottom = font.getbbox(text)
    margin = 6
    width, height = math.ceil(right - left) + 2 * margin, math.ceil(bottom - top) + 2 * margin
    light = chance.random() < 0.5
    ink = tuple(chance.randint(190, 255) if light else chance.randint(0, 70) for _ in range(3))
    plate = tuple(chance.randint(0, 90) if light else chance.randint(170, 255) for _ in range(3))
    patch = Image.new("RGBA", (width, height), (*plate, 255 if chance.random() < 0.6 else 0))
    ImageDraw.Draw(patch).text((margin - left, margin - top), text, fill=(*ink, 255), font=font)
    degrees = chance.uniform(-8, 8)
    turned = patch.rotate(degrees, Image.Resampling.BICUBIC, expand=True)
    x = chance.randint(0, max(0, DET_SIZE[1] - turned.width))
    y = row * DET_SIZE[0] // rows + 4
    picture.paste(turned, (x, y), turned)
    return Box(x + turned.width / 2, y + turned.height / 2, width - margin, height - margin, -math.radians(degrees))
