"""Relax modules on the NPU: `partition_for_rknn`, and the pipeline `rknn` on modules that nobody partitioned."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rknn_ep.errors import CalibrationError, ModelError, OptionError, ShapeError
from rknn_ep_tvm.version import unavailable
from tests.required import missing
from tests.tvm import harness
from tests.tvm.harness import calls

if why := unavailable():
    missing("tvm", why)

import tvm
from tvm import relax
from tvm.relax import op

import rknn_ep_tvm
from rknn_ep_tvm.running import RUN

SHAPE = (1, 3, 32, 32)
FLOAT16 = 2**-9
"""Relative to the largest output: float16 has 11 bits, and a few roundings lie on the way."""


def network(*, cpu_in_the_middle: bool = False, batch: Any = 1) -> Any:
    """Two convolutions, weights that are transposed first, a split, a classifier; with or without a cumulative sum between."""
    random = np.random.default_rng(0)

    def weight(*shape: int) -> Any:
        return relax.const(random.normal(0, np.prod(shape[1:]) ** -0.5, shape).astype(np.float32))

    builder = relax.BlockBuilder()
    x = relax.Var("x", relax.TensorType((batch, *SHAPE[1:]), "float32"))
    with builder.function("main", [x]):
        with builder.dataflow():
            value = builder.emit(op.nn.conv2d(x, weight(16, 3, 3, 3), strides=[2, 2], padding=[1, 1]))
            value = builder.emit(op.add(value, builder.emit(op.reshape(weight(16), (1, 16, 1, 1)))))
            value = builder.emit(op.nn.silu(value))
            halves = builder.emit(op.split(value, 2, axis=1))
            left = builder.emit(relax.TupleGetItem(halves, 0))
            right = builder.emit(op.nn.max_pool2d(builder.emit(relax.TupleGetItem(halves, 1)), [3, 3], [1, 1], [1, 1]))
            value = builder.emit(op.concat([right, left], axis=1))
            if cpu_in_the_middle:
                value = builder.emit(op.cumsum(value, axis=3))
            pooled = builder.emit(op.mean(builder.emit(op.nn.relu(value)), axis=[2, 3]))
            kernel = builder.emit(op.permute_dims(weight(10, 16), [1, 0]))
            scores = builder.emit_output(op.matmul(pooled, kernel))
            features = builder.emit_output(value)
        builder.emit_func_output(relax.Tuple([scores, features]))
    return builder.get()


def partitioned(mod: Any, **options: Any) -> Any:
    return rknn_ep_tvm.partition_for_rknn(mod, target=harness.TARGET, **{**harness.SMALL, **options})


def samples(folder: Path, count: int = 24) -> Path:
    path = folder / "samples.npy"
    np.save(path, harness.random((count, *SHAPE[1:]), seed=5))
    return path


def on_the_cpu(mod: Any, *inputs: np.ndarray[Any, Any]) -> list[np.ndarray[Any, Any]]:
    return harness.run(tvm.compile(mod, target="llvm"), *inputs)


def test_a_whole_module_is_one_partition_in_float16() -> None:
    mod, report = partitioned(network())
    assert calls(mod) == [RUN]
    facts = report.to_dict()
    assert facts["macs"]["npu_share"] == 1.0
    values = harness.random(SHAPE)
    for found, expected in zip(harness.run(harness.compiled(mod), values), on_the_cpu(network(), values), strict=True):
        np.testing.assert_allclose(found, expected, atol=FLOAT16 * np.abs(expected).max())


def test_int8_is_calibrated_by_the_module_itself(tmp_path: Path) -> None:
    mod, report = partitioned(network(cpu_in_the_middle=True), calibration=samples(tmp_path))
    assert calls(mod) == [RUN, "relax.cumsum", RUN]
    quantised = [notes["quantization"] for notes in report.to_dict()["sections"]["partitions"].values()]
    assert [notes["samples"] for notes in quantised] == [24, 24]
    values = harness.random(SHAPE)
    for found, expected in zip(
        harness.run(harness.compiled(mod), values), on_the_cpu(network(cpu_in_the_middle=True), values), strict=True
    ):
        cosine = np.vdot(found, expected) / np.linalg.norm(found) / np.linalg.norm(expected)
        assert cosine > 0.995  # int8 on random weights; a swapped output or scale falls far below


def test_what_stays_is_named_with_its_reason() -> None:
    _, report = partitioned(network(cpu_in_the_middle=True))
    facts = report.to_dict()
    refused = [verdict for verdict in facts["verdicts"] if verdict["where"] not in ("npu", "native_cpu")]
    assert [verdict["op_type"] for verdict in refused] == ["cumsum"]
    assert list(facts["sections"]["relax"].values()) == ["relax.cumsum: there is no converter for this operator"]


def test_the_capability_tables_decide() -> None:
    """The same data as for ONNX: a node that the options exclude, and a SoC whose table refuses."""
    mod, _ = partitioned(network(), exclude_ops="MaxPool")
    assert "relax.nn.max_pool2d" in calls(mod)
    assert calls(mod).count(RUN) == 2


def test_the_pipeline_partitions_what_nobody_partitioned(tmp_path: Path) -> None:
    from rknn_ep_tvm import make_target

    target = make_target(harness.TARGET, min_partition_macs=0, calibration=samples(tmp_path))
    values = harness.random(SHAPE)
    found = harness.run(tvm.compile(network(), target=target, relax_pipeline="rknn"), values)
    mod, _ = partitioned(network(), calibration=samples(tmp_path))
    for one, other in zip(found, harness.run(harness.compiled(mod), values), strict=True):
        np.testing.assert_array_equal(one, other)


def test_run_codegen_compiles_what_was_cut() -> None:
    """For pipelines of one's own, with options as RunCodegen takes them."""
    cut = rknn_ep_tvm.cut_for_rknn(network(cpu_in_the_middle=True), target=harness.TARGET, **harness.SMALL)
    mod = relax.transform.RunCodegen({"rknn": {"target": "rk3588-sim", "simulation": "exact"}})(cut)
    values = harness.random(SHAPE)
    expected = on_the_cpu(network(cpu_in_the_middle=True), values)
    for found, wanted in zip(harness.run(tvm.compile(mod, target="llvm"), values), expected, strict=True):
        np.testing.assert_allclose(found, wanted, atol=FLOAT16 * np.abs(wanted).max())


