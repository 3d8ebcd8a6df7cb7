"""Finds objects in a picture with YOLOv5, by one of three flows that give the same boxes.

python detect.py yolov5s_ctx.onnx photo.jpg --flow onnxruntime --output boxes.png
python detect.py yolov5s.rknnctx photo.jpg --flow copying
python detect.py yolov5s.rknnctx photo.jpg --flow zero_copy
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from detection.decode import CONFIDENCE, OVERLAP, Detection, candidates, suppress
from detection.draw import draw
from detection.flows import Copying, Flow, OnnxRuntime, ZeroCopy
from detection.letterbox import letterbox
from PIL import Image


def detect(flow: Flow, picture: np.ndarray, confidence: float = CONFIDENCE, overlap: float = OVERLAP) -> list[Detection]:
    """Detections in a picture, uint8 RGB [H,W,3], best first."""
    square, place = letterbox(picture, flow.size)
    boxes, scores, kinds = candidates(flow.run(square), flow.size, confidence)
    stay = suppress(boxes, scores, kinds, overlap)
    return [
        Detection(int(kinds[index]), float(scores[index]), tuple(map(float, box)))
        for index, box in zip(stay, place.to_picture(boxes[stay]), strict=True)
    ]


def open_flow(name: str, model: Path, options: dict[str, str] | None = None) -> Flow:
    if name == "onnxruntime":
        return OnnxRuntime(model, options or {})
    return Copying(model) if name == "copying" else ZeroCopy(model)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, help="ONNX for --flow onnxruntime; a bundle or .rknn for the others")
    parser.add_argument("picture", type=Path)
    parser.add_argument("--flow", choices=("onnxruntime", "copying", "zero_copy"), default="onnxruntime")
    parser.add_argument("--confidence", type=float, default=CONFIDENCE)
    parser.add_argument("--overlap", type=float, default=OVERLAP)
    parser.add_argument("--output", type=Path, help="where to write the picture with its boxes")
    parser.add_argument(
        "--option", action="append", default=[], metavar="KEY=VALUE", help="of the provider, such as target=rk3588"
    )
    arguments = parser.parse_args()
    picture = np.asarray(Image.open(arguments.picture).convert("RGB"))
    flow = open_flow(arguments.flow, arguments.model, dict(option.split("=", 1) for option in arguments.option))
    found = detect(flow, picture, arguments.confidence, arguments.overlap)
    flow.close()
    for one in found:
        print(f"{one.kind} {one.score:.4f} {' '.join(f'{value:.2f}' for value in one.box)}")
    if arguments.output is not None:
        Image.fromarray(draw(picture, found)).save(arguments.output)


if __name__ == "__main__":
    main()
