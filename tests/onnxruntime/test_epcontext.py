"""EPContext models: written, read back in a process of their own without any planning, and refused when damaged."""

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper

from rknn_ep.api import EP_NAME
from tests.onnxruntime.harness import (
    RK3576,
    SHAPE,
    bundle_of,
    make_model,
    mul_and_sin,
    mul_bundle,
    on_npu,
    open_session,
    random,
    run_python,
)

RELOAD = """
import sys
import numpy as np, onnxruntime as ort
from rknn_ep.api import get_library_path
path, x, out = sys.argv[1:4]
ort.register_execution_provider_library("RKNNExecutionProvider", get_library_path())
settings = ort.SessionOptions()
settings.add_provider_for_devices([one for one in ort.get_ep_devices() if one.ep_name == "RKNNExecutionProvider"], {})
session = ort.InferenceSession(path, settings)
np.save(out, session.run(None, {"x": np.load(x)})[0])
assert "rknn_ep.pipeline" not in sys.modules and "onnx" not in sys.modules
"""


@pytest.fixture
def compiled(planner, tmp_path):
    """Writes the EPContext model of mul_and_sin and gives its path."""
    source, folder = tmp_path / "model.onnx", tmp_path / "out"
    source.write_bytes(mul_and_sin().SerializeToString())
    folder.mkdir()
    planner.partitions = [(("Mul",), mul_bundle(tmp_path))]

    def compile(embed: int) -> object:
        path = folder / "model_ctx.onnx"
        config = {"ep.context_enable": "1", "ep.context_file_path": str(path), "ep.context_embed_mode": str(embed)}
        open_session(source, config=config)
        return path

    return compile


def context_node(path) -> tuple[onnx.ModelProto, onnx.NodeProto, dict[str, object]]:
    model = onnx.load(path, load_external_data=False)
    node = next(node for node in model.graph.node if node.op_type == "EPContext")
    return model, node, {one.name: helper.get_attribute_value(one) for one in node.attribute}


def change(path, **changes) -> None:
    """Overwrite attributes of the EPContext node."""
    model, node, _ = context_node(path)
    for name, value in changes.items():
        found = next(one for one in node.attribute if one.name == name)
        found.CopyFrom(helper.make_attribute(name, value))
    path.write_bytes(model.SerializeToString())


def refused(source, options=None, config=None) -> str:
    with pytest.raises(Exception) as caught:
        open_session(source, options, config)
    assert type(caught.value).__name__ == "EPFail"
    return str(caught.value)


@pytest.mark.parametrize("embed", [0, 1])
def test_written_node_says_everything_about_itself(compiled, tmp_path, embed):
    path = compiled(embed)
    model, node, found = context_node(path)
    assert node.domain == "com.microsoft"
    assert (list(node.input), list(node.output)) == (["x"], ["y"])
    bundle = (tmp_path / "rknn_0.rknnctx").read_bytes()
    payload = found.pop("ep_cache_context")
    assert (payload if embed else (path.parent / payload.decode()).read_bytes()) == bundle
    assert payload == bundle if embed else payload == b"model_ctx_rknn_0.rknnctx"
    assert found.pop("notes").startswith(b"format=1\n")
    assert found.pop("ep_sdk_version")
    found.pop("max_size", None)  # ONNX Runtime's own default
    assert found == {
        "main_context": 1,
        "embed_mode": embed,
        "source": EP_NAME.encode(),
        "hardware_architecture": b"rk3588",
        "partition_name": b"rknn_0",
    }
    assert [node.op_type for node in model.graph.node] == ["EPContext", "Sin"]
    metadata = {one.key: one.value for one in model.metadata_props}
    assert any("target=rk3588" in value for value in metadata.values())


