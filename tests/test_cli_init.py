"""`smesher init` from outside: every row of its table of bad input and faults, its options, and its output.

Tests of rows are named after the row. What a crash at any instant leaves behind is in test_init_crash.py.
"""

from __future__ import annotations

import errno
import hashlib
import importlib.metadata
import itertools
import json
import os
import re
import resource
import signal
import stat
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from api.cli.main import COMMANDS
from kernels import device, memory, target
from kernels.device import Device, PassedOver
from protocol.post import vrf_difficulty
from prover.post import init as init_module
from prover.post import scrypt_n
from prover.post import storage as storage_module
from prover.post.metadata import encode
from prover.post.storage import Storage
from tests import cli
from tests.cli import ATX_ID, NO_NONCE_IN_64, NODE_ID, Job, smesher, snapshot

JOB = Job()
OTHER = "33" * 32


@pytest.fixture(scope="module", autouse=True)
def compiled() -> None:
    """Children find the kernels compiled."""
    from kernels import cpu

    cpu.warm_up()


@pytest.fixture
def filled(tmp_path: Path) -> Path:
    """A complete set of `JOB`."""
    return JOB.make(tmp_path / "post")


@pytest.fixture
def half(tmp_path: Path) -> Path:
    """A set of `JOB` of which file 2 has 10 labels and file 3 none."""
    directory = JOB.make(tmp_path / "post")
    os.truncate(directory / "postdata_2.bin", 160)
    (directory / "postdata_3.bin").unlink()
    return directory


def is_complete(directory: Path, job: Job = JOB) -> None:
    """The directory holds what an uninterrupted run makes."""
    assert cli.data_files(directory) == job.files()
    assert cli.metadata_text(directory) == encode(job.metadata())


# == bad input and faults ======================================================================================


@pytest.mark.parametrize(
    ("option", "value", "field", "there", "asked"),
    [
        ("--node-id", OTHER, "NodeId", NODE_ID, OTHER),
        ("--commitment-atx-id", OTHER, "CommitmentAtxId", ATX_ID, OTHER),
        ("--labels-per-unit", 32, "LabelsPerUnit", "64", "32"),
        ("--max-file-size", 2048, "MaxFileSize", "1024", "2048"),
    ],
)
def test_parameters_differ_from_the_metadata_in_the_directory(
    filled: Path, option: str, value: object, field: str, there: str, asked: str
) -> None:
    before = snapshot(filled)
    JOB.init(filled, option, value).refused(2, field, there, asked, option, "another directory")
    assert snapshot(filled) == before


def test_parameters_differ_from_the_metadata_names_every_field(half: Path) -> None:
    before = snapshot(half)
    other = Job(units=4, labels_per_unit=32, max_file_size=2048, atx_id=OTHER, node_id=OTHER)
    other.init(half, "--yes").refused(
        2, "NodeId", "CommitmentAtxId", "LabelsPerUnit", "MaxFileSize", NODE_ID, ATX_ID, OTHER, 64, 32, 1024, 2048
    )
    assert snapshot(half) == before


@pytest.mark.parametrize("record", [True, False], ids=["recorded", "found"])
@pytest.mark.parametrize("complete", [True, False], ids=["complete", "incomplete"])
def test_another_scrypt_n_than_recorded_or_found(tmp_path: Path, record: bool, complete: bool) -> None:
    directory = JOB.make(tmp_path / "post", record=record)
    if not complete:
        os.truncate(directory / "postdata_3.bin", 160)
    before = snapshot(directory)
    JOB.init(directory, "--scrypt-n", 16).refused(2, "scrypt N", "16", "N = 2", "--scrypt-n")
    JOB.init(directory, "--scrypt-n", 16, "--yes").refused(2, "N = 2")
    assert snapshot(directory) == before


def test_other_metadata_without_labels_is_refused_and_overwritten_with_yes(tmp_path: Path) -> None:
    directory = tmp_path / "post"
    directory.mkdir()
    (directory / "postdata_metadata.json").write_text(encode(replace(JOB.metadata(), node_id=bytes(32))))
    before = snapshot(directory)
    JOB.init(directory).refused(2, "NodeId", "00" * 32, NODE_ID, "--yes")
    assert snapshot(directory) == before
    JOB.init(directory, "--yes").ok()
    is_complete(directory)


def test_more_units_than_before(filled: Path, half: Path) -> None:
    before = snapshot(filled)
    JOB.init(filled, "--num-units", 5).refused(2, "NumUnits", "4", "5", "--grow")
    JOB.init(filled, "--num-units", 5, "--yes").refused(2, "NumUnits", "--grow")
    assert snapshot(filled) == before


def test_fewer_units_than_before(filled: Path) -> None:
    before = snapshot(filled)
    # three units less: 192 labels of 16 bytes
    JOB.init(filled, "--num-units", 1).refused(2, "NumUnits", "4", "1", "192 labels", "3072 bytes", "--yes")
    assert snapshot(filled) == before


def test_fewer_units_than_before_with_yes(tmp_path: Path) -> None:
    job = Job(units=4, labels_per_unit=100, max_file_size=2048)
    directory = job.make(tmp_path / "post")
    job.init(directory, "--num-units", 2, "--yes").ok()
    fewer = replace(job, units=2)
    assert cli.data_files(directory) == fewer.files()
    # the nonce stays: its threshold has grown
    assert cli.metadata_of(directory) == replace(job.metadata(), num_units=2)
    job.init(directory, "--num-units", 2).ok()


def test_fewer_units_than_before_on_incomplete_data_counts_only_what_is_there(half: Path) -> None:
    JOB.init(half, "--num-units", 2).refused(2, "10 labels", "160 bytes", "--yes")


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
    lanes = target.variant().lanes
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
import api.cli.init, prover.post.init, kernels.pool, kernels.cpu, rich.console
kernels.cpu.warm_up()
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


