"""The worker of a PoET server: works on closed rounds one after another, and goes on with what it finds on disk.

A round's directory holds `state.bin` in the reference's format and the prover's checkpoints. A proof is written
there before it is published, and the directory goes when the registration says that the proof is stored: a kill at
any moment leaves either a round to go on with or a proof to publish again. Specified in protocol 02-poet,
section 8.
"""

from __future__ import annotations

import logging
import shutil
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from protocol.numbers.time import Time
from protocol.types.poet import SECURITY_PARAM
from prover import durable
from prover.errors import DataError, EnvironmentFault, Interrupted, ProofError
from prover.poet.round.execution import Execution, Measure, Settings
from prover.poet.server.messages import Finished, FromWorker, Progress, Stored, ToWorker
from prover.poet.server.records import STATE_FILE, RoundState, read_round_state, write_round_state
from prover.poet.server.rounds import Schedule
from prover.poet.server.store import stored_rounds

log = logging.getLogger("poet.worker")

THREAD_FILE = "round.tid"
"""The thread id of the hashing thread, for an operator who pins it from outside."""
RETRY_S = 5.0

Emit = Callable[[FromWorker], None]


@dataclass(frozen=True, slots=True)
class WorkerConfig:
    """What a worker needs to know."""

    datadir: Path
    schedule: Schedule
    settings: Settings = field(default_factory=Settings)

    @property
    def rounds(self) -> Path:
        """Where the rounds in work lie."""
        return self.datadir / "rounds"


