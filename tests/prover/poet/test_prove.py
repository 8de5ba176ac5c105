"""A round ends with the same proof whatever happens to it on the way: other kept layers, stops, kills, damage."""

from __future__ import annotations

import errno
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from protocol.crypto import merkle
from prover import durable
from prover.errors import DataError, EnvironmentFault, Interrupted, UsageError
from prover.poet.round import labels, layers, recovery
from prover.poet.round.extract import DamagedNodes, extract
from prover.poet.round.prove import Proof, ProverConfig, RoundProver
from prover.poet.round.verify import verify

STATEMENT = b"hello world, this is a challenge"
LEAVES = 700
REPOSITORY = Path(__file__).resolve().parents[3]


def config(directory: Path, height: int = 0, **other: Any) -> ProverConfig:
    return ProverConfig(directory, kept_height=height, **other)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Proof:
    return RoundProver(config(tmp_path_factory.mktemp("whole")), STATEMENT).run(leaves=LEAVES)


@pytest.fixture(scope="module")
def all_labels() -> list[bytes]:
    """Labels of the round by the definition, with nothing of the prover in it."""
    tree = merkle.StreamTree(labels.node_of(STATEMENT))
    found = []
    for index in range(LEAVES):
        found.append(labels.label(STATEMENT, index, tree._slots))
        tree.add(found[-1])
    return found


def test_the_proof_is_what_the_definition_gives(whole: Proof, all_labels: list[bytes]) -> None:
    join = labels.node_of(STATEMENT)
    assert whole.root == merkle.root_of(all_labels, join)
    verify(whole.merkle_proof, STATEMENT, LEAVES)
    known = {300: "ff5710870c097be6b71841b5f78fc4854bc729851bbe65f6ae0be26848e4b12a"}
    for count, root in known.items():
        assert merkle.root_of(all_labels[:count], join).hex() == root


# ---- deadlines, stops ----


def test_a_deadline_that_has_passed_gives_the_least_number_of_leaves(tmp_path: Path) -> None:
    proof = RoundProver(config(tmp_path), STATEMENT, clock=lambda: 10.0).run(10.0)
    assert proof.num_leaves == 150
    assert proof.poet_proof.ref().hex() == "afe66a373d87685cda5c2994a2b126f256d163685afa76449ebe98ba284ce87c"


def test_a_round_ends_at_its_deadline_by_the_given_clock(tmp_path: Path) -> None:
    began = time.monotonic()
    times: list[float] = []
    prover = RoundProver(config(tmp_path, checkpoint_s=0.05), STATEMENT, clock=lambda: 1000 + time.monotonic() - began)
    proof = prover.run(1000.4, on_progress=lambda p: times.append(time.monotonic()))
    assert proof.num_leaves > 1000
    assert len(times) > 4
    verify(proof.merkle_proof, STATEMENT, proof.num_leaves)


def test_a_clock_that_jumps_ahead_ends_the_round(tmp_path: Path) -> None:
    now = [0.0]
    prover = RoundProver(config(tmp_path), STATEMENT, clock=lambda: now[0])
    threading.Timer(0.3, lambda: now.__setitem__(0, 10.0**9)).start()
    assert prover.run(10.0**6).num_leaves >= 150


@pytest.mark.parametrize("height", [0, 3, 9, 20])
def test_stopped_and_resumed_anywhere_it_ends_alike(height: int, whole: Proof, tmp_path: Path) -> None:
    for stop_at in (1, 149, 150, 511, 512, 699):
        prover = RoundProver.resume(config(tmp_path, height), STATEMENT)
        prover.stop(at_leaves=stop_at)
        with pytest.raises(Interrupted):
            prover.run(leaves=LEAVES)
        assert prover.leaves_done == stop_at
    prover = RoundProver.resume(config(tmp_path, height), STATEMENT)
    assert prover.recovery.leaves == 699 >> height << height
    assert not prover.recovery.notes
    assert prover.run(leaves=LEAVES) == whole


