"""What the plugin offers: one hook implementation for each kind of record. Keep this module light, it is always imported."""

from __future__ import annotations

from collections.abc import Iterable

import rknn_ep
from rknn_ep.records import Calibrator, Capability
from rknn_ep_batch_percentile.rule import judge_width


@rknn_ep.hookimpl
def rknn_ep_calibrators() -> Iterable[Calibrator]:
    from rknn_ep_batch_percentile.calibrator import create

    yield Calibrator("batch_percentile", create, description="mean over the batches of each batch's percentile")


@rknn_ep.hookimpl
def rknn_ep_capabilities() -> Iterable[Capability]:
    yield Capability(
        "batch_percentile.width",
        judge_width,
        op_types=("Resize",),
        priority=10,  # asked before the shipped tables, which have 0
        description="images wider than 4,096 pixels are not resized on the NPU",
    )