class Worker:
    """Works in the thread that calls `run`; everything else may be called from other threads."""

    def __init__(
        self,
        config: WorkerConfig,
        emit: Emit,
        *,
        clock: Callable[[], int] = time.time_ns,
        leaves: Callable[[int], int | None] = lambda round_id: None,
        until_idle: bool = False,
    ) -> None:
        """until_idle: `run` returns when the proof of a round was drawn and stored and nothing is left to do."""
        self._config = config
        self._until_idle = until_idle
        self._has_worked = False
        self._emit = emit
        self._clock = clock
        self._leaves = leaves
        """The number of leaves at which a round ends instead of its deadline, for tests; None: the deadline."""
        self._changed = threading.Condition()
        self._todo: dict[int, bytes | None] = {}
        """Rounds to work on; the statement, or None where the directory has it."""
        self._published: set[int] = set()
        self._stopping = False
        self._execution: Execution | None = None
        self._problems: dict[int, str] = {}
        self._unsaved: dict[int, RoundState] = {}
        """Rounds whose proof could not be written to their directory yet."""

    # From other threads

    def tell(self, message: ToWorker) -> None:
        """A message from the registration."""
        with self._changed:
            if isinstance(message, Stored):
                self._published.discard(message.round_id)
                self._todo.pop(message.round_id, None)
                self._unsaved.pop(message.round_id, None)
                self._problems.pop(message.round_id, None)
                try:
                    self._drop(message.round_id)
                except OSError as error:
                    # what is left of it is dropped at the next start, when the proof is published once more
                    self._note(message.round_id, f"its files could not be removed: {error}")
            elif message.round_id not in self._todo and message.round_id not in self._published:
                self._todo[message.round_id] = message.statement
            self._changed.notify_all()

    def stop(self) -> None:
        """Makes `run` return soon, at a checkpoint."""
        with self._changed:
            self._stopping = True
            if self._execution is not None:
                self._execution.stop()
            self._changed.notify_all()

    # In the working thread

    def run(self) -> None:
        """Works until `stop`, or until there is nothing to do. Raises nothing that one round can cause."""
        durable.make_directory(self._config.rounds, 0o777)
        self._recover()
        while True:
            with self._changed:
                self._save_proofs()
                while not self._todo and not self._stopping:
                    if self._until_idle and self._has_worked and not self._published:
                        return
                    self._report(Progress("waiting" if self._published else "idle"))
                    self._changed.wait(RETRY_S if self._unsaved else None)
                    self._save_proofs()
                if self._stopping:
                    return
                round_id = min(self._todo)
                statement = self._todo[round_id]
            self._work(round_id, statement)

    def _recover(self) -> None:
        """Looks at what an earlier process left: proofs are published again, begun rounds go on."""
        for round_id in stored_rounds(self._config.rounds):
            directory = self._directory(round_id)
            try:
                state = self._read_state(directory)
            except ProofError as error:
                self._note(round_id, str(error))
                continue
            if state is None or (state.started.is_zero and state.execution.nip is None):
                if state is not None or not any(directory.iterdir()):
                    self._drop(round_id)  # never begun; the registration hands it over if it is still wanted
                continue
            if state.execution.nip is not None:
                self._publish(round_id, state)
            else:
                with self._changed:
                    self._todo.setdefault(round_id, None)

    def _read_state(self, directory: Path) -> RoundState | None:
        if not (directory / STATE_FILE).exists():
            return None
        state = read_round_state(directory)
        found = state.execution.security_param
        if found != SECURITY_PARAM:
            raise DataError(
                f"SecurityParam config mismatch: {directory / STATE_FILE} has {found}, expected "
                f"{SECURITY_PARAM}. Move the directory away to go on without this round."
            )
        return state

    def _work(self, round_id: int, statement: bytes | None) -> None:
        """One round from where it stands to its publication, or to the request to stop."""
        try:
            self._execute(round_id, statement)
        except Interrupted:
            return
        except (OSError, EnvironmentFault) as error:
            # most likely the disk is full: the round is neither lost nor left alone
            cause = f"{error.filename}: {error.strerror}" if isinstance(error, OSError) else str(error)
            problem = f"round {round_id}: {cause}"
            log.error("%s", problem)
            self._report(Progress("working", round_id, problem=problem))
            self._pause(RETRY_S)
        except ProofError as error:
            self._note(round_id, str(error))
            with self._changed:
                self._todo.pop(round_id, None)

    def _execute(self, round_id: int, statement: bytes | None) -> None:
        directory = self._directory(round_id)
        state = self._read_state(directory)
        end_ns = self._config.schedule.end(round_id)
        if state is None or state.started.is_zero:
            if state is None and statement is None:
                raise DataError(f"{directory} has no {STATE_FILE}, so round {round_id} cannot be gone on with.")
            if end_ns < self._clock():
                log.warning("skipping past round %d", round_id)
                with self._changed:
                    self._todo.pop(round_id, None)
                self._drop(round_id)
                return
            # a state that is there already decides what is proved
            known = statement if state is None else state.execution.statement
            assert known is not None, "checked above"
            durable.make_directory(directory, 0o777)
            state = RoundState.new(known, SECURITY_PARAM, Time.of(self._clock()))
            write_round_state(directory, state)
            log.info("round %d begins", round_id)
        if state.execution.nip is None:
            state = self._prove(round_id, state, directory, end_ns)
        self._publish(round_id, state)

    def _prove(self, round_id: int, state: RoundState, directory: Path, end_ns: int) -> RoundState:
        execution = Execution(
            directory,
            state,
            end_ns,
            self._config.schedule.duration_ns,
            self._config.settings,
            self._clock,
            leaves=self._leaves(round_id),
            thread_file=self._config.datadir / THREAD_FILE,
        )
        with self._changed:
            if self._stopping:
                raise Interrupted("the worker is stopping")
            self._execution = execution
        notes: set[str] = set()
        was_saved = True

        def progressed(measure: Measure) -> None:
            nonlocal was_saved
            for note in set(measure.notes) - notes:
                log.warning("round %d: %s", round_id, note)
                notes.add(note)
            is_saved = not measure.problem
            if is_saved != was_saved:
                text = measure.problem or "The round is saved again."
                log.log(logging.INFO if is_saved else logging.ERROR, "round %d: %s", round_id, text)
                was_saved = is_saved
            self._report(
                Progress(
                    "proving" if measure.proving else "working",
                    round_id,
                    measure.leaves,
                    measure.leaves_per_second,
                    measure.mean_leaves_per_second,
                    end_ns,
                    measure.disk_bytes,
                    measure.problem,
                )
            )

        try:
            leaves, nip = execution.run(progressed)
        except Interrupted:
            write_round_state(directory, state.after(execution.durable_leaves))
            raise
        finally:
            with self._changed:
                self._execution = None
        if self._leaves(round_id) is not None:
            self._wait_until(end_ns)
        state = state.after(leaves, nip)
        log.info("round %d ends with %d leaves", round_id, leaves)
        self._has_worked = True
        with self._changed:
            self._unsaved[round_id] = state
            self._save_proofs()
        return state

    def _save_proofs(self) -> None:
        """Writes proofs to their rounds' directories; one that the disk refuses is published all the same."""
        for round_id, state in list(self._unsaved.items()):
            try:
                write_round_state(self._directory(round_id), state)
            except OSError as error:
                if round_id not in self._problems:
                    self._note(round_id, f"its proof is not saved: {error}. Make room; it is tried again.")
            else:
                del self._unsaved[round_id]
                if self._problems.pop(round_id, None) is not None:
                    log.info("round %d: its proof is saved now", round_id)

    def _wait_until(self, moment_ns: int) -> None:
        while self._clock() < moment_ns:
            self._pause(0.01)
            if self._stopping:
                raise Interrupted("the worker is stopping")

    def _publish(self, round_id: int, state: RoundState) -> None:
        assert state.execution.nip is not None, "only a round with a proof is published"
        with self._changed:
            self._todo.pop(round_id, None)
            self._published.add(round_id)
        self._emit(Finished(round_id, state.execution.num_leaves, state.execution.nip))

    def _drop(self, round_id: int) -> None:
        """Removes a round's directory; its state goes last: a kill on the way leaves a round known to be done."""
        directory = self._directory(round_id)
        if not directory.exists():
            return
        for path in directory.iterdir():
            if path.name != STATE_FILE:
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        (directory / STATE_FILE).unlink(missing_ok=True)
        directory.rmdir()
        durable.sync_directory(self._config.rounds)

    def _directory(self, round_id: int) -> Path:
        return self._config.rounds / str(round_id)

    def _note(self, round_id: int, problem: str) -> None:
        log.error("round %d: %s", round_id, problem)
        self._problems[round_id] = problem

    def _report(self, progress: Progress) -> None:
        problems = tuple(f"round {round_id}: {text}" for round_id, text in self._problems.items())
        problem = progress.problem or (problems[-1] if problems else "")
        self._emit(replace(progress, problem=problem, problems=problems))

    def _pause(self, seconds: float) -> None:
        with self._changed:
            if not self._stopping:
                self._changed.wait(seconds)
