"""Which toolkit is used, and what is said where there is none that can be."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from rknn_ep.errors import OptionError
from rknn_ep_toolkit2 import commands, environment, installation, interpreters
from rknn_ep_toolkit2.environment import Toolkit, current, installed, remove, use
from rknn_ep_toolkit2.errors import ToolkitError
from rknn_ep_toolkit2.interpreters import interpreter
from rknn_ep_toolkit2.requirements import PYTHONS, requirements
from rknn_ep_toolkit2.worker import Workers
from tests.required import missing
from tests.toolkit2 import pythons
from tests.toolkit2.conftest import JOBS, alive, children, wait_until


@pytest.fixture(autouse=True)
def _own_data(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(environment.DATA_VARIABLE, str(tmp_path / "data"))
    monkeypatch.delenv(environment.VARIABLE, raising=False)


def error_of(call: object, *arguments: object) -> ToolkitError:
    with pytest.raises(ToolkitError) as caught:
        call(*arguments)  # type: ignore[operator]
    return caught.value


def test_without_any_toolkit_the_command_that_installs_it_is_named() -> None:
    error = error_of(current)
    assert (error.kind, error.message) == ("environment", "rknn-toolkit2 is not installed")
    assert "rknn-ep toolkit install" in error.remedy


def test_the_variable_goes_before_what_was_chosen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use(pythons.environment(tmp_path / "chosen", "2.5.0"))
    other = pythons.environment(tmp_path / "other", "2.4.0")
    assert current().version == "2.5.0"
    monkeypatch.setenv(environment.VARIABLE, str(other))
    assert current() == Toolkit(other, "2.4.0")


def test_a_folder_stands_for_the_environment_in_it(tmp_path: Path) -> None:
    python = pythons.environment(tmp_path / "there", "2.5.0")
    assert use(tmp_path / "there").python == python


@pytest.mark.parametrize(("release", "age"), [("1.6.0", "too old"), ("2.2.0", "too old"), ("3.0.0", "too new")])
def test_a_release_that_does_not_fit_is_refused(release: str, age: str, tmp_path: Path) -> None:
    error = error_of(use, pythons.environment(tmp_path / "there", release))
    assert error.kind == "environment"
    assert f"{release}, which is {age}" in error.message
    assert "rknn-ep toolkit install" in error.remedy
    assert installed() == []


def test_a_python_without_the_toolkit_is_refused(tmp_path: Path) -> None:
    error = error_of(use, pythons.environment(tmp_path / "there"))
    assert "has no rknn-toolkit2" in error.message


def test_what_is_no_python_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("not a program")
    assert "is not a Python" in error_of(use, tmp_path / "text").message
    assert "is not a Python" in error_of(use, tmp_path / "missing").message
    assert "is not a Python" in error_of(use, Path("/bin/true")).message


def test_the_chosen_one_that_is_gone_is_said_and_not_replaced_in_silence(tmp_path: Path) -> None:
    import shutil

    use(pythons.environment(tmp_path / "one", "2.4.0"))
    use(pythons.environment(tmp_path / "two", "2.5.0"))
    shutil.rmtree(tmp_path / "two")
    assert "is gone" in error_of(current).message
    assert [toolkit.version for toolkit in installed()] == ["2.4.0"]


def test_an_adopted_python_that_was_updated_since_is_seen(tmp_path: Path) -> None:
    python = pythons.environment(tmp_path / "there", "2.4.0")
    use(python)
    [old] = tmp_path.glob("there/lib/python*/site-packages/rknn_toolkit2-2.4.0.dist-info")
    (old / "METADATA").write_text("Metadata-Version: 2.1\nName: rknn-toolkit2\nVersion: 2.5.0\n")
    old.rename(old.with_name("rknn_toolkit2-2.5.0.dist-info"))
    environment._ask.cache_clear()  # as in the next process
    assert current() == Toolkit(python, "2.5.0")


def test_removing_an_adopted_python_leaves_its_files(tmp_path: Path) -> None:
    toolkit = use(pythons.environment(tmp_path / "there", "2.5.0"))
    assert remove(toolkit) is False
    assert toolkit.python.exists()
    assert installed() == []


def test_what_we_did_not_make_is_never_deleted(tmp_path: Path) -> None:
    python = pythons.environment(tmp_path / "there", "2.5.0")
    assert "left alone" in error_of(remove, Toolkit(python, "2.5.0")).message
    assert python.exists()


def test_an_installation_without_its_marker_does_not_count(tmp_path: Path) -> None:
    made = environment.data_folder() / "2.5.0-python3.11"
    pythons.environment(made, "2.5.0")
    assert installed() == []
    environment.mark_complete(made, {"toolkit": "2.5.0"})
    assert installed() == [Toolkit(made / "bin/python", "2.5.0")]
    assert remove(installed()[0]) is True
    assert not made.exists()


def test_damaged_records_are_as_none(tmp_path: Path) -> None:
    folder = environment.data_folder()
    folder.mkdir(parents=True)
    for name in ("current.json", "adopted.json"):
        (folder / name).write_text("{damaged")
    assert installed() == []
    assert error_of(current).message == "rknn-toolkit2 is not installed"


def test_the_newest_known_one_is_not_used_if_its_release_does_not_fit(tmp_path: Path) -> None:
    made = environment.data_folder() / "2.2.0-python3.11"
    pythons.environment(made, "2.2.0")
    environment.mark_complete(made, {"toolkit": "2.2.0"})
    assert "2.2.0, which is too old" in error_of(current).message


# --------------------------------------------------------------------------------------------- installing, without a network


@pytest.mark.parametrize(("release", "age"), [("2.2.0", "too old"), ("3.0.0", "too new")])
def test_a_release_that_does_not_fit_is_refused_before_anything_is_fetched(release: str, age: str) -> None:
    assert f"{release} was asked for, which is {age}" in error_of(installation.plan, release).message
    assert not environment.data_folder().exists()


def test_what_is_no_release_is_said() -> None:
    with pytest.raises(OptionError, match="'newest' is no release"):
        installation.plan("newest")


def test_an_installation_that_pip_refuses_leaves_nothing() -> None:
    planned, arguments = installation.plan(), ["--no-index", "--find-links", "/nowhere"]
    with pytest.raises(ToolkitError, match="pip could not install the toolkit"):
        installation.install(planned, pip_arguments=arguments, progress=lambda message, share: None)
    assert [path.name for path in environment.data_folder().iterdir() if path.name != ".lock"] == []


def test_an_interruption_ends_pip_and_leaves_no_half_environment() -> None:
    """Against an index that accepts connections and never answers."""
    begin = (
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"  # ignored where the tests run behind a shell
    )
    with socket.create_server(("127.0.0.1", 0)) as index:
        index.settimeout(60)
        url = f"http://127.0.0.1:{index.getsockname()[1]}/simple"
        words = ["toolkit", "install", "--accept-license", "--pip-args", f"--index-url {url}"]
        code = f"{begin}; from rknn_ep.cli.main import main; main()"
        process = subprocess.Popen([sys.executable, "-c", code, *words], stderr=subprocess.PIPE)
        connection, _ = index.accept()
        with connection:
            everybody = children(process.pid)
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=60)
    assert process.returncode == 130
    assert wait_until(lambda: not any(map(alive, everybody)))
    assert [path.name for path in environment.data_folder().iterdir()] == [".lock"]


def test_what_an_interrupted_installation_left_is_shown_and_removed(capsys: pytest.CaptureFixture[str]) -> None:
    planned = installation.plan()
    pythons.environment(planned.folder)
    planned.downloads.mkdir(parents=True)
    (planned.downloads / "torch.whl").write_bytes(b"whole")
    assert commands.describe(check=False)["unfinished"] == [planned.folder, planned.downloads]
    commands.remove(planned.version)
    assert str(planned.folder) in capsys.readouterr().out
    assert environment.unfinished() == []
    assert not planned.folder.exists()


def test_a_second_installation_says_that_it_waits_and_nothing_is_removed_meanwhile(tmp_path: Path) -> None:
    planned = installation.plan()
    pythons.environment(planned.folder, "2.5.0")
    environment.mark_complete(planned.folder, {"toolkit": "2.5.0"})
    steps: list[str] = []
    with environment.installing():
        assert "an installation is going on" in error_of(commands.remove, "2.5.0").message
        waiting = threading.Thread(
            target=lambda: installation.install(planned, progress=lambda message, share: steps.append(message))
        )
        waiting.start()
        assert wait_until(lambda: steps)
        assert waiting.is_alive()
    waiting.join()
    assert steps == ["waiting for another installation"]


def test_a_version_that_is_not_installed_is_no_path(tmp_path: Path) -> None:
    use(pythons.environment(tmp_path / "there", "2.5.0"))
    with pytest.raises(OptionError, match=r"there is no toolkit '2\.4\.0'") as caught:
        commands.use("2.4.0")
    assert "2.5.0" in caught.value.remedy


def test_a_command_on_the_path_may_be_adopted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    python = pythons.environment(tmp_path / "there", "2.5.0")
    monkeypatch.setenv("PATH", str(python.parent))
    assert use(Path("python")).python == python


# --------------------------------------------------------------------------------------------- starting


def test_a_toolkit_that_cannot_be_imported_says_why(tmp_path: Path, no_litter: Path) -> None:
    use(pythons.environment(tmp_path / "there", "2.5.0", "import no_such_library\n"))
    error = error_of(Workers().run, JOBS / "behave.py", {"how": "well"})
    assert error.kind == "start"
    assert "No module named 'no_such_library'" in error.message
    assert "toolkit install" in error.remedy


@pytest.mark.parametrize("module", ["import os; os.abort()", "import os; os._exit(3)"])
def test_a_toolkit_that_dies_while_it_is_imported_is_an_error(module: str, tmp_path: Path, no_litter: Path) -> None:
    use(pythons.environment(tmp_path / "there", "2.5.0", module))
    assert error_of(Workers().run, JOBS / "behave.py", {"how": "well"}).kind == "start"


def test_a_toolkit_whose_import_hangs_is_given_up(tmp_path: Path, no_litter: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rknn_ep_toolkit2.worker.server.START_SECONDS", 1.0)
    monkeypatch.setattr("rknn_ep_toolkit2.worker.server._LEAVE_SECONDS", 0.5)
    use(pythons.environment(tmp_path / "there", "2.5.0", "import time; time.sleep(1000)"))
    error = error_of(Workers().run, JOBS / "behave.py", {"how": "well"})
    assert error.kind == "start"
    assert "not ready after 1 s" in error.message


# --------------------------------------------------------------------------------------------- interpreters


def test_this_python_is_taken_if_the_toolkit_has_a_wheel_for_it() -> None:
    path, version = interpreter(None)
    if sys.version_info[:2] in PYTHONS:
        assert (path, version) == (Path(sys.executable), sys.version_info[:2])
    else:
        assert version in PYTHONS


def test_another_python_is_found_where_this_one_is_too_new(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = f"{sys.version_info[0]}.{sys.version_info[1]}"
    if sys.version_info[:2] not in PYTHONS:
        missing("pythons", f"the toolkit has no wheel for {name}, which stands for an older Python")
    found = tmp_path / f"pyenv/versions/{name}.9/bin/python{name}"
    found.parent.mkdir(parents=True)
    found.symlink_to(sys.executable)
    monkeypatch.setattr(interpreters.sys, "version_info", (3, 14, 0))
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("UV_PYTHON_INSTALL_DIR", str(tmp_path / "uv"))
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path / "none"))
    error = error_of(interpreter, None)
    assert "this one is 3.14" in error.message
    assert "uv python install 3.12" in error.remedy
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path / "pyenv"))
    assert interpreter(None)[0] == found


def test_a_named_python_without_a_wheel_is_refused(tmp_path: Path) -> None:
    others = [path for name in ("3.9", "3.13", "3.14") for path in Path.home().glob(f".pyenv/versions/{name}.*/bin/python{name}")]
    if not others:
        missing("pythons", "no Python 3.9, 3.13 or 3.14 of pyenv's")
    error = error_of(interpreter, others[0])
    assert "has no wheel for Python 3." in error.message
    assert "Install Python 3.12" in error.remedy


def test_an_interpreter_may_be_named_by_its_version(tmp_path: Path) -> None:
    running = sys.version_info[:2]
    if running in PYTHONS:
        assert interpreter(Path(".".join(map(str, running))))[1] == running
    error = error_of(interpreter, Path("3.5"))
    assert error.message == "Python 3.5 is not found"
    assert "Install Python 3.12" in error.remedy


def test_a_named_file_that_is_no_python_is_refused() -> None:
    assert "is no Python that can make virtual environments" in error_of(interpreter, Path("/bin/true")).message


@pytest.mark.parametrize("python", PYTHONS)
def test_every_requirement_is_pinned(python: tuple[int, int]) -> None:
    wanted = requirements(python, "2.5.0")
    assert all("==" in one for one in (wanted.toolkit, wanted.torch, *wanted.others))


def test_a_board_without_a_wheel_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.machine", lambda: "armv7l")
    error = error_of(requirements, (3, 11), "2.5.0")
    assert "no wheel for armv7l" in error.message
