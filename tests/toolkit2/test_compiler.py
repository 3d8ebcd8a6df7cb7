"""The compiler `toolkit2` with the real toolkit: what it writes keeps our quantisation, for whoever reads it."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

import rknn_ep
from rknn_ep.artifact.bundle import Bundle
from rknn_ep.artifact.epcontext import read_epcontext
from rknn_ep.artifact.rknn_file import read_metadata
from rknn_ep.errors import ArtifactError, NotInstalledError, OptionError
from rknn_ep.options import Options
from rknn_ep.plugins import plugins
from rknn_ep_toolkit2.compiler import compile_partition
from rknn_ep_toolkit2.device import VendorSimulator, join
from rknn_ep_toolkit2.environment import VARIABLE, Toolkit
from rknn_ep_toolkit2.errors import ToolkitError
from rknn_ep_toolkit2.settings import Settings
from rknn_ep_toolkit2.vendor_copy import vendor_copy
from tests.toolkit2.networks import Net, conv_net, requests, samples, with_simulation

pytestmark = pytest.mark.toolkit2


@pytest.fixture
def calibration(tmp_path: Path) -> Path:
    path = tmp_path / "samples.npy"
    np.save(path, samples((1, 16, 32, 32)))
    return path


def compiled(tmp_path: Path, calibration: Path, name: str = "model_ctx.onnx", **options: object) -> tuple[Path, object]:
    model = conv_net().model("mul8_out")
    given = {
        "target": "rk3588",
        "min_partition_macs": 0,
        **({} if options.get("precision") == "fp16" else {"calibration": calibration}),
    }
    given |= options
    report = rknn_ep.compile(model, tmp_path / name, **given)
    return tmp_path / name, report


def test_every_scale_is_ours_in_the_toolkit_and_in_the_file(toolkit: Toolkit, tmp_path: Path) -> None:
    net = conv_net()
    (request,) = requests(net.model("mul8_out"), tmp_path, net.shape)
    result = compile_partition(with_simulation(request))
    check = result.notes["parameters"]
    assert check["differences"] == [] and check["read_from"] == ["toolkit", "file"]
    assert check["scales_kept"] >= 6 and check["weight_scales_kept"] == 4
    metadata = read_metadata(result.entries["rk3588.rknn"])
    assert metadata.target == "rk3588" and metadata.graphs[0].inputs[0].name == "x"
    ours = vendor_copy(request.model, "p").parameters
    stored = [tensor for tensor in metadata.graphs[0].tensors if tensor.name in ours and tensor.scale]
    assert len(stored) >= 6
    for tensor in stored:
        assert tensor.scale[0] == pytest.approx(ours[tensor.name][0], rel=1e-6) and tensor.zero_point[0] == ours[tensor.name][1]


@pytest.mark.parametrize("two", [False, True], ids=["x + Conv(x)", "Conv + Conv"])
def test_sums_with_convolutions_keep_our_weights(toolkit: Toolkit, tmp_path: Path, two: bool) -> None:
    """Left to itself the compiler makes one convolution of each, with other weights, quantised anew: up to 20 LSB away."""
    net = Net((1, 16, 16, 16))
    a = net.add("Relu", net.conv("x", 16, 16))
    out = net.add("Add", net.conv(a, 16, 16) if two else a, net.conv(a, 16, 16))
    (request,) = requests(net.model(out), tmp_path, net.shape)
    check = compile_partition(with_simulation(request)).notes["parameters"]
    assert "weights_rewritten" not in check and check["weight_scales_kept"] == (3 if two else 2)


def test_the_custom_string_names_the_companion(toolkit: Toolkit, tmp_path: Path, calibration: Path) -> None:
    path, _ = compiled(tmp_path, calibration)
    bundle = read_epcontext(path).own[0].open_bundle()
    digest = hashlib.sha256(bundle.read("simulation.onnx") + bundle.read("simulation.data")).hexdigest()
    assert read_metadata(bundle.read("rk3588.rknn")).custom_string == f"rknn_ep:1 partition=rknn_0 bundle={digest}"


def test_layers_are_in_the_report(toolkit: Toolkit, tmp_path: Path, calibration: Path) -> None:
    _, report = compiled(tmp_path, calibration)
    notes = report.sections["compilation"]["rknn_0"]["toolkit2"]  # type: ignore[attr-defined]
    assert {layer["unit"] for layer in notes["layers"]} <= {"npu", "cpu"} and notes["native_operators"]["npu"] >= 4
    first = notes["layers"][0]
    assert first["native"].startswith("Conv") and first["nodes"][0] == "Conv conv0" and first["cycles"] > 0
    assert notes["weight_bytes"] > 0 and notes["internal_bytes"] > 0
    assert "Conv conv0" in report.to_table()  # type: ignore[attr-defined]
    json.dumps(report.to_dict())  # type: ignore[attr-defined]


def _one_operator(kind: str) -> tuple[Net, str]:
    if kind == "Gemm":
        net = Net((1, 256))
        return net, net.add("Gemm", "x", net.constant(256, 128), net.constant(128))
    if kind == "SpaceToDepth":
        net = Net((1, 3, 16, 16))
        return net, net.add("SpaceToDepth", net.conv("x", 3, 8), blocksize=2)
    if kind == "heads of an attention":
        net = Net((1, 40, 64))
        rows = net.add("Add", net.add("MatMul", "x", net.constant(64, 96)), net.constant(96))
        heads = net.add("Transpose", net.add("Reshape", rows, net.given(np.array([1, 40, 3, 4, 8]))), perm=[2, 0, 3, 1, 4])
        first, second, third = (net.given(np.array([number])) for number in range(3))
        query = net.add("Squeeze", net.add("Slice", heads, first, second, first), first)
        key = net.add("Squeeze", net.add("Slice", heads, second, third, first), first)
        return net, net.add("MatMul", query, net.add("Transpose", key, perm=[0, 1, 3, 2]))
    net = Net((1, 32, 16, 16))
    conv = net.conv("x", 32, 64)
    if kind == "SiLU":
        return net, net.add("Mul", conv, net.add("Sigmoid", conv))
    if kind == "AveragePool":
        return net, net.add(kind, conv, kernel_shape=[2, 2], strides=[2, 2])
    return net, net.add(kind, conv) if kind == "GlobalAveragePool" else conv


@pytest.mark.parametrize(
    ("kind", "soc"),
    [
        *((kind, "rk3588") for kind in ("Conv", "Gemm", "SpaceToDepth", "SiLU", "AveragePool", "GlobalAveragePool")),
        ("heads of an attention", "rk3588"),
        *(("SiLU", soc) for soc in ("rk3576", "rk3568", "rk3562", "rv1106")),
    ],
)
def test_one_operator_is_exact_in_the_vendors_simulator(toolkit: Toolkit, tmp_path: Path, kind: str, soc: str) -> None:
    """Only with our very scales, of weights too: another one moves most codes. None lies on a border between codes."""
    net, out = _one_operator(kind)
    (request,) = requests(net.model(out), tmp_path, net.shape, target=soc)
    entries = with_simulation(request).entries
    settings = onnxruntime.SessionOptions()
    settings.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    exact = onnxruntime.InferenceSession(join(entries["simulation_exact.onnx"], entries["simulation.data"]), settings)
    copy = vendor_copy(request.model, "p")
    vendor = VendorSimulator(copy, Settings.of(soc, "int8", {}))
    try:
        values = same = 0
        for x in samples(net.shape, 8, seed=5):
            (ours,), (theirs,) = exact.run(None, {"x": x}), vendor.run([x])
            step = copy.parameters[out][0]
            same += np.count_nonzero(np.rint(ours / step) == np.rint(theirs / step))
            values += ours.size
        assert same == values
    finally:
        vendor.close()


@pytest.mark.parametrize("soc", ["rk3588", "rk3576", "rv1106"])
@pytest.mark.parametrize(("kernel", "pads"), [([1, 3], [0, 1, 0, 1]), ([3, 1], [1, 0, 1, 0]), ([3, 3], [1, 1, 1, 1])])
def test_an_average_that_leaves_its_padding_out_compiles(
    toolkit: Toolkit, tmp_path: Path, soc: str, kernel: list[int], pads: list[int]
) -> None:
    """It is a mean that counts the padding, times a plane; written out, a plane of equal rows kills the compiler."""
    net = Net((1, 32, 16, 16))
    out = net.add("AveragePool", net.conv("x", 32, 24), kernel_shape=kernel, pads=pads)
    (request,) = requests(net.model(out), tmp_path, net.shape, target=soc)
    assert len(compile_partition(request).entries[f"{soc}.rknn"]) > 0


def test_one_bundle_for_several_boards(toolkit: Toolkit, tmp_path: Path, calibration: Path) -> None:
    path, report = compiled(tmp_path, calibration, also_targets=["rk3576", "rv1106", "rk3588"])
    bundle = read_epcontext(path).own[0].open_bundle()
    names = {"rk3588.rknn", "rk3576.rknn", "rv1106.rknn"}
    assert names <= set(bundle.names)
    assert read_metadata(bundle.read("rk3576.rknn")).target == "rk3576"
    notes = report.sections["compilation"]["rknn_0"]  # type: ignore[attr-defined]
    for name in ("toolkit2", "toolkit2 for rk3576", "toolkit2 for rv1106"):
        assert notes[name]["parameters"]["differences"] == [], name


def test_stripped_models_hold_only_what_boards_load(toolkit: Toolkit, tmp_path: Path, calibration: Path) -> None:
    path, _ = compiled(tmp_path, calibration, strip_simulation=True)
    assert set(read_epcontext(path).own[0].open_bundle().names) == {"native.txt", "rk3588.rknn"}


def test_bare_files_have_their_companion_beside_them(toolkit: Toolkit, tmp_path: Path, calibration: Path) -> None:
    path, _ = compiled(tmp_path, calibration, "net.rknn", format="rknn")
    assert read_metadata(path).target == "rk3588"
    assert "simulation.onnx" in Bundle.open(path.with_suffix(".rknnctx")).names
    assert sorted(one.name for one in tmp_path.iterdir()) == ["net.rknn", "net.rknnctx", "samples.npy"]


def test_half_precision_and_16_bits(toolkit: Toolkit, tmp_path: Path) -> None:
    net = conv_net()
    model = net.model("mul8_out")
    (half,) = requests(model, tmp_path, net.shape, precision="fp16")
    assert compile_partition(with_simulation(half)).notes["quantized_by"] == "nobody: float16"
    (wide,) = requests(model, tmp_path, net.shape, precision="int16")
    notes = compile_partition(with_simulation(wide)).notes
    assert notes["quantized_by"] == "the vendor" and notes["quantization"]["dtype"] == "w16a16i_dfp"
    assert "INT16" in {layer["dtype"] for layer in notes["layers"]}


def test_the_vendors_own_quantisation(toolkit: Toolkit, tmp_path: Path) -> None:
    net = conv_net()
    (request,) = requests(net.model("mul8_out"), tmp_path, net.shape, quantizer="toolkit2", calibration_method="kl_divergence")
    notes = compile_partition(with_simulation(request)).notes
    assert notes["quantized_by"] == "the vendor" and notes["quantization"]["algorithm"] == "kl_divergence"
    assert "not with the vendor's" in notes["simulation"]


def test_4_bit_weights_where_the_soc_has_them(toolkit: Toolkit, tmp_path: Path) -> None:
    net = Net((1, 256))
    model = net.model(net.add("Gemm", "x", net.constant(256, 128), net.constant(128)))
    option = {"toolkit2.weight_bits": "4"}
    (request,) = requests(model, tmp_path, net.shape, target="rk3576", **option)
    assert compile_partition(with_simulation(request)).notes["quantization"]["dtype"] == "w4a16"


def test_soc_without_float16_gets_no_float(toolkit: Toolkit, tmp_path: Path) -> None:
    """The logits of a Softmax stay float elsewhere; RV1106 has nothing to compute them in."""
    net = Net((1, 16, 8, 8))
    flat = net.add("Flatten", net.add("Relu", net.conv("x", 16, 8)))
    logits = net.add("Add", net.add("MatMul", flat, net.constant(512, 10)), net.constant(10))
    (request,) = requests(net.model(net.add("Softmax", logits, axis=-1)), tmp_path, net.shape, target="rv1106")
    result = compile_partition(with_simulation(request))
    assert result.notes["parameters"]["differences"] == [] and result.entries["rv1106.rknn"][:4] == b"RKNN"


def test_what_another_soc_was_left_as_float_is_refused_with_the_advice_to_plan_for_this_one(
    toolkit: Toolkit, tmp_path: Path
) -> None:
    net = Net((1, 16, 16, 16))
    a, b = net.add("Relu", net.conv("x", 16, 16)), net.add("Relu", net.conv("x", 16, 16))
    out = net.add("Softmax", net.add("MatMul", a, b), axis=-1)
    (request,) = requests(net.model(out), tmp_path, net.shape)
    small = replace(with_simulation(request), target=plugins().target("rv1106"))
    with pytest.raises(ToolkitError, match="target=rv1106, and the others as also_targets") as caught:
        compile_partition(small)
    assert "float16" in caught.value.said


def test_a_session_on_the_simulator_does_not_ask_for_the_toolkit(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, calibration: Path
) -> None:
    from rknn_ep.compilation import choose_compilers

    monkeypatch.setenv(VARIABLE, str(tmp_path / "nothing"))
    chosen = choose_compilers(Options.parse({"device": "simulator"}), plugins(), "simulator", None)
    assert [one.name for one in chosen.everywhere] == ["simulator"] and not chosen.devices


def test_without_the_toolkit_the_result_says_what_is_missing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, calibration: Path
) -> None:
    monkeypatch.setenv(VARIABLE, str(tmp_path / "nothing"))
    path, report = compiled(tmp_path, calibration)
    assert "rk3588.rknn" not in read_epcontext(path).own[0].open_bundle().names
    assert "toolkit" in report.sections["compilation"]["left_out"]["toolkit2"]  # type: ignore[attr-defined]
    for name, wanted in (("net.rknn", {"format": "rknn"}), ("stripped.onnx", {"strip_simulation": True})):
        steps: list[str] = []
        with pytest.raises(NotInstalledError, match=r"no compiler here that writes \.rknn: 'toolkit2', .*toolkit install"):
            compiled(tmp_path, calibration, name, progress=lambda message, share, steps=steps: steps.append(message), **wanted)
        assert not steps, "it is said after the work"


def test_a_device_that_needs_the_toolkit_is_an_error_without_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, calibration: Path
) -> None:
    monkeypatch.setenv(VARIABLE, str(tmp_path / "nothing"))
    with pytest.raises(OptionError, match="device=board needs the compiler 'toolkit2', which is not"):
        compiled(tmp_path, calibration, device="board")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"also_targets": ["rk3589"]}, "rk3588"),
        ({"format": "tflite"}, "does not take 'tflite'"),
        ({"format": "rknn"}, "writes .rknn files"),
        ({"also_targets": ["rv1106"], "precision": "fp16"}, "rv1106 does not compute in fp16"),
    ],
)
def test_what_cannot_be_asked_for_is_said_before_any_work(
    tmp_path: Path, calibration: Path, options: dict[str, object], message: str
) -> None:
    with pytest.raises(OptionError, match=message):
        compiled(tmp_path, calibration, **options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"toolkit2.weight_bits": "4"}, r"rk3588 has no 4-bit weights \(w4a16\)\s+These have: rk3576, rv1126b"),
        ({"toolkit2.weight_bits": "4", "target": "rk3576", "also_targets": ["rk3568"]}, "rk3568 has no 4-bit weights"),
        ({"toolkit2.weight_bits": "4", "target": "rk3576", "precision": "fp16"}, "is 4, and precision is fp16"),
        ({"toolkit2.wait_bits": "4"}, "did you mean 'weight_bits'"),
        ({"precision": "int16", "device": "toolkit2"}, "own 8-bit quantisation or float16, and precision=int16 is"),
        ({"quantizer": "toolkit2", "device": "toolkit2"}, "and quantizer=toolkit2 is quantised by the toolkit"),
    ],
)
def test_options_of_the_toolkit_that_do_not_fit_are_said_before_any_work(
    tmp_path: Path, calibration: Path, options: dict[str, object], message: str
) -> None:
    steps: list[str] = []
    with pytest.raises(OptionError, match=message):
        compiled(tmp_path, calibration, progress=lambda said, share: steps.append(said), **options)
    assert not steps


def test_4_bit_weights_without_data_are_refused_before_any_work() -> None:
    with pytest.raises(OptionError, match="the toolkit quantises by itself, and there is no calibration data"):
        Options.parse({"target": "rk3576", "toolkit2.weight_bits": "4"})


def test_an_output_without_its_folder_is_said_before_any_work(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"there is no folder .*missing"):
        compiled(tmp_path, tmp_path / "no.npy", "missing/model_ctx.onnx")


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("toolkit2.levels", "1", "unknown option 'toolkit2.levels'"),
        ("toolkit2.optimization_level", "7", "is a number from 0 to 3, not '7'"),
        ("toolkit2.weight_bits", "3", "does not take '3'"),
        ("toolkit2.algorithm", "median", "does not take 'median'"),
    ],
)
def test_wrong_options_of_the_plugin_name_the_right_ones(option: str, value: str, message: str) -> None:
    with pytest.raises(OptionError, match=message):
        Settings.of("rk3588", "int8", {option: value})


def test_a_wrong_option_of_the_plugin_is_an_error_and_no_fallback(toolkit: Toolkit, tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="did you mean 'optimization_level'"):
        compiled(tmp_path, tmp_path, precision="fp16", **{"toolkit2.optimisation_level": "2"})
    assert not list(tmp_path.iterdir())


def test_two_builds_of_one_request_are_one_in_the_cache(toolkit: Toolkit, tmp_path: Path, calibration: Path) -> None:
    _, first = compiled(tmp_path, calibration)
    path, again = compiled(tmp_path, calibration, "again.onnx")
    assert first.to_dict() == again.to_dict() and read_epcontext(path).own[0].open_bundle()  # type: ignore[attr-defined]


def test_requests_carry_the_partitions_own_samples(tmp_path: Path) -> None:
    """A partition behind a node of the host is calibrated with what that node gives."""
    net = Net((1, 16, 8, 8))
    a = net.add("Relu", net.conv("x", 16, 16))
    net.conv(net.add("Asin", net.add("Mul", a, net.given(np.float32(0.01)))), 16, 16)
    made = requests(net.model("conv4_out"), tmp_path, net.shape, exclude_ops="Asin")
    assert len(made) == 2 and made[1].samples is not None
    arrays = list(made[1].samples())
    assert len(arrays) == 20 and arrays[0][0].shape == (1, 16, 8, 8) and 0 < np.abs(arrays[0][0]).max() < 1
    assert replace(made[0], entries={}).samples is not None
