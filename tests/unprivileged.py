"""What root may not do either: a call with the rights that the modes of files give, whoever runs the tests."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Result = TypeVar("Result")

_VERSION_3 = 0x20080522  # linux/capability.h: two words of capabilities
_DAC_OVERRIDE, _DAC_READ_SEARCH = 1, 2


class _Header(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("thread", ctypes.c_int))


class _Word(ctypes.Structure):
    _fields_ = (("effective", ctypes.c_uint32), ("permitted", ctypes.c_uint32), ("inheritable", ctypes.c_uint32))


def unprivileged(call: Callable[[], Result]) -> Result:
    """The result of `call`, or its exception, from a thread that file modes bind.

    Linux keeps capabilities by thread, and this one ends with the call, so that nothing is to be given back.
    """
    with ThreadPoolExecutor(1) as threads:
        return threads.submit(lambda: (_bound_by_modes(), call())[1]).result()


def _bound_by_modes() -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    header, words = _Header(_VERSION_3, 0), (_Word * 2)()  # 0: the calling thread
    if libc.capget(ctypes.byref(header), words):
        raise OSError(ctypes.get_errno(), "capget")
    kept = ~(1 << _DAC_OVERRIDE | 1 << _DAC_READ_SEARCH)
    words[0].effective &= kept
    words[0].permitted &= kept  # what access() goes by for root
    if libc.capset(ctypes.byref(header), words):
        raise OSError(ctypes.get_errno(), "capset")
