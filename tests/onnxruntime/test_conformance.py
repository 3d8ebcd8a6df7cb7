"""ONNX's own node tests with the provider registered: fp16, every operator that the NPU can take.

Each case that ONNX Runtime's CPU passes is run again with the provider. What stays on the CPU must give the same bits.
What the NPU takes is judged against a reference of its own: the graph as ONNX Runtime handed it over, with every value
that enters or leaves an NPU node rounded to float16, run in float32 without optimisation.
"""

import threading
from collections import Counter
from dataclasses import dataclass, field

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper
from onnx.backend.test.loader import load_model_tests

from rknn_ep import pipeline
from rknn_ep_onnxruntime import registration
from tests.onnxruntime.harness import VERSION, on_npu, open_session
from tests.required import missing

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore"),  # the cases divide by zero and overflow on purpose
]

CANCELLATION = {"Gelu": 2.0**-9}
"""Operator -> error allowed besides the ULPs. Gelu by tanh is several native operators, and 1 + tanh(u) near u = -3 loses
its leading digits: two roundings at magnitude 1 (2^-11 each), times x/2 and scaled by |x| up to 4, stay."""


@dataclass
class Outcome:
    """What became of one case."""

    name: str
    taken: list[str] = field(default_factory=list)
    problem: str = ""


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory) -> list[Outcome]:
    if VERSION < (1, 24):
        missing("onnxruntime", "which nodes run where is told since 1.24")
    registration.register()
    ort.set_default_logger_severity(4)
    spy = _Spy()
    cases = load_model_tests(kind="node")
    patch = pytest.MonkeyPatch()
    patch.setattr(pipeline, "build_from_bytes", spy)
    try:
        cache = str(tmp_path_factory.mktemp("cache"))
        found = [_judge(case, spy, cache) for case in cases]
    finally:
        patch.undo()
        ort.set_default_logger_severity(2)
    return [one for one in found if one is not None]


def test_nothing_that_passes_on_the_cpu_fails_with_the_provider(outcomes):
    problems = [f"{one.name}: {one.problem}" for one in outcomes if one.problem]
    assert len(outcomes) > 1000
    assert not problems, "\n".join(problems)


def test_at_least_sixty_operator_types_run_on_the_npu(outcomes):
    taken = Counter(op_type for one in outcomes for op_type in set(one.taken))
    print(f"{len(taken)} operator types on the NPU: {', '.join(sorted(taken))}")
    assert len(taken) >= 60


class _Spy:
    """Keeps what the pipeline was given and what it built."""

    def __init__(self) -> None:
        self._real = pipeline.build_from_bytes
        self.seen = threading.local()

    def __call__(self, model, options, *, progress=None):
        self.seen.model, self.seen.built = model, self._real(model, options, progress=progress)
        return self.seen.built


def _judge(case, spy: _Spy, cache: str) -> Outcome | None:
    """None for a case that ONNX Runtime's CPU does not pass."""
    given, expected = case.data_sets[0]
    inputs = {value.name: array for value, array in zip(case.model.graph.input, given, strict=False)}
    try:
        on_cpu = ort.InferenceSession(case.model.SerializeToString(), providers=["CPUExecutionProvider"]).run(None, inputs)
        if not all(_close(*pair) for pair in zip(on_cpu, expected, strict=True)):
            return None
    except Exception:  # noqa: BLE001  (whatever it is, the CPU does not pass)
        return None
    outcome = Outcome(case.name)
    options = {"target": "rk3588", "precision": "fp16", "min_partition_macs": "0", "cache_dir": cache}
    try:
        session = open_session(case.model, {**options, **_shapes(case.model, inputs)})
        outcome.taken = on_npu(session)
        results = session.run(None, inputs)
        reference = _reference(spy.seen.model, spy.seen.built).run(None, inputs) if outcome.taken else on_cpu
    except Exception as error:  # noqa: BLE001  (one case must not end the others)
        outcome.problem = f"{type(error).__name__}: {error}"
        return outcome
    for result, wanted in zip(results, reference, strict=True):
        if problem := _difference(result, wanted, outcome.taken):
            outcome.problem = problem
    return outcome


