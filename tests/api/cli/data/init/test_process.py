"""`smesher init` as a process: one writer at a time, signals, and what it gives back."""

from __future__ import annotations

import itertools
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from protocol.post.rules import vrf_difficulty
from prover.post.init import run as init_module
from prover.post.metadata import encode
from tests.api.cli.data.init.jobs import JOB, is_complete
from tests.support import cli
from tests.support.cli import Job, smesher, snapshot

# -- one writer ------------------------------------------------------------------------------------------------

HOLD = """
import sys, time
from pathlib import Path
from prover.post.directory import Storage
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
from prover.post.init import vrf_nonce
from prover.post.directory import Storage
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
