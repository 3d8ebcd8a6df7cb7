"""What runs in the toolkit's Python must parse there, and import nothing that is not there."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest

import rknn_ep_toolkit2.remote

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
