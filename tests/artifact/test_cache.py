"""The cache: shared by processes, verified on read, and never a reason for a session to fail."""

import logging
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from rknn_ep.artifact.bundle import Bundle, write_bundle
from rknn_ep.artifact.cache import DIRECTORY_VARIABLE, LIMIT_VARIABLE, Cache, default_directory
from rknn_ep.errors import ArtifactError
from tests.required import missing

CONTENT = {"native.txt": b"format=1\n", "simulation.data": bytes(50_000)}


def put(cache: Cache, key: str = "k-rknn_0", size: int = 0) -> Path:
    return cache.put_bundle(key, lambda path: write_bundle(path, {**CONTENT, "more": bytes(size)}, {}))


def run(script: str, *arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", textwrap.dedent(script), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=True, env={**os.environ, **environment}, timeout=60)


@pytest.fixture
def mounted(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "mounted"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(command, capture_output=True, check=False).returncode != 0:
        missing("mount", "mounting a small tmpfs needs root")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_plans_and_bundles_come_back(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "cache")
    assert cache.get_plan("k") is None and cache.get_bundle("k-rknn_0") is None
    path = put(cache)
    cache.put_plan("k", {"partitions": [{"bundle": path.stem}], "text": "ü"})
    again = Cache(tmp_path / "cache")
    plan = again.get_plan("k")
    assert plan == {"partitions": [{"bundle": "k-rknn_0"}], "text": "ü"}
    assert again.get_bundle("k-rknn_0") == path and Bundle.open(path).read("native.txt") == b"format=1\n"


@pytest.mark.parametrize("key", ["", "../k", "a/b", "-k", ".k", "k" * 201, "k\n"])
def test_keys_that_could_leave_the_folder_are_refused(tmp_path: Path, key: str) -> None:
    cache = Cache(tmp_path)
    for call in (cache.get_plan, cache.get_bundle, lambda key: put(cache, key), lambda key: cache.put_plan(key, {})):
        with pytest.raises(ArtifactError):
            call(key)


@pytest.mark.parametrize("damage", [b"", b"garbage", b"0" * 64 + b"\n{}"])
def test_a_damaged_plan_is_said_removed_and_absent(tmp_path: Path, damage: bytes, caplog: pytest.LogCaptureFixture) -> None:
    cache = Cache(tmp_path)
    cache.put_plan("k", {"a": 1})
    file = tmp_path / "plans" / "k.json"
    file.write_bytes(damage)
    with caplog.at_level(logging.WARNING):
        assert cache.get_plan("k") is None
    assert "damaged and will be built again" in caplog.text and not file.exists()


@pytest.mark.parametrize("position", [0, 5000, 20_000, -10])
def test_a_damaged_bundle_is_said_removed_and_absent(tmp_path: Path, position: int, caplog: pytest.LogCaptureFixture) -> None:
    cache = Cache(tmp_path)
    path = put(cache)
    assert cache.get_bundle("k-rknn_0") == path
    content = bytearray(path.read_bytes())
    content[position] ^= 0x10
    path.write_bytes(content)
    with caplog.at_level(logging.WARNING):
        assert cache.get_bundle("k-rknn_0") is None
    assert "damaged and will be built again" in caplog.text and not path.exists()
    assert cache.get_bundle(put(cache).stem) == path


def test_an_unchanged_bundle_is_verified_once_a_process(tmp_path: Path) -> None:
    path = put(Cache(tmp_path))
    status = path.stat()
    assert Cache(tmp_path).get_bundle("k-rknn_0") == path
    offset = Bundle.open(path).entry("simulation.data")[0]
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(b"x")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert Cache(tmp_path).get_bundle("k-rknn_0") == path, "hashed again although size, time and inode are the same"
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + 1))
    assert Cache(tmp_path).get_bundle("k-rknn_0") is None


