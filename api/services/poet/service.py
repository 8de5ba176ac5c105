"""The PoET service behind its interfaces: the registration machine with its clock, its writes and its timers.

HTTP and gRPC ask this object; it turns what `prover.poet.server.registration` decides into writes, timers and work.
All of it runs in one event loop; only writes go to the helper thread. A submit is answered after its batch is on
stable storage. Specified in protocol 02-poet, sections 7 and 8.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from api.edge.errors import EnvironmentFault
from api.edge.lock import DirectoryLock
from api.services.poet import identity
from api.services.poet.clock import Now, SteadyClock, settling_ns, since_boot
from api.services.poet.config import LOCK_NAME, Config
from api.services.poet.conflicts import Conflicts
from api.services.poet.faults import Faults
from api.services.poet.rounds import Rounds
from api.services.poet.worker_link import WorkerLink
from protocol.poet.registration import PowParams
from prover.errors import DataError, ProofError
from prover.poet.server.messages import FromWorker, Progress
from prover.poet.server.records import ProofRecord
from prover.poet.server.registration import (
    CONFLICT,
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
from prover.poet.server.store import ProofStore, migrate

log = logging.getLogger("poet")

FLUSH_SPACING_S = 0.004
"""Between the starts of two writes under load: what arrives meanwhile shares the next write's sync."""
CLOCK_CHECK_S = 1.0
"""A clock that was set is noticed within this time."""
JUDGED_TOGETHER = 256
"""Registrations whose proofs of work are hashed side by side at most."""
LONGEST_ROUND_ID = 10
"""Digits."""

Answer = Callable[[Refused | Registered], None]