def test_not_enough_disk(tmp_path: Path) -> None:
    job = Job(units=2**12, labels_per_unit=2**32, max_file_size=2**36)  # 256 TiB
    result = job.init(tmp_path / "post").refused(3, "free", "needed", "space")
    assert "256.00 TiB" in result.text or "262144.00 GiB" in result.text or "262,144" in result.text
    assert list((tmp_path / "post").iterdir()) == []


def test_not_enough_disk_small_disk() -> None:
    with cli.small_disk(2 << 20) as (disk, _):
        job = Job(units=2, labels_per_unit=2**16, max_file_size=2**20)  # 2 MiB and something for the rest
        job.init(disk / "post").refused(3, disk / "post", "2.00 MiB", "needed")
        assert list((disk / "post").iterdir()) == []
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
        patch.setattr(storage_module, "os", cli.FaultyOs(write=write))
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
        patch.setattr(storage_module, "os", cli.FaultyOs(**{call: fails_later}))
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


# -- files that are not as they should be ----------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 15, 161, 1023])
def test_a_file_has_a_partial_label(half: Path, size: int) -> None:
    with (half / "postdata_2.bin").open("wb") as file:
        file.write(JOB.files()["postdata_2.bin"][: size // 16 * 16] + b"\xff" * (size % 16))
    JOB.init(half).ok()
    is_complete(half)


@pytest.mark.parametrize("name", ["postdata_1.bin", "postdata_3.bin"])
@pytest.mark.parametrize("surplus", [5, 16, 4000])
def test_a_file_is_longer_than_its_share(filled: Path, name: str, surplus: int) -> None:
    with (filled / name).open("ab") as file:
        file.write(bytes(surplus))
    before = snapshot(filled)
    JOB.init(filled).refused(1, name, f"{surplus} bytes", "--yes")
    assert snapshot(filled) == before
    JOB.init(filled, "--yes").ok()
    is_complete(filled)


def test_a_file_beyond_the_last(filled: Path) -> None:
    (filled / "postdata_4.bin").write_bytes(bytes(160))
    before = snapshot(filled)
    JOB.init(filled).refused(1, "postdata_4.bin", "160 bytes", "--yes")
    assert snapshot(filled) == before
    JOB.init(filled, "--yes").ok()
    is_complete(filled)


def test_a_middle_file_is_missing(filled: Path) -> None:
    (filled / "postdata_1.bin").unlink()
    JOB.init(filled).ok()
    is_complete(filled)


def test_several_gaps_are_filled(filled: Path) -> None:
    os.truncate(filled / "postdata_0.bin", 33)
    (filled / "postdata_1.bin").unlink()
    os.truncate(filled / "postdata_3.bin", 0)
    result = JOB.init(filled, "--json").ok()
    is_complete(filled)
    assert result.last["labels"] == 62 + 64 + 64


@pytest.mark.parametrize("name", ["postdata_001.bin", "postdata_9xbin"])
def test_names_that_others_take_for_data_are_named_and_not_counted(half: Path, name: str) -> None:
    (half / name).write_bytes(b"x" * 64)
    JOB.init(half).ok().refused(0, name)
    assert (half / name).read_bytes() == b"x" * 64
    (half / name).unlink()
    is_complete(half)


def test_labels_without_metadata(half: Path) -> None:
    (half / "postdata_metadata.json").unlink()
    before = snapshot(half)
    JOB.init(half).refused(1, "postdata_metadata.json", "138 labels")
    JOB.init(half, "--yes").refused(1, "postdata_metadata.json")
    assert snapshot(half) == before


@pytest.mark.parametrize("name", ["postdata_0.bin", "postdata_2.bin"])
def test_last_label_on_disk_is_not_the_right_label(half: Path, name: str) -> None:
    os.truncate(half / name, 160)
    cli.damage(half, name, 9)
    before = snapshot(half)
    index = 9 if name == "postdata_0.bin" else 137
    right = JOB.labels32(index, 1)[0, :16].tobytes().hex()
    wrong = (half / name).read_bytes()[144:].hex()
    JOB.init(half).refused(1, name, "last label", f"index {index}", "offset 144", right, wrong, "verify", "repair")
    JOB.init(half, "--yes").refused(1, name)
    assert snapshot(half) == before


def test_labels_of_another_identity_are_never_continued(half: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scrypt_n, "CANDIDATES", (8192, 2, 4))  # trying 2^20 takes seconds
    other = Job(atx_id=OTHER)
    for name, content in other.files().items():
        if (half / name).exists():
            (half / name).write_bytes(content[: (half / name).stat().st_size])
    before = snapshot(half)
    JOB.init(half).refused(1, "verify", "repair")
    assert snapshot(half) == before


# -- metadata --------------------------------------------------------------------------------------------------


def without(field: str) -> Callable[[str], str]:
    """The text without a field."""

    def change(text: str) -> str:
        document = json.loads(text)
        del document[field]
        return json.dumps(document)

    return change


def with_value(field: str, value: Any) -> Callable[[str], str]:
    """The text with another value of a field."""
    return lambda text: json.dumps({**json.loads(text), field: value})


BROKEN: dict[str, tuple[Callable[[str], str], str]] = {
    "truncated": (lambda text: text[:100], ""),
    "empty": (lambda text: "", ""),
    "not JSON": (lambda text: "NodeId: here", ""),
    "zero bytes": (lambda text: "\0" * len(text), ""),
    "trailing characters": (lambda text: text + "}", ""),
    "NodeId missing": (without("NodeId"), "NodeId"),
    "NumUnits missing": (without("NumUnits"), "NumUnits"),
    "NodeId is a number": (with_value("NodeId", 5), "NodeId"),
    "NodeId too short": (with_value("NodeId", "AAAA"), "NodeId"),
    "CommitmentAtxId not base64": (with_value("CommitmentAtxId", "?" * 44), "CommitmentAtxId"),
    "LabelsPerUnit is a string": (with_value("LabelsPerUnit", "64"), "LabelsPerUnit"),
    "NumUnits with a fraction": (with_value("NumUnits", 4.0), "NumUnits"),
    "NumUnits negative": (with_value("NumUnits", -4), "NumUnits"),
    "MaxFileSize null": (with_value("MaxFileSize", None), "MaxFileSize"),
    "Nonce is a list": (with_value("Nonce", [1]), "Nonce"),
    "LastPosition too big": (with_value("LastPosition", 2**64), "LastPosition"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_metadata_truncated_not_json_wrong_types(half: Path, name: str) -> None:
    change, field = BROKEN[name]
    cli.edit_metadata(half, change)
    before = snapshot(half)
    for words in (JOB.options(half), JOB.options(half, "--yes"), ["info", half], ["verify", half], ["repair", half]):
        smesher(*words).refused(1, half / "postdata_metadata.json", field, "expected" if field else ":")
        assert snapshot(half) == before, words[0]
    assert smesher(*JOB.options(half), "--json").last["code"] == 1


def test_metadata_broken_without_labels_is_overwritten_with_yes(tmp_path: Path) -> None:
    directory = tmp_path / "post"
    directory.mkdir()
    (directory / "postdata_metadata.json").write_text('{"NodeId": "')
    before = snapshot(directory)
    JOB.init(directory).refused(1, directory / "postdata_metadata.json", "--yes")
    assert snapshot(directory) == before
    JOB.init(directory, "--yes").ok()
    is_complete(directory)


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda text: text.replace("\n", "\r\n"), id="made on Windows (CRLF)"),
        pytest.param(lambda text: text.replace("NodeId", "nodeid").replace("NumUnits", "NUMUNITS"), id="any key case"),
        pytest.param(lambda text: text.replace('=",', '",'), id="base64 without padding"),
        pytest.param(lambda text: text.replace("{", '{"Nonce": null, "LastPosition": null, "X": 1,', 1), id="null"),
        pytest.param(lambda text: json.dumps(json.loads(text)) + "\n", id="one line"),
    ],
)
def test_metadata_that_either_reader_accepts(half: Path, change: Callable[[str], str]) -> None:
    # the nonce of this set is in what is missing, so nothing of it can have been there
    cli.edit_metadata(half, lambda text: change(encode(replace(JOB.metadata(), nonce=None, nonce_value=None))))
    JOB.init(half).ok()
    assert cli.data_files(half) == JOB.files()
    expected = json.loads(encode(JOB.metadata()))
    found = json.loads(cli.metadata_text(half))
    assert {key: value for key, value in found.items() if key != "X"} == expected
    assert ("X" in found) == ('"X"' in change(encode(JOB.metadata())))  # an unknown field is kept


@pytest.mark.parametrize("complete", [True, False], ids=["complete", "incomplete"])
def test_nonce_value_null(tmp_path: Path, complete: bool) -> None:
    directory = JOB.make(tmp_path / "post")
    if not complete:
        os.truncate(directory / "postdata_3.bin", 160)
    cli.edit_metadata(directory, with_value("NonceValue", None))
    JOB.init(directory).ok()
    is_complete(directory)


def test_nonce_value_null_without_a_nonce_does_not_hide_the_candidates(tmp_path: Path) -> None:
    directory = JOB.make(tmp_path / "post")
    for path in directory.glob("*.bin"):
        path.unlink()
    (directory / "postdata_0.bin").write_bytes(JOB.data()[:16])
    cli.edit_metadata(directory, lambda text: with_value("NonceValue", None)(without("Nonce")(text)))
    JOB.init(directory).ok()
    is_complete(directory)


# -- one writer ------------------------------------------------------------------------------------------------

HOLD = """
import sys, time
from pathlib import Path
from prover.post.storage import Storage
with Storage(Path(sys.argv[1])).lock():
    print("held", flush=True)
    time.sleep(60)
"""


def test_second_process_on_the_same_directory(half: Path) -> None:
    holder = cli.start(half, script=HOLD)
    assert holder.stdout is not None
    try:
        assert holder.stdout.readline() == "held\n"
        before = snapshot(half)
        for words in (JOB.options(half), ["repair", half], ["nonce", half]):
            smesher(*words).refused(1, holder.pid, half)
            assert f"{holder.pid}" in cli.words_of(smesher(*words).text)
        assert smesher("info", half).code == 0  # readers need no lock
        assert smesher("verify", half).code == 1  # files are short
        assert {name: snapshot(half)[name] for name in before} == before
    finally:
        holder.kill()
        holder.communicate()
    JOB.init(half).ok()  # the lock of a dead process binds nobody
    is_complete(half)


def test_second_process_waits_for_a_real_run(tmp_path: Path) -> None:
    job = Job(units=1, labels_per_unit=2**20, max_file_size=2**24, scrypt_n=1024)
    child = cli.start(*job.options(tmp_path / "post"))
    try:
        cli.wait_for(lambda: any((tmp_path / "post").glob("*.bin")), child)
        job.init(tmp_path / "post").refused(1, child.pid)
        child.send_signal(signal.SIGTERM)
        assert cli.finish(child).code == 130
    finally:
        child.kill()
    assert not (tmp_path / "post" / "smesher.lock").exists()


# -- signals ---------------------------------------------------------------------------------------------------

LONG = Job(units=3, labels_per_unit=2**15, max_file_size=2**19, scrypt_n=1024)


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[tuple[float, dict[str, Any]]]]:
    """A run of `LONG` that takes some seconds, with the time at which each event came."""
    directory = tmp_path_factory.mktemp("uninterrupted") / "post"
    child = cli.start(*LONG.options(directory, "--throttle", 40, "--json"))
    assert child.stdout is not None
    said = [(time.monotonic(), json.loads(line)) for line in child.stdout]
    assert cli.finish(child).code == 0
    return directory, said


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("as_json", [True, False], ids=["json", "text"])
def test_ctrl_c_sigterm(
    tmp_path: Path, uninterrupted: tuple[Path, object], number: signal.Signals, as_json: bool
) -> None:
    directory = tmp_path / "post"
    child = cli.start(*LONG.options(directory, "--throttle", 60, *(["--json"] if as_json else [])))
    try:
        cli.wait_for(lambda: sum(map(len, cli.data_files(directory).values())) > 100_000, child)
        sent = time.monotonic()
        child.send_signal(number)
        result = cli.finish(child, timeout=30)
        assert time.monotonic() - sent < 5
    finally:
        child.kill()
    assert result.code == 130, result.text
    held = b"".join(content for _, content in sorted(cli.data_files(directory).items()))
    assert len(held) % 16 == 0 and 0 < len(held) < LONG.num_labels * 16
    if as_json:
        assert result.last["event"] == "error" and result.last["code"] == 130
    assert f"{len(held) // 16} of {LONG.num_labels} labels" in result.text
    assert "same command again" in result.text
    # the metadata is true
    metadata = cli.metadata_of(directory)
    if metadata.nonce is not None:
        label = LONG.labels32(metadata.nonce, 1)[0].tobytes()
        assert metadata.nonce_value == label[:16] and label < vrf_difficulty(LONG.num_labels)
    assert not (directory / "smesher.lock").exists()
    LONG.init(directory).ok()
    assert cli.data_files(directory) == cli.data_files(uninterrupted[0])
    assert cli.metadata_text(directory) == cli.metadata_text(uninterrupted[0])


