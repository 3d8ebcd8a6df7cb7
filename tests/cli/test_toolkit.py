"""`rknn-ep toolkit`: what is asked before, what is said after, and how it leaves."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rknn_ep_toolkit2.environment import DATA_VARIABLE, VARIABLE
from tests.cli.conftest import Run
from tests.toolkit2 import pythons


@pytest.fixture(autouse=True)
def _own_data(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(DATA_VARIABLE, str(tmp_path / "data"))
    monkeypatch.delenv(VARIABLE, raising=False)


def test_status_without_a_toolkit_says_how_to_get_one_and_leaves_with_1(rknn_ep: Run) -> None:
    result = rknn_ep("toolkit", "status")
    assert result.code == 1
    assert "rknn-toolkit2 is not installed" in result.stdout
    assert "rknn-ep toolkit install" in result.stdout


def test_status_as_json(rknn_ep: Run, tmp_path: Path) -> None:
    found = json.loads(rknn_ep("toolkit", "status", "--json").stdout)
    assert found["used"] is None
    assert found["error"]["kind"] == "environment"
    assert found["folder"] == str(tmp_path / "data/toolkit2")


def test_use_status_and_remove(rknn_ep: Run, tmp_path: Path) -> None:
    old = pythons.environment(tmp_path / "old", "2.4.0")
    new = pythons.environment(tmp_path / "new", "2.5.0")
    assert rknn_ep("toolkit", "use", old).code == 0
    assert json.loads(rknn_ep("toolkit", "use", new, "--json").stdout) == {"version": "2.5.0", "python": str(new)}
    shown = json.loads(rknn_ep("toolkit", "status", "--no-check", "--json").stdout)
    assert shown["used"] == {"version": "2.5.0", "python": str(new), "because": "chosen"}
    assert [(one["version"], one["used"]) for one in shown["toolkits"]] == [("2.4.0", False), ("2.5.0", True)]
    assert rknn_ep("toolkit", "use", "2.4.0").code == 0  # by its release
    assert "used: 2.4.0 (chosen)" in rknn_ep("toolkit", "status", "--no-check").stdout
    assert "forgotten" in rknn_ep("toolkit", "remove", "2.4.0").stdout
    assert old.exists()
    assert "used: 2.5.0 (the newest)" in rknn_ep("toolkit", "status", "--no-check").stdout


def test_status_starts_the_toolkit_and_says_what_is_wrong_with_it(rknn_ep: Run, tmp_path: Path) -> None:
    rknn_ep("toolkit", "use", pythons.environment(tmp_path / "broken", "2.5.0", "import no_such_library"))
    result = rknn_ep("toolkit", "status")
    assert result.code == 1
    assert "No module named 'no_such_library'" in result.stdout


def test_use_of_a_python_without_the_toolkit_is_an_error(rknn_ep: Run, tmp_path: Path) -> None:
    result = rknn_ep("toolkit", "use", pythons.environment(tmp_path / "there"))
    assert result.code == 1
    assert "has no rknn-toolkit2" in result.stderr


def test_remove_of_what_is_not_there_lists_what_is(rknn_ep: Run, tmp_path: Path) -> None:
    rknn_ep("toolkit", "use", pythons.environment(tmp_path / "there", "2.5.0"))
    result = rknn_ep("toolkit", "remove", "2.3.0")
    assert result.code == 2
    assert "There are: 2.5.0" in result.stderr


def test_nothing_is_installed_before_the_terms_are_agreed_to(rknn_ep: Run, tmp_path: Path) -> None:
    result = rknn_ep("toolkit", "install")
    assert result.code == 2
    assert "github.com/airockchip/rknn-toolkit2/blob/master/LICENSE" in result.stderr
    assert "--accept-license" in result.stderr
    assert not (tmp_path / "data").exists()


def test_an_index_without_the_toolkit_is_said_in_pips_words(
    rknn_ep: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    for variable in ("PIP_FIND_LINKS", "PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL"):
        monkeypatch.delenv(variable, raising=False)
    (tmp_path / "empty").mkdir()
    result = rknn_ep("toolkit", "install", "--accept-license", "--pip-args", f"--no-index --find-links {tmp_path / 'empty'}")
    assert result.code == 1
    assert "No matching distribution found for rknn-toolkit2==2.5.0" in result.stderr
    assert "--pip-args" in result.stderr
    assert json.loads(rknn_ep("toolkit", "status", "--json").stdout)["toolkits"] == []  # half an environment is none


def test_a_full_disk_is_said_before_anything_is_downloaded(rknn_ep: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rknn_ep_toolkit2.installation.GIGABYTES", 1e9)  # more than any disk has
    result = rknn_ep("toolkit", "install", "--accept-license")
    assert result.code == 1
    assert "GB free" in result.stderr
    assert DATA_VARIABLE in result.stderr


def test_a_data_folder_that_cannot_be_made_is_said(rknn_ep: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv(DATA_VARIABLE, str(tmp_path / "file"))
    result = rknn_ep("toolkit", "install", "--accept-license")
    assert result.code == 1
    assert "cannot be written" in result.stderr


def test_pip_arguments_that_cannot_be_read_are_wrong_usage(rknn_ep: Run) -> None:
    assert rknn_ep("toolkit", "install", "--accept-license", "--pip-args", "'unclosed").code == 2


def test_the_doctor_knows_of_it(tmp_path: Path) -> None:
    from rknn_ep_toolkit2 import rknn_ep_health_checks

    [check] = rknn_ep_health_checks()
    health = check.check()
    assert health.verdict == "warning"
    assert "rknn-ep toolkit install" in health.remedy


@pytest.mark.parametrize(("answer", "said"), [("n", "were not agreed to"), ("y", "No matching distribution found")])
def test_in_a_terminal_the_terms_are_asked_about(answer: str, said: str, tmp_path: Path) -> None:
    import os
    import pty
    import sys

    (tmp_path / "empty").mkdir()
    code = (
        "import sys; sys.argv = ['rknn-ep', 'toolkit', 'install', '--pip-args', "
        f"'--no-index --find-links {tmp_path / 'empty'}']; from rknn_ep.cli.main import main; main()"
    )
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PIP_")}
    environment |= {"PIP_CONFIG_FILE": "/dev/null", DATA_VARIABLE: str(tmp_path / "data")}
    pid, terminal = pty.fork()
    if pid == 0:
        os.execve(sys.executable, [sys.executable, "-c", code], environment)
    shown = b""
    answered = False
    with os.fdopen(terminal, "r+b", buffering=0) as screen:
        while True:
            try:
                shown += screen.read(4096) or b""
            except OSError:  # how a terminal says that nobody is there any more
                break
            if b"[y/N]" in shown and not answered:
                screen.write(answer.encode() + b"\n")
                answered = True
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 1
    assert said in shown.decode()
    assert (tmp_path / "data").exists() == (answer == "y")
