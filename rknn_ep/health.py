"""The core's lines of `rknn-ep doctor`, and how all lines are run."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

from rknn_ep.errors import OptionError, RknnEpError
from rknn_ep.plugins import PluginManager, plugins
from rknn_ep.records import Health, HealthCheck, HealthContext

VERDICTS = ("ok", "skipped", "warning", "error")
"""From best to worst."""

_PLANNING = ("target", "contexts", "precision", "input_shapes", "calibration")
"""Options that change what a model needs."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Finding:
    """What one check found, and whose it is."""

    check: str
    plugin: str
    health: Health


def examine(context: HealthContext, manager: PluginManager | None = None) -> Iterator[Finding]:
    """Run every check that a plugin provides, the core's first. A check that raises is a finding itself."""
    provided = (manager or plugins()).provided("rknn_ep_health_checks")
    for name, (record, origin) in sorted(provided.items(), key=lambda item: (item[1][1].plugin != "core", item[1][1].plugin)):
        yield Finding(name, origin.plugin, _run(record, context))


def worst(findings: Iterable[Finding]) -> str:
    """The gravest verdict."""
    return max((finding.health.verdict for finding in findings), key=VERDICTS.index, default="ok")


def _run(check: HealthCheck, context: HealthContext) -> Health:
    try:
        found = check.check(context) if check.takes_context else check.check()  # type: ignore[call-arg]
    except RknnEpError as error:
        return Health("error", error.message, error.remedy)
    except Exception as error:
        log.debug("health check %s failed", check.name, exc_info=True)
        return Health("error", f"the check itself failed: {type(error).__name__}: {error}", "This is a defect of its plugin.")
    if found.verdict not in VERDICTS:
        return Health("error", f"the check gave the verdict '{found.verdict}', not one of {', '.join(VERDICTS)}", found.remedy)
    return found


# --------------------------------------------------------------------------------------------- the core's checks


def all_checks() -> Iterable[HealthCheck]:
    """plugins, onnxruntime, device, compilers, cache, model, model-memory."""
    yield HealthCheck("plugins", check_plugins, "plugins that failed to load")
    yield HealthCheck("onnxruntime", check_onnxruntime, "the host runtime and whether it takes the provider")
    yield HealthCheck("device", check_device, "what device=auto means here", takes_context=True)
    yield HealthCheck("compilers", check_compilers, "what can compile here, the vendor's toolkit among it")
    yield HealthCheck("cache", check_cache, "the folder of compiled partitions")
    yield HealthCheck("model", check_model, "whether the compiled model can be loaded", takes_context=True)
    yield HealthCheck("model-memory", check_memory, "the model's need against the 4 GB domain", takes_context=True)


def check_plugins() -> Health:
    """Every installed plugin loads."""
    manager = plugins()
    if manager.broken:
        broken = "; ".join(f"{one.origin.plugin} of {one.origin.distribution}: {one.error}" for one in manager.broken)
        return Health("warning", f"failed to load: {broken}", "Update or uninstall the distribution.")
    return Health("ok", ", ".join(origin.plugin for origin in manager.origins()))


def check_onnxruntime() -> Health:
    """A host runtime is there, new enough for the provider."""
    frontends = plugins().frontends()
    reasons = {name: record.available() for name, record in frontends.items()}
    ready = [name for name, why in reasons.items() if not why]
    if not ready:
        said = "; ".join(reasons.values()) or "no plugin provides a host runtime"
        return Health("error", said, "python -m pip install onnxruntime")
    return Health("ok", ", ".join(f"{name} {_version(name)}".strip() for name in ready))


def check_device(context: HealthContext) -> Health:
    """The device that sessions will use."""
    from rknn_ep.options import Options
    from rknn_ep.pipeline import choose_runtime

    try:
        options = Options.parse({key: value for key, value in context.options.items() if key in ("target", "device")})
        runtime = choose_runtime(options)
    except OptionError as error:
        return Health("error", error.message, error.remedy)
    facts = ", ".join(f"{key} {value}" for key, value in runtime.metadata().items() if key in ("soc", "driver_version"))
    said = f"device={options.device} is '{runtime.name}'{f' ({facts})' if facts else ''}, target {options.target}"
    return Health("ok", said)


