"""`rknn-ep plugins`."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from tests.cli.conftest import Run
from tests.registry.test_discovery import install, python

MAIN = "import sys; from rknn_ep.cli.main import main; sys.argv[1:] = ['plugins', *sys.argv[1:]]; main()"


def show(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    code = MAIN.replace("*sys.argv[1:]", ", ".join(map(repr, arguments))) if arguments else MAIN
    return python(folder, code, COLUMNS="160", **environment)


def test_it_lists_every_plugin_with_what_it_provides_and_where_it_comes_from(rknn_ep: Run) -> None:
    found = {item["plugin"]: item for item in json.loads(rknn_ep("plugins", "--json").stdout)["plugins"]}
    assert {"core", "onnxruntime", "simulator"} <= set(found)
    assert found["core"]["distribution"] == "rknn-ep"
    assert found["core"]["module"] == "rknn_ep.builtin"
    targets = {item["name"] for item in found["core"]["provides"]["targets"]}
    assert "rk3588" in targets
    assert [item["name"] for item in found["onnxruntime"]["provides"]["frontends"]] == ["onnxruntime"]
    assert [item["name"] for item in found["simulator"]["provides"]["runtimes"]] == ["simulator"]
    assert rknn_ep("plugins").stdout.count("rknn-ep 0.") >= 3


def test_a_broken_and_a_disabled_plugin_are_listed(tmp_path: Path) -> None:
    install(tmp_path, "acme-npu", "acme", "raise RuntimeError('no licence file')", "2.1")
    result = show(tmp_path, "--json", RKNN_EP_DISABLE_PLUGINS="simulator")
    found = json.loads(result.stdout)
    assert found["broken"] == [
        {
            "plugin": "acme",
            "distribution": "acme-npu",
            "version": "2.1",
            "module": "acme_npu",
            "error": "RuntimeError: no licence file",
        }
    ]
    assert found["disabled"] == ["simulator"]
    table = show(tmp_path).stdout
    assert "failed to load: RuntimeError: no licence file" in table


def test_a_plugin_whose_hook_raises_does_not_hide_the_others(tmp_path: Path) -> None:
    install(tmp_path, "acme-npu", "acme", "import rknn_ep\n@rknn_ep.hookimpl\ndef rknn_ep_targets(): raise OSError('no board')")
    result = show(tmp_path, "--json")
    found = json.loads(result.stdout)
    assert result.returncode == 1
    assert "OSError: no board" in found["problems"][0]["error"]
    assert "RKNN_EP_DISABLE_PLUGINS=acme" in found["problems"][0]["remedy"]
    core = next(item for item in found["plugins"] if item["plugin"] == "core")
    assert core["provides"]["calibrators"]
    assert sys.executable