class PoetService:
    """One server's state and what may be asked of it."""

    no_proof = Refused(Code.NOT_FOUND, "proof not found")

    def __init__(
        self,
        config: Config,
        worker: WorkerLink,
        *,
        wall: Now = time.time_ns,
        monotonic: Now = since_boot,
        pow_challenge: bytes | None = None,
    ) -> None:
        """wall, monotonic: the clock that may be set, and the one that nobody sets; in nanoseconds."""
        self.config = config
        self.time = SteadyClock(settling_ns(config.schedule.cycle_gap_ns), wall, monotonic)
        self.worker = worker
        self.progress = Progress()
        self.conflicts = Conflicts()
        self._faults = Faults()
        self.on_batch: Callable[[float], None] = lambda seconds: None
        """Told how long each write took."""
        self._initial_pow = pow_challenge
        self._lock: DirectoryLock | None = None
        self._waiting: dict[int, list[tuple[Answer, Registered]]] = {}
        self._helper = ThreadPoolExecutor(1, "poet-store")
        self.rounds = Rounds(config, worker, self._helper, self._faults)
        self._arrived: list[tuple[Submit, Answer]] = []
        self._flush_timer: asyncio.Handle | None = None
        self._last_flush = 0.0
        self._close_timer: asyncio.TimerHandle | None = None
        self._known_ns: int | None = None
        """A moment that has passed for certain: the last round whose work has begun closed then."""
        self._stopping = False
        self._opened = False

    # Start and end

    def open(self) -> None:
        """Takes the directories, the key and the databases. Raises ProofError, Failure; call before `start`."""
        config = self.config
        try:
            config.datadir.mkdir(parents=True, exist_ok=True)
            config.rounds_dir.mkdir(exist_ok=True)
            config.dbdir.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise EnvironmentFault(f"{error.filename} cannot be used as a directory: {error.strerror}.") from None
        self._lock = DirectoryLock.take(config.datadir / LOCK_NAME, "PoET server")
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
        self.trusted = identity.load_trusted(config)
        self.proofs = ProofStore.always(config.dbdir / "proofs")
        if self.proofs.salvaged:
            log.error("%s", self.proofs.salvaged)
        self.rounds.open(self.proofs, self.pubkey)
        round_id = self._first_open_round(self.clock())
        store = self.rounds.open_store(round_id)
        members = store.count()
        for torn in filter(None, (self.proofs.torn, store.torn)):
            log.warning("%s", torn)
        self.machine = self.rounds.machine = Registration(
            config.schedule,
            Policy(
                config.max_round_members,
                certifier=self.has_certifier,
            ),
            self.trusted,
            identity.load_pow(self.proofs, config.pow_difficulty, self._initial_pow),
            self.rounds.stored_challenge,
            open_round=round_id,
            members=members,
        )
        self._opened = True

    @property
    def has_certifier(self) -> bool:
        """Whether certificates are looked at."""
        config = self.config
        return bool(config.certifier_url or config.certifier_pubkey or config.trusted_keys)

    def _first_open_round(self, now: int) -> int:
        """By the clock, but never a round whose statement was fixed before the clock was set back."""
        open_round = self.config.schedule.open_round(now)
        last = self.rounds.last_begun()
        if last < open_round:
            return open_round
        self._known_ns = self.config.schedule.start(last)
        log.error("%s", self.clock_problem)
        return last + 1

    async def start(self) -> None:
        """Starts the worker and the clock; rounds that closed while nobody was here are handed over."""
        await self.worker.start(self._received)
        self.rounds.hand_over_left(self.clock())
        self._arm_close()

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
        while self.machine.pending or not all(map(self.machine.is_flushed, self.rounds.closing)):
            self._flush()
            await asyncio.sleep(0.001)
        await self.worker.stop()
        await self.rounds.stop()
        self._helper.shutdown(wait=True)
        self._close_files()

    def _close_files(self) -> None:
        self.rounds.close()
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    # Time

    def clock(self) -> int:
        """The time that rounds go by, Unix nanoseconds."""
        return self.time()

    @property
    def clock_problem(self) -> str:
        """Why rounds wait for the clock; empty when they do not."""
        known = self._known_ns
        if known is not None and (behind := known - self.clock()) > 0:
            return (
                f"the clock of this machine is at least {behind / 1e9:,.0f} s behind: a round whose work has begun "
                "closes later than it shows. Nobody can register until it is right"
            )
        self._known_ns = None
        return self.time.problem

    def _arm_close(self) -> None:
        """Looks at the clock when the round should close, and every second before, for clocks are set."""
        if self._stopping:
            return
        left = (self.machine.next_deadline() - self.clock()) / 1e9
        wait = min(max(left, 0.0), CLOCK_CHECK_S) if not self.time.problem else CLOCK_CHECK_S
        self._close_timer = asyncio.get_running_loop().call_later(wait, self._look)

    def _look(self) -> None:
        try:
            self.tick()
        finally:
            self._arm_close()

    def tick(self) -> None:
        """Looks at the clock now."""
        jumps = self.time.jumps
        now = self.clock()
        if self.time.jumps != jumps:
            log.error("%s", self.time.problem)
        self._advance(now)

    def _advance(self, now: int) -> None:
        if self.time.problem:
            return
        close = self.machine.advance(now)
        if close is not None:
            self._close(close)

    def _close(self, close: Close) -> None:
        log.info("round %d has closed, round %d is open", close.round_id, close.opened)
        self.rounds.open_next(close.opened)
        self._flush()
        self.rounds.hand_over(close.round_id)

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
        if self._known_ns is not None and self.clock_problem:
            answer(Refused(Code.UNAVAILABLE, "the clock of this server is being set; try again later"))
            return
        try:
            verdict = self.machine.submit(request, now, pow_digest)
        except ProofError as error:  # what is registered cannot be read
            self._faults.note("registrations", f"registrations cannot be looked up: {error}")
            answer(NOT_WRITTEN)
            return
        if verdict is CONFLICT:
            self.conflicts.count(request.pubkey, now)
        if not isinstance(verdict, Queued):
            answer(verdict)
            return
        registered = Registered(verdict.round_id, verdict.end_ns)
        self._waiting.setdefault(verdict.batch, []).append((answer, registered))
        self._plan_flush()

    def _plan_flush(self) -> None:
        """Writes soon: at once if the queue was idle, else so that a few milliseconds share one sync."""
        loop = asyncio.get_running_loop()
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
        store = self.rounds.open_store(batch.round_id)
        began = time.perf_counter()
        writing = loop.run_in_executor(self._helper, store.write, batch.entries)
        writing.add_done_callback(lambda done: self._written(batch, began, done))

    def _written(self, batch: Batch, began: float, done: asyncio.Future[None]) -> None:
        error = None if done.cancelled() else done.exception()
        self.on_batch(time.perf_counter() - began)
        self.machine.written(batch, failed=error is not None)
        if error is not None:
            self._faults.note("registrations", f"registrations are not stored: {error}")
        else:
            self._faults.clear("registrations")
        for answer, registered in self._waiting.pop(batch.number, ()):
            answer(registered if error is None else NOT_WRITTEN)
        if self.machine.has_queued:
            if self.machine.has_closing or self._stopping:
                self._flush()
            else:
                self._plan_flush()

    # What is told

    @property
    def fault(self) -> str:
        """What keeps registrations or proofs from being stored; empty if nothing does."""
        return str(self._faults)

    def pow_params(self) -> PowParams:
        """The proof of work that is asked for now."""
        return self.machine.pow.params()

    def certifier(self) -> tuple[str, bytes] | None:
        """Url and key of the certifier, as told to clients."""
        config = self.config
        if not (config.certifier_url or config.certifier_pubkey):
            return None
        return config.certifier_url or "", config.certifier_pubkey or b""

    def reload_trusted_keys(self) -> Refused | None:
        """Reads the trusted keys anew; on a failure the former ones stay in force."""
        if not self.has_certifier:
            return Refused(Code.UNKNOWN, "certificate is not supported")
        if self.config.trusted_keys is None:
            return Refused(Code.UNKNOWN, "trusted keys directory path is not set in the configuration")
        try:
            others = identity.read_trusted(self.config.trusted_keys)
        except DataError as error:
            return Refused(Code.UNKNOWN, str(error))
        self.machine.trusted = replace(self.machine.trusted, others=others)
        log.info("%d trusted keys loaded", len(others))
        return None

    def _received(self, message: FromWorker) -> None:
        if isinstance(message, Progress):
            self.progress = message
        else:
            self.rounds.finished(message)

    def members_without_proof(self) -> dict[int, int]:
        """Round to number of members, for the open round and those in work."""
        return {**self.rounds.members_in_work, self.machine.open_round: self.machine.members}

    def may_have_proof(self, round_id: str) -> bool:
        """Whether it is worth to look for the proof of a round, by its id as it came: `00` is not `0`."""
        if not (round_id.isascii() and round_id.isdigit() and len(round_id) <= LONGEST_ROUND_ID):
            return False  # other rows of the database are no proofs
        try:
            return str(int(round_id)) == round_id and self.proofs.has(int(round_id))
        except ProofError:
            return True  # looking for it says what is wrong

    def proof(self, round_id: str) -> ProofRecord | Refused:
        """The proof of a round, by its decimal id. From any thread."""
        if not self.may_have_proof(round_id):
            return self.no_proof
        try:
            record = self.proofs.get(round_id)
        except ProofError as error:
            return Refused(Code.INTERNAL, str(error))
        return self.no_proof if record is None else record
