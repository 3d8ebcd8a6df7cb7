"""Every test of this folder has the provider; `planner` takes the real planner's place."""

from collections.abc import Iterator

import pytest

from rknn_ep_onnxruntime import native, registration
from tests.onnxruntime.harness import HandPlanner


@pytest.fixture(autouse=True)
def registered() -> None:
    """Every test has the provider; registering is idempotent."""
    registration.register()


@pytest.fixture
def planner(registered) -> Iterator[HandPlanner]:
    """Takes the real planner's place for one test."""
    made = HandPlanner()
    callback = native.PlanFunction(made.answer)
    native.library().rknn_ep_set_planner(callback)
    yield made
    registration.register()
