"""Rounds that have closed: their members' root goes to the worker, its proof into the store.

Databases are opened here; only writes, roots and proofs of large rounds take time, and go to the helper thread.
Specified in protocol 02-poet, sections 7.5, 7.6 and 8.
"""

from __future__ import annotations

import asyncio
import logging
import shutil
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from api.services.poet.config import Config
from api.services.poet.faults import Faults
from api.services.poet.worker_link import WorkerLink
from protocol.crypto.merkle import root_of
from prover.errors import EnvironmentFault, ProofError
from prover.poet.server.messages import Assignment, Finished, Stored
from prover.poet.server.records import STATE_FILE, ProofRecord, read_round_state
from prover.poet.server.registration import Registration
from prover.poet.server.store import ProofStore, RoundStore, stored_rounds

log = logging.getLogger("poet")

RETRY_S = 5.0
"""Between tries to store a proof while the disk refuses."""
FLUSH_CHECK_S = 0.002


class Rounds:
    """The databases of one server's rounds, and the way from a closed round to its proof."""

    def __init__(self, config: Config, worker: WorkerLink, helper: ThreadPoolExecutor, faults: Faults) -> None:
        self._config, self._worker, self._helper, self._faults = config, worker, helper, faults
        self._stores: dict[int, RoundStore] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self.members_in_work: dict[int, int] = {}
        self.closing: set[int] = set()
        """Closed rounds whose root is not computed yet."""
        self._machine: Registration | None = None
        self._pubkey = b""

    def open(self, proofs: ProofStore, pubkey: bytes) -> None:
        """The store of proofs, and the key that stands in them."""
        self.proofs, self._pubkey = proofs, pubkey

    @property
    def machine(self) -> Registration:
        """The registration that the rounds come from."""
        assert self._machine is not None, "set when the service opens"
        return self._machine

    @machine.setter
    def machine(self, machine: Registration) -> None:
        self._machine = machine

    # Databases of members

    def path(self, round_id: int) -> Path:
        """Where the members of a round are."""
        return self._config.dbdir / "rounds" / str(round_id)

    def open_store(self, round_id: int) -> RoundStore:
        """The members of a round. Raises DataError, EnvironmentFault."""
        if round_id not in self._stores:
            self._stores[round_id] = RoundStore.create(self.path(round_id))
        return self._stores[round_id]

    def open_next(self, round_id: int) -> None:
        """The database of a round that opens; where the disk refuses, its first use tries again."""
        try:
            self.open_store(round_id)
        except ProofError as error:
            self._faults.note("registrations", str(error))
            self._stores[round_id] = RoundStore(self.path(round_id))

    def stored_challenge(self, round_id: int, pubkey: bytes) -> bytes | None:
        """What a key registered. Raises DataError, EnvironmentFault."""
        return self._stores[round_id].get(pubkey)

    def last_begun(self) -> int:
        """The last round whose members are fixed; -1 for none."""
        begun = [one for one in stored_rounds(self._config.rounds_dir) if self._was_begun(one)]
        return max([*begun, *self.proofs.rounds()], default=-1)

    def _was_begun(self, round_id: int) -> bool:
        try:
            state = read_round_state(self._config.rounds_dir / str(round_id))
        except (ProofError, OSError):
            return False
        return not state.started.is_zero or state.execution.nip is not None

    # From closed to proved

    def hand_over_left(self, now_ns: int) -> None:
        """Hands over the rounds that closed while nobody was here."""
        for round_id in stored_rounds(self._config.dbdir / "rounds"):
            if round_id >= self.machine.open_round or self.proofs.has(round_id):
                continue
            in_work = (self._config.rounds_dir / str(round_id) / STATE_FILE).exists()
            if self._config.schedule.end(round_id) >= now_ns or in_work:
                self.hand_over(round_id)

    def hand_over(self, round_id: int) -> None:
        """Computes the root of a closed round's members, once all are written, and gives the round to the worker."""
        self.closing.add(round_id)
        self._spawn(self._hand_over(round_id))

    async def _hand_over(self, round_id: int) -> None:
        while not self.machine.is_flushed(round_id):
            await asyncio.sleep(FLUSH_CHECK_S)
        loop = asyncio.get_running_loop()
        what = f"round {round_id}"
        while True:
            try:
                statement = await loop.run_in_executor(self._helper, self._root_of, round_id)
                break
            except EnvironmentFault as error:
                self._faults.note(what, f"{what} cannot be worked on yet: {error}")
                await asyncio.sleep(RETRY_S)
            except ProofError as error:
                self._faults.note(what, f"{what} cannot be worked on: {error}")
                return
        self._faults.clear(what)
        self.closing.discard(round_id)
        log.info("round %d goes to the worker, statement %s", round_id, statement.hex())
        self._worker.tell(Assignment(round_id, statement))

    def _root_of(self, round_id: int) -> bytes:
        members = self._members_of(round_id)
        self.members_in_work[round_id] = len(members)
        return root_of(members)

    def _members_of(self, round_id: int) -> list[bytes]:
        store = self._stores.get(round_id) or RoundStore.open(self.path(round_id))
        try:
            members = store.challenges()
        finally:
            store.close()
        self._stores.pop(round_id, None)
        return members

    def finished(self, message: Finished) -> None:
        """The worker has a proof: stores it and tells the worker so."""
        self._spawn(self._store_proof(message))

    async def _store_proof(self, finished: Finished) -> None:
        loop = asyncio.get_running_loop()
        what = f"the proof of round {finished.round_id}"
        while True:
            try:
                if await loop.run_in_executor(self._helper, self._put_proof, finished):
                    self.machine.proof_stored(finished.nip.root)
                    log.info("round %d has its proof, %d leaves", finished.round_id, finished.num_leaves)
                self._faults.clear(what)
                self.members_in_work.pop(finished.round_id, None)
                self._worker.tell(Stored(finished.round_id))
                return
            except ProofError as error:
                self._faults.note(what, f"{what} is not stored: {error}")
                await asyncio.sleep(RETRY_S)

    def _put_proof(self, finished: Finished) -> bool:
        """Stores a proof; False if it was there already."""
        if self.proofs.has(finished.round_id):
            return False
        members = self._members_of(finished.round_id)
        record = ProofRecord(finished.nip, tuple(members), finished.num_leaves, self._pubkey, str(finished.round_id))
        if not finished.nip.root:
            self.proofs.put(record)
        else:
            # the rotation is stored with the proof: a restart does not bring an old challenge back
            self.proofs.put(record, current=finished.nip.root, previous=self.machine.pow.current)
        if self._config.keep_rounds is not None:
            for old in self.proofs.rounds()[: -max(1, self._config.keep_rounds)]:
                shutil.rmtree(self.path(old), ignore_errors=True)
                self.proofs.delete(old)
        return True

    # The end

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def stop(self) -> None:
        """Leaves off what waits; it is found again at the next start."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def close(self) -> None:
        """Closes the databases."""
        for store in self._stores.values():
            store.close()
        self._stores.clear()
        if hasattr(self, "proofs"):
            self.proofs.close()
