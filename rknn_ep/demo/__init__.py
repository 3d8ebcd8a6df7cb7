"""The demo: a photograph read by PP-OCR, and reusable text reading with any three ONNX Runtime sessions."""
