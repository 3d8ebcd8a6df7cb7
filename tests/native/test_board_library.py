"""The client on a librknnrt.so that is not ours (board_library.cc): what it calls, what it does without, and what it says.

The library forwards to the simulator, which gets the bundle's <target>.rknn entry: here a bundle again.
"""

import ctypes
import os
import shutil
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from onnx import helper

from rknn_ep.api import native_library
from rknn_ep.errors import ExecutionError
from rknn_ep.runtime.executor import NativeExecutor
from rknn_ep.runtime.native import let_simulator_find_onnxruntime
from tests.onnxruntime.harness import RK3576, SHAPE, bundle_of, make_model, mul_bundle, random
from tests.required import compiler
from tests.simulator.bundles import bundle, relu
from tests.unprivileged import unprivileged

ROOT = Path(__file__).parents[2]
BYTES = int(np.prod(SHAPE)) * 4
OPTIONS = {"simulation": "fast"}


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Compiles the library with macros; each makes a library of its own."""
    cxx = compiler()
    folder = tmp_path_factory.mktemp("board")
    let_simulator_find_onnxruntime()
    os.environ["BOARD_LIBRARY_FORWARDS"] = str(native_library("SIMULATOR"))

    def built(*macros: str) -> Path:
        path = folder / f"librknnrt{''.join(macros)}.so"
        if not path.exists():
            source = str(ROOT / "tests/native/board_library.cc")
            flags = ["-std=c++17", "-shared", "-fPIC", "-fvisibility=hidden", f"-I{ROOT / 'native'}"]
            command = [cxx, *flags, *(f"-D{one}" for one in macros), source, "-o", str(path), "-ldl"]
            done = subprocess.run(command, check=False, capture_output=True, text=True)
            assert done.returncode == 0, done.stderr
        return path

    return built


@pytest.fixture
def for_boards(tmp_path: Path) -> Path:
    """y = 3 x, compiled for the rk3588."""
    inner = mul_bundle(tmp_path)
    return mul_bundle(tmp_path, name="board", entries={"rk3588.rknn": inner.read_bytes()})


def opened(model: Path, library: Path, **options: str) -> NativeExecutor:
    executor = NativeExecutor(model, library, {**OPTIONS, **options})
    executor.sized([BYTES], [BYTES])
    return executor


def check(executor: NativeExecutor) -> tuple[np.ndarray, np.ndarray]:
    x, y = random(), np.empty(SHAPE, np.float32)
    executor.run([x], [y])
    np.testing.assert_array_equal(y, 3 * x)
    return x, y


def test_a_board_gets_the_file_of_its_own_soc(build, tmp_path: Path) -> None:
    inner = {target: mul_bundle(tmp_path, name=target, target=target).read_bytes() for target in ("rk3588", "rk3576")}
    both = mul_bundle(tmp_path, also=(RK3576,), entries={f"{target}.rknn": content for target, content in inner.items()})
    library = build()
    for target in ("rk3588", "rk3576"):
        executor = opened(both, library, target=target)
        check(executor)
        assert executor.facts["target"] == target
        executor.close()
    one = mul_bundle(tmp_path, name="one", also=(RK3576,), entries={"rk3588.rknn": inner["rk3588"]})
    with pytest.raises(ExecutionError, match=r"holds no rk3576\.rknn"):
        opened(one, library, target="rk3576")


def test_the_device_tree_says_which_soc_this_is(build, tmp_path: Path) -> None:
    build()  # there is a compiler
    program, native = tmp_path / "soc", ROOT / "native"
    sources = [native / "runtime/soc_here.cc", *(native / f"bundle/{name}.cc" for name in ("archive", "key_values", "soc_lines"))]
    (tmp_path / "main.cc").write_text(
        '#include <algorithm>\n#include <iostream>\n#include "runtime/soc_here.h"\nint main(int, char** given) {\n'
        "  std::string tree = given[1];\n  std::replace(tree.begin(), tree.end(), ' ', '\\0');\n"
        '  std::cout << rknn_ep::soc_of_device_tree(tree, {"rk3588", "rk3576"});\n}\n'
    )
    command = [os.environ.get("CXX", "g++"), "-std=c++17", f"-I{native}", *map(str, sources), str(tmp_path / "main.cc")]
    subprocess.run([*command, "-o", str(program)], check=True)
    trees = {
        "armsom,sige5 rockchip,rk3576": "rk3576",
        "radxa,rock-5a rockchip,rk3588s": "rk3588",
        "rockchip,rk3576-evb1 rockchip,rk3588": "rk3588",
        "rockchip,rk3568-evb1 rockchip,rk3568": "",
        "raspberrypi,4 brcm,bcm2711": "",
        "": "",
    }
    told = {tree: subprocess.run([program, tree], check=True, capture_output=True, text=True).stdout for tree in trees}
    assert told == trees


def seen(library: Path, name: str) -> int:
    function = ctypes.CDLL(str(library)).board_count
    function.restype = ctypes.c_uint64
    return function(name.encode())


def test_copying_flow_hands_over_the_callers_own_memory(build, for_boards: Path) -> None:
    library = build()
    executor = opened(for_boards, library)
    assert executor.facts["io_mode"] == "general"
    calls = ctypes.CDLL(str(library))
    for name in ("board_last_input", "board_last_output"):
        getattr(calls, name).restype = ctypes.c_void_p
    before = {name: seen(library, name) for name in ("rknn_inputs_set", "rknn_run", "rknn_outputs_get", "rknn_create_mem")}
    for _ in range(3):
        x, y = check(executor)
        assert calls.board_last_input() == x.ctypes.data
        assert calls.board_last_output() == y.ctypes.data
    after = {name: seen(library, name) - count for name, count in before.items()}
    assert after == {"rknn_inputs_set": 3, "rknn_run": 3, "rknn_outputs_get": 3, "rknn_create_mem": 0}
    executor.close()


def test_bound_memory_costs_one_call_an_inference(build, for_boards: Path) -> None:
    library = build()
    executor = opened(for_boards, library)
    binding = executor.bind({})
    names = ("rknn_inputs_set", "rknn_run", "rknn_outputs_get", "rknn_create_mem", "rknn_set_io_mem", "rknn_query")
    before = {name: seen(library, name) for name in names}
    for _ in range(5):
        binding.run()
    assert {name: seen(library, name) - count for name, count in before.items()} == {
        name: 5 if name == "rknn_run" else 0 for name in names
    }
    executor.close()


def test_contexts_share_weights_and_cores(build, for_boards: Path) -> None:
    library = build()
    before = {name: seen(library, name) for name in ("rknn_init", "rknn_dup_context", "rknn_set_core_mask", "rknn_destroy")}
    executor = opened(for_boards, library, contexts="3")
    assert executor.facts["weights_shared"] == "1"
    assert ctypes.CDLL(str(library)).board_last_mask() == 4  # the third context has the third core
    check(executor)
    executor.close()
    after = {name: seen(library, name) - count for name, count in before.items()}
    assert after == {"rknn_init": 1, "rknn_dup_context": 2, "rknn_set_core_mask": 3, "rknn_destroy": 3}


@pytest.mark.parametrize("contexts", [1, 2])
def test_as_many_runs_as_contexts_go_at_once_and_all_callers_have_their_turn(build, tmp_path: Path, contexts: int) -> None:
    shape, runs, callers = (1, 3, 256, 256), 12, 5
    inner = bundle(tmp_path / "inner.rknnctx", relu(shape))
    outer = bundle_of(tmp_path, relu(shape), name="large", entries={"rk3588.rknn": inner.read_bytes()})
    library = build()
    executor = NativeExecutor(outer, library, {**OPTIONS, "contexts": str(contexts)})
    size = int(np.prod(shape)) * 4
    executor.sized([size], [size])
    ctypes.CDLL(str(library)).board_most_running()
    finished: list[int] = []

    def work(caller: int) -> None:
        x, y = np.full(shape, caller + 1, np.float32), np.empty(shape, np.float32)
        for _ in range(runs):
            executor.run([x], [y])
            assert y.min() == y.max() == caller + 1
            finished.append(caller)

    most = 0
    with ThreadPoolExecutor(callers) as pool:
        for _ in range(50):  # a busy machine may give the threads one processor for a while
            finished.clear()
            list(pool.map(work, range(callers)))
            assert sorted(finished) == sorted(list(range(callers)) * runs)
            most = max(most, ctypes.CDLL(str(library)).board_most_running())
            if most >= contexts:
                break
    executor.close()
    assert most == contexts


def test_a_library_without_newer_functions_is_used_without_them(build, for_boards: Path) -> None:
    library = build("WITHOUT_DUP")
    executor = opened(for_boards, library, contexts="2")
    assert seen(library, "rknn_init") == 2  # the model is loaded twice
    assert executor.facts["weights_shared"] == "0"
    missing = executor.facts["library.missing"].split(",")
    assert {"rknn_dup_context", "rknn_create_mem2", "rknn_set_core_mask", "rknn_mem_sync"} <= set(missing)
    check(executor)
    executor.close()
    with pytest.raises(ExecutionError, match="core_mask=1: rknn_set_core_mask failed"):
        opened(for_boards, library, core_mask="1")


def test_a_library_without_zero_copy_says_what_needs_it(build, for_boards: Path) -> None:
    executor = opened(for_boards, build("ONLY_COPYING"))
    check(executor)
    with pytest.raises(ExecutionError, match="lacks rknn_create_mem, rknn_destroy_mem or rknn_set_io_mem"):
        executor.bind({})
    executor.close()
    with pytest.raises(ExecutionError, match=r"has no rknn_create_mem, .*io_mode=zero_copy needs"):
        opened(for_boards, build("ONLY_COPYING"), io_mode="zero_copy")


@pytest.mark.parametrize(
    ("code", "message", "remedy"),
    [
        (-3, r"rknn_init failed with -3 \(RKNN_ERR_DEVICE_UNAVAILABLE\)", "rknn-ep doctor"),
        (-4, r"RKNN_ERR_MALLOC_FAIL", "fewer contexts"),
        (-10, r"RKNN_ERR_DEVICE_UNMATCH", "another SoC"),
        (-12, r"RKNN_ERR_INCOMPATILE_OPTIMIZATION_LEVEL_VERSION", "update librknnrt.so"),
        (-13, r"RKNN_ERR_TARGET_PLATFORM_UNMATCH", "another SoC"),
    ],
)
def test_refusals_say_what_to_do(build, for_boards: Path, code: int, message: str, remedy: str) -> None:
    with pytest.raises(ExecutionError, match=message) as error:
        opened(for_boards, build(f"INIT_GIVES={code}"))
    assert remedy in error.value.remedy


def test_a_model_that_was_not_compiled_for_boards_is_refused(build, tmp_path: Path) -> None:
    with pytest.raises(ExecutionError, match=r"holds no rk3588\.rknn") as error:
        opened(mul_bundle(tmp_path), build())
    assert "Compile it for the board" in error.value.remedy


def test_what_is_no_runtime_is_refused(build, for_boards: Path, tmp_path: Path) -> None:
    with pytest.raises(ExecutionError, match=r"is not an implementation of rknn_api: it lacks rknn_init"):
        opened(for_boards, build("NOTHING"))
    with pytest.raises(ExecutionError, match=r"cannot load the NPU runtime 'librknnrt-of-no-one\.so'") as error:
        opened(for_boards, Path("librknnrt-of-no-one.so"))
    assert "install Rockchip's librknnrt.so" in error.value.remedy
    foreign = tmp_path / "librknnrt.so"
    header = bytearray(build("NOTHING").read_bytes())
    header[4] = 1  # a 32-bit library
    foreign.write_bytes(header)
    with pytest.raises(ExecutionError, match="wrong ELF class") as error:
        opened(for_boards, foreign)
    assert "another processor" in error.value.remedy
    foreign.write_text("not a library")
    with pytest.raises(ExecutionError, match="cannot load the NPU runtime"):
        opened(for_boards, foreign)


def test_a_library_that_may_not_be_read_is_refused(build, for_boards: Path, tmp_path: Path) -> None:
    closed = tmp_path / "librknnrt.so"
    shutil.copy(build(), closed)
    closed.chmod(0)
    with pytest.raises(ExecutionError, match="ermission denied") as error:
        unprivileged(lambda: opened(for_boards, closed))
    assert "ls -l" in error.value.remedy


def test_socs_without_copying_functions_run_zero_copy(build, tmp_path: Path) -> None:
    inner = bundle(tmp_path / "inner.rknnctx", relu(), target="rk3588")
    model = make_model([helper.make_node("Relu", ["x"], ["y"])], {"x": (1, 3, 4, 5)}, {"y": (1, 3, 4, 5)})
    outer = bundle_of(
        tmp_path,
        model,
        name="small",
        entries={"rk3588.rknn": inner.read_bytes()},
        changes=lambda text: text.replace("copying_api=1", "copying_api=0"),
    )
    library = build()
    executor = NativeExecutor(outer, library, OPTIONS)
    assert executor.facts["io_mode"] == "zero_copy"
    executor.sized([240], [240])
    before = seen(library, "rknn_inputs_set")
    x, y = random((1, 3, 4, 5)).astype(np.float16).astype(np.float32), np.empty((1, 3, 4, 5), np.float32)
    executor.run([x], [y])
    np.testing.assert_array_equal(y, np.maximum(x, 0))
    assert seen(library, "rknn_inputs_set") == before
    executor.close()
