"""What runs in the toolkit's Python must parse there, and import nothing that is not there."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import rknn_ep_toolkit2.remote
from rknn_ep_toolkit2 import interpreters
from rknn_ep_toolkit2.environment import Toolkit
from rknn_ep_toolkit2.errors import ToolkitError
from rknn_ep_toolkit2.requirements import PYTHONS
from rknn_ep_toolkit2.worker import Workers
from tests.required import missing
from tests.toolkit2 import pythons
from tests.toolkit2.conftest import JOBS, SESSIONS

FILES = sorted(Path(rknn_ep_toolkit2.remote.__file__).parent.rglob("*.py"))
THERE = {"rknn", "numpy", "onnx", "torch"}
"""What the toolkit's environment has besides the standard library."""


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_it_is_python_3_8(path: Path) -> None:
    ast.parse(path.read_text(), feature_version=(3, 8))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_it_imports_the_standard_library_and_what_the_toolkit_brings(path: Path) -> None:
    imported = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            imported |= {name.name.partition(".")[0] for name in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            imported.add((node.module or "").partition(".")[0])
    assert imported - THERE <= sys.stdlib_module_names


@pytest.mark.parametrize("version", PYTHONS, ids=lambda version: f"{version[0]}.{version[1]}")
def test_it_runs_in_every_python_that_the_toolkit_has_wheels_for(
    version: tuple[int, int], tmp_path: Path, no_litter: Path
) -> None:
    base = next((path for path in interpreters._candidates(version) if interpreters._version(path) == version), None)
    if base is None:
        missing("pythons", f"no Python {version[0]}.{version[1]}")
    # The toolkit itself is not needed to see that the server, its children, their limits and their answers work.
    pool = Workers()
    toolkit = Toolkit(pythons.environment(tmp_path / "there", "2.5.0", "", base), "2.5.0")
    ours = "import sys; print('.'.join(map(str, sys.version_info[:2])))"
    assert subprocess.run([toolkit.python, "-c", ours], capture_output=True, text=True, check=True).stdout.strip() == (
        f"{version[0]}.{version[1]}"
    )
    assert pool.run(JOBS / "behave.py", {"how": "well"}, timeout=60, toolkit=toolkit).values["rknn"]
    for how, kind in (("exit", "exit"), ("hang", "timeout"), ("allocate too much", "memory"), ("leave files", "signal")):
        with pytest.raises(ToolkitError) as caught:
            pool.run(JOBS / "behave.py", {"how": how}, timeout=1 if how == "hang" else 60, toolkit=toolkit)
        assert caught.value.kind == kind
    with pool.open(SESSIONS / "counter.py", {"start": 1}, toolkit=toolkit) as session:
        assert session.call("add", number=1)["value"] == 2
    pool.close()
