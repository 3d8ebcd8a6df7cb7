"""Calls with numbers, handles and pointers that nobody should pass: python -m tests.simulator.hostile BUNDLE.

Pointers are null, stale or to memory of another kind that is large enough to be read: a library cannot tell a wild one.
"""

from __future__ import annotations

import ctypes as c
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.simulator import driver, matmul
from tests.simulator.driver import Context, Input, Output, RknnError, TensorAttr

NUMBERS = st.sampled_from([0, 1, 2, 3, 4, 5, 7, 8, 15, 16, 17, 63, 64, 240, 241, 2**15, 2**16, 2**31 - 1, 2**31, 2**32 - 1])
SIGNED = st.sampled_from([-(2**31), -5, -1, 0, 1, 2, 3, 4, 5, 9, 10, 11, 12, 2**31 - 1])
CODES = range(-14, 1)
ROOM = np.zeros(1 << 20, np.uint8)  # what buffers point to


def allowed(call: Any, *arguments: Any) -> int:
    code = int(call(*arguments))
    assert code in CODES, code
    return code


def main(bundle: str) -> None:
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    library = driver.load()
    context = Context(library, Path(bundle))
    handles = st.sampled_from([context.handle, 0, 999_999, 2**64 - 1])
    stale = context.memory(64)
    context.call("rknn_destroy_mem", stale)
    fresh = context.memory(4096)
    attrs = [context.attr(driver.NATIVE_INPUT_ATTR), context.attr(driver.NATIVE_OUTPUT_ATTR)]
    patient = settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck), database=None)

    @patient
    @given(handles, SIGNED, NUMBERS, st.booleans(), NUMBERS)
    def query(handle: int, command: int, size: int, null: bool, index: int) -> None:
        info = (c.c_uint32 * (1 << 16))(index)  # larger than every structure
        allowed(library.rknn_query, handle, command, None if null else info, min(size, c.sizeof(info)))

    @patient
    @given(handles, NUMBERS, NUMBERS, NUMBERS, st.integers(0, 3), SIGNED, SIGNED, st.booleans())
    def inputs(handle: int, count: int, index: int, size: int, through: int, kind: int, fmt: int, null: bool) -> None:
        given = (Input * 1)(Input(index, None if null else ROOM.ctypes.data, min(size, ROOM.nbytes), through, kind, fmt))
        allowed(library.rknn_inputs_set, handle, count if count != 1 and count > 8 else min(count, 1), given)
        allowed(library.rknn_inputs_set, handle, 1, None)

    @patient
    @given(handles, NUMBERS, NUMBERS, st.integers(0, 3), st.booleans(), st.booleans())
    def outputs(handle: int, index: int, size: int, want: int, prealloc: bool, null: bool) -> None:
        context.set_inputs([np.zeros((1, 3, 4, 5), np.float32)])
        allowed(library.rknn_run, handle, None)
        taken = (Output * 1)(Output(want, int(prealloc), index, None if null else ROOM.ctypes.data, min(size, ROOM.nbytes)))
        if allowed(library.rknn_outputs_get, handle, 1, taken, None) == 0:
            allowed(library.rknn_outputs_release, handle, 1, taken)
        allowed(library.rknn_outputs_release, handle, 1, taken)

    @patient
    @given(handles, st.integers(0, 1), NUMBERS, SIGNED, SIGNED, NUMBERS, NUMBERS, NUMBERS, st.integers(0, 2), NUMBERS)
    def binding(
        handle: int, which: int, index: int, kind: int, fmt: int, w: int, h: int, dims: int, memory: int, block: int
    ) -> None:
        attr = TensorAttr.from_buffer_copy(attrs[which])
        attr.index, attr.type, attr.fmt, attr.w_stride, attr.h_stride = min(index, 3), kind, fmt, w, h
        attr.n_dims, attr.dims[4] = dims, block
        allowed(library.rknn_set_io_mem, handle, (fresh, stale, None)[memory], c.byref(attr))
        allowed(library.rknn_run, handle, None)

    @patient
    @given(handles, NUMBERS, st.integers(0, 2**64 - 1), SIGNED, NUMBERS, SIGNED)
    def memory(handle: int, size: int, flags: int, fd: int, fd_size: int, offset: int) -> None:
        for made in (
            library.rknn_create_mem(handle, min(size, 1 << 20)),
            library.rknn_create_mem2(handle, min(size, 1 << 20), flags),
            library.rknn_create_mem_from_fd(handle, fd if fd not in (0, 1, 2) else -1, None, fd_size, offset),
        ):
            if made:
                allowed(library.rknn_destroy_mem, context.handle, made)
        allowed(library.rknn_destroy_mem, handle, stale)

    @patient
    @given(SIGNED, SIGNED, SIGNED, st.integers(-1, 17), st.integers(-1, 4), st.integers(-1, 7), st.integers(-1, 4))
    def multiplication(m: int, k: int, n: int, kind: int, b_layout: int, quantization: int, layout: int) -> None:
        try:
            info = matmul.Info(m, min(k, 64), n, kind, b_layout, quantization, layout)
            with matmul.Matmul(library, info) as made:
                made.call("rknn_matmul_set_io_mem", fresh, c.byref(made.io.A))
                made.call("rknn_matmul_run")
        except RknnError as error:
            assert error.code in CODES

    @patient
    @given(SIGNED, SIGNED, NUMBERS)
    def rest(mask: int, cores: int, count: int) -> None:
        allowed(library.rknn_set_core_mask, context.handle, mask)
        allowed(library.rknn_set_batch_core_num, context.handle, cores)
        allowed(library.rknn_mem_sync, context.handle, fresh, mask)
        shapes = (TensorAttr * 1)(TensorAttr.from_buffer_copy(attrs[0]))
        shapes[0].index, shapes[0].n_dims = count, min(count, 16)
        allowed(library.rknn_set_input_shapes, context.handle, min(count, 1), shapes)
        made = c.c_uint64()
        path = c.c_char_p(bundle.encode())
        if allowed(library.rknn_init, c.byref(made), path, 0, count, None) == 0:
            library.rknn_destroy(made.value)

    for check in (query, inputs, outputs, binding, memory, multiplication, rest):
        check()


if __name__ == "__main__":
    main(sys.argv[1])
