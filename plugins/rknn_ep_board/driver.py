"""The kernel's side: driver version, device nodes and who may open them, clocks and their governors."""

from __future__ import annotations

import re
from dataclasses import dataclass

from rknn_ep_board.machine import Machine

VERSION_FILES = ("/sys/module/rknpu/version", "/sys/kernel/debug/rknpu/version", "/proc/rknpu/version")
"""The module's own; debugfs (root only); procfs, where small systems have it."""
LOAD_FILES = ("/sys/kernel/debug/rknpu/load", "/proc/rknpu/load")
_VERSION = re.compile(r"(\d+)\.(\d+)\.(\d+)")
_CORE = re.compile(r"Core\d+")

Version = tuple[int, ...]


@dataclass(frozen=True)
class Node:
    """A device node that the runtime opens."""

    path: str
    usable: bool


@dataclass(frozen=True)
class Clock:
    """A clock that can be scaled; frequencies in MHz."""

    name: str
    governor: str
    current: int | None = None
    highest: int | None = None


@dataclass(frozen=True)
class Driver:
    """What is known of the kernel's NPU driver."""

    version: Version
    """Empty where it cannot be read."""
    nodes: tuple[Node, ...]
    cores: int | None
    """As its load file lists them; None where it may not be read."""

    @property
    def present(self) -> bool:
        """Whether there is any sign of the vendor's driver."""
        return bool(self.version or self.nodes)


def read_driver(machine: Machine) -> Driver:
    """Read what the kernel shows of the NPU."""
    found = (_VERSION.search(machine.text(path)) for path in VERSION_FILES)
    version = next((tuple(map(int, match.groups())) for match in found if match), ())
    loads = [count for path in LOAD_FILES if (count := len(_CORE.findall(machine.text(path))))]
    nodes = tuple(Node(path, machine.may_use(machine.path(path))) for path in _nodes(machine))
    return Driver(version, nodes, loads[0] if loads else None)


def _nodes(machine: Machine) -> list[str]:
    """DRM nodes whose driver is RKNPU, or /dev/rknpu where the driver was built for DMA heaps."""
    nodes = []
    for entry in machine.find("/sys/class/drm", "renderD*"):
        if "DRIVER=RKNPU" in machine.text(f"{entry}/device/uevent"):
            nodes.append(f"/dev/dri/{entry.rpartition('/')[2]}")
    nodes.append("/dev/rknpu")
    return [path for path in nodes if machine.path(path).exists()]


def npu_clocks(machine: Machine) -> tuple[Clock, ...]:
    """The NPU's devfreq entries."""
    clocks = []
    for entry in machine.find("/sys/class/devfreq", "*npu*"):
        governor = machine.text(f"{entry}/governor")
        if governor:
            clocks.append(
                Clock(
                    entry.rpartition("/")[2],
                    governor,
                    _mhz(machine.number(f"{entry}/cur_freq"), 10**6),
                    _mhz(machine.number(f"{entry}/max_freq"), 10**6),
                )
            )
    return tuple(clocks)


def cpu_clocks(machine: Machine) -> tuple[Clock, ...]:
    """The CPU clusters' cpufreq policies."""
    clocks = []
    for entry in machine.find("/sys/devices/system/cpu/cpufreq", "policy*"):
        governor = machine.text(f"{entry}/scaling_governor")
        if governor:
            clocks.append(
                Clock(
                    entry.rpartition("/")[2],
                    governor,
                    _mhz(machine.number(f"{entry}/scaling_cur_freq"), 10**3),
                    _mhz(machine.number(f"{entry}/scaling_max_freq"), 10**3),
                )
            )
    return tuple(clocks)


def free_bytes(machine: Machine) -> int | None:
    """Memory that programs can still have, in bytes (MemAvailable)."""
    match = re.search(r"^MemAvailable:\s+(\d+) kB", machine.text("/proc/meminfo"), re.MULTILINE)
    return int(match[1]) * 1024 if match else None


def _mhz(value: int | None, unit: int) -> int | None:
    return None if value is None else round(value / unit)
