"""tf2onnx in a process of its own: TensorFlow takes seconds to import, prints, and its protobuf need not be ours.

Environment: RKNN_EP_TENSORFLOW_PYTHON, a Python that has tensorflow and tf2onnx; without it the running one is tried.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

from rknn_ep.errors import ModelError, OptionError

PYTHON_VARIABLE = "RKNN_EP_TENSORFLOW_PYTHON"
INPUTS_OPTION = "tensorflow.inputs"
OUTPUTS_OPTION = "tensorflow.outputs"
_OPSET = "17"
_SECONDS = 900
"""Conversion takes seconds to a few minutes; what takes longer hangs."""


def available() -> str:
    """Empty when a Python with tf2onnx is named or running; else how to get one."""
    if PYTHON_VARIABLE in os.environ or all(find_spec(name) is not None for name in ("tensorflow", "tf2onnx")):
        return ""
    install = "python -m pip install 'rknn-ep[tensorflow]'"
    return f"tensorflow and tf2onnx: {install}, or name a Python that has them in {PYTHON_VARIABLE}"


def convert(path: Path, options: Mapping[str, str]) -> bytes:
    """A TensorFlow or TFLite model as serialised ONNX.

    Args:
        path: `.tflite`, `.keras`, `.h5`, a frozen `.pb`, or the `saved_model.pb` inside its folder.
        options: `tensorflow.inputs` and `tensorflow.outputs` name the tensors of a frozen graph: `image:0`.

    Raises:
        ModelError: the file cannot be read or converted; the message is tf2onnx's.
        OptionError: a frozen graph without the names of its tensors.
    """
    if not path.is_file():
        raise ModelError(f"cannot read the model '{path}': no such file")
    with tempfile.TemporaryDirectory(prefix="rknn-ep-") as folder:
        output = Path(folder) / "model.onnx"
        python = os.environ.get(PYTHON_VARIABLE, sys.executable)
        command = [python, "-m", "tf2onnx.convert", *_source(path.resolve(), options)]
        command += ["--opset", _OPSET, "--output", str(output)]
        try:
            # In a folder of its own: with -m, Python would import whatever module lies in the user's.
            result = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=_SECONDS, check=False)
        except OSError as error:
            raise OptionError(f"{PYTHON_VARIABLE}={python} cannot be started: {error.strerror}") from error
        except subprocess.TimeoutExpired as error:
            raise ModelError(f"'{path}': tf2onnx did not finish in {_SECONDS} seconds") from error
        if result.returncode or not output.is_file():
            raise ModelError(f"'{path}' cannot be converted: {_reason(result.stderr)}")
        return output.read_bytes()


def _source(path: Path, options: Mapping[str, str]) -> list[str]:
    suffix = path.suffix.lower()
    if suffix == ".tflite":
        return ["--tflite", str(path)]
    if suffix in (".keras", ".h5"):
        return ["--keras", str(path)]
    if path.name == "saved_model.pb":
        return ["--saved-model", str(path.parent)]
    names = [options.get(key, "") for key in (INPUTS_OPTION, OUTPUTS_OPTION)]
    if not all(names):
        raise OptionError(
            f"'{path.name}' is a frozen graph: it does not say which tensors are its inputs and outputs",
            remedy=f"Set {INPUTS_OPTION} and {OUTPUTS_OPTION}, for example image:0 and scores:0.",
        )
    return ["--graphdef", str(path), "--inputs", names[0], "--outputs", names[1]]


def _reason(log: str) -> str:
    """The last line that says something: of a traceback the exception, else tf2onnx's last error."""
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    errors = [line for line in lines if "ERROR" in line or "Error" in line]
    return (errors or lines or ["tf2onnx said nothing"])[-1]
