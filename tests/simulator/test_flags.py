"""Flags and the extension of rknn_init, and what they change."""

from __future__ import annotations

import ctypes
from pathlib import Path

import numpy as np
import pytest

from tests.simulator import bundles, driver
from tests.simulator.driver import Context, InitExtend, RknnError

SHAPE = (1, 3, 4, 5)
X = np.random.default_rng(0).standard_normal(SHAPE).astype(np.float16).astype(np.float32)


@pytest.fixture(scope="module")
def relu(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return bundles.bundle(tmp_path_factory.mktemp("relu") / "relu.rknnctx", bundles.relu(SHAPE))


def weighty(path: Path) -> Path:
    weights = np.random.default_rng(0).integers(-127, 128, (8, 3, 3, 3), dtype=np.int8)
    proto = bundles.quantized_conv(weights, None, 0.1, 128, np.full(8, 0.02), 0.5, 128, 8)
    return bundles.bundle(path, proto, "int8")


@pytest.mark.parametrize("flag", [0, 1, 2, 0x400, 0x800, 0x1000, 0x2000, 0x4000 | 0x8000, 0x10000])
def test_flags_without_a_meaning_on_a_pc_are_accepted(library: ctypes.CDLL, relu: Path, flag: int) -> None:
    with Context(library, relu, flag=flag) as context:
        np.testing.assert_array_equal(context(X)[0], np.maximum(X, 0))


@pytest.mark.parametrize("flag", [64, 128, 1 << 20, 1 << 31])
def test_fences_and_unknown_flags_are_refused(library: ctypes.CDLL, relu: Path, flag: int) -> None:
    assert driver.init_code(library, relu, flag) == (driver.PARAM_INVALID, 0)


def test_model_info_only_answers_queries_and_nothing_else(library: ctypes.CDLL, relu: Path) -> None:
    with Context(library, relu, flag=driver.FLAG_COLLECT_MODEL_INFO_ONLY) as context:
        assert context.query(driver.IN_OUT_NUM, driver.InputOutputNum()).n_input == 1
        assert context.attr(driver.INPUT_ATTR).shape == [1, 4, 5, 3]
        for attempt in (lambda: context.set_inputs([X]), context.run):
            with pytest.raises(RknnError) as error:
                attempt()
            assert error.value.code == driver.CTX_INVALID


def test_a_model_inside_a_larger_file_or_buffer(library: ctypes.CDLL, relu: Path, tmp_path: Path) -> None:
    content = relu.read_bytes()
    padded = b"\x11" * 777 + content + b"\x22" * 55
    (tmp_path / "firmware.bin").write_bytes(padded)
    extend = InitExtend(real_model_offset=777, real_model_size=len(content))
    for model in (padded, tmp_path / "firmware.bin"):
        with Context(library, model, extend=extend) as context:
            np.testing.assert_array_equal(context(X)[0], np.maximum(X, 0))
        for bad in (InitExtend(real_model_offset=-1), InitExtend(real_model_offset=777, real_model_size=len(padded))):
            code, _ = driver.init_code(library, model, 0, bad)
            assert code == driver.PARAM_INVALID


def test_weights_are_shared_with_the_context_that_is_named(library: ctypes.CDLL, relu: Path, tmp_path: Path) -> None:
    with Context(library, relu) as first:
        with Context(library, relu, flag=32, extend=InitExtend(ctx=first.handle)) as second:
            np.testing.assert_array_equal(second(X)[0], np.maximum(X, 0))
        with Context(library, weighty(tmp_path / "w.rknnctx"), flag=32, extend=InitExtend(ctx=first.handle)) as other:
            assert other.attr(driver.INPUT_ATTR).shape == [1, 8, 8, 3]
    assert driver.init_code(library, relu, 32)[0] == driver.PARAM_INVALID
    assert driver.init_code(library, relu, 32, InitExtend(ctx=first.handle))[0] == driver.CTX_INVALID


def test_memory_that_was_promised_must_come_and_be_large_enough(library: ctypes.CDLL, tmp_path: Path) -> None:
    path = weighty(tmp_path / "w.rknnctx")
    with Context(library, path, flag=driver.FLAG_MEM_ALLOC_OUTSIDE) as context:
        sizes = context.query(driver.MEM_SIZE, driver.MemSize())
        assert sizes.total_weight_size and sizes.total_internal_size
        x = np.zeros((1, 3, 8, 8), np.float32)
        context.set_inputs([x])
        for function, size in (
            ("rknn_set_weight_mem", sizes.total_weight_size),
            ("rknn_set_internal_mem", sizes.total_internal_size),
        ):
            with pytest.raises(RknnError) as error:
                context.run()
            assert error.value.code == driver.MALLOC_FAIL
            with pytest.raises(RknnError) as error:
                context.call(function, context.memory(size - 1))
            assert error.value.code == driver.PARAM_INVALID
            context.call(function, context.memory(size))
        context.run()
    with Context(library, path, flag=driver.FLAG_INTERNAL_ALLOC_OUTSIDE) as context:
        context.set_inputs([x])
        with pytest.raises(RknnError):
            context.run()
        context.call("rknn_set_internal_mem", context.memory(sizes.total_internal_size))
        context.run()


@pytest.mark.parametrize("from_memory", [False, True])
def test_layer_times_are_told_with_the_flag(library: ctypes.CDLL, tmp_path: Path, from_memory: bool) -> None:
    path = weighty(tmp_path / "w.rknnctx")
    with Context(library, path.read_bytes() if from_memory else path, flag=driver.FLAG_COLLECT_PERF) as context:
        with pytest.raises(RknnError) as error:
            context.query(driver.PERF_DETAIL, driver.PerfDetail())
        assert error.value.code == driver.FAIL
        first = context(np.ones((1, 3, 8, 8), np.float32))[0]
        detail = context.query(driver.PERF_DETAIL, driver.PerfDetail())
        text = ctypes.string_at(detail.perf_data, detail.data_len).decode()
        assert "OpType" in text and "Conv" in text and "Total Operator Elapsed Time" in text
        assert not list(Path("/tmp").glob("rknn_ep-layers-*"))
        np.testing.assert_array_equal(context.get_outputs()[0], first)
        assert context.query(driver.PERF_RUN, driver.PerfRun()).run_duration >= 0
    with Context(library, path) as context:
        context(np.ones((1, 3, 8, 8), np.float32))
        with pytest.raises(RknnError) as error:
            context.query(driver.PERF_DETAIL, driver.PerfDetail())
        assert error.value.code == driver.PARAM_INVALID


def test_a_model_for_another_soc_is_refused(library: ctypes.CDLL, relu: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RKNN_EP_SIMULATED_SOC", "rk3568")
    assert driver.init_code(library, relu)[0] == driver.TARGET_PLATFORM_UNMATCH
    monkeypatch.setenv("RKNN_EP_SIMULATED_SOC", "rk3588")
    with Context(library, relu) as context:
        context(X)


def test_the_log_level_adds_lines(
    library: ctypes.CDLL, relu: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    lines = {}
    for level in ("0", "1", "3", "4"):
        monkeypatch.setenv("RKNN_LOG_LEVEL", level)
        with Context(library, relu, flag=0x800) as context:
            context(X)
            context.call("rknn_wait", None)
        lines[level] = capfd.readouterr().err
    monkeypatch.delenv("RKNN_LOG_LEVEL")
    Context(library, relu).destroy()  # reads the variable again
    assert lines["0"] == ""
    assert "unsupported on every SoC" in lines["1"] and "I rknn_ep" not in lines["1"]
    assert "simulates rk3588" in lines["3"] and "SRAM" in lines["3"]
    assert "D rknn_ep simulator: rknn_run: done" in lines["4"]
