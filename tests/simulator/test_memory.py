"""Memory that program and device share: descriptors, offsets, double release, and what the structure cannot be made to do."""

from __future__ import annotations

import ctypes
import mmap
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.required import missing
from tests.simulator import bundles, driver
from tests.simulator.driver import Context, RknnError, TensorMem

SHAPE = (1, 3, 4, 5)


@pytest.fixture(scope="module")
def relu(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return bundles.bundle(tmp_path_factory.mktemp("relu") / "relu.rknnctx", bundles.relu(SHAPE))


@pytest.fixture
def context(library: ctypes.CDLL, relu: Path) -> Iterator[Context]:
    with Context(library, relu) as made:
        yield made


def bind(context: Context, command: int, memory: object, kind: int = driver.FLOAT32, fmt: int = driver.NCHW) -> None:
    attr = context.attr(command)
    attr.type, attr.fmt, attr.w_stride = kind, fmt, 0
    context.call("rknn_set_io_mem", memory, ctypes.byref(attr))


def view(memory: ctypes._Pointer[TensorMem]) -> np.ndarray:
    size = memory.contents.size
    return np.frombuffer((ctypes.c_uint8 * size).from_address(memory.contents.virt_addr), np.uint8)


def test_memory_has_a_descriptor_that_shows_the_same_bytes(context: Context) -> None:
    memory = context.memory(4096)
    assert memory.contents.fd >= 0 and memory.contents.flags == 1 and memory.contents.size == 4096
    with mmap.mmap(os.dup(memory.contents.fd), 4096) as other:
        view(memory)[:3] = 1, 2, 3
        assert other[:3] == bytes([1, 2, 3])
    context.call("rknn_destroy_mem", memory)


@pytest.mark.parametrize("offset", [0, 4096, 240])
def test_memory_from_a_descriptor_is_read_and_written_in_place(context: Context, library: ctypes.CDLL, offset: int) -> None:
    x = np.random.default_rng(0).standard_normal(SHAPE).astype(np.float16).astype(np.float32)
    descriptor = os.memfd_create("picture")
    try:
        os.ftruncate(descriptor, offset + 2 * x.nbytes)
        mapped = mmap.mmap(descriptor, offset + 2 * x.nbytes)
        address = ctypes.addressof(ctypes.c_char.from_buffer(mapped))
        source = library.rknn_create_mem_from_fd(context.handle, descriptor, address, x.nbytes, offset)
        target = library.rknn_create_mem_from_fd(context.handle, descriptor, None, x.nbytes, offset + x.nbytes)
        assert source and target and source.contents.flags == 2 and source.contents.virt_addr == address
        bind(context, driver.INPUT_ATTR, source)
        bind(context, driver.OUTPUT_ATTR, target)
        mapped[offset : offset + x.nbytes] = x.tobytes()
        context.run()
        got = np.frombuffer(mapped[offset + x.nbytes : offset + 2 * x.nbytes], np.float32).reshape(SHAPE)
        np.testing.assert_array_equal(got, np.maximum(x, 0))
    finally:
        os.close(descriptor)


def test_memory_from_a_dma_buf_heap_where_there_is_one(context: Context, library: ctypes.CDLL) -> None:
    heap = Path("/dev/dma_heap/system")
    if not os.access(heap, os.R_OK | os.W_OK):
        missing("dma-heap", f"{heap} cannot be opened")
    import fcntl

    request = np.zeros(3, np.uint64)  # length; descriptor and its flags; heap flags
    request[0], request[1] = 4096, os.O_RDWR << 32
    with heap.open("rb") as device:
        fcntl.ioctl(device, 0xC0184800, request)
    descriptor = int(request[1]) & 0xFFFFFFFF
    memory = library.rknn_create_mem_from_fd(context.handle, descriptor, None, 4096, 0)
    assert memory
    view(memory)[:] = 7
    context.call("rknn_destroy_mem", memory)
    os.close(descriptor)


def test_descriptors_that_cannot_be_mapped_are_refused(context: Context, library: ctypes.CDLL) -> None:
    reading, writing = os.pipe()
    small = os.memfd_create("small")
    os.ftruncate(small, 100)
    for fd, size, offset in [
        (-1, 10, 0),
        (9999, 10, 0),
        (reading, 10, 0),
        (small, 101, 0),
        (small, 10, 95),
        (small, 10, -1),
        (small, 0, 0),
    ]:
        assert not library.rknn_create_mem_from_fd(context.handle, fd, None, size, offset), (fd, size, offset)
    for fd in (reading, writing, small):
        os.close(fd)


def test_physical_addresses_and_media_blocks_are_refused(
    context: Context, library: ctypes.CDLL, capfd: pytest.CaptureFixture[str]
) -> None:
    assert not library.rknn_create_mem_from_phys(context.handle, 0x1000, None, 4096)
    assert not library.rknn_create_mem_from_mb_blk(context.handle, None, 0)
    err = capfd.readouterr().err
    assert "no physical addresses" in err and "no SoC has it" in err


def test_rk2118_has_no_memory_from_descriptors(library: ctypes.CDLL, tmp_path: Path) -> None:
    path = bundles.bundle(tmp_path / "x.rknnctx", bundles.quantized_identity(), "int8", "rk2118")
    with Context(library, path) as context:
        memory = context.memory(64)
        assert not library.rknn_create_mem_from_fd(context.handle, memory.contents.fd, None, 64, 0)


def test_sizes_and_flags_that_make_no_sense_are_refused(context: Context, library: ctypes.CDLL) -> None:
    assert not library.rknn_create_mem(context.handle, 0)
    assert not library.rknn_create_mem2(context.handle, 1 << 40, 0)
    assert not library.rknn_create_mem2(context.handle, 64, 1 << 60)
    assert not library.rknn_create_mem(123456, 64)
    assert library.rknn_create_mem2(context.handle, 64, 1 | 4)
    without_context = library.rknn_create_mem2(0, 64, 0x20000)
    assert without_context
    context.call("rknn_destroy_mem", without_context)


def test_double_release_and_foreign_memory_are_errors(context: Context, library: ctypes.CDLL) -> None:
    memory = context.memory(64)
    context.call("rknn_destroy_mem", memory)
    own = TensorMem(size=64)
    for bad in (memory, ctypes.pointer(own), None):
        for function in ("rknn_destroy_mem", "rknn_set_weight_mem", "rknn_set_internal_mem"):
            with pytest.raises(RknnError) as error:
                context.call(function, bad)
            assert error.value.code == driver.PARAM_INVALID
        with pytest.raises(RknnError) as error:
            context.call("rknn_mem_sync", bad, 1)
        assert error.value.code == driver.PARAM_INVALID
        with pytest.raises(RknnError) as error:
            bind(context, driver.INPUT_ATTR, bad)
        assert error.value.code == driver.PARAM_INVALID


def test_what_a_program_writes_into_the_structure_is_not_followed(context: Context) -> None:
    memory = context.memory(240)
    memory.contents.size, memory.contents.virt_addr = 2**31, 0xDEAD0000
    bind(context, driver.INPUT_ATTR, memory)
    context.run()
    context.call("rknn_destroy_mem", memory)


def test_memory_that_is_destroyed_while_bound_is_missing_at_the_next_run(context: Context) -> None:
    memory = context.memory(240)
    bind(context, driver.INPUT_ATTR, memory)
    context.run()
    context.call("rknn_destroy_mem", memory)
    with pytest.raises(RknnError) as error:
        context.run()
    assert error.value.code == driver.INPUT_INVALID


def test_mem_sync_knows_its_modes(context: Context) -> None:
    memory = context.memory(64)
    for mode in (1, 2, 3):
        context.call("rknn_mem_sync", memory, mode)
    for mode in (0, 4, -1):
        with pytest.raises(RknnError) as error:
            context.call("rknn_mem_sync", memory, mode)
        assert error.value.code == driver.PARAM_INVALID


def test_both_flows_alternate_and_rings_of_buffers_turn(context: Context) -> None:
    target = context.memory(240)
    bind(context, driver.OUTPUT_ATTR, target)
    rings = [context.memory(240) for _ in range(2)]
    for number, ring in enumerate(rings * 2):
        view(ring).view(np.float32)[:] = number
        bind(context, driver.INPUT_ATTR, ring)
        context.run()
        assert (view(target).view(np.float32) == number).all()
        assert (context(np.full(SHAPE, number + 10, np.float32))[0] == number + 10).all()
        assert (view(ring).view(np.float32) == number).all()


def test_binding_while_a_run_is_under_way_is_refused(library: ctypes.CDLL, tmp_path: Path) -> None:
    from tests.simulator.test_asynchronous import chain

    with Context(library, bundles.bundle(tmp_path / "slow.rknnctx", chain())) as context:
        context.set_inputs([np.ones((1024, 1024), np.float32)])
        memory = context.memory(1024 * 1024 * 4)
        context.run(driver.RunExtend(non_block=1))
        with pytest.raises(RknnError) as error:
            bind(context, driver.INPUT_ATTR, memory)
        assert error.value.code == driver.PARAM_INVALID
        context.get_outputs()
        bind(context, driver.INPUT_ATTR, memory)
