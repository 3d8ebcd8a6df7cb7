"""The built-in calibration methods, one file each."""

from __future__ import annotations

from rknn_ep.records import Calibrator


def all_calibrators() -> tuple[Calibrator, ...]:
    """Every built-in calibrator, in the order of their names."""
    from rknn_ep.quantization.calibrators import kl_divergence, minmax, mmse, normal, percentile

    return tuple(module.CALIBRATOR for module in (kl_divergence, minmax, mmse, normal, percentile))
