"""The vendor's simulator: a model is built once, then run any number of times. Lives in a process of its own.

Its simulator works on the object that built the model only, never on a .rknn. Tensors come and go as files of the
session's folder, which is in memory: no copy through the socket.
"""

from __future__ import annotations

import os
import time
from typing import Any, Dict, List

import numpy as np

from ..answers import checked, progress
from ..jobs.build import build, quantization_table


class Session:
    """Arguments as those of the job `build`, and inputs: a list of {file, dtype, shape} in the model's order."""

    def __init__(self, arguments: Dict[str, Any], folder: str) -> None:
        self._folder = folder
        self._rknn = build(arguments, folder)
        progress("starting the simulator", 0.9)
        checked("init_runtime", self._rknn.init_runtime())

    def parameters(self) -> Dict[str, Any]:
        """The quantisation parameters that were used."""
        return {"parameters": quantization_table(self._rknn)}

    def infer(self, inputs: List[Dict[str, Any]], outputs: List[str]) -> Dict[str, Any]:
        """Run once.

        Args:
            inputs: file, dtype, shape of each tensor: raw bytes, NCHW where there are four dimensions.
            outputs: files to write the results to, in the model's order.

        Returns:
            outputs: dtype and shape of each; seconds: what the toolkit took.
        """
        arrays = [
            np.fromfile(os.path.join(self._folder, one["file"]), dtype=one["dtype"]).reshape(one["shape"]) for one in inputs
        ]
        formats = ["nchw" if array.ndim == 4 else "undefined" for array in arrays]
        started = time.perf_counter()
        results = checked("inference", self._rknn.inference(inputs=arrays, data_format=formats))
        seconds = time.perf_counter() - started
        described = []
        for result, file in zip(results, outputs):
            contiguous = np.ascontiguousarray(result)
            contiguous.tofile(os.path.join(self._folder, file))
            described.append({"dtype": str(contiguous.dtype), "shape": list(contiguous.shape)})
        return {"outputs": described, "seconds": seconds}
