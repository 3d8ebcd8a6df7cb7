"""Runs float models on ONNX Runtime's CPU provider, for calibration and comparisons."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import onnx

from rknn_ep.errors import ModelError


class CpuModel:
    """A float model with the outputs that were asked for; a `rknn_ep.records.FloatModel`."""

    def __init__(self, session: Any, computed: Sequence[str], given: Sequence[str]) -> None:
        self._session = session
        self._computed = list(computed)
        self._given = list(given)
        self._inputs = [value.name for value in session.get_inputs()]

    def run(self, inputs: Mapping[str, np.ndarray[Any, Any]]) -> Iterator[tuple[str, np.ndarray[Any, Any]]]:
        """Run once; each array is let go of as soon as the next is asked for."""
        for name in self._given:
            yield name, inputs[name]
        if not self._computed:
            return
        outputs = self._session.run(self._computed, {name: inputs[name] for name in self._inputs})
        outputs.reverse()
        for name in self._computed:
            yield name, outputs.pop()


def create(model: bytes, outputs: Sequence[str], threads: int) -> CpuModel:
    """Load a serialised model so that it gives `outputs`, any values of its graph, also inner ones and inputs.

    Args:
        model: ONNX with all tensors inside.
        outputs: names of values; only these are kept, so fusions around them stay possible.
        threads: for one operator; 0 lets ONNX Runtime choose.

    Raises:
        ModelError: a value does not exist, or ONNX Runtime cannot load the model.
    """
    import onnxruntime

    proto = onnx.ModelProto.FromString(model)
    given = {value.name for value in proto.graph.input}
    made = {name for node in proto.graph.node for name in node.output}
    if unknown := [name for name in outputs if name not in made and name not in given]:
        raise ModelError(f"the model has no value '{unknown[0]}'")
    computed = [name for name in outputs if name in made]
    if computed:
        known = {value.name: value for value in (*proto.graph.output, *proto.graph.value_info)}
        wanted = [known.get(name, onnx.ValueInfoProto(name=name)) for name in computed]
        kept = [onnx.ValueInfoProto.FromString(value.SerializeToString()) for value in wanted]
        del proto.graph.output[:]
        proto.graph.output.extend(kept)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    # A block for all that a run needs, planned ahead, would be kept beside what outputs take; single pieces are used again.
    options.enable_mem_pattern = False
    try:
        session = onnxruntime.InferenceSession(proto.SerializeToString(), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's exceptions share no base of their own
        raise ModelError(f"ONNX Runtime cannot run the float model: {error}") from error
    return CpuModel(session, computed, [name for name in outputs if name not in made])
