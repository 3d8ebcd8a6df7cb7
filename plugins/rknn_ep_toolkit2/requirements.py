"""What the toolkit's environment holds: versions that were tried together, not the toolkit's own pins.

The toolkit itself is installed without its dependencies: it asks for opencv-python, where the headless build does
without a display, for fast-histogram and ruamel.yaml, which only hybrid quantisation by file needs, and for a torch of
2024, where a current one works.
"""

from __future__ import annotations

import platform
from dataclasses import dataclass

from rknn_ep_toolkit2.environment import DISTRIBUTION
from rknn_ep_toolkit2.errors import ToolkitError

DEFAULT_VERSION = "2.5.0"
PYTHONS = ((3, 12), (3, 11), (3, 10), (3, 8))
"""What an environment can be made with, the best first. The toolkit's wheels skip 3.9; 3.7 cannot have a current onnx."""
MACHINES = ("x86_64", "aarch64")
CPU_TORCH = "https://download.pytorch.org/whl/cpu"
"""Other indexes have torch with CUDA, which comes to ten times the size and is of no use here."""
GIGABYTES = 3.0
"""Room that an installation takes while it goes on: 1.5 installed, and the downloads."""

_COMMON = ("protobuf==4.25.4", "psutil==7.2.2", "setuptools==79.0.1")
_CURRENT = (
    "numpy==1.26.4",
    "onnx==1.18.0",
    "onnxruntime==1.23.2",
    "opencv-python-headless==4.11.0.86",
    "tqdm==4.70.1",
    *_COMMON,
)
_TORCH = {(3, 8): "torch==2.4.1"}
_CURRENT_TORCH = "torch==2.13.0"
_BY_PYTHON: dict[tuple[int, int], tuple[str, ...]] = {
    (3, 8): (
        "numpy==1.24.4",
        "onnx==1.16.1",
        "onnxruntime==1.19.2",
        "opencv-python-headless==4.11.0.86",
        "tqdm==4.67.1",
        "scipy==1.10.1",
        "protobuf==4.25.4",
        "psutil==7.2.2",
        "setuptools==75.3.2",
    ),
    (3, 10): (*_CURRENT, "scipy==1.15.3"),
    (3, 11): (*_CURRENT, "scipy==1.17.1"),
    (3, 12): (*_CURRENT, "scipy==1.17.1"),
}


@dataclass(frozen=True)
class Requirements:
    """What pip is asked for."""

    toolkit: str
    """The toolkit itself, installed without its dependencies."""
    torch: str
    """Apart from the others, because it comes from an index of its own."""
    others: tuple[str, ...]
    """Everything else that it imports."""


def requirements(python: tuple[int, int], version: str) -> Requirements:
    """The set for one Python.

    Raises:
        ToolkitError: the toolkit has no wheel for this Python or this machine.
    """
    if python not in _BY_PYTHON:
        raise ToolkitError(
            f"rknn-toolkit2 has no wheel for Python {python[0]}.{python[1]}", kind="environment", remedy=how_to_get_a_python()
        )
    if platform.machine() not in MACHINES:
        raise ToolkitError(
            f"rknn-toolkit2 has no wheel for {platform.machine()}: it runs on {' and '.join(MACHINES)}",
            kind="environment",
            remedy="Compile on a PC, and copy the compiled model here.",
        )
    return Requirements(f"{DISTRIBUTION}=={version}", _TORCH.get(python, _CURRENT_TORCH), _BY_PYTHON[python])


def how_to_get_a_python() -> str:
    """The next step where no fitting interpreter is found."""
    best = ".".join(map(str, PYTHONS[0]))
    others = ", ".join(".".join(map(str, one)) for one in PYTHONS[1:])
    return (
        f"Install Python {best} (or {others}): 'uv python install {best}', 'pyenv install {best}' or "
        f"'apt-get install python{best}-venv'; then name it with --python if it is not found."
    )
