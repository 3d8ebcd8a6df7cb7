"""What the tests of the command line share: a runner as `main()` behaves, a small model, some data."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnx
import pytest

from tests.docs.test_docs import a_model

Run = Callable[..., SimpleNamespace]


@pytest.fixture
def rknn_ep(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    """Runs `rknn-ep ARGUMENTS` in this process: .code, .stdout, .stderr."""
    from rknn_ep.cli.main import main

    monkeypatch.setenv("RKNN_EP_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("COLUMNS", "160")

    def run(*arguments: object) -> SimpleNamespace:
        monkeypatch.setattr("sys.argv", ["rknn-ep", *map(str, arguments)])
        capfd.readouterr()
        code = 0
        try:
            main()
        except SystemExit as left:
            code = left.code if isinstance(left.code, int) else 0 if left.code is None else 1
        out, err = capfd.readouterr()
        return SimpleNamespace(code=code, stdout=out, stderr=err)

    return run


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two convolutions and a classifier's head; input `images` [1,3,64,64], output `logits` [1,10]."""
    path = tmp_path_factory.mktemp("model") / "model.onnx"
    onnx.save(a_model(), path)
    return path


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty standard normal samples for `images`."""
    path = tmp_path_factory.mktemp("data") / "data.npz"
    np.savez(path, images=np.random.default_rng(1).normal(0, 1, (20, 3, 64, 64)).astype(np.float32))
    return path
