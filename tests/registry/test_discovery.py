"""Plugins of installed distributions: found, left out, traced; each in a process of its own, from real metadata on disk."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

SHOW = """
import json
from rknn_ep.plugins import plugins
manager = plugins()
print(json.dumps({
    "plugins": {origin.plugin: [origin.distribution, origin.version] for origin in manager.origins()},
    "broken": {item.origin.plugin: item.error for item in manager.broken},
    "calibrators": sorted(manager.calibrators()),
}))
"""

GOOD = """
import rknn_ep
from rknn_ep.records import Calibrator

@rknn_ep.hookimpl
def rknn_ep_calibrators():
    yield Calibrator("acme_method", lambda grid, options: None)
"""


def install(folder: Path, distribution: str, plugin: str, source: str, version: str = "1.0") -> None:
    """What pip leaves behind: a module and its metadata."""
    module = distribution.replace("-", "_")
    (folder / f"{module}.py").write_text(textwrap.dedent(source))
    info = folder / f"{module}-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n")
    (info / "entry_points.txt").write_text(f"[rknn_ep]\n{plugin} = {module}\n")


def python(folder: Path, code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join(filter(None, [str(folder), os.environ.get("PYTHONPATH", "")]))
    return subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": path, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def show(folder: Path, **environment: str) -> tuple[dict[str, Any], str]:
    result = python(folder, SHOW, **environment)
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout), result.stderr


def test_an_installed_plugin_is_found_with_its_distribution(tmp_path: Path) -> None:
    install(tmp_path, "acme-npu", "acme", GOOD, "2.1")
    found, _ = show(tmp_path)
    assert found["plugins"]["acme"] == ["acme-npu", "2.1"]
    assert "acme_method" in found["calibrators"]


def test_the_core_is_a_plugin_like_any_other(tmp_path: Path) -> None:
    found, _ = show(tmp_path)
    assert found["plugins"]["core"][0] == "rknn-ep"
    assert {"minmax", "normal", "kl_divergence", "mmse", "percentile"} <= set(found["calibrators"])


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("import no_such_module_anywhere", "ModuleNotFoundError: No module named 'no_such_module_anywhere'"),
        ("raise RuntimeError('no licence file')", "RuntimeError: no licence file"),
        ("import sys; sys.exit('goodbye')", "SystemExit: goodbye"),
        ("def broken(:", "SyntaxError"),
        ("import rknn_ep\n@rknn_ep.hookimpl\ndef rknn_ep_teapots(): yield 1", "rknn_ep_teapots"),
    ],
)
def test_a_plugin_that_fails_to_load_is_reported_and_skipped(tmp_path: Path, source: str, reason: str) -> None:
    install(tmp_path, "acme-npu", "acme", source)
    found, stderr = show(tmp_path)
    assert "acme" not in found["plugins"]
    assert "core" in found["plugins"]
    assert reason in found["broken"]["acme"]
    assert "plugin acme of acme-npu failed to load and is skipped" in stderr


def test_two_distributions_with_one_plugin_name_are_an_error_that_names_both(tmp_path: Path) -> None:
    install(tmp_path, "acme-npu", "acme", GOOD, "2.1")
    install(tmp_path, "other-npu", "acme", GOOD, "3.0")
    result = python(tmp_path, SHOW)
    assert result.returncode != 0
    message = result.stderr.splitlines()[-2]
    assert "two plugins are called 'acme'" in message
    assert "acme-npu 2.1" in message and "other-npu 3.0" in message
    found, _ = show(tmp_path, RKNN_EP_DISABLE_PLUGINS="acme")
    assert "acme" not in found["plugins"]


def test_two_distributions_with_one_record_name_are_an_error_that_names_both(tmp_path: Path) -> None:
    install(tmp_path, "acme-npu", "acme", GOOD)
    install(tmp_path, "other-npu", "other", GOOD)
    result = python(tmp_path, SHOW)
    assert result.returncode != 0
    assert "'acme_method' is provided twice, by acme-npu 1.0" in result.stderr
    assert "other-npu 1.0" in result.stderr


def test_a_shadowed_installation_does_not_count_twice(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    install(tmp_path / "one", "acme-npu", "acme", GOOD, "2.1")
    install(tmp_path / "two", "acme-npu", "acme", GOOD, "2.0")
    found, _ = show(tmp_path / "one", PYTHONPATH=f"{tmp_path / 'one'}{os.pathsep}{tmp_path / 'two'}{os.pathsep}{tmp_path}")
    assert found["plugins"]["acme"] == ["acme-npu", "2.1"]


def test_disabled_plugins_are_not_even_imported(tmp_path: Path) -> None:
    install(tmp_path, "acme-npu", "acme", "raise RuntimeError('imported')")
    found, stderr = show(tmp_path, RKNN_EP_DISABLE_PLUGINS="simulator, acme")
    assert not {"acme", "simulator"} & set(found["plugins"])
    assert found["broken"] == {}
    assert "acme" not in stderr


def test_trace_hooks_says_what_each_plugin_gave(tmp_path: Path) -> None:
    install(tmp_path, "acme-npu", "acme", GOOD)
    _, stderr = show(tmp_path, RKNN_EP_TRACE_HOOKS="1")
    assert "rknn_ep_calibrators of plugin 'acme' (acme-npu 1.0) gave acme_method" in stderr
    _, quiet = show(tmp_path, RKNN_EP_TRACE_HOOKS="0")
    assert "acme_method" not in quiet