@pytest.mark.parametrize("embed", [0, 1])
def test_reloaded_in_a_new_process_the_outputs_are_bit_identical(compiled, planner, tmp_path, embed):
    x = random()
    np.save(tmp_path / "x.npy", x)
    here = open_session(mul_and_sin()).run(None, {"x": x})[0]
    import sys

    done = run_python(
        f"import sys; sys.argv[1:] = {[str(compiled(embed)), str(tmp_path / 'x.npy'), str(tmp_path / 'z.npy')]!r}\n{RELOAD}"
    )
    assert done.returncode == 0, done.stderr
    assert sys.executable
    np.testing.assert_array_equal(np.load(tmp_path / "z.npy").view(np.int32), here.view(np.int32))


def test_reloaded_model_is_not_planned_again(compiled, planner):
    path = compiled(1)
    planner.models.clear()
    session = open_session(path)
    assert on_npu(session) == ["EPContext"]
    assert planner.models == []


@pytest.mark.parametrize("embed", [False, True])
def test_model_compiler_writes_the_same(planner, tmp_path, embed):
    planner.partitions = [(("Mul",), mul_bundle(tmp_path))]
    settings = ort.SessionOptions()
    settings.add_provider_for_devices([one for one in ort.get_ep_devices() if one.ep_name == EP_NAME], {})
    out = tmp_path / "out"
    out.mkdir()
    compiler = ort.ModelCompiler(settings, mul_and_sin().SerializeToString(), embed_compiled_data_into_model=embed)
    compiler.compile_to_file(str(out / "c.onnx"))
    assert sorted(one.name for one in out.iterdir()) == ["c.onnx"] if embed else ["c.onnx", "c_rknn_0.rknnctx"]
    session = open_session(out / "c.onnx")
    assert on_npu(session) == ["EPContext"]
    x = random()
    np.testing.assert_allclose(session.run(None, {"x": x})[0], np.sin(3 * x), rtol=0, atol=2**-22)


def test_an_embedded_model_loads_from_memory(compiled):
    session = open_session(onnx.load(compiled(1)))
    assert on_npu(session) == ["EPContext"]


def test_a_model_with_a_side_file_loads_from_memory_when_it_is_told_the_folder(compiled):
    path = compiled(0)
    model = onnx.load(path)
    assert "loaded from memory" in refused(model)
    session = open_session(model, config={"session.model_external_initializers_file_folder_path": str(path.parent)})
    assert on_npu(session) == ["EPContext"]


def test_context_of_another_provider_is_left_alone(compiled):
    path = compiled(1)
    change(path, source="SomebodyElse")
    with pytest.raises(Exception, match="EPContext"):
        open_session(path)


def test_another_target_is_refused_by_both_names(compiled):
    text = refused(compiled(1), {"target": "rk3566"})
    assert "compiled for rk3588" in text
    assert "rk3566" in text


def test_a_bundle_of_several_socs_runs_on_each_and_on_no_other(planner, tmp_path, compiled, monkeypatch):
    planner.partitions = [(("Mul",), mul_bundle(tmp_path, also=(RK3576,)))]
    path, x = compiled(1), random()
    expected = open_session(path).run(None, {"x": x})[0]
    masks = {"rk3588": "7", "rk3576": "3"}
    for target, mask in masks.items():
        session = open_session(path, {"target": target, "core_mask": mask})
        np.testing.assert_array_equal(session.run(None, {"x": x})[0], expected)
    assert "rk3576 takes 0, 1, 2, 3" in refused(path, {"target": "rk3576", "core_mask": "7"})
    text = refused(path, {"target": "rk3566"})
    assert "compiled for rk3588, rk3576, but the option target asks for rk3566" in text
    monkeypatch.setenv("RKNN_EP_SIMULATED_SOC", "rk3576")  # the SoC that this is: no option is needed
    open_session(path, {"core_mask": "3"})
    assert "rk3576 takes 0, 1, 2, 3" in refused(path, {"core_mask": "7"})
    assert "RKNN_ERR_TARGET_PLATFORM_UNMATCH" in refused(path, {"target": "rk3588"})


