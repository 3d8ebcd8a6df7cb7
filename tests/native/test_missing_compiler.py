"""Building where there is no compiler says what to install."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from tests.required import missing

NATIVE = Path(__file__).parents[2] / "native"


def test_a_missing_compiler_is_named_with_the_commands_that_install_one(tmp_path: Path) -> None:
    cmake, ninja = shutil.which("cmake"), shutil.which("ninja")
    if cmake is None or ninja is None:
        missing("cmake", "needs cmake and ninja (python -m pip install cmake ninja)")
    tools = tmp_path / "bin"
    tools.mkdir()
    (tools / "ninja").symlink_to(ninja)
    environment = {name: value for name, value in os.environ.items() if name not in ("CC", "CXX")} | {"PATH": str(tools)}
    result = subprocess.run(
        [cmake, "-S", str(NATIVE), "-B", str(tmp_path / "build"), "-G", "Ninja"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode != 0
    said = " ".join(result.stderr.split())
    assert "rknn-ep needs a C++17 compiler" in said
    for command in ("apt-get install g++", "dnf install gcc-c++", "apk add g++", "CXX=/path/to/g++"):
        assert command in said
