"""From a model to numbers: just in time, ahead of time, in another process, from the cache."""

from __future__ import annotations

import logging
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest

import rknn_ep
from rknn_ep.errors import CalibrationError, OptionError, ShapeError, StrictError
from rknn_ep.quantization.metrics import cosine
from tests.pipeline.conftest import small_model

EP = "RKNNExecutionProvider"


def session(model: Path | bytes, **options: object) -> ort.InferenceSession:
    rknn_ep.register()
    settings = ort.SessionOptions()
    settings.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
    source = model if isinstance(model, bytes) else str(model)
    text = {"min_partition_macs": "0"} | {key: str(value) for key, value in options.items()}  # the model is tiny on purpose
    return ort.InferenceSession(source, settings, providers=[(EP, text), "CPUExecutionProvider"])


def assigned(ready: ort.InferenceSession, provider: str = EP) -> list[str]:
    return sorted(
        node.op_type
        for subgraph in ready.get_provider_graph_assignment_info()
        if subgraph.ep_name == provider
        for node in subgraph.get_nodes()
    )


def on_cpu(model: Path, picture: np.ndarray) -> np.ndarray:
    return ort.InferenceSession(str(model), providers=["CPUExecutionProvider"]).run(["y"], {"x": picture})[0]


def test_fp16_runs_just_in_time_with_every_node_on_the_npu(model_path: Path, picture: np.ndarray) -> None:
    ready = session(model_path, target="rk3588")
    assert len(assigned(ready)) >= 5 and assigned(ready, "CPUExecutionProvider") == []
    expected = on_cpu(model_path, picture)
    (got,) = ready.run(["y"], {"x": picture})
    # five roundings to float16 on the way, each at most half of 2^-10 of values around 1
    assert np.abs(got - expected).max() < 5 * 2**-11 * max(1.0, np.abs(expected).max()) * 4
    assert not np.array_equal(got, expected), "float16 rounding must be visible"


def test_int8_runs_just_in_time_and_stays_close(model_path: Path, calibration: Path, picture: np.ndarray) -> None:
    ready = session(model_path, calibration=calibration)
    assert len(assigned(ready)) >= 5 and assigned(ready, "CPUExecutionProvider") == []
    (got,) = ready.run(["y"], {"x": picture})
    expected = on_cpu(model_path, picture)
    assert cosine(got, expected) > 0.99
    assert len(np.unique(np.round(got / np.diff(np.unique(got)).min()))) <= 256, "outputs lie on an 8-bit grid"


@pytest.mark.parametrize("embed_mode", [0, 1])
def test_an_epcontext_model_gives_the_same_bits_in_a_process_that_cannot_plan(
    model_path: Path, calibration: Path, picture: np.ndarray, tmp_path: Path, embed_mode: int
) -> None:
    compiled = tmp_path / "out" / "small_ctx.onnx"
    compiled.parent.mkdir()
    rknn_ep.compile(model_path, compiled, min_partition_macs=0, embed_mode=embed_mode, calibration=calibration)
    assert [node.op_type for node in onnx.load(compiled).graph.node] == ["EPContext"]
    np.save(tmp_path / "x.npy", picture)
    program = (
        "import sys, numpy as np, onnxruntime as ort\n"
        "library, model, x, y = sys.argv[1:]\n"
        f"ort.register_execution_provider_library('{EP}', library)\n"
        f"session = ort.InferenceSession(model, providers=['{EP}', 'CPUExecutionProvider'])\n"
        "np.save(y, session.run(['y'], {'x': np.load(x)})[0])\n"
        "assert 'rknn_ep' not in sys.modules\n"
    )
    files = [rknn_ep.get_library_path(), compiled, tmp_path / "x.npy", tmp_path / "y.npy"]
    subprocess.run([sys.executable, "-c", program, *map(str, files)], check=True, timeout=120)
    (here,) = session(compiled).run(["y"], {"x": picture})
    (just_in_time,) = session(model_path, calibration=calibration).run(["y"], {"x": picture})
    there = np.load(tmp_path / "y.npy")
    assert np.array_equal(there, here)
    assert cosine(just_in_time, here) > 0.9999


