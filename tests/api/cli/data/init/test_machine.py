"""What the machine refuses to `smesher init`: memory, room on the disk, permissions, a disk that fails.

Tests of rows of its table of bad input are named after the row.
"""

from __future__ import annotations

import errno
import os
import re
import resource
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kernels.labels import cpu, memory
from prover import durable
from prover.post.directory import Storage
from tests.api.cli.data.init.jobs import JOB, is_complete
from tests.support import cli
from tests.support.cli import ATX_ID, Job, smesher, snapshot

# -- memory ----------------------------------------------------------------------------------------------------


def label_bytes(scrypt_n: int) -> int:
    """Scratch memory of one label."""
    return scrypt_n * 128 + 4096


@pytest.mark.parametrize(
    ("labels_at_once", "threads", "said"),
    [
        pytest.param(lambda lanes: 2 * lanes, 2, "2 of 2 threads", id="fewer lanes"),
        pytest.param(lambda lanes: lanes, 1, "1 of 2 threads", id="fewer threads"),
        pytest.param(lambda lanes: 1, 1, "1 of 2 threads", id="one label at a time"),
    ],
)
def test_little_memory(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    labels_at_once: Callable[[int], int],
    threads: int,
    said: str,
) -> None:
    job = Job(units=1, scrypt_n=1024)
    monkeypatch.setattr(cpu, "way", lambda: cpu.WAYS[0])
    lanes = cpu.lanes()
    if lanes == 1:
        cli.not_checked("this processor has no lanes to give up")
    expected = job.files()  # computed before memory is short
    available = memory.HEADROOM_BYTES + labels_at_once(lanes) * label_bytes(1024)
    monkeypatch.setattr(memory, "available_memory", lambda: available)
    job.init(tmp_path / "post", "--threads", 2).ok().refused(0, "Memory is short", said)
    assert cli.data_files(tmp_path / "post") == expected