def test_ctrl_c_sigterm_before_the_first_label(tmp_path: Path) -> None:
    directory = tmp_path / "post"
    child = cli.start(*LONG.options(directory, "--throttle", 60))
    try:
        cli.wait_for(lambda: (directory / "smesher.lock").exists(), child)
        child.send_signal(signal.SIGTERM)
        result = cli.finish(child, timeout=30)
    finally:
        child.kill()
    assert result.code == 130, f"exit {result.code}: {result.text}"


SLOW_DISK = """
import sys, time
from api.cli.main import main
from prover.post import vrf_nonce
from prover.post.storage import Storage
vrf_nonce.READ_BYTES = 16
read = Storage.read
def slow(self, name, offset, size):
    if size == 16 and "scan" in (self.path / "phase").read_text():
        time.sleep(0.2)
    return read(self, name, offset, size)
Storage.read = slow
sys.exit(main())
"""


@pytest.mark.parametrize("command", ["init", "nonce"])
def test_ctrl_c_sigterm_while_data_is_searched_for_the_nonce(filled: Path, command: str) -> None:
    cli.edit_metadata(filled, lambda text: encode(replace(JOB.metadata(), nonce=None, nonce_value=None)))
    (filled / "phase").write_text("scan")  # 256 reads of 0.2 seconds
    words = JOB.options(filled) if command == "init" else ["nonce", filled]
    child = cli.start(*words, script=SLOW_DISK)
    try:
        time.sleep(3)
        assert child.poll() is None
        sent = time.monotonic()
        child.send_signal(signal.SIGTERM)
        try:
            result = cli.finish(child, timeout=8)
        except AssertionError:
            raise AssertionError("it did not stop within 8 seconds") from None
        assert time.monotonic() - sent < 5
    finally:
        child.kill()
    assert result.code == 130, f"exit {result.code}: {result.text}"


