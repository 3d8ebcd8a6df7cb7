"""A device that is a Python object: a plugin can offer one, and the provider runs partitions on it."""

from tests.onnxruntime.harness import run_python

PLUGIN = """
import gc
import numpy as np, onnx, onnxruntime as ort
import rknn_ep
from rknn_ep.artifact.bundle import Bundle
from rknn_ep.plugins import Origin, plugins
from rknn_ep.records import Runtime
from tests.onnxruntime.harness import SHAPE, VERSION, make_model, on_npu, open_session, random
from onnx import helper

closed = []
behave = lambda inputs: [np.maximum(inputs[0], 0) * 2]

class Remote:
    def __init__(self, bundle, options):
        content = Bundle.open(bundle)
        self.names = [one.name for one in onnx.ModelProto.FromString(content.read("simulation.onnx")).graph.input]
        self.options = options

    def run(self, inputs):
        return behave(inputs)

    def close(self):
        closed.append(1)

class Plugin:
    @staticmethod
    @rknn_ep.hookimpl
    def rknn_ep_runtimes():
        yield Runtime("remote", executor=Remote)

plugins().register(Plugin, Origin("remote", "remote-plugin", "1", "remote"))
rknn_ep.register()
model = make_model([helper.make_node("Relu", ["x"], ["y"])], {"x": SHAPE}, {"y": SHAPE})
session = open_session(model, {"device": "remote", "min_partition_macs": "0", "cache_dir": CACHE})
assert VERSION < (1, 24) or on_npu(session) == ["Relu"], on_npu(session)
x = random()
"""


FAILURES = [
    ("raise_(ValueError('the board is gone'))", "ValueError: the board is gone"),
    ("[np.zeros((1, 2), np.float32)]", "has shape [1, 2], not [1, 3, 4, 4]"),
    ("[]", "ValueError"),
    ("inputs[0].fill(0)", "read-only"),
    ("raise_(SystemExit(1))", "SystemExit"),
]
"""(what the executor does, what the run's error says)."""

SCRIPT = """
def raise_(error):
    raise error

right = behave
for text, expected in FAILURES:
    behave = eval(f"lambda inputs: {text}")
    try:
        session.run(None, {"x": x})
    except Exception as error:
        assert expected in str(error), error
    else:
        raise AssertionError(f"{text} went through")
behave = right
np.testing.assert_array_equal(session.run(None, {"x": x})[0], np.maximum(x, 0) * 2)
del session
gc.collect()
assert closed == [1]
"""


def test_it_computes_reports_its_failures_and_is_closed_with_the_session(tmp_path):
    done = run_python(f"FAILURES = {FAILURES!r}\n" + PLUGIN.replace("CACHE", repr(str(tmp_path))) + SCRIPT)
    assert done.returncode == 0, done.stderr


REFUSING = """
from rknn_ep.errors import CompileError

def refuse(self, bundle, options):
    raise CompileError("not on this device")

Remote.__init__ = refuse
options = {"device": "remote", "min_partition_macs": "0", "cache_dir": CACHE}
fallen = open_session(model, options)
assert VERSION < (1, 24) or on_npu(fallen) == [], on_npu(fallen)
np.testing.assert_array_equal(fallen.run(None, {"x": x})[0], np.maximum(x, 0))
try:
    open_session(model, {**options, "strict": "1"})
except Exception as error:
    assert "not on this device" in str(error), error
else:
    raise AssertionError("strict=1 let a partition fall back")
"""


def test_a_partition_that_it_refuses_stays_on_the_cpu_unless_strict(tmp_path):
    done = run_python((PLUGIN + REFUSING).replace("CACHE", repr(str(tmp_path))))
    assert done.returncode == 0, done.stderr
