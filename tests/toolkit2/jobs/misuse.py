"""Calls the real toolkit in ways to which it answers -1 or None, where elsewhere it raises."""

from rknn_ep_remote.answers import checked


def run(arguments, folder):
    from rknn.api import RKNN

    rknn = RKNN(verbose=False)
    rknn.config(target_platform="rk3588")
    how = arguments["how"]
    if how == "build nothing":
        checked("build", rknn.build(do_quantization=False))
    checked("load_onnx", rknn.load_onnx("model.onnx"))
    if how == "build with samples that are not there":
        checked("build", rknn.build(do_quantization=True, dataset="no such list.txt"))
    if how == "export what was not built":
        checked("export_rknn", rknn.export_rknn("model.rknn"))
    checked("build", rknn.build(do_quantization=False))
    if how == "run what was not started":
        import numpy as np

        checked("inference", rknn.inference(inputs=[np.zeros((1, 16, 32, 32), np.float32)]))
    return {}