def test_a_context_of_another_format_is_refused_with_its_version(planner, tmp_path, compiled):
    path = compiled(0)
    mul_bundle(tmp_path, changes=lambda text: text.replace("format=1", "format=7"))
    (tmp_path / "rknn_0.rknnctx").replace(path.parent / "model_ctx_rknn_0.rknnctx")
    change(path, ep_sdk_version="9.9")
    text = refused(path)
    assert "rknn_ep 9.9" in text
    assert "format 7" in text


@pytest.mark.parametrize("embed", [0, 1])
@pytest.mark.parametrize("kept", [0.0, 0.02, 0.5, 0.99])
def test_a_cut_payload_is_refused(compiled, tmp_path, embed, kept):
    path = compiled(embed)
    side = path.parent / "model_ctx_rknn_0.rknnctx"
    payload = (tmp_path / "rknn_0.rknnctx").read_bytes()
    cut = payload[: int(len(payload) * kept)]
    if embed:
        change(path, ep_cache_context=cut)
    else:
        side.write_bytes(cut)
    assert "rknn_0" in refused(path)


def test_payload_bytes_may_be_anything(compiled):
    path = compiled(1)
    change(path, ep_cache_context=bytes(range(256)) * 40 + b"\0\0")
    assert "rknn_0" in refused(path)


@pytest.mark.parametrize("name", ["../rknn_0.rknnctx", "/etc/passwd", "a/../../rknn_0.rknnctx", "..", "", "x\0y"])
def test_a_side_path_that_leaves_the_folder_is_refused(compiled, name):
    path = compiled(0)
    change(path, ep_cache_context=name)
    text = refused(path)
    assert "outside of the model's folder" in text or "not a file name" in text


def test_a_link_that_leaves_the_folder_is_refused(compiled, tmp_path):
    path = compiled(0)
    side = path.parent / "model_ctx_rknn_0.rknnctx"
    side.replace(tmp_path / "elsewhere.rknnctx")
    side.symlink_to(tmp_path / "elsewhere.rknnctx")
    assert "link that leaves" in refused(path)


def test_a_missing_side_file_is_named(compiled):
    path = compiled(0)
    (path.parent / "model_ctx_rknn_0.rknnctx").unlink()
    assert "model_ctx_rknn_0.rknnctx" in refused(path)


def test_a_node_with_other_inputs_than_its_bundle_is_refused(compiled):
    path = compiled(1)
    model, node, _ = context_node(path)
    node.input.append("w")
    model.graph.input.append(helper.make_tensor_value_info("w", TensorProto.FLOAT, SHAPE))
    path.write_bytes(model.SerializeToString())
    assert "do not belong together" in refused(path)


def test_one_value_may_feed_several_inputs(planner, tmp_path):
    """ONNX Runtime's fused node lists a value once, the EPContext node as often as the bundle has inputs."""
    inside = make_model([helper.make_node("Sub", ["a", "b"], ["y"])], {"a": SHAPE, "b": SHAPE}, {"y": SHAPE})
    planner.partitions = [(("Sub",), bundle_of(tmp_path, inside))]
    path = tmp_path / "c.onnx"
    open_session(inside, config={"ep.context_enable": "1", "ep.context_file_path": str(path), "ep.context_embed_mode": "1"})
    model, node, _ = context_node(path)
    node.input[1] = "a"
    session = open_session(model)
    assert not session.run(None, {"a": random(), "b": random(seed=1)})[0].any()


def test_options_of_compiled_models_are_validated_without_python(compiled):
    path = compiled(1)
    assert "did you mean 'target'" in refused(path, {"tarket": "rk3588"})
    assert "exact, fast" in refused(path, {"simulation": "slow"})
    assert "device=toaster" in refused(path, {"device": "toaster"})


def test_a_full_folder_is_an_error_of_ours(planner, tmp_path):
    planner.partitions = [(("Mul",), mul_bundle(tmp_path))]
    config = {"ep.context_enable": "1", "ep.context_file_path": "/proc/nowhere/c.onnx", "ep.context_embed_mode": "0"}
    assert "cannot write /proc/nowhere/c_rknn_0.rknnctx" in refused(mul_and_sin(), config=config)


