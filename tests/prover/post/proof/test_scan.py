"""The threads of a pass: pieces in their order, reads past the page cache, read errors, and an early end."""

from __future__ import annotations

import errno
import mmap
import os
import threading
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kernels.scan import aes
from prover import durable
from prover.errors import EnvironmentFault
from prover.post import directory as storage
from prover.post.directory import PAGE, Storage
from prover.post.layout import Layout
from prover.post.metadata import PostMetadata
from prover.post.proof import prove, scan
from prover.post.proof.prove import ProveParams, Prover
from prover.post.proof.scan import BATCH_BYTES, Batch, Batches, Scan

CHALLENGE = b"\x31" * 32


def plain_batches(layout: Layout, sizes: dict[int, int], size: int) -> list[Batch]:
    """Section 5.3 in one loop: files by number, pieces of at most `size`, whole chunks of 8 labels."""
    found: list[Batch] = []
    for file in sorted(sizes):
        for offset in range(0, min(sizes[file], layout.file_size(file)), size):
            labels = min(size, min(sizes[file], layout.file_size(file)) - offset) // 16 // 8 * 8
            if labels:
                found.append(Batch(len(found), file, offset, labels))
    return found


@settings(deadline=None)
@given(
    labels=st.integers(1, 4000),
    file_labels=st.integers(1, 700),
    missing=st.sets(st.integers(0, 8)),
    cut=st.integers(0, 9000),
    size=st.sampled_from([128, 1024, 4096]),
)
def test_batches_are_those_of_a_plain_loop(
    labels: int, file_labels: int, missing: set[int], cut: int, size: int
) -> None:
    layout = Layout(labels, file_labels * 16)
    sizes = {number: layout.file_size(number) for number in range(layout.num_files) if number not in missing}
    if sizes:
        sizes[min(sizes)] = cut  # shorter or longer than it should be
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scan, "BATCH_BYTES", size)
        batches = Batches(layout, sizes)
    expected = plain_batches(layout, sizes, size)
    assert [batches[number] for number in range(len(batches))] == expected
    assert batches.labels == sum(batch.labels for batch in expected)
    for number in range(len(expected) + 1):
        assert batches.labels_before(number) == sum(batch.labels for batch in expected[:number])
    for outside in (-1, len(expected)):
        with pytest.raises(IndexError):
            batches[outside]


