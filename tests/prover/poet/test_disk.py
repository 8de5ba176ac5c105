"""A disk that is full for a while: the chain goes on, the fault is shown, and nothing that was acknowledged is lost."""

from __future__ import annotations

import errno
import json
import os
import resource
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from api.clients.poet.messages import read_proof
from api.clients.poet.service import membership
from protocol.types.poet import NODE_SIZE, PoetProof
from prover import durable
from prover.errors import DataError, EnvironmentFault
from prover.poet.round import layers
from prover.poet.round.execution import Settings
from prover.poet.round.prove import ProverConfig, RoundProver
from prover.poet.server import store, worker
from prover.poet.server.messages import Assignment, Finished, FromWorker, Progress, Stored
from prover.poet.server.records import RoundState, read_round_state, write_round_state
from prover.poet.server.rounds import Schedule
from prover.poet.server.store import RoundStore
from prover.poet.server.worker import Worker, WorkerConfig
from tests.support.poet_child import KEPT_HEIGHT, SCHEDULE, Server, set_clock

STATEMENT = bytes(range(32))
LEAVES = 20_000

needs_prlimit = pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="needs prlimit")


@contextmanager
def no_file_grows_beyond(size: int, process: int = 0) -> Iterator[None]:
    """What a full disk is to a program, for one process: writes behind this size fail."""
    hard = resource.prlimit(process, resource.RLIMIT_FSIZE)[1]
    resource.prlimit(process, resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.prlimit(process, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, hard))


