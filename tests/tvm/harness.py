"""Small models, their modules, and how they are run."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

SHAPE = (1, 3, 16, 16)
TARGET = "rockchip/rk3588-sim"
SMALL = {"min_partition_macs": 0}
"""The cost model would give models as small as these back to the CPU."""
SECONDS = 300
"""More than any wait here takes, also where PyTorch is installed, which TVM loads with itself: a longer one is an error."""


def network(*, cpu_end: bool = True, seed: int = 0, dynamic: bool = False) -> onnx.ModelProto:
    """Conv + Relu for the NPU and, with `cpu_end`, a Mod that no target computes: [1,3,16,16] -> [1,8,16,16].

    `dynamic` leaves the batch open, as `batch`.
    """
    rng = np.random.default_rng(seed)
    weights = numpy_helper.from_array(rng.standard_normal((8, 3, 3, 3), np.float32), "w")
    bias = numpy_helper.from_array(rng.standard_normal(8, np.float32), "b")
    two = numpy_helper.from_array(np.float32(1.5), "two")
    nodes = [
        helper.make_node("Conv", ["x", "w", "b"], ["c"], name="conv", pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c"], ["r"], name="relu"),
    ]
    if cpu_end:
        nodes.append(helper.make_node("Mod", ["r", "two"], ["y"], name="mod", fmod=1))
    batch: Any = "batch" if dynamic else 1
    graph = helper.make_graph(
        nodes,
        "network",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, (batch, *SHAPE[1:]))],
        [helper.make_tensor_value_info("y" if cpu_end else "r", TensorProto.FLOAT, (batch, 8, *SHAPE[2:]))],
        [weights, bias, *([two] if cpu_end else [])],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def random(shape: Sequence[int] = SHAPE, seed: int = 0) -> np.ndarray[Any, Any]:
    """Normal float32."""
    return np.random.default_rng(seed).standard_normal(tuple(shape), np.float32)


def samples(folder: Path, shape: Sequence[int] = SHAPE, count: int = 4) -> Path:
    """A calibration file for one input."""
    path = folder / "samples.npy"
    if not path.exists():
        np.save(path, random((count, *shape[1:]), seed=7))
    return path


def run(executable: Any, *inputs: np.ndarray[Any, Any]) -> list[np.ndarray[Any, Any]]:
    """Run `main` of an executable or a loaded module once."""
    import tvm
    from tvm import relax

    from rknn_ep_tvm import as_tensor

    machine = relax.VirtualMachine(executable, tvm.cpu())
    result = machine["main"](*map(as_tensor, inputs))
    outputs = [result] if isinstance(result, tvm.runtime.Tensor) else list(result)
    return [output.numpy() for output in outputs]


def imported(model: Any, *, target: str = TARGET, **options: Any) -> Any:
    """`from_onnx` for small models."""
    import rknn_ep_tvm

    return rknn_ep_tvm.from_onnx(model, target=target, **{**SMALL, **options})


def compiled(mod: Any, target: Any = TARGET) -> Any:
    """An executable through the pipeline `rknn`."""
    import tvm

    return tvm.compile(mod, target=target, relax_pipeline="rknn")


def calls(mod: Any) -> list[str]:
    """Operators and external functions that `main` calls, in order."""
    from tvm import relax

    found = []

    def look(expression: Any) -> None:
        if isinstance(expression, relax.Call):
            external = expression.op.name == "relax.call_dps_packed"
            found.append(str(expression.args[0].global_symbol) if external else expression.op.name)

    relax.analysis.post_order_visit(mod["main"], look)
    return found


def through_onnxruntime(model: onnx.ModelProto | Path, folder: Path, *inputs: np.ndarray[Any, Any], **options: Any) -> Any:
    """(outputs, EPContext model) of the same model compiled for ONNX Runtime's simulated NPU, in a cache of its own."""
    import onnxruntime

    import rknn_ep

    source = model if isinstance(model, Path) else model.SerializeToString()
    context = folder / "context.onnx"
    rknn_ep.compile(source, context, device="simulator", cache_dir=folder / "other cache", **options)
    rknn_ep.register("onnxruntime")
    provider = ("RKNNExecutionProvider", {"target": options["target"], "device": "simulator"})
    session = onnxruntime.InferenceSession(context, providers=[provider, "CPUExecutionProvider"])
    names = [value.name for value in session.get_inputs()]
    return session.run(None, dict(zip(names, inputs, strict=True))), context


def in_new_process(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Python in a process of its own.

    Raises:
        subprocess.TimeoutExpired: it did not end in SECONDS.
    """
    return subprocess.run(
        [sys.executable, *arguments],
        check=False,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=SECONDS,
        env={**os.environ, **environment},
    )


def within(seconds: float, what: str, work: Callable[[], Any]) -> Any:
    """The result of native code that might wait for ever: then the test fails and says for what.

    Raises:
        TimeoutError: it did not end; its thread is left alone.
    """
    results: list[Any] = []
    failures: list[BaseException] = []

    def run() -> None:
        try:
            results.append(work())
        except BaseException as error:  # noqa: BLE001 (goes on in the caller's thread)
            failures.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(seconds)
    if failures:
        raise failures[0]
    if not results:
        raise TimeoutError(f"{what} did not end in {seconds:.0f} s")
    return results[0]


@contextmanager
def rpc_session(folder: Path, **environment: str) -> Iterator[Any]:
    """A session with TVM's own RPC server on loopback, started as its documentation says, with nothing preloaded.

    Args:
        folder: where what the server says is written, so that no full pipe stops it.
        **environment: more variables for the server.
    """
    command = [sys.executable, "-m", "tvm.exec.rpc_server", "--host", "127.0.0.1", "--port", "19090", "--port-end", "19290"]
    log = folder / "server.log"
    with (
        log.open("w") as output,
        subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env={**os.environ, **environment},
            start_new_session=True,
        ) as server,
    ):
        try:
            port = _bound_port(server, log)
            yield within(SECONDS, f"connecting to the RPC server: {log.read_text()}", lambda: _connect(port))
        finally:
            os.killpg(server.pid, signal.SIGKILL)  # it works in a process of its own


def _bound_port(server: subprocess.Popen[Any], log: Path) -> int:
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        if bound := re.search(r"bind to .*:(\d+)", log.read_text()):
            return int(bound[1])
        assert server.poll() is None, f"the RPC server ended: {log.read_text()}"
        time.sleep(0.1)
    raise TimeoutError(f"the RPC server did not say in {SECONDS} s where it listens: {log.read_text()}")


def _connect(port: int) -> Any:
    from tvm import rpc

    for attempt in range(50):  # it says where it is bound before it listens
        try:
            return rpc.connect("127.0.0.1", port, session_timeout=SECONDS)  # the server ends a session that takes longer
        except RuntimeError:
            if attempt == 49:
                raise
            time.sleep(0.1)
    raise AssertionError