def test_ctrl_c_sigterm_while_labels_are_checked_after_a_power_cut(tmp_path: Path) -> None:
    job = Job(units=1, labels_per_unit=2048, max_file_size=2**15, scrypt_n=8192)
    directory = job.make(tmp_path / "post")
    os.truncate(directory / "postdata_0.bin", 2**15 - 160)
    (directory / "smesher.json").write_text('{"ScryptN": 8192, "BootId": "an earlier one", "Durable": {"0": 5}}\n')
    child = cli.start(*job.options(directory, "--throttle", 2))  # many seconds, most of them at rest
    try:
        assert child.stderr is not None
        while "checking its last 2033 labels" not in (line := child.stderr.readline()):
            assert line, cli.finish(child).text
        time.sleep(0.3)
        sent = time.monotonic()
        child.send_signal(signal.SIGTERM)
        result = cli.finish(child, timeout=60)
    finally:
        child.kill()
    assert time.monotonic() - sent < 5
    assert result.code == 130, result.text
    job.init(directory).ok()
    is_complete(directory, job)


# -- devices ---------------------------------------------------------------------------------------------------


def a_device(number: int | None, name: str, kind: str, **more: Any) -> Device:
    """A device that exists in name only."""
    fields: dict[str, Any] = {
        "id": number,
        "name": name,
        "device_class": kind,
        "backend": "cpu",
        "platform": "NVIDIA CUDA",
        "vendor": "NVIDIA",
        "driver": "550",
        "memory_bytes": 2**33,
        "compute_units": 80,
    }
    return Device(**{**fields, **more})


GPUS = [
    a_device(0, "[GPU] NVIDIA CUDA/NVIDIA GeForce RTX 3090", "GPU", pci="0000:01:00.0"),
    a_device(1, "[GPU] NVIDIA CUDA/NVIDIA GeForce RTX 4090", "GPU", pci="0000:02:00.0"),
]