def wait(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


# ---- the worker ----


class Running:
    """A worker in a thread, on one round of LEAVES leaves that is over by the clock."""

    def __init__(self, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(worker, "RETRY_S", 0.02)
        self.said: list[FromWorker] = []
        schedule = Schedule(0, 10**18, 0, 0)
        self.directory = directory / "rounds" / "0"
        settings = Settings(kept_height=0, checkpoint_s=0.02)
        self.worker = Worker(
            WorkerConfig(directory, schedule, settings),
            self.said.append,
            clock=lambda: schedule.end(0),
            leaves=lambda round_id: LEAVES,
        )
        self.worker.tell(Assignment(0, STATEMENT))
        self._thread = threading.Thread(target=self.worker.run)
        self._thread.start()

    def wait_for(self, condition: Callable[[FromWorker], bool]) -> FromWorker:
        """The first message of that kind."""
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            for message in self.said:
                if condition(message):
                    return message
            time.sleep(0.005)
        raise AssertionError(f"it is not said: {self.said[-1:]}")

    def stop(self) -> None:
        """Ends it."""
        self.worker.stop()
        self._thread.join()


def uninterrupted(directory: Path, leaves: int, statement: bytes) -> PoetProof:
    return RoundProver(ProverConfig(directory, kept_height=0), statement).run(leaves=leaves).poet_proof


def test_a_proof_that_cannot_be_saved_is_published_and_saved_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = threading.Event()
    full.set()

    def write(directory: Path, state: RoundState) -> None:
        if state.execution.nip is not None and full.is_set():
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        write_round_state(directory, state)

    monkeypatch.setattr(worker, "write_round_state", write)
    running = Running(tmp_path, monkeypatch)
    finished = running.wait_for(lambda message: isinstance(message, Finished))
    assert isinstance(finished, Finished)
    expected = uninterrupted(tmp_path / "again", LEAVES, STATEMENT)
    assert finished.nip.root == expected.merkle_proof.root
    told = running.wait_for(lambda message: isinstance(message, Progress) and message.state == "waiting")
    assert isinstance(told, Progress) and "not saved" in told.problem and "No space left" in told.problem
    assert read_round_state(running.directory).execution.nip is None
    full.clear()
    running.wait_for(
        lambda message: isinstance(message, Progress) and message.state == "waiting" and not message.problem
    )
    assert read_round_state(running.directory).execution.nip == finished.nip
    running.worker.tell(Stored(0))
    assert not running.directory.exists()
    running.stop()


def test_files_that_cannot_be_removed_do_not_stop_the_worker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    running = Running(tmp_path, monkeypatch)
    running.wait_for(lambda message: isinstance(message, Finished))

    def refuse(path: Path) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    with monkeypatch.context() as patch:
        patch.setattr(durable, "sync_directory", refuse)
        running.worker.tell(Stored(0))
    told = running.wait_for(lambda message: isinstance(message, Progress) and "removed" in message.problem)
    assert isinstance(told, Progress) and told.problem.startswith("round 0: ")
    running.stop()


@pytest.mark.slow
@needs_prlimit
def test_a_full_disk_under_a_whole_server(tmp_path: Path) -> None:
    """The kernel itself lets the kept layer grow no more for a while. It is shown, metered and logged."""
    leaves, room = 200_000, 64 << 10
    set_clock(tmp_path, SCHEDULE.genesis_ns)
    with Server(tmp_path, leaves) as server:
        assert server.submit(1, STATEMENT) == "0"
        (hashing,) = server.workers
        nodes = tmp_path / "data" / "rounds" / "0" / layers.NODES_FILE

        def fault() -> str:
            return str(json.loads(server.get("/status.json") or b"{}").get("fault", ""))

        def metric() -> bool:
            return b"\nsmesher_poet_fault 1.0\n" in (server.get("/metrics", "metrics") or b"")

        with no_file_grows_beyond(room, hashing):
            set_clock(tmp_path, SCHEDULE.start(0))
            wait(lambda: "not saved" in fault())
            assert metric()
            assert b"not saved" in (server.get("/status") or b"")
            assert nodes.stat().st_size == room
        wait(lambda: fault() == "")
        assert not metric()
        assert nodes.stat().st_size > room
        # what waited in memory is on disk now: a kill does not lose it
        server.kill()
        assert layers.open_log(nodes.parent, STATEMENT, KEPT_HEIGHT).recorded > room // NODE_SIZE
        server.start()
        set_clock(tmp_path, SCHEDULE.end(0))
        wait(lambda: server.get("/v1/proofs/0") is not None)
        found = read_proof(server.get("/v1/proofs/0") or b"", "0")
        assert found.message.proof == uninterrupted(tmp_path / "again", leaves, STATEMENT)
        assert server.stop() == 0
        assert "ERROR poet.worker round 0: The round is not saved" in server.said
        assert "INFO poet.worker round 0: The round is saved again." in server.said


# ---- registrations ----


def log_size(directory: Path) -> int:
    """The log that LevelDB appends to."""
    return max(directory.glob("*.log")).stat().st_size


@needs_prlimit
def test_what_is_acknowledged_after_a_full_disk_is_there_after_a_kill(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """LevelDB alone acknowledges what it appends behind a torn record, and forgets it at its next start."""
    monkeypatch.setattr(store, "REOPEN_S", 0.0)
    members = RoundStore.create(tmp_path / "round")
    acknowledged: dict[bytes, bytes] = {}

    def register() -> None:
        entries = {os.urandom(32): os.urandom(32) for _ in range(20)}
        members.write(entries)
        acknowledged.update(entries)

    for _ in range(20):
        register()
    with no_file_grows_beyond(log_size(members.path) + 500):
        for _ in range(3):
            with pytest.raises(EnvironmentFault):
                register()
        with pytest.raises(EnvironmentFault):
            members.get(bytes(32))
    for _ in range(20):
        register()
    assert all(members.get(key) == value for key, value in acknowledged.items())
    shutil.copytree(members.path, tmp_path / "killed")
    members.close()
    survived = RoundStore.open(tmp_path / "killed")
    assert {key: survived.get(key) for key in acknowledged} == acknowledged
    assert survived.count() == len(acknowledged) == 800
    survived.close()


def test_a_database_that_cannot_be_opened_is_tried_again_after_a_while(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "rounds").write_text("a file is in the way")
    members = RoundStore(tmp_path / "rounds" / "0")
    with pytest.raises(EnvironmentFault):
        members.write({bytes(32): bytes(32)})
    (tmp_path / "rounds").unlink()
    with pytest.raises(EnvironmentFault):
        members.get(bytes(32))
    monkeypatch.setattr(store.time, "monotonic", lambda: 1e12)
    members.write({bytes(32): bytes(32)})
    assert members.get(bytes(32)) == bytes(32)
    with pytest.raises(DataError, match="in use"):
        RoundStore.open(members.path)
    members.close()


@pytest.mark.slow
@needs_prlimit
def test_a_full_disk_under_registration(tmp_path: Path) -> None:
    """Submits are refused while it lasts, also in the round that is opened meanwhile; then all goes on."""
    set_clock(tmp_path, SCHEDULE.genesis_ns)
    with Server(tmp_path, 500) as server:
        acknowledged: dict[str, list[bytes]] = {}

        def register(index: int) -> bool:
            challenge = os.urandom(32)
            round_id = server.submit(index, challenge)
            if round_id is not None:
                acknowledged.setdefault(round_id, []).append(challenge)
            return round_id is not None

        def open_round() -> int:
            return int(json.loads(server.get("/status.json") or b"{}")["open_round"]["id"])

        assert all(register(index) for index in range(10))
        with no_file_grows_beyond(log_size(tmp_path / "db" / "rounds" / "0") + 40, server.pid):
            assert not register(100)
            assert "not stored" in json.loads(server.get("/status.json") or b"{}")["fault"]
        with no_file_grows_beyond(10, server.pid):
            set_clock(tmp_path, SCHEDULE.start(0))
            wait(lambda: open_round() == 1)
            assert not any(register(index) for index in range(200, 204))
        wait(lambda: register(300))
        assert all(register(index) for index in range(400, 410))
        wait(lambda: json.loads(server.get("/status.json") or b"{}")["fault"] == "")
        server.kill()
        server.start()
        for round_id in (0, 1):
            set_clock(tmp_path, SCHEDULE.end(round_id))
            wait(lambda path=f"/v1/proofs/{round_id}": server.get(path) is not None)
            found = read_proof(server.get(f"/v1/proofs/{round_id}") or b"", str(round_id))
            assert all(membership(found, challenge) for challenge in acknowledged[str(round_id)])
        assert server.stop() == 0


def test_a_database_moves_to_another_disk_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every file of the copy is on stable storage before it is the database and the old one goes."""
    old, new = tmp_path / "data", tmp_path / "db"
    members = RoundStore.create(old / "rounds" / "7" / "challengesDb")
    members.write({bytes(32): bytes(32)})
    members.close()
    names = {path.name for path in (old / "rounds" / "7" / "challengesDb").iterdir()}
    synced: set[str] = set()
    sync_file, replace = durable.sync_file, os.replace

    def noting(path: Path) -> None:
        synced.add(Path(path).name)
        sync_file(path)

    def across_disks(source: Path, target: Path) -> None:
        if Path(source).is_relative_to(old):
            raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))
        assert synced == names
        replace(source, target)

    monkeypatch.setattr(durable, "sync_file", noting)
    monkeypatch.setattr(os, "replace", across_disks)
    assert len(store.migrate(old, new)) == 1
    assert synced == names and not (old / "rounds" / "7" / "challengesDb").exists()
    moved = RoundStore.open(new / "rounds" / "7")
    assert moved.challenges() == [bytes(32)]
    moved.close()
