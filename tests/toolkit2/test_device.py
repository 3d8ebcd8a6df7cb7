"""`device=toolkit2`, `rknn-ep verify` and `rknn-ep wrap`, as their users call them."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

import rknn_ep
from rknn_ep.artifact.bundle import Bundle
from rknn_ep.artifact.native_text import NativeDescription
from rknn_ep.errors import ArtifactError
from rknn_ep_toolkit2.environment import Toolkit
from rknn_ep_toolkit2.wrapping import wrap_rknn
from tests.toolkit2.networks import Net, conv_net, samples

pytestmark = pytest.mark.toolkit2


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model, its compiled forms, calibration data and other data."""
    path = tmp_path_factory.mktemp("device")
    (path / "model.onnx").write_bytes(conv_net().model("mul8_out"))
    np.save(path / "calibration.npy", samples((1, 16, 32, 32)))
    np.save(path / "inputs.npy", samples((1, 16, 32, 32), 3, seed=9))
    options = {"target": "rk3588", "calibration": path / "calibration.npy", "min_partition_macs": 0}
    rknn_ep.compile(path / "model.onnx", path / "model_ctx.onnx", **options)
    return path


def command(*words: object, folder: Path | None = None) -> subprocess.CompletedProcess[str]:
    code = "from rknn_ep.cli.main import main; main()"
    line = [sys.executable, "-c", code, *map(str, words)]
    return subprocess.run(line, capture_output=True, text=True, check=False, cwd=folder, env={**os.environ, "COLUMNS": "200"})


def test_a_session_runs_on_the_vendors_simulator(toolkit: Toolkit, folder: Path) -> None:
    rknn_ep.register()
    options = {"target": "rk3588", "calibration": str(folder / "calibration.npy"), "min_partition_macs": "0"}
    settings = onnxruntime.SessionOptions()
    settings.add_session_config_entry("session.record_ep_graph_assignment_info", "1")

    def session(device: str) -> onnxruntime.InferenceSession:
        providers = [(rknn_ep.get_ep_name(), {**options, "device": device, "simulation": "exact"}), "CPUExecutionProvider"]
        return onnxruntime.InferenceSession(folder / "model.onnx", settings, providers=providers)

    theirs, ours = session("toolkit2"), session("simulator")
    assert {graph.ep_name for graph in theirs.get_provider_graph_assignment_info()} == {rknn_ep.get_ep_name()}
    for x in np.load(folder / "inputs.npy"):
        a, b = theirs.run(None, {"x": x})[0], ours.run(None, {"x": x})[0]
        step = np.diff(np.unique(b)).min()
        assert np.abs(a - b).max() < step / 2


def test_verify_says_where_simulations_differ(toolkit: Toolkit, folder: Path) -> None:
    done = command(
        *("verify", folder / "model_ctx.onnx", "--inputs", folder / "inputs.npy", "--samples", 2, "--json"),
        *("--reference", folder / "model.onnx", "--markdown", folder / "verify.md", "--min-cosine", 0.999),
    )
    assert done.returncode == 0, done.stderr
    (part,) = json.loads(done.stdout)["partitions"]
    pairs = {(row["first"], row["second"]): row for row in part["outputs"]}
    assert part["samples"] == 2 and set(part["milliseconds"]) == {"exact", "fast", "vendor"}
    assert pairs["exact", "vendor"]["share_exact"] == 1
    assert 0.99 < pairs["exact", "fp32"]["cosine"] < 1
    assert {"Conv", "Sigmoid", "Mul"} <= {node.split()[0] for layer in part["layers"] for node in layer["nodes"]}
    for layer in part["layers"]:
        assert layer["share_exact"] == 1 and layer["reason"] == "", layer
    assert "| native operators | makes |" in (folder / "verify.md").read_text()


def test_verify_fails_below_the_cosine_that_was_asked_for(toolkit: Toolkit, folder: Path) -> None:
    words = ("verify", folder / "model_ctx.onnx", "--inputs", folder / "inputs.npy", "--samples", 1, "--no-layers")
    assert command(*words, "--min-cosine", 1.01).returncode == 3


def test_verify_takes_the_models_own_target_and_says_what_to_do_about_others(
    toolkit: Toolkit, folder: Path, tmp_path: Path
) -> None:
    rknn_ep.compile(
        folder / "model.onnx",
        tmp_path / "ctx.onnx",
        target="rk3576",
        calibration=folder / "calibration.npy",
        min_partition_macs=0,
    )
    words = ("verify", tmp_path / "ctx.onnx", "--inputs", folder / "inputs.npy", "--samples", 1, "--no-layers")
    assert command(*words).stdout.startswith("rknn_0, rk3576, 1 sample:")
    assert "rknn_0, rk3566 (compiled for rk3576), 1 sample:" in command(*words, "--target", "rk3566").stdout
    for target, said in (
        ("rk3598", "unknown target 'rk3598': did you mean 'rk3588'?"),
        ("rk2118", "was compiled in int8 for rk3576, and rk2118 computes in fp16"),
        ("rk2118", "Leave --target out, or compile the model for it: rknn-ep compile --target rk2118"),
    ):
        done = command(*words, "--target", target)
        assert done.returncode == 2 and said in done.stderr, done.stderr
    assert "No such option: --precision" in command(*words, "--precision", "int16").stderr


