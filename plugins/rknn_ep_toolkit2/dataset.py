"""Calibration samples as files of a job's folder, for builds in which the toolkit quantises by itself."""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np


def dataset_files(samples: Iterable[Sequence[np.ndarray[Any, Any]]], files: dict[str, bytes]) -> list[list[str]]:
    """Add one .npy for each input of each sample to `files`; returns their names, a list a sample."""
    dataset = []
    for number, arrays in enumerate(samples):
        names = []
        for index, array in enumerate(arrays):
            buffer = io.BytesIO()
            np.save(buffer, array)
            names.append(f"sample{number}_{index}.npy")
            files[names[-1]] = buffer.getvalue()
        dataset.append(names)
    return dataset
