"""What the partitions of a compiled model are fed with, from the inputs of the whole model.

Partitions behind nodes of the host get what these compute: the model is run on our simulator, with the tensors at the
partitions' borders as further outputs.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from rknn_ep.artifact.epcontext import EpcontextModel
from rknn_ep.cli.session import cpu_session, npu_session, run
from rknn_ep.errors import ModelError
from rknn_ep.graph import serialize
from rknn_ep.importing import load_source
from rknn_ep.options import Options
from rknn_ep.quantization.pictures import SUFFIXES
from rknn_ep.quantization.samples import open_samples
from rknn_ep.records import TensorFacts
from rknn_ep_toolkit2.verification import Sample

Array = np.ndarray[Any, Any]


def samples_of(
    model: EpcontextModel, inputs: Path, options: Options, reference: Path | None, most: int
) -> dict[str, list[Sample]]:
    """Node name -> its samples.

    Args:
        model: a compiled model.
        inputs: a folder, .npz, .npy or list file, as calibration data is given; or one picture.
        options: shapes, and how pictures become inputs.
        reference: the float model, in any format that an importer reads; its tensors are found by the names of the
            partitions' outputs.
        most: so many samples at most.

    Raises:
        CalibrationError: the inputs do not fit.
        ModelError: the reference has no tensor of a partition's output's name.
    """
    proto = onnx.load(model.path)
    feeds = _feeds(proto, model, inputs, options, most)
    given = {value.name for value in proto.graph.input}
    inner = sorted({name for node in model.own for name in node.inputs} - given)
    outputs = sorted({name for node in model.own for name in node.outputs})
    found: dict[str, list[Sample]] = {node.name: [] for node in model.own}
    with _exposed(model, proto, inner) as exposed, _reference(reference, outputs, options) as wanted:
        for feed in feeds:
            values: dict[str, Array] = {**feed, **(exposed(feed) if inner else {})}
            expected = wanted(feed)
            for node in model.own:
                found[node.name].append(
                    Sample(
                        [values[name] for name in node.inputs],
                        [expected[name] for name in node.outputs] if expected else None,
                    )
                )
    return found


def _feeds(
    proto: onnx.ModelProto, model: EpcontextModel, inputs: Path, options: Options, most: int
) -> Sequence[Mapping[str, Array]]:
    known = {tensor.name: tensor.border_dims for node in model.own if node.description for tensor in node.description.inputs}
    constants = {item.name for item in proto.graph.initializer}
    facts = [_facts(value, known, options) for value in proto.graph.input if value.name not in constants]
    how: dict[str, Any] = {"mean": options.mean, "std": options.std, "color": options.color, "resize": options.resize}
    with _listed(inputs) as path:
        return [feed for feed, _ in zip(open_samples(path, facts, **how), range(most), strict=False)]


@contextmanager
def _listed(inputs: Path) -> Iterator[Path]:
    """One picture as a list of one: to compare on it is no less right than on a folder, as it is to calibrate."""
    if inputs.suffix.lower() not in SUFFIXES:
        yield inputs
        return
    with tempfile.TemporaryDirectory(prefix="rknn-ep-") as folder:
        made = Path(folder) / "inputs.txt"
        made.write_text(f"{inputs.absolute()}\n")
        yield made


def _facts(value: onnx.ValueInfoProto, known: Mapping[str, tuple[int, ...]], options: Options) -> TensorFacts:
    tensor = value.type.tensor_type
    shape = options.input_shapes.get(value.name) or known.get(value.name)
    if shape is None:
        dims = [dim.dim_value or options.dimensions.get(dim.dim_param, 0) for dim in tensor.shape.dim]
        shape = None if 0 in dims else tuple(dims)
    return TensorFacts(value.name, shape, onnx.TensorProto.DataType.Name(tensor.elem_type))


@contextmanager
def _exposed(model: EpcontextModel, proto: onnx.ModelProto, names: Sequence[str]) -> Iterator[Any]:
    """A function from the model's inputs to the tensors `names`."""
    if not names:
        yield None
        return
    with tempfile.TemporaryDirectory(prefix="rknn-ep-") as folder:
        for node in model.own:
            if isinstance(node.payload, Path):  # may not be outside the model's folder
                shutil.copyfile(node.payload, Path(folder) / node.payload.name)
        path = Path(folder) / model.path.name
        onnx.save(_with_outputs(proto, names), path)
        session = npu_session(path, {"device": "simulator"}, quiet=True)
        yield lambda feed: run(session, feed, model.path)


@contextmanager
def _reference(path: Path | None, names: Sequence[str], options: Options) -> Iterator[Any]:
    """A function from the model's inputs to the tensors `names` of the float model; without one it gives nothing."""
    if path is None:
        yield lambda feed: None
        return
    proto = onnx.load_model_from_string(serialize(load_source(path, options)))
    made = {name for node in proto.graph.node for name in node.output} | {value.name for value in proto.graph.output}
    if missing := [name for name in names if name not in made]:
        raise ModelError(
            f"{path} has no tensor '{missing[0]}', which a partition gives",
            remedy="Name the model that was compiled.",
        )
    with tempfile.TemporaryDirectory(prefix="rknn-ep-") as folder:
        exposed = Path(folder) / "reference.onnx"
        onnx.save(_with_outputs(proto, names), exposed)
        session = cpu_session(exposed)
        yield lambda feed: run(session, feed, path)


def _with_outputs(proto: onnx.ModelProto, names: Sequence[str]) -> onnx.ModelProto:
    """A copy whose outputs are `names` too; onnxruntime finds their types."""
    copy = onnx.ModelProto()
    copy.CopyFrom(proto)
    present = {value.name for value in copy.graph.output}
    copy.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names if name not in present)
    return copy
