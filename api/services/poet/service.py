"""The PoET service behind its interfaces: the registration machine with its databases, clock and worker.

HTTP and gRPC ask this object; it turns what `prover.poet.server.registration` decides into writes, timers and work. All
of it runs in one event loop; only writes, roots and proofs of large rounds go to one helper thread. A submit is
answered after its batch is on stable storage. Specified in protocol 02-poet, sections 7 and 8.
"""

from __future__ import annotations

import asyncio
import logging
import shutil
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from api.edge.lock import DirectoryLock
from api.services.poet import identity
from api.services.poet.config import Config
from api.services.poet.worker_link import WorkerLink
from protocol.crypto.merkle import root_of
from protocol.poet.registration import PowParams, TrustedKeys
from prover.errors import DataError, EnvironmentFault, ProofError
from prover.poet.server.messages import Assignment, Finished, FromWorker, Progress, Stored
from prover.poet.server.records import STATE_FILE, ProofRecord, read_round_state
from prover.poet.server.registration import (
    NOT_WRITTEN,
    Batch,
    Close,
    Code,
    Policy,
    Queued,
    Refused,
    Registered,
    Registration,
    Submit,
)
from prover.poet.server.store import ProofStore, RoundStore, migrate, stored_rounds
from prover.poet.server.trusted_keys import load_trusted_keys

log = logging.getLogger("poet")

FLUSH_SPACING_S = 0.004
"""Between the starts of two writes under load: what arrives meanwhile shares the next write's sync."""
CLOCK_CHECK_S = 1.0
"""A clock that was set is noticed within this time."""
RETRY_S = 5.0
"""Between tries to store a proof while the disk refuses."""
JUDGED_TOGETHER = 256
"""Registrations whose proofs of work are hashed side by side at most."""

Answer = Callable[[Refused | Registered], None]
Clock = Callable[[], int]

PROOF_NOT_FOUND = Refused(Code.NOT_FOUND, "proof not found")


