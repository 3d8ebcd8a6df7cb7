"""`import rknn_ep` stays light, and the public API is what it is."""

from __future__ import annotations

import subprocess
import sys

import pytest

import rknn_ep

HEAVY = ("onnxruntime", "onnx", "onnx_ir", "onnxscript", "tvm", "torch", "numpy", "typer", "rich", "PIL")

PUBLIC = [
    "camera_input",
    "compile",
    "get_ep_name",
    "get_ep_names",
    "get_library_path",
    "hookimpl",
    "import_model",
    "partition",
    "quantize",
    "register",
    "unregister",
]


def loaded_after(code: str) -> set[str]:
    report = f"import sys; before = set(sys.modules)\n{code}\nprint(' '.join(set(sys.modules) - before))"
    return set(subprocess.run([sys.executable, "-c", report], capture_output=True, text=True, check=True).stdout.split())


@pytest.mark.parametrize(
    "code",
    ["import rknn_ep", "from rknn_ep.plugins import plugins; plugins()", "from rknn_ep.records import Target"],
)
def test_importing_and_discovering_loads_no_heavy_package(code: str) -> None:
    assert not loaded_after(code) & set(HEAVY)


def test_help_loads_no_runtime() -> None:
    code = """
import contextlib, io, sys
sys.argv = ["rknn-ep", "--help"]
from rknn_ep.cli.main import main
with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):
    main()
"""
    assert not loaded_after(code) & {"onnxruntime", "onnx", "onnx_ir", "onnxscript", "tvm", "torch", "numpy", "PIL"}


def test_the_public_api_is_pinned() -> None:
    assert sorted(rknn_ep.__all__) == PUBLIC
    for name in PUBLIC:
        assert callable(getattr(rknn_ep, name))
    assert rknn_ep.__version__.count(".") == 2


def test_an_unknown_attribute_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'session'"):
        _ = rknn_ep.session  # type: ignore[attr-defined]
