"""Configurations that are drawn: what the capability tables are judged on, and never made from.

    for configuration in draw(200, seed=7): ...

First a family is drawn, then an operator of it, then its shapes and attributes, among them some beyond every limit. The
same seed gives the same configurations; what is in the catalogue, or breaks an operator's own rules, is drawn anew.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from rknn_ep_toolkit2.probing.catalogue import catalogue
from rknn_ep_toolkit2.probing.configuration import Configuration
from rknn_ep_toolkit2.probing.random_models import elementwise, movement, normalization, patterns, products, reductions, windows
from rknn_ep_toolkit2.probing.random_models.dice import Dice

FAMILIES: Mapping[str, Mapping[str, Callable[[Dice], None]]] = {
    "activations": elementwise.ACTIVATIONS,
    "arithmetic": elementwise.ARITHMETIC,
    "windows": windows.DRAWS,
    "products": products.DRAWS,
    "reductions": reductions.DRAWS,
    "normalization": normalization.DRAWS,
    "movement": movement.DRAWS,
    "patterns": patterns.DRAWS,
}
"""Family -> operator -> what draws it."""
_ATTEMPTS = 100


def draw(count: int, seed: int) -> dict[str, Configuration]:
    """`count` configurations by name; each is of other shapes or attributes than any in the catalogue."""
    known = [one.to_dict() for one in catalogue().values()]
    random = np.random.default_rng(seed)
    found: dict[str, Configuration] = {}
    for number in range(count):
        for _ in range(_ATTEMPTS):
            family = FAMILIES[str(random.choice(sorted(FAMILIES)))]
            operator = str(random.choice(sorted(family)))
            dice = Dice(random)
            family[operator](dice)
            configuration = dice.configuration(f"{seed}_{number}_{operator}")
            if configuration.to_dict() not in known and _valid(configuration):
                found[configuration.name] = configuration
                break
    return found


def _valid(configuration: Configuration) -> bool:
    """Whether ONNX itself takes it, and there is something to compute."""
    try:
        shapes = [[dim.dim_value for dim in value.type.tensor_type.shape.dim] for value in configuration.model().graph.output]
    except Exception:  # noqa: BLE001  (what onnx raises has no common base)
        return False
    return all(dim > 0 for shape in shapes for dim in shape)
