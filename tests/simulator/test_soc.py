"""The simulated SoC refuses what the real one refuses."""

from __future__ import annotations

import ctypes
from pathlib import Path

import numpy as np
import pytest

from tests.simulator import bundles, driver
from tests.simulator.driver import Context, RknnError

SINGLE_CORE = ["rk3562", "rk3566", "rk3568", "rv1103", "rv1103b", "rv1106", "rv1106b", "rv1126b", "rk2118"]
ZERO_COPY_ONLY = ["rv1103", "rv1103b", "rv1106", "rv1106b", "rk2118"]


def simulated(library: ctypes.CDLL, folder: Path, target: str) -> Context:
    return Context(library, bundles.bundle(folder / f"{target}.rknnctx", bundles.quantized_identity(), "int8", target))


@pytest.mark.parametrize("target", SINGLE_CORE)
def test_a_core_mask_is_refused_where_there_is_one_core(library: ctypes.CDLL, tmp_path: Path, target: str) -> None:
    with simulated(library, tmp_path, target) as context, pytest.raises(RknnError) as error:
        context.call("rknn_set_core_mask", 1)
    assert error.value.code == driver.TARGET_PLATFORM_UNMATCH


@pytest.mark.parametrize(("target", "good", "bad"), [("rk3588", [0, 1, 2, 4, 3, 7], [8, 9]), ("rk3576", [0, 1, 2, 3], [4, 7])])
def test_a_core_mask_must_name_cores_that_exist(
    library: ctypes.CDLL, tmp_path: Path, target: str, good: list[int], bad: list[int]
) -> None:
    with simulated(library, tmp_path, target) as context:
        for mask in good:
            context.call("rknn_set_core_mask", mask)
        for mask in bad:
            with pytest.raises(RknnError) as error:
                context.call("rknn_set_core_mask", mask)
            assert error.value.code == driver.PARAM_INVALID


@pytest.mark.parametrize("target", ZERO_COPY_ONLY)
def test_small_socs_have_no_copying_functions(library: ctypes.CDLL, tmp_path: Path, target: str) -> None:
    with simulated(library, tmp_path, target) as context:
        for attempt in (
            lambda: context.set_inputs([np.zeros((1, 3, 4, 5), np.float32)]),
            lambda: context.call("rknn_outputs_get", 1, (driver.Output * 1)(), None),
            lambda: context.query(driver.PERF_RUN, driver.PerfRun()),
            context.duplicate,
        ):
            with pytest.raises(RknnError) as error:
                attempt()
            assert error.value.code == driver.TARGET_PLATFORM_UNMATCH


def test_strides_and_channel_blocks_follow_the_soc(library: ctypes.CDLL, tmp_path: Path) -> None:
    for target, stride, block in [("rk3566", 8, 8), ("rk3588", 16, 16)]:
        with simulated(library, tmp_path, target) as context:
            assert context.attr(driver.INPUT_ATTR).w_stride == stride
            assert context.attr(driver.NATIVE_OUTPUT_ATTR).shape[-1] == block


@pytest.mark.parametrize(("target", "cores"), [("rk3588", 3), ("rk3576", 2)])
def test_a_batch_may_be_shared_out_over_cores_that_exist(library: ctypes.CDLL, tmp_path: Path, target: str, cores: int) -> None:
    with simulated(library, tmp_path, target) as context:
        for count in range(1, cores + 1):
            context.call("rknn_set_batch_core_num", count)
        for count in (-1, cores + 1):
            with pytest.raises(RknnError) as error:
                context.call("rknn_set_batch_core_num", count)
            assert error.value.code == driver.PARAM_INVALID


@pytest.mark.parametrize("target", SINGLE_CORE)
def test_a_batch_is_not_shared_out_where_there_is_one_core(library: ctypes.CDLL, tmp_path: Path, target: str) -> None:
    with simulated(library, tmp_path, target) as context, pytest.raises(RknnError) as error:
        context.call("rknn_set_batch_core_num", 1)
    assert error.value.code == driver.TARGET_PLATFORM_UNMATCH


@pytest.mark.parametrize("target", ["rk3588", *ZERO_COPY_ONLY])
def test_small_socs_tell_the_memory_of_the_device(library: ctypes.CDLL, tmp_path: Path, target: str) -> None:
    with simulated(library, tmp_path, target) as context:
        memory = driver.TensorMem()
        if target not in ZERO_COPY_ONLY:
            with pytest.raises(RknnError) as error:
                context.query(driver.DEVICE_MEM_INFO, memory)
            assert error.value.code == driver.TARGET_PLATFORM_UNMATCH
            return
        context.query(driver.DEVICE_MEM_INFO, memory)
        sizes = context.query(driver.MEM_SIZE, driver.MemSize())
        assert memory.size == sizes.total_weight_size + sizes.total_internal_size > 0
