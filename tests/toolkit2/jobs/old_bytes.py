"""Reads memory that it never wrote, and dies of what happens to be in it, as the toolkit does now and then."""

import ctypes
import os

_SIZE = 5000
"""Above what the allocator keeps for each thread."""
_SKIP = 32
"""The allocator's own words at the beginning of a freed block."""


def run(arguments, folder):
    library = ctypes.CDLL(None)
    library.malloc.restype = ctypes.c_void_p
    library.free.argtypes = [ctypes.c_void_p]
    block = library.malloc(_SIZE)
    ctypes.memset(block, 0x41, _SIZE)
    library.free(block)
    again = library.malloc(_SIZE)
    old = ctypes.string_at(again, _SIZE)[_SKIP:]
    if any(old):
        os.abort()
    return {"same block": again == block}
