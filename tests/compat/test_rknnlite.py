"""rknn_ep.compat.rknnlite.RKNNLite: the interface of rknn-toolkit-lite2, and what its calls do."""

import inspect
import logging
from pathlib import Path

import numpy as np
import pytest

from rknn_ep.compat.rknnlite import RKNNLite
from tests.onnxruntime.harness import SHAPE, mul_bundle, random
from tests.simulator.bundles import bundle, quantized_identity

INTERFACE = {
    "__init__": {"verbose": False, "verbose_file": None},
    "load_rknn": {"path": inspect.Parameter.empty, "key_path": None},
    "list_devices": {},
    "init_runtime": {"target": None, "device_id": None, "async_mode": False, "core_mask": 0},
    "inference": {
        "inputs": inspect.Parameter.empty,
        "data_type": None,
        "data_format": None,
        "inputs_pass_through": None,
        "get_frame_id": False,
        "reuse_outputs": False,
    },
    "get_sdk_version": {},
    "list_support_target_platform": {"rknn_model": None},
    "release": {},
}
"""Of rknn-toolkit-lite2 2.5.0: method -> parameter -> default."""
CONSTANTS = {
    "NPU_CORE_AUTO": 0,
    "NPU_CORE_0": 1,
    "NPU_CORE_1": 2,
    "NPU_CORE_2": 4,
    "NPU_CORE_0_1": 3,
    "NPU_CORE_0_1_2": 7,
    "NPU_CORE_ALL": 65535,
}


@pytest.fixture(scope="module")
def tripling(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(mul_bundle(tmp_path_factory.mktemp("tripling")))


@pytest.fixture
def lite(tripling: str):
    lite = RKNNLite()
    assert lite.load_rknn(tripling) == 0
    assert lite.init_runtime(core_mask=RKNNLite.NPU_CORE_0) == 0
    yield lite
    lite.release()


def test_methods_parameters_defaults_and_constants_are_the_vendors() -> None:
    public = {name for name, _ in inspect.getmembers(RKNNLite, inspect.isfunction) if not name.startswith("_")}
    assert public == set(INTERFACE) - {"__init__"}
    for name, parameters in INTERFACE.items():
        found = list(inspect.signature(getattr(RKNNLite, name)).parameters.values())[1:]
        assert {one.name: one.default for one in found} == parameters, name
        assert [one.name for one in found] == list(parameters), name
    assert {name: getattr(RKNNLite, name) for name in CONSTANTS} == CONSTANTS


def test_pictures_are_nhwc_unless_said_otherwise(lite: RKNNLite) -> None:
    x = random()
    nhwc = np.ascontiguousarray(x.transpose(0, 2, 3, 1))
    for arguments in ({"inputs": [nhwc]}, {"inputs": [x], "data_format": "nchw"}, {"inputs": [x], "data_format": ["nchw"]}):
        [y] = lite.inference(**arguments)
        np.testing.assert_array_equal(y, 3 * x)


def test_numbers_of_any_type_are_taken(lite: RKNNLite) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (1, 4, 4, 3), np.uint8)
    expected = 3 * picture.transpose(0, 3, 1, 2).astype(np.float32)
    for dtype in (np.uint8, np.int32, np.int64, np.float16, np.float32, np.float64):
        np.testing.assert_array_equal(lite.inference([picture.astype(dtype)])[0], expected)
    np.testing.assert_array_equal(lite.inference([picture.astype(np.float64)], data_type="uint8")[0], expected)


def test_codes_pass_through(tmp_path: Path) -> None:
    lite = RKNNLite()
    assert lite.load_rknn(str(bundle(tmp_path / "q.rknnctx", quantized_identity((1, 3, 4, 16)), "int8"))) == 0
    assert lite.init_runtime() == 0
    codes = np.random.default_rng(1).integers(-128, 128, (1, 4, 16, 3)).astype(np.int8)
    [y] = lite.inference([codes], inputs_pass_through=[1])
    expected = ((codes.astype(np.float32) + 28) * np.float32(0.1)).transpose(0, 3, 1, 2)
    np.testing.assert_array_equal(y, expected)
    lite.release()


def test_outputs_are_reused_on_demand(lite: RKNNLite) -> None:
    x = random()
    first = lite.inference([x], data_format="nchw", reuse_outputs=True)
    second = lite.inference([2 * x], data_format="nchw", reuse_outputs=True)
    assert second[0] is first[0]
    np.testing.assert_array_equal(first[0], 6 * x)
    assert lite.inference([x], data_format="nchw")[0] is not first[0]


def test_asynchronous_mode_returns_the_previous_frame(tripling: str) -> None:
    lite = RKNNLite()
    lite.load_rknn(tripling)
    assert lite.init_runtime(async_mode=True) == 0
    frames = [np.full(SHAPE, value, np.float32) for value in range(5)]
    results = [lite.inference([frame], data_format="nchw", get_frame_id=True) for frame in frames]
    assert [int(outputs[0].flat[0]) for outputs, _ in results] == [0, 0, 3, 6, 9]
    assert [frame for _, frame in results] == [1, 1, 2, 3, 4]
    lite.release()


def test_versions_and_platforms(lite: RKNNLite, tripling: str) -> None:
    assert "rknn_ep simulator" in lite.get_sdk_version()
    assert lite.list_support_target_platform() == {"support_target_platform": ["RK3588"], "filled_target_platform": ["RK3588"]}
    assert RKNNLite().list_support_target_platform(tripling)["filled_target_platform"] == ["RK3588"]
    assert lite.list_devices() == ([], [])


def test_failures_are_codes_and_a_line_in_the_log(tmp_path: Path, tripling: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.ERROR)
    lite = RKNNLite()

    def last() -> str:
        return caplog.records[-1].getMessage()

    assert lite.init_runtime() == -1
    assert "load_rknn first" in last()
    assert lite.inference([random()]) is None
    assert "init_runtime first" in last()
    assert lite.get_sdk_version() is None
    assert lite.list_support_target_platform() is None
    assert lite.load_rknn(str(tmp_path / "nowhere.rknn")) == -1
    assert "nowhere.rknn" in last()
    assert lite.load_rknn(tripling, key_path="key") == -1
    assert lite.load_rknn(tripling) == 0
    assert lite.init_runtime(core_mask=12345) == -1
    assert "core_mask" in last()
    assert lite.init_runtime() == 0
    for wrong in ([random()], [random(), random()], random(), [random((4, 4, 3))], [np.array(["text"])]):
        assert lite.inference(wrong) is None
    assert lite.inference([random()], data_type="colour") is None
    assert lite.inference([random()], data_format="hwcn") is None
    assert lite.inference([random()], data_format=["nchw", "nchw"]) is None
    assert lite.inference([random()], inputs_pass_through=[1]) is None
    np.testing.assert_array_equal(lite.inference([random()], data_format="nchw")[0], 3 * random())
    lite.release()
    lite.release()
    assert lite.inference([random()]) is None


def test_the_log_goes_to_a_file(tmp_path: Path, tripling: str) -> None:
    lite = RKNNLite(verbose=True, verbose_file=str(tmp_path / "log"))
    lite.load_rknn(tripling)
    lite.load_rknn("nowhere")
    lite.release()
    text = (tmp_path / "log").read_text()
    assert tripling in text
    assert "nowhere cannot be read" in text
