"""Both carriers: in the process, in an exported library, in a new process, and what they say when something is wrong."""

from __future__ import annotations

import shutil
import subprocess
import tarfile
import threading
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

import rknn_ep_tvm
from rknn_ep.errors import ArtifactError, ExecutionError, OptionError
from rknn_ep.options import Options
from rknn_ep.records import Runtime
from rknn_ep.runtime import open_bundle
from rknn_ep_tvm import native
from rknn_ep_tvm.description import describe
from rknn_ep_tvm.targets import make_target
from tests.required import missing
from tests.tvm.harness import SECONDS, TARGET, compiled, imported, in_new_process, network, random, run, samples

CARRIERS = ["python", "native"]

LOAD = """
import sys
import numpy as np
import tvm
from tvm.runtime.vm import VirtualMachine
machine = VirtualMachine(tvm.runtime.load_module(sys.argv[1]), tvm.cpu())
x = tvm.runtime.tensor(np.load(sys.argv[2]))
np.save(sys.argv[3], machine["main"](x).numpy())
"""


@pytest.fixture(scope="module")
def module(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """One int8 partition and a remainder."""
    return imported(network(), calibration=samples(tmp_path_factory.mktemp("samples"))).mod


@pytest.fixture(scope="module")
def expected(module: Any) -> np.ndarray[Any, Any]:
    return run(compiled(module), random())[0]


def executable(module: Any, carrier: str, **options: Any) -> Any:
    return compiled(module, make_target(TARGET, carrier=carrier, **options))


def loaded(library: Path, *flags: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Runs `main` of a library in a process of its own, on x.npy beside it; y.npy has the result. `flags` are Python's."""
    np.save(library.with_name("x.npy"), random())
    files = [str(library), str(library.with_name("x.npy")), str(library.with_name("y.npy"))]
    return in_new_process(*flags, "-c", LOAD, *files, **environment)


def packages_but_ours(folder: Path) -> Path:
    """What is installed beside TVM, without rknn-ep: for a Python that is started with -SP."""
    import tvm

    folder.mkdir()
    for entry in Path(tvm.__file__).parent.parent.iterdir():
        if not entry.name.lstrip("_").startswith("rknn_ep"):
            (folder / entry.name).symlink_to(entry)
    return folder


@pytest.mark.parametrize("carrier", CARRIERS)
def test_same_outputs_with_each_carrier(module: Any, expected: np.ndarray[Any, Any], carrier: str) -> None:
    np.testing.assert_array_equal(run(executable(module, carrier), random())[0], expected)


@pytest.mark.parametrize(
    ("carrier", "suffix", "mode"),
    [
        ("python", ".so", "compiler"),
        ("python", ".tar", "runtime only"),
        ("native", ".so", "runtime only"),
        ("native", ".tar", "compiler"),
    ],
)
def test_exported_library_runs_in_a_new_process(
    module: Any, expected: np.ndarray[Any, Any], tmp_path: Path, carrier: str, suffix: str, mode: str
) -> None:
    library = tmp_path / f"exported{suffix}"
    executable(module, carrier).export_library(str(library))
    done = loaded(library, TVM_USE_RUNTIME_LIB="1" if mode == "runtime only" else "0")
    assert done.returncode == 0, done.stderr
    np.testing.assert_array_equal(np.load(tmp_path / "y.npy"), expected)


@pytest.mark.parametrize("carrier", CARRIERS)
def test_exported_library_holds_each_constant_once(tmp_path: Path, carrier: str) -> None:
    """A partition, and a convolution that stays with TVM: the bundle's content and the weights of the other."""
    model = network(cpu_end=False)
    weights = random((4, 8, 3, 3), seed=3)
    model.graph.initializer.append(numpy_helper.from_array(weights, "w2"))
    model.graph.node.append(helper.make_node("Conv", ["r", "w2"], ["z"], name="left"))
    model.graph.output[0].CopyFrom(helper.make_tensor_value_info("z", TensorProto.FLOAT, (1, 4, 14, 14)))
    module = imported(model, exclude_nodes="left").mod
    (bundle,) = rknn_ep_tvm.bundles(module).values()
    library = tmp_path / "exported.so"
    executable(module, carrier).export_library(str(library))
    content = library.read_bytes()
    assert content.count(bundle.read("simulation.onnx")) == 1
    assert content.count(weights.tobytes()) == 1


@pytest.mark.parametrize("carrier", CARRIERS)
def test_cross_compiled_library_is_for_the_board_and_holds_the_bundle(module: Any, tmp_path: Path, carrier: str) -> None:
    from tvm.support import cc

    compiler = shutil.which("aarch64-linux-gnu-g++")
    if compiler is None:
        missing("aarch64", "needs a cross compiler (Debian: g++-aarch64-linux-gnu)")
    library = tmp_path / "board.so"
    board = compiled(module, make_target("rockchip/rk3588", carrier=carrier))
    board.export_library(str(library), fcompile=cc.cross_compiler(compiler))
    content = library.read_bytes()
    assert content[:4] == b"\x7fELF" and int.from_bytes(content[18:20], "little") == 183  # EM_AARCH64
    assert b"simulation.onnx" in content
    board.export_library(str(tmp_path / "board.tar"))
    with tarfile.open(tmp_path / "board.tar") as objects:
        heads = [objects.extractfile(name).read(20) for name in objects.getnames() if name.endswith(".o")]  # type: ignore[union-attr]
    assert heads and all(int.from_bytes(head[18:20], "little") == 183 for head in heads)


@pytest.mark.parametrize("carrier", CARRIERS)
def test_without_rknn_ep_the_error_names_it(module: Any, tmp_path: Path, carrier: str) -> None:
    library = tmp_path / "exported.so"
    executable(module, carrier).export_library(str(library))
    others = packages_but_ours(tmp_path / "packages")
    done = loaded(library, "-SP", PYTHONPATH=str(others))
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert {"python": "Cannot find ffi::Function rknn_ep.run", "native": "created using {rknn} but a loader"}[carrier] in last
    assert in_new_process("-SP", "-c", "import rknn_ep", PYTHONPATH=str(others)).returncode == 1


def test_partition_of_another_soc_is_refused(module: Any) -> None:
    with pytest.raises(ArtifactError, match=r"(?s)rknn_0 was compiled for rk3588, and the target is rk3576.*target='rk3576'"):
        compiled(module, "rockchip/rk3576-sim")


@pytest.mark.parametrize("carrier", CARRIERS)
def test_board_of_another_soc_refuses_the_bundle(module: Any, tmp_path: Path, carrier: str) -> None:
    library = tmp_path / "exported.so"
    executable(module, carrier).export_library(str(library))
    done = loaded(library, RKNN_EP_SIMULATED_SOC="rk3576")  # the board that the simulator stands for
    assert done.returncode == 1
    assert "RKNN_ERR_TARGET_PLATFORM_UNMATCH" in done.stderr and "was compiled for another SoC" in done.stderr


def test_target_that_is_not_ours_is_refused(module: Any) -> None:
    with pytest.raises(OptionError, match=r"(?s)needs a target of Rockchip's, not llvm.*rockchip/rk3588-sim"):
        compiled(module, "llvm")


@pytest.mark.parametrize(
    ("options", "message"),
    [({"carrier": "pigeon"}, "Valid: native, python"), ({"context": "2"}, "did you mean 'contexts'")],
)
def test_options_of_the_target_are_checked(module: Any, options: dict[str, str], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        compiled(module, make_target(TARGET, **options))


@pytest.mark.parametrize("carrier", CARRIERS)
def test_options_of_the_target_reach_the_executor(module: Any, carrier: str) -> None:
    with pytest.raises(Exception, match=r"core_mask=8.*takes 1, 2, 4, 3, 7"):
        run(executable(module, carrier, core_mask="8"), random())


@pytest.fixture(scope="module")
def vendor_like(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A library with rknn_api's names that is not our simulator, as on a board: what is asked of it must not get that far."""
    folder = tmp_path_factory.mktemp("board")
    source = folder / "runtime.c"
    names = ("init", "destroy", "query", "run", "inputs_set", "outputs_get", "outputs_release")
    source.write_text("".join(f"int rknn_{name}(void) {{ return -1; }}\n" for name in names))
    command = ["g++", "-x", "c", "-shared", "-fPIC", str(source), "-o", str(folder / "librknnrt.so")]
    subprocess.run(command, check=True, timeout=SECONDS)
    return folder / "librknnrt.so"


def test_simulator_only_bundle_on_a_board_native(module: Any, vendor_like: Path, tmp_path: Path) -> None:
    library = tmp_path / "exported.so"
    executable(module, "native", device="board").export_library(str(library))
    done = loaded(library, LD_LIBRARY_PATH=str(vendor_like.parent))
    assert done.returncode == 1
    assert "holds no rk3588.rknn, so it runs on the simulator only" in done.stderr


def test_simulator_only_bundle_on_a_board_python(module: Any, vendor_like: Path) -> None:
    (bundle,) = rknn_ep_tvm.bundles(module).values()
    content = bundle.source.read(0, bundle.source.size)
    with pytest.raises(ExecutionError, match=r"holds no rk3588.rknn, so it runs on the simulator only"):
        open_bundle(content, Runtime("board", library=lambda: vendor_like), Options())


def test_damaged_bundle_is_refused(module: Any) -> None:
    import tvm

    (bundle,) = rknn_ep_tvm.bundles(module).values()
    content = bytearray(bundle.source.read(0, bundle.source.size))
    content[len(content) // 2] ^= 1
    damaged = tvm.runtime.tensor(np.frombuffer(bytes(content), np.uint8))
    with pytest.raises(ArtifactError, match="not what the module was compiled with"):
        tvm.get_global_func("rknn_ep.run")(damaged, "bundle=0\ntarget=rk3588\n")


@pytest.mark.parametrize("carrier", CARRIERS)
@pytest.mark.parametrize("offset", [1, 4, 32])
def test_misaligned_memory_is_copied(module: Any, expected: np.ndarray[Any, Any], carrier: str, offset: int) -> None:
    raw = np.empty(random().nbytes + 64 + offset, np.uint8)
    start = -raw.ctypes.data % 64 + offset
    array = raw[start : start + random().nbytes].view(np.float32).reshape(random().shape)
    array[...] = random()
    assert array.ctypes.data % 64 == offset
    np.testing.assert_array_equal(run(executable(module, carrier), array)[0], expected)


@pytest.mark.parametrize("offset", [1, 4, 32])
def test_misaligned_tensors_reach_a_partition_safely(module: Any, carrier_function: Any, offset: int) -> None:
    """Straight into the carrier's function: TVM tensors made without asking for alignment."""
    import tvm_ffi

    def misaligned(shape: tuple[int, ...]) -> np.ndarray[Any, Any]:
        size = 4 * int(np.prod(shape))
        raw = np.zeros(size + 64 + offset, np.uint8)
        start = -raw.ctypes.data % 64 + offset
        return raw[start : start + size].view(np.float32).reshape(shape)

    x, y, aligned = misaligned((1, 3, 16, 16)), misaligned((1, 8, 16, 16)), np.zeros((1, 8, 16, 16), np.float32)
    x[...] = random()
    carrier_function(tvm_ffi.from_dlpack(x), tvm_ffi.from_dlpack(y))
    carrier_function(tvm_ffi.from_dlpack(random()), tvm_ffi.from_dlpack(aligned))
    np.testing.assert_array_equal(y, aligned)
    assert y.any()


@pytest.fixture(params=[*CARRIERS, "python alone"])
def carrier_function(request: pytest.FixtureRequest, module: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """(input, output) -> runs the partition alone, as the virtual machine calls it."""
    import tvm

    (bundle,) = rknn_ep_tvm.bundles(module).values()
    content = bundle.source.read(0, bundle.source.size)
    text = describe(content, "rk3588", {"device": "simulator"})
    if request.param == "native":
        return native.create("rknn_here", text, content)["rknn_here"]
    rknn_ep_tvm.close_executors()
    if request.param == "python alone":
        monkeypatch.setattr(native, "load", lambda: False)  # as where the native libraries lack the module
    return partial(tvm.get_global_func("rknn_ep.run"), tvm.runtime.tensor(np.frombuffer(content, np.uint8)), text)


def test_wrong_tensors_are_refused(carrier_function: Any) -> None:
    import tvm

    with pytest.raises(Exception, match=r"'x' .*FLOAT"):
        carrier_function(tvm.runtime.tensor(random().astype(np.int32)), tvm.runtime.tensor(np.zeros((1, 8, 16, 16), np.float32)))

    good, output = tvm.runtime.tensor(random()), tvm.runtime.tensor(np.zeros((1, 8, 16, 16), np.float32))
    carrier_function(good, output)
    with pytest.raises(Exception, match="takes 1 inputs and 1 outputs"):
        carrier_function(good)
    with pytest.raises(Exception, match=r"'x' .*shape \[1,3,16,8\]"):
        carrier_function(tvm.runtime.tensor(random((1, 3, 16, 8))), output)


def test_many_threads_run_one_module(module: Any, expected: np.ndarray[Any, Any]) -> None:
    results = []
    made = [executable(module, carrier) for carrier in CARRIERS]

    def work(index: int) -> None:
        results.append(all(np.array_equal(run(made[index % 2], random())[0], expected) for _ in range(10)))

    threads = [threading.Thread(target=work, args=(index,), daemon=True) for index in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(SECONDS)
    assert results == [True] * 4
