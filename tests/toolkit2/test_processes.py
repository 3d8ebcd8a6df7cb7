"""What becomes of the toolkit's processes and folders when the host is killed, interrupted, forks or comes twice."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from rknn_ep_toolkit2.environment import Toolkit
from rknn_ep_toolkit2.worker import Workers, folders
from tests.toolkit2 import models
from tests.toolkit2.conftest import JOBS, alive, children, wait_until

pytestmark = pytest.mark.toolkit2

HOST = """
import sys, threading
from pathlib import Path
from rknn_ep_toolkit2.worker import folders, workers
folders._MEMORY = Path({memory!r})
"""


@contextmanager
def host(code: str, tmp_path: Path, toolkit: Toolkit) -> Iterator[subprocess.Popen[str]]:
    """A Python process with workers of its own, in folders of its own, in a session of its own."""
    for name in ("tmp", "shm"):
        (tmp_path / name).mkdir(exist_ok=True)
    script = textwrap.dedent(HOST).format(memory=str(tmp_path / "shm")) + textwrap.dedent(code)
    environment = {**os.environ, "TMPDIR": str(tmp_path / "tmp"), "RKNN_EP_TOOLKIT": str(toolkit.python)}
    process = subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def litter(tmp_path: Path) -> list[Path]:
    return [*(tmp_path / "tmp").iterdir(), *(tmp_path / "shm").iterdir()]


HANG = f"""
def hang():
    workers().run(Path({str(JOBS / "behave.py")!r}), {{"how": "hang with a child", "pid_file": sys.argv[-1]}}, timeout=600)
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_nothing_survives_the_host(number: signal.Signals, toolkit: Toolkit, tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    with host(HANG.replace("sys.argv[-1]", repr(str(pids))) + "\nhang()\n", tmp_path, toolkit) as process:
        assert wait_until(lambda: pids.exists() and len(pids.read_text().split()) == 2, 90)
        everybody = children(process.pid)
        assert len(everybody) == 3  # the server, the job and what the job started
        process.send_signal(number)
        process.wait(20)
    assert wait_until(lambda: not any(map(alive, everybody))), "orphans"
    assert wait_until(lambda: not litter(tmp_path)), litter(tmp_path)


def test_interruption_ends_the_job_and_the_host_works_on(toolkit: Toolkit, tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    code = f"""
    try:
        hang()
    except KeyboardInterrupt:
        print("interrupted", flush=True)
    result = workers().run(Path({str(JOBS / "behave.py")!r}), {{"how": "well"}}, timeout=60)
    print("works" if result.values["rknn"] else "broken")
    """
    with host(HANG.replace("sys.argv[-1]", repr(str(pids))) + textwrap.dedent(code), tmp_path, toolkit) as process:
        assert wait_until(lambda: pids.exists() and len(pids.read_text().split()) == 2, 90)
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate(timeout=60)
    assert output.split() == ["interrupted", "works"], errors
    assert wait_until(lambda: not any(alive(int(pid)) for pid in pids.read_text().split()))
    assert not litter(tmp_path)


def test_a_fork_of_the_host_has_workers_of_its_own_and_does_not_touch_its_parents(toolkit: Toolkit, tmp_path: Path) -> None:
    code = f"""
    import os
    job = Path({str(JOBS / "behave.py")!r})
    session = workers().open(Path({str(JOBS.parent / "sessions/counter.py")!r}), {{"start": 0}})
    first = workers().run(job, {{"how": "well"}}, timeout=60).values["parent"]
    read, write = os.pipe()
    if os.fork() == 0:
        os.write(write, str(workers().run(job, {{"how": "well"}}, timeout=60).values["parent"]).encode())
        sys.exit(0)   # with its exit handlers
    os.wait()
    other = int(os.read(read, 100))
    again = workers().run(job, {{"how": "well"}}, timeout=60).values["parent"]
    try:
        print(first == again, first != other, session.call("add", number=5)["value"])
    except Exception as error:
        print(first, again, other, session.pid, error, error.log)
    """
    with host(textwrap.dedent(code), tmp_path, toolkit) as process:
        output, errors = process.communicate(timeout=120)
    assert output.split() == ["True", "True", "5"], errors
    assert not litter(tmp_path)


def test_a_fork_while_a_job_runs_does_not_keep_it_alive(toolkit: Toolkit, tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    code = """
    import os, time
    threading.Thread(target=hang, daemon=True).start()
    while not Path(PIDS).exists():
        time.sleep(0.05)
    child = os.fork()
    if child == 0:
        time.sleep(600)
    print(child, flush=True)
    time.sleep(600)
    """.replace("PIDS", repr(str(pids)))
    with host(HANG.replace("sys.argv[-1]", repr(str(pids))) + textwrap.dedent(code), tmp_path, toolkit) as process:
        assert process.stdout is not None
        forked = int(process.stdout.readline())
        process.kill()
        process.wait(20)
        try:
            assert wait_until(lambda: not any(alive(int(pid)) for pid in pids.read_text().split()))
            assert alive(forked)
            assert wait_until(lambda: not litter(tmp_path)), litter(tmp_path)
        finally:
            os.kill(forked, signal.SIGKILL)


def test_two_processes_may_compile_the_same_at_once(toolkit: Toolkit, tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(models.relu())
    code = f"""
    result = workers().run(Path({str(JOBS / "build.py")!r}), {{}}, files={{"model.onnx": Path({str(tmp_path / "model.onnx")!r})}},
                           collect=["model.rknn"], timeout=300)
    print(len(result.files["model.rknn"]), result.files["model.rknn"][:4].decode())
    """
    with (
        host(textwrap.dedent(code), tmp_path, toolkit) as one,
        host(textwrap.dedent(code), tmp_path, toolkit) as other,
    ):
        results = [process.communicate(timeout=200) for process in (one, other)]
    assert [output.split()[1:] for output, _ in results] == [["RKNN"], ["RKNN"]], results
    assert not litter(tmp_path)


def test_what_a_killed_machine_left_behind_is_swept(toolkit: Toolkit, no_litter: Path) -> None:
    dead = no_litter / f"{folders.PREFIX}dead"
    (dead / "job-1").mkdir(parents=True)
    (dead / ".lock").touch()
    with tempfile.TemporaryDirectory(prefix="else-", dir=no_litter) as strangers:
        pool = Workers()
        pool.run(JOBS / "behave.py", {"how": "well"}, timeout=60)
        assert not dead.exists()
        assert Path(strangers).exists()
        pool.close()


def test_a_server_that_is_not_asked_goes_and_another_takes_its_place(
    toolkit: Toolkit, no_litter: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rknn_ep_toolkit2.worker.server.IDLE_SECONDS", 0.5)
    pool = Workers()
    first = pool.run(JOBS / "behave.py", {"how": "well"}, timeout=60).values["parent"]
    assert wait_until(lambda: not alive(first))
    assert pool.run(JOBS / "behave.py", {"how": "well"}, timeout=60).values["parent"] != first
    pool.close()


def test_the_hosts_python_variables_do_not_reach_the_toolkit(
    toolkit: Toolkit, no_litter: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", "/nowhere")
    monkeypatch.setenv("PYTHONHOME", "/nowhere")
    monkeypatch.setenv("LD_PRELOAD", "/nowhere/lib.so")
    pool = Workers()
    assert pool.run(JOBS / "behave.py", {"how": "well"}, timeout=60).values["rknn"]
    pool.close()


def test_nothing_of_ours_but_the_remote_part_is_in_the_toolkits_process(toolkit: Toolkit) -> None:
    """The server's own modules, asked from a bare interpreter of the toolkit: no rknn_ep, no file of ours outside `remote`."""
    from rknn_ep_toolkit2.remote import main

    code = (
        f"import json, runpy, sys; module = runpy.run_path({main.__file__!r}); module['_package'](); "
        "import importlib; importlib.import_module('rknn_ep_remote.child'); "
        "print(json.dumps(sorted(name for name in sys.modules if 'rknn' in name)))"
    )
    done = subprocess.run([toolkit.python, "-I", "-B", "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == [
        "rknn_ep_remote",
        "rknn_ep_remote.answers",
        "rknn_ep_remote.channel",
        "rknn_ep_remote.child",
    ]
