"""What every test shares: a cache folder of its own, so that no test sees or fills the user's."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from rknn_ep.artifact.cache import DIRECTORY_VARIABLE
from tests import models, required  # noqa: F401  (models is imported before the cache folder changes: real ones stay in the user's)

settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")  # how fast an example runs says something about the machine, not about the code


def pytest_configure() -> None:
    """A misspelt RKNN_EP_REQUIRE would demand nothing."""
    required.demanded()


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(DIRECTORY_VARIABLE, str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session", autouse=True)
def _ctrl_c_works() -> None:
    """A shell's background job ignores Ctrl-C, and so do its children; the tests of interruption need it as in a terminal."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
