"""Skips that a variable turns into failures: RKNN_EP_REQUIRE=toolkit2,tvm says what must be there, as in CI."""

from __future__ import annotations

import os
from typing import NoReturn

import pytest

VARIABLE = "RKNN_EP_REQUIRE"


def missing(what: str, why: str) -> NoReturn:
    """`what` is not here: skip the test, or fail it where RKNN_EP_REQUIRE names `what`."""
    if what in (name.strip() for name in os.environ.get(VARIABLE, "").split(",")):
        pytest.fail(f"{VARIABLE} asks for {what}: {why}")
    pytest.skip(f"{what} is not here: {why}", allow_module_level=True)