def test_a_partitioned_module_is_exported_and_loaded(tmp_path: Path) -> None:
    mod, _ = partitioned(network())
    values = harness.random(SHAPE)
    path = tmp_path / "module.so"
    executable = harness.compiled(mod)
    executable.export_library(str(path))
    for one, other in zip(harness.run(tvm.runtime.load_module(str(path)), values), harness.run(executable, values), strict=True):
        np.testing.assert_array_equal(one, other)


def test_the_module_that_is_given_stays_as_it_is() -> None:
    mod = network()
    before = mod.script()
    partitioned(mod)
    assert mod.script() == before


def test_symbolic_shapes_are_named_and_can_be_bound() -> None:
    mod = network(batch=tvm.tirx.Var("batch", "int64"))
    with pytest.raises(ShapeError, match=r"'batch'\) of 'x' is symbolic(?s:.)*BindSymbolicVars"):
        partitioned(mod)
    bound, _ = partitioned(relax.transform.BindSymbolicVars({"batch": 1})(mod))
    assert calls(bound) == [RUN]


def test_int8_without_calibration_data() -> None:
    with pytest.raises(CalibrationError, match="needs calibration data"):
        partitioned(network(), precision="int8")


def test_a_function_that_is_not_there() -> None:
    with pytest.raises(ModelError, match="no function 'forward'"):
        partitioned(network(), function="forward")


def test_an_unknown_option_is_named() -> None:
    with pytest.raises(OptionError, match="did you mean 'calibration'"):
        partitioned(network(), calibraton="x")


