"""`rknn-ep demo`: the NPU reads what the CPU reads, and the command says so."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from rknn_ep.artifact.cache import DIRECTORY_VARIABLE
from tests import models
from tests.cli.conftest import Run, rknn_ep  # noqa: F401  (a fixture)

pytestmark = pytest.mark.models


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache for all of these tests, with the models and the photo in it, wherever they were fetched to."""
    folder = tmp_path_factory.mktemp("demo-cache")
    models.ppocr_det(), models.ppocr_cls(), models.ppocr_rec(), models.photo()
    (folder / "assets").symlink_to(models.ASSETS, target_is_directory=True)
    return folder


@pytest.fixture(autouse=True)
def _cache(rknn_ep: Run, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    monkeypatch.setenv(DIRECTORY_VARIABLE, str(folder))


@pytest.mark.slow
def test_the_npu_reads_the_words_that_the_cpu_reads(rknn_ep: Run, tmp_path: Path) -> None:  # noqa: F811
    result = rknn_ep("demo", "--json", "-o", tmp_path)
    found = json.loads(result.stdout)
    assert result.code == 0
    assert found["same_words"]
    assert ["".join(word["text"].split()) for word in found["npu_words"]] == ["github", "SOCIALCODING"]
    networks = {item["name"]: item for item in found["networks"]}
    assert [networks[name]["precision"] for name in ("det", "cls", "rec")] == ["int8", "int8", "fp16"]
    assert networks["det"]["partitions"] <= 3
    assert all(item["macs_on_npu"] >= 0.95 for item in networks.values())
    assert networks["rec"]["cosine"] >= 0.999
    with Image.open(tmp_path / "result.png") as picture:
        assert picture.width > 900


def test_a_photo_without_text_is_below_expectation(rknn_ep: Run, tmp_path: Path) -> None:  # noqa: F811
    path = tmp_path / "grey.png"
    Image.fromarray(np.full((64, 64, 3), 127, np.uint8)).save(path)
    assert rknn_ep("demo", path, "-o", tmp_path / "out.png").code == 3


def test_a_photo_that_is_none_is_an_error(rknn_ep: Run, tmp_path: Path) -> None:  # noqa: F811
    path = tmp_path / "not.png"
    path.write_bytes(b"no picture")
    result = rknn_ep("demo", path, "-o", tmp_path)
    assert result.code == 1
    assert "cannot be read as a picture" in result.stderr
