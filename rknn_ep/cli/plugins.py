"""`rknn-ep plugins`: what is installed, what each provides and where it comes from."""

from __future__ import annotations

from typing import Any

import typer

from rknn_ep.cli.output import EXIT_ERROR, Json, print_json, stdout
from rknn_ep.errors import PluginError


def plugins(json: Json = False) -> None:
    """List the plugins, what each provides and where it comes from.

    A plugin that failed to load is listed with its error; the rest works without it. A device or compiler that
    cannot be used here says what it lacks.

    Example: `rknn-ep plugins`

    Leave one out: `RKNN_EP_DISABLE_PLUGINS=simulator rknn-ep plugins`
    """
    found = describe()
    if json:
        print_json(found)
    else:
        _print(found)
    if found["problems"]:
        raise typer.Exit(EXIT_ERROR)


def describe() -> dict[str, Any]:
    """Every plugin with its records by hook, the broken ones, the disabled ones, and the hooks that cannot be used."""
    from rknn_ep.plugins import HOOKS
    from rknn_ep.plugins import plugins as manager

    loaded = {
        origin.plugin: {
            "plugin": origin.plugin,
            "distribution": origin.distribution,
            "version": origin.version,
            "module": origin.module,
            "provides": {},
        }
        for origin in manager().origins()
    }
    problems = []
    for hook in HOOKS:
        try:
            records = manager().provided(hook)
        except PluginError as error:
            problems.append({"error": error.message, "remedy": error.remedy})
            continue
        for name, (record, origin) in records.items():
            provides: dict[str, Any] = loaded[origin.plugin]["provides"]  # type: ignore[assignment]
            entry = {"name": name, "description": getattr(record, "description", ""), "lacks": _lacks(record)}
            provides.setdefault(hook.removeprefix("rknn_ep_"), []).append(entry)
    broken = [
        {"plugin": plugin.origin.plugin, "distribution": plugin.origin.distribution, "version": plugin.origin.version}
        | {"module": plugin.origin.module, "error": plugin.error}
        for plugin in manager().broken
    ]
    return {"plugins": list(loaded.values()), "broken": broken, "disabled": sorted(manager().disabled), "problems": problems}


def _lacks(record: Any) -> str:
    available = getattr(record, "available", None)
    return available() if available is not None else ""


def _print(found: dict[str, Any]) -> None:
    from rich.markup import escape
    from rich.table import Table

    table = Table("plugin", "from", "provides", box=None, pad_edge=False, header_style="bold")
    for plugin in found["plugins"]:
        lines = []
        for kind, entries in plugin["provides"].items():
            names = ", ".join(
                escape(entry["name"]) + (f" [yellow](not here: {escape(entry['lacks'])})[/]" if entry["lacks"] else "")
                for entry in entries
            )
            lines.append(f"[dim]{kind.replace('_', ' ')}:[/] {names}")
        where = f"{plugin['distribution']} {plugin['version']}\n[dim]{plugin['module']}[/]"
        table.add_row(plugin["plugin"], where, "\n".join(lines) or "[dim]nothing[/]")
    for plugin in found["broken"]:
        where = f"{plugin['distribution']} {plugin['version']}\n[dim]{plugin['module']}[/]"
        table.add_row(plugin["plugin"], where, f"[red]failed to load: {escape(plugin['error'])}[/]")
    console = stdout()
    console.print(table)
    if found["disabled"]:
        console.print(f"disabled by RKNN_EP_DISABLE_PLUGINS: {', '.join(found['disabled'])}")
    for problem in found["problems"]:
        console.print(f"[red]error:[/] {escape(problem['error'])}\n  {escape(problem['remedy'])}", soft_wrap=True)
