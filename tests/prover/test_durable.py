"""The one module that syncs: errors that are told, names that are durable, and files that others have placed."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

import pytest

from prover import durable
from prover.errors import EnvironmentFault
from prover.post.directory import LOCK_NAME, Storage
from tests.support.cli import FaultyOs

SECRET = b"precious content of another file\n"


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Paths in the order in which they were synced."""
    seen: list[str] = []

    def fsync(descriptor: int) -> None:
        seen.append(os.readlink(f"/proc/self/fd/{descriptor}"))
        os.fsync(descriptor)

    if not os.path.isdir("/proc/self/fd"):
        pytest.skip("NOT CHECKED: this system does not tell which file a descriptor belongs to")
    monkeypatch.setattr(durable, "os", FaultyOs(fsync=fsync, fdatasync=fsync))
    return seen


def failing(number: int) -> FaultyOs:
    """Syncs fail with this error."""

    def fsync(descriptor: int) -> None:
        raise OSError(number, os.strerror(number))

    return FaultyOs(fsync=fsync, fdatasync=fsync)


def test_new_directories_and_their_parents_are_synced(tmp_path: Path, synced: list[str]) -> None:
    storage = Storage(tmp_path / "a" / "b")
    assert storage.create() == [tmp_path / "a", tmp_path / "a" / "b"]
    assert synced == [str(tmp_path), str(tmp_path / "a")]
    assert stat.S_IMODE((tmp_path / "a" / "b").stat().st_mode) == 0o700
    synced.clear()
    storage.replace("small", b"1")
    assert synced[1:] == [str(storage.path)] and synced[0].startswith(str(storage.path))
    synced.clear()
    storage.append("postdata_0.bin", bytes(16))
    storage.finish("postdata_0.bin")
    assert synced == [str(storage.path / "postdata_0.bin"), str(storage.path)]


@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC, errno.EDQUOT, errno.EBADF])
def test_a_directory_that_cannot_be_synced_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    monkeypatch.setattr(durable, "os", failing(number))
    with pytest.raises(EnvironmentFault):
        Storage(tmp_path).sync_directory()


@pytest.mark.parametrize("number", [errno.EINVAL, errno.ENOTSUP])
def test_a_file_system_without_directory_syncs_is_usable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    asked: list[int] = []

    def fsync(descriptor: int) -> None:
        asked.append(descriptor)
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(durable, "os", FaultyOs(fsync=fsync))
    Storage(tmp_path).sync_directory()
    assert len(asked) == 1


def test_a_write_that_is_not_synced_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "small").write_bytes(b"old")
    monkeypatch.setattr(durable, "os", failing(errno.EIO))
    with pytest.raises(EnvironmentFault, match="input/output error"):
        Storage(tmp_path).replace("small", b"new")
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"small": b"old"}


@pytest.mark.parametrize("link", [os.symlink, os.link], ids=["link", "second name"])
@pytest.mark.parametrize("name", ["smesher.json", "postdata_metadata.json", "identity.key", "smesher-findings.json"])
def test_temporary_files_never_follow_what_is_there(tmp_path: Path, name: str, link: object) -> None:
    outside = tmp_path / "outside"
    outside.write_bytes(SECRET)
    storage = Storage(tmp_path / "data")
    storage.create()
    link(outside, durable.temporary(storage.path / name))  # type: ignore[operator]
    storage.replace(name, b"ours")
    storage.check_writable([name])
    assert outside.read_bytes() == SECRET
    assert (storage.path / name).read_bytes() == b"ours" and not (storage.path / name).is_symlink()


@pytest.mark.parametrize("kind", ["FIFO", "directory", "socket"])
def test_what_is_no_file_is_not_replaced_by_one(tmp_path: Path, kind: str) -> None:
    place = tmp_path / "place"
    if kind == "FIFO":
        os.mkfifo(place)
    elif kind == "directory":
        place.mkdir()
    else:
        os.mknod(place, stat.S_IFSOCK | 0o600)
    with pytest.raises(durable.Unfit, match=f"^it is a {kind}, expected a file$") as caught:
        durable.replace(place, b"new")
    assert caught.value.filename == str(place)
    assert not place.is_file() and os.listdir(tmp_path) == ["place"]


def test_a_lock_never_follows_a_link(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.write_bytes(SECRET)
    storage = Storage(tmp_path / "data")
    storage.create()
    (storage.path / LOCK_NAME).symlink_to(outside)
    with pytest.raises(EnvironmentFault, match="is a link, which is not followed"), storage.lock():
        pass
    assert outside.read_bytes() == SECRET and (storage.path / LOCK_NAME).is_symlink()


def test_a_full_disk_does_not_hinder_a_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is wanted next may need no room: then it is done; if it needs some, that says what to do."""
    from prover.post import directory

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(directory, "os", FaultyOs(pwrite=full))
    with Storage(tmp_path).lock():
        pass
    assert not (tmp_path / LOCK_NAME).exists()


@pytest.mark.parametrize("name", [LOCK_NAME, "smesher.json", "postdata_0.bin"])
def test_fifos_are_not_waited_for(tmp_path: Path, name: str) -> None:
    storage = Storage(tmp_path)
    os.mkfifo(tmp_path / name)
    deeds = {
        LOCK_NAME: lambda: storage.lock().__enter__(),
        "smesher.json": lambda: storage.read_small(name),
        "postdata_0.bin": lambda: storage.append(name, bytes(16)),
    }
    with pytest.raises(EnvironmentFault, match="it is a FIFO, expected a file"):
        deeds[name]()
    for read in (lambda: storage.read(name, 0, 16), lambda: storage.read_into(name, 0, bytearray(16))):
        with pytest.raises(EnvironmentFault, match="it is a FIFO, expected a file"):
            read()


def test_a_device_and_a_directory_are_no_small_files(tmp_path: Path) -> None:
    (tmp_path / "zero").symlink_to("/dev/zero")
    (tmp_path / "smesher.json").mkdir()
    for name, kind in (("zero", "a device"), ("smesher.json", "a directory")):
        with pytest.raises(EnvironmentFault, match=f"it is {kind}, expected a file"):
            Storage(tmp_path).read_small(name)


def test_a_small_file_has_a_size(tmp_path: Path) -> None:
    with (tmp_path / "smesher.json").open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(EnvironmentFault, match=f"has {1 << 40} bytes, expected at most"):
        Storage(tmp_path).read_small("smesher.json")


def test_a_directory_in_the_way_of_a_temporary_file_is_named(tmp_path: Path) -> None:
    (tmp_path / ".smesher.json.new").mkdir()
    with pytest.raises(EnvironmentFault, match=r"\.smesher\.json\.new is a directory in the way"):
        Storage(tmp_path).replace("smesher.json", b"1")


def test_what_is_set_aside_keeps_what_was_set_aside_before(tmp_path: Path) -> None:
    for content in (b"1", b"2", b"3"):
        (tmp_path / "f").write_bytes(content)
        durable.set_aside(tmp_path / "f")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["f.damaged", "f.damaged.1", "f.damaged.2"]
