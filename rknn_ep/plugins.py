"""The plugin manager: thin and typed; the only module that touches pluggy.

    from rknn_ep.plugins import plugins
    plugins().targets()["rk3588"]

Environment: RKNN_EP_DISABLE_PLUGINS=name,name leaves plugins out (entry-point names); RKNN_EP_TRACE_HOOKS=1 logs
every hook call with what it gave, through the logger `rknn_ep.plugins`.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from importlib.metadata import EntryPoint, distributions
from typing import Any, TypeVar

import pluggy

from rknn_ep import hookspecs
from rknn_ep.errors import OptionError, PluginError, nearest
from rknn_ep.records import (
    Calibrator,
    Capability,
    Command,
    Compiler,
    FloatExecutor,
    Frontend,
    HealthCheck,
    Importer,
    Runtime,
    Target,
)

ENTRY_POINT_GROUP = "rknn_ep"

HOOKS: dict[str, type[Any]] = {
    "rknn_ep_targets": Target,
    "rknn_ep_capabilities": Capability,
    "rknn_ep_calibrators": Calibrator,
    "rknn_ep_compilers": Compiler,
    "rknn_ep_runtimes": Runtime,
    "rknn_ep_importers": Importer,
    "rknn_ep_float_executors": FloatExecutor,
    "rknn_ep_frontends": Frontend,
    "rknn_ep_health_checks": HealthCheck,
    "rknn_ep_commands": Command,
}
"""Every hook and the record it yields."""

Record = TypeVar("Record")
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Origin:
    """Where a plugin comes from."""

    plugin: str
    """Entry-point name."""
    distribution: str
    version: str
    module: str


@dataclass(frozen=True)
class BrokenPlugin:
    """A plugin that was left out, and why."""

    origin: Origin
    error: str


class PluginManager:
    """Loads plugins and collects their records, one typed method a hook."""

    def __init__(self, disabled: Iterable[str] = (), trace: bool = False) -> None:
        self._manager = pluggy.PluginManager(hookspecs.NAMESPACE)
        self._manager.add_hookspecs(hookspecs)
        self._origins: dict[str, Origin] = {}
        self._disabled = frozenset(disabled)
        self._records: dict[str, dict[str, tuple[Any, Origin]]] = {}
        self.broken: list[BrokenPlugin] = []
        if trace:
            self._manager.add_hookcall_monitoring(_trace_before, _trace_after)

    def load_entry_points(self) -> None:
        """Register every plugin that an installed distribution offers; one that fails to import is kept in `broken`."""
        for origin, entry_point in _entry_points():
            if origin.plugin in self._disabled:
                log.info("plugin %s is disabled by RKNN_EP_DISABLE_PLUGINS", origin.plugin)
                continue
            try:
                self.register(entry_point.load(), origin)
            except PluginError:
                raise
            except Exception as error:  # whatever a stranger's module does while it is imported
                self.broken.append(BrokenPlugin(origin, f"{type(error).__name__}: {error}"))
                log.warning("plugin %s of %s failed to load and is skipped: %s", origin.plugin, origin.distribution, error)

    def register(self, plugin: object, origin: Origin) -> None:
        """Add one plugin object (a module or an instance with hook implementations).

        Raises:
            PluginError: another plugin has the same name, or it implements a hook that does not exist.
        """
        if origin.plugin in self._origins:
            other = self._origins[origin.plugin]
            raise PluginError(
                f"two plugins are called '{origin.plugin}': one from {other.distribution} {other.version}, "
                f"one from {origin.distribution} {origin.version}",
                remedy=f"Uninstall one of the two, or set RKNN_EP_DISABLE_PLUGINS={origin.plugin}.",
            )
        try:
            self._manager.register(plugin, name=origin.plugin)
            self._manager.check_pending()
        except (pluggy.PluginValidationError, ValueError) as error:
            if self._manager.has_plugin(origin.plugin):
                self._manager.unregister(name=origin.plugin)
            raise PluginError(f"plugin '{origin.plugin}' of {origin.distribution} does not fit the contract: {error}") from error
        self._origins[origin.plugin] = origin
        self._records.clear()

    def origins(self) -> list[Origin]:
        """The plugins that are loaded, by name."""
        return [self._origins[name] for name in sorted(self._origins)]

    def provided(self, hook: str) -> dict[str, tuple[Any, Origin]]:
        """What every plugin yields for `hook`: record name -> (record, where it comes from).

        Raises:
            PluginError: a hook implementation raised, yielded another type, or a name appears twice.
        """
        if hook not in self._records:
            self._records[hook] = self._collect(hook)
        return self._records[hook]

    def _collect(self, hook: str) -> dict[str, tuple[Any, Origin]]:
        found: dict[str, tuple[Any, Origin]] = {}
        for name in sorted(self._origins):
            caller = self._manager.subset_hook_caller(hook, [p for n, p in self._manager.list_name_plugin() if n != name])
            origin = self._origins[name]
            try:
                records = [record for batch in caller() for record in batch]
            except Exception as error:
                raise PluginError(
                    f"{hook} of plugin '{name}' ({origin.distribution} {origin.version}) raised {type(error).__name__}: {error}",
                    remedy=f"Set RKNN_EP_DISABLE_PLUGINS={name} to go on without it.",
                ) from error
            for record in records:
                if not isinstance(record, HOOKS[hook]):
                    raise PluginError(
                        f"{hook} of plugin '{name}' ({origin.distribution}) yielded a {type(record).__name__}, "
                        f"not a {HOOKS[hook].__name__}"
                    )
                if record.name in found:
                    other = found[record.name][1]
                    raise PluginError(
                        f"{hook}: '{record.name}' is provided twice, by {other.distribution} {other.version} (plugin "
                        f"'{other.plugin}') and by {origin.distribution} {origin.version} (plugin '{name}')",
                        remedy=f"Uninstall one, or set RKNN_EP_DISABLE_PLUGINS={name}.",
                    )
                found[record.name] = (record, origin)
        return found

    def _records_of(self, hook: str, kind: type[Record]) -> dict[str, Record]:
        return {name: record for name, (record, _) in self.provided(hook).items()}

    def targets(self) -> dict[str, Target]:
        """SoCs by name."""
        return self._records_of("rknn_ep_targets", Target)

    def capabilities(self) -> list[Capability]:
        """Capability rules, the ones to ask first at the front."""
        rules = self._records_of("rknn_ep_capabilities", Capability).values()
        return sorted(rules, key=lambda rule: (-rule.priority, rule.name))

    def calibrators(self) -> dict[str, Calibrator]:
        """Calibration methods by name."""
        return self._records_of("rknn_ep_calibrators", Calibrator)

    def compilers(self) -> dict[str, Compiler]:
        """Compilers by name."""
        return self._records_of("rknn_ep_compilers", Compiler)

    def runtimes(self) -> dict[str, Runtime]:
        """Devices by name."""
        return self._records_of("rknn_ep_runtimes", Runtime)

    def importers(self) -> dict[str, Importer]:
        """Model importers by name."""
        return self._records_of("rknn_ep_importers", Importer)

    def float_executors(self) -> dict[str, FloatExecutor]:
        """Float executors by name."""
        return self._records_of("rknn_ep_float_executors", FloatExecutor)

    def frontends(self) -> dict[str, Frontend]:
        """Host runtimes by name."""
        return self._records_of("rknn_ep_frontends", Frontend)

    def health_checks(self) -> dict[str, HealthCheck]:
        """Health checks by name."""
        return self._records_of("rknn_ep_health_checks", HealthCheck)

    def commands(self) -> dict[str, Command]:
        """Subcommands by name."""
        return self._records_of("rknn_ep_commands", Command)

    def target(self, name: str) -> Target:
        """The target called `name`, or one of whose aliases is.

        Raises:
            OptionError: there is none; the message names the nearest.
        """
        targets = self.targets()
        for target in targets.values():
            if name.lower() in (target.name, *target.aliases):
                return target
        raise OptionError(f"unknown target '{name}': {nearest(name, targets)}")


@cache
def plugins() -> PluginManager:
    """The process's plugin manager, with every installed plugin loaded."""
    disabled = filter(None, os.environ.get("RKNN_EP_DISABLE_PLUGINS", "").split(","))
    manager = PluginManager(disabled=disabled, trace=os.environ.get("RKNN_EP_TRACE_HOOKS", "") not in ("", "0"))
    manager.load_entry_points()
    return manager


def _entry_points() -> list[tuple[Origin, EntryPoint]]:
    found: dict[tuple[str, str], tuple[Origin, EntryPoint]] = {}
    for distribution in distributions():
        for entry_point in distribution.entry_points.select(group=ENTRY_POINT_GROUP):
            name = distribution.metadata["Name"]
            origin = Origin(entry_point.name, name, distribution.version, entry_point.value)
            found.setdefault((entry_point.name, name), (origin, entry_point))
    return [found[key] for key in sorted(found)]


def _trace_before(hook_name: str, hook_impls: list[Any], kwargs: dict[str, Any]) -> None:
    log.info("calling %s of %s", hook_name, ", ".join(impl.plugin_name for impl in hook_impls) or "no plugin")


def _trace_after(outcome: Any, hook_name: str, hook_impls: list[Any], kwargs: dict[str, Any]) -> None:
    log.info("%s gave %s", hook_name, outcome.exception or f"{len(outcome.get_result())} results")
