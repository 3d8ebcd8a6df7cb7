"""Every way in which the toolkit fails becomes one typed error; the host goes on, and nothing is left behind."""

from __future__ import annotations

import os
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from rknn_ep_toolkit2.environment import Toolkit
from rknn_ep_toolkit2.errors import ToolkitError
from rknn_ep_toolkit2.worker import Workers
from rknn_ep_toolkit2.worker import pool as pool_module
from tests.toolkit2 import models
from tests.toolkit2.conftest import JOBS, alive, children, wait_until

pytestmark = pytest.mark.toolkit2
BUILD, BEHAVE, MISUSE = JOBS / "build.py", JOBS / "behave.py", JOBS / "misuse.py"
OLD_BYTES = JOBS / "old_bytes.py"


def behave(pool: Workers, how: str, *, timeout: float = 60, memory_limit: int | None = None, **arguments: object) -> ToolkitError:
    with pytest.raises(ToolkitError) as caught:
        pool.run(BEHAVE, {"how": how, **arguments}, timeout=timeout, memory_limit=memory_limit)
    return caught.value


def build(pool: Workers, model: bytes, **arguments: object) -> ToolkitError:
    with pytest.raises(ToolkitError) as caught:
        pool.run(BUILD, arguments, files={"model.onnx": model}, timeout=120)
    return caught.value


def works(pool: Workers) -> bool:
    return bool(pool.run(BEHAVE, {"how": "well"}, timeout=60).values["rknn"])


# --------------------------------------------------------------------------------------------- it works


def test_a_build_gives_its_file_its_values_its_log_and_its_progress(pool: Workers) -> None:
    heard: list[tuple[str, float]] = []
    result = pool.run(
        BUILD,
        {},
        files={"model.onnx": models.relu()},
        collect=["model.rknn", "not there"],
        timeout=120,
        progress=lambda message, share: heard.append((message, share)),
    )
    assert result.files["model.rknn"][:4] == b"RKNN"
    assert list(result.files) == ["model.rknn"]
    assert heard == [("loading", 0.1), ("building", 0.5)]
    assert "rknn building done" in result.log
    assert "\x1b" not in result.log
    assert result.values["left"], "the toolkit leaves temporary folders: they must lie in the job's own"
    assert not Path(result.values["folder"]).exists()
    assert result.peak_memory > 100 << 20


def test_the_import_is_paid_once_and_every_job_has_a_process_of_its_own(pool: Workers) -> None:
    first, second = (pool.run(BEHAVE, {"how": "well"}, timeout=60).values for _ in range(2))
    assert first["parent"] == second["parent"]
    assert first["pid"] != second["pid"]
    assert first["rknn"] and second["rknn"]


def test_answers_longer_than_a_packet_arrive(pool: Workers) -> None:
    assert len(pool.run(BEHAVE, {"how": "return much", "characters": 3_000_000}, timeout=60).values["much"]) == 3_000_000


def test_arguments_longer_than_a_packet_arrive(pool: Workers) -> None:
    assert pool.run(BEHAVE, {"how": "well", "much": "x" * 3_000_000}, timeout=60).values["rknn"]


def test_a_job_that_closes_its_standard_descriptors_still_answers(pool: Workers) -> None:
    assert pool.run(BEHAVE, {"how": "close the descriptors"}, timeout=60).values == {"still": "here"}


def test_a_file_outside_the_working_folder_is_refused(pool: Workers) -> None:
    with pytest.raises(ValueError, match="working folder"):
        pool.run(BEHAVE, {"how": "well"}, files={"../../elsewhere": b""}, timeout=60)


# --------------------------------------------------------------------------------------------- the toolkit's ways to fail


def test_cubic_resize_segfaults_and_the_host_survives(pool: Workers) -> None:
    error = build(pool, models.cubic_resize())
    assert error.kind == "signal"
    assert "SIGSEGV" in error.message
    assert "rknn.py" in error.log  # where it was when it died
    assert works(pool)


def test_a_crash_over_memory_that_nobody_wrote_is_tried_once_more(pool: Workers) -> None:
    with pytest.raises(ToolkitError) as failed:
        pool.run(OLD_BYTES, {}, timeout=60)
    assert failed.value.crashed
    result = pool.run(OLD_BYTES, {}, timeout=60, second_try=True)
    assert result.values == {"same block": True}
    assert "SIGABRT" in result.crashed_before


def test_a_crash_that_comes_again_is_an_error_and_nothing_is_left(pool: Workers) -> None:
    with pytest.raises(ToolkitError) as failed:
        pool.run(BEHAVE, {"how": "signal", "signal": "SIGSEGV"}, timeout=60, second_try=True)
    assert failed.value.kind == "signal"
    assert works(pool)


def test_pooling_in_three_dimensions_aborts_with_the_compilers_own_words(pool: Workers) -> None:
    error = build(pool, models.pool_3d())
    assert error.kind == "signal"
    assert "SIGABRT" in error.message
    assert "std::out_of_range" in error.message
    assert works(pool)


