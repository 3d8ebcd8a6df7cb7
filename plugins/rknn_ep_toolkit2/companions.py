"""The companion of a .rknn that our compiler wrote: the bundle computing the same on a PC, named by the file's custom string."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path

from rknn_ep.artifact.bundle import NATIVE_TEXT, RKNN_SUFFIX, Bundle
from rknn_ep.artifact.cache import BUNDLE_SUFFIX
from rknn_ep.artifact.native_text import NativeDescription
from rknn_ep.errors import ArtifactError
from rknn_ep.plugins import plugins
from rknn_ep_toolkit2.compiler import COMPANION, custom_string

_MARK = re.compile(rb"rknn_ep:1 partition=[A-Za-z0-9_.-]+ bundle=[0-9a-f]{64}")
"""As `compiler.custom_string` writes it; read as text: the files of rv1106 describe themselves in a format of their own."""
_SHOWN = 12
"""Digits of a digest that tell two bundles apart in a message."""


@dataclass(frozen=True)
class Companion:
    """A bundle that fits a .rknn."""

    path: Path
    bundle: Bundle

    def description(self, content: bytes, target: str) -> NativeDescription:
        """What native code must know of the .rknn `content`: what the bundle says, for the file's SoC.

        Args:
            content: the .rknn file.
            target: the SoC that the file names; empty where it says so in no format that we read: then the bundle must hold it.

        Raises:
            ArtifactError: the bundle does not say which SoC the file is for.
        """
        own = NativeDescription.from_text(self.bundle.read(NATIVE_TEXT).decode(), f"{self.path}: {NATIVE_TEXT}")
        names = [name for name in self.bundle.names if name.endswith(RKNN_SUFFIX)]
        target = target or next((name.removesuffix(RKNN_SUFFIX) for name in names if self.bundle.read(name) == content), "")
        if not target:
            raise ArtifactError(
                f"{self.path} computes what the .rknn does, and does not hold it: nothing says for which SoC it is"
            )
        soc = plugins().target(target)
        return replace(own, target=soc.name, cores=soc.cores, core_masks=soc.core_masks, copying_api=soc.copying_api, also=())


def find_companion(rknn: Path, content: bytes, given: Path | None = None) -> tuple[Companion | None, str]:
    """The companion of a .rknn, or None and why there is none.

    Args:
        rknn: the file.
        content: its bytes.
        given: the bundle that it must be; by default the one of the file's name beside it, else any beside it that fits.

    Raises:
        ArtifactError: `given` does not fit, or cannot be read.
    """
    wanted = mark_of(content)
    if given is not None:
        found, why = _fitting(given, wanted)
        if found is None:
            raise ArtifactError(
                f"{given} is not the companion of {rknn}: {why}",
                remedy="rknn-ep compile --format rknn writes both; keep the pair together.",
            )
        return found, ""
    named = rknn.with_suffix(BUNDLE_SUFFIX)
    if not wanted:
        unused = f"; {named.name} beside it is not used" if named.exists() else ""
        return None, f"{rknn.name} was not compiled by rknn-ep, its custom string names no companion{unused}"
    found, why = _fitting(named, wanted) if named.exists() else (None, "")
    others = (path for path in sorted(rknn.absolute().parent.glob(f"*{BUNDLE_SUFFIX}")) if path.name != named.name)
    found = found or next((one for path in others if (one := _fitting(path, wanted)[0])), None)
    if found is not None:
        return found, ""
    missing = f"{named.name} beside it is not its companion: {why}" if why else f"its companion {named.name} is not beside it"
    return None, f"{missing}. rknn-ep compile --format rknn writes both; --companion names one that lies elsewhere"


def mark_of(content: bytes) -> str:
    """What a .rknn says about its companion, as it was written; empty where it says nothing."""
    found = _MARK.search(content)
    return found.group().decode() if found else ""


def _fitting(path: Path, wanted: str) -> tuple[Companion | None, str]:
    """The bundle if it is the one that `wanted` names, else why not."""
    try:
        bundle = Bundle.open(path)
        if COMPANION[0] not in bundle.names:
            return None, "it holds no simulation (--strip-simulation)"
        own = NativeDescription.from_text(bundle.read(NATIVE_TEXT).decode(), f"{path}: {NATIVE_TEXT}")
    except ArtifactError as error:
        return None, error.message
    mark = custom_string(own.partition, {name: bundle.read(name) for name in COMPANION if name in bundle.names})
    if mark == wanted:
        return Companion(path, bundle), ""
    return None, f"it is {_short(mark)}, and the .rknn names {_short(wanted) if wanted else 'none in its custom string'}"


def _short(mark: str) -> str:
    partition, digest = (word.partition("=")[2] for word in mark.split()[1:])
    return f"{partition} {digest[:_SHOWN]}"