def test_millions_of_batches_take_no_memory() -> None:
    tib = 1 << 40
    layout = Layout(4 * tib // 16, 4 << 30)
    batches = Batches(layout, dict.fromkeys(range(layout.num_files), 4 << 30))
    assert len(batches) == 4 << 20
    assert batches[len(batches) - 1] == Batch((4 << 20) - 1, 1023, (4 << 30) - BATCH_BYTES, 65536)


# -- reading --------------------------------------------------------------------------------------------------


def pages(size: int) -> np.ndarray:
    return np.frombuffer(mmap.mmap(-1, -(-size // PAGE) * PAGE), np.uint8)


@pytest.mark.parametrize("direct", [True, False])
@pytest.mark.parametrize(
    ("size", "offset"), [(3 * PAGE, 0), (3 * PAGE, PAGE), (2 * PAGE + 40, 0), (17, 0), (PAGE, PAGE)]
)
def test_what_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, direct: bool, size: int, offset: int) -> None:
    monkeypatch.setattr(storage, "DIRECT", direct and storage.DIRECT)
    content = os.urandom(size)
    (tmp_path / "f").write_bytes(content)
    target = pages(4 * PAGE)
    assert Storage(tmp_path).read_into("f", offset, target) == max(0, size - offset)
    assert target[: max(0, size - offset)].tobytes() == content[offset:]
    odd = bytearray(100)  # neither whole pages nor at the beginning of one
    count = Storage(tmp_path).read_into("f", 7, odd)
    assert bytes(odd[:count]) == content[7:107]


def test_a_file_system_without_direct_reads_is_read_the_ordinary_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused: list[int] = []

    class Os:
        O_DIRECT = 0o40000

        def __getattr__(self, name: str) -> object:
            return getattr(os, name)

        def open(self, path: Path, flags: int, mode: int = 0o777) -> int:
            if flags & self.O_DIRECT:
                refused.append(flags)
                raise OSError(errno.EINVAL, "Invalid argument")
            return os.open(path, flags, mode)

    for module in (durable, storage):
        monkeypatch.setattr(module, "os", Os())
    monkeypatch.setattr(storage, "DIRECT", True)
    (tmp_path / "f").write_bytes(b"x" * PAGE)
    target = pages(PAGE)
    assert Storage(tmp_path).read_into("f", 0, target) == PAGE and refused
    assert target.tobytes() == b"x" * PAGE


@pytest.mark.parametrize("direct", [True, False])
def test_read_errors_are_sentences(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, direct: bool) -> None:
    monkeypatch.setattr(storage, "DIRECT", direct and storage.DIRECT)
    with pytest.raises(EnvironmentFault, match="nothing: it is not there"):
        Storage(tmp_path).read_into("nothing", 0, pages(PAGE))

    def failing(*_: object) -> int:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(storage, "_read_directly" if direct and storage.DIRECT else "_read_buffered", failing)
    (tmp_path / "f").write_bytes(b"x")
    with pytest.raises(EnvironmentFault, match="f: the disk reports an input/output error"):
        Storage(tmp_path).read_into("f", 0, pages(PAGE))


# -- passes ---------------------------------------------------------------------------------------------------


def data_set(path: Path, files: int = 4, file_labels: int = 256) -> PostMetadata:
    """Labels of no commitment: only the pass looks at them."""
    source = np.random.default_rng(5)
    for number in range(files):
        (path / f"postdata_{number}.bin").write_bytes(source.bytes(file_labels * 16))
    return PostMetadata(bytes(32), bytes(32), files * file_labels, 1, file_labels * 16)


def hits_of(path: Path, metadata: PostMetadata, threads: int, stop: threading.Event | None = None) -> list[list[int]]:
    """What a pass finds, batch after batch."""
    batches = Batches(Layout(metadata.num_labels, metadata.max_file_size), Storage(path).data_files())
    scanner = aes.Scanner([bytes(16)] * 2, [bytes(16)] * 32, 20, 0)
    found = []
    for number, (batch, scanned) in enumerate(Scan(Storage(path), threads, stop=stop).in_order(batches, 0, scanner)):
        assert batch.number == number and not scanned.fault
        found.append(scanned.hits.tolist())
    return found


def test_results_come_in_order_whatever_the_threads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scan, "BATCH_BYTES", 128)
    metadata = data_set(tmp_path)
    one = hits_of(tmp_path, metadata, 1)
    assert len(one) == 128 and sum(map(len, one)) > 100
    assert hits_of(tmp_path, metadata, 5) == one


def test_threads_end_when_the_generator_is_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scan, "BATCH_BYTES", 128)
    metadata = data_set(tmp_path)
    batches = Batches(Layout(metadata.num_labels, metadata.max_file_size), Storage(tmp_path).data_files())
    scanner = aes.Scanner([bytes(16)], [bytes(16)] * 16, 0, 0)
    before = set(threading.enumerate())
    running = Scan(Storage(tmp_path), 3).in_order(batches, 5, scanner)
    assert next(running)[0].number == 5
    assert set(threading.enumerate()) - before
    running.close()
    assert set(threading.enumerate()) == before


def test_after_a_stop_nothing_more_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scan, "BATCH_BYTES", 128)
    metadata = data_set(tmp_path)
    stop = threading.Event()
    stop.set()
    reads: list[str] = []
    monkeypatch.setattr(Storage, "read_into", lambda self, name, *_: reads.append(name))
    assert hits_of(tmp_path, metadata, 2, stop) == [[]] * 128 and reads == []


def test_threads_are_pinned_to_the_processors_they_are_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if not hasattr(os, "sched_setaffinity"):
        pytest.skip("NOT CHECKED: this system pins no threads")
    core = min(os.sched_getaffinity(0))
    seen: list[set[int]] = []
    real = aes.Scanner.good

    def good(self: aes.Scanner, *words: object) -> object:
        seen.append(os.sched_getaffinity(0))
        return real(self, *words)  # type: ignore[arg-type]

    monkeypatch.setattr(aes.Scanner, "good", good)
    metadata = data_set(tmp_path)
    params = ProveParams(20, 4, 16, 1, (core,))
    assert prove.cores_for(1) == (core,)
    Prover(Storage(tmp_path), metadata, CHALLENGE, params, lambda group: 0).run()
    assert seen and all(one == {core} for one in seen)
    assert os.sched_getaffinity(0) >= {core}


class Dying(Storage):
    """A disk on which a file cannot be read from an offset on, for a while."""

    def __init__(self, path: Path, name: str, offset: int) -> None:
        super().__init__(path)
        self.name, self.offset = name, offset
        self.reads: list[tuple[str, int]] = []

    def read_into(self, name: str, offset: int, target: object) -> int:
        self.reads.append((name, offset))
        if name == self.name and offset >= self.offset:
            raise EnvironmentFault(f"Cannot read {self.path / name}: the disk reports an input/output error.")
        return super().read_into(name, offset, target)


