"""A small network of Darknet's: the layers of YOLOv3-tiny, narrow, as .cfg and .weights with seeded weights."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np

INPUT = (1, 3, 64, 64)

_HEAD = "[net]\nbatch=1\nwidth=64\nheight=64\nchannels=3\n"
_CONVOLUTIONS = {
    # name: (inputs, filters, size, batch_normalize)
    "stem": (3, 8, 3, True),
    "deep": (8, 16, 3, True),
    "left": (16, 16, 1, True),
    "out": (32, 21, 1, False),
}
LAYERS = ["stem", "maxpool", "deep", "maxpool", "left", "upsample", "route", "out"]


def write(folder: Path, *, with_yolo: bool = True) -> Path:
    """The two files; the path of the .cfg. Readers that decode boxes want it without the [yolo] layer."""
    random = np.random.default_rng(5)
    text = [_HEAD]
    weights = [struct.pack("<iiiQ", 0, 2, 0, 0)]  # major, minor, revision, pictures seen
    for layer in LAYERS:
        if layer in _CONVOLUTIONS:
            inputs, filters, size, norm = _CONVOLUTIONS[layer]
            activation = "leaky" if norm else "linear"
            text.append(
                f"[convolutional]\nbatch_normalize={int(norm)}\nfilters={filters}\nsize={size}\nstride=1\npad=1\nactivation={activation}\n"
            )
            parts = [random.normal(0, 0.1, filters)]
            if norm:  # scales, means, variances
                parts += [random.normal(1, 0.1, filters), random.normal(0, 0.1, filters), np.abs(random.normal(1, 0.1, filters))]
            parts.append(random.normal(0, (inputs * size * size) ** -0.5, filters * inputs * size * size))
            weights += [part.astype("<f4").tobytes() for part in parts]
        else:
            text.append(
                {"maxpool": "[maxpool]\nsize=2\nstride=2\n", "upsample": "[upsample]\nstride=2\n"}.get(
                    layer, "[route]\nlayers=-1,2\n"
                )
            )
    if with_yolo:
        text.append("[yolo]\nmask=0,1,2\nanchors=10,14, 23,27, 37,58\nclasses=2\nnum=3\n")
    path = folder / ("network.cfg" if with_yolo else "headless.cfg")
    path.write_text("\n".join(text))
    path.with_suffix(".weights").write_bytes(b"".join(weights))
    return path
