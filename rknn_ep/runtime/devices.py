"""Which device runs: the runtime that the option `device` names."""

from __future__ import annotations

from rknn_ep.errors import OptionError, nearest
from rknn_ep.plugins import PluginManager, plugins
from rknn_ep.records import Runtime


def choose_device(device: str, manager: PluginManager | None = None) -> Runtime:
    """The runtime called `device`, or the best that is available for `auto`.

    Raises:
        OptionError: there is none of that name, or it is not available here; the message says why.
    """
    runtimes = (manager or plugins()).runtimes()
    if device != "auto":
        if device not in runtimes:
            raise OptionError(f"no device is called '{device}': {nearest(device, ['auto', *runtimes])}")
        if why := runtimes[device].available():
            raise OptionError(f"device '{device}' is not available: {why}")
        return runtimes[device]
    reasons = []
    for record in sorted((one for one in runtimes.values() if one.automatic), key=lambda one: -one.automatic):
        if not (why := record.available()):
            return record
        reasons.append(f"{record.name}: {why}")
    raise OptionError("no device is available: " + ("; ".join(reasons) or "no plugin provides one"))
