"""Inputs for the accuracy benchmark: photographs and text that ship in packages, cut so that calibration and test never meet.

Photographs: scikit-image, scikit-learn, and Debian's opencv-doc where it is installed. Text: signs from opencv-doc, and words
written on photographs of scikit-image, whose test pictures are other crops with other words. Everything is deterministic.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import re
import zipfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

Array = np.ndarray[Any, Any]

OPENCV_DOC = Path("/usr/share/doc/opencv-doc/examples")
SKIMAGE_PHOTOS = ("astronaut.png", "chelsea.png", "coffee.png", "rocket.jpg", "motorcycle_left.png", "hubble_deep_field.jpg")
OPENCV_PHOTOS = (
    "aero1.jpg",
    "aloeL.jpg",
    "apple.jpg",
    "baboon.jpg",
    "basketball1.png",
    "building.jpg",
    "butterfly.jpg",
    "fruits.jpg",
    "home.jpg",
    "leuvenA.jpg",
    "messi5.jpg",
    "orange.jpg",
    "rubberwhale1.png",
    "smarties.png",
    "squirrel_cls.jpg",
    "starry_night.jpg",
    "HappyFish.jpg",
    "board.jpg",
    "graf1.png",
    "left01.jpg",
)
TEXT_FOR_CALIBRATION = ("scenetext01.jpg", "scenetext03.jpg", "scenetext05.jpg", "scenetext_segmented_word02.jpg")
TEXT_FOR_TEST = ("scenetext02.jpg", "scenetext04.jpg", "scenetext06.jpg", "scenetext_segmented_word01.jpg")


def _open(path: Path) -> Image.Image:
    with Image.open(path) as picture:
        return picture.convert("RGB")


def _package_folder(package: str, folder: str) -> Path:
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise SystemExit(f"this benchmark needs {package}: python -m pip install {package}")
    return Path(spec.origin).parent / folder


def photographs() -> tuple[list[Image.Image], list[Image.Image]]:
    """(for calibration, for test): scikit-image and scikit-learn to calibrate with, opencv-doc to test with.

    Without opencv-doc the photographs are dealt out alternately.
    """
    skimage = _package_folder("skimage", "data")
    sklearn = _package_folder("sklearn", "datasets/images")
    own = [_open(skimage / name) for name in SKIMAGE_PHOTOS] + [_open(sklearn / name) for name in ("china.jpg", "flower.jpg")]
    if not (OPENCV_DOC / "data").is_dir():
        return own[0::2], own[1::2]
    return own, [_open(OPENCV_DOC / "data" / name) for name in OPENCV_PHOTOS if (OPENCV_DOC / "data" / name).is_file()]


def scene_text() -> tuple[list[Image.Image], list[Image.Image]]:
    """(for calibration, for test): photographs of signs and packages with words on them; none without opencv-doc."""
    folder = OPENCV_DOC / "text"
    if not folder.is_dir():
        return [], []
    return [_open(folder / name) for name in TEXT_FOR_CALIBRATION], [_open(folder / name) for name in TEXT_FOR_TEST]


def written_text(count: int, seed: int) -> list[Image.Image]:
    """Photographs of scikit-image, 480 x 480, with words written on them; other crops and words for another seed."""
    from rknn_ep.demo.calibration import text_pictures

    return [Image.fromarray(picture) for picture, _ in text_pictures(count, seed)]


def crops(pictures: Sequence[Image.Image], count: int, seed: int, least: float = 0.5) -> list[Image.Image]:
    """`count` windows of at least `least` of a picture's sides, the pictures taken in turn; the first of each is whole."""
    random = np.random.default_rng(seed)
    found = []
    for index in range(count):
        picture = pictures[index % len(pictures)]
        share = 1.0 if index < len(pictures) else random.uniform(least, 1.0)
        width, height = int(picture.width * share), int(picture.height * share)
        left = int(random.integers(0, picture.width - width + 1))
        top = int(random.integers(0, picture.height - height + 1))
        found.append(picture.crop((left, top, left + width, top + height)))
    return found


