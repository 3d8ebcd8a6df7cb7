"""PyTorch files and modules, against PyTorch itself."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest

import rknn_ep
from rknn_ep.errors import ModelError, OptionError
from tests import exported, models
from tests.required import missing

if find_spec("torch") is None:
    missing("torch", "python -m pip install 'rknn-ep[pytorch]'")

import torch
from torch import nn

FLOAT32_SUMS = 1e-4
"""Relative to the largest output: float32 sums in another order through 50 layers."""


class Block(nn.Module):
    """A residual block and a classifier, with what exporters stumble over: SiLU, a mean over axes, a flatten."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first = nn.Conv2d(3, 16, 3, stride=2, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(16)
        self.second = nn.Conv2d(16, 16, 3, padding=1)
        self.classify = nn.Linear(16, 10)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        value = nn.functional.silu(self.norm(self.first(image)))
        value = value + nn.functional.relu6(self.second(value))
        return self.classify(value.mean((2, 3)))


class EfficientNetLite0(nn.Module):
    """The network of tests.exported as PyTorch code, for its real weights."""

    def __init__(self, state: dict[str, Any]) -> None:
        super().__init__()
        self.state = {name: torch.tensor(value) for name, value in state.items()}

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        value = self._convolution(image, "_conv_stem", "_bn0", 2)
        channels, index = 32, 0
        for _, first_stride, expansion, output, repeats in exported.EFFICIENTNET_BLOCKS:
            for repeat in range(repeats):
                stride = first_stride if repeat == 0 else 1
                block, before = f"_blocks.{index}", value
                if expansion != 1:
                    value = self._convolution(value, f"{block}._expand_conv", f"{block}._bn0")
                value = self._convolution(value, f"{block}._depthwise_conv", f"{block}._bn1", stride, value.shape[1])
                value = self._convolution(value, f"{block}._project_conv", f"{block}._bn2", activation=False)
                if stride == 1 and channels == output:
                    value = value + before
                channels, index = output, index + 1
        value = self._convolution(value, "_conv_head", "_bn1").mean((2, 3))
        return nn.functional.linear(value, self._weight("_fc.weight"), self._weight("_fc.bias"))

    def _weight(self, name: str) -> torch.Tensor:
        return self.state[name]

    def _convolution(
        self, value: torch.Tensor, weight: str, norm: str, stride: int = 1, groups: int = 1, activation: bool = True
    ) -> torch.Tensor:
        kernel = self._weight(f"{weight}.weight")
        size, width = value.shape[-1], kernel.shape[-1]
        pad = max((-(-size // stride) - 1) * stride + width - size, 0)
        value = nn.functional.pad(value, (pad // 2, pad - pad // 2, pad // 2, pad - pad // 2))
        value = nn.functional.conv2d(value, kernel, stride=stride, groups=groups)
        parts = [self._weight(f"{norm}.{part}") for part in ("running_mean", "running_var", "weight", "bias")]
        value = nn.functional.batch_norm(value, *parts, eps=1e-3)
        return nn.functional.relu6(value) if activation else value


@pytest.fixture(scope="module")
def block() -> nn.Module:
    return Block().eval()


def image() -> torch.Tensor:
    return torch.rand((1, 3, 32, 32), generator=torch.Generator().manual_seed(1))


def same_numbers(model: bytes, module: Any, value: torch.Tensor) -> None:
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {session.get_inputs()[0].name: value.numpy()})
    with torch.no_grad():
        expected = module(value).numpy()
    np.testing.assert_allclose(found, expected, atol=FLOAT32_SUMS * np.abs(expected).max())


def test_a_module_in_memory(block: nn.Module) -> None:
    model = rknn_ep.import_model(block, input_shapes="image:1,3,32,32")
    assert [value.name for value in onnx.load_model_from_string(model).graph.input] == ["image"]
    same_numbers(model, block, image())


@pytest.mark.parametrize("suffix", [".pt", ".pth", ".torchscript"])
def test_a_torchscript_file(suffix: str, block: nn.Module, tmp_path: Path) -> None:
    path = tmp_path / f"block{suffix}"
    torch.jit.save(torch.jit.trace(block, image()), path)
    same_numbers(rknn_ep.import_model(path, input_shapes="image:1,3,32,32"), block, image())


def test_an_exported_program_knows_its_shapes(block: nn.Module, tmp_path: Path) -> None:
    path = tmp_path / "block.pt2"
    torch.export.save(torch.export.export(block, (image(),)), path)
    same_numbers(rknn_ep.import_model(path), block, image())


@pytest.mark.slow
@pytest.mark.models
@pytest.mark.parametrize("form", ["module", "torchscript"])
def test_efficientnet_lite0_with_its_real_weights(form: str, tmp_path: Path) -> None:
    module = EfficientNetLite0(exported.read_pytorch(models.efficientnet_lite0_weights())).eval()
    value = torch.rand((1, 3, 224, 224), generator=torch.Generator().manual_seed(1)) * 2 - 1
    source: Any = module
    if form == "torchscript":
        source = tmp_path / "lite0.pt"
        torch.jit.save(torch.jit.trace(module, value), source)
    model = rknn_ep.import_model(source, input_shapes="image:1,3,224,224")
    same_numbers(model, module, value)
    report = rknn_ep.partition(model, target="rk3588").to_dict()
    assert report["macs"]["npu_share"] == 1.0
    assert len(report["partitions"]) == 1


def test_element_types_that_are_not_float(tmp_path: Path) -> None:
    class Tokens(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.table = nn.Embedding(50, 8)

        def forward(self, ids: torch.Tensor) -> torch.Tensor:
            return self.table(ids).relu()

    module = Tokens().eval()
    model = rknn_ep.import_model(module, input_shapes="ids:1,6", **{"pytorch.input_types": "ids:int64"})
    same_numbers(model, module, torch.tensor([[1, 2, 3, 4, 5, 49]]))


def test_the_whole_way(block: nn.Module, tmp_path: Path) -> None:
    path = tmp_path / "block.pt"
    torch.jit.save(torch.jit.trace(block, image()), path)
    rknn_ep.compile(path, tmp_path / "ctx.onnx", input_shapes="image:1,3,32,32", min_partition_macs=0)
    rknn_ep.register()
    session = onnxruntime.InferenceSession(tmp_path / "ctx.onnx", providers=["RKNNExecutionProvider", "CPUExecutionProvider"])
    (found,) = session.run(None, {"image": image().numpy()})
    with torch.no_grad():
        expected = block(image()).numpy()
    np.testing.assert_allclose(found, expected, atol=2**-9 * np.abs(expected).max())  # float16: 11 bits, few roundings deep


def test_the_pages_example_runs(tmp_path: Path) -> None:
    page = Path(__file__).parents[2] / "docs" / "model-formats.md"
    (example,) = re.findall(r"```python\n(import torch\n.*?)```", page.read_text(), re.DOTALL)
    result = subprocess.run([sys.executable, "-c", example], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr


def test_importing_prints_nothing(tmp_path: Path) -> None:
    """The exporters like to print, and the command line's standard output belongs to --json."""
    path = tmp_path / "block.pt2"
    torch.export.save(torch.export.export(Block().eval(), (image(),)), path)
    code = f"import rknn_ep; rknn_ep.import_model({str(path)!r})"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout == ""


def test_missing_shapes_are_named(block: nn.Module) -> None:
    with pytest.raises(OptionError, match=r"input_shapes lacks image\n  Set input_shapes, for example input_shapes='image:1,3"):
        rknn_ep.import_model(block)


def test_an_unknown_element_type_is_named(block: nn.Module) -> None:
    with pytest.raises(OptionError, match=r"pytorch\.input_types': 'image:int65' is no argument"):
        rknn_ep.import_model(block, input_shapes="image:1,3,32,32", **{"pytorch.input_types": "image:int65"})


def test_weights_without_a_network(block: nn.Module, tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    torch.save(block.state_dict(), path)
    with pytest.raises(ModelError, match=r"is no TorchScript: it may hold weights without their network"):
        rknn_ep.import_model(path, input_shapes="image:1,3,32,32")


def test_a_pickle_is_not_executed(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> Any:
            return Path.touch, (tmp_path / "sprung",)

    torch.save(Trap(), tmp_path / "trap.pt")
    with pytest.raises(ModelError, match="is no TorchScript"):
        rknn_ep.import_model(tmp_path / "trap.pt", input_shapes="image:1,3,32,32")
    assert not (tmp_path / "sprung").exists()


def test_control_flow_on_values_is_pytorchs_refusal() -> None:
    class Branch(nn.Module):
        def forward(self, image: torch.Tensor) -> torch.Tensor:
            return image if bool(image.sum() > 0) else -image

    with pytest.raises(ModelError, match="PyTorch cannot export this model"):
        rknn_ep.import_model(Branch(), input_shapes="image:1,3,8,8")