def test_embed_mode_zero_without_a_path_says_what_to_set(planner, tmp_path):
    planner.partitions = [(("Mul",), mul_bundle(tmp_path))]
    settings = ort.SessionOptions()
    settings.add_provider_for_devices([one for one in ort.get_ep_devices() if one.ep_name == EP_NAME], {})
    compiler = ort.ModelCompiler(settings, mul_and_sin().SerializeToString())
    with pytest.raises(Exception, match="needs a path"):
        compiler.compile_to_bytes()


def test_a_session_that_wrote_a_model_can_also_run(planner, tmp_path):
    planner.partitions = [(("Mul",), mul_bundle(tmp_path))]
    path = tmp_path / "c.onnx"
    config = {"ep.context_enable": "1", "ep.context_file_path": str(path), "ep.context_embed_mode": "1"}
    session = open_session(mul_and_sin(), config=config)
    x = random()
    np.testing.assert_allclose(session.run(None, {"x": x})[0], np.sin(3 * x), rtol=0, atol=2**-22)


@pytest.mark.slow
def test_reloading_a_large_payload_needs_little_more_than_its_size(planner, tmp_path):
    """Embed mode 0, 256 MiB of weights: peak memory of the new process, beyond that of an empty one, in payload sizes."""
    columns = 8192
    weights = np.random.default_rng(0).random((columns, columns), np.float32)  # 256 MiB
    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=weights.shape, data_location=TensorProto.EXTERNAL)
    for key, text in (("location", "simulation.data"), ("offset", "0"), ("length", str(weights.nbytes))):
        tensor.external_data.add(key=key, value=text)
    node = helper.make_node("MatMul", ["x", "w"], ["y"])
    inside = make_model([node], {"x": [1, columns]}, {"y": [1, columns]}, [tensor])
    planner.partitions = [(("MatMul",), bundle_of(tmp_path, inside, entries={"simulation.data": weights.tobytes()}))]
    source, path = tmp_path / "model.onnx", tmp_path / "c.onnx"
    whole = make_model([node], {"x": [1, columns]}, {"y": [1, columns]}, [numpy_helper.from_array(weights, "w")])
    source.write_bytes(whole.SerializeToString())
    open_session(source, config={"ep.context_enable": "1", "ep.context_file_path": str(path), "ep.context_embed_mode": "0"})
    size = (tmp_path / "c_rknn_0.rknnctx").stat().st_size
    np.save(tmp_path / "x.npy", random((1, columns)))
    script = f"""
import sys; sys.argv[1:] = {[str(path), str(tmp_path / "x.npy"), str(tmp_path / "y.npy")]!r}
{RELOAD}
import resource
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
"""
    empty = "import resource, numpy, onnxruntime; print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)"
    peak = int(run_python(script).stdout) - int(run_python(empty).stdout)
    assert size > weights.nbytes
    assert peak <= 1.5 * size, f"{peak / size:.2f} of the payload"


def test_context_models_of_several_partitions_load(planner, tmp_path):
    model = make_model(
        [helper.make_node("Sin", ["x"], ["y"]), helper.make_node("Acosh", ["y"], ["a"]), helper.make_node("Cos", ["a"], ["z"])],
        {"x": SHAPE},
        {"z": SHAPE},
    )
    first = make_model([helper.make_node("Sin", ["x"], ["y"])], {"x": SHAPE}, {"y": SHAPE})
    second = make_model([helper.make_node("Cos", ["a"], ["z"])], {"a": SHAPE}, {"z": SHAPE})
    planner.partitions = [(("Sin",), bundle_of(tmp_path, first)), (("Cos",), bundle_of(tmp_path, second, name="rknn_1"))]
    path = tmp_path / "c.onnx"
    open_session(model, config={"ep.context_enable": "1", "ep.context_file_path": str(path), "ep.context_embed_mode": "1"})
    session = open_session(path)
    assert on_npu(session) == ["EPContext", "EPContext"]
