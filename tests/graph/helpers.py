"""Small models as text, and what must hold between a model and its view."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime as ort

from rknn_ep.graph import View, load_model, normalize, serialize
from rknn_ep.graph.provenance import bodies_of, captured_by
from rknn_ep.graph.values import is_constant

FLOAT32_ULPS = 32
"""Folding and fusing reorder a few float32 operations; each costs half a unit in the last place of the largest term."""


def parse(text: str, opset: int = 17, domain: str = "", **initializers: np.ndarray) -> onnx.ModelProto:
    """A model from the text form of its graph, with initializers by name."""
    imports = [onnx.helper.make_opsetid("", opset)]
    if domain:
        imports.append(onnx.helper.make_opsetid(domain, 1))
    graph = onnx.parser.parse_graph(text)
    graph.initializer.extend(onnx.numpy_helper.from_array(np.asarray(array), name) for name, array in initializers.items())
    return onnx.helper.make_model(graph, opset_imports=imports, ir_version=8 if opset <= 17 else 10)


def view_of(proto: onnx.ModelProto, **options: Any) -> View:
    """Load and normalise."""
    return normalize(load_model(proto.SerializeToString()), **options)


def op_types(view: View) -> list[str]:
    """The view's operators in order."""
    return [one.node.op_type for one in view.nodes]


def session(content: bytes, *, optimised: bool = False) -> ort.InferenceSession:
    """An unoptimised CPU session, so that ONNX Runtime changes no numbers itself."""
    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    if not optimised:
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    return ort.InferenceSession(content, options, providers=["CPUExecutionProvider"])


def random_feed(view: View, seed: int = 0) -> dict[str, np.ndarray]:
    """Values for every input of a view: normal floats, small non-negative integers."""
    generator = np.random.default_rng(seed)
    feed: dict[str, np.ndarray] = {}
    for value in view.model.graph.inputs:
        assert value.shape is not None and value.dtype is not None and value.name is not None
        shape, dtype = value.shape.numpy(), value.dtype.numpy()
        drawn = generator.standard_normal(shape) if dtype.kind == "f" else generator.integers(0, 2, shape)
        feed[value.name] = np.asarray(drawn).astype(dtype)
    return feed


def with_outputs(content: bytes, names: Sequence[str], view: View) -> bytes:
    """The model with more of its values as outputs; their types are read from the view."""
    proto = onnx.ModelProto.FromString(content)
    there = {value.name for value in proto.graph.output}
    for name in names:
        if name not in there:
            proto.graph.output.append(onnx.ValueInfoProto(name=name))
    return proto.SerializeToString()


def surviving_values(view: View) -> list[str]:
    """Values of the original that the view's nodes still make."""
    own = {value.name for node in view.original.model.graph for value in node.outputs}
    return [value.name for one in view.nodes for value in one.node.outputs if value.name and value.name in own]


def assert_same_numbers(
    view: View, feed: Mapping[str, np.ndarray] | None = None, *, ulps: float = FLOAT32_ULPS, least: float = 0.0
) -> None:
    """Run original and view and compare every value that both have, not only the outputs."""
    feed = random_feed(view) if feed is None else feed
    outputs = [str(value.name) for value in view.original.model.graph.outputs]
    names = list(dict.fromkeys([*outputs, *surviving_values(view)]))
    original = session(with_outputs(serialize(view.original.model), names, view))
    normalised = session(with_outputs(serialize(view.model), names, view))
    assert [value.name for value in original.get_outputs()] == names
    expected = original.run(names, dict(feed))
    taken = {one.name for one in (*normalised.get_inputs(), *normalised.get_overridable_initializers())}
    found = normalised.run(names, {name: array for name, array in feed.items() if name in taken})
    for name, one, other in zip(names, expected, found, strict=True):
        if isinstance(one, np.ndarray):
            assert_close(one, other, name, ulps, least)