def test_little_memory_not_even_for_one_label(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    needed = memory.HEADROOM_BYTES + label_bytes(8192)
    monkeypatch.setattr(memory, "available_memory", lambda: needed - 1)
    result = Job(scrypt_n=8192).init(tmp_path / "post")
    figures = [int(digits.replace(",", "")) for digits in re.findall(r"\d[\d,]*", result.text)]
    result.refused(3, "emory")
    assert figures, result.text
    assert not cli.data_files(tmp_path / "post")


ADDRESS_SPACE = """
import os, resource, sys
import api.cli.data.init, prover.post.init.run, kernels.devices.pool, kernels.labels.cpu, rich.console
kernels.labels.cpu.warm_up()
used = int(open("/proc/self/statm").read().split()[0]) * os.sysconf("SC_PAGE_SIZE")
limit = used + (int(sys.argv.pop()) << 20)
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
from api.cli.main import main
sys.exit(main())
"""


def test_little_memory_address_space_limit(tmp_path: Path) -> None:
    if not Path("/proc/self/statm").exists():
        cli.not_checked("this system does not say how much address space is in use")
    job = Job(scrypt_n=2**20)  # 128 MiB for one label
    cli.run_child(*job.options(tmp_path / "post"), 96, script=ADDRESS_SPACE).refused(3, "emory", "MiB")


@pytest.mark.parametrize("mebibytes", [96, 200, 500])
def test_little_memory_address_space_limit_that_some_labels_fit_into(tmp_path: Path, mebibytes: int) -> None:
    if not Path("/proc/self/statm").exists():
        cli.not_checked("this system does not say how much address space is in use")
    job = Job(units=1, scrypt_n=2**14)  # 2 MiB for one label
    cli.run_child(*job.options(tmp_path / "fits"), mebibytes, script=ADDRESS_SPACE).ok()
    assert cli.data_files(tmp_path / "fits") == job.files()


@pytest.mark.parametrize("version", [1, 2])
def test_little_memory_control_group_limit_included(tmp_path: Path, version: int) -> None:
    membership, mount = tmp_path / "cgroup", tmp_path / "mount"
    names = ("memory.limit_in_bytes", "memory.usage_in_bytes") if version == 1 else ("memory.max", "memory.current")
    root = mount / "memory" if version == 1 else mount
    inner = root / "outer" / "inner"
    inner.mkdir(parents=True)
    membership.write_text("5:cpu,memory:/outer/inner\n" if version == 1 else "0::/outer/inner\n")
    for folder, limit, used in ((inner, 300 << 20, 100 << 20), (root / "outer", 250 << 20, 120 << 20)):
        (folder / names[0]).write_text(f"{limit}\n")
        (folder / names[1]).write_text(f"{used}\n")
    assert min(memory._control_groups(membership, mount)) == 130 << 20


# -- the disk before work --------------------------------------------------------------------------------------


def test_not_enough_disk_for_millions_of_files_is_told_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """64 PiB are 16,777,216 files: none of them is looked for before the room is compared."""
    looked_for: list[str] = []
    monkeypatch.setattr(Storage, "check_writable", lambda storage, names: looked_for.extend(names))
    words = ["init", "--data-dir", tmp_path / "post", "--num-units", 1 << 20, "--commitment-atx-id", ATX_ID, "--cpu"]
    began = time.process_time()
    smesher(*words).refused(3, "64.00 PiB are needed", tmp_path / "post")
    assert time.process_time() - began < 5
    assert looked_for == []


def test_not_enough_disk(tmp_path: Path) -> None:
    job = Job(units=2**12, labels_per_unit=2**32, max_file_size=2**36)  # 256 TiB
    result = job.init(tmp_path / "post").refused(3, "free", "needed", "space")
    assert "256.00 TiB" in result.text or "262144.00 GiB" in result.text or "262,144" in result.text
    assert not (tmp_path / "post").exists(), "what is refused leaves nothing behind"


def test_not_enough_disk_small_disk() -> None:
    with cli.small_disk(2 << 20) as (disk, _):
        job = Job(units=2, labels_per_unit=2**16, max_file_size=2**20)  # 2 MiB and something for the rest
        job.init(disk / "post").refused(3, disk / "post", "2.00 MiB", "needed")
        assert not (disk / "post").exists()
        # only what is missing counts
        small = Job(units=2, labels_per_unit=2**14, max_file_size=2**18)
        small.init(disk / "post").ok()
        small.init(disk / "post").ok()


def test_directory_read_only() -> None:
    with cli.public_folder() as folder:
        directory = JOB.make(folder / "post")
        os.truncate(directory / "postdata_2.bin", 160)
        cli.give_to_ordinary_user(directory)
        directory.chmod(0o500)
        before = snapshot(directory)
        cli.as_ordinary_user(*JOB.options(directory), folder=directory).refused(3, directory, "permission")
        assert snapshot(directory) == before


def test_directory_cannot_be_made() -> None:
    with cli.public_folder() as folder:
        inner = folder / "inner"
        inner.mkdir()
        cli.give_to_ordinary_user(inner)
        inner.chmod(0o500)
        result = cli.as_ordinary_user(*JOB.options(inner / "post"), folder=inner)
        result.refused(3, inner / "post", "permission")
        assert list(inner.iterdir()) == []


def test_directory_cannot_be_entered() -> None:
    with cli.public_folder() as folder:
        directory = JOB.make(folder / "inner" / "post")
        cli.give_to_ordinary_user(directory)
        directory.parent.chmod(0o000)
        for words in (JOB.options(directory), ["info", directory], ["verify", directory]):
            cli.as_ordinary_user(*words, folder=directory).refused(3, directory, "ermission")


def test_disk_mounted_read_only() -> None:
    with cli.small_disk(4 << 20) as (disk, again):
        directory = JOB.make(disk / "post")
        os.truncate(directory / "postdata_2.bin", 160)
        again("ro")
        before = snapshot(directory)
        JOB.init(directory).refused(3, directory, "read-only")
        JOB.init(disk / "new").refused(3, disk / "new", "read-only")
        assert snapshot(directory) == before


@pytest.mark.parametrize("name", ["postdata_2.bin", "postdata_metadata.json"])
def test_file_owned_by_another(name: str) -> None:
    if os.geteuid() != 0:
        cli.not_checked("only root can give files to another user")
    with cli.public_folder() as folder:
        directory = JOB.make(folder / "post")
        os.truncate(directory / "postdata_2.bin", 160)
        cli.give_to_ordinary_user(directory)
        os.chown(directory / name, 0, 0)
        (directory / name).chmod(0o644)
        before = snapshot(directory)
        result = cli.as_ordinary_user(*JOB.options(directory), folder=directory)
        result.refused(3, directory / name, "permission")
        assert snapshot(directory) == before


def test_data_dir_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "post").write_text("something")
    JOB.init(tmp_path / "post").refused(2, tmp_path / "post", "file", "directory")
    assert (tmp_path / "post").read_text() == "something"


