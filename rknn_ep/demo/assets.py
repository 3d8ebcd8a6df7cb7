"""The files that the demo fetches from registry packages; nothing of them is redistributed here."""

from __future__ import annotations

from rknn_ep.assets import Asset

_RAPIDOCR = "rapidocr-onnxruntime==1.4.4"

PPOCR_DET = Asset(
    _RAPIDOCR,
    "rapidocr_onnxruntime/models/ch_PP-OCRv4_det_infer.onnx",
    "d2a7720d45a54257208b1e13e36a8479894cb74155a5efe29462512d42f49da9",
    "Apache-2.0",
)
"""Text detection. Input x [1,3,H,W], BGR scaled to -1..1; output [1,1,H,W], the probability that a pixel is text."""

PPOCR_CLS = Asset(
    _RAPIDOCR,
    "rapidocr_onnxruntime/models/ch_ppocr_mobile_v2.0_cls_infer.onnx",
    "e47acedf663230f8863ff1ab0e64dd2d82b838fceb5957146dab185a89d6215c",
    "Apache-2.0",
)
"""Orientation of a text line. Input x [N,3,48,192]; output [N,2], probabilities of 0 and 180 degrees."""

PPOCR_REC = Asset(
    _RAPIDOCR,
    "rapidocr_onnxruntime/models/ch_PP-OCRv4_rec_infer.onnx",
    "48fc40f24f6d2a207a2b1091d3437eb3cc3eb6b676dc3ef9c37384005483683b",
    "Apache-2.0",
)
"""Text recognition. Input x [N,3,48,W]; output [N,W/8,6625], probabilities of characters; the dictionary is in the metadata."""
