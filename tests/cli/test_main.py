"""Exit codes, errors and help: what every command has in common."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from rknn_ep.cli.commands import all_commands
from tests.cli.conftest import Run

COMMANDS = [command.name for command in all_commands()]


def test_without_arguments_help_is_shown(rknn_ep: Run) -> None:
    result = rknn_ep()
    assert result.code in (0, 2), "0 in older typer"
    assert all(name in result.stdout for name in COMMANDS)


def test_the_version_is_the_distribution_s(rknn_ep: Run) -> None:
    from importlib.metadata import version

    assert rknn_ep("--version").stdout == f"rknn-ep {version('rknn-ep')}\n"


@pytest.mark.parametrize("command", COMMANDS)
def test_the_help_of_every_command_teaches_with_an_example(rknn_ep: Run, command: str) -> None:
    result = rknn_ep(command, "--help")
    assert result.code == 0
    assert f"rknn-ep {command}" in result.stdout.split("Example", 1)[1]
    assert "--json" in result.stdout


def test_a_wrong_flag_is_usage(rknn_ep: Run) -> None:
    result = rknn_ep("partition", "model.onnx", "--targt", "rk3588")
    assert result.code == 2
    assert result.stdout == ""


def test_a_wrong_option_is_usage_and_names_the_nearest(rknn_ep: Run, model: Path) -> None:
    result = rknn_ep("partition", model, "--target", "rk3589")
    assert result.code == 2
    assert result.stdout == ""
    assert result.stderr.startswith("error: unknown target 'rk3589': did you mean 'rk3588'?")


def test_a_plugin_option_is_checked(rknn_ep: Run, model: Path) -> None:
    assert "--option takes PLUGIN.KEY=VALUE" in rknn_ep("partition", model, "--option", "trace").stderr
    assert "flag of its own: --input-shapes" in rknn_ep("partition", model, "--option", "input_shapes=x:1").stderr
    result = rknn_ep("partition", model, "--option", "acme.trace=1")
    assert (result.code, "'acme' that is not installed" in result.stderr) == (2, True)


def test_an_error_is_one_message_without_a_traceback(rknn_ep: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    result = rknn_ep("inspect", tmp_path / "missing.onnx")
    assert result.code == 1
    assert result.stderr.startswith("error: ")
    assert "missing.onnx" in result.stderr
    assert "Traceback" not in result.stderr
    monkeypatch.setenv("RKNN_EP_TRACEBACK", "1")
    from rknn_ep.errors import ArtifactError

    with pytest.raises(ArtifactError):
        rknn_ep("inspect", tmp_path / "missing.onnx")


def test_interrupting_leaves_with_130_and_no_traceback() -> None:
    code = """
import sys, time, typer
from rknn_ep import hookimpl
from rknn_ep.cli import main
from rknn_ep.plugins import plugins, Origin
from rknn_ep.records import Command

class Slow:
    @hookimpl
    def rknn_ep_commands(self):
        def slow():
            print("ready", flush=True)
            time.sleep(60)
        yield Command("slow", slow)

plugins().register(Slow(), Origin("slow", "slow", "1", "slow"))
sys.argv = ["rknn-ep", "slow"]
main.main()
"""
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    time.sleep(0.1)
    os.kill(process.pid, signal.SIGINT)
    _, stderr = process.communicate(timeout=20)
    assert process.returncode == 130
    assert "Traceback" not in stderr


def test_json_is_all_there_is_on_stdout(rknn_ep: Run) -> None:
    result = rknn_ep("plugins", "--json")
    assert result.code == 0
    assert json.loads(result.stdout)["plugins"]
