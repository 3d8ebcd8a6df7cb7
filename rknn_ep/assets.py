"""Fetches single files (models, pictures) out of registry packages, without installing the packages.

    weights = fetch(Asset("rapidocr-onnxruntime==1.4.4", "rapidocr_onnxruntime/models/ch_PP-OCRv4_det_infer.onnx", sha256))

The wheel comes through the user's own pip, with the user's own index, proxy and certificates; only the files asked for
are kept, in the user's cache folder, each verified by its SHA-256. RKNN_EP_ASSETS names a folder of wheels to
take instead (no network).
"""

from __future__ import annotations

import logging
import os
import re
import subprocess
import sys
import tempfile
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rknn_ep.artifact.atomic import write_atomically
from rknn_ep.artifact.cache import default_directory
from rknn_ep.artifact.hashing import file_hash
from rknn_ep.errors import ArtifactError, NotInstalledError

log = logging.getLogger(__name__)

WHEELS_VARIABLE = "RKNN_EP_ASSETS"
_PIP_SECONDS = 900


@dataclass(frozen=True)
class Asset:
    """One file inside a wheel."""

    package: str
    """Name and exact version: `rapidocr-onnxruntime==1.4.4`."""
    member: str
    """Path inside the wheel."""
    sha256: str
    """Of the file, in hex."""
    licence: str = ""
    """SPDX name, where the package states one."""

    def path(self, directory: Path) -> Path:
        """Where the file lies below an assets folder."""
        return directory / self.package.replace("==", "-") / Path(self.member).name


def fetch(asset: Asset, directory: Path | None = None) -> Path:
    """The file of `asset`, fetched unless it is there already.

    Args:
        asset: what to fetch.
        directory: where to keep it; None: `assets` in the user's cache folder.

    Raises:
        ArtifactError: the package cannot be had (no network, say), or holds another file than expected.
    """
    return fetch_all([asset], directory)[0]


def fetch_all(assets: Sequence[Asset], directory: Path | None = None) -> list[Path]:
    """The files of several assets, in their order; each package is downloaded once. Errors as `fetch`."""
    folder = directory if directory is not None else default_directory() / "assets"
    paths = [asset.path(folder) for asset in assets]
    for package in dict.fromkeys(asset.package for asset in assets):
        wanted = [asset for asset in assets if asset.package == package and not _present(asset.path(folder), asset)]
        if wanted:
            _fetch_package(package, wanted, folder)
    return paths


def _fetch_package(package: str, assets: Sequence[Asset], folder: Path) -> None:
    from filelock import FileLock

    try:
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / f"{package.replace('==', '-')}.lock"), tempfile.TemporaryDirectory(dir=folder) as temporary:
            missing = [asset for asset in assets if not _present(asset.path(folder), asset)]
            if missing:
                wheel = _local_wheel(package) or _download(package, Path(temporary))
                for asset in missing:
                    _extract(wheel, asset, asset.path(folder))
    except OSError as error:
        raise ArtifactError(f"{error.filename or folder} cannot be written: {error.strerror}") from error


def _present(path: Path, asset: Asset) -> bool:
    try:
        return file_hash(path) == asset.sha256
    except OSError:
        return False


def _local_wheel(package: str) -> Path | None:
    """The package's wheel in the folder that RKNN_EP_ASSETS names."""
    folder = os.environ.get(WHEELS_VARIABLE)
    if not folder:
        return None
    for path in sorted(Path(folder).glob("*.whl")):
        name, _, rest = path.name.partition("-")
        if _normalised(f"{name}=={rest.partition('-')[0]}") == _normalised(package):
            return path
    return None


def _normalised(package: str) -> str:
    name, _, version = package.partition("==")
    return f"{re.sub(r'[-_.]+', '-', name).lower()}=={version}"


def _download(package: str, folder: Path) -> Path:
    log.info("downloading %s", package)
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-input"]
    command += ["--no-deps", "--ignore-requires-python", "--only-binary=:all:", "--dest", str(folder), package]
    remedy = f"Download the wheel of {package} elsewhere and set {WHEELS_VARIABLE} to its folder."
    try:
        result = subprocess.run(
            command, capture_output=True, text=True, timeout=_PIP_SECONDS, check=False, stdin=subprocess.DEVNULL
        )
    except subprocess.TimeoutExpired as error:
        raise ArtifactError(f"pip did not download {package} within {_PIP_SECONDS} s", remedy=remedy) from error
    wheels = sorted(folder.glob("*.whl"))
    if result.returncode == 0 and wheels:
        return wheels[0]
    if "No module named pip" in result.stderr:
        raise NotInstalledError(f"pip is needed to fetch {package}", remedy=f"Run: {sys.executable} -m ensurepip. Or: {remedy}")
    last = [line for line in result.stderr.splitlines() if line.strip()][-3:]
    raise ArtifactError(f"pip could not download {package}: {' '.join(last) or 'it gave no wheel'}", remedy=remedy)


def _extract(wheel: Path, asset: Asset, path: Path) -> None:
    try:
        with zipfile.ZipFile(wheel) as archive:
            content = archive.read(asset.member)
    except (zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise ArtifactError(f"{wheel} is not a whole wheel: {error}") from error
    except KeyError as error:
        raise ArtifactError(f"{wheel} has no '{asset.member}'") from error
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, content)
    if not _present(path, asset):
        path.unlink()
        raise ArtifactError(
            f"'{asset.member}' of {asset.package} is not the file that is expected (SHA-256 {asset.sha256[:16]}...)",
            remedy="The package index serves another build of this version; check its configuration.",
        )
