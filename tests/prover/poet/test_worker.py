"""Where the worker's threads run, what tells an operator which one hashes, and how long its process lives."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from api.services.poet.worker_process import EXIT_RENEWED, ProcessWorker, config_line
from prover.poet.round import layers, processors
from prover.poet.round.execution import Settings
from prover.poet.round.prove import ProverConfig, RoundProver
from prover.poet.server.messages import Assignment, Finished, FromWorker, Progress, Stored, from_line, to_line
from prover.poet.server.worker import WorkerConfig
from tests.support.poet_child import SCHEDULE, set_clock

STATEMENT = bytes(range(32))
LEAVES = 20_000
REPOSITORY = Path(__file__).resolve().parents[3]

needs_affinity = pytest.mark.skipif(
    not hasattr(os, "sched_getaffinity") or len(os.sched_getaffinity(0)) < 2, reason="needs two processors"
)


@needs_affinity
def test_the_hashing_thread_has_its_processor_to_itself(tmp_path: Path) -> None:
    before = os.sched_getaffinity(0)
    given = max(before)
    file = tmp_path / "round.tid"
    where: list[tuple[set[int], set[int]]] = []

    def look(prover: RoundProver) -> None:
        try:
            hashing = os.sched_getaffinity(int(file.read_text()))
        except ProcessLookupError:
            hashing = set()  # it has made its last leaf
        where.append((hashing, os.sched_getaffinity(0)))

    config = ProverConfig(tmp_path / "round", kept_height=0, checkpoint_s=0.02, cpu=given, thread_file=file)
    RoundProver(config, STATEMENT).run(leaves=LEAVES, on_progress=look)
    assert ({given}, before - {given}) in where
    assert where[-1] == (set(), before), "the proof is drawn on all processors"
    assert os.sched_getaffinity(0) == before


@needs_affinity
def test_processors_that_are_not_there_change_nothing() -> None:
    before = os.sched_getaffinity(0)
    for change in (processors.without, processors.including):
        for cpu in (None, 60_000):
            with change(cpu):
                assert os.sched_getaffinity(0) == before
    with processors.without(min(before)):
        assert processors.usable_cores() == len(before) - 1
        with processors.including(min(before)):
            assert os.sched_getaffinity(0) == before


def test_the_thread_in_the_file_is_the_one_that_hashes(tmp_path: Path) -> None:
    file = tmp_path / "round.tid"
    ids: set[int] = set()
    config = ProverConfig(tmp_path / "round", kept_height=0, checkpoint_s=0.02, thread_file=file)

    def look(prover: RoundProver) -> None:
        ids.add(int(file.read_text()))

    RoundProver(config, STATEMENT).run(leaves=LEAVES, on_progress=look)
    assert len(ids) == 1 and threading.get_native_id() not in ids


def test_a_thread_file_that_cannot_be_written_is_only_noted(tmp_path: Path) -> None:
    config = ProverConfig(tmp_path / "round", kept_height=0, thread_file=tmp_path / "no" / "round.tid")
    prover = RoundProver(config, STATEMENT)
    assert prover.run(leaves=200).num_leaves == 200
    assert any("could not be written" in note for note in prover.notes)


def command(directory: Path) -> tuple[str, ...]:
    """A worker whose rounds have a few leaves."""
    return (sys.executable, "-m", "tests.support.poet_child", "worker", str(directory), "500")


def test_a_worker_makes_room_for_a_fresh_one_when_its_round_is_stored(tmp_path: Path) -> None:
    """What a round has brought into its memory goes with it."""
    set_clock(tmp_path, SCHEDULE.end(0))
    config = WorkerConfig(tmp_path, SCHEDULE, Settings())
    finished = []
    with subprocess.Popen(command(tmp_path), cwd=REPOSITORY, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None and process.stdout is not None
        process.stdin.write(config_line(config) + to_line(Assignment(0, STATEMENT)))
        process.stdin.flush()
        for line in process.stdout:
            message = from_line(line)
            if isinstance(message, Finished):
                finished.append(message.round_id)
                process.stdin.write(to_line(Stored(message.round_id)))
                process.stdin.flush()
        assert process.wait(60) == EXIT_RENEWED
    assert finished == [0]
    assert not any((tmp_path / "rounds").iterdir())


def test_a_server_goes_on_with_the_fresh_worker(tmp_path: Path) -> None:
    """Whether the next round comes long after the last one, or at the moment at which its process ends."""
    rounds = range(6)

    async def play() -> tuple[list[int], set[int]]:
        link = ProcessWorker(WorkerConfig(tmp_path, SCHEDULE, Settings()), command(tmp_path))
        finished: list[int] = []
        processes: set[int] = set()
        stored = asyncio.Queue[int]()

        def receive(message: FromWorker) -> None:
            assert not (isinstance(message, Progress) and message.state == "down"), message
            if isinstance(message, Finished):
                assert link.pid is not None
                finished.append(message.round_id)
                processes.add(link.pid)
                link.tell(Stored(message.round_id))
                stored.put_nowait(message.round_id)

        await link.start(receive)
        for round_id in rounds:
            set_clock(tmp_path, SCHEDULE.end(round_id))
            link.tell(Assignment(round_id, STATEMENT))
            await asyncio.wait_for(stored.get(), 120)
            await asyncio.sleep((0.0, 0.005, 0.5)[round_id % 3])
        await link.stop()
        return finished, processes

    finished, processes = asyncio.run(play())
    assert finished == list(rounds)
    assert len(processes) > 1


def test_a_round_that_cannot_be_worked_on_does_not_renew_the_worker_over_and_over(tmp_path: Path) -> None:
    """Its files belong to another statement; the server hands it to every fresh worker."""
    directory = tmp_path / "rounds" / "0"
    directory.mkdir(parents=True)
    layers.KeptLayer.create(directory, b"another statement", 0).close()
    set_clock(tmp_path, SCHEDULE.start(0))

    async def play() -> tuple[set[int], str]:
        link = ProcessWorker(WorkerConfig(tmp_path, SCHEDULE, Settings()), command(tmp_path))
        processes: set[int] = set()
        problems: list[str] = []

        def receive(message: FromWorker) -> None:
            assert link.pid is not None and isinstance(message, Progress)
            processes.add(link.pid)
            problems.append(message.problem)

        await link.start(receive)
        link.tell(Assignment(0, STATEMENT))
        while not any(problems):
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.5)
        await link.stop()
        return processes, problems[-1]

    processes, problem = asyncio.run(play())
    assert len(processes) == 1
    assert problem.startswith("round 0: ") and "another directory" in problem