def test_stop_from_another_thread(tmp_path: Path) -> None:
    prover = RoundProver(config(tmp_path), STATEMENT)
    threading.Timer(0.3, prover.stop).start()
    began = time.monotonic()
    with pytest.raises(Interrupted, match="resume it"):
        prover.run(leaves=10**12)
    assert time.monotonic() - began < 3
    assert prover.durable_leaves == prover.leaves_done > 0


def test_a_round_that_had_ended_keeps_its_number_of_leaves(tmp_path: Path, whole: Proof) -> None:
    assert RoundProver(config(tmp_path, 4), STATEMENT).run(leaves=LEAVES) == whole
    # killed before the proof was stored: the deadline is long past, and would now allow more
    assert RoundProver.resume(config(tmp_path, 4), STATEMENT, clock=lambda: 0.0).run(10.0**9) == whole


def test_what_is_there_is_not_overwritten(tmp_path: Path) -> None:
    RoundProver(config(tmp_path), STATEMENT).run(leaves=150)
    with pytest.raises(UsageError, match="resume"):
        RoundProver(config(tmp_path), STATEMENT)
    with pytest.raises(UsageError, match="statement"):
        RoundProver.resume(config(tmp_path), b"another")
    with pytest.raises(UsageError, match="more than the 100"):
        prover = RoundProver.resume(config(tmp_path / "other"), STATEMENT)
        prover.stop(at_leaves=120)
        with pytest.raises(Interrupted):
            prover.run(leaves=200)
        RoundProver.resume(config(tmp_path / "other"), STATEMENT).run(leaves=100)
    layers.remove_round(tmp_path)
    assert RoundProver(config(tmp_path), STATEMENT).run(leaves=150).num_leaves == 150


# ---- kills ----


@dataclass(frozen=True)
class Deed:
    """One change that the prover made to a file."""

    name: str
    offset: int
    data: bytes | None
    """None: the file was cut at the offset."""


@pytest.fixture
def recorded(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Deed]]:
    """All that is written to a round's files, in order."""
    deeds: list[Deed] = []
    write, truncate = durable.write_all_at, layers._truncate

    def name(descriptor: int) -> str:
        return Path(os.readlink(f"/proc/self/fd/{descriptor}")).name

    def write_at(descriptor: int, data: bytes, offset: int) -> None:
        deeds.append(Deed(name(descriptor), offset, bytes(data)))
        write(descriptor, data, offset)

    def cut(descriptor: int, size: int) -> None:
        deeds.append(Deed(name(descriptor), size, None))
        truncate(descriptor, size)

    monkeypatch.setattr(durable, "write_all_at", write_at)
    monkeypatch.setattr(layers, "_truncate", cut)
    yield deeds


def replay(deeds: list[Deed], directory: Path, last_bytes: int) -> None:
    """The files after these deeds, of the last one only so many bytes."""
    directory.mkdir()
    for number, deed in enumerate(deeds):
        path = directory / deed.name
        path.touch()
        with path.open("r+b") as file:
            if deed.data is None:
                file.truncate(deed.offset)
                continue
            file.seek(deed.offset)
            file.write(deed.data if number + 1 < len(deeds) else deed.data[:last_bytes])


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="needs /proc")
def test_killed_at_any_point_it_ends_alike(recorded: list[Deed], whole: Proof, tmp_path: Path) -> None:
    """120 kills of one round, some of them of a round that goes on after a kill."""
    dice = random.Random(6)
    for turn in range(12):
        source = tmp_path / f"source{turn}"
        height = dice.choice([0, 0, 1, 3, 5])
        recorded.clear()
        stops = sorted(dice.sample(range(1, LEAVES), 8))
        for stop_at in stops:
            prover = RoundProver.resume(config(source, height), STATEMENT)
            prover.stop(at_leaves=stop_at)
            with pytest.raises(Interrupted):
                prover.run(leaves=LEAVES)
        assert RoundProver.resume(config(source, height), STATEMENT).run(leaves=LEAVES) == whole
        deeds = list(recorded)
        for cut in range(10):
            count = dice.randrange(len(deeds)) + 1
            torn = dice.randrange(len(deeds[count - 1].data or b"x") + 1)
            target = tmp_path / f"cut{turn}-{cut}"
            replay(deeds[:count], target, torn)
            resumed = RoundProver.resume(config(target, height), STATEMENT)
            assert resumed.run(leaves=LEAVES) == whole, (turn, cut, count, torn)
            shutil.rmtree(target)


