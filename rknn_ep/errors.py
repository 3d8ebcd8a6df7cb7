"""One family of errors: each says what happened, where, and what to do next."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


class RknnEpError(Exception):
    """Base of every error that rknn_ep raises on purpose.

    The message is complete in itself: what happened, to which node, file or option. `remedy` is the next step
    for the user and is shown on a line of its own.
    """

    def __init__(self, message: str, *, remedy: str = "") -> None:
        super().__init__(f"{message}\n  {remedy}" if remedy else message)
        self.message = message
        self.remedy = remedy


class OptionError(RknnEpError, ValueError):
    """An unknown option, or a value that an option does not take."""


class PluginError(RknnEpError):
    """A plugin broke the contract: a duplicate name, a hook that raised, a record of the wrong type."""


class ModelError(RknnEpError, ValueError):
    """A model that cannot be read, or that no target could take as it is."""


class ShapeError(RknnEpError, ValueError):
    """A dimension without a value, or a tensor whose shape is not the one that was compiled for."""


class CalibrationError(RknnEpError, ValueError):
    """Calibration data that is missing, mis-shaped or not finite."""


class QuantizationError(RknnEpError):
    """A partition that could not be quantised."""


class CompileError(RknnEpError):
    """A partition that could not be compiled for its target."""

    lasting: bool = True
    """Whether it would fail again: what does not last (a killed process, a full disk) is not remembered in the cache."""

    @property
    def refuses(self) -> bool:
        """Whether the model is to blame: then the rest of it can go on. Otherwise every partition would fail."""
        return True


class ArtifactError(RknnEpError):
    """A bundle, cache entry, EPContext model or .rknn file that is damaged or from elsewhere."""


class ExecutionError(RknnEpError):
    """The native library or a device refused to load or run something."""


class StrictError(RknnEpError):
    """strict=1 and something would have fallen back to the CPU."""


class NotInstalledError(RknnEpError, ImportError):
    """A part that this step needs is not installed; the remedy names the command that installs it."""


def nearest(name: str, valid: Iterable[str]) -> str:
    """Say which valid name is meant, or list them all: "did you mean 'rk3588'? Valid: rk3562, rk3566, ..."."""
    names = sorted(valid)
    return f"{did_you_mean(name, names)}Valid: {', '.join(names)}."


def did_you_mean(name: str, valid: Iterable[str]) -> str:
    """Say which valid name is meant, with a space behind; nothing where none is near. For names that are many."""
    names = {one.lower(): one for one in sorted(valid)}
    close = get_close_matches(name.lower(), names, n=1, cutoff=0.5)
    return f"did you mean '{names[close[0]]}'? " if close else ""