# -- the disk during work --------------------------------------------------------------------------------------


def test_disk_fills_during_work(monkeypatch: pytest.MonkeyPatch) -> None:
    job = Job(units=2, labels_per_unit=2**15, max_file_size=2**19)  # 1 MiB
    with cli.small_disk(600 << 10) as (disk, again):
        with monkeypatch.context() as patch:
            patch.setattr(Storage, "free_bytes", lambda self: 1 << 40)  # as if another program took the space later
            job.init(disk / "post").refused(3, disk / "post", "full", "kept")
        kept = b"".join(content for _, content in sorted(cli.data_files(disk / "post").items()))
        assert len(kept) > 300 << 10
        assert job.data().startswith(kept)
        smesher("info", disk / "post").ok()
        job.init(disk / "post").refused(3, "free", "needed")
        again("size=4m")
        job.init(disk / "post").ok()
        is_complete(disk / "post", job)


def test_disk_fills_during_work_and_goes_on_where_there_is_space(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = 0

    def write(descriptor: int, data: Any) -> int:
        nonlocal written
        left = 2500 - written
        if left <= 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        done = os.write(descriptor, bytes(data)[:left])  # a full disk takes a part of a write
        written += done
        return done

    with monkeypatch.context() as patch:
        patch.setattr(durable, "os", cli.FaultyOs(write=write))
        JOB.init(tmp_path / "post").refused(3, "postdata_", "full", "same command again")
    kept = b"".join(content for _, content in sorted(cli.data_files(tmp_path / "post").items()))
    assert kept and JOB.data().startswith(kept)
    JOB.init(tmp_path / "post").ok()
    is_complete(tmp_path / "post")


@pytest.mark.parametrize("call", ["write", "fdatasync", "fsync"])
def test_io_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str) -> None:
    if not hasattr(os, call):
        cli.not_checked(f"this system has no {call}")
    calls = 0

    def fails_later(*words: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls > 8:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return getattr(os, call)(*words)

    job = Job(units=64)
    with monkeypatch.context() as patch:
        patch.setattr(durable, "os", cli.FaultyOs(**{call: fails_later}))
        job.init(tmp_path / "post").refused(3, tmp_path / "post", "input/output error")
    job.init(tmp_path / "post").ok()
    is_complete(tmp_path / "post", job)


def test_io_error_in_the_middle_of_a_write(tmp_path: Path) -> None:
    job = Job(units=1, labels_per_unit=4096, max_file_size=2**16)

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (10_007, 10_007))

    cli.run_child(*job.options(tmp_path / "post"), preexec_fn=limit).refused(3, "postdata_0.bin", "large")
    content = (tmp_path / "post" / "postdata_0.bin").read_bytes()
    assert len(content) % 16, "the write was not cut in the middle of a label"
    assert content == job.data()[: len(content)]
    job.init(tmp_path / "post").ok()
    is_complete(tmp_path / "post", job)