def test_many_processes_build_an_entry_once(tmp_path: Path) -> None:
    script = """
        import os, sys, time
        from pathlib import Path
        from rknn_ep.artifact.bundle import write_bundle
        from rknn_ep.artifact.cache import Cache
        folder = Path(sys.argv[1])
        cache = Cache(folder / "cache")
        for round in range(5):
            key = f"k{round}"
            with cache.lock(key):
                if cache.get_plan(key) is None:
                    with (folder / "builds").open("a") as log:
                        log.write(f"{key}\\n")
                    time.sleep(0.02)
                    cache.put_bundle(f"{key}-rknn_0", lambda path: write_bundle(path, {"weights": bytes(100_000)}, {}))
                    cache.put_plan(key, {"bundle": f"{key}-rknn_0"})
            assert cache.get_bundle(cache.get_plan(key)["bundle"]) is not None
    """
    command = [sys.executable, "-W", "error", "-c", textwrap.dedent(script), str(tmp_path)]
    processes = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(6)]
    for process in processes:
        assert process.wait(60) == 0, process.communicate()[1]
        process.communicate()
    assert sorted((tmp_path / "builds").read_text().split()) == [f"k{round}" for round in range(5)]


def test_processes_that_write_the_same_entry_without_a_lock_never_show_half_of_one(tmp_path: Path) -> None:
    script = """
        import sys
        from pathlib import Path
        from rknn_ep.artifact.bundle import write_bundle
        from rknn_ep.artifact.cache import Cache
        cache = Cache(Path(sys.argv[1]))
        for round in range(15):
            cache.put_bundle("k", lambda path: write_bundle(path, {"weights": bytes([round]) * 200_000}, {}))
            assert cache.get_bundle("k") is not None
    """
    command = [sys.executable, "-c", textwrap.dedent(script), str(tmp_path)]
    processes = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(3)]
    for process in processes:
        errors = process.communicate(timeout=60)[1]
        assert process.returncode == 0 and "damaged" not in errors, errors
    assert [path.name for path in (tmp_path / "bundles").iterdir()] == ["k.rknnctx"]


