"""One compiled model for several SoCs, with the real toolkit: each gets its own .rknn, and another SoC an error."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
import pytest

import rknn_ep
from rknn_ep.artifact.bundle import NATIVE_TEXT, Bundle
from rknn_ep.artifact.epcontext import read_epcontext
from rknn_ep.artifact.native_text import NativeDescription
from rknn_ep.artifact.rknn_file import read_metadata
from rknn_ep.errors import ArtifactError
from rknn_ep.plugins import plugins
from rknn_ep_toolkit2.environment import Toolkit
from tests import models
from tests.toolkit2.networks import samples

pytestmark = [pytest.mark.toolkit2, pytest.mark.models]

SHAPE = (1, 3, 48, 192)


@pytest.fixture(scope="module")
def compiled(toolkit: Toolkit, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """PP-OCR cls for rk3588 and rk3576."""
    folder = tmp_path_factory.mktemp("fleet")
    np.save(folder / "samples.npy", samples(SHAPE))
    rknn_ep.compile(
        models.ppocr_cls(),
        folder / "cls_ctx.onnx",
        target="rk3588",
        also_targets=["rk3576"],
        input_shapes="x:1,3,48,192",
        calibration=folder / "samples.npy",
        calibration_method="minmax",
        cache_dir=folder / "cache",
    )
    return folder / "cls_ctx.onnx"


def session(path: Path, **options: str) -> onnxruntime.InferenceSession:
    rknn_ep.register()
    settings = onnxruntime.SessionOptions()
    settings.log_severity_level = 4
    npu = ("RKNNExecutionProvider", {"device": "simulator", **options})
    return onnxruntime.InferenceSession(path, settings, providers=[npu, "CPUExecutionProvider"])


def test_each_soc_has_a_file_of_its_own(compiled: Path) -> None:
    bundle = read_epcontext(compiled).own[0].open_bundle()
    description = NativeDescription.from_text(bundle.read(NATIVE_TEXT).decode())
    assert description.targets == ("rk3588", "rk3576")
    for target in description.targets:
        assert read_metadata(bundle.read(f"{target}.rknn")).target == target


def test_a_session_runs_on_each_soc_with_its_cores(compiled: Path) -> None:
    x = samples(SHAPE, 1, seed=3)[0]
    results = [session(compiled, **options).run(None, {"x": x})[0] for options in ({}, {"target": "rk3576"})]
    assert results[0].shape == (1, 2) and all(np.array_equal(one, results[0]) for one in results)
    session(compiled, target="rk3576", core_mask="3")
    with pytest.raises(Exception, match="rk3576 takes 1, 2, 3"):
        session(compiled, target="rk3576", core_mask="7")


def test_a_soc_that_it_was_not_compiled_for_is_an_error_that_names_those_that_it_was(compiled: Path) -> None:
    with pytest.raises(Exception, match=r"(?s)compiled for rk3588, rk3576, but .* rk3562.*Compile the model for rk3562"):
        session(compiled, target="rk3562")
    with pytest.raises(ArtifactError, match="compiled for rk3588, rk3576, not for rk3562"):
        read_epcontext(compiled).own[0].require("rk3562")


def test_bare_files_have_companions_of_their_own_soc(compiled: Path, tmp_path: Path) -> None:
    folder = compiled.parent
    rknn_ep.compile(
        models.ppocr_cls(),
        tmp_path / "cls.rknn",
        format="rknn",
        target="rk3588",
        also_targets=["rk3576"],
        input_shapes="x:1,3,48,192",
        calibration=folder / "samples.npy",
        calibration_method="minmax",
        cache_dir=folder / "cache",
    )
    for target in ("rk3588", "rk3576"):
        companion = Bundle.open(tmp_path / f"cls_{target}.rknnctx")
        description = NativeDescription.from_text(companion.read(NATIVE_TEXT).decode())
        assert (description.targets, description.core_masks) == ((target,), plugins().target(target).core_masks)
        assert companion.manifest["target"] == target
    with rknn_ep.runtime.Session(tmp_path / "cls_rk3576.rknn", device="simulator", core_mask=3) as opened:
        assert opened.run([samples(SHAPE, 1)[0]])[0].shape == (1, 2)
