"""Operators of a program's own inside a simulated model: callbacks of rknn_custom_op."""

from __future__ import annotations

import ctypes as c
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper

from rknn_ep.artifact.bundle import write_bundle
from tests.simulator import bundles, driver
from tests.simulator.driver import Context, RknnError, TensorAttr, TensorMem

SHAPE = [1, 3, 4, 5]


class OpContext(c.Structure):
    _fields_ = [("target", c.c_int), ("internal_ctx", c.c_uint64), ("gpu_ctx", c.c_void_p * 3), ("priv_data", c.c_void_p)]


class OpTensor(c.Structure):
    _fields_ = [("attr", TensorAttr), ("mem", TensorMem)]


class OpAttr(c.Structure):
    _fields_ = [("name", c.c_char * 256), ("dtype", c.c_int), ("n_elems", c.c_uint32), ("data", c.c_void_p)]


Callback = c.CFUNCTYPE(c.c_int, c.POINTER(OpContext), c.POINTER(OpTensor), c.c_uint32, c.POINTER(OpTensor), c.c_uint32)
Destroy = c.CFUNCTYPE(c.c_int, c.POINTER(OpContext))


class CustomOp(c.Structure):
    _fields_ = [
        ("version", c.c_uint32),
        ("target", c.c_int),
        ("op_type", c.c_char * 256),
        ("cl_kernel_name", c.c_char * 256),
        ("cl_kernel_source", c.c_char_p),
        ("cl_source_size", c.c_uint64),
        ("cl_build_options", c.c_char * 256),
        ("init", Callback),
        ("prepare", Callback),
        ("compute", Callback),
        ("compute_native", Callback),
        ("destroy", Destroy),
    ]


def array(tensor: OpTensor) -> np.ndarray:
    kind = driver.NUMPY[tensor.attr.type]
    raw = (c.c_uint8 * tensor.mem.size).from_address(tensor.mem.virt_addr)
    return np.frombuffer(raw, kind).reshape(tensor.attr.shape)


class Program:
    """An operator that multiplies two tensors and adds its attribute `offset`, and counts its calls."""

    def __init__(self, library: c.CDLL, result: int = 0) -> None:
        library.rknn_custom_op_get_op_attr.argtypes = [c.POINTER(OpContext), c.c_char_p, c.POINTER(OpAttr)]
        library.rknn_custom_op_get_op_attr.restype = None
        self.calls: list[str] = []
        self.attributes: dict[str, list[float]] = {}

        def init(context, inputs, n_inputs, outputs, n_outputs) -> int:
            self.calls.append(f"init {n_inputs} {n_outputs} {inputs[0].attr.name.decode()}")
            context.contents.priv_data = 1234
            return 0

        def prepare(context, inputs, n_inputs, outputs, n_outputs) -> int:
            self.calls.append("prepare")
            return 0

        def compute(context, inputs, n_inputs, outputs, n_outputs) -> int:
            self.calls.append("compute")
            assert context.contents.priv_data == 1234
            for name, kind in (("offset", c.c_float), ("axes", c.c_int64), ("nothing", c.c_int64)):
                attr = OpAttr()
                library.rknn_custom_op_get_op_attr(context, name.encode(), c.byref(attr))
                self.attributes[name] = list((kind * attr.n_elems).from_address(attr.data)) if attr.n_elems else []
            array(outputs[0])[:] = array(inputs[0]) * array(inputs[1]) + self.attributes["offset"][0]
            return result

        def destroy(context) -> int:
            self.calls.append("destroy")
            return 0

        self.op = CustomOp(version=1, target=1, op_type=b"ScaledProduct")
        self.op.init, self.op.prepare, self.op.compute = Callback(init), Callback(prepare), Callback(compute)
        self.op.destroy = Destroy(destroy)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """y = Relu(ScaledProduct(x, x)): the description of a plain model, the simulation of one with the operator."""
    nodes = [
        helper.make_node("ScaledProduct", ["x", "x"], ["p"], domain="my.ops", offset=-1.5, axes=[2, 3]),
        helper.make_node("Relu", ["p"], ["y"]),
    ]
    proto = bundles.model(nodes, [("x", TensorProto.FLOAT, SHAPE)], [("y", TensorProto.FLOAT, SHAPE)])
    proto.graph.value_info.append(helper.make_tensor_value_info("p", TensorProto.FLOAT, SHAPE))
    entries = dict(bundles.compiled(bundles.relu(SHAPE)).entries)
    entries["simulation.onnx"] = proto.SerializeToString()
    path = tmp_path_factory.mktemp("custom") / "custom.rknnctx"
    write_bundle(path, entries, {"partition": "rknn_0"})
    return path


@pytest.mark.parametrize("from_memory", [False, True])
def test_callbacks_compute_inside_the_model(library: c.CDLL, bundle: Path, from_memory: bool) -> None:
    program = Program(library)
    x = np.random.default_rng(0).standard_normal(SHAPE).astype(np.float32)
    with Context(library, bundle.read_bytes() if from_memory else bundle) as context:
        with pytest.raises(RknnError) as error:
            context.set_inputs([x])
            context.run()
        assert error.value.code == driver.FAIL
        context.call("rknn_register_custom_ops", c.byref(program.op), 1)
        for _ in range(2):
            np.testing.assert_allclose(context(x)[0], np.maximum(x * x - 1.5, 0), rtol=1e-6)
        assert program.calls == ["init 2 1 x", *["prepare", "compute"] * 2]
        assert program.attributes == {"offset": [-1.5], "axes": [2, 3], "nothing": []}
        with pytest.raises(RknnError):
            context.call("rknn_register_custom_ops", c.byref(program.op), 1)
    assert program.calls[-1] == "destroy"


def test_a_callback_that_fails_fails_the_run_with_its_name(
    library: c.CDLL, bundle: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    program = Program(library, result=-3)
    with Context(library, bundle) as context:
        context.call("rknn_register_custom_ops", c.byref(program.op), 1)
        context.set_inputs([np.zeros(SHAPE, np.float32)])
        with pytest.raises(RknnError) as error:
            context.run()
    assert error.value.code == driver.FAIL
    assert "custom operator 'ScaledProduct': compute returned -3" in capfd.readouterr().err


def test_operators_that_do_not_fit_are_refused(library: c.CDLL, bundle: Path, tmp_path: Path) -> None:
    with Context(library, bundle) as context:
        other, gpu, empty, nameless = (Program(library).op for _ in range(4))
        other.op_type, gpu.target, nameless.op_type = b"Another", 2, b""
        empty.compute = Callback()
        for op in (other, gpu, empty, nameless):
            with pytest.raises(RknnError) as error:
                context.call("rknn_register_custom_ops", c.byref(op), 1)
            assert error.value.code == driver.PARAM_INVALID
        for arguments in ((None, 1), (c.byref(other), 0)):
            with pytest.raises(RknnError) as error:
                context.call("rknn_register_custom_ops", *arguments)
            assert error.value.code == driver.PARAM_INVALID
    plain = bundles.bundle(tmp_path / "relu.rknnctx", bundles.relu(SHAPE))
    with Context(library, plain) as context:  # a plugin that the model does not need harms nothing
        context.call("rknn_register_custom_ops", c.byref(Program(library).op), 1)
        context(np.zeros(SHAPE, np.float32))
    attr = OpAttr(n_elems=7)
    library.rknn_custom_op_get_op_attr(None, b"offset", c.byref(attr))
    assert attr.n_elems == 0
