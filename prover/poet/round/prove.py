"""One round of sequential work: from its statement to its proof, whatever happens in between.

One thread does nothing but hash, in a single compiled call without the interpreter lock, for as long as the round
lasts; it leaves the finished nodes of the kept layer in a ring. The thread that called `run` looks at the clock,
empties the ring and brings it to disk every second. At the end the proof is drawn, and judged by our own verifier
before anybody sees it. Protocol 02-poet, sections 3 and 8.

More than 400 lines, because the thread that hashes and the one that writes share one ring and one order of stopping.
"""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from kernels.posw import sha256
from protocol.types.poet import NODE_SIZE, SECURITY_PARAM, MerkleProof, PoetProof
from prover import durable
from prover.errors import DataError, EnvironmentFault, Interrupted, UsageError
from prover.poet.round import layers, processors, takeover
from prover.poet.round.extract import DamagedNodes, StopFlag, extract
from prover.poet.round.recovery import Recovery, recover
from prover.poet.round.verify import PoetProofInvalid, verify

Clock = Callable[[], float]
"""Unix seconds."""

LOOK_S = 0.2
"""The clock is looked at so often at least: it may jump."""

RING_BYTES = 8 << 20
"""Room for finished nodes until they are taken: four seconds where every leaf is kept, hours in a long round."""

RATE_WINDOW_S = 10.0


@dataclass(frozen=True, slots=True)
class ProverConfig:
    """How a round is worked on; nothing here changes a byte of its proof."""

    directory: Path
    """Where the round's files are; made if it is not there."""
    expected_leaves: int = 0
    """How many leaves the round is expected to have; chooses the kept layer."""
    kept_height: int | None = None
    """The kept layer, 0 to 63, instead of that choice."""
    security_param: int = SECURITY_PARAM
    """Leaves to prove, and the least number of leaves that are made whatever the deadline."""
    checkpoint_s: float = 1.0
    """Seconds between checkpoints: so much work is lost at a kill, and a block of the kept layer."""
    cpu: int | None = None
    """The processor that the hashing thread is bound to; the thread that called `run` leaves it meanwhile."""
    realtime: bool = False
    """Whether the hashing thread asks for real-time priority."""
    threads: int | None = None
    """Threads that draw the proof; default one a usable core."""
    thread_file: Path | None = None
    """Where the system's id of the hashing thread is written, for who binds it from outside."""

    @property
    def height(self) -> int:
        """The layer that is kept."""
        return layers.kept_height(self.expected_leaves) if self.kept_height is None else self.kept_height


@dataclass(frozen=True, slots=True)
class Proof:
    """What a round ends with."""

    num_leaves: int
    merkle_proof: MerkleProof

    @property
    def root(self) -> bytes:
        """The root of all leaves."""
        return self.merkle_proof.root

    @property
    def proven_leaves(self) -> tuple[bytes, ...]:
        """The labels that were drawn, in the order of their indices."""
        return self.merkle_proof.proven_leaves

    @property
    def proof_nodes(self) -> tuple[bytes, ...]:
        """The nodes that lead from them to the root, in post-order."""
        return self.merkle_proof.proof_nodes

    @property
    def poet_proof(self) -> PoetProof:
        """As nodes exchange it."""
        return PoetProof(self.merkle_proof, self.num_leaves)


