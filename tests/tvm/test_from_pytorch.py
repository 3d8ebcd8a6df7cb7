"""PyTorch programs (`torch.export`) through TVM's frontend onto the NPU, against PyTorch itself."""

from __future__ import annotations

import re
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rknn_ep.errors import ShapeError
from rknn_ep_tvm.version import unavailable
from tests import exported, models
from tests.required import missing
from tests.tvm import harness

if find_spec("torch") is None:
    missing("torch", "python -m pip install 'rknn-ep[pytorch]'")
if why := unavailable():
    missing("tvm", why)

import torch
from tvm import relax
from tvm.relax.frontend.torch import from_exported_program

import rknn_ep_tvm
from rknn_ep_tvm.running import RUN
from tests.importers.test_pytorch import Block, EfficientNetLite0, image
from tests.tvm.harness import calls

FLOAT16 = 2**-9
"""Relative to the largest output: float16 has 11 bits, and a few roundings lie on the way."""


def program(module: Any, value: torch.Tensor) -> Any:
    """The Relax module of a PyTorch module."""
    return from_exported_program(torch.export.export(module.eval(), (value,)))


def outputs(module: Any, value: torch.Tensor) -> np.ndarray[Any, Any]:
    with torch.no_grad():
        return np.asarray(module(value))


def cosine(found: np.ndarray[Any, Any], expected: np.ndarray[Any, Any]) -> float:
    return float(np.vdot(found, expected) / np.linalg.norm(found) / np.linalg.norm(expected))


def test_a_module_is_one_partition() -> None:
    mod, report = rknn_ep_tvm.partition_for_rknn(program(Block(), image()), target=harness.TARGET, **harness.SMALL)
    assert calls(mod).count(RUN) == 1
    assert report.to_dict()["macs"]["npu_share"] == 1.0
    (found,) = harness.run(harness.compiled(mod), image().numpy())
    expected = outputs(Block().eval(), image())
    np.testing.assert_allclose(found, expected, atol=FLOAT16 * np.abs(expected).max())


@pytest.mark.parametrize("causal", [False, True])
def test_attention_is_one_partition(causal: bool) -> None:
    """As docs/tvm.md imports transformers."""

    class Attention(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm, self.first, self.last = torch.nn.LayerNorm(32), torch.nn.Linear(32, 96), torch.nn.Linear(32, 32)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            query, key, value = self.first(self.norm(x)).reshape(1, 16, 3, 4, 8).permute(2, 0, 3, 1, 4)
            mixed = torch.nn.functional.scaled_dot_product_attention(query, key, value, is_causal=causal)
            return x + self.last(mixed.transpose(1, 2).reshape(1, 16, 32))

    torch.manual_seed(0)
    module, value = Attention().eval(), torch.randn(1, 16, 32)
    mod = from_exported_program(torch.export.export(module, (value,)), run_ep_decomposition=False)
    mod, report = rknn_ep_tvm.partition_for_rknn(mod, target=harness.TARGET, **harness.SMALL)
    assert calls(mod) == [RUN] and not report.rejected
    (found,) = harness.run(harness.compiled(mod), value.numpy())
    expected = outputs(module, value)
    np.testing.assert_allclose(found, expected, atol=FLOAT16 * np.abs(expected).max())


def test_a_symbolic_batch_is_named_and_can_be_bound() -> None:
    batch = torch.export.Dim("batch", min=1, max=8)
    exported_program = torch.export.export(Block().eval(), (torch.cat([image(), image()]),), dynamic_shapes=({0: batch},))
    mod = from_exported_program(exported_program)
    with pytest.raises(ShapeError, match="is symbolic and has no value") as raised:
        rknn_ep_tvm.partition_for_rknn(mod, target=harness.TARGET)
    (name,) = re.findall(r"BindSymbolicVars\(\{'(\w+)': 1\}\)", str(raised.value))  # the way that the message shows
    bound, _ = rknn_ep_tvm.partition_for_rknn(
        relax.transform.BindSymbolicVars({name: 1})(mod), target=harness.TARGET, **harness.SMALL
    )
    assert calls(bound).count(RUN) == 1


def test_the_pages_example_runs(tmp_path: Path) -> None:
    page = Path(__file__).parents[2] / "docs" / "tvm.md"
    (example,) = re.findall(r"```python\n(import torch\n.*?)```", page.read_text(), re.DOTALL)
    np.savez(tmp_path / "samples.npz", image=np.random.default_rng(0).normal(0, 1, (24, 3, 64, 64)).astype(np.float32))
    (tmp_path / "example.py").write_text(f"import os\nos.chdir({str(tmp_path)!r})\n{example}")
    done = harness.in_new_process(str(tmp_path / "example.py"))
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
@pytest.mark.models
def test_efficientnet_lite0_in_int8(tmp_path: Path) -> None:
    """Real weights and photographs: everything on the NPU, and the float network's features."""
    from PIL import Image

    module = EfficientNetLite0(exported.read_pytorch(models.efficientnet_lite0_weights())).eval()
    pictures = [np.asarray(Image.open(path).convert("RGB").resize((224, 224)), np.float32) for path in models.pictures()]
    values = np.stack([(picture.transpose(2, 0, 1) - 127) / 128 for picture in pictures])
    np.savez(tmp_path / "samples.npz", image=values[1:])
    first = torch.from_numpy(values[:1])
    mod, report = rknn_ep_tvm.partition_for_rknn(
        program(module, first), target=harness.TARGET, calibration=tmp_path / "samples.npz"
    )
    assert report.precision == "int8" and report.to_dict()["macs"]["npu_share"] >= 0.95
    assert calls(mod).count(RUN) == 1
    (found,) = harness.run(harness.compiled(mod), values[:1])
    expected = outputs(module, first)
    assert cosine(found, expected) > 0.95 and found.argmax() == expected.argmax()
