"""What `compile` leaves behind: an EPContext model, or .rknn files with their companions. Format: docs/bundle.md."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from rknn_ep.artifact.atomic import write_atomically
from rknn_ep.artifact.bundle import NATIVE_TEXT, RKNN_SUFFIX, Bundle, rewrite_bundle
from rknn_ep.artifact.cache import BUNDLE_SUFFIX
from rknn_ep.artifact.native_text import NativeDescription
from rknn_ep.errors import ArtifactError, NotInstalledError, OptionError, nearest

if TYPE_CHECKING:
    import onnx_ir as ir

FORMATS = ("epcontext", "rknn")


class Partition(Protocol):
    """What is needed of a built partition."""

    @property
    def name(self) -> str:
        """rknn_0."""

    @property
    def origins(self) -> tuple[int, ...]:
        """Indices of the model's nodes that it replaces."""

    @property
    def inputs(self) -> tuple[str, ...]:
        """Value names."""

    @property
    def outputs(self) -> tuple[str, ...]:
        """Value names."""

    @property
    def bundle(self) -> Path:
        """Its file."""

    @property
    def native_text(self) -> str:
        """The lines of native.txt."""


@dataclass(frozen=True)
class _Stripped:
    name: str
    origins: tuple[int, ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    bundle: Path
    native_text: str


def check(format: str, output: Path, strip_simulation: bool) -> None:
    """Refuse what cannot be written, before any work is done.

    Raises:
        OptionError: an unknown format, or a combination that makes no sense.
        ArtifactError: there is no folder for the output.
    """
    if not output.absolute().parent.is_dir():
        raise ArtifactError(f"{output} cannot be written: there is no folder {output.parent}")
    if format not in FORMATS:
        raise OptionError(f"format does not take '{format}': {nearest(format, FORMATS)}")
    if format == "rknn" and output.suffix != RKNN_SUFFIX:
        raise OptionError(f"format rknn writes .rknn files, and the output is {output.name}", remedy=f"Use {output.stem}.rknn.")
    if format == "rknn" and strip_simulation:
        raise OptionError("format rknn writes the simulation beside the .rknn, and strip_simulation leaves it out")


def targets_of(bundle: Bundle) -> tuple[str, ...]:
    """The SoCs for which a bundle has a .rknn."""
    return tuple(name.removesuffix(RKNN_SUFFIX) for name in bundle.names if name.endswith(RKNN_SUFFIX))


def write_model(
    model: ir.Model,
    partitions: Sequence[Partition],
    output: Path,
    target: str,
    *,
    embed_mode: int,
    strip_simulation: bool,
) -> None:
    """Write the EPContext model.

    Raises:
        ArtifactError: as `write_epcontext_model`, or without its simulation a bundle would hold nothing.
    """
    from rknn_ep.artifact.epcontext import write_epcontext_model

    if not strip_simulation:
        write_epcontext_model(model, partitions, output, target=target, embed_mode=embed_mode)
        return
    with tempfile.TemporaryDirectory(prefix="rknn-ep-") as folder:
        stripped = []
        for part in partitions:
            bundle = Bundle.open(part.bundle)
            if not targets_of(bundle):
                raise ArtifactError(
                    f"without its simulation the bundle of {part.name} would be empty: it has no .rknn",
                    remedy="Install the vendor's compiler: rknn-ep toolkit install.",
                )
            path = Path(folder) / f"{part.name}{BUNDLE_SUFFIX}"
            rewrite_bundle(bundle, path, strip_simulation=True)
            stripped.append(_Stripped(part.name, part.origins, part.inputs, part.outputs, path, part.native_text))
        write_epcontext_model(model, stripped, output, target=target, embed_mode=embed_mode)


def require_compiler(missing: Mapping[str, str], available: bool) -> None:
    """Refuse before any work what only a compiler for boards can give.

    Args:
        missing: compilers that are not available, and why.
        available: whether there is one.

    Raises:
        NotInstalledError: there is none.
    """
    if not available:
        why = "".join(f": '{name}', {reason}" for name, reason in missing.items())
        raise NotInstalledError(f"there is no compiler here that writes .rknn{why}", remedy="rknn-ep plugins lists compilers.")


def write_rknn(partitions: Sequence[Partition], output: Path) -> tuple[Path, ...]:
    """Write each partition's .rknn files, and beside each its companion, the bundle from which a PC computes the same.

    One partition for one SoC is called as `output` says; more add `_<partition>` and `_<target>`. A companion has its
    .rknn's name with the ending of bundles.

    Returns:
        The .rknn files.

    Raises:
        ArtifactError: there is none, or a file cannot be written.
    """
    bundles = {part.name: Bundle.open(part.bundle) for part in partitions}
    if not any(targets_of(bundle) for bundle in bundles.values()):
        raise ArtifactError(
            "nothing was compiled to .rknn",
            remedy="Every partition was refused, or there was none: the warnings say why, and rknn-ep partition.",
        )
    written = []
    for name, bundle in bundles.items():
        targets = targets_of(bundle)
        for target in targets:
            stem = output.stem + (f"_{name}" if len(bundles) > 1 else "") + (f"_{target}" if len(targets) > 1 else "")
            path = output.with_name(stem + RKNN_SUFFIX)
            try:
                write_atomically(path, bundle.read(f"{target}{RKNN_SUFFIX}"))
            except OSError as error:
                raise ArtifactError(f"{path} cannot be written: {error.strerror}") from error
            own = NativeDescription.from_text(bundle.read(NATIVE_TEXT).decode(), bundle.origin).for_target(target)
            companion = path.with_suffix(BUNDLE_SUFFIX)
            rewrite_bundle(bundle, companion, add={NATIVE_TEXT: own.to_text().encode()}, facts={"target": target})
            written.append(path)
    return tuple(written)
