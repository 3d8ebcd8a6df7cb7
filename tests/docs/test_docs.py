"""The documentation is true: its Python blocks and `rknn-ep` lines run, its links lead somewhere, its tables are complete.

A page's Python blocks run in order in one namespace, in a folder with the files that the pages speak of: model.onnx (input
`images` [1,3,64,64]), photos/, test/a.png, test/b.png, x.npy, data.npz. A block that cannot run is preceded by
`<!-- not run: why -->`.
"""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from rknn_ep_tvm.version import unavailable
from tests.required import missing

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
FENCE = re.compile(r"(?P<before>[^\n]*\n)?^```(?P<language>\w+)\n(?P<body>.*?)^```", re.MULTILINE | re.DOTALL)


def blocks(page: Path, language: str) -> list[str]:
    found = FENCE.finditer(page.read_text())
    return [m["body"] for m in found if m["language"] == language and "<!-- not run:" not in (m["before"] or "")]


def commands(page: Path) -> list[str]:
    lines = "".join(blocks(page, "sh")).replace("\\\n", " ").splitlines()
    return [line for line in lines if line.startswith("rknn-ep ") and not line.startswith("rknn-ep demo")]


def a_model() -> onnx.ModelProto:
    """Two convolutions and a classifier's head: enough work for the cost model to keep it on the NPU."""
    random = np.random.default_rng(0)

    def weights(name: str, *shape: int) -> onnx.TensorProto:
        return numpy_helper.from_array(random.normal(0, 0.1, shape).astype(np.float32), name)

    nodes = [
        helper.make_node("Conv", ["images", "w0", "b0"], ["c0"], "conv0", kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c0"], ["r0"], "relu0"),
        helper.make_node("Conv", ["r0", "w1", "b1"], ["c1"], "conv1", kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c1"], ["r1"], "relu1"),
        helper.make_node("GlobalAveragePool", ["r1"], ["pooled"], "pool"),
        helper.make_node("Flatten", ["pooled"], ["flat"], "flatten"),
        helper.make_node("Gemm", ["flat", "w2", "b2"], ["logits"], "gemm"),
    ]
    graph = helper.make_graph(
        nodes,
        "pages",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, [1, 3, 64, 64])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [1, 10])],
        [
            *(weights("w0", 64, 3, 3, 3), weights("b0", 64)),
            *(weights("w1", 128, 64, 3, 3), weights("b1", 128)),
            *(weights("w2", 128, 10), weights("b2", 10)),
        ],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


@pytest.fixture
def folder(files: Path, tmp_path: Path) -> Path:
    """A copy for each page, so that no page finds what another has left."""
    return Path(shutil.copytree(files, tmp_path / "page"))


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from PIL import Image

    folder = tmp_path_factory.mktemp("pages")
    random = np.random.default_rng(1)
    onnx.save(a_model(), folder / "model.onnx")
    for name in [*(f"photos/{index}.png" for index in range(20)), "test/a.png", "test/b.png"]:
        (folder / name).parent.mkdir(exist_ok=True)
        Image.fromarray(random.integers(0, 255, (64, 64, 3), np.uint8)).save(folder / name)
    np.save(folder / "x.npy", random.normal(0, 1, (1, 3, 64, 64)).astype(np.float32))
    np.savez(folder / "data.npz", images=random.normal(0, 1, (20, 3, 64, 64)).astype(np.float32))
    return folder


@pytest.fixture(autouse=True)
def own_cache(files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RKNN_EP_CACHE_DIR", str(files.parent / "cache"))


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page, "python")], ids=lambda page: page.name)
def test_the_python_of_a_page_runs(page: Path, folder: Path) -> None:
    if page.name == "tvm.md" and (why := unavailable()):
        missing("tvm", why)
    program = "\n".join(blocks(page, "python"))
    result = subprocess.run([sys.executable, "-c", program], cwd=folder, capture_output=True, text=True, timeout=300, check=False)
    assert result.returncode == 0, f"{program}\n{result.stderr}"


@pytest.mark.parametrize("page", [page for page in PAGES if commands(page)], ids=lambda page: page.name)
def test_the_commands_of_a_page_run(page: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from typer.testing import CliRunner

    from rknn_ep.cli.main import build_app
    from rknn_ep.plugins import plugins

    monkeypatch.chdir(folder)
    app = build_app(plugins())
    for command in commands(page):
        result = CliRunner().invoke(app, shlex.split(command, comments=True)[1:])
        assert result.exit_code == 0, f"{command}\n{result.output}\n{result.exception}"


@pytest.mark.parametrize("page", [*PAGES, ROOT / "CHANGELOG.md"], ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text()):
        if "://" not in target:
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


def names_in(page: str, *patterns: str) -> set[str]:
    text = (ROOT / "docs" / page).read_text()
    return {name for pattern in patterns for name in re.findall(pattern, text, re.MULTILINE)}


def test_every_option_is_documented() -> None:
    from rknn_ep.cli.flags import FLAGS

    rows = "".join(re.findall(r"^\| (`[^|]*) \|", (ROOT / "docs/options.md").read_text(), re.MULTILINE))
    assert {flag.option for flag in FLAGS} <= set(re.findall(r"`(\w+)`", rows))


def test_the_documented_defaults_are_the_defaults() -> None:
    from rknn_ep.options import Options

    text = (ROOT / "docs/options.md").read_text()
    default = Options()
    for option in ("target", "device", "precision", "calibration_method", "color", "resize", "quantizer"):
        assert f"| `{option}` | {getattr(default, option)} |" in text, option
    for option in ("core_mask", "contexts", "io_mode", "simulation", "simulation_threads"):
        assert f"| `{option}` | {getattr(default, option)} |" in text, option


def test_every_target_is_documented() -> None:
    from rknn_ep.plugins import plugins

    for page in (ROOT / "README.md", ROOT / "docs/options.md"):
        assert set(plugins().targets()) <= set(re.findall(r"r[kv]\d+b?", page.read_text()))


def test_every_command_is_documented() -> None:
    from rknn_ep.plugins import plugins

    commands = set(plugins().commands())
    assert names_in("cli.md", r"^## ([\w-]+)$") == commands
    assert set(re.findall(r"^\| `rknn-ep ([\w-]+)`", (ROOT / "README.md").read_text(), re.MULTILINE)) == commands


def test_every_hook_is_documented() -> None:
    from rknn_ep.plugins import HOOKS

    assert names_in("plugins.md", r"^\| `(rknn_ep_\w+)` \|") == set(HOOKS)


def test_every_page_is_in_the_index() -> None:
    listed: Any = names_in("README.md", r"\]\(([\w-]+\.md)\)")
    assert {page.name for page in PAGES[1:]} - {"README.md"} == listed


def test_the_messages_that_troubleshooting_explains_exist() -> None:
    messages = names_in("troubleshooting.md", r'^### "(.*)"$')
    assert len(messages) > 15
    folders = [ROOT / name for name in ("rknn_ep", "plugins", "native")]
    files = [path for folder in folders for path in folder.rglob("*") if path.suffix in (".py", ".cc", ".h", ".txt")]
    source = "\n".join(path.read_text() for path in files)
    assert {message for message in messages if message not in source} == set()


def test_every_reason_code_is_explained() -> None:
    rows = re.findall(
        r"^\| ([a-z_, -]+) \|", (ROOT / "docs/capability.md").read_text().split("| reason | when |")[1], re.MULTILINE
    )
    codes = {code for row in rows for code in row.split(", ")}
    assert "limit" in codes
    assert codes <= names_in("troubleshooting.md", r"`([a-z_-]+)`")