class PoetService:
    """One server's state and what may be asked of it."""

    def __init__(
        self,
        config: Config,
        worker: WorkerLink,
        *,
        clock: Clock = time.time_ns,
        pow_challenge: bytes | None = None,
        as_reference: bool = False,
    ) -> None:
        self.config = config
        self.clock = clock
        self.worker = worker
        self.as_reference = as_reference
        self.progress = Progress()
        self._faults: dict[str, str] = {}
        """What is kept from disk at the moment, and why."""
        self.batch_seconds: list[float] = []
        """How long writes took since the metrics last asked."""
        self.on_batch: Callable[[float], None] = self.batch_seconds.append
        self._initial_pow = pow_challenge
        self._lock: DirectoryLock | None = None
        self._stores: dict[int, RoundStore] = {}
        self._waiting: dict[int, list[tuple[Answer, Registered]]] = {}
        self._helper = ThreadPoolExecutor(1, "poet-store")
        self._arrived: list[tuple[Submit, Answer]] = []
        self._flush_timer: asyncio.Handle | None = None
        self._last_flush = 0.0
        self._close_timer: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._members_in_work: dict[int, int] = {}
        self._closing: set[int] = set()
        """Closed rounds whose root is not computed yet."""
        self._stopping = False
        self._opened = False

    # Start and end

    def open(self) -> None:
        """Takes the directories, the key and the databases. Raises ProofError; call before `start`."""
        config = self.config
        try:
            config.datadir.mkdir(parents=True, exist_ok=True)
            config.rounds_dir.mkdir(exist_ok=True)
            config.dbdir.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise EnvironmentFault(f"{error.filename} cannot be used as a directory: {error.strerror}.") from None
        self._lock = DirectoryLock.take(config.datadir / "smesher-poet.lock", "PoET server")
        try:
            self._open_locked(config)
        except BaseException:
            self._close_files()
            raise

    def _open_locked(self, config: Config) -> None:
        for line in migrate(config.datadir, config.dbdir):
            log.info("database moved: %s", line)
        self.private_key = identity.load_key(config)
        self.pubkey = self.private_key[32:]
        self.trusted = TrustedKeys(config.certifier_pubkey, identity.load_trusted(config))
        self.proofs = ProofStore.always(config.dbdir / "proofs")
        if self.proofs.salvaged:
            log.error("%s", self.proofs.salvaged)
        now = self.clock()
        round_id = self._first_open_round(now)
        store = self._open_round_store(round_id)
        self.machine = Registration(
            config.schedule,
            Policy(
                config.max_round_members,
                config.max_submit_batch_size,
                certifier=self.has_certifier,
                as_reference=self.as_reference,
            ),
            self.trusted,
            identity.load_pow(self.proofs, config.pow_difficulty, self._initial_pow, as_reference=self.as_reference),
            self._stored_challenge,
            open_round=round_id,
            members=store.count(),
        )
        self._opened = True

    @property
    def has_certifier(self) -> bool:
        """Whether certificates are looked at; the reference's command line always has an (empty) certifier."""
        config = self.config
        configured = bool(config.certifier_url or config.certifier_pubkey or config.trusted_keys)
        return configured or self.as_reference

    def _first_open_round(self, now: int) -> int:
        """By the clock, but never a round whose statement was fixed before the clock was set back."""
        open_round = self.config.schedule.open_round(now)
        begun = [one for one in stored_rounds(self.config.rounds_dir) if self._was_begun(one)]
        last = max([*begun, *self.proofs.rounds()], default=-1)
        if last >= open_round and not self.as_reference:
            log.warning("the clock says round %d is open, but round %d has closed", open_round, last)
            return last + 1
        return open_round

    def _was_begun(self, round_id: int) -> bool:
        """Whether the work on a round has begun, so that its members are fixed."""
        try:
            state = read_round_state(self.config.rounds_dir / str(round_id))
        except (ProofError, OSError):
            return False
        return not state.started.is_zero or state.nip is not None

    def _rounds_path(self, round_id: int) -> Path:
        return self.config.dbdir / "rounds" / str(round_id)

    def _open_round_store(self, round_id: int) -> RoundStore:
        if round_id not in self._stores:
            self._stores[round_id] = RoundStore.create(self._rounds_path(round_id))
        return self._stores[round_id]

    def _stored_challenge(self, round_id: int, pubkey: bytes) -> bytes | None:
        return self._stores[round_id].get(pubkey)

    async def start(self) -> None:
        """Starts the worker and the clock; rounds that closed while nobody was here are handed over."""
        await self.worker.start(self._received)
        for round_id in stored_rounds(self.config.dbdir / "rounds"):
            if round_id >= self.machine.open_round or self.proofs.has(round_id):
                continue
            if self.config.schedule.end(round_id) >= self.clock() or self._is_in_work(round_id):
                self._closing.add(round_id)
                self._spawn(self._hand_over(round_id))
        self._arm_close()

    def _is_in_work(self, round_id: int) -> bool:
        return (self.config.rounds_dir / str(round_id) / STATE_FILE).exists()

    async def stop(self) -> None:
        """Writes what is queued, answers it, stops the worker, closes the databases."""
        self._stopping = True
        for timer in (self._close_timer, self._flush_timer):
            if timer is not None:
                timer.cancel()
        self._flush_timer = None
        if not self._opened:
            self._close_files()
            return
        self._judge_arrived()
        while self.machine.pending or not all(map(self.machine.is_flushed, self._closing)):
            self._flush()
            await asyncio.sleep(0.001)
        await self.worker.stop()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._helper.shutdown(wait=True)
        self._close_files()

    def _close_files(self) -> None:
        for store in self._stores.values():
            store.close()
        self._stores.clear()
        if hasattr(self, "proofs"):
            self.proofs.close()
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # Registration

    def submit(self, request: Submit, answer: Answer) -> None:
        """Judges a registration; `answer` is called soon, or once the registration is on stable storage."""
        self._arrived.append((request, answer))
        if len(self._arrived) == 1:
            # what the other clients sent meanwhile is judged with it: proofs of work cost far less side by side
            asyncio.get_running_loop().call_soon(self._judge_arrived)

    def _judge_arrived(self) -> None:
        arrived, self._arrived = self._arrived, []
        if not arrived:
            return
        self._advance(self.clock())
        for at in range(0, len(arrived), JUDGED_TOGETHER):
            group = arrived[at : at + JUDGED_TOGETHER]
            digests = self.machine.pow_digests([request for request, _ in group])
            for (request, answer), digest in zip(group, digests, strict=True):
                self._judge(request, answer, digest)

    def _judge(self, request: Submit, answer: Answer, pow_digest: bytes | None) -> None:
        now = self.clock()
        self._advance(now)
        try:
            verdict = self.machine.submit(request, now, pow_digest)
        except ProofError as error:  # what is registered cannot be read
            self._note_fault("registrations", f"registrations cannot be looked up: {error}")
            answer(NOT_WRITTEN)
            return
        if not isinstance(verdict, Queued):
            answer(verdict)
            return
        registered = Registered(verdict.round_id, verdict.end_ns)
        self._waiting.setdefault(verdict.batch, []).append((answer, registered))
        self._plan_flush()

    def _plan_flush(self) -> None:
        """Writes soon: at once if the queue was idle, else so that a few milliseconds share one sync."""
        loop = asyncio.get_running_loop()
        if self.as_reference:
            if self.machine.queue_is_full:
                self._flush()
            elif self._flush_timer is None:
                self._flush_timer = loop.call_later(self.config.submit_flush_interval_ns / 1e9, self._flush)
            return
        if self._flush_timer is None:
            spacing = min(FLUSH_SPACING_S, self.config.submit_flush_interval_ns / 1e9)
            wait = self._last_flush + spacing - loop.time()
            self._flush_timer = loop.call_soon(self._flush) if wait <= 0 else loop.call_later(wait, self._flush)

    def _flush(self) -> None:
        if self._flush_timer is not None:
            self._flush_timer.cancel()
            self._flush_timer = None
        batch = self.machine.take_batch()
        if batch is None:
            return
        loop = asyncio.get_running_loop()
        self._last_flush = loop.time()
        store = self._open_round_store(batch.round_id)
        began = time.perf_counter()
        writing = loop.run_in_executor(self._helper, store.write, batch.entries)
        writing.add_done_callback(lambda done: self._written(batch, began, done))

    def _written(self, batch: Batch, began: float, done: asyncio.Future[None]) -> None:
        error = None if done.cancelled() else done.exception()
        self.on_batch(time.perf_counter() - began)
        self.machine.written(batch, failed=error is not None)
        if error is not None:
            self._note_fault("registrations", f"registrations are not stored: {error}")
        else:
            self._clear_fault("registrations")
        for answer, registered in self._waiting.pop(batch.number, ()):
            answer(registered if error is None else NOT_WRITTEN)
        if self.machine.has_queued:
            if self.machine.has_closing or self._stopping:
                self._flush()
            else:
                self._plan_flush()

    @property
    def fault(self) -> str:
        """What keeps registrations or proofs from being stored; empty if nothing does."""
        return " ".join(self._faults.values())

    def _note_fault(self, what: str, problem: str) -> None:
        """Shows a fault, and logs it unless it is known."""
        if self._faults.get(what) != problem:
            log.error("%s", problem)
        self._faults[what] = problem

    def _clear_fault(self, what: str) -> None:
        if self._faults.pop(what, None) is not None:
            log.info("%s: all is well again", what)

    def pow_params(self) -> PowParams:
        """The proof of work that is asked for now."""
        return self.machine.pow.params()

    def certifier(self) -> tuple[str, bytes] | None:
        """Url and key of the certifier, as told to clients."""
        config = self.config
        if not (config.certifier_url or config.certifier_pubkey or self.as_reference):
            return None
        return config.certifier_url or "", config.certifier_pubkey or b""

    def reload_trusted_keys(self) -> Refused | None:
        """Reads the trusted keys anew; on a failure the former ones stay in force."""
        if not self.has_certifier:
            return Refused(Code.UNKNOWN, "certificate is not supported")
        if self.config.trusted_keys is None:
            return Refused(Code.UNKNOWN, "trusted keys directory path is not set in the configuration")
        try:
            others = load_trusted_keys(self.config.trusted_keys)
        except DataError as error:
            return Refused(Code.UNKNOWN, str(error))
        self.machine.trusted = replace(self.machine.trusted, others=others)
        log.info("%d trusted keys loaded", len(others))
        return None

    # Rounds

    def _arm_close(self) -> None:
        """Looks at the clock when the round should close, and every second before, for clocks are set."""
        if self._stopping:
            return
        left = (self.machine.next_deadline() - self.clock()) / 1e9
        wait = min(max(left, 0.0), CLOCK_CHECK_S)
        self._close_timer = asyncio.get_running_loop().call_later(wait, self._look)

    def _look(self) -> None:
        try:
            self.tick()
        finally:
            self._arm_close()

    def tick(self) -> None:
        """Looks at the clock now."""
        self._advance(self.clock())

    def _advance(self, now: int) -> None:
        close = self.machine.advance(now)
        if close is not None:
            self._close(close)

    def _close(self, close: Close) -> None:
        log.info("round %d has closed, round %d is open", close.round_id, close.opened)
        try:
            self._open_round_store(close.opened)
        except ProofError as error:
            self._note_fault("registrations", str(error))
            self._stores[close.opened] = RoundStore(self._rounds_path(close.opened))  # its first use tries again
        self._closing.add(close.round_id)
        self._flush()
        self._spawn(self._hand_over(close.round_id))

    async def _hand_over(self, round_id: int) -> None:
        """Computes the root of a closed round's members and gives the round to the worker."""
        while not self.machine.is_flushed(round_id):
            await asyncio.sleep(0.002)
        loop = asyncio.get_running_loop()
        while True:
            try:
                statement = await loop.run_in_executor(self._helper, self._root_of, round_id)
                break
            except EnvironmentFault as error:
                self._note_fault(f"round {round_id}", f"round {round_id} cannot be worked on yet: {error}")
                await asyncio.sleep(RETRY_S)
            except ProofError as error:
                self._note_fault(f"round {round_id}", f"round {round_id} cannot be worked on: {error}")
                return
        self._clear_fault(f"round {round_id}")
        self._closing.discard(round_id)
        log.info("round %d goes to the worker, statement %s", round_id, statement.hex())
        self.worker.tell(Assignment(round_id, statement))

    def _root_of(self, round_id: int) -> bytes:
        members = self._members_of(round_id)
        self._members_in_work[round_id] = len(members)
        return root_of(members)

    def _members_of(self, round_id: int) -> list[bytes]:
        store = self._stores.get(round_id) or RoundStore.open(self._rounds_path(round_id))
        try:
            members = store.challenges()
        finally:
            store.close()
        self._stores.pop(round_id, None)
        return members

    # Proofs

    def _received(self, message: FromWorker) -> None:
        if isinstance(message, Progress):
            self.progress = message
        else:
            self._spawn(self._store_proof(message))

    async def _store_proof(self, finished: Finished) -> None:
        loop = asyncio.get_running_loop()
        what = f"the proof of round {finished.round_id}"
        while True:
            try:
                if await loop.run_in_executor(self._helper, self._put_proof, finished):
                    self.machine.proof_stored(finished.nip.root)
                    log.info("round %d has its proof, %d leaves", finished.round_id, finished.num_leaves)
                self._clear_fault(what)
                self._members_in_work.pop(finished.round_id, None)
                self.worker.tell(Stored(finished.round_id))
                return
            except ProofError as error:
                self._note_fault(what, f"the proof of round {finished.round_id} is not stored: {error}")
                await asyncio.sleep(RETRY_S)

    def _put_proof(self, finished: Finished) -> bool:
        """Stores a proof; False if it was there already."""
        if self.proofs.has(finished.round_id):
            return False
        members = self._members_of(finished.round_id)
        record = ProofRecord(finished.nip, tuple(members), finished.num_leaves, self.pubkey, str(finished.round_id))
        if self.as_reference or not finished.nip.root:
            self.proofs.put(record)
        else:
            # the rotation is stored with the proof: a restart does not bring an old challenge back
            self.proofs.put(record, current=finished.nip.root, previous=self.machine.pow.current)
        if self.config.keep_rounds is not None:
            for old in self.proofs.rounds()[: -max(1, self.config.keep_rounds)]:
                shutil.rmtree(self._rounds_path(old), ignore_errors=True)
                self.proofs.delete(old)
        return True

    def members_without_proof(self) -> dict[int, int]:
        """Round to number of members, for the open round and those in work."""
        return {**self._members_in_work, self.machine.open_round: self.machine.members}

    def proof(self, round_id: str) -> ProofRecord | Refused:
        """The proof of a round, by its decimal id."""
        number = round_id.isascii() and round_id.isdigit() and len(round_id) <= 10
        if not number and not self.as_reference:
            return PROOF_NOT_FOUND  # other rows of the database are no proofs
        try:
            record = self.proofs.get(round_id)
        except ProofError as error:
            return Refused(Code.INTERNAL, str(error))
        return PROOF_NOT_FOUND if record is None else record
