"""Boards as small trees of files: what device tree, sysfs, debugfs and the library folder of each show.

Written down from public facts (the vendor's driver, device trees and issue threads), not copied off a device: paths, `compatible`
strings, core counts and version texts are those of the boards named. The library is an ELF header and the version line, all
that is read of it.
"""

from __future__ import annotations

from pathlib import Path

AARCH64, ARM, X86 = 183, 40, 62


def library(version: str, machine: int = AARCH64, name: str = "librknnrt") -> bytes:
    """As much of a runtime library as is looked at."""
    header = (
        b"\x7fELF"
        + bytes([1 if machine == ARM else 2, 1, 1])
        + bytes(9)
        + (3).to_bytes(2, "little")
        + machine.to_bytes(2, "little")
    )
    return header + bytes(100) + f"{name} version: {version} (429f97ae6b@2025-04-09T09:09:27)\0".encode() + bytes(100)


def _meminfo(total: int, free: int) -> str:
    return f"MemTotal:       {total} kB\nMemFree:        {free // 2} kB\nMemAvailable:   {free} kB\n"


def rk3588(driver: str = "0.9.8", runtime: str = "2.3.2") -> dict[str, str | bytes]:
    """Radxa ROCK 5B with the maker's 6.1 kernel."""
    return {
        "proc/device-tree/model": "Radxa ROCK 5B\0",
        "proc/device-tree/compatible": "radxa,rock-5b\0rockchip,rk3588\0",
        "proc/device-tree/npu@fdab0000/compatible": "rockchip,rk3588-rknpu\0",
        "proc/device-tree/npu@fdab0000/status": "okay\0",
        "proc/meminfo": _meminfo(16_000_000, 14_000_000),
        "sys/kernel/debug/rknpu/version": f"RKNPU driver: v{driver}\n",
        "sys/kernel/debug/rknpu/load": "NPU load:  Core0:  0%, Core1:  0%, Core2:  0%,\n",
        "sys/class/drm/renderD128/device/uevent": "DRIVER=mali\n",
        "sys/class/drm/renderD129/device/uevent": "DRIVER=RKNPU\nOF_COMPATIBLE_0=rockchip,rk3588-rknpu\n",
        "sys/class/devfreq/fdab0000.npu/governor": "rknpu_ondemand\n",
        "sys/class/devfreq/fdab0000.npu/cur_freq": "300000000\n",
        "sys/class/devfreq/fdab0000.npu/max_freq": "1000000000\n",
        "sys/devices/system/cpu/cpufreq/policy0/scaling_governor": "ondemand\n",
        "sys/devices/system/cpu/cpufreq/policy4/scaling_governor": "performance\n",
        "sys/devices/system/cpu/cpufreq/policy4/scaling_cur_freq": "2400000\n",
        "sys/devices/system/cpu/cpufreq/policy4/scaling_max_freq": "2400000\n",
        "dev/dri/renderD128": "",
        "dev/dri/renderD129": "",
        "usr/lib/librknnrt.so": library(runtime),
    }


def rk3576() -> dict[str, str | bytes]:
    """A board of an RK3576 whose module states its version in sysfs."""
    return {
        "proc/device-tree/model": "ArmSoM Sige5\0",
        "proc/device-tree/compatible": "armsom,sige5\0rockchip,rk3576\0",
        "proc/device-tree/npu@27700000/compatible": "rockchip,rk3576-rknpu\0",
        "proc/device-tree/npu@27700000/status": "okay\0",
        "proc/meminfo": _meminfo(8_000_000, 7_000_000),
        "sys/module/rknpu/version": "0.9.8\n",
        "sys/class/drm/renderD129/device/uevent": "DRIVER=RKNPU\n",
        "sys/class/devfreq/27700000.npu/governor": "userspace\n",
        "sys/class/devfreq/27700000.npu/cur_freq": "300000000\n",
        "sys/class/devfreq/27700000.npu/max_freq": "1000000000\n",
        "dev/dri/renderD129": "",
        "usr/lib/librknnrt.so": library("2.3.2"),
    }


def rk3568() -> dict[str, str | bytes]:
    """An evaluation board of an RK3568 with an old image: runtime 1.4.0, driver 0.8.2."""
    return {
        "proc/device-tree/model": "Rockchip RK3568 EVB1 DDR4 V10 Board\0",
        "proc/device-tree/compatible": "rockchip,rk3568-evb1-ddr4-v10\0rockchip,rk3568\0",
        "proc/device-tree/npu@fde40000/compatible": "rockchip,rk3568-rknpu\0",
        "proc/device-tree/npu@fde40000/status": "okay\0",
        "proc/meminfo": _meminfo(4_000_000, 3_000_000),
        "sys/kernel/debug/rknpu/version": "RKNPU driver: v0.8.2\n",
        "sys/class/drm/renderD129/device/uevent": "DRIVER=RKNPU\n",
        "sys/class/devfreq/fde40000.npu/governor": "performance\n",
        "dev/dri/renderD129": "",
        "usr/lib/librknnrt.so": library("1.4.0"),
    }


def rv1106() -> dict[str, str | bytes]:
    """Luckfox Pico Pro Max: 32-bit, the small runtime, the node of a DMA heap build, procfs instead of debugfs."""
    return {
        "proc/device-tree/model": "Luckfox Pico Max\0",
        "proc/device-tree/compatible": "rockchip,rv1106g-38x38-ipc-v10\0rockchip,rv1106\0",
        "proc/device-tree/npu@ff660000/compatible": "rockchip,rv1106-rknpu\0",
        "proc/device-tree/npu@ff660000/status": "okay\0",
        "proc/meminfo": _meminfo(180_000, 90_000),
        "proc/rknpu/version": "RKNPU driver: v0.9.2\n",
        "dev/rknpu": "",
        "oem/usr/lib/librknnmrt.so": library("2.3.2", ARM, "librknnmrt"),
    }


def rocket() -> dict[str, str | bytes]:
    """ROCK 5B with mainline Linux 6.18: another driver, another node."""
    return {
        "proc/device-tree/model": "Radxa ROCK 5B\0",
        "proc/device-tree/compatible": "radxa,rock-5b\0rockchip,rk3588\0",
        "proc/device-tree/soc/npu@fdab0000/compatible": "rockchip,rk3588-rknn-core\0",
        "proc/device-tree/soc/npu@fdab0000/status": "okay\0",
        "dev/accel/accel0": "",
        "usr/lib/librknnrt.so": library("2.3.2"),
    }


def plant(root: Path, tree: dict[str, str | bytes]) -> Path:
    """Write a tree below `root`."""
    for name, content in tree.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    return root