def test_quantised_or_aborts_with_the_compilers_own_words(pool: Workers) -> None:
    error = build(pool, models.boolean_or(), dataset={"a": [1, 16], "b": [1, 16]})
    assert error.kind == "signal"
    assert "Can not find quantize information" in error.said
    assert works(pool)


def test_a_refusal_that_names_the_node_is_passed_on_without_its_traceback(pool: Workers) -> None:
    error = build(pool, models.non_zero())
    assert error.kind == "exception"
    assert error.said.splitlines() == [
        "The input 0 of NonZero('nz') need to be constant! It will cause the graph to be a dynamic graph!",
        "Remove NonZero('nz') manually and try again!",
    ]
    assert "Traceback" not in error.message


def test_an_error_inside_the_toolkit_is_passed_on(pool: Workers) -> None:
    error = build(pool, models.layer_normalization_3d())
    assert error.kind == "exception"
    assert error.said == "KeyError: 'LayerNormalization'"


def test_an_opset_that_is_too_new_is_said(pool: Workers) -> None:
    error = build(pool, models.opset_20())
    assert error.kind == "exception"
    assert error.said == "Unsupport onnx opset 20, need <= 19!"


def test_a_damaged_model_is_said(pool: Workers) -> None:
    error = build(pool, b"not a model")
    assert error.kind == "exception"
    assert error.said == "DecodeError: Error parsing message"


@pytest.mark.parametrize(
    ("how", "message", "kind"),
    [
        ("build nothing", "the toolkit's build answered -1", "returned"),
        ("build with samples that are not there", "the toolkit's build answered -1", "returned"),
        ("export what was not built", "the toolkit's export_rknn answered -1", "returned"),
        ("run what was not started", "the toolkit's inference answered None", "none"),
    ],
)
def test_an_answer_of_minus_one_or_none_is_an_error_that_names_the_step(pool: Workers, how: str, message: str, kind: str) -> None:
    with pytest.raises(ToolkitError) as caught:
        pool.run(MISUSE, {"how": how}, files={"model.onnx": models.relu()}, timeout=120)
    assert caught.value.kind == kind
    assert message in caught.value.message
    assert caught.value.said, "the toolkit's own words are kept"
    assert works(pool)


def test_a_file_that_is_not_there_is_said(pool: Workers) -> None:
    error = build(pool, models.relu(), load="no such file.onnx")
    assert error.kind == "exception"
    assert "no such file.onnx" in error.said


@pytest.mark.parametrize("name", ["SIGSEGV", "SIGABRT", "SIGFPE", "SIGBUS", "SIGILL", "SIGTERM"])
def test_a_signal_is_named(pool: Workers, name: str) -> None:
    error = behave(pool, "signal", signal=name)
    assert error.kind == "signal"
    assert name in error.message


def test_exit_of_the_whole_process_is_an_error(pool: Workers) -> None:
    error = behave(pool, "exit")
    assert error.kind == "exit"
    assert "exit(1)" in error.message
    assert works(pool)


def test_sys_exit_is_an_error(pool: Workers) -> None:
    error = behave(pool, "sys.exit")
    assert (error.kind, "exit(7)" in error.message) == ("exit", True)


def test_a_hang_ends_at_the_time_limit(pool: Workers) -> None:
    started = time.monotonic()
    error = behave(pool, "hang", timeout=1)
    assert error.kind == "timeout"
    assert "1 s" in error.message
    assert time.monotonic() - started < 30
    assert works(pool)


def test_memory_is_limited_by_what_the_process_holds(pool: Workers) -> None:
    error = behave(pool, "eat memory", memory_limit=600 << 20)
    assert error.kind == "memory"
    assert "toolkit2.memory_limit" in error.remedy
    assert works(pool)


def test_without_a_limit_a_build_gets_its_part_of_the_machines_memory(toolkit: Toolkit, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool_module, "SHARE", 2 * (600 << 20) / pool_module.memory_of_the_machine())
    own = Workers(limit=2)
    try:
        assert behave(own, "eat memory").kind == "memory"
    finally:
        own.close()


def test_an_allocation_that_fails_is_a_lack_of_memory(pool: Workers) -> None:
    assert behave(pool, "allocate too much").kind == "memory"


def test_a_full_disk_inside_the_job_is_said(pool: Workers) -> None:
    error = behave(pool, "fill the disk")
    assert error.kind == "disk"
    assert "TMPDIR" in error.remedy


def test_the_toolkits_words_are_kept_without_colour(pool: Workers) -> None:
    error = behave(pool, "exit")
    assert error.said == "said in colour"
    assert {"said on stdout", "said by native code", "E build: said in colour"} <= set(error.log.splitlines())


def test_nothing_of_a_job_reaches_the_hosts_own_output(pool: Workers, capfd: pytest.CaptureFixture[str]) -> None:
    behave(pool, "exit")
    assert capfd.readouterr() == ("", "")


