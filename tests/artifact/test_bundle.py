"""Bundles: what is written comes back, and nothing that is not a whole bundle is ever taken for one."""

import os
import stat
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from rknn_ep.artifact.atomic import write_atomically
from rknn_ep.artifact.bundle import MANIFEST, Bundle, rewrite_bundle, write_bundle
from rknn_ep.errors import ArtifactError
from tests.artifact.mutations import SEEDS, mutated

ENTRIES = {
    "native.txt": b"format=1\n",
    "simulation.onnx": bytes(range(256)) * 5,
    "simulation.data": os.urandom(9000),
    "empty": b"",
}
MANIFEST_FACTS = {"partition": "rknn_0", "target": "rk3588"}


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("bundle") / "a.rknnctx"
    write_bundle(path, ENTRIES, MANIFEST_FACTS)
    return path


def test_entries_and_manifest_come_back(bundle: Path) -> None:
    opened = Bundle.open(bundle)
    assert {name: opened.read(name) for name in opened.names} == ENTRIES
    assert opened.manifest["partition"] == "rknn_0" and opened.manifest["format"] == 1


def test_every_entry_lies_on_a_page_boundary_where_entry_says(bundle: Path) -> None:
    opened, content = Bundle.open(bundle), bundle.read_bytes()
    for name, expected in ENTRIES.items():
        offset, size = opened.entry(name)
        assert offset % 4096 == 0 and content[offset : offset + size] == expected


def test_manifest_is_the_first_entry_and_ordinary_zip_readers_read_the_file(bundle: Path) -> None:
    with zipfile.ZipFile(bundle) as archive:
        assert archive.testzip() is None
        assert archive.namelist()[0] == MANIFEST
        assert {name: archive.read(name) for name in ENTRIES} == ENTRIES


def test_equal_content_gives_equal_bytes_whatever_the_order_or_source(tmp_path: Path, bundle: Path) -> None:
    weights = tmp_path / "weights.bin"
    weights.write_bytes(ENTRIES["simulation.data"])
    shuffled: dict[str, bytes | Path] = dict(reversed(ENTRIES.items()))
    write_bundle(tmp_path / "b", {**shuffled, "simulation.data": weights}, dict(reversed(MANIFEST_FACTS.items())))
    assert (tmp_path / "b").read_bytes() == bundle.read_bytes()


def test_stripping_and_adding_entries(tmp_path: Path, bundle: Path) -> None:
    rewrite_bundle(Bundle.open(bundle), tmp_path / "board", add={"rk3588.rknn": b"RKNN"}, strip_simulation=True)
    opened = Bundle.open(tmp_path / "board")
    assert set(opened.names) == {"native.txt", "empty", "rk3588.rknn"} and opened.manifest["target"] == "rk3588"


def test_every_bit_flip_outside_the_largest_entry_is_seen(bundle: Path) -> None:
    content, opened = bundle.read_bytes(), Bundle.open(bundle)
    offset, size = opened.entry("simulation.data")
    for position in (*range(0, offset, 3), *range(offset + size, len(content))):
        changed = bytearray(content)
        changed[position] ^= 1 << position % 8
        with pytest.raises(ArtifactError):
            Bundle.from_bytes(bytes(changed))


def test_every_cut_is_seen(bundle: Path) -> None:
    content = bundle.read_bytes()
    for size in (*range(0, len(content), 61), *range(len(content) - 200, len(content))):
        with pytest.raises(ArtifactError):
            Bundle.from_bytes(content[:size])


@settings(max_examples=120, deadline=None)
@given(SEEDS)
def test_thousands_of_mutated_bundles_give_artifact_error_and_nothing_else(bundle: Path, seed: int) -> None:
    for changed in mutated(bundle.read_bytes(), seed):
        with pytest.raises(ArtifactError):
            Bundle.from_bytes(changed, "mutated")


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=300))
@example(b"PK\x05\x06" + bytes(18))
@example(b"PK\x05\x06" + b"\xff" * 18)
def test_arbitrary_bytes_give_artifact_error_and_nothing_else(content: bytes) -> None:
    with pytest.raises(ArtifactError):
        Bundle.from_bytes(content)


def test_a_zip_of_another_writer_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr(MANIFEST, "{}")
    with pytest.raises(ArtifactError, match="damaged"):
        Bundle.open(tmp_path / "a.zip")


def test_content_that_changes_after_opening_is_refused_when_read(tmp_path: Path) -> None:
    write_bundle(tmp_path / "a", ENTRIES, {})
    opened = Bundle.open(tmp_path / "a")
    with (tmp_path / "a").open("r+b") as file:
        file.seek(opened.entry("simulation.data")[0] + 100)
        file.write(bytes(8))
    with pytest.raises(ArtifactError, match=r"simulation\.data"):
        opened.read("simulation.data")
    Bundle.open(tmp_path / "a", verify=False)
    with pytest.raises(ArtifactError, match=r"simulation\.data"):
        Bundle.open(tmp_path / "a")


@pytest.mark.parametrize("name", ["", "a/b", "a\\b", "ä", "new\nline", "x" * 256, MANIFEST])
def test_names_that_the_format_cannot_hold_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ArtifactError):
        write_bundle(tmp_path / "a", {name: b""}, {})
    assert list(tmp_path.iterdir()) == []


def test_missing_files_folders_and_pipes_are_artifact_errors(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)
    for path in (tmp_path / "missing", tmp_path, tmp_path / "pipe", Path("/dev/null/x")):
        with pytest.raises(ArtifactError):
            Bundle.open(path)
    with pytest.raises(ArtifactError, match="missing"):
        write_bundle(tmp_path / "a", {"simulation.data": tmp_path / "missing"}, {})


def test_an_entry_that_is_not_there_is_named_with_those_that_are(bundle: Path) -> None:
    with pytest.raises(ArtifactError, match=r"rk3588\.rknn.*simulation\.onnx"):
        Bundle.open(bundle).read("rk3588.rknn")


def test_a_full_disk_is_a_clear_error_and_leaves_nothing_behind(tmp_path: Path) -> None:
    script = (
        "import resource, sys\n"
        "from rknn_ep.artifact.bundle import write_bundle\n"
        "from rknn_ep.errors import ArtifactError\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (20000, 20000))\n"
        "try: write_bundle(sys.argv[1], {'weights': bytes(100000)}, {})\n"
        "except ArtifactError as error: print(error)\n"
    )
    result = subprocess.run([sys.executable, "-c", script, str(tmp_path / "a")], capture_output=True, text=True, check=True)
    assert "cannot be written: File too large" in result.stdout
    assert list(tmp_path.iterdir()) == []


def test_sizes_beyond_the_format_are_refused_before_anything_is_written(tmp_path: Path) -> None:
    from rknn_ep.artifact import stored_zip

    with pytest.raises(ArtifactError, match="4 GiB"):
        stored_zip.lay_out([("a", 3 << 30, 0), ("b", 1 << 30, 0)], "x")
    with pytest.raises(ArtifactError, match="entries"):
        stored_zip.lay_out([("a", 1, 0), ("a", 1, 0)], "x")


def test_what_cannot_be_written_is_called_by_its_name(tmp_path: Path) -> None:
    with pytest.raises(OSError) as caught:
        write_atomically(tmp_path / "missing" / "file", b"")
    assert str(caught.value.filename) == str(tmp_path / "missing" / "file")