def test_verify_for_a_soc_that_refuses_the_plan_of_another_says_so(toolkit: Toolkit, tmp_path: Path) -> None:
    net = Net((1, 16, 16, 16))
    a, b = net.add("Relu", net.conv("x", 16, 16)), net.add("Relu", net.conv("x", 16, 16))
    (tmp_path / "model.onnx").write_bytes(net.model(net.add("Softmax", net.add("MatMul", a, b), axis=-1)))
    np.save(tmp_path / "x.npy", samples(net.shape))
    options = {"target": "rk3588", "calibration": tmp_path / "x.npy", "min_partition_macs": 0, "device": "simulator"}
    rknn_ep.compile(tmp_path / "model.onnx", tmp_path / "ctx.onnx", **options)
    done = command("verify", tmp_path / "ctx.onnx", "--inputs", tmp_path / "x.npy", "--target", "rv1106", "--no-layers")
    assert done.returncode == 1
    assert "rknn_0 was compiled for rk3588, and cannot be for rv1106" in done.stderr and "not supported 'float16'" in done.stderr
    assert "compile the model for it: rknn-ep compile --target rv1106" in done.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("model_ctx.onnx", "--inputs", "missing"), "there are no inputs at missing"),
        (("model_ctx.onnx", "--inputs", "inputs.npy", "--reference", "no.onnx"), "there is no reference model at no.onnx"),
        (("model_ctx.onnx", "--inputs", "inputs.npy", "--reference", "broken.onnx"), "'broken.onnx' is not"),
        (("missing.onnx", "--inputs", "inputs.npy"), "missing.onnx cannot be read"),
        (("net.rknnctx", "--inputs", "inputs.npy"), "rknn-ep wrap net.rknn -o net_ctx.onnx"),
    ],
)
def test_verify_says_what_is_missing_before_any_work(folder: Path, words: tuple[str, ...], said: str) -> None:
    (folder / "broken.onnx").write_bytes(b"no model")
    done = command("verify", *words, folder=folder)
    assert done.returncode == 1 and said in done.stderr and "Traceback" not in done.stderr, done.stderr


def test_verify_of_a_model_that_is_not_compiled_says_so(folder: Path) -> None:
    done = command("verify", folder / "model.onnx", "--inputs", folder / "inputs.npy")
    assert done.returncode == 1 and "holds no partition of rknn_ep" in done.stderr


def test_verify_of_a_bare_rknn_says_what_it_takes(tmp_path: Path) -> None:
    (tmp_path / "net.rknn").write_bytes(b"RKNN")
    done = command("verify", tmp_path / "net.rknn", "--inputs", tmp_path)
    assert done.returncode == 1 and "the vendor's simulator loads no file that was compiled" in done.stderr


def test_wrapped_files_load_by_their_own_description(toolkit: Toolkit, folder: Path) -> None:
    from rknn_ep.artifact.epcontext import read_epcontext

    rknn = folder / "foreign.rknn"
    rknn.write_bytes(read_epcontext(folder / "model_ctx.onnx").own[0].open_bundle().read("rk3588.rknn"))
    done = command("wrap", rknn, "-o", folder / "wrapped.onnx")
    assert done.returncode == 0, done.stderr
    assert "input x FLOAT[1, 16, 32, 32], INT8 inside" in done.stdout and "for rk3588" in done.stdout
    (node,) = read_epcontext(folder / "wrapped.onnx").own
    node.require("rk3588")
    original = read_epcontext(folder / "model_ctx.onnx").own[0].description
    assert node.description is not None and original is not None
    ours, theirs = original.outputs[0], node.description.outputs[0]
    assert (theirs.name, theirs.dims, theirs.qtype, theirs.zero_point) == (ours.name, ours.dims, ours.qtype, ours.zero_point)
    assert theirs.scale == pytest.approx(ours.scale, rel=1e-6)
    rknn_ep.register()
    with pytest.raises(Exception, match="RKNN_ERR_MODEL_INVALID"):  # nothing on a PC computes it
        onnxruntime.InferenceSession(folder / "wrapped.onnx", providers=[rknn_ep.get_ep_name(), "CPUExecutionProvider"])


@pytest.fixture(scope="module")
def pairs(folder: Path) -> Path:
    """`net_rk3588.rknn` and `net_rv1106.rknn`, each with its companion."""
    options = {"target": "rv1106", "calibration": folder / "calibration.npy", "min_partition_macs": 0}
    (folder / "pairs").mkdir()
    rknn_ep.compile(
        folder / "model.onnx", folder / "pairs" / "net.rknn", format="rknn", also_targets=["rk3588"], device="board", **options
    )
    return folder / "pairs"


