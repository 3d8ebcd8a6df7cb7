"""What a plain `import tvm` finds: targets, pipeline, functions; and what happens with another TVM."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from rknn_ep.errors import OptionError
from rknn_ep.plugins import plugins
from rknn_ep_tvm.targets import make_target, options_of, soc_of
from tests.tvm.harness import compiled, imported, in_new_process, network, random, run


def python(program: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """A program in a process of its own."""
    return in_new_process("-c", program, **environment)


@pytest.mark.parametrize("name", sorted(plugins().targets()))
def test_every_target_has_its_tags(name: str) -> None:
    from tvm.target import Target

    target, simulated = Target(f"rockchip/{name}"), Target(f"rockchip/{name}-sim")
    record = plugins().targets()[name]
    assert (target.attrs["mtriple"], target.attrs["mcpu"]) == (record.triple, record.cpu)
    assert record.cpu != "generic"  # the shipped tables know the CPU
    assert soc_of(target) == soc_of(simulated) == name
    assert options_of(target) == {} and options_of(simulated) == {"device": "simulator"}


def test_triples_are_those_of_the_boards() -> None:
    records = plugins().targets()
    assert (records["rk3588"].triple, records["rk3588"].cpu) == ("aarch64-linux-gnu", "cortex-a76")
    assert (records["rv1106"].triple, records["rv1106"].cpu) == ("armv7a-linux-gnueabihf", "cortex-a7")


def test_simulated_targets_make_code_for_this_computer() -> None:
    mod = imported(network(), exclude_ops="Conv,Relu").mod
    for name in ("rk3566", "rv1106"):
        assert run(compiled(mod, f"rockchip/{name}-sim"), random())[0].shape == (1, 8, 16, 16)


def test_alias_is_a_tag_too() -> None:
    from tvm.target import Target

    assert soc_of(Target("rockchip/rk3588s")) == "rk3588"


def test_options_travel_in_the_target() -> None:
    target = make_target("rockchip/rk3588", carrier="native", contexts=3)
    assert options_of(target) == {"carrier": "native", "contexts": "3"}
    with pytest.raises(OptionError, match="did you mean 'rk3588'"):
        make_target("rockchip/rk3558")


def test_plain_import_registers_everything() -> None:
    done = python(
        "import tvm; from tvm.relax.pipeline import PIPELINE_MAP; import tvm_ffi\n"
        "print(tvm.target.Target('rockchip/rk3576-sim').attrs['device'], 'rknn' in PIPELINE_MAP,"
        " tvm_ffi.get_global_func('rknn_ep.run') is not None,"
        " tvm_ffi.get_global_func('ffi.Module.load_from_bytes.rknn') is not None)"
    )
    assert done.stdout.split() == ["rk3576", "True", "True", "True"], done.stderr


def test_plain_import_registers_what_runs_modules_in_runtime_only_mode() -> None:
    done = python(
        "import tvm, sys, tvm_ffi\n"
        "print(tvm_ffi.get_global_func('rknn_ep.run') is not None,"
        " tvm_ffi.get_global_func('ffi.Module.load_from_bytes.rknn') is not None, 'tvm.relax' in sys.modules)",
        TVM_USE_RUNTIME_LIB="1",
    )
    assert done.stdout.split() == ["True", "True", "False"], done.stderr
    assert "Failed to autoload" not in done.stderr


def test_importing_the_plugin_does_not_import_tvm() -> None:
    done = python("import sys, rknn_ep_tvm, rknn_ep.plugins as p; p.plugins().frontends(); print('tvm' in sys.modules)")
    assert done.stdout.strip() == "False", done.stderr


def test_registering_does_not_import_tvm_but_reaches_one_that_is_loaded() -> None:
    done = python("import sys, rknn_ep; rknn_ep.register(); print('tvm' in sys.modules)")
    assert done.stdout.strip() == "False", done.stderr
    done = python(
        "import tvm, tvm_ffi, rknn_ep; rknn_ep.register('tvm')\n"
        "print(tvm_ffi.get_global_func('rknn_ep.run', allow_missing=True) is not None)",
        TVM_DEVICE_BACKEND_AUTOLOAD="0",
    )
    assert done.stdout.strip() == "True", done.stderr


def test_native_library_may_be_loaded_from_two_paths(tmp_path: Path) -> None:
    """A second copy would abort the process if it registered again."""
    done = python(
        "import ctypes, shutil, tvm\nfrom rknn_ep.api import native_library\n"
        f"shutil.copy(native_library('TVM'), {str(tmp_path)!r})\n"
        f"ctypes.CDLL({str(tmp_path / 'librknn_ep_tvm.so')!r})\nprint('alive')"
    )
    assert done.stdout.strip() == "alive", done.stderr


@pytest.mark.parametrize("found", ["0.26.0", "0.28.0"])
def test_other_tvm_is_named_with_the_way_out(tmp_path: Path, found: str) -> None:
    """Metadata of another version, as pip would leave it, found first."""
    information = tmp_path / f"apache_tvm-{found}.dist-info"
    information.mkdir()
    (information / "METADATA").write_text(f"Metadata-Version: 2.1\nName: apache-tvm\nVersion: {found}\n")
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    words = f"apache-tvm {found} is installed, and rknn_ep_tvm is written for 0.27: python -m pip install 'rknn-ep[tvm]'"
    loaded = python("import tvm", PYTHONPATH=path)
    assert loaded.returncode == 0 and words in loaded.stderr  # TVM itself works; its warning says why we do not
    asked = python("import rknn_ep_tvm; rknn_ep_tvm.from_onnx('model.onnx')", PYTHONPATH=path)
    assert asked.returncode == 1 and f"NotInstalledError: {words}" in asked.stderr