def test_a_process_killed_while_writing_leaves_no_entry_and_no_lock(tmp_path: Path) -> None:
    script = """
        import sys, time
        from pathlib import Path
        from rknn_ep.artifact.cache import Cache
        cache = Cache(Path(sys.argv[1]))
        def write(path):
            path.write_bytes(b"half")
            print("writing", flush=True)
            time.sleep(60)
        with cache.lock("k"):
            cache.put_bundle("k", write)
    """
    process = subprocess.Popen([sys.executable, "-c", textwrap.dedent(script), str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stdout.readline() == "writing\n"
    process.send_signal(signal.SIGKILL)
    process.communicate()
    cache = Cache(tmp_path)
    with cache.lock("k"):
        assert cache.get_bundle("k") is None
        assert cache.get_bundle(put(cache, "k").stem) is not None
    abandoned = next(path for path in (tmp_path / "bundles").iterdir() if path.name.startswith("."))
    os.utime(abandoned, (0, 0))
    assert cache.prune() == 4 and not abandoned.exists()


@pytest.mark.parametrize("folder", ["/dev/null/cache", "/proc/cache"])
def test_a_cache_that_cannot_be_made_is_done_without(folder: str, caplog: pytest.LogCaptureFixture) -> None:
    cache = Cache(Path(folder))
    with caplog.at_level(logging.WARNING), cache.lock("k"):
        path = put(cache, f"k{len(folder)}")
        cache.put_plan("k", {})
    assert Bundle.open(path).read("native.txt") == b"format=1\n" and cache.get_plan("k") is None
    assert len(caplog.records) == 1, "said more than once"
    assert "going on without it" in caplog.text and DIRECTORY_VARIABLE in caplog.text


def test_a_full_disk_sends_bundles_to_a_temporary_folder(mounted: Path, caplog: pytest.LogCaptureFixture) -> None:
    cache = Cache(mounted / "cache")
    with caplog.at_level(logging.WARNING):
        path = put(cache, "full", size=200_000)
    assert not path.is_relative_to(mounted) and Bundle.open(path).entry("more")[1] == 200_000
    assert "No space left on device" in caplog.text
    assert not any(file.is_file() and "lock" not in file.name for file in mounted.rglob("*")), "half a bundle was left"


def test_a_read_only_cache_gives_what_it_has_and_builds_the_rest(mounted: Path, caplog: pytest.LogCaptureFixture) -> None:
    small = Cache(mounted)
    known = small.put_bundle("known", lambda path: write_bundle(path, {"a": b"1"}, {}))
    subprocess.run(["mount", "-o", "remount,ro", str(mounted)], check=True)
    cache = Cache(mounted)
    with caplog.at_level(logging.WARNING), cache.lock("k"):
        assert cache.get_bundle("known") == known
        assert not put(cache, "new").is_relative_to(mounted)
        cache.put_plan("k", {})
    assert "Read-only file system" in caplog.text


def test_nowhere_to_write_is_a_clear_error_that_names_both_folders(tmp_path: Path) -> None:
    script = """
        import resource, sys
        from pathlib import Path
        from rknn_ep.artifact.bundle import write_bundle
        from rknn_ep.artifact.cache import Cache
        from rknn_ep.errors import ArtifactError
        resource.setrlimit(resource.RLIMIT_FSIZE, (20000, 20000))
        try:
            Cache(Path(sys.argv[1])).put_bundle("k", lambda path: write_bundle(path, {"weights": bytes(100_000)}, {}))
        except ArtifactError as error:
            print(error)
    """
    output = run(script, tmp_path / "cache", TMPDIR=str(tmp_path)).stdout
    assert f"neither the cache {tmp_path}/cache nor the temporary folder" in output and "File too large" in output
    assert "set cache_dir" in output


def test_temporary_bundles_live_as_long_as_the_process_and_no_longer(tmp_path: Path) -> None:
    script = """
        import gc, os, sys
        from pathlib import Path
        from rknn_ep.artifact.bundle import write_bundle
        from rknn_ep.artifact.cache import Cache
        path = Cache(Path("/dev/null/x")).put_bundle("k", lambda path: write_bundle(path, {}, {}))
        gc.collect()
        if os.fork() == 0:
            sys.exit(0)
        os.wait()
        assert path.exists(), "removed while the process lives"
        print(path)
    """
    path = Path(run(script, TMPDIR=str(tmp_path)).stdout.strip())
    assert path.is_relative_to(tmp_path) and not path.exists() and not path.parent.exists()


def test_a_writer_that_fails_for_reasons_of_its_own_is_not_hidden(tmp_path: Path) -> None:
    def write(path: Path) -> None:
        raise ArtifactError("the compiler gave nothing")

    with pytest.raises(ArtifactError, match="the compiler gave nothing"):
        Cache(tmp_path).put_bundle("k", write)
    assert list((tmp_path / "bundles").iterdir()) == []


def test_pruning_removes_what_was_not_used_for_longest(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    paths = [put(cache, f"k{index}") for index in range(4)]
    for age, path in zip((9, 7, 8, 0), paths, strict=True):
        os.utime(path, (time.time() - age * 86400,) * 2)
    cache.get_bundle("k0")  # used just now
    size = paths[0].stat().st_size
    assert cache.prune(limit_bytes=3 * size) == size
    assert [path.exists() for path in paths] == [True, True, False, True]
    cache.prune(limit_bytes=0)
    assert [path.exists() for path in paths] == [True, False, False, True], "what was used within the hour stays"


def test_the_limit_comes_from_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    cache = Cache(tmp_path)
    os.utime(put(cache, "old"), (0, 0))
    monkeypatch.setenv(LIMIT_VARIABLE, "much")
    assert cache.prune() == 0 and LIMIT_VARIABLE in caplog.text
    monkeypatch.setenv(LIMIT_VARIABLE, "0")
    put(cache, "new")
    assert cache.get_bundle("old") is None and cache.get_bundle("new") is not None


def test_the_folder_comes_from_the_option_then_the_environment_then_the_platform(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(DIRECTORY_VARIABLE, str(tmp_path / "environment"))
    assert Cache(tmp_path / "option").directory == tmp_path / "option"
    assert Cache().directory == tmp_path / "environment"
    monkeypatch.delenv(DIRECTORY_VARIABLE)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert default_directory() == tmp_path / "xdg" / "rknn_ep"
    assert not any(tmp_path.iterdir()), "looking at a cache made folders"


def test_a_warm_start_imports_nothing_heavy(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    cache.put_plan("k", {})
    put(cache, "k")
    script = """
        import sys
        from pathlib import Path
        from rknn_ep.artifact.cache import Cache
        from rknn_ep.artifact.epcontext import write_epcontext_model
        from rknn_ep.artifact.hashing import content_hash
        from rknn_ep.artifact.rknn_file import read_metadata
        cache = Cache(Path(sys.argv[1]))
        assert cache.get_plan("k") == {} and cache.get_bundle("k") is not None
        print(*(name for name in ("numpy", "onnx", "onnx_ir", "onnxruntime", "filelock") if name in sys.modules))
    """
    assert run(script, tmp_path).stdout.split() == []