def test_a_target_object_gives_its_options() -> None:
    target = rknn_ep_tvm.make_target(harness.TARGET, carrier="native", **harness.SMALL)
    mod, report = rknn_ep_tvm.partition_for_rknn(network(), target=target)
    assert report.target == "rk3588" and calls(mod) == [RUN]
    with pytest.raises(OptionError, match="none of Rockchip's"):
        rknn_ep_tvm.partition_for_rknn(network(), target=tvm.target.Target("llvm"))


def plain(build: Any, *kinds: Any, dataflow: bool = True) -> Any:
    """A module whose `main` is what `build(builder, *parameters)` writes; all parameters are called x."""
    builder = relax.BlockBuilder()
    parameters = [relax.Var("x", kind) for kind in kinds or (relax.TensorType(SHAPE, "float32"),)]
    with builder.function("main", parameters):
        if dataflow:
            with builder.dataflow():
                result = builder.emit_output(build(builder, *parameters))
        else:
            result = build(builder, *parameters)
        builder.emit_func_output(result)
    return builder.get()


def convolved(builder: Any, value: Any) -> Any:
    weights = np.random.default_rng(1).normal(0, 0.2, (8, 3, 3, 3)).astype(np.float32)
    return builder.emit(op.nn.conv2d(value, relax.const(weights), padding=[1, 1]))


def same_as_on_the_cpu(mod: Any, **options: Any) -> Any:
    """The partitioned module, whose outputs are those of the module itself."""
    made, report = partitioned(mod, **options)
    assert calls(made).count(RUN) == len(report.partitions) == 1
    values = [harness.random(SHAPE, seed) for seed, _ in enumerate(mod["main"].params)]
    for found, expected in zip(harness.run(harness.compiled(made), *values), on_the_cpu(mod, *values), strict=True):
        np.testing.assert_allclose(found, expected, atol=FLOAT16 * np.abs(expected).max())
    return made


def test_bindings_outside_of_dataflow_blocks() -> None:
    mod = plain(lambda builder, x: builder.emit(op.nn.relu(convolved(builder, x))), dataflow=False)
    assert calls(same_as_on_the_cpu(mod)) == [RUN]


def test_a_private_function_is_written_in_line() -> None:
    inner = plain(convolved)["main"].without_attr("global_symbol")
    builder = relax.BlockBuilder()
    variable = builder.add_func(inner, "inner")
    x = relax.Var("x", relax.TensorType(SHAPE, "float32"))
    with builder.function("main", [x]):
        with builder.dataflow():
            result = builder.emit_output(op.nn.relu(builder.emit(relax.Call(variable, [x]))))
        builder.emit_func_output(result)
    assert calls(same_as_on_the_cpu(builder.get())) == [RUN]


def test_a_public_function_is_named() -> None:
    builder = relax.BlockBuilder()
    variable = builder.add_func(plain(convolved)["main"].with_attr("global_symbol", "inner"), "inner")
    x = relax.Var("x", relax.TensorType(SHAPE, "float32"))
    with builder.function("main", [x]):
        builder.emit_func_output(builder.emit(relax.Call(variable, [x])))
    with pytest.raises(ModelError, match="'main' calls inner"):
        partitioned(builder.get())


def test_casts_that_say_nothing_new_go() -> None:
    kind = relax.TensorType((1, 8, *SHAPE[2:]), "float32")
    same_as_on_the_cpu(plain(lambda builder, x: builder.emit(op.nn.relu(builder.match_cast(convolved(builder, x), kind)))))


def test_constants_that_are_calls_are_no_inputs_of_partitions() -> None:
    def build(builder: Any, x: Any) -> Any:
        shape = (1, 8, *SHAPE[2:])
        ramp = builder.emit(op.broadcast_to(builder.emit(op.astype(builder.emit(op.arange(0, SHAPE[3], 1)), "float32")), shape))
        ones = builder.emit(op.ones(shape, "float32"))
        return builder.emit(op.multiply(builder.emit(op.add(convolved(builder, x), ramp)), ones))

    made = same_as_on_the_cpu(plain(build))
    assert calls(made) == [RUN]
    (bundle,) = rknn_ep_tvm.bundles(made).values()
    assert bundle.manifest["inputs"] and len(bundle.manifest["inputs"]) == 1


