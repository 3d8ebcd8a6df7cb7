"""Calibration, integer grids and QDQ models. Knows ONNX graphs and numpy; never runs a model itself."""