# --------------------------------------------------------------------------------------------- from outside


def test_a_job_killed_from_outside_is_an_error_and_the_next_one_works(pool: Workers, tmp_path: Path) -> None:
    pids = tmp_path / "pids"

    def kill() -> None:
        assert wait_until(lambda: pids.exists() and len(pids.read_text().split()) == 2)
        os.kill(int(pids.read_text().split()[0]), signal.SIGKILL)

    with ThreadPoolExecutor(1) as executor:
        killing = executor.submit(kill)
        error = behave(pool, "hang with a child", pid_file=str(pids))
        killing.result()
    assert error.kind == "killed"
    assert wait_until(lambda: not any(alive(int(pid)) for pid in pids.read_text().split())), "what it started lives on"
    assert works(pool)


def test_a_server_killed_from_outside_is_an_error_and_the_next_job_starts_another(toolkit: Toolkit, no_litter: Path) -> None:
    pool = Workers()
    server = pool.run(BEHAVE, {"how": "well"}, timeout=60).values["parent"]
    threading.Timer(0.5, os.kill, (server, signal.SIGKILL)).start()
    error = behave(pool, "hang")
    assert error.kind == "killed"
    assert works(pool)
    pool.close()


def test_cancel_ends_a_job_with_all_that_it_started(pool: Workers, tmp_path: Path) -> None:
    cancel, pids = threading.Event(), tmp_path / "pids"
    with ThreadPoolExecutor(1) as executor:
        running = executor.submit(
            pool.run, BEHAVE, {"how": "hang with a child", "pid_file": str(pids)}, timeout=60, cancel=cancel
        )
        assert wait_until(lambda: pids.exists() and len(pids.read_text().split()) == 2)
        cancel.set()
        with pytest.raises(ToolkitError) as caught:
            running.result(timeout=20)
    assert caught.value.kind == "cancelled"
    assert wait_until(lambda: not any(alive(int(pid)) for pid in pids.read_text().split()))


def test_waiting_for_a_free_place_can_be_cancelled(toolkit: Toolkit, no_litter: Path) -> None:
    pool, cancel = Workers(limit=1), threading.Event()
    with ThreadPoolExecutor(2) as executor:
        first = executor.submit(pool.run, BEHAVE, {"how": "sleep", "seconds": 2}, timeout=60)
        time.sleep(0.5)
        second = executor.submit(pool.run, BEHAVE, {"how": "sleep", "seconds": 60}, timeout=100, cancel=cancel)
        cancel.set()
        with pytest.raises(ToolkitError) as caught:
            second.result(timeout=20)
        assert caught.value.kind == "cancelled"
        assert first.result(timeout=60).values["rknn"]
    pool.close()


def test_jobs_run_side_by_side_up_to_the_limit(toolkit: Toolkit, no_litter: Path) -> None:
    pool = Workers(limit=2)
    server = pool.run(BEHAVE, {"how": "well"}, timeout=60).values["parent"]
    most = 0
    with ThreadPoolExecutor(5) as executor:
        running = [executor.submit(pool.run, BEHAVE, {"how": "sleep", "seconds": 0.4}, timeout=60) for _ in range(5)]
        while not all(one.done() for one in running):
            most = max(most, len(children(server)))
            time.sleep(0.01)
        assert all(one.result().values["rknn"] for one in running)
    assert most == 2
    pool.close()


def test_crashes_and_builds_side_by_side_do_not_disturb_each_other(pool: Workers) -> None:
    with ThreadPoolExecutor(4) as executor:
        good = [
            executor.submit(pool.run, BUILD, {}, files={"model.onnx": models.relu()}, collect=["model.rknn"], timeout=120)
            for _ in range(2)
        ]
        bad = [executor.submit(build, pool, models.pool_3d()) for _ in range(2)]
        assert [one.result().files["model.rknn"][:4] for one in good] == [b"RKNN"] * 2
        assert [one.result().kind for one in bad] == ["signal"] * 2


# --------------------------------------------------------------------------------------------- nothing is left


def test_a_crash_leaves_no_file_and_no_process(toolkit: Toolkit, no_litter: Path) -> None:
    pool = Workers()
    behave(pool, "leave files")
    build(pool, models.pool_3d())
    [root] = no_litter.iterdir()
    assert [path.name for path in root.iterdir()] == [".lock"]
    server = pool.run(BEHAVE, {"how": "well"}, timeout=60).values["parent"]
    assert children(server) == []
    pool.close()
    assert not alive(server)


def test_no_room_for_the_private_folder_is_said(toolkit: Toolkit, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import tempfile

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "gone"))
    with pytest.raises(ToolkitError) as caught:
        Workers().run(BEHAVE, {"how": "well"}, timeout=60)
    assert caught.value.kind == "disk"
    assert str(tmp_path / "gone") in caught.value.message