CHILD = """
import sys
from pathlib import Path
from prover.poet.round.prove import ProverConfig; from prover.poet.round.prove import RoundProver
config = ProverConfig(Path(sys.argv[1]), kept_height=int(sys.argv[2]), checkpoint_s=0.02)
prover = RoundProver.resume(config, b"hello world, this is a challenge")
print(prover.leaves_done, flush=True)
prover.run(leaves=int(sys.argv[3]), on_progress=lambda p: print(p.durable_leaves, flush=True))
print("done", flush=True)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGKILL")
def test_killed_for_real_it_loses_little_and_ends_alike(tmp_path: Path) -> None:
    leaves, height = 60_000, 4
    expected = RoundProver(config(tmp_path / "whole", 0), STATEMENT).run(leaves=leaves)
    dice = random.Random(7)
    target = tmp_path / "killed"
    durable = 0
    for _ in range(6):
        child = subprocess.Popen(
            [sys.executable, "-c", CHILD, str(target), str(height), str(leaves)],
            stdout=subprocess.PIPE,
            text=True,
            cwd=REPOSITORY,
            env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        )
        assert child.stdout is not None
        started = child.stdout.readline()
        assert int(started) >= durable
        time.sleep(dice.random() * 0.2)
        child.send_signal(signal.SIGKILL)
        said = child.stdout.read().split()
        child.wait()
        durable = max([int(started), *(int(word) for word in said if word.isdigit())])
    resumed = RoundProver.resume(config(target, height), STATEMENT)
    assert resumed.leaves_done >= durable
    assert resumed.run(leaves=leaves) == expected


# ---- damage ----


@pytest.fixture
def stopped_round(tmp_path: Path) -> Path:
    """A round of several checkpoints, stopped at 650 leaves, layer 2 kept."""
    for stop_at in (100, 260, 400, 650):
        prover = RoundProver.resume(config(tmp_path, 2), STATEMENT)
        prover.stop(at_leaves=stop_at)
        with pytest.raises(Interrupted):
            prover.run(leaves=LEAVES)
    return tmp_path


def alter(path: Path, change: Callable[[bytearray], None]) -> None:
    content = bytearray(path.read_bytes())
    change(content)
    path.write_bytes(bytes(content))


def flip(at: int) -> Callable[[bytearray], None]:
    def change(content: bytearray) -> None:
        content[at] ^= 0x10

    return change


def test_a_damaged_node_is_made_again(stopped_round: Path, whole: Proof) -> None:
    alter(stopped_round / layers.NODES_FILE, flip(32 * 33 + 5))
    alter(stopped_round / layers.NODES_FILE, flip(32 * 150))
    prover = RoundProver.resume(config(stopped_round, 2), STATEMENT)
    assert (prover.recovery.repaired_nodes, prover.recovery.lost_nodes) == (2, 0)
    assert prover.recovery.leaves == 648
    assert "made again" in " ".join(prover.recovery.notes)
    assert prover.run(leaves=LEAVES) == whole
    again = RoundProver.resume(config(stopped_round, 2), STATEMENT)
    assert not again.recovery.notes


def test_any_damaged_byte_is_mended_or_costs_work_but_never_the_proof(stopped_round: Path, whole: Proof) -> None:
    dice = random.Random(8)
    copy = stopped_round.with_name("copy")
    for _ in range(40):
        shutil.copytree(stopped_round, copy)
        for _ in range(dice.choice([1, 1, 3])):
            path = copy / dice.choice([layers.NODES_FILE, layers.LOG_FILE])
            size = path.stat().st_size
            if dice.random() < 0.2:
                os.truncate(path, dice.randrange(size))
            elif dice.random() < 0.2:
                alter(path, lambda content: content.extend(dice.randbytes(dice.randrange(100))))
            elif size:
                alter(path, flip(dice.randrange(size)))
        prover = RoundProver.resume(config(copy, 2), STATEMENT)
        assert prover.run(leaves=LEAVES) == whole
        shutil.rmtree(copy)


def test_a_damaged_beginning_of_the_log_costs_nothing(stopped_round: Path, whole: Proof) -> None:
    alter(stopped_round / layers.LOG_FILE, flip(3))
    prover = RoundProver.resume(config(stopped_round, 2), STATEMENT)
    assert prover.recovery.leaves == 648
    assert prover.run(leaves=LEAVES) == whole


def test_a_log_that_says_nothing_is_put_aside(stopped_round: Path, whole: Proof) -> None:
    (stopped_round / layers.LOG_FILE).write_bytes(b"\0" * 500)
    prover = RoundProver.resume(config(stopped_round, 2), STATEMENT)
    assert prover.recovery.leaves == 0
    assert "starts again" in prover.recovery.notes[0]
    assert (stopped_round / f"{layers.NODES_FILE}.damaged").exists()
    assert prover.run(leaves=LEAVES) == whole


def test_nodes_that_were_wrong_when_written_are_not_believed(
    stopped_round: Path, whole: Proof, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A checksum over a wrong node: the machine itself made an error."""
    log = layers.open_log(stopped_round, STATEMENT, 2)
    nodes = (stopped_round / layers.NODES_FILE).read_bytes()
    kept = layers.KeptLayer(stopped_round, STATEMENT, 2)
    header = (stopped_round / layers.LOG_FILE).read_bytes()[: -56 * log.records]
    second = log.segments[1]
    part = nodes[32 * second.first : 32 * second.last]
    wrong = layers.Segment(second.first, second.last, kept.digest(second.first, b"\x01" + part[1:]))
    records = [kept._record(segment, 0) for segment in (log.segments[0], wrong, *log.segments[2:])]
    (stopped_round / layers.LOG_FILE).write_bytes(header + b"".join(records))
    prover = RoundProver.resume(config(stopped_round, 2), STATEMENT)
    assert prover.recovery.leaves == second.first * 4
    assert prover.recovery.lost_nodes == 162 - second.first
    assert prover.run(leaves=LEAVES) == whole


