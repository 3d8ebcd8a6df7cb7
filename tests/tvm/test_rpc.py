"""Modules over TVM's RPC: the server knows nothing of us but the installed package."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from rknn_ep_tvm.targets import make_target
from tests.tvm.harness import TARGET, compiled, imported, network, random, rpc_session, run, samples


@pytest.mark.parametrize(("carrier", "suffix"), [("python", ".so"), ("native", ".tar")])
def test_uploaded_module_runs_on_the_server(tmp_path: Path, carrier: str, suffix: str) -> None:
    import tvm
    from tvm import relax

    module = imported(network(), calibration=samples(tmp_path)).mod
    executable = compiled(module, make_target(TARGET, carrier=carrier))
    expected = run(executable, random())[0]
    library = tmp_path / f"travels{suffix}"
    executable.export_library(str(library))
    with rpc_session(tmp_path) as remote:
        remote.upload(str(library))
        machine = relax.VirtualMachine(remote.load_module(library.name), remote.cpu())
        machine.set_input("main", tvm.runtime.tensor(random(), remote.cpu()))
        machine.invoke_stateful("main")
        np.testing.assert_array_equal(machine.get_outputs("main").numpy(), expected)