class RoundProver:
    """The work of one round. `run` once; the properties and `stop` may be used from any thread meanwhile."""

    def __init__(self, config: ProverConfig, statement: bytes, *, clock: Clock = time.time) -> None:
        """A new round in the directory. Raises UsageError when a round is there already, EnvironmentFault."""
        try:
            durable.make_directory(config.directory)
            takeover.refuse_layer_files(config.directory)
            layer = layers.KeptLayer.create(config.directory, statement, config.height)
        except OSError as error:
            raise _no_disk(config.directory, error) from error
        self._setup(config, statement, clock, layer, sha256.new_slots(), 0, Recovery(0))

    @classmethod
    def resume(
        cls,
        config: ProverConfig,
        statement: bytes,
        *,
        clock: Clock = time.time,
        reference_leaves: int | None = None,
        stopped: Callable[[], bool] = lambda: False,
    ) -> RoundProver:
        """Goes on with the round in the directory, from the last good node; `recovery` says what was found and lost.

        Without a round there it begins one, from the reference's `layercache_*` files where these are there:
        reference_leaves is then the number of leaves in its state.bin, and the files stay as they are. Raises
        UsageError for a round over another statement, EnvironmentFault, Interrupted when `stopped` says so.
        """
        try:
            durable.make_directory(config.directory)
            return cls._resume(config, statement, clock, reference_leaves, stopped)
        except OSError as error:
            raise _no_disk(config.directory, error) from error

    @classmethod
    def _resume(
        cls,
        config: ProverConfig,
        statement: bytes,
        clock: Clock,
        reference_leaves: int | None,
        stopped: Callable[[], bool],
    ) -> RoundProver:
        directory = config.directory
        prover = cls.__new__(cls)
        lost: tuple[str, ...] = ()
        if layers.has_round(directory):
            try:
                log = layers.open_log(directory, statement, config.height)
                layer, slots, recovery = recover(directory, log, stopped)
                prover._setup(config, statement, clock, layer, slots, log.closed, recovery)
                return prover
            except layers.DamagedLog as error:
                layers.put_aside(directory)
                lost = (str(error),)
        taken = takeover.take_over(directory, statement, config.height, reference_leaves, stopped)
        layer = layers.KeptLayer.create(directory, statement, config.height)
        if taken is None:
            prover._setup(config, statement, clock, layer, sha256.new_slots(), 0, Recovery(0, notes=lost))
        else:
            layer.append(taken.nodes)
            layer.commit()
            recovery = Recovery(layer.count << layer.height, taken.repaired, 0, (*lost, *taken.notes))
            prover._setup(config, statement, clock, layer, taken.slots, 0, recovery)
        return prover

    def _setup(
        self,
        config: ProverConfig,
        statement: bytes,
        clock: Clock,
        layer: layers.KeptLayer,
        slots: sha256.Bytes,
        closed: int,
        recovery: Recovery,
    ) -> None:
        self._config = config
        self._statement = statement
        self._clock = clock
        self._layer = layer
        self._slots = slots
        self._closed = closed
        self.recovery = recovery
        """What the round stood on when it was taken up."""
        self.problem = ""
        """What keeps the work from disk at the moment, for a person; empty if nothing does."""
        self.notes: list[str] = list(recovery.notes)
        """Things worth an operator's eye since the round was taken up."""
        self.state = "idle"
        """idle, working, proving, done."""
        self._control = np.zeros(3, np.int64)
        self._control[sha256.DONE] = layer.count << layer.height
        self._control[sha256.TAKEN] = layer.count
        self._ring = np.zeros(RING_BYTES, np.uint8)
        self._stop_flag = StopFlag()
        self._hashing = False
        self._stopping = False
        self._stop_at = 0
        self._wake = threading.Event()
        self._room = threading.Event()
        self._began = self._first = 0.0
        self._samples: deque[tuple[float, int]] = deque()
        self._thread_error: BaseException | None = None

    # ---- what others may ask ----

    @property
    def leaves_done(self) -> int:
        """Leaves that are made."""
        return int(self._control[sha256.DONE])

    @property
    def durable_leaves(self) -> int:
        """Leaves that a kill at this moment would not lose."""
        return self._layer.durable << self._layer.height

    @property
    def kept_height(self) -> int:
        """The layer of the tree that is kept."""
        return self._layer.height

    @property
    def disk_bytes(self) -> int:
        """Bytes of the round's files."""
        return self._layer.disk_bytes

    @property
    def rate(self) -> float:
        """Leaves per second over the last ten seconds."""
        samples = list(self._samples)
        if len(samples) < 2 or samples[-1][0] <= samples[0][0]:
            return 0.0
        return (samples[-1][1] - samples[0][1]) / (samples[-1][0] - samples[0][0])

    @property
    def mean_rate(self) -> float:
        """Leaves per second since this process took the round up."""
        if not self._samples or self._samples[-1][0] <= self._began:
            return 0.0
        return (self._samples[-1][1] - self._first) / (self._samples[-1][0] - self._began)

    def stop(self, at_leaves: int = 0) -> None:
        """From any thread: checkpoint and return soon, or once there are `at_leaves`; `run` raises Interrupted.

        This object cannot go on after that; the round can, with `resume`.
        """
        self._stop_at = at_leaves
        self._stopping = True
        self._control[sha256.LIMIT] = at_leaves
        self._stop_flag.set()
        self._room.set()
        self._wake.set()

    # ---- the work ----

    def run(
        self,
        deadline: Callable[[], float] | float = 0.0,
        *,
        leaves: int | None = None,
        on_progress: Callable[[RoundProver], None] | None = None,
    ) -> Proof:
        """Makes leaves until the deadline (by the clock), at least security_param, and draws the proof.

        `leaves` fixes their number instead; a round that had ended before it was resumed keeps the number it had.
        on_progress is called in this thread, after each checkpoint. Blocks. Raises Interrupted after `stop`,
        UsageError when there are more than `leaves` already, DataError when no valid proof can be drawn.
        """
        fixed = self._closed or leaves
        if fixed is not None and not 0 < fixed < 1 << 62:
            raise UsageError(f"A round of {fixed} leaves cannot be proved; expected at least one.")
        if fixed is not None and self.leaves_done > fixed:
            raise UsageError(f"The round has {self.leaves_done} leaves already, more than the {fixed} asked for.")
        ends = deadline if callable(deadline) else lambda: deadline
        try:
            with processors.without(self._config.cpu):
                self._work(fixed, ends, on_progress)
            if self._stopping:
                raise Interrupted(
                    f"The round was interrupted at {self.leaves_done} leaves, {self.durable_leaves} of them are on "
                    f"disk in {self._config.directory}; resume it to go on."
                )
            with processors.including(self._config.cpu):
                return self._draw(on_progress)
        finally:
            self._layer.close()

    def _work(
        self, fixed: int | None, ends: Callable[[], float], on_progress: Callable[[RoundProver], None] | None
    ) -> None:
        limit = fixed or 1 << 62
        if fixed is None and self._clock() >= ends():
            limit = self._config.security_param
        self._set_limit(limit)
        self._began = time.monotonic()
        self._first = self.leaves_done
        self._sample()
        self.state = "working"
        self._hashing = True
        thread = threading.Thread(target=self._hash, name="poet-hash", daemon=True)
        thread.start()
        next_checkpoint = self._began + self._config.checkpoint_s
        try:
            while self._hashing:
                if fixed is None and limit > self._config.security_param and self._clock() >= ends():
                    limit = self._config.security_param
                    self._set_limit(limit)
                    self._room.set()
                now = time.monotonic()
                if now >= next_checkpoint:
                    self._checkpoint(0)
                    self._report(on_progress)
                    next_checkpoint = max(next_checkpoint + self._config.checkpoint_s, time.monotonic())
                self._take()
                left = LOOK_S if fixed is not None else min(LOOK_S, max(ends() - self._clock(), 0.0005))
                self._wake.wait(max(0.0, min(left, next_checkpoint - time.monotonic())))
                self._wake.clear()
        finally:
            self._control[sha256.LIMIT] = 0
            self._room.set()
            thread.join()
        if self._thread_error is not None:
            raise self._thread_error
        self._checkpoint(0 if self._stopping else self.leaves_done)
        self._report(on_progress)

    def _set_limit(self, leaves: int) -> None:
        self._control[sha256.LIMIT] = leaves
        if self._stopping:
            self._control[sha256.LIMIT] = self._stop_at

    def _hash(self) -> None:
        """The hashing thread: comes back into the interpreter only when the round ends or the ring is full."""
        try:
            self._prepare_thread()
            statement = sha256.as_array(self._statement)
            while True:
                sha256.advance(statement, self._slots, self._ring, self._layer.height, self._control)
                if self._control[sha256.DONE] >= self._control[sha256.LIMIT]:
                    break
                self._room.clear()
                self._wake.set()
                self._room.wait(LOOK_S)
        except BaseException as error:
            self._thread_error = error
        finally:
            self._hashing = False
            self._wake.set()

    def _prepare_thread(self) -> None:
        thread = threading.get_native_id()
        config = self._config
        if config.thread_file is not None:
            try:
                config.thread_file.write_text(str(thread))
            except OSError as error:
                self.notes.append(f"{config.thread_file} could not be written: {error.strerror}.")
        if config.cpu is not None:
            try:
                os.sched_setaffinity(thread, {config.cpu})
            except (OSError, AttributeError, ValueError) as error:
                self.notes.append(f"The hashing thread is not bound to processor {config.cpu}: {error}.")
        if config.realtime:
            try:
                os.sched_setscheduler(thread, os.SCHED_FIFO, os.sched_param(1))
            except (OSError, AttributeError) as error:
                self.notes.append(f"The hashing thread has no real-time priority: {error}.")

    def _take(self) -> None:
        """Takes finished nodes out of the ring, into memory."""
        end = sha256.leaves_done(self._control) >> self._layer.height
        places = len(self._ring) // NODE_SIZE
        taken = int(self._control[sha256.TAKEN])
        while taken < end:
            at = taken % places
            count = min(end - taken, places - at)
            self._layer.append(self._ring[NODE_SIZE * at : NODE_SIZE * (at + count)].tobytes())
            taken += count
        self._control[sha256.TAKEN] = taken
        self._room.set()

    def _checkpoint(self, closed: int) -> None:
        """Brings what there is to disk; where that fails the round goes on in memory and it is tried again."""
        self._take()
        try:
            self._layer.commit(closed)
        except OSError as error:
            self.problem = (
                f"The round is not saved: {error.strerror or error} ({self._config.directory}); "
                f"{self._layer.count - self._layer.durable} nodes wait in memory. Make room; it is tried again."
            )
            self._layer.close()
            return
        self.problem = ""

    def _sample(self) -> None:
        now = time.monotonic()
        self._samples.append((now, self.leaves_done))
        while now - self._samples[0][0] > RATE_WINDOW_S and len(self._samples) > 2:
            self._samples.popleft()

    def _report(self, on_progress: Callable[[RoundProver], None] | None) -> None:
        self._sample()
        if on_progress is not None:
            on_progress(self)

    # ---- the proof ----

    def _draw(self, on_progress: Callable[[RoundProver], None] | None) -> Proof:
        self.state = "proving"
        self._report(on_progress)
        try:
            merkle_proof = self._extract()
        except (DamagedNodes, PoetProofInvalid) as error:
            self.notes.append(f"{error} It is mended now.")
            merkle_proof = self._extract_mended()
        self.state = "done"
        return Proof(self.leaves_done, merkle_proof)

    def _extract(self) -> MerkleProof:
        config, num_leaves = self._config, self.leaves_done
        proof = extract(self._layer, num_leaves, config.security_param, config.threads, self._stop_flag, self._slots)
        if 0 < config.security_param <= num_leaves:
            verify(proof, self._statement, num_leaves, config.security_param)
        return proof

    def _extract_mended(self) -> MerkleProof:
        """The proof after the kept layer was checked and its damaged nodes were made again."""
        if self._layer.count != self._layer.durable:
            raise DataError(f"The round's kept layer is damaged, and {self.problem}")
        try:
            self._layer.close()
            log = layers.open_log(self._config.directory, self._statement, self._layer.height)
            layer, _, found = recover(self._config.directory, log, lambda: self._stopping)
        except OSError as error:
            raise _no_disk(self._config.directory, error) from error
        self.notes += found.notes
        if found.lost_nodes:
            layer.close()
            raise DataError(
                f"The kept layer in {self._config.directory} was damaged beyond what its checksums can mend; resume "
                f"the round: it goes on from leaf {found.leaves}."
            )
        self._layer = layer
        try:
            return self._extract()
        except (DamagedNodes, PoetProofInvalid) as error:
            raise DataError(
                f"No valid proof can be drawn ({error}). The leaves contradict what was kept of them, though all "
                "checksums hold: suspect the memory or the processor of this machine."
            ) from error


def _no_disk(directory: Path, error: OSError) -> EnvironmentFault:
    return EnvironmentFault(f"{error.filename or directory}: {error.strerror or error}.")
