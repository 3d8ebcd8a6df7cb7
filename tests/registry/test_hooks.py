"""Every hook has a test of its name here: what a plugin yields through it must become usable."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from rknn_ep import hookimpl
from rknn_ep.cli.main import build_app
from rknn_ep.errors import NotInstalledError, OptionError
from rknn_ep.importing import load_source
from rknn_ep.options import Options
from rknn_ep.plugins import HOOKS, Origin, PluginManager
from rknn_ep.records import (
    Calibrator,
    Capability,
    Command,
    Compiler,
    CompileResult,
    FloatExecutor,
    Frontend,
    Health,
    HealthCheck,
    Importer,
    NodeFacts,
    Outcome,
    Runtime,
    Target,
    Verdict,
)
from tests.pipeline.conftest import small_model


def manager_with(*plugins: object) -> PluginManager:
    """A manager with the given plugin objects and nothing else."""
    manager = PluginManager()
    for index, plugin in enumerate(plugins):
        manager.register(plugin, Origin(f"plugin{index}", f"distribution{index}", "1.0", "here"))
    return manager


class Base:
    """What Options needs to find before it accepts anything."""

    @hookimpl
    def rknn_ep_targets(self) -> Any:
        yield Target("rk3588", precisions=("int8", "fp16"))

    @hookimpl
    def rknn_ep_calibrators(self) -> Any:
        yield Calibrator("mmse", lambda grid, options: None)


@pytest.mark.parametrize("hook", HOOKS)
def test_every_hook_has_a_test(hook: str) -> None:
    assert f"test_{hook}" in globals(), f"write test_{hook} in {Path(__file__).name}"


@pytest.mark.parametrize("hook", HOOKS)
def test_every_hook_is_specified_with_an_example(hook: str) -> None:
    from rknn_ep import hookspecs

    specification = getattr(hookspecs, hook)
    assert "Example:" in specification.__doc__
    assert specification.__annotations__["return"] == f"Iterable[{HOOKS[hook].__name__}]"


def test_no_hook_is_specified_without_a_record() -> None:
    from rknn_ep import hookspecs

    assert {name for name in vars(hookspecs) if name.startswith("rknn_ep_")} == set(HOOKS)


def test_rknn_ep_targets() -> None:
    class Plugin:
        @hookimpl
        def rknn_ep_targets(self) -> Any:
            yield Target("rk9999", precisions=("fp16",), aliases=("rk9999s",))

    manager = manager_with(Base(), Plugin())
    assert Options.parse({"target": "RK9999S"}, manager).target == "rk9999"
    with pytest.raises(OptionError, match="did you mean 'rk9999'"):
        Options.parse({"target": "rk9998"}, manager)


def test_rknn_ep_capabilities() -> None:
    def refuse(node: NodeFacts, target: Target, precision: str) -> Verdict:
        return Verdict(Outcome.REFUSED, "limit")

    class Plugin:
        @hookimpl
        def rknn_ep_capabilities(self) -> Any:
            yield Capability("late", refuse, priority=-1)
            yield Capability("first", refuse, priority=10)
            yield Capability("tables", refuse)

    assert [rule.name for rule in manager_with(Plugin()).capabilities()] == ["first", "tables", "late"]


def test_rknn_ep_calibrators() -> None:
    class Plugin:
        @hookimpl
        def rknn_ep_calibrators(self) -> Any:
            yield Calibrator("three_sigma", lambda grid, options: None)

    manager = manager_with(Base(), Plugin())
    assert Options.parse({"calibration_method": "three_sigma"}, manager).calibration_method == "three_sigma"
    with pytest.raises(OptionError, match="did you mean 'three_sigma'"):
        Options.parse({"calibration_method": "three-sigma"}, manager)


def test_rknn_ep_compilers() -> None:
    class Plugin:
        @hookimpl
        def rknn_ep_compilers(self) -> Any:
            yield Compiler("my-npu", lambda request: CompileResult({"my.bin": request.model}), devices=("my-npu",))

    compiler = manager_with(Plugin()).compilers()["my-npu"]
    assert compiler.devices == ("my-npu",)
    assert compiler.available() == ""


def test_rknn_ep_runtimes() -> None:
    class Plugin:
        @hookimpl
        def rknn_ep_runtimes(self) -> Any:
            yield Runtime("remote", available=lambda: "the board does not answer")

    manager = manager_with(Base(), Plugin())
    assert Options.parse({"device": "remote"}, manager).device == "remote"
    with pytest.raises(OptionError, match="did you mean 'remote'"):
        Options.parse({"device": "remot"}, manager)


def test_rknn_ep_importers(tmp_path: Path) -> None:
    class Plugin:
        @hookimpl
        def rknn_ep_importers(self) -> Any:
            yield Importer("list", (".lst",), read, accepts=lambda source: isinstance(source, list))
            yield Importer("absent", (".abs",), read, available=lambda: "python -m pip install absent")

    seen: list[Any] = []

    def read(source: Any, options: Mapping[str, str]) -> bytes:
        seen.append((source, options["input_shapes"]))
        return small_model().SerializeToString()

    manager, options = manager_with(Plugin()), Options.parse({"input_shapes": "x:1,3,32,32"})
    for source in ([1, 2], Path("model.LST")):
        assert load_source(source, options, manager).graph.inputs[0].name == "x"
    assert seen == [([1, 2], "x:1,3,32,32"), (Path("model.LST"), "x:1,3,32,32")]
    with pytest.raises(NotInstalledError, match=r"'model.abs' cannot be read here\n  python -m pip install absent"):
        load_source("model.abs", options, manager)
    (tmp_path / "model.xyz").write_bytes(b"something")
    with pytest.raises(OptionError, match=r"no importer reads '.xyz' files. Readable here: .abs, .lst"):
        load_source(tmp_path / "model.xyz", options, manager)
    with pytest.raises(OptionError, match=r"cannot read 'model\.xyz': no such file"):
        load_source("model.xyz", options, manager)
    with pytest.raises(OptionError, match="it is a folder"):
        load_source(tmp_path, options, manager)
    with pytest.raises(OptionError, match=r"a model of type builtins\.dict"):
        load_source({}, options, manager)


def test_rknn_ep_float_executors() -> None:
    class Plugin:
        @hookimpl
        def rknn_ep_float_executors(self) -> Any:
            yield FloatExecutor("mine", lambda model, outputs, threads: None)

    assert list(manager_with(Plugin()).float_executors()) == ["mine"]


def test_rknn_ep_frontends() -> None:
    registered = []

    class Plugin:
        @hookimpl
        def rknn_ep_frontends(self) -> Any:
            yield Frontend("host", lambda: registered.append("host"), lambda: registered.remove("host"))

    frontend = manager_with(Plugin()).frontends()["host"]
    frontend.register()
    assert registered == ["host"]
    frontend.unregister()
    assert registered == []


def test_rknn_ep_health_checks() -> None:
    class Plugin:
        @hookimpl
        def rknn_ep_health_checks(self) -> Any:
            yield HealthCheck("disk", lambda: Health("ok", "9 GB free"))

    assert manager_with(Plugin()).health_checks()["disk"].check().verdict == "ok"


def test_rknn_ep_commands() -> None:
    class Plugin:
        @hookimpl
        def rknn_ep_commands(self) -> Any:
            def flash(board: str) -> None:
                """Flash a board."""
                print(f"flashed {board}")

            yield Command("flash", flash, "Flash a board.")

    app = build_app(manager_with(Plugin()))
    result = CliRunner().invoke(app, ["flash", "rock5b"])
    assert result.exit_code == 0
    assert result.stdout == "flashed rock5b\n"
    assert "Flash a board." in CliRunner().invoke(app, ["--help"]).stdout
