"""Builds model.onnx with the real toolkit; the test's own job, so that it sees what the toolkit does undisturbed."""

import os

from rknn_ep_remote.answers import checked, progress


def run(arguments, folder):
    from rknn.api import RKNN

    rknn = RKNN(verbose=True)
    progress("loading", 0.1)
    rknn.config(target_platform=arguments.get("target", "rk3588"))
    checked("load_onnx", rknn.load_onnx(arguments.get("load", "model.onnx")))
    progress("building", 0.5)
    quantize = "dataset" in arguments
    if quantize:
        import numpy as np

        names = []
        for name, shape in arguments["dataset"].items():
            np.save(name + ".npy", np.random.default_rng(0).random(shape) > 0.5)
            names.append(name + ".npy")
        with open("dataset.txt", "w") as file:
            file.write(" ".join(names) + "\n")
    checked("build", rknn.build(do_quantization=quantize, dataset="dataset.txt" if quantize else None))
    checked("export_rknn", rknn.export_rknn("model.rknn"))
    return {"folder": folder, "left": sorted(os.listdir("../tmp"))}
