"""Makes a YOLOv5 model ready: takes pictures as they are, int8 for the NPU, and beside it the file that the C flows load.

    python prepare.py yolov5s.onnx --calibration photos/ --target rk3588

writes yolov5s_ctx.onnx (for ONNX Runtime) and yolov5s.rknnctx (for rknn_api).
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

import rknn_ep
from rknn_ep.artifact.epcontext_reader import read_epcontext


def prepare(model: Path, calibration: Path, target: str, **options: str) -> Path:
    """Compile; gives the EPContext model's path."""
    camera = model.with_name(f"{model.stem}_camera.onnx")
    rknn_ep.camera_input(model, camera, std=255)
    compiled = model.with_name(f"{model.stem}_ctx.onnx")
    report = rknn_ep.compile(camera, compiled, embed_mode=0, target=target, calibration=str(calibration), resize="pad", **options)
    print(report.to_table())
    nodes = read_epcontext(compiled).own
    if len(nodes) == 1 and isinstance(nodes[0].payload, Path):
        shutil.copyfile(nodes[0].payload, model.with_suffix(".rknnctx"))
    else:
        print(f"{len(nodes)} partitions: the C flows need one; use the raw form of the model (README.md)")
    return compiled


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("--calibration", type=Path, required=True, help="a folder of typical pictures")
    parser.add_argument("--target", default="rk3588")
    arguments = parser.parse_args()
    prepare(arguments.model, arguments.calibration, arguments.target)


if __name__ == "__main__":
    main()
