"""Operators that compute on float16 among integers give, in the vendor's simulator, the codes of ours: all of them."""

from __future__ import annotations

import numpy as np
import pytest

from rknn_ep_toolkit2.device import VendorSimulator, join
from rknn_ep_toolkit2.environment import Toolkit
from rknn_ep_toolkit2.settings import Settings
from rknn_ep_toolkit2.vendor_copy import vendor_copy
from rknn_ep_toolkit2.verification import session
from tests.islands import ISLANDS, Island
from tests.simulator import bundles

pytestmark = pytest.mark.toolkit2


@pytest.mark.parametrize("island", ISLANDS, ids=lambda island: island.name)
def test_every_code_is_the_vendors(toolkit: Toolkit, island: Island) -> None:
    proto, data = island.model(), island.data()
    entries = bundles.compiled(proto, "int8", groups=island.groups).entries
    exact = entries.get("simulation_exact.onnx", entries["simulation.onnx"])
    ours = session(join(exact, entries["simulation.data"]), optimized=False)
    (expected,) = ours.run(None, dict(zip([one.name for one in ours.get_inputs()], data, strict=True)))
    vendor = VendorSimulator(vendor_copy(proto.SerializeToString(), "island"), Settings.of("rk3588", "int8", {}))
    try:
        (found,) = vendor.run(data)
    finally:
        vendor.close()
    different = np.rint((found - expected) / island.step)
    # float32 sums in another order may round to the next float16, and that to the next code.
    assert np.count_nonzero(different) <= different.size / 10_000, np.abs(different).max()
    assert len(np.unique(expected)) > 20
