"""Where the wheel keeps the native libraries. Exists only when rknn-ep is installed."""

from pathlib import Path

HERE = Path(__file__).resolve().parent
PROVIDER = HERE / "librknn_ep.so"
TVM = HERE / "librknn_ep_tvm.so"
SIMULATOR = HERE / "simulator" / "librknnrt.so"
