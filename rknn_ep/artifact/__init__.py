"""What is kept on disk: bundles, the cache, EPContext models, and the metadata of vendor .rknn files.

Importing this package or any module of it loads neither numpy nor onnx: the way from a warm cache to a session is short.
"""