def assert_close(expected: np.ndarray, found: np.ndarray, name: str, ulps: float = FLOAT32_ULPS, least: float = 0.0) -> None:
    """Equal shape and dtype; floats within units in the last place of the tensor's largest magnitude, or of `least`."""
    assert found.shape == expected.shape and found.dtype == expected.dtype, f"{name}: {found.shape} {found.dtype}"
    if expected.dtype.kind != "f":
        assert np.array_equal(expected, found), name
        return
    finite = np.isfinite(expected)
    assert np.array_equal(finite, np.isfinite(found)), name
    if finite.any():
        scale = max(float(np.abs(expected[finite].astype(np.float64)).max()), least, 1e-30)
        bound = ulps * float(np.finfo(expected.dtype).eps) * scale
        difference = np.abs(expected[finite].astype(np.float64) - found[finite].astype(np.float64)).max()
        assert difference <= bound, f"{name}: {difference} over {bound}"


def assert_traceable(view: View) -> None:
    """The law between a view and its original, as a partitioner relies on it."""
    originals = list(view.original.model.graph)
    owned = set().union(*(one.origins for one in view.nodes)) if view.nodes else set()
    assert owned | view.folded == set(range(len(originals))) and not owned & view.folded
    assert all(one.origins for one in view.nodes), "a view node stands for nothing"
    assert [one.node for one in view.nodes] == list(view.model.graph) and [one.index for one in view.nodes] == list(
        range(len(view.nodes))
    )
    outputs = {value.name for value in view.original.model.graph.outputs}
    assert [value.name for value in view.model.graph.outputs] == [value.name for value in view.original.model.graph.outputs]
    made_in_original = {value.name for node in originals for value in node.outputs if value.name}
    constants = {str(name) for name, value in view.model.graph.initializers.items() if is_constant(value)}
    folded = _constants_of_original(view)
    reads = [_names_read(node) for node in originals]
    makes = [{value.name for value in node.outputs if value.name} for node in originals]
    readers: dict[str, list[int]] = {}
    for index, names in enumerate(reads):
        for name in names:
            readers.setdefault(name, []).append(index)
    claimed: dict[int, int] = {}
    for number, unit in enumerate(_units(view)):
        kinds = [one.node.op_type for one in unit]
        origins = frozenset().union(*(one.origins for one in unit))
        for index in origins:
            assert claimed.setdefault(index, number) == number, "two units stand for one original"
        inputs = {name for one in unit for name in _names_read(one.node)} - constants
        made = {value.name for one in unit for value in one.node.outputs if value.name}
        inside = set().union(*(makes[index] for index in origins))
        needed = set().union(*(reads[index] for index in origins)) - inside - folded
        assert needed <= inputs, f"the originals of {kinds} read {needed - inputs}, the view does not"
        vanished = {name for name in inside - made if not origins.issuperset(readers.get(name, ()))}
        assert not vanished, f"{vanished} of {kinds} vanished, but other originals read them"
        assert (inside & outputs) <= made
        assert made & made_in_original <= inside, "a unit makes a value of originals that are not its own"


def _units(view: View) -> list[list[Any]]:
    leader = list(range(len(view.nodes)))

    def find(index: int) -> int:
        while leader[index] != index:
            index = leader[index]
        return index

    for one in view.nodes:
        if one.bound_to is not None:
            leader[find(one.index)] = find(one.bound_to)
    groups: dict[int, list[Any]] = {}
    for one in view.nodes:
        groups.setdefault(find(one.index), []).append(one)
    return list(groups.values())


def _names_read(node: ir.Node) -> set[str]:
    names = {value.name for value in node.inputs if value is not None and value.name}
    for body in bodies_of(node):
        names |= captured_by(body)
    return names


def _constants_of_original(view: View) -> set[str]:
    """Initializers of the original, and what its folded nodes make."""
    initializers = view.original.model.graph.initializers.items()
    inside = view.original.model.ir_version < 4
    names = {name for name, value in initializers if inside or not value.is_graph_input()}
    nodes = list(view.original.model.graph)
    return names | {value.name for index in view.folded for value in nodes[index].outputs if value.name}
