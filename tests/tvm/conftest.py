"""Every test here needs TVM."""

from __future__ import annotations

from pathlib import Path

import pytest

from rknn_ep_tvm.version import unavailable
from tests.required import missing

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests of this folder."""
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.tvm)


@pytest.fixture(scope="session", autouse=True)
def _tvm() -> None:
    if why := unavailable():
        missing("tvm", why)