def test_the_second_build_comes_from_the_cache_and_gives_the_same_bits(
    model_path: Path, calibration: Path, picture: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    from rknn_ep import pipeline

    (first,) = session(model_path, calibration=calibration).run(["y"], {"x": picture})

    def never(*args: object, **kwargs: object) -> None:
        raise AssertionError("a warm cache must not plan again")

    monkeypatch.setattr(pipeline, "_build", never)
    (second,) = session(model_path, calibration=calibration).run(["y"], {"x": picture})
    assert np.array_equal(first, second)


def test_other_calibration_content_is_another_build(model_path: Path, calibration: Path, own_cache: Path) -> None:
    session(model_path, calibration=calibration)
    before = len(list(own_cache.rglob("*"))), {path.name for path in own_cache.rglob("*") if path.is_file()}
    np.savez(calibration, x=3 * np.load(calibration)["x"])
    session(model_path, calibration=calibration)
    after = {path.name for path in own_cache.rglob("*") if path.is_file()}
    assert after - before[1]


def test_a_damaged_bundle_is_rebuilt_and_said_so(
    model_path: Path, picture: np.ndarray, own_cache: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (first,) = session(model_path).run(["y"], {"x": picture})
    damaged = [path for path in own_cache.rglob("*") if path.is_file() and path.stat().st_size > 4096 and path.suffix != ".json"]
    assert damaged
    for path in damaged:
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 0xFF
        path.write_bytes(content)
    # another process: this one may remember that it verified the file
    program = (
        "import sys, logging, numpy as np, onnxruntime as ort, rknn_ep\n"
        "logging.basicConfig()\n"
        "rknn_ep.register()\n"
        f"session = ort.InferenceSession(sys.argv[1], providers=[('{EP}', {{'min_partition_macs': '0'}})])\n"
        "np.save(sys.argv[3], session.run(['y'], {'x': np.load(sys.argv[2])})[0])\n"
    )
    np.save(own_cache / "x.npy", picture)
    arguments = [str(model_path), str(own_cache / "x.npy"), str(own_cache / "y.npy")]
    run = subprocess.run([sys.executable, "-c", program, *arguments], check=True, timeout=120, capture_output=True, text=True)
    assert np.array_equal(np.load(own_cache / "y.npy"), first)
    assert "damaged" in run.stderr


def test_what_the_npu_lacks_stays_on_the_cpu_and_strict_refuses_it(tmp_path: Path, picture: np.ndarray) -> None:
    path = tmp_path / "mixed.onnx"
    onnx.save(small_model(with_cpu_node=True), path)
    ready = session(path)
    assert assigned(ready, "CPUExecutionProvider") == ["NonZero"]
    ready.run(None, {"x": picture})
    with pytest.raises(Exception, match=r"NonZero.*strict=1"):
        session(path, strict=1)
    with pytest.raises(StrictError, match="NonZero"):
        rknn_ep.compile(path, tmp_path / "ctx.onnx", strict=True, min_partition_macs=0)
    assert not (tmp_path / "ctx.onnx").exists()
    session(path, strict=1, exclude_ops="NonZero")


def test_strict_says_how_to_keep_what_the_cost_model_gave_back(tmp_path: Path) -> None:
    path = tmp_path / "small.onnx"
    onnx.save(small_model(), path)
    with pytest.raises(StrictError, match=r"Conv.*strict=1 \(cost: .*\n?.*min_partition_macs=0") as refusal:
        rknn_ep.compile(path, tmp_path / "ctx.onnx", strict=True)
    rknn_ep.compile(path, tmp_path / "ctx.onnx", strict=True, min_partition_macs=0)
    with pytest.raises(StrictError, match="min_partition_macs=0"):
        rknn_ep.compile(path, tmp_path / "other.onnx", strict=True, min_partition_macs=10**12)
    assert "exclude_nodes" in str(refusal.value)


def test_a_mixed_model_compiles_and_gives_what_the_cpu_gives(tmp_path: Path, picture: np.ndarray) -> None:
    path = tmp_path / "mixed.onnx"
    onnx.save(small_model(with_cpu_node=True), path)
    report = rknn_ep.compile(path, tmp_path / "ctx.onnx", min_partition_macs=0)
    y, n = session(tmp_path / "ctx.onnx").run(None, {"x": picture})
    assert np.array_equal(n, np.stack(np.nonzero(y)))
    assert "NonZero" in report.to_table()


def test_dynamic_dimensions_without_a_value_are_named_with_the_option(tmp_path: Path) -> None:
    path = tmp_path / "dynamic.onnx"
    onnx.save(small_model("batch", "side"), path)
    with pytest.raises(ShapeError, match=r"(?s)batch.*input_shapes"):
        rknn_ep.compile(path, tmp_path / "ctx.onnx", min_partition_macs=0)
    with pytest.raises(Exception, match=r"(?s)batch.*input_shapes"):
        session(path)
    assert assigned(session(path, input_shapes="batch=1;side=32"))
    assert assigned(session(path, input_shapes="x:2,3,32,32"))


def test_a_tensor_of_another_shape_at_run_time_is_refused_with_both_shapes(tmp_path: Path) -> None:
    path = tmp_path / "dynamic.onnx"
    onnx.save(small_model("batch", "side"), path)
    ready = session(path, input_shapes="x:1,3,32,32")
    with pytest.raises(Exception, match=r"(?s)1, ?3, ?64, ?64.*1, ?3, ?32, ?32|1, ?3, ?32, ?32.*1, ?3, ?64, ?64"):
        ready.run(None, {"x": np.zeros((1, 3, 64, 64), np.float32)})
    ready.run(None, {"x": np.zeros((1, 3, 32, 32), np.float32)})


def test_batches_above_one_run(tmp_path: Path) -> None:
    path = tmp_path / "dynamic.onnx"
    onnx.save(small_model("batch", 32), path)
    x = np.random.default_rng(3).normal(0, 1, (4, 3, 32, 32)).astype(np.float32)
    (together,) = session(path, input_shapes="batch=4").run(["y"], {"x": x})
    one = session(path, input_shapes="batch=1")
    alone = np.concatenate([one.run(["y"], {"x": item[None]})[0] for item in x])
    # float32 accumulation may be ordered differently before each rounding to float16
    np.testing.assert_allclose(together, alone, rtol=2**-9, atol=2**-9)


@pytest.mark.parametrize(("target", "mask", "words"), [("rk3588", "9", "1, 2, 4, 3, 7"), ("rk3566", "all", "single core")])
def test_cores_that_the_soc_has_not_fail_the_session(model_path: Path, target: str, mask: str, words: str) -> None:
    with pytest.raises(Exception, match=words):
        session(model_path, target=target, core_mask=mask, precision="fp16")
    session(model_path, target=target, precision="fp16")


def test_words_of_options_are_read_in_any_case(model_path: Path, tmp_path: Path) -> None:
    """In Python, which plans, and in the native library, which runs."""
    shouted = {"target": "RK3588", "simulation": "Exact", "io_mode": "ZERO_COPY", "core_mask": "ALL"}
    x = np.random.default_rng(5).normal(0, 1, (1, 3, 32, 32)).astype(np.float32)
    calm = {name: value.lower() for name, value in shouted.items()}
    expected = session(model_path, strict="1", precision="fp16", min_partition_macs="0", **calm).run(["y"], {"x": x})[0]
    just_in_time = session(model_path, strict="1", precision="fp16", min_partition_macs="0", **shouted)
    np.testing.assert_array_equal(just_in_time.run(["y"], {"x": x})[0], expected)
    rknn_ep.compile(model_path, tmp_path / "ctx.onnx", target="Rk3588", precision="fp16", min_partition_macs=0)
    np.testing.assert_array_equal(session(tmp_path / "ctx.onnx", **shouted).run(["y"], {"x": x})[0], expected)


def test_exclusions_that_name_nothing_are_warned_of(model_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    report = rknn_ep.partition(
        model_path, min_partition_macs=0, exclude_nodes="secnod,relu,c0,zzzzzz", exclude_ops="Cnov,LSTM,Flatten"
    )
    assert [record.message for record in caplog.records if "exclude" in record.message] == [
        "exclude_ops: there is no operator 'Cnov'; did you mean 'Conv'?",
        "exclude_nodes: the model has no node 'secnod'; did you mean 'second'?",
        "exclude_nodes: the model has no node 'zzzzzz'",
    ]
    assert report.to_dict()["nodes"]


def test_int8_without_calibration_says_what_to_give(model_path: Path, tmp_path: Path) -> None:
    with pytest.raises(CalibrationError, match="calibration"):
        rknn_ep.compile(model_path, tmp_path / "ctx.onnx", precision="int8")
    with pytest.raises(CalibrationError, match="rv1106 has no floating point"):
        rknn_ep.compile(model_path, tmp_path / "ctx.onnx", target="rv1106")


def test_unknown_options_targets_and_devices_name_the_nearest(model_path: Path) -> None:
    for options, hint in (
        ({"target": "rk3558"}, "rk3588"),
        ({"device": "simulater"}, "simulator"),
        ({"calibration_methd": "mmse"}, "calibration_method"),
        ({"calibration_method": "kl_divergense"}, "kl_divergence"),
    ):
        with pytest.raises(OptionError, match=hint):
            rknn_ep.partition(model_path, **options)
        with pytest.raises(Exception, match=hint):
            session(model_path, **options)


def test_quantize_writes_qdq_that_stock_onnxruntime_runs(
    model_path: Path, calibration: Path, picture: np.ndarray, tmp_path: Path
) -> None:
    rknn_ep.quantize(model_path, tmp_path / "qdq.onnx", min_partition_macs=0, calibration=calibration)
    model = onnx.load(tmp_path / "qdq.onnx")
    onnx.checker.check_model(model)
    assert {"QuantizeLinear", "DequantizeLinear"} <= {node.op_type for node in model.graph.node}
    assert cosine(on_cpu(tmp_path / "qdq.onnx", picture), on_cpu(model_path, picture)) > 0.99
    # a model that arrives quantised keeps its scales and needs no calibration
    (kept,) = session(tmp_path / "qdq.onnx", simulation="exact").run(["y"], {"x": picture})
    settings = ort.SessionOptions()
    settings.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    stock = ort.InferenceSession(str(tmp_path / "qdq.onnx"), settings, providers=["CPUExecutionProvider"])
    assert np.array_equal(kept, stock.run(["y"], {"x": picture})[0])


def test_the_report_is_written_where_the_option_says(model_path: Path, tmp_path: Path) -> None:
    for name in ("report.md", "report.json", "report.txt"):
        session(model_path, report=tmp_path / name)
        assert "rk3588" in (tmp_path / name).read_text()


def test_an_unwritable_report_is_an_error_of_ours(model_path: Path, tmp_path: Path) -> None:
    with pytest.raises(Exception, match=r"report cannot be written"):
        session(model_path, report=tmp_path / "nowhere" / "report.md")


def test_advice_on_few_samples_reaches_the_log(model_path: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    few = tmp_path / "few.npz"
    np.savez(few, x=np.zeros((2, 3, 32, 32), np.float32) + 0.5)
    with caplog.at_level(logging.WARNING):
        rknn_ep.compile(model_path, tmp_path / "ctx.onnx", min_partition_macs=0, calibration=few)
    assert "20" in caplog.text
