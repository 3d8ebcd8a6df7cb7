"""What is found of a board, replayed from recorded trees."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from rknn_ep_board.board import (
    Board,
    check_driver,
    check_library,
    check_permissions,
    check_soc,
    check_versions,
    missing,
    read_board,
)
from rknn_ep_board.machine import Machine
from tests.board import trees
from tests.unprivileged import unprivileged


def board(root: Path, tree: dict[str, str | bytes], *, usable: bool = True, processor: str = "aarch64") -> Board:
    return read_board(Machine(trees.plant(root, tree), lambda path: usable and path.exists()), processor)


@pytest.mark.parametrize(
    ("tree", "processor", "soc", "target", "cores", "driver", "runtime", "node"),
    [
        (trees.rk3588, "aarch64", "rk3588", "rk3588", 3, (0, 9, 8), (2, 3, 2), "/dev/dri/renderD129"),
        (trees.rk3576, "aarch64", "rk3576", "rk3576", 2, (0, 9, 8), (2, 3, 2), "/dev/dri/renderD129"),
        (trees.rk3568, "aarch64", "rk3568", "rk3568", 1, (0, 8, 2), (1, 4, 0), "/dev/dri/renderD129"),
        (trees.rv1106, "armv7l", "rv1106", "rv1106", 1, (0, 9, 2), (2, 3, 2), "/dev/rknpu"),
    ],
    ids=["rk3588", "rk3576", "rk3568", "rv1106"],
)
def test_a_recorded_board_is_recognised(
    tmp_path: Path,
    tree: Callable[[], dict[str, str | bytes]],
    processor: str,
    soc: str,
    target: str,
    cores: int,
    driver: tuple[int, ...],
    runtime: tuple[int, ...],
    node: str,
) -> None:
    found = board(tmp_path, tree(), processor=processor)
    assert (found.soc.name, found.soc.target, found.cores) == (soc, target, cores)
    assert found.driver.version == driver
    assert [one.path for one in found.driver.nodes] == [node]
    assert found.library is not None and found.library.version == runtime
    assert check_soc(found).verdict == check_driver(found).verdict == check_library(found).verdict == "ok"
    metadata = found.metadata()
    assert metadata["soc"] == soc and metadata["cores"] == str(cores)
    assert metadata["driver_version"] == ".".join(map(str, driver))


def test_a_healthy_board_lacks_nothing(tmp_path: Path) -> None:
    assert missing(board(tmp_path, trees.rk3588())) == ""


def test_a_machine_of_somebody_else_is_no_board(tmp_path: Path) -> None:
    found = board(tmp_path, {"proc/device-tree/compatible": "raspberrypi,5-model-b\0brcm,bcm2712\0"})
    assert found.soc.name == "" and found.metadata() == {}
    assert missing(found) == "this is no Rockchip board"
    assert missing(board(tmp_path / "empty", {})) == "this is no Rockchip board"


def test_a_rockchip_soc_without_such_an_npu_is_named(tmp_path: Path) -> None:
    found = board(tmp_path, {"proc/device-tree/compatible": "pine64,rockpro64\0rockchip,rk3399\0"})
    assert "rk3399 has no NPU" in missing(found)


@pytest.mark.parametrize(
    ("name", "target", "cores"), [("rk3588s", "rk3588", 3), ("rk3582", "rk3588", 2), ("rk3566", "rk3566", 1)]
)
def test_relatives_are_compiled_for_as_their_family(tmp_path: Path, name: str, target: str, cores: int) -> None:
    found = board(tmp_path, {"proc/device-tree/compatible": f"xunlong,orangepi\0rockchip,{name}\0"})
    assert (found.soc.target, found.cores) == (target, cores)


def test_a_driver_that_sees_fewer_cores_is_told(tmp_path: Path) -> None:
    tree = trees.rk3588() | {"sys/kernel/debug/rknpu/load": "NPU load:  Core0:  0%, Core1:  0%,\n"}
    health = check_soc(board(tmp_path, tree))
    assert health.verdict == "warning" and "2 NPU cores of 3" in health.evidence


def test_no_permission_names_the_node_and_the_groups(tmp_path: Path) -> None:
    found = board(tmp_path, trees.rk3588(), usable=False)
    health = check_permissions(found)
    assert health.verdict == "error" and "/dev/dri/renderD129" in health.evidence and "render" in health.remedy
    assert "no permission" in missing(found)


def test_no_permission_as_the_system_says_it(tmp_path: Path) -> None:
    trees.plant(tmp_path, trees.rk3588())
    (tmp_path / "dev/dri/renderD129").chmod(0)
    found = unprivileged(lambda: read_board(Machine(tmp_path), "aarch64"))
    assert check_permissions(found).verdict == "error"


def test_mainline_linux_has_another_driver(tmp_path: Path) -> None:
    found = board(tmp_path, trees.rocket())
    assert "accel/rocket" in missing(found)


def test_an_npu_that_is_switched_off_is_told(tmp_path: Path) -> None:
    tree = trees.rk3588() | {"proc/device-tree/npu@fdab0000/status": "disabled\0"}
    assert "switches the NPU off" in missing(board(tmp_path, tree))


def test_no_driver_at_all(tmp_path: Path) -> None:
    tree = {name: content for name, content in trees.rk3588().items() if not name.startswith(("sys/", "dev/"))}
    assert "no rknpu driver" in missing(board(tmp_path, tree))


def test_a_version_that_only_root_can_read_is_a_warning(tmp_path: Path) -> None:
    tree = {name: content for name, content in trees.rk3588().items() if "debug" not in name}
    found = board(tmp_path, tree)
    assert check_driver(found).verdict == "warning" and missing(found) == ""


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "is not found"),
        (trees.library("2.3.2", trees.X86), "is for x86_64, this system runs aarch64"),
        (trees.library("2.3.2", trees.ARM), "is for arm, this system runs aarch64"),
        (b"<html>404 not found</html>", "is no library"),
        (b"", "is no library"),
        (b"\x7fELF", "is no library"),
        (trees.library("2.3.2") + b"rknn_ep_simulator_configure\0", "rknn_ep's simulator"),
    ],
)
def test_a_wrong_runtime_library_is_told(tmp_path: Path, content: bytes | None, message: str) -> None:
    tree = trees.rk3588()
    if content is None:
        del tree["usr/lib/librknnrt.so"]
    else:
        tree["usr/lib/librknnrt.so"] = content
    health = check_library(board(tmp_path, tree))
    assert health.verdict == "error" and message in health.evidence and health.remedy


def test_our_own_simulator_is_not_taken_for_the_vendors(tmp_path: Path) -> None:
    from rknn_ep.api import native_library

    tree = trees.rk3588() | {"usr/lib/librknnrt.so": native_library("SIMULATOR").read_bytes()}
    found = board(tmp_path, tree)
    assert found.library is not None and found.library.simulator
    assert "rknn_ep's simulator" in missing(found)


def test_the_environment_names_the_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mine = tmp_path / "mine.so"
    mine.write_bytes(trees.library("2.4.0"))
    monkeypatch.setenv("RKNN_EP_LIBRKNNRT", str(mine))
    found = board(tmp_path / "root", trees.rk3588())
    assert found.library is not None and found.library.path == mine and found.library.version == (2, 4, 0)
    monkeypatch.setenv("RKNN_EP_LIBRKNNRT", str(tmp_path / "gone.so"))
    assert board(tmp_path / "root", {}).library is None


@pytest.mark.parametrize(
    ("driver", "runtime", "toolkit", "names", "verdict"),
    [
        ("0.9.8", "2.3.2", (2, 3, 2), (), "ok"),
        ("0.9.2", "2.3.2", (), ("driver-single-core",), "warning"),
        ("0.9.3", "1.6.0", (), ("driver-single-core",), "warning"),
        ("0.9.6", "1.6.0", (), (), "ok"),
        ("0.7.2", "2.3.2", (), ("driver-too-old",), "error"),
        ("0.8.2", "1.4.0", (), ("runtime-too-old",), "error"),
        ("0.9.8", "1.5.0", (), ("runtime-too-old",), "error"),
        ("0.9.8", "1.5.2", (), (), "ok"),
        ("0.9.8", "2.3.2", (2, 5, 0), ("runtime-older-than-toolkit",), "warning"),
        ("0.9.8", "2.3.0", (2, 3, 2), (), "ok"),
    ],
)
def test_known_bad_combinations_are_named(
    tmp_path: Path, driver: str, runtime: str, toolkit: tuple[int, ...], names: tuple[str, ...], verdict: str
) -> None:
    health = check_versions(board(tmp_path, trees.rk3588(driver, runtime)), toolkit)
    assert health.verdict == verdict
    assert all(name in health.evidence for name in names)
    assert driver in health.evidence and runtime in health.evidence
    assert bool(health.remedy) == bool(names)


def test_a_single_core_does_not_mind_a_driver_of_one_core(tmp_path: Path) -> None:
    tree = trees.rk3568() | {
        "sys/kernel/debug/rknpu/version": "RKNPU driver: v0.9.2",
        "usr/lib/librknnrt.so": trees.library("2.3.2"),
    }
    assert check_versions(board(tmp_path, tree)).verdict == "ok"


def test_rv1106_with_the_old_kernel(tmp_path: Path) -> None:
    health = check_versions(board(tmp_path, trees.rv1106(), processor="armv7l"))
    assert health.verdict == "warning" and "driver-rv1106" in health.evidence


def test_damaged_trees_never_crash(tmp_path: Path) -> None:
    for index, name in enumerate(trees.rk3588()):
        for content in (b"", b"\xff\xfe\0\0\xff", b"\0" * 100, b"9" * 10000):
            found = board(tmp_path / f"{index}", trees.rk3588() | {name: content})
            missing(found)
            found.metadata()
