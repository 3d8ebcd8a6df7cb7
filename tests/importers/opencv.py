"""The independent reference, run in the toolkit's environment: OpenCV reads Caffe and Darknet by code of its own."""

from pathlib import Path

import cv2
import numpy as np


def run(arguments, folder):
    """`reader` is readNetFromCaffe or readNetFromDarknet; input.npy in, output.npy out."""
    network = getattr(cv2.dnn, arguments["reader"])(*arguments["files"])
    network.setInput(np.load(Path(folder, "input.npy")))
    np.save(Path(folder, "output.npy"), network.forward())
    return {}