def test_gpu_with_no_device(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cpus = [one for one in device.devices() if one.device_class == "CPU"]
    monkeypatch.setattr(device, "devices", lambda: cpus)
    monkeypatch.setattr(device, "passed_over", lambda: [PassedOver("OpenCL", "no driver library libOpenCL")])
    options = [word for word in JOB.options(tmp_path / "post") if word != "--cpu"]
    smesher(*options, "--gpu").refused(
        3, "No GPU", "OpenCL: no driver library libOpenCL", cpus[0].name, "--cpu", "pocl"
    )
    assert not any((tmp_path / "post").glob("*"))


def test_provider_that_matches_none(tmp_path: Path) -> None:
    result = JOB.init(tmp_path / "post", "--provider", "voodoo")
    cpu = next(one for one in device.devices() if one.id == device.CPU_ID)
    result.refused(2, "voodoo", cpu.name, cpu.id)
    assert not any((tmp_path / "post").glob("*"))


def test_provider_that_matches_several(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device, "devices", lambda: [*GPUS, a_device(device.CPU_ID, "[CPU] Zen", "CPU")])
    result = JOB.init(tmp_path / "post", "--provider", "geforce")
    result.refused(2, "geforce", GPUS[0].name, GPUS[1].name, "id")
    assert "Zen" not in result.text
    assert not any((tmp_path / "post").glob("*"))
    last = JOB.init(tmp_path / "post", "--provider", "geforce", "--json").last
    assert (last["event"], last["code"]) == ("error", 2) and GPUS[1].name in last["message"]


@pytest.mark.parametrize("selector", ["cpu", "CPU", "4294967295", "numba"])
def test_provider_selectors(tmp_path: Path, selector: str) -> None:
    options = [word for word in JOB.options(tmp_path / "post") if word != "--cpu"]
    smesher(*options, "--provider", selector, "--provider", "cpu").ok()
    is_complete(tmp_path / "post")


# == what init makes ===========================================================================================


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "vector" in metafunc.fixturenames:
        file = Path(metafunc.config.getoption("--vectors")) / "post" / "pos.json"
        cases = json.loads(file.read_text())["cases"] if file.is_file() else []
        metafunc.parametrize("vector", cases, ids=[case["name"] for case in cases])


def test_data_and_metadata_as_the_reference_makes_them(tmp_path: Path, vector: dict[str, Any]) -> None:
    job = Job(
        units=vector["num_units"],
        labels_per_unit=int(vector["labels_per_unit"]),
        max_file_size=int(vector["max_file_size"]),
        scrypt_n=vector["n"],
        atx_id=vector["commitment_atx_id"],
        node_id=vector["node_id"],
    )
    result = job.init(tmp_path / "post", "--json")
    if job.num_labels < 9:
        result.refused(2, "9")
        return
    if job.max_file_size % 16:
        result.refused(2, "--max-file-size", job.max_file_size, "multiple of 16", job.max_file_size // 16 * 16)
        return
    go = vector["post_go"]
    assert cli.metadata_text(tmp_path / "post") == go["metadata_text"]
    files = sorted(cli.data_files(tmp_path / "post").items(), key=lambda item: int(re.sub(r"\D", "", item[0])))
    assert hashlib.sha256(b"".join(content for _, content in files)).hexdigest() == vector["all_labels_sha256"]
    if isinstance(vector["files"], list):
        assert [
            {"name": name, "size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
            for name, content in files
        ] == vector["files"]
    last = result.last
    assert (last["event"], last["labels"], last["complete"]) == ("done", job.num_labels, True)
    assert (str(last["nonce"]), last["nonce_value"]) == (go["nonce"], go["nonce_value"])


def test_file_modes(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        job = replace(JOB, atx_id=ATX_ID)
        options = job.options(tmp_path / "a" / "post")
        at = options.index("--node-id")
        smesher(*options[:at], *options[at + 2 :]).ok()
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a" / "post").stat().st_mode) == 0o700
    files = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "a" / "post").iterdir()}
    names = {*JOB.files(), "postdata_metadata.json", "smesher.json", "identity.key"}
    assert files == dict.fromkeys(names, 0o600)


def test_scrypt_n_is_recorded(tmp_path: Path) -> None:
    JOB.init(tmp_path / "post").ok()
    assert json.loads((tmp_path / "post" / "smesher.json").read_text()) == {"ScryptN": 2}


def test_scrypt_n_is_recorded_for_complete_data_of_other_programs(tmp_path: Path) -> None:
    directory = JOB.make(tmp_path / "post", record=False)
    JOB.init(directory).ok()
    assert json.loads((directory / "smesher.json").read_text())["ScryptN"] == 2
    is_complete(directory)


def test_any_number_of_threads_makes_the_same_bytes(tmp_path: Path) -> None:
    for threads in (1, 2, 5):
        JOB.init(tmp_path / str(threads), "--threads", threads).ok()
        is_complete(tmp_path / str(threads))


def test_complete_data_is_left_as_it_is(filled: Path) -> None:
    before = snapshot(filled)
    result = JOB.init(filled, "--json").ok()
    assert snapshot(filled) == before
    assert (result.last["labels"], result.last["complete"]) == (0, True)


def test_resume_needs_only_the_parameters_of_the_network(half: Path) -> None:
    smesher("init", "--data-dir", half, "--labels-per-unit", 64, "--scrypt-n", 2, "--cpu").ok()
    is_complete(half)


def test_network_presets(tmp_path: Path) -> None:
    smesher(
        *("init", "--data-dir", tmp_path / "fast", "--num-units", 2, "--network", "fastnet", "--cpu"),
        *("--node-id", NODE_ID, "--commitment-atx-id", ATX_ID),
    ).ok()
    is_complete(tmp_path / "fast", Job(units=2, labels_per_unit=128, max_file_size=2**32))


@pytest.mark.parametrize(
    ("more", "facts"),
    [
        (["--network", "fastnett"], ["fastnett", "fastnet", "mainnet"]),
        (["--num-units", 5, "--max-num-units", 4], ["--num-units", "5", "4"]),
        (["--num-units", 1, "--min-num-units", 2], ["--num-units", "1", "2"]),
        (["--num-units", 0], ["--num-units", "0"]),
        (["--labels-per-unit", 0], ["--labels-per-unit"]),
        (["--labels-per-unit", 2], ["8 labels", "9"]),
        (["--labels-per-unit", 2**62], ["--num-units", "--labels-per-unit"]),
        (["--max-file-size", 1000], ["--max-file-size", "1000", "1024"]),
        (["--max-file-size", 1030], ["--max-file-size", "1030", "16", "1024"]),
        (["--scrypt-n", 0], ["0", "power of two"]),
        (["--scrypt-n", 1], ["1", "power of two"]),
        (["--scrypt-n", 100], ["100", "power of two"]),
        (["--commitment-atx-id", "22" * 31], ["--commitment-atx-id", "62", "64"]),
        (["--commitment-atx-id", "zz" * 32], ["--commitment-atx-id", "hex"]),
        (["--node-id", "11"], ["--node-id", "64"]),
        (["--from-file", -1], ["--from-file", "-1"]),
        (["--to-file", 4], ["--to-file", "4"]),
        (["--from-file", 2, "--to-file", 1], ["--from-file 2", "--to-file 1"]),
        (["--threads", 0], ["--threads"]),
        (["--throttle", 0], ["--throttle"]),
        (["--throttle", 101], ["--throttle", "101"]),
        (["--throttle", "much"], ["--throttle", "much"]),
        (["--num-units", "x"], ["--num-units", "x"]),
        (["--nonsense"], ["--nonsense"]),
        (["--identity", "/nowhere"], ["--identity", "--node-id"]),
    ],
    ids=lambda value: " ".join(map(str, value)),
)
def test_parameters_that_make_no_sense(tmp_path: Path, more: list[object], facts: list[str]) -> None:
    JOB.init(tmp_path / "post", *more).refused(2, *facts)
    result = JOB.init(tmp_path / "post", *more, "--json")
    assert (result.last["event"], result.last["code"]) == ("error", 2)
    assert all(fact in result.last["message"] for fact in facts)
    assert result.err == ""
    assert not any((tmp_path / "post").glob("*"))


@pytest.mark.parametrize("missing", ["--num-units", "--commitment-atx-id", "--data-dir"])
def test_what_a_new_directory_needs(tmp_path: Path, missing: str) -> None:
    options = JOB.options(tmp_path / "post")
    at = options.index(missing)
    smesher(*options[:at], *options[at + 2 :]).refused(2, missing)
    assert not (tmp_path / "post").exists()


# -- identity --------------------------------------------------------------------------------------------------


def without_identity(directory: Path, *more: object) -> list[object]:
    """The options of `JOB` without a node id."""
    options = JOB.options(directory, *more)
    at = options.index("--node-id")
    return [*options[:at], *options[at + 2 :]]


def make_key(path: Path) -> str:
    """Writes a key file; returns its node id."""
    from nacl.signing import SigningKey

    key = SigningKey(hashlib.sha256(str(path).encode()).digest())
    path.write_text(key.encode().hex() + key.verify_key.encode().hex())
    return key.verify_key.encode().hex()


def test_an_identity_is_made_once_and_never_overwritten(tmp_path: Path) -> None:
    from nacl.signing import SigningKey

    directory = tmp_path / "post"
    smesher(*without_identity(directory)).ok().refused(0, directory / "identity.key", "secret")
    key_file = directory / "identity.key"
    written = key_file.read_bytes()
    assert re.fullmatch(rb"[0-9a-f]{128}", written)
    assert stat.S_IMODE(key_file.stat().st_mode) == 0o600
    key = bytes.fromhex(written.decode())
    assert SigningKey(key[:32]).verify_key.encode() == key[32:]
    assert cli.metadata_of(directory).node_id == key[32:]
    before = snapshot(directory)
    smesher(*without_identity(directory)).ok()
    smesher(*without_identity(directory, "--node-id", key[32:].hex())).ok()
    assert snapshot(directory) == before
    # the data goes, the key stays and counts
    for path in directory.iterdir():
        if path.name != "identity.key":
            path.unlink()
    result = smesher(*without_identity(directory, "--json")).ok()
    assert result.last["node_id"] == key[32:].hex()
    assert key_file.read_bytes() == written
    assert written.decode() not in result.text


def test_no_identity_is_made_when_one_is_given(tmp_path: Path) -> None:
    JOB.init(tmp_path / "a").ok()
    node_id = make_key(tmp_path / "my.key")
    result = smesher(*without_identity(tmp_path / "b", "--identity", tmp_path / "my.key", "--json")).ok()
    assert result.last["node_id"] == node_id
    is_complete(tmp_path / "b", replace(JOB, node_id=node_id))
    assert not (tmp_path / "a" / "identity.key").exists()
    smesher(*without_identity(tmp_path / "b", "--identity", tmp_path / "my.key")).ok()


@pytest.mark.parametrize("how", ["--node-id", "--identity", "metadata"])
def test_an_identity_that_does_not_match(filled: Path, tmp_path: Path, how: str) -> None:
    in_directory = make_key(filled / "identity.key")
    other = make_key(tmp_path / "other.key")
    more = {"--node-id": ["--node-id", other], "--identity": ["--identity", tmp_path / "other.key"], "metadata": []}
    before = snapshot(filled)
    asked = NODE_ID if how == "metadata" else other
    smesher(*without_identity(filled, *more[how])).refused(2, "identity.key", in_directory, asked)
    assert snapshot(filled) == before


@pytest.mark.parametrize("content", ["", "ab" * 63, "zz" * 64, "ab" * 64])
def test_an_identity_that_is_none(tmp_path: Path, content: str) -> None:
    key = tmp_path / "post" / "identity.key"
    key.parent.mkdir()
    key.write_text(content)
    result = smesher(*without_identity(tmp_path / "post")).refused(2, key)
    assert not content or content not in result.text, "the key was shown"
    assert key.read_text() == content
    smesher(*without_identity(tmp_path / "b", "--identity", key)).refused(2, key)


def test_an_identity_file_that_is_not_there(tmp_path: Path) -> None:
    smesher(*without_identity(tmp_path / "post", "--identity", tmp_path / "no.key")).refused(2, tmp_path / "no.key")
    assert not (tmp_path / "post").exists()


# -- growing ---------------------------------------------------------------------------------------------------


def commitment_atx(fits: Callable[[Job], bool], job: Job) -> Job:
    """The first of the jobs with commitment ATX 0, 1, 2 … that fits."""
    return next(one for number in range(1000) if fits(one := replace(job, atx_id=f"{number:064x}")))


@pytest.mark.parametrize("complete", [True, False], ids=["complete", "incomplete"])
@pytest.mark.parametrize("kept", [True, False], ids=["nonce kept", "nonce dropped"])
def test_grow(tmp_path: Path, kept: bool, complete: bool) -> None:
    small = Job(units=3, labels_per_unit=100, max_file_size=2048)
    stricter = vrf_difficulty(1000)

    def fits(job: Job) -> bool:
        (_, label), (_, beyond) = job.smallest(), job.smallest(300, 700)
        # kept: valid for the larger set, and smaller than all of the new part
        return (label < stricter) == kept and (label < vrf_difficulty(300)) and (label < beyond) == kept

    job = commitment_atx(fits, small)
    grown = replace(job, units=10)
    directory = job.make(tmp_path / "post")
    if not complete:
        os.truncate(directory / "postdata_2.bin", 100)
    result = grown.init(directory, "--grow", "--json").ok()
    is_complete(directory, grown)
    assert (cli.metadata_of(directory).nonce == job.metadata().nonce) == kept
    assert result.last["labels"] == (700 if complete else 700 + 44 - 6)
    assert (result.last["complete"], result.last["labels_on_disk"]) == (True, 1000)


def test_grow_searches_beyond_when_no_label_suffices(tmp_path: Path) -> None:
    small = Job(units=1, atx_id=f"{3240:064x}", labels_per_unit=32)
    directory = small.make(tmp_path / "post")
    grown = replace(small, units=2)
    assert cli.metadata_of(directory).nonce is None or grown.smallest()[1] >= vrf_difficulty(64)
    grown.init(directory, "--grow").ok()
    assert cli.data_files(directory) == grown.files()
    metadata = cli.metadata_of(directory)
    assert metadata.nonce == grown.smallest(64, 2**20)[0]
    assert metadata.last_position == 64


def test_grow_with_the_same_or_fewer_units_grows_nothing(filled: Path) -> None:
    JOB.init(filled, "--grow").ok()
    is_complete(filled)
    JOB.init(filled, "--grow", "--num-units", 3).refused(2, "--yes")
    is_complete(filled)


# -- the search beyond the data --------------------------------------------------------------------------------


def test_no_nonce_in_the_data(tmp_path: Path) -> None:
    job = Job(units=1, atx_id=NO_NONCE_IN_64)
    result = job.init(tmp_path / "post", "--json").ok()
    index, label = job.smallest(64, 2**20)
    assert cli.data_files(tmp_path / "post") == job.files()
    expected = replace(job.metadata(), nonce=index, nonce_value=label[:16], last_position=64)
    assert cli.metadata_text(tmp_path / "post") == encode(expected)
    assert (result.last["nonce"], result.last["nonce_value"]) == (index, label[:16].hex())
    assert result.last["labels"] == 64
    before = snapshot(tmp_path / "post")
    job.init(tmp_path / "post").ok()
    assert snapshot(tmp_path / "post") == before


def test_no_search_beyond_the_data_in_a_part_of_the_files(tmp_path: Path) -> None:
    # file 0 holds all that an honest set of 64 labels would, and none of it is a nonce for 128 either
    job = Job(units=2, atx_id=NO_NONCE_IN_64)
    result = job.init(tmp_path / "post", "--from-file", 0, "--to-file", 0, "--json").ok()
    assert (result.last["complete"], result.last["nonce"], result.last["nonce_value"]) == (False, None, None)
    assert cli.metadata_of(tmp_path / "post") == replace(job.metadata(), nonce=None, nonce_value=None)


# -- parts of the data -----------------------------------------------------------------------------------------


def test_from_file_and_to_file(tmp_path: Path) -> None:
    directory = tmp_path / "post"
    JOB.init(directory, "--from-file", 1, "--to-file", 2).ok()
    files = JOB.files()
    assert cli.data_files(directory) == {name: files[name] for name in ("postdata_1.bin", "postdata_2.bin")}
    JOB.init(directory, "--to-file", 0).ok()
    JOB.init(directory, "--from-file", 3).ok()
    is_complete(directory)


def test_a_subset_run_still_refuses_what_is_beyond(filled: Path) -> None:
    (filled / "postdata_7.bin").write_bytes(bytes(16))
    before = snapshot(filled)
    JOB.init(filled, "--from-file", 0, "--to-file", 0).refused(1, "postdata_7.bin", "--yes")
    assert snapshot(filled) == before


# -- a list of directories -------------------------------------------------------------------------------------


def test_toml_list(tmp_path: Path) -> None:
    jobs = tmp_path / "jobs.toml"
    jobs.write_text(
        f'directories = ["{tmp_path}/a", {{ data-dir = "{tmp_path}/b", num-units = 2, node-id = "{OTHER}" }}]\n'
    )
    result = JOB.init(jobs, "--json").ok()
    is_complete(tmp_path / "a")
    is_complete(tmp_path / "b", replace(JOB, units=2, node_id=OTHER))
    assert [event["data_dir"] for event in result.named("done")] == [f"{tmp_path}/a", f"{tmp_path}/b"]
    assert result.last["event"] == "done"
    JOB.init(jobs).ok()


@pytest.mark.parametrize(
    ("text", "facts"),
    [
        ("directories = [", ["TOML"]),
        ("", ["directories"]),
        ("directories = []", ["directories"]),
        ("directores = ['a']", ["directores", "directories"]),
        ("directories = [5]", ["directories[0]"]),
        ("directories = ['HERE/a', {num-units = 2}]", ["directories[1]", "data-dir"]),
        ("directories = [{data-dir = 'HERE/a', num-unit = 2}]", ["num-unit", "num-units"]),
        ("directories = [{data-dir = 'HERE/a', num-units = 'two'}]", ["num-units", "two", "whole number"]),
        ("directories = [{data-dir = 'HERE/a', num-units = true}]", ["num-units", "True"]),
        ("directories = [{data-dir = 'HERE/a', num-units = -1}]", ["num-units", "-1"]),
        ("directories = ['HERE/a', 'HERE/b/../a']", ["HERE/a", "once"]),
        ("directories = [{data-dir = 'HERE/a', node-id = '00', identity = 'x'}]", ["node-id", "identity"]),
        ("directories = [{data-dir = 'HERE/a', max-file-size = 1030}]", ["1030"]),
    ],
)
def test_toml_list_that_makes_no_sense(tmp_path: Path, text: str, facts: list[str]) -> None:
    jobs = tmp_path / "jobs.toml"
    jobs.write_text(text.replace("HERE", str(tmp_path)))
    JOB.init(jobs).refused(2, *(fact.replace("HERE", str(tmp_path)) for fact in facts))
    assert [path.name for path in tmp_path.iterdir()] == ["jobs.toml"]


# -- throttle and output ---------------------------------------------------------------------------------------


def test_throttle(tmp_path: Path) -> None:
    job = Job(units=2, labels_per_unit=4096, max_file_size=2**20, scrypt_n=1024)
    full = job.init(tmp_path / "full", "--json").ok().last["seconds"]
    slow = job.init(tmp_path / "slow", "--json", "--throttle", "15%").ok().last["seconds"]
    assert cli.data_files(tmp_path / "full") == cli.data_files(tmp_path / "slow") == job.files()
    assert slow > 1.5 * full  # about six times as long where nothing else runs


def test_json_is_one_object_a_line_with_progress_at_most_once_a_second(
    uninterrupted: tuple[Path, list[tuple[float, dict[str, Any]]]],
) -> None:
    directory, said = uninterrupted
    events = [event for _, event in said]
    done = events[-1]
    assert done["event"] == "done"
    metadata = cli.metadata_of(directory)
    assert metadata.nonce_value is not None
    assert (done["labels"], done["nonce"]) == (LONG.num_labels, metadata.nonce)
    assert done["nonce_value"] == metadata.nonce_value.hex()
    assert done["seconds"] > 0
    assert done["labels_per_second"] == pytest.approx(done["labels"] / done["seconds"], rel=0.01)
    progress = [(moment, event) for moment, event in said if event["event"] == "progress"]
    assert progress, "a run of some seconds reports its progress"
    gaps = [after - before for (before, _), (after, _) in itertools.pairwise(progress)]
    assert all(gap > 0.8 for gap in gaps), gaps
    counts = [event["labels"] for _, event in progress]
    assert counts == sorted(counts) and all(0 < count <= LONG.num_labels for count in counts)
    assert all(event["total"] == LONG.num_labels and event["labels_per_second"] > 0 for _, event in progress)
    assert [event for event in events if event["event"] == "error"] == []


@pytest.mark.parametrize(
    "words",
    [
        ["init", "--json"],
        ["init", "--json", "--data-dir"],
        ["--json", "nonsense"],
        ["nonsense", "--json"],
        ["verify", "--json"],
        ["verify", "/nowhere/at/all", "--json"],
        ["info", "/nowhere/at/all", "--json"],
        ["verify", ".", "--fraction", "200", "--json"],
        ["providers", "--json", "--seconds", "x"],
    ],
    ids=" ".join,
)
def test_usage_errors_with_json_are_json(words: list[str]) -> None:
    result = smesher(*words)
    assert result.code == 2, result.text
    assert len(result.events) == 1
    assert (result.last["event"], result.last["code"]) == ("error", 2)
    assert result.last["message"]
    assert result.err == ""


def test_errors_without_json_go_to_standard_error(filled: Path) -> None:
    result = JOB.init(filled, "--num-units", 5)
    assert result.code == 2 and result.out == "" and "--grow" in result.err


@pytest.mark.parametrize("name", ["[/red]post", "[bold]post", "post [x]", "pöst ✓"])
def test_names_that_look_like_markup(tmp_path: Path, name: str) -> None:
    directory = tmp_path / name
    options = JOB.options(directory)
    result = smesher(*options).ok()
    assert name in result.text
    is_complete(directory)
    for words in (["info", directory], ["verify", directory], ["repair", directory], ["nonce", directory]):
        smesher(*words).ok()
    cli.damage(directory, "postdata_1.bin", 3)
    smesher("verify", directory, "--fraction", 100).refused(1, name, "smesher repair")
    smesher("repair", directory).ok()
    os.truncate(directory / "postdata_1.bin", 16)
    smesher("info", directory).ok().refused(0, name)


# -- help ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "words",
    [["--help"], [], *([command.name, "--help"] for command in COMMANDS if command.name != "poet")],
    ids=" ".join,
)
def test_help_is_instant(words: list[str]) -> None:
    script = """
import sys
from api.cli.main import main
code = main()
print("LOADED", *sorted({name.partition(".")[0] for name in sys.modules} & {"rich", "numba", "llvmlite", "cupy"}))
sys.exit(code)
"""
    if words and words[0] in ("merge", "bench") and not (cli.ROOT / "api" / "cli" / f"{words[0]}.py").exists():
        cli.not_checked(f"there is no command {words[0]} yet")
    began = time.monotonic()
    result = cli.run_child(*words, script=script)
    seconds = time.monotonic() - began
    assert result.code == 0, result.text
    text, _, loaded = result.out.rpartition("LOADED")
    assert loaded.split() == []
    assert "usage: smesher" in text
    assert seconds < 1.5, seconds
    if words in ([], ["--help"]):
        assert all(command.name in text for command in COMMANDS)


def test_version() -> None:
    try:
        importlib.metadata.version("smesher")
    except importlib.metadata.PackageNotFoundError:
        cli.not_checked("the package is not installed")
    result = smesher("--version").ok()
    assert re.fullmatch(r"smesher \d+\.\d+\.\d+.*\n", result.out)


# -- handlers are given back -----------------------------------------------------------------------------------


@pytest.fixture
def handlers() -> Iterator[None]:
    """Fails when a command leaves its signal handlers behind."""
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    yield
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


def test_a_command_leaves_no_thread_and_no_handler(tmp_path: Path, handlers: FrameType | None) -> None:
    before = threading.active_count()
    JOB.init(tmp_path / "post").ok()
    cli.wait_for(lambda: threading.active_count() <= before, timeout=10)
    assert init_module.SYNC_SECONDS <= 5
    assert sys.exc_info() == (None, None, None)