@pytest.mark.parametrize("threads", [1, 4])
@pytest.mark.parametrize("offset", [0, 1024])
def test_after_a_read_error_the_rest_of_the_file_is_skipped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, threads: int, offset: int
) -> None:
    """The proof is that of data in which the file ends there; it is named, and the proof is marked."""
    monkeypatch.setattr(scan, "BATCH_BYTES", 512)
    metadata = data_set(tmp_path)
    params = ProveParams(40, 40, 32, threads)
    notes: list[str] = []
    disk = Dying(tmp_path, "postdata_1.bin", offset)
    prover = Prover(disk, metadata, CHALLENGE, params, lambda group: 0, note=notes.append)
    proof = prover.run()
    assert len(notes) == 1 and prover.weakened == notes
    assert "postdata_1.bin: the disk reports" in notes[0] and "rest of postdata_1.bin is skipped" in notes[0]
    with (tmp_path / "postdata_1.bin").open("r+b") as file:
        file.truncate(offset)
    whole = Prover(Storage(tmp_path), metadata, CHALLENGE, params, lambda group: 0)
    assert whole.run() == proof and whole.weakened == []


def test_a_file_is_left_alone_after_its_read_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A dying disk may take minutes for each read: only those that were under way are made."""
    monkeypatch.setattr(scan, "BATCH_BYTES", 128)
    metadata = data_set(tmp_path, files=2, file_labels=4096)
    disk = Dying(tmp_path, "postdata_0.bin", 1024)
    Prover(disk, metadata, CHALLENGE, ProveParams(30, 25, 64, 2), lambda group: 0).run()
    failed = [place for place in disk.reads if place[0] == "postdata_0.bin" and place[1] >= 1024]
    assert 1 <= len(failed) <= 2 + scan.AHEAD + scan.READERS


def test_a_file_that_could_not_be_read_stays_skipped_after_a_restart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk reads again after the restart: the pass goes on as it would have."""
    monkeypatch.setattr(scan, "BATCH_BYTES", 512)
    monkeypatch.setattr(prove, "SAVE_SECONDS", 0.0)
    data = tmp_path / "data"
    data.mkdir()
    metadata = data_set(data)
    params = ProveParams(40, 40, 32, 2)
    expected = Prover(Dying(data, "postdata_0.bin", 512), metadata, CHALLENGE, params, lambda group: 0).run()
    state = tmp_path / "state.json"

    def stop_early(phase: str, done: int, total: int) -> None:
        if phase == "labels":
            first.stop()

    disk = Dying(data, "postdata_0.bin", 512)
    first = Prover(disk, metadata, CHALLENGE, params, lambda group: 0, state_file=state, progress=stop_early)
    with pytest.raises(prove.Interrupted):
        first.run()
    # one batch was read, so the fault is not known yet; go on until it is
    steps = 0
    while '"Skipped": [0]' not in state.read_text():
        steps += 1
        first = Prover(disk, metadata, CHALLENGE, params, lambda group: 0, state_file=state, progress=stop_early)
        with pytest.raises(prove.Interrupted):
            first.run()
    second = Prover(Storage(data), metadata, CHALLENGE, params, lambda group: 0, state_file=state)
    assert second.run() == expected
    assert len(second.weakened) == 1 and "could not be read before" in second.weakened[0]


def test_a_file_that_is_shortened_during_the_pass(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scan, "BATCH_BYTES", 512)
    metadata = data_set(tmp_path)
    prover = Prover(Storage(tmp_path), metadata, CHALLENGE, ProveParams(40, 40, 32, 1), lambda group: 0)
    with (tmp_path / "postdata_1.bin").open("r+b") as file:
        file.truncate(700)
    proof = prover.run()
    (sentence,) = prover.weakened
    assert "postdata_1.bin ends at byte 700: it was shortened during the pass" in sentence
    again = Prover(Storage(tmp_path), metadata, CHALLENGE, ProveParams(40, 40, 32, 1), lambda group: 0)
    assert again.run() == proof and again.weakened == [], "as if it had been that short before"


def test_the_memory_of_a_pass_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No more pieces are in flight than threads and those ahead, however slowly results are taken."""
    monkeypatch.setattr(scan, "BATCH_BYTES", 128)
    metadata = data_set(tmp_path, files=8)
    disk = Dying(tmp_path, "", 0)
    batches = Batches(Layout(metadata.num_labels, metadata.max_file_size), disk.data_files())
    scanner = aes.Scanner([bytes(16)], [bytes(16)] * 16, 0, 0)
    running = Scan(disk, 2).in_order(batches, 0, scanner)
    for number in range(20):
        next(running)
        threading.Event().wait(0.02)
        assert len(disk.reads) <= number + 1 + 2 + scan.AHEAD
    running.close()
    assert BATCH_BYTES * (16 + scan.AHEAD) <= 40 << 20, "with sixteen threads"
