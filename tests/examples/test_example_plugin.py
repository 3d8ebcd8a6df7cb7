"""The example plugin is installed as a stranger would install it, found, and used."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from tests.required import missing

EXAMPLE = Path(__file__).parents[2] / "examples" / "rknn_ep_batch_percentile"


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for PYTHONPATH that holds the built and installed plugin, and nothing else."""
    target = tmp_path_factory.mktemp("installed")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps", "--target", str(target)]
    result = subprocess.run([*pip, str(EXAMPLE)], capture_output=True, text=True, timeout=300, check=False)
    if result.returncode and "No matching distribution found for flit_core" in result.stderr:
        missing("index", "pip cannot reach it, and flit_core is needed to build the example")
    assert result.returncode == 0, result.stderr
    return target


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Conv, Resize to 5,120 columns, Conv: the shipped tables take the Resize, the plugin's rule does not."""
    random = np.random.default_rng(0)
    first = numpy_helper.from_array(random.normal(0, 0.3, (8, 3, 3, 3)).astype(np.float32), "w0")
    second = numpy_helper.from_array(random.normal(0, 0.3, (4, 8, 1, 1)).astype(np.float32), "w1")
    scales = numpy_helper.from_array(np.array([1, 1, 1, 2], np.float32), "scales")
    nearest = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric"}
    nodes = [
        helper.make_node("Conv", ["x", "w0"], ["c"], "conv0", pads=[1, 1, 1, 1]),
        helper.make_node("Resize", ["c", "", "scales"], ["r"], "wide", **nearest),
        helper.make_node("Conv", ["r", "w1"], ["y"], "conv1"),
    ]
    graph = helper.make_graph(
        nodes,
        "wide",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 4, 2560])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 4, 4, 5120])],
        [first, second, scales],
    )
    folder = tmp_path_factory.mktemp("model")
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(made, folder / "wide.onnx")
    np.savez(folder / "data.npz", x=random.normal(0, 1, (20, 3, 4, 2560)).astype(np.float32))
    return folder / "wide.onnx"


def rknn_ep(installed: Path, *arguments: str, code: int = 0, **environment: str) -> str:
    path = os.pathsep.join(filter(None, [str(installed), os.environ.get("PYTHONPATH", "")]))
    command = [sys.executable, "-c", "from rknn_ep.cli.main import main; main()", *arguments]
    environment = {**os.environ, "PYTHONPATH": path, **environment}
    result = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert result.returncode == code, result.stderr
    return result.stderr if code else result.stdout


def test_it_is_listed_with_what_it_provides(installed: Path) -> None:
    found = json.loads(rknn_ep(installed, "plugins", "--json"))
    plugin = next(item for item in found["plugins"] if item["plugin"] == "batch_percentile")
    assert (plugin["distribution"], plugin["version"]) == ("rknn-ep-batch-percentile", "1.0.0")
    assert [item["name"] for item in plugin["provides"]["calibrators"]] == ["batch_percentile"]
    assert [item["name"] for item in plugin["provides"]["capabilities"]] == ["batch_percentile.width"]


def test_its_rule_outranks_the_shipped_tables(installed: Path, model: Path) -> None:
    arguments = ("partition", str(model), "--precision", "fp16", "--min-partition-macs", "0")
    with_plugin = rknn_ep(installed, *arguments)
    assert "the output is 5120 wide" in with_plugin
    assert "rknn-ep-batch-percentile: our own board tests" in with_plugin
    without = rknn_ep(installed, *arguments, RKNN_EP_DISABLE_PLUGINS="batch_percentile")
    assert "the output is 5120 wide" not in without


def test_its_calibration_method_and_option_shape_the_scales(installed: Path, model: Path, tmp_path: Path) -> None:
    def input_scale(percentile: str) -> float:
        output = tmp_path / f"{percentile}.onnx"
        arguments = ["quantize", str(model), "-o", str(output), "--calibration", str(model.parent / "data.npz")]
        arguments += ["--min-partition-macs", "0"]
        arguments += ["--calibration-method", "batch_percentile", "--option", f"batch_percentile.percentile={percentile}"]
        rknn_ep(installed, *arguments)
        graph = onnx.load(output).graph
        values = {item.name: numpy_helper.to_array(item) for item in graph.initializer}
        quantize = next(node for node in graph.node if node.op_type == "QuantizeLinear" and node.input[0] == "x")
        return float(values[quantize.input[1]])

    # The data is standard normal: two-sided percentiles 90 and 99.9 lie at 1.28 and 3.09 sigma, over 255 steps.
    assert input_scale("90") == pytest.approx(2 * 1.2816 / 255, rel=0.02)
    assert input_scale("99.9") == pytest.approx(2 * 3.0902 / 255, rel=0.02)


def test_its_option_is_validated_by_itself(installed: Path, model: Path, tmp_path: Path) -> None:
    arguments = ["quantize", str(model), "-o", str(tmp_path / "y.onnx"), "--calibration", str(model.parent / "data.npz")]
    arguments += ["--min-partition-macs", "0"]
    arguments += ["--calibration-method", "batch_percentile", "--option", "batch_percentile.percentile=200"]
    assert "batch_percentile.percentile" in rknn_ep(installed, *arguments, code=2)
