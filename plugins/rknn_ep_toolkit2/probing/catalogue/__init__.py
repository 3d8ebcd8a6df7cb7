"""The catalogue: configurations by family, one JSON file each; the name is the case of the capability tables.

Names: an operator, with what sets the configuration apart (`Conv_dw`, `Transpose_5d`); `p_` a pattern of several nodes; `f_`
a pair that may fuse; `l_` an operator that is handed over written as others, or that was tried so.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from functools import cache
from importlib.resources import files

from rknn_ep.errors import OptionError, nearest
from rknn_ep_toolkit2.probing.configuration import Configuration


@cache
def catalogue() -> dict[str, Configuration]:
    """All configurations by name."""
    found: dict[str, Configuration] = {}
    for entry in sorted(files(__name__).iterdir(), key=lambda entry: entry.name):
        if entry.name.endswith(".json"):
            family = json.loads(entry.read_text(encoding="utf-8"))
            found |= {name: Configuration.of(name, data) for name, data in family.items()}
    return found


def chosen(operators: Collection[str]) -> dict[str, Configuration]:
    """Those with any of these operators, or of these names; all where none is given.

    Raises:
        OptionError: one is neither an operator nor a name.
    """
    known = catalogue()
    if not operators:
        return known
    found: dict[str, Configuration] = {}
    for wanted in operators:
        some = {name: one for name, one in known.items() if wanted == name or wanted in one.operators}
        if not some:
            names = sorted({operator for one in known.values() for operator in one.operators} | known.keys())
            raise OptionError(f"the catalogue has no '{wanted}': {nearest(wanted, names)}")
        found |= some
    return found
