"""Sessions keep their state between calls, and end with whoever opened them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from rknn_ep_toolkit2.environment import Toolkit
from rknn_ep_toolkit2.errors import ToolkitError
from rknn_ep_toolkit2.worker import Workers
from tests.toolkit2.conftest import SESSIONS, alive, wait_until

pytestmark = pytest.mark.toolkit2
COUNTER = SESSIONS / "counter.py"


def test_a_session_keeps_its_state(pool: Workers) -> None:
    with pool.open(COUNTER, {"start": 40}, timeout=60) as session:
        first = session.call("add", number=1, timeout=60)
        second = session.call("add", number=1, timeout=60)
    assert (first["value"], second["value"]) == (41, 42)
    assert first["pid"] == second["pid"] == session.pid
    assert wait_until(lambda: not alive(session.pid))


def test_tensors_go_through_its_folder(pool: Workers) -> None:
    tensor = np.arange(1 << 20, dtype=np.float32)
    with pool.open(COUNTER, {"start": 0}, timeout=60) as session:
        np.save(session.folder / "x.npy", tensor)
        name = session.call("double_file", name="x.npy", timeout=60)["name"]
        assert np.array_equal(np.load(session.folder / name), tensor * 2)
    assert not session.folder.exists()


def test_a_call_that_fails_leaves_the_session_usable(pool: Workers) -> None:
    with pool.open(COUNTER, {"start": 1}, timeout=60) as session:
        with pytest.raises(ToolkitError, match="this call fails") as caught:
            session.call("fail", timeout=60)
        assert caught.value.kind == "exception"
        assert session.call("add", number=1, timeout=60)["value"] == 2


def test_a_session_that_dies_says_so_and_stays_closed(pool: Workers) -> None:
    with pool.open(COUNTER, {"start": 1}, timeout=60) as session:
        with pytest.raises(ToolkitError, match="SIGABRT"):
            session.call("die", timeout=60)
        with pytest.raises(ToolkitError, match="closed"):
            session.call("add", number=1, timeout=60)


def test_a_session_that_cannot_be_made_is_an_error(toolkit: Toolkit, no_litter: Path) -> None:
    pool = Workers()
    with pytest.raises(ToolkitError, match="cannot be made"):
        pool.open(COUNTER, {"broken": True}, timeout=60)
    pool.close()


def test_sessions_end_with_their_workers(toolkit: Toolkit, no_litter: Path) -> None:
    pool = Workers()
    session = pool.open(COUNTER, {"start": 1}, timeout=60)
    pool.close()
    assert wait_until(lambda: not alive(session.pid))
    with pytest.raises(ToolkitError):
        session.call("add", number=1, timeout=60)