def classifier_input(picture: Image.Image, size: int = 224) -> Array:
    """float32 (1, 3, size, size), RGB, (x - 127) / 128, the centre after scaling the short side."""
    scale = size / min(picture.size)
    scaled = picture.resize(
        (max(size, round(picture.width * scale)), max(size, round(picture.height * scale))), Image.Resampling.BICUBIC
    )
    left, top = (scaled.width - size) // 2, (scaled.height - size) // 2
    pixels = np.asarray(scaled.crop((left, top, left + size, top + size)), np.float32)
    return np.ascontiguousarray(((pixels - 127.0) / 128.0).transpose(2, 0, 1)[None], np.float32)


def detector_input(picture: Image.Image, size: int = 480) -> Array:
    """float32 (1, 3, size, size), BGR, ImageNet mean and deviation: PP-OCR's text detection."""
    pixels = np.asarray(picture.resize((size, size), Image.Resampling.BILINEAR), np.float32)[..., ::-1] / 255.0
    normal = (pixels - np.array([0.485, 0.456, 0.406], np.float32)) / np.array([0.229, 0.224, 0.225], np.float32)
    return np.ascontiguousarray(normal.transpose(2, 0, 1)[None], np.float32)


def line_input(picture: Image.Image, width: int, height: int = 48) -> Array:
    """float32 (1, 3, height, width), BGR, -1..1, scaled to the height and filled with zeros on the right: PP-OCR's text lines."""
    scaled = picture.resize(
        (min(width, max(1, round(picture.width * height / picture.height))), height), Image.Resampling.BILINEAR
    )
    pixels = np.asarray(scaled, np.float32)[..., ::-1] / 127.5 - 1.0
    line = np.zeros((1, 3, height, width), np.float32)
    line[0, :, :, : scaled.width] = pixels.transpose(2, 0, 1)
    return line


def text_lines(pictures: Sequence[Image.Image], detect: Callable[[Array], Array], size: int = 640) -> Iterator[Image.Image]:
    """Boxes around what the text detector marks, cut from the pictures."""
    from skimage.measure import label, regionprops

    for picture in pictures:
        marked = detect(detector_input(picture, size)).reshape(size, size) > 0.3
        for region in regionprops(label(marked)):
            top, left, bottom, right = region.bbox
            margin = 0.6 * min(bottom - top, right - left)  # the map marks the core of a line only
            box = (left - margin, top - margin, right + margin, bottom + margin)
            wide, high = picture.width / size, picture.height / size
            cut = picture.crop((int(box[0] * wide), int(box[1] * high), int(box[2] * wide), int(box[3] * high)))
            if cut.width >= cut.height and cut.height >= 12:
                yield cut


def sentences(archive: Path, count: int, length: int = 128) -> list[dict[str, Array]]:
    """Inputs for all-MiniLM-L6-v2: documentation strings of Python's standard library, cut into word pieces.

    Args:
        archive: the model's zip, which holds its vocabulary.
        count: how many.
        length: word pieces; shorter texts are padded, longer ones cut.
    """
    with zipfile.ZipFile(archive) as opened:
        vocabulary = json.loads(opened.read("tokenizer.json"))["model"]["vocab"]
    modules = (
        "argparse",
        "ast",
        "asyncio",
        "collections",
        "csv",
        "datetime",
        "decimal",
        "difflib",
        "functools",
        "logging",
        "typing",
    )
    texts: list[str] = []
    for name in modules:
        module = importlib.import_module(name)
        for item in [module, *vars(module).values()]:
            written = getattr(item, "__doc__", None)
            text = " ".join(written.split()) if isinstance(written, str) else ""
            if len(text) > 80 and text not in texts:
                texts.append(text)
    chosen = [texts[index * len(texts) // count] for index in range(count)]
    return [_encode(text, vocabulary, length) for text in chosen]


def _encode(text: str, vocabulary: dict[str, int], length: int) -> dict[str, Array]:
    pieces = [vocabulary["[CLS]"]]
    for word in re.findall(r"\w+|[^\w\s]", text.lower()):
        start = 0
        while start < len(word):
            prefix = "##" if start else ""
            ends = [end for end in range(len(word), start, -1) if prefix + word[start:end] in vocabulary]
            if not ends:
                pieces.append(vocabulary["[UNK]"])
                break
            pieces.append(vocabulary[prefix + word[start : ends[0]]])
            start = ends[0]
    pieces = [*pieces[: length - 1], vocabulary["[SEP]"]]
    ids, mask = np.zeros((1, length), np.int64), np.zeros((1, length), np.int64)
    ids[0, : len(pieces)], mask[0, : len(pieces)] = pieces, 1
    return {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros((1, length), np.int64)}
