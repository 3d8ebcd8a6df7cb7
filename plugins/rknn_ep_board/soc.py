"""Which SoC this is, from the device tree."""

from __future__ import annotations

from dataclasses import dataclass

from rknn_ep_board.machine import Machine

DEVICE_TREE = "/proc/device-tree"
VENDOR = "rockchip,"
ROCKET = "rknn-core"
"""What mainline Linux calls an NPU core: its driver (accel/rocket) is not the one that librknnrt.so speaks to."""

CORES = {
    "rk3588": 3,
    "rk3583": 2,
    "rk3582": 2,
    "rk3576": 2,
    "rk3568": 1,
    "rk3566": 1,
    "rk3562": 1,
    "rv1106": 1,
    "rv1103": 1,
    "rv1106b": 1,
    "rv1103b": 1,
    "rv1126b": 1,
    "rk2118": 1,
}
"""SoCs with an NPU of rknn_api and their cores. Source: the vendor's GPL driver, rknpu_drv.c 0.9.8 (struct rknpu_config; it finds
fused cores of the RK3588's die in nvmem), and the operator list V2.3.2 for those that the driver does not have yet."""

TARGETS = {"rk3588s": "rk3588", "rk3583": "rk3588", "rk3582": "rk3588"}
"""SoCs that are compiled for as another one: the same die, sold with fewer pins or fewer cores."""


@dataclass(frozen=True)
class Soc:
    """The SoC as the device tree describes it."""

    name: str
    """rk3588s; empty where this is no Rockchip SoC."""
    board: str
    """What the maker calls the board: "Radxa ROCK 5B"."""
    npu: str
    """`compatible` of the NPU's node: rockchip,rk3588-rknpu; empty where there is none or it is switched off."""
    disabled: bool = False
    """The tree has an NPU whose node does not say okay."""

    @property
    def target(self) -> str:
        """The value of the option `target`; empty for a SoC without such an NPU."""
        base = TARGETS.get(self.name, self.name)
        return base if base in CORES else ""

    @property
    def cores(self) -> int:
        """NPU cores that SoCs of this name have."""
        return CORES.get(self.name, CORES.get(self.target, 0))

    @property
    def mainline(self) -> bool:
        """Whether the tree is mainline Linux's, whose driver is another one."""
        return self.npu.endswith(ROCKET)


def read_soc(machine: Machine) -> Soc:
    """Read the SoC; a Soc without a name on anything that is not made by Rockchip."""
    names = [entry.removeprefix(VENDOR) for entry in machine.strings(f"{DEVICE_TREE}/compatible") if entry.startswith(VENDOR)]
    # The last entry is the SoC, those before are boards ("rockchip,rk3588-evb1"); a board's name may begin like a SoC's.
    known = [name for name in names if name in CORES or name in TARGETS]
    npu, disabled = _npu(machine)
    name = known[0] if known else _soc_of(npu) or (names[-1] if names else "")
    return Soc(name, "".join(machine.strings(f"{DEVICE_TREE}/model")[:1]), npu, disabled)


def _npu(machine: Machine) -> tuple[str, bool]:
    disabled = False
    for pattern in ("npu@*", "*/npu@*"):
        for node in machine.find(DEVICE_TREE, pattern):
            compatible = machine.strings(f"{node}/compatible")
            if not compatible or not compatible[0].startswith(VENDOR):
                continue
            if (machine.strings(f"{node}/status") or ("okay",))[0] in ("okay", "ok"):
                return compatible[0], False
            disabled = True
    return "", disabled


def _soc_of(npu: str) -> str:
    name = npu.removeprefix(VENDOR).partition("-")[0]
    return name if name in CORES else ""