def test_damage_while_the_round_runs_is_mended_before_the_proof(tmp_path: Path, whole: Proof) -> None:
    prover = RoundProver(config(tmp_path, 1), STATEMENT)
    damaged = []

    def damage(prover: RoundProver) -> None:
        if prover.state == "proving" and not damaged:
            alter(tmp_path / layers.NODES_FILE, flip(32 * 40))
            damaged.append(True)

    assert prover.run(leaves=LEAVES, on_progress=damage) == whole
    assert any("mended" in note for note in prover.notes)


def test_damage_in_a_block_that_only_regeneration_sees(tmp_path: Path) -> None:
    """Without what is parked at the end, a node that its leaves contradict is still not believed."""
    RoundProver(config(tmp_path, 1), STATEMENT).run(leaves=LEAVES)
    alter(tmp_path / layers.NODES_FILE, flip(32 * 349))
    log = layers.open_log(tmp_path, STATEMENT, 1)
    kept = layers.KeptLayer.reopen(tmp_path, log, log.recorded)
    with pytest.raises(DamagedNodes):
        extract(kept, LEAVES, 500, threads=1)
    kept.close()


# ---- the disk ----


def test_a_full_disk_is_shown_and_survived(tmp_path: Path, whole: Proof, monkeypatch: pytest.MonkeyPatch) -> None:
    write = durable.write_all_at
    full = [False]
    problems: list[str] = []

    def write_at(descriptor: int, data: bytes, offset: int) -> None:
        if full[0]:
            write(descriptor, bytes(data[: len(data) // 2]), offset)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        write(descriptor, data, offset)

    monkeypatch.setattr(durable, "write_all_at", write_at)
    prover = RoundProver(config(tmp_path, 0, checkpoint_s=0.02), STATEMENT)
    checks = [0]

    def progress(prover: RoundProver) -> None:
        checks[0] += 1
        full[0] = 2 < checks[0] < 8
        problems.append(prover.problem)

    proof = prover.run(leaves=30_000, on_progress=progress)
    assert any("space" in problem for problem in problems)
    assert problems[-1] == ""
    assert prover.durable_leaves == 30_000
    verify(proof.merkle_proof, STATEMENT, 30_000)
    assert RoundProver.resume(config(tmp_path, 0), STATEMENT).recovery.leaves == 30_000


def test_a_disk_that_stays_full_does_not_stop_the_proof(
    tmp_path: Path, whole: Proof, monkeypatch: pytest.MonkeyPatch
) -> None:
    prover = RoundProver(config(tmp_path, 0, checkpoint_s=0.01), STATEMENT)

    def write_at(descriptor: int, data: bytes, offset: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(durable, "write_all_at", write_at)
    assert prover.run(leaves=LEAVES) == whole
    assert "not saved" in prover.problem


def test_a_directory_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(EnvironmentFault):
        RoundProver(config(tmp_path / "file" / "round"), STATEMENT)


# ---- takeover ----


def reference_files(directory: Path, all_labels: list[bytes], leaves: int, count: int) -> None:
    nodes = all_labels[:leaves]
    for layer in range(count):
        (directory / f"layercache_{layer}.bin").write_bytes(b"".join(nodes))
        nodes = [labels.node(STATEMENT, *nodes[at : at + 2]) for at in range(0, len(nodes) - 1, 2)]


@pytest.mark.parametrize("height", [0, 2, 3, 6])
@pytest.mark.parametrize("count", [1, 4])
def test_a_running_round_of_the_reference_is_taken_over(
    height: int, count: int, all_labels: list[bytes], whole: Proof, tmp_path: Path
) -> None:
    reference_files(tmp_path, all_labels, 500, count)
    originals = {path: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(UsageError, match="layer files"):
        RoundProver(config(tmp_path, height), STATEMENT)
    prover = RoundProver.resume(config(tmp_path, height), STATEMENT, reference_leaves=0)
    assert prover.recovery.leaves == 500 >> height << height or count == 1
    assert prover.run(leaves=LEAVES) == whole
    assert RoundProver.resume(config(tmp_path, height), STATEMENT).run(leaves=LEAVES) == whole
    assert {path: path.read_bytes() for path in originals} == originals


def test_a_damaged_layer_file_does_not_spoil_the_proof(all_labels: list[bytes], whole: Proof, tmp_path: Path) -> None:
    dice = random.Random(9)
    for turn in range(12):
        directory = tmp_path / str(turn)
        directory.mkdir()
        reference_files(directory, all_labels, 500, 4)
        path = directory / f"layercache_{dice.randrange(4)}.bin"
        alter(path, flip(dice.randrange(path.stat().st_size)))
        prover = RoundProver.resume(config(directory, dice.choice([0, 1, 3, 5])), STATEMENT, reference_leaves=500)
        assert prover.run(leaves=LEAVES) == whole


def test_files_of_no_layer_are_refused(tmp_path: Path) -> None:
    (tmp_path / "layercache_x.bin").write_bytes(b"")
    with pytest.raises(DataError):
        RoundProver.resume(config(tmp_path), STATEMENT)


def test_a_check_of_the_files_can_be_interrupted(stopped_round: Path) -> None:
    with pytest.raises(Interrupted):
        RoundProver.resume(config(stopped_round, 2), STATEMENT, stopped=lambda: True)
    log = layers.open_log(stopped_round, STATEMENT, 2)
    kept, _, found = recovery.recover(stopped_round, log)
    kept.close()
    assert found.leaves == 648
