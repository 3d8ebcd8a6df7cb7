"""A view with both its graphs wired: the one that is planned, and the one whose nodes a runtime takes back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rknn_ep.graph.view import constants_of
from rknn_ep.graph.wiring import Wiring

if TYPE_CHECKING:
    from rknn_ep.graph import View


@dataclass(frozen=True)
class Wires:
    """Both graphs of a view by index and name."""

    view: View
    within: Wiring
    """The view's graph; its nodes are `view.nodes` in order."""
    original: Wiring
    constants: frozenset[str]
    """Values that are constant in the view."""
    initializers: frozenset[str]
    """Values that are constant in the original, which a runtime does not hand over."""

    @classmethod
    def of(cls, view: View) -> Wires:
        """Look at the two graphs of a view."""
        original = view.original
        return cls(view, view.wiring, original.wiring, constants_of(view.model.graph), original.initializers)