def _shapes(model: onnx.ModelProto, inputs: dict) -> dict[str, str]:
    """The option that gives dynamic inputs their shapes."""
    dynamic = [
        f"{value.name}:{','.join(map(str, inputs[value.name].shape))}"
        for value in model.graph.input
        if isinstance(inputs.get(value.name), np.ndarray)
        and 0 not in inputs[value.name].shape
        and any(not dim.HasField("dim_value") for dim in value.type.tensor_type.shape.dim)
    ]
    return {"input_shapes": ";".join(dynamic)} if dynamic else {}


def _reference(model: bytes, built: pipeline.Build) -> ort.InferenceSession:
    """The model with a float16 rounding on every float32 value that enters or leaves one of the NPU's nodes."""
    proto = onnx.ModelProto.FromString(model)
    taken = {index for part in built.partitions for index in part.origins}
    values = (*proto.graph.input, *proto.graph.output, *proto.graph.value_info)
    types = {value.name: value.type.tensor_type.elem_type for value in values}
    types.update({tensor.name: tensor.data_type for tensor in proto.graph.initializer})
    nodes: list[onnx.NodeProto] = []

    def add_rounding(source: str, target: str) -> None:
        nodes.append(helper.make_node("Cast", [source], [f"{target}/half"], to=TensorProto.FLOAT16))
        nodes.append(helper.make_node("Cast", [f"{target}/half"], [target], to=TensorProto.FLOAT))

    for index, original in enumerate(proto.graph.node):
        node = onnx.NodeProto()
        node.CopyFrom(original)
        floats = {name for name in (*node.input, *node.output) if types.get(name) == TensorProto.FLOAT and index in taken}
        for position, name in enumerate(original.input):
            if name in floats:
                node.input[position] = f"{name}/in{index}.{position}"
                add_rounding(name, node.input[position])
        for position, name in enumerate(original.output):
            if name in floats:
                node.output[position] = f"{name}/exact"
        nodes.append(node)
        for name in original.output:
            if name in floats:
                add_rounding(f"{name}/exact", name)
    del proto.graph.node[:]
    proto.graph.node.extend(nodes)
    settings = ort.SessionOptions()
    settings.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    return ort.InferenceSession(proto.SerializeToString(), settings, providers=["CPUExecutionProvider"])


def _difference(result, wanted, taken: list[str]) -> str:
    """Empty where they agree: bit for bit on the CPU, within one float16 ULP for each rounded node on the NPU.

    One ULP a node: two float32 sums in another order may fall on two sides of a float16 rounding.
    """
    if isinstance(wanted, list):
        return (
            "" if len(result) == len(wanted) and not any(map(_difference, result, wanted, [taken] * len(wanted))) else "differs"
        )
    if wanted is None:
        return "" if result is None else "a value instead of none"
    if result.shape != wanted.shape or result.dtype != wanted.dtype:
        return f"{result.dtype}{result.shape} instead of {wanted.dtype}{wanted.shape}"
    if not taken or result.dtype.kind != "f":
        same = np.array_equal(result, wanted, equal_nan=result.dtype.kind in "fc")
        return "" if same else "differs from the CPU" if not taken else "integers differ"
    ulps = _ulps(result, wanted)
    allowed = max(CANCELLATION.get(op_type, 0.0) for op_type in taken)
    far = (ulps > len(taken)) & ~(np.abs(result.astype(np.float64) - wanted.astype(np.float64)) <= allowed)
    return f"{int(ulps[far].max())} float16 ULPs from the reference after {len(taken)} nodes" if far.any() else ""


def _ulps(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Steps between two float16 numbers; NaN equals NaN, and infinity is one step past the largest."""

    def ordered(values: np.ndarray) -> np.ndarray:
        bits = np.atleast_1d(values.astype(np.float16)).view(np.int16).astype(np.int32)
        return np.where(bits >= 0, bits, -(bits & 0x7FFF))

    steps = np.abs(ordered(left) - ordered(right))
    steps[np.atleast_1d(np.isnan(left) & np.isnan(right))] = 0
    return steps.reshape(left.shape)


def _close(result, expected) -> bool:
    """Whether the CPU passes, by the tolerance of ONNX's own runner."""
    if isinstance(expected, list):
        return len(result) == len(expected) and all(map(_close, result, expected))
    if expected is None or result is None:
        return result is expected
    if expected.dtype.kind in "fc":
        return bool(np.allclose(result, expected, rtol=1e-3, atol=1e-5, equal_nan=True))
    return bool(np.array_equal(result, expected))
