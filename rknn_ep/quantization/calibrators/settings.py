"""Numbers that users may set for a calibrator through the options of the plugin `core`."""

from __future__ import annotations

from collections.abc import Mapping

from rknn_ep.errors import OptionError


def number(options: Mapping[str, str], key: str, default: float, low: float, high: float) -> float:
    """The option `key` as a number in low < x <= high.

    Raises:
        OptionError: it is not a number, or lies outside.
    """
    text = options.get(key)
    if text is None:
        return default
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not low < value <= high:
        raise OptionError(f"option '{key}' is a number above {low:g} and at most {high:g}, not '{text}'")
    return value