@pytest.mark.parametrize("target", ["rk3588", "rv1106"])
def test_a_wrapped_file_with_its_companion_is_the_model_that_was_compiled(
    toolkit: Toolkit, folder: Path, pairs: Path, tmp_path: Path, target: str
) -> None:
    from rknn_ep.artifact.epcontext import read_epcontext

    for name in (f"net_{target}.rknn", f"net_{target}.rknnctx"):
        shutil.copy(pairs / name, tmp_path)
    done = command("wrap", tmp_path / f"net_{target}.rknn", "-o", tmp_path / "wrapped.onnx")
    assert done.returncode == 0, done.stderr
    assert f"with the simulation of net_{target}.rknnctx" in done.stdout and f"for {target}" in done.stdout
    (node,) = read_epcontext(tmp_path / "wrapped.onnx").own
    bundle = node.open_bundle()
    companion = NativeDescription.from_text(Bundle.open(tmp_path / f"net_{target}.rknnctx").read("native.txt").decode())
    assert node.description == companion and companion.target == target
    assert bundle.read(f"{target}.rknn") == (tmp_path / f"net_{target}.rknn").read_bytes()
    assert [name for name in bundle.names if name.endswith(".rknn")] == [f"{target}.rknn"]
    x = np.load(folder / "inputs.npy")[0]
    rknn_ep.register()
    values = []
    for path in (tmp_path / "wrapped.onnx", folder / "model.onnx"):
        options = {"target": target, "device": "simulator", "min_partition_macs": "0"}
        options |= {"calibration": str(folder / "calibration.npy")} if path.parent == folder else {}
        session = onnxruntime.InferenceSession(path, providers=[(rknn_ep.get_ep_name(), options), "CPUExecutionProvider"])
        values.append(session.run(None, {"x": x})[0])
    assert np.array_equal(*values)


def test_a_companion_of_another_name_beside_the_file_is_found_for_its_own_soc(
    toolkit: Toolkit, pairs: Path, tmp_path: Path
) -> None:
    shutil.copy(pairs / "net_rk3588.rknn", tmp_path)
    shutil.copy(pairs / "net_rv1106.rknnctx", tmp_path / "other.rknnctx")  # simulates the same
    wrapped = wrap_rknn(tmp_path / "net_rk3588.rknn", tmp_path / "wrapped.onnx")
    assert wrapped.companion == tmp_path / "other.rknnctx"
    assert (wrapped.description.target, wrapped.description.cores) == ("rk3588", 3)


def test_a_companion_that_does_not_fit_is_not_taken_and_said(toolkit: Toolkit, folder: Path, pairs: Path, tmp_path: Path) -> None:
    rknn, beside = tmp_path / "net.rknn", tmp_path / "net.rknnctx"
    shutil.copy(pairs / "net_rk3588.rknn", rknn)
    options = {"target": "rk3588", "precision": "fp16", "min_partition_macs": 0, "device": "board"}
    rknn_ep.compile(folder / "model.onnx", folder / "half.rknn", format="rknn", **options)

    def said(*words: object, code: int = 0) -> str:
        done = command("wrap", rknn, "-o", tmp_path / "wrapped.onnx", *words)
        assert done.returncode == code, done.stderr
        return done.stderr

    assert "runs on boards only: its companion net.rknnctx is not beside it" in said()
    shutil.copy(folder / "half.rknnctx", beside)
    assert re.search(
        r"net.rknnctx beside it is not its companion: it is rknn_0 \w{12}, and the .rknn names rknn_0 \w{12}", said()
    )
    assert "half.rknnctx is not the companion of" in said("--companion", folder / "half.rknnctx", code=1)
    assert "cannot be read: No such file" in said("--companion", tmp_path / "missing.rknnctx", code=1)
    beside.write_bytes(beside.read_bytes()[:5000])
    assert "is damaged" in said()
    assert said("--companion", pairs / "net_rv1106.rknnctx") == ""
    rknn.write_bytes(rknn.read_bytes().replace(b"rknn_ep:1", b"somebody:"))
    assert "was not compiled by rknn-ep, its custom string names no companion; net.rknnctx beside it is not used" in said()


def test_a_file_that_describes_itself_in_another_format_needs_its_companion(
    toolkit: Toolkit, pairs: Path, tmp_path: Path
) -> None:
    shutil.copy(pairs / "net_rv1106.rknn", tmp_path)
    with pytest.raises(ArtifactError, match=r"another format .* its companion net_rv1106.rknnctx is not beside it"):
        wrap_rknn(tmp_path / "net_rv1106.rknn", tmp_path / "x.onnx")
    assert not (tmp_path / "x.onnx").exists()


def test_what_is_no_rknn_is_not_wrapped(tmp_path: Path) -> None:
    (tmp_path / "x.rknn").write_bytes(b"PK\x03\x04" + bytes(200))
    with pytest.raises(ArtifactError, match=r"is not a \.rknn file"):
        wrap_rknn(tmp_path / "x.rknn", tmp_path / "x.onnx")
    assert not (tmp_path / "x.onnx").exists()
