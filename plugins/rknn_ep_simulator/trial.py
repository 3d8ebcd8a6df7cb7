"""Whether ONNX Runtime can run a simulation at all: asked while compiling, when there is still a way back."""

from __future__ import annotations

from collections.abc import Mapping

from rknn_ep.errors import CompileError


def refuse_what_cannot_load(model: bytes, files: Mapping[str, bytes], partition: str) -> None:
    """Load the model without optimising or packing anything, and forget it; `files` hold its external data.

    Raises:
        CompileError: ONNX Runtime has no kernel for a node, or finds the graph invalid.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    options.add_session_config_entry("session.disable_prepacking", "1")
    held = {name: content for name, content in files.items() if content}
    if held:
        options.add_external_initializers_from_files_in_memory([*held], [*held.values()], [len(one) for one in held.values()])
    try:
        onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise CompileError(f"{partition} cannot be simulated: {error}") from error
