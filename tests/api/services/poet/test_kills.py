"""Kills at random moments of tiny rounds: the round ends with the same proof, every acknowledged submit is in it."""

from __future__ import annotations

import itertools
import os
import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from api.clients.poet.messages import RoundProof, read_proof
from api.clients.poet.service import membership, verify_round
from protocol.crypto.merkle import root_of
from protocol.types.poet import PoetProof
from prover.poet.round import layers
from prover.poet.round.prove import ProverConfig, RoundProver
from tests.support.poet_child import KEPT_HEIGHT, SCHEDULE, Server, set_clock

KILLS = int(os.environ.get("POET_KILLS", "6"))
"""How often a process of the server is killed; `make kills` has 120."""
SEED = int(os.environ.get("POET_KILLS_SEED", "7"))

LEAVES = 30_000
WORKER_KILLS = 2
"""So often in a row only the worker is killed: its restarts wait longer and longer."""

STEPS = ("registration", "close", "work", "end")
LONGEST_DELAY_S = 0.4
"""After a round's step was reached and before the kill."""
STEP_TIMEOUT_S = 60.0


class Driver(threading.Thread):
    """Brings round after round to its end: registers, closes, waits for the proof. Kills only delay it."""

    def __init__(self, server: Server, directory: Path, dice: random.Random) -> None:
        super().__init__(name="driver")
        self._server = server
        self._directory = directory
        self._dice = dice
        self._keys = itertools.count(1)
        self.step = "starting"
        self.stopping = False
        self.error: BaseException | None = None
        self.acknowledged: dict[int, list[bytes]] = {}
        self.proofs: dict[int, RoundProof] = {}

    def run(self) -> None:
        try:
            round_id = 0
            while not self.stopping:
                self._play(round_id)
                round_id += 1
        except BaseException as error:
            self.error = error

    def wait_for(self, step: str) -> None:
        """Until a round is at this step."""
        deadline = time.monotonic() + STEP_TIMEOUT_S
        while self.step != step:
            assert self.error is None, self.error
            assert time.monotonic() < deadline, f"the step {step!r} is never reached, it stays at {self.step!r}"
            time.sleep(0.001)

    def _play(self, round_id: int) -> None:
        self.step = "registration"
        for _ in range(self._dice.randrange(1, 12)):
            challenge = self._dice.randbytes(32)
            answered = self._server.submit(next(self._keys), challenge)
            if answered is not None:
                assert answered == str(round_id), f"expected round {round_id}, got {answered}"
                self.acknowledged.setdefault(round_id, []).append(challenge)
            time.sleep(self._dice.random() * 0.05)
        self.step = "close"
        set_clock(self._directory, SCHEDULE.start(round_id))
        self._wait(lambda: (self._directory / "data" / "rounds" / str(round_id) / "state.bin").exists())
        self.step = "work"
        time.sleep(self._dice.random() * 0.5)
        set_clock(self._directory, SCHEDULE.end(round_id))
        self._wait(lambda: self._server.get(f"/v1/proofs/{round_id}") is not None, "end")
        body = self._server.get(f"/v1/proofs/{round_id}")
        while body is None:
            body = self._server.get(f"/v1/proofs/{round_id}")
        self.proofs[round_id] = read_proof(body, str(round_id))

    def _wait(self, condition: Callable[[], bool], step: str | None = None) -> None:
        deadline = time.monotonic() + 100
        while not condition():
            assert time.monotonic() < deadline, f"nothing comes after the step {self.step!r}"
            time.sleep(0.01)
            if step is not None and self._worked():
                self.step = step

    def _worked(self) -> bool:
        """Whether the last round that was begun has its leaves."""
        round_id = max(self.proofs, default=-1) + 1
        kept = self._directory / "data" / "rounds" / str(round_id) / layers.NODES_FILE
        try:
            return kept.stat().st_size >= LEAVES >> KEPT_HEIGHT << 5
        except FileNotFoundError:
            return False


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="needs /proc to find the worker")
@pytest.mark.timeout(120 + 20 * KILLS)
def test_kills_at_random_moments_change_nothing(tmp_path: Path) -> None:
    hit, rounds = rounds_with_kills(tmp_path, SEED, KILLS)
    print(f"{KILLS} kills in {rounds} rounds, by step: {dict(hit)}")
    if KILLS >= 100:
        assert set(STEPS) <= set(hit), hit


def rounds_with_kills(directory: Path, seed: int, kills: int) -> tuple[Counter[str], int]:
    """Rounds of a server that is killed so often, each compared with one that is not.

    How often it was killed at which step, and how many rounds there were.
    """
    uninterrupted(bytes(32), directory / "warm")  # a kernel that is being compiled cannot be told to stop
    set_clock(directory, SCHEDULE.genesis_ns)
    with Server(directory, LEAVES) as server:
        driver = Driver(server, directory, random.Random(seed + 1))
        driver.start()
        try:
            hit = killed(server, driver, random.Random(seed), kills)
        finally:
            driver.stopping = True
            driver.join()
        assert driver.error is None, driver.error
        assert server.stop() == 0
    assert set(driver.acknowledged) <= set(driver.proofs)
    for round_id, found in driver.proofs.items():
        check_round(found, driver.acknowledged.get(round_id, []), directory / f"again{round_id}")
    assert not any((directory / "data" / "rounds").iterdir()), "a finished round's files are still there"
    return hit, len(driver.proofs)


def killed(server: Server, driver: Driver, dice: random.Random, kills: int) -> Counter[str]:
    """Kills it; how often at which step of a round."""
    hit: Counter[str] = Counter()
    in_a_row = 0
    for _ in range(kills):
        driver.wait_for(dice.choice(STEPS))
        time.sleep(dice.random() * LONGEST_DELAY_S)
        kills_server = dice.random() < 0.75 or in_a_row == WORKER_KILLS
        kills_worker = not kills_server or dice.random() < 0.6
        in_a_row = 0 if kills_server else in_a_row + 1
        hit[driver.step] += 1
        server.kill(kills_server, kills_worker)
        if kills_server:
            server.start()
    return hit


def check_round(found: RoundProof, acknowledged: list[bytes], directory: Path) -> None:
    """The proof is valid, that of an uninterrupted round over the same members, and of all who were told so."""
    message = found.message
    assert message.proof.leaf_count == LEAVES
    assert message.proof == uninterrupted(root_of(found.members), directory)
    for challenge in acknowledged:
        assert membership(found, challenge) is not None, "an acknowledged submit is not in the tree"
    if found.members:
        verify_round(found)


def uninterrupted(statement: bytes, directory: Path) -> PoetProof:
    """What a round over this statement ends with when nothing happens to it."""
    return RoundProver(ProverConfig(directory, kept_height=0), statement).run(leaves=LEAVES).poet_proof
