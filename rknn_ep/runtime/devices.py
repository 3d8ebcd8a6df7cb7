"""Which device runs: the runtime that the option `device` names."""

from __future__ import annotations

from rknn_ep.errors import OptionError, nearest
from rknn_ep.plugins import PluginManager, plugins
from rknn_ep.records import Runtime


def choose_device(device: str, manager: PluginManager | None = None) -> Runtime:
    """The runtime called `device`, or for `auto` the one that this machine is, else the best that is available.

    Raises:
        OptionError: there is none of that name, or it is not available here; the message says why. On a machine that is a
            device itself, `auto` never means another.
    """
    runtimes = (manager or plugins()).runtimes()
    if device not in ("auto", *runtimes):
        raise OptionError(f"no device is called '{device}': {nearest(device, ['auto', *runtimes])}")
    home = next((record for record in runtimes.values() if record.at_home()), None)
    chosen = home if device == "auto" else runtimes[device]
    if chosen is not None:
        if why := chosen.available():
            raise OptionError(
                f"device '{chosen.name}' is not available: {why}",
                remedy="rknn-ep doctor says more; device=simulator computes on the CPU." if chosen is home else "",
            )
        return chosen
    reasons = []
    for record in sorted((one for one in runtimes.values() if one.automatic), key=lambda one: -one.automatic):
        if not (why := record.available()):
            return record
        reasons.append(f"{record.name}: {why}")
    raise OptionError("no device is available: " + ("; ".join(reasons) or "no plugin provides one"))
