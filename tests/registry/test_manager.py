"""What the plugin manager does with plugins that break the contract."""

from __future__ import annotations

from typing import Any

import pytest

from rknn_ep import hookimpl
from rknn_ep.errors import PluginError
from rknn_ep.plugins import Origin, PluginManager
from rknn_ep.records import Calibrator, Target


def origin(plugin: str, distribution: str = "acme-npu", version: str = "2.1") -> Origin:
    return Origin(plugin, distribution, version, "acme")


def calibrator(name: str) -> Any:
    class Plugin:
        @hookimpl
        def rknn_ep_calibrators(self) -> Any:
            yield Calibrator(name, lambda grid, options: None)

    return Plugin()


def test_two_plugins_of_one_name_name_both_distributions() -> None:
    manager = PluginManager()
    manager.register(calibrator("a"), origin("mine", "acme-npu", "2.1"))
    with pytest.raises(PluginError, match=r"acme-npu 2\.1.*other-npu 3\.0"):
        manager.register(calibrator("b"), origin("mine", "other-npu", "3.0"))
    assert list(manager.calibrators()) == ["a"]


def test_two_records_of_one_name_name_both_distributions_and_never_advise_to_drop_the_core() -> None:
    manager = PluginManager()
    manager.register(calibrator("minmax"), origin("aaa"))
    manager.register(calibrator("minmax"), origin("core", "rknn-ep", "0.1"))
    with pytest.raises(PluginError, match=r"'minmax' is provided twice.*acme-npu 2\.1.*rknn-ep 0\.1") as caught:
        manager.calibrators()
    assert "RKNN_EP_DISABLE_PLUGINS=aaa" in caught.value.remedy


def test_one_plugin_may_not_yield_a_name_twice() -> None:
    class Plugin:
        @hookimpl
        def rknn_ep_targets(self) -> Any:
            yield Target("rk1", ("int8",))
            yield Target("rk1", ("fp16",))

    manager = PluginManager()
    manager.register(Plugin(), origin("twice"))
    with pytest.raises(PluginError, match="'rk1' is provided twice"):
        manager.targets()


def test_a_hook_that_raises_is_named_with_the_way_to_go_on() -> None:
    class Plugin:
        @hookimpl
        def rknn_ep_targets(self) -> Any:
            yield Target("rk1", ("int8",))
            raise RuntimeError("no licence file")

    manager = PluginManager()
    manager.register(Plugin(), origin("acme"))
    with pytest.raises(PluginError, match=r"rknn_ep_targets of plugin 'acme'.*RuntimeError: no licence file") as caught:
        manager.targets()
    assert "RKNN_EP_DISABLE_PLUGINS=acme" in caught.value.remedy
    assert manager.calibrators() == {}, "the other hooks stay usable"


@pytest.mark.parametrize("yielded", ["rk3588", Calibrator("x", lambda grid, options: None), None])
def test_a_record_of_another_type_is_refused(yielded: Any) -> None:
    class Plugin:
        @hookimpl
        def rknn_ep_targets(self) -> Any:
            yield yielded

    manager = PluginManager()
    manager.register(Plugin(), origin("acme"))
    with pytest.raises(PluginError, match=f"yielded a {type(yielded).__name__}, not a Target"):
        manager.targets()


def test_a_record_without_a_name_is_refused() -> None:
    manager = PluginManager()
    manager.register(calibrator(""), origin("acme"))
    with pytest.raises(PluginError, match="without a name"):
        manager.calibrators()


def test_a_hook_that_returns_nothing_provides_nothing() -> None:
    class Plugin:
        @hookimpl
        def rknn_ep_targets(self) -> Any:
            return None

    manager = PluginManager()
    manager.register(Plugin(), origin("acme"))
    assert manager.targets() == {}


def test_an_unknown_hook_is_refused_and_the_manager_stays_usable() -> None:
    class Plugin:
        @hookimpl
        def rknn_ep_teapots(self) -> Any:
            yield "tea"

    manager = PluginManager()
    with pytest.raises(PluginError, match=r"'acme' of acme-npu does not fit the contract.*rknn_ep_teapots"):
        manager.register(Plugin(), origin("acme"))
    manager.register(calibrator("a"), origin("good"))
    assert [known.plugin for known in manager.origins()] == ["good"]


def test_a_hook_with_an_argument_that_does_not_exist_is_refused() -> None:
    class Plugin:
        @hookimpl
        def rknn_ep_targets(self, wishes: Any) -> Any:
            yield wishes

    with pytest.raises(PluginError, match="wishes"):
        PluginManager().register(Plugin(), origin("acme"))


def test_a_plugin_that_is_registered_later_is_seen() -> None:
    manager = PluginManager()
    assert manager.calibrators() == {}
    manager.register(calibrator("late"), origin("late"))
    assert list(manager.calibrators()) == ["late"]
