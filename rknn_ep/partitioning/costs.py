"""What a partition saves and costs: MACs against border bytes.

    saved  = MACs / cpu_macs_per_second - MACs / npu_macs_per_second
    border = bytes of its inputs and outputs / border_bytes_per_second
    call   = CALL_SECONDS

A partition is worth having when saved > border + call. float16 and int16 run at half the int8 rate. The figures of
each SoC and what they stand on: `tables/targets.json`, docs/capability.md.
"""

from __future__ import annotations

from dataclasses import dataclass

from rknn_ep.partitioning.targets import throughput
from rknn_ep.records import Target

CALL_SECONDS = 100e-6
"""One rknn_run with the synchronisation around it; an estimate: the shortest published inference (a small transformer
on RK3588 at 868 frames/s, RKNN model zoo 2.3.2) takes 1.15 ms in all."""

ELEMENT_BYTES = {
    "BOOL": 1,
    "INT8": 1,
    "UINT8": 1,
    "INT16": 2,
    "UINT16": 2,
    "FLOAT16": 2,
    "INT32": 4,
    "FLOAT": 4,
    "INT64": 8,
    "DOUBLE": 8,
}


@dataclass(frozen=True)
class Rates:
    """The cost model for one target and precision."""

    npu_macs: float
    """Multiply-accumulates a second on the NPU."""
    cpu_macs: float
    border_bytes: float
    """Bytes a second over a partition's border."""

    def saved(self, macs: int) -> float:
        """Seconds that the NPU saves over the CPU for `macs`."""
        return macs / self.cpu_macs - macs / self.npu_macs

    def border(self, size: int) -> float:
        """Seconds that `size` bytes cost at the border."""
        return size / self.border_bytes


def rates(target: Target, precision: str) -> Rates:
    """The figures of `target` at `precision`."""
    figures = throughput(target)
    slower = 1.0 if precision == "int8" else 0.5
    return Rates(figures.npu_int8_gmacs * 1e9 * slower, figures.cpu_gmacs * 1e9, figures.border_gbps * 1e9)