def test_nested_tuples() -> None:
    def build(builder: Any, x: Any) -> Any:
        value = convolved(builder, x)
        return relax.Tuple([value, relax.Tuple([builder.emit(op.nn.relu(value)), value])])

    made, report = partitioned(plain(build))
    assert calls(made) == [RUN] and len(report.partitions) == 1
    machine = relax.VirtualMachine(harness.compiled(made), tvm.cpu())
    first, (second, third) = machine["main"](rknn_ep_tvm.as_tensor(harness.random(SHAPE)))
    np.testing.assert_array_equal(second.numpy(), np.maximum(first.numpy(), 0))
    np.testing.assert_array_equal(third.numpy(), first.numpy())


def test_what_has_its_shape_at_run_time_stays() -> None:
    def build(builder: Any, x: Any) -> Any:
        value = convolved(builder, x)
        return relax.Tuple([value, builder.emit(op.negative(builder.emit(op.unique(value, sorted=True))))])

    mod, report = partitioned(plain(build))
    assert calls(mod) == [RUN, "relax.unique", "relax.negative"]
    assert sorted(report.to_dict()["sections"]["relax"].values())[1] == "relax.unique: there is no converter for this operator"
    assert sorted(report.to_dict()["sections"]["relax"].values())[0] == "relax.negative: its shapes are known at run time only"


def test_parameters_of_one_name_and_float64(tmp_path: Path) -> None:
    """Each has its own samples: the second is x_1, as in the report."""
    kinds = [relax.TensorType(SHAPE, kind) for kind in ("float32", "float64")]

    def build(builder: Any, x: Any, other: Any) -> Any:
        return builder.emit(op.add(convolved(builder, x), convolved(builder, builder.emit(op.astype(other, "float32")))))

    values = harness.random((24, *SHAPE[1:]), seed=5)
    np.savez(tmp_path / "samples.npz", x=values, x_1=100 * values.astype(np.float64))
    mod, _ = partitioned(plain(build, *kinds), calibration=tmp_path / "samples.npz")
    one, other = values[:1], 100 * values[1:2].astype(np.float64)
    (found,), (expected,) = harness.run(harness.compiled(mod), one, other), on_the_cpu(plain(build, *kinds), one, other)
    cosine = np.vdot(found, expected) / np.linalg.norm(found) / np.linalg.norm(expected)
    assert cosine > 0.99  # int8; ranges of the other's samples would clip all but a hundredth


def test_a_tuple_parameter_and_what_is_no_module() -> None:
    kind = relax.TupleType([relax.TensorType(SHAPE, "float32")])
    with pytest.raises(ModelError, match="'x' is no tensor"):
        partitioned(plain(lambda builder, x: convolved(builder, relax.TupleGetItem(x, 0)), kind))
    with pytest.raises(ModelError, match="from_onnx takes models"):
        partitioned("model.onnx")


def test_the_pipeline_says_when_the_npu_gets_nothing(caplog: pytest.LogCaptureFixture) -> None:
    mod = plain(lambda builder, x: builder.emit(op.cumsum(x, axis=1)))
    harness.compiled(mod)
    assert "nothing of the module runs on the NPU" in caplog.text
    other = tvm.IRModule({"forward": mod["main"].with_attr("global_symbol", "forward")})
    harness.compiled(other)
    assert "no function 'main'" in caplog.text


def test_control_flow_is_refused() -> None:
    builder = relax.BlockBuilder()
    x, condition = relax.Var("x", relax.TensorType(SHAPE, "float32")), relax.Var("c", relax.TensorType((), "bool"))
    with builder.function("main", [x, condition]):
        value = builder.emit(relax.If(condition, op.nn.relu(x), op.negative(x)))
        builder.emit_func_output(value)
    with pytest.raises(ModelError, match="control flow"):
        partitioned(builder.get())
