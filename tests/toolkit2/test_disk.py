"""A disk that is really full: a file system of one megabyte in a mount namespace of the test's own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from rknn_ep_toolkit2.environment import Toolkit
from tests.required import missing
from tests.toolkit2.conftest import JOBS
from tests.toolkit2.models import FLOAT, model, node

SMALL = """
import os, sys
from pathlib import Path
from rknn_ep_toolkit2.errors import ToolkitError
from rknn_ep_toolkit2.worker import folders, workers
folders._MEMORY = Path(os.environ["TMPDIR"])
try:
    workers().run(Path(sys.argv[1]), {}, files={"model.onnx": Path(sys.argv[2])}, timeout=300)
    print("built")
except ToolkitError as error:
    print(error.kind, error.message.partition(chr(10))[0], error.remedy, sep="|")
"""


def in_a_small_disk(folder: Path, megabytes: float, *arguments: str, environment: dict[str, str]) -> str:
    """Run Python with a tmpfs of that size mounted at `folder`; skip where namespaces are not allowed."""
    unshare = shutil.which("unshare")
    command = [unshare or "unshare", "--mount", "--map-root-user", "sh", "-c"]
    if (
        unshare is None
        or subprocess.run([*command, f"mount -t tmpfs none {folder}"], check=False, capture_output=True).returncode
    ):
        missing("mount", "no mount namespace can be made (unshare --mount)")
    mount = f'mount -t tmpfs -o size={int(megabytes * 1024)}k none {folder} && exec "$@"'
    done = subprocess.run(
        [*command, mount, "sh", sys.executable, *arguments],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    return done.stdout + done.stderr


@pytest.mark.toolkit2
@pytest.mark.parametrize("megabytes", [0.5, 3.0], ids=["no room for the model", "no room for what the compiler writes"])
def test_a_build_on_a_full_disk_says_so(megabytes: float, toolkit: Toolkit, tmp_path: Path) -> None:
    import numpy as np

    weights = {"w": np.random.default_rng(0).standard_normal((256, 256, 3, 3)).astype(np.float32)}  # 2.3 MB
    shape = (FLOAT, [1, 256, 8, 8])
    conv = node("Conv", ["x", "w"], ["y"], name="conv", pads=[1] * 4)
    (tmp_path / "model.onnx").write_bytes(model([conv], {"x": shape}, {"y": shape}, weights))
    (tmp_path / "small").mkdir()
    output = in_a_small_disk(
        tmp_path / "small",
        megabytes,
        "-c",
        SMALL,
        str(JOBS / "build.py"),
        str(tmp_path / "model.onnx"),
        environment={"TMPDIR": str(tmp_path / "small"), "RKNN_EP_TOOLKIT": str(toolkit.python)},
    )
    kind, message, remedy = output.strip().split("|")
    assert kind == "disk", output
    assert "no space left" in message.lower(), output
    assert "TMPDIR" in remedy


def test_an_installation_on_a_full_disk_says_so_before_it_begins(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    output = in_a_small_disk(
        tmp_path / "data",
        8,
        "-c",
        "import sys; sys.argv = ['rknn-ep', 'toolkit', 'install', '--accept-license']; from rknn_ep.cli.main import main; main()",
        environment={"RKNN_EP_DATA_DIR": str(tmp_path / "data")},
    )
    assert "needs 3 GB while it is installed" in output
    assert "RKNN_EP_DATA_DIR" in output
