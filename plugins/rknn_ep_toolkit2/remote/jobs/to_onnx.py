"""A Caffe or Darknet model through the toolkit's own loader, brought out as ONNX.

The toolkit exports no ONNX, but verbose builds leave the model as the loader read it in the working folder. What the build
makes of it afterwards is of no interest here, and may fail: it runs in a process of its own.
"""

import os
from typing import Any, Dict

from rknn.api import RKNN  # type: ignore[import-not-found]

from ..answers import checked

EXPORTED = "check0_base_optimize.onnx"


def run(arguments: Dict[str, Any], folder: str) -> Dict[str, Any]:
    """`format` is caffe or darknet; `network` and `weights` are files in the folder."""
    toolkit = RKNN(verbose=True)
    toolkit.config(target_platform="rk3588")
    if arguments["format"] == "caffe":
        checked("load_caffe", toolkit.load_caffe(model=arguments["network"], blobs=arguments["weights"]))
    else:
        checked("load_darknet", toolkit.load_darknet(model=arguments["network"], weight=arguments["weights"]))
    build = os.fork()
    if build == 0:
        try:
            toolkit.build(do_quantization=False)
        finally:
            os._exit(0)
    os.waitpid(build, 0)
    return {"exported": os.path.isfile(os.path.join(folder, EXPORTED))}
