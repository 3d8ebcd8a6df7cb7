"""The plugin manager: thin and typed; the only module that touches pluggy.

    from rknn_ep.plugins import plugins
    plugins().targets()["rk3588"]

Environment: RKNN_EP_DISABLE_PLUGINS=name,name leaves plugins out (entry-point names); RKNN_EP_TRACE_HOOKS=1 logs
every hook call with what it gave, through the logger `rknn_ep.plugins` as a warning, so that it shows without any
logging being set up.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any, TypeVar

import pluggy

from rknn_ep import hookspecs
from rknn_ep.errors import OptionError, PluginError, RknnEpError, nearest
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
CORE = "rknn-ep"
"""The distribution that holds the core and its own plugins."""

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
        self._disabled = frozenset(filter(None, disabled))
        self._records: dict[str, dict[str, tuple[Any, Origin]]] = {}
        self._trace = trace
        self.broken: list[BrokenPlugin] = []

    def load_entry_points(self) -> None:
        """Register every plugin that an installed distribution offers.

        One that fails to import, or that implements hooks which this version does not have, is kept in `broken`,
        reported through the log and left out: a stranger's fault must not take the user's program down.

        Raises:
            PluginError: two distributions offer a plugin of the same name.
        """
        for origin, entry_point in _entry_points():
            if origin.plugin in self._disabled:
                log.info("plugin %s is disabled by RKNN_EP_DISABLE_PLUGINS", origin.plugin)
                continue
            self._refuse_second(origin)
            try:
                self.register(entry_point.load(), origin)
            except (Exception, SystemExit) as error:  # noqa: BLE001  whatever a stranger's module does while it is imported
                reason = error.message if isinstance(error, RknnEpError) else f"{type(error).__name__}: {error}"
                self.broken.append(BrokenPlugin(origin, reason))
                log.warning("plugin %s of %s failed to load and is skipped: %s", origin.plugin, origin.distribution, reason)

    def register(self, plugin: object, origin: Origin) -> None:
        """Add one plugin object (a module or an instance with hook implementations).

        Raises:
            PluginError: another plugin has the same name, or it implements a hook that does not exist.
        """
        self._refuse_second(origin)
        try:
            self._manager.register(plugin, name=origin.plugin)
            self._manager.check_pending()
        except (pluggy.PluginValidationError, ValueError) as error:
            if self._manager.has_plugin(origin.plugin):
                self._manager.unregister(name=origin.plugin)
            raise PluginError(f"plugin '{origin.plugin}' of {origin.distribution} does not fit the contract: {error}") from error
        self._origins[origin.plugin] = origin
        self._records.clear()

    def _refuse_second(self, origin: Origin) -> None:
        other = self._origins.get(origin.plugin)
        if other is not None:
            raise PluginError(
                f"two plugins are called '{origin.plugin}': one from {other.distribution} {other.version}, "
                f"one from {origin.distribution} {origin.version}",
                remedy=f"Uninstall one of the two, or set RKNN_EP_DISABLE_PLUGINS={origin.plugin} to go on without both.",
            )

    @property
    def disabled(self) -> frozenset[str]:
        """Entry-point names that the environment leaves out."""
        return self._disabled

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
            origin = self._origins[name]
            for record in self._call(hook, origin):
                if record.name in found:
                    raise _provided_twice(hook, record.name, found[record.name][1], origin)
                found[record.name] = (record, origin)
        return found

    def _call(self, hook: str, origin: Origin) -> list[Any]:
        """The records that one plugin yields for `hook`, each of the right type and with a name."""
        others = [plugin for name, plugin in self._manager.list_name_plugin() if name != origin.plugin]
        where = f"{hook} of plugin '{origin.plugin}' ({origin.distribution} {origin.version})"
        way_on = f"Set RKNN_EP_DISABLE_PLUGINS={origin.plugin} to go on without it."
        if self._trace:
            log.warning("calling %s", where)
        try:
            records = [record for batch in self._manager.subset_hook_caller(hook, others)() for record in batch]
        except Exception as error:
            raise PluginError(f"{where} raised {type(error).__name__}: {error}", remedy=way_on) from error
        expected = HOOKS[hook]
        for record in records:
            if not isinstance(record, expected):
                raise PluginError(f"{where} yielded a {type(record).__name__}, not a {expected.__name__}", remedy=way_on)
            if not isinstance(record.name, str) or not record.name:
                raise PluginError(f"{where} yielded a {expected.__name__} without a name", remedy=way_on)
        if self._trace:
            log.warning("%s gave %s", where, ", ".join(record.name for record in records) or "nothing")
        return records

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
    disabled = [name.strip() for name in os.environ.get("RKNN_EP_DISABLE_PLUGINS", "").split(",")]
    manager = PluginManager(disabled=disabled, trace=os.environ.get("RKNN_EP_TRACE_HOOKS", "") not in ("", "0"))
    manager.load_entry_points()
    return manager


def _entry_points() -> list[tuple[Origin, EntryPoint]]:
    """What the installed distributions offer, in a fixed order: the core first, then by name and distribution.

    `entry_points` already hides a distribution that another one of the same name shadows on the path.
    """
    found = []
    for entry_point in entry_points(group=ENTRY_POINT_GROUP):
        distribution = entry_point.dist
        name, version = (distribution.name, distribution.version) if distribution else ("unknown", "")
        found.append((Origin(entry_point.name, name, version, entry_point.value), entry_point))
    return sorted(found, key=lambda pair: (pair[0].distribution != CORE, pair[0].plugin, pair[0].distribution))


def _provided_twice(hook: str, record: str, one: Origin, other: Origin) -> PluginError:
    # The way on is to do without the stranger, never without the core.
    leave_out = one if other.distribution == CORE else other
    return PluginError(
        f"{hook}: '{record}' is provided twice, by {one.distribution} {one.version} (plugin '{one.plugin}') "
        f"and by {other.distribution} {other.version} (plugin '{other.plugin}')",
        remedy=f"Uninstall {leave_out.distribution}, or set RKNN_EP_DISABLE_PLUGINS={leave_out.plugin}.",
    )
