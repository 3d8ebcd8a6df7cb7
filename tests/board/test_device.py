"""`device=auto` on a board and elsewhere, the default of `target`, and what ONNX Runtime shows of the device."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from rknn_ep.errors import NotInstalledError, OptionError
from rknn_ep.options import Options
from rknn_ep.pipeline import choose_runtime
from rknn_ep.plugins import plugins
from tests.board import trees


@pytest.fixture
def on(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):  # type: ignore[no-untyped-def]
    """Makes this machine the board of a tree; the processor is the board's."""

    def plant(tree: dict[str, str | bytes]) -> None:
        monkeypatch.setenv("RKNN_EP_BOARD_ROOT", str(trees.plant(tmp_path / "board", tree)))
        monkeypatch.setattr("platform.machine", lambda: "aarch64")

    return plant


def test_a_pc_takes_the_simulator() -> None:
    assert choose_runtime(Options.parse({})).name == "simulator"
    with pytest.raises(OptionError, match=r"device 'board' is not available: this is no Rockchip board"):
        choose_runtime(Options.parse({"device": "board"}))


def test_a_board_takes_itself_and_its_own_soc(on) -> None:  # type: ignore[no-untyped-def]
    on(trees.rk3576())
    options = Options.parse({})
    assert options.target == "rk3576"
    runtime = choose_runtime(options)
    assert runtime.name == "board"
    assert runtime.library is not None and runtime.library().name == "librknnrt.so"


def test_another_target_can_be_asked_for_and_survives_as_text(on) -> None:  # type: ignore[no-untyped-def]
    on(trees.rk3576())
    options = Options.parse({"target": "rk3588"})
    assert options.target == "rk3588"
    assert Options.parse(options.as_text()) == options


def test_a_broken_board_is_an_error_and_never_the_simulator(on) -> None:  # type: ignore[no-untyped-def]
    tree = trees.rk3588()
    del tree["usr/lib/librknnrt.so"]
    on(tree)
    with pytest.raises(OptionError, match=r"librknnrt\.so, the vendor's runtime, is not found(.|\n)*rknn-ep doctor"):
        choose_runtime(Options.parse({}))
    assert choose_runtime(Options.parse({"device": "simulator"})).name == "simulator"
    runtime = plugins().runtimes()["board"]
    with pytest.raises(NotInstalledError, match="the board cannot run models"):
        runtime.library()  # type: ignore[misc]


def test_a_rockchip_soc_without_an_npu_is_an_error_too(on) -> None:  # type: ignore[no-untyped-def]
    on({"proc/device-tree/compatible": "pine64,rockpro64\0rockchip,rk3399\0"})
    assert Options.parse({}).target == "rk3588"
    with pytest.raises(OptionError, match="rk3399 has no NPU"):
        choose_runtime(Options.parse({}))


PROGRAM = """
import json, onnxruntime, platform, rknn_ep
platform.machine = lambda: "aarch64"
rknn_ep.register()
device, = (device for device in onnxruntime.get_ep_devices() if device.ep_name == "RKNNExecutionProvider")
print(json.dumps(dict(device.ep_metadata)))
"""


def metadata(root: Path | None, program: str = PROGRAM) -> dict[str, str]:
    environment = dict(os.environ) | ({} if root is None else {"RKNN_EP_BOARD_ROOT": str(root)})
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, env=environment, timeout=60)
    found: dict[str, str] = json.loads(ran.stdout)
    return found


def test_the_device_of_onnxruntime_shows_what_the_board_is(tmp_path: Path) -> None:
    found = metadata(trees.plant(tmp_path, trees.rk3588("0.9.2")))
    assert found["device"] == "board"
    assert found["soc"] == "rk3588" and found["cores"] == "3"
    assert found["driver_version"] == "0.9.2" and found["runtime_version"] == "2.3.2"
    assert found["known_bad"] == "driver-single-core"
    assert found["device_nodes"] == "/dev/dri/renderD129"


def test_the_device_of_onnxruntime_says_that_it_is_simulated() -> None:
    assert metadata(None)["device"] == "simulator"


def test_the_device_of_onnxruntime_says_what_a_board_lacks(tmp_path: Path) -> None:
    found = metadata(trees.plant(tmp_path, trees.rocket()))
    assert "accel/rocket" in found["problem"]


BY_ITSELF = """
import json, onnxruntime
from rknn_ep.api import get_library_path
onnxruntime.register_execution_provider_library("RKNNExecutionProvider", get_library_path())
device, = (device for device in onnxruntime.get_ep_devices() if device.ep_name == "RKNNExecutionProvider")
print(json.dumps(dict(device.ep_metadata)))
"""
"""What a program in C does: the library alone, and no plugin that says anything."""


ORT_ADDS = {"library_path", "version"}


@pytest.mark.parametrize("tree", [trees.rk3588, trees.rk3576, trees.rk3568, trees.rv1106])
def test_a_program_that_registers_the_library_itself_sees_soc_and_driver(
    tmp_path: Path, tree: Callable[[], dict[str, str | bytes]]
) -> None:
    root = trees.plant(tmp_path, tree())
    found, told = metadata(root, BY_ITSELF), metadata(root)
    assert found.pop("device") == "board"
    assert found["soc"].startswith(tree.__name__) and found["driver_version"].startswith("0.")
    for key in found.keys() - ORT_ADDS:
        assert found[key] == told.get(key, found[key]), key


def test_a_program_that_registers_the_library_itself_sees_that_a_pc_simulates() -> None:
    found = metadata(None, BY_ITSELF)
    assert found["device"] == "simulator" and found.keys() <= {"device"} | ORT_ADDS
