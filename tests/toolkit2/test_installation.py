"""A real installation, from the user's own package index: interrupted in the middle, taken up, used."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from rknn_ep_toolkit2.environment import DATA_VARIABLE, Toolkit
from rknn_ep_toolkit2.worker import Workers
from tests.toolkit2 import models
from tests.toolkit2.conftest import JOBS, alive, children, wait_until

pytestmark = [pytest.mark.toolkit2, pytest.mark.slow]

MAIN = "from rknn_ep.cli.main import main; main()"


def rknn_ep(data: Path, *arguments: str) -> subprocess.Popen[str]:
    environment = {**os.environ, DATA_VARIABLE: str(data)}
    environment.pop("RKNN_EP_TOOLKIT", None)
    return subprocess.Popen(
        [sys.executable, "-c", f"import sys; sys.argv[0] = 'rknn-ep'; {MAIN}", *arguments],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_an_interrupted_installation_is_completed_by_the_same_command(tmp_path: Path, no_litter: Path) -> None:
    data = tmp_path / "data"
    downloads = data / "toolkit2/downloads"
    first = rknn_ep(data, "toolkit", "install", "--accept-license")
    arrived = lambda: list(downloads.glob("*/rknn_toolkit2-*.whl")) and list(downloads.glob("*/.arriving"))  # noqa: E731
    assert wait_until(lambda: first.poll() is not None or arrived(), 600)
    assert first.poll() is None, first.communicate()
    everybody = children(first.pid)
    first.send_signal(signal.SIGKILL)
    first.wait()
    assert wait_until(lambda: not any(map(alive, everybody))), "pip works on"
    status = rknn_ep(data, "toolkit", "status", "--json")
    assert json.loads(status.communicate()[0])["toolkits"] == []  # half an installation is none
    [kept] = downloads.glob("*/rknn_toolkit2-*.whl")
    written = kept.stat().st_mtime_ns

    second = rknn_ep(data, "toolkit", "install", "--accept-license", "--json")
    assert wait_until(lambda: second.poll() is not None or list(downloads.glob("*/torch-*.whl")), 1500)
    assert not kept.exists() or kept.stat().st_mtime_ns == written, "what was there is fetched again"
    output, errors = second.communicate(timeout=3000)
    assert second.returncode == 0, errors
    installed = json.loads(output)
    assert not downloads.exists() or not list(downloads.iterdir()), "downloads are kept after they were installed"

    pool = Workers()
    toolkit = Toolkit(Path(installed["python"]), installed["version"])
    result = pool.run(
        JOBS / "build.py", {}, files={"model.onnx": models.relu()}, collect=["model.rknn"], timeout=300, toolkit=toolkit
    )
    assert result.files["model.rknn"][:4] == b"RKNN"
    pool.close()

    started = time.monotonic()
    again = rknn_ep(data, "toolkit", "install", "--accept-license")
    assert again.wait(120) == 0
    assert time.monotonic() - started < 60, "a complete installation is made again"
    assert rknn_ep(data, "toolkit", "remove", installed["version"]).wait(120) == 0
    assert not toolkit.python.exists()