def check_compilers() -> Health:
    """What can turn partitions into files for devices; boards load only what the vendor's toolkit compiles."""
    manager = plugins()
    compilers = manager.compilers()
    reasons = {name: record.available() for name, record in compilers.items()}
    ready = sorted(name for name, why in reasons.items() if not why)
    lacking = "; ".join(f"{name}: {why}" for name, why in reasons.items() if why)
    # The simulator's entries are for PCs: a board needs somebody else's.
    if any("board" in compilers[name].devices for name in ready):
        return Health("ok", f"{', '.join(ready)}; board files can be compiled")
    said = f"{', '.join(ready) or 'none'} can compile; nothing here compiles for boards{f' ({lacking})' if lacking else ''}"
    return Health("warning", said, "rknn-ep toolkit install, on a PC.")


def check_cache() -> Health:
    """The cache can be written to."""
    import tempfile

    from rknn_ep.artifact.cache import Cache

    directory = Cache(None).directory
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=directory):
            pass
    except OSError as error:
        said = f"{directory} cannot be written to: {error.strerror}"
        return Health("error", said, "Set RKNN_EP_CACHE_DIR or the option cache_dir.")
    return Health("ok", str(directory))


def check_model(context: HealthContext) -> Health:
    """Every compiled partition of the model is whole, for the SoC it is meant for, and for boards as well as for PCs."""
    from rknn_ep.memory import compiled_for
    from rknn_ep.options import Options

    if context.model is None:
        return Health("skipped", "no model is named")
    target = Options.parse({"target": context.options["target"]} if "target" in context.options else {}).target
    made_for = compiled_for(context.model)
    name = context.model.name
    if not made_for:
        return Health("ok", f"{name} is not compiled: it is planned and compiled when a session is created")
    said = f"{name} is compiled for {', '.join(sorted(made_for))}"
    if target not in made_for:
        return Health("error", f"{said}, not for {target}", f"rknn-ep compile --target {target}")
    if not made_for[target]:
        return Health("warning", f"{said}, for the simulator only", f"rknn-ep compile --target {target} --device board")
    return Health("ok", said)


def check_memory(context: HealthContext) -> Health:
    """Every partition fits into the NPU's address space."""
    from rknn_ep.memory import DOMAIN_BYTES, ESTIMATE, MARGIN, PACKAGE_BYTES, memory_of

    if context.model is None:
        return Health("skipped", "no model is named")
    options = _planning(context.options)
    contexts = int(options.pop("contexts", "1"))
    need = memory_of(context.model, options)
    megabyte = 2**20
    said = (
        f"{need.total(contexts) / megabyte:.1f} MiB with {contexts} context{'s' if contexts > 1 else ''} "
        f"({need.weights / megabyte:.1f} MiB weights, {need.per_context / megabyte:.1f} MiB each context; {need.source}), "
        f"{DOMAIN_BYTES >> 30} GiB a domain"
    )
    if not need.parts:
        return Health("ok", "nothing of the model runs on the NPU")
    inside = min((PACKAGE_BYTES[part.target] for part in need.parts if part.target in PACKAGE_BYTES), default=None)
    if inside is not None and need.total(contexts) > inside:
        return Health("error", f"{said}; the SoC has {inside >> 20} MiB at most", "Use a smaller model or input.")
    if not need.fits_domain:
        return Health("error", said, "Split the model, or use a smaller input or int8.")
    if not need.surely_fits_domain:
        return Health("warning", f"{said}: the compiler may need {MARGIN:g} times an {ESTIMATE}", "Compile it and ask again.")
    return Health("ok", said)


def _planning(options: Mapping[str, str]) -> dict[str, str]:
    return {key: value for key, value in options.items() if key in _PLANNING}


def _version(distribution: str) -> str:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return ""
