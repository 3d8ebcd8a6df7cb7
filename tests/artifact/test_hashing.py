"""Content hashes of calibration data."""

import json
import os
import time
from pathlib import Path

import pytest

from rknn_ep.artifact.hashing import MEMO_NAME, content_hash
from rknn_ep.errors import ArtifactError


def write(path: Path, content: str, age: float = 60) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    os.utime(path, (time.time() - age, time.time() - age))
    return path


def test_a_folder_hashes_by_names_and_content_alone(tmp_path: Path) -> None:
    for folder, order in (("a", ("1.png", "deep/2.png")), ("b", ("deep/2.png", "1.png"))):
        for name in order:
            write(tmp_path / folder / name, f"content of {name}", age=1000 if folder == "a" else 10)
    assert content_hash(tmp_path / "a") == content_hash(tmp_path / "b")
    (tmp_path / "b" / "1.png").rename(tmp_path / "b" / "3.png")
    assert content_hash(tmp_path / "a") != content_hash(tmp_path / "b")


def test_moving_bytes_between_files_changes_the_hash(tmp_path: Path) -> None:
    write(tmp_path / "a" / "1", "ab")
    write(tmp_path / "a" / "2", "c")
    write(tmp_path / "b" / "1", "a")
    write(tmp_path / "b" / "2", "bc")
    assert content_hash(tmp_path / "a") != content_hash(tmp_path / "b")


def test_a_list_file_hashes_with_what_it_names(tmp_path: Path) -> None:
    write(tmp_path / "pictures" / "1.npy", "one")
    listing = write(tmp_path / "list.txt", "pictures/1.npy\nmissing.npy\n")
    before = content_hash(listing, tmp_path / "cache")
    assert content_hash(listing, tmp_path / "cache") == before
    write(tmp_path / "pictures" / "1.npy", "two", age=30)
    assert content_hash(listing, tmp_path / "cache") != before


def test_a_remembered_file_is_not_read_again_and_a_changed_one_is(tmp_path: Path) -> None:
    file, cache = write(tmp_path / "data.npz", "one"), tmp_path / "cache"
    first = content_hash(file, cache)
    memo = json.loads((cache / MEMO_NAME).read_text())
    memo[str(file)][3] = "0" * 64
    (cache / MEMO_NAME).write_text(json.dumps(memo))
    assert content_hash(file, cache) != first, "the memo was not used"
    write(file, "two", age=30)
    assert content_hash(file, cache) == content_hash(file), "a changed file was taken from the memo"


def test_a_file_written_just_now_is_not_remembered(tmp_path: Path) -> None:
    content_hash(write(tmp_path / "data.npz", "one", age=0), tmp_path / "cache")
    assert not (tmp_path / "cache" / MEMO_NAME).exists()


@pytest.mark.parametrize("damage", ["", "[]", "{", '{"x": 1}', "\xff"])
def test_a_damaged_memo_is_begun_anew(tmp_path: Path, damage: str) -> None:
    file = write(tmp_path / "data.npz", "one")
    write(tmp_path / "cache" / MEMO_NAME, damage)
    assert content_hash(file, tmp_path / "cache") == content_hash(file)


def test_dangling_links_pipes_and_odd_names_do_no_harm(tmp_path: Path) -> None:
    write(tmp_path / "a" / "1", "one")
    before = content_hash(tmp_path / "a")
    (tmp_path / "a" / "dangling").symlink_to("nowhere")
    os.mkfifo(tmp_path / "a" / "pipe")
    assert content_hash(tmp_path / "a") == before
    (tmp_path / "a" / os.fsdecode(b"\xff\xfe")).write_text("odd")
    os.utime(tmp_path / "a" / os.fsdecode(b"\xff\xfe"), (1, 1))
    assert content_hash(tmp_path / "a", tmp_path / "cache") == content_hash(tmp_path / "a") != before


def test_a_missing_path_is_named(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="nowhere"):
        content_hash(tmp_path / "nowhere")
