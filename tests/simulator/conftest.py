"""The library under test, loaded once."""

from __future__ import annotations

import ctypes

import pytest

from tests.simulator import driver


@pytest.fixture(scope="session")
def library() -> ctypes.CDLL:
    return driver.load()
