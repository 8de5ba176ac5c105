"""One execution of a round by the prover: fresh, gone on with, or taken over from the reference's layer files.

What the worker knows of the prover is in here. Specified in protocol 02-poet, section 8.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from protocol.types.poet import MerkleProof
from prover.poet.server.records import RoundState

if TYPE_CHECKING:
    from prover.poet.round.prove import RoundProver


@dataclass(frozen=True, slots=True)
class Settings:
    """How the prover works; nothing of it changes a byte of a proof."""

    leaves_per_second: int = 78_000
    """Estimate, to choose what is kept on disk."""
    checkpoint_s: float = 1.0
    cpu: int | None = None
    """CPU to pin the hashing thread to."""
    realtime: bool = False
    kept_height: int | None = None
    """Lowest layer to keep; None: by the round's length."""


@dataclass(frozen=True, slots=True)
class Measure:
    """Where an execution stands."""

    leaves: int
    leaves_per_second: float
    mean_leaves_per_second: float
    disk_bytes: int
    proving: bool
    problem: str
    notes: tuple[str, ...]


class Execution:
    """A prover at work on one round."""

    def __init__(
        self,
        directory: Path,
        state: RoundState,
        end_ns: int,
        duration_ns: int,
        settings: Settings,
        clock: Callable[[], int],
        *,
        leaves: int | None = None,
        thread_file: Path | None = None,
    ) -> None:
        self._directory = directory
        self._state = state
        self._end_ns = end_ns
        self._expected = max(duration_ns, 0) // 1_000_000_000 * settings.leaves_per_second
        self._settings = settings
        self._clock = clock
        self._leaves = leaves
        self._thread_file = thread_file
        self._stopping = False
        self._prover: RoundProver | None = None

    def run(self, progressed: Callable[[Measure], None]) -> tuple[int, MerkleProof]:
        """Works to the end: leaf count and proof. Raises Interrupted after `stop`, DataError, EnvironmentFault."""
        from prover.poet.round.prove import (  # brings the compiled kernels, so only where a round is worked on
            ProverConfig,
            RoundProver,
        )

        settings = self._settings

        def seconds() -> float:
            return self._clock() / 1e9

        prover = RoundProver.resume(
            ProverConfig(
                self._directory,
                expected_leaves=self._expected,
                kept_height=settings.kept_height,
                security_param=self._state.execution.security_param,
                checkpoint_s=settings.checkpoint_s,
                cpu=settings.cpu,
                realtime=settings.realtime,
                thread_file=self._thread_file,
            ),
            self._state.execution.statement,
            clock=seconds,
            reference_leaves=self._state.execution.num_leaves,
            stopped=lambda: self._stopping,
        )
        self._prover = prover
        if self._stopping:
            prover.stop()
        proof = prover.run(self._end_ns / 1e9, leaves=self._leaves, on_progress=lambda one: progressed(_measure(one)))
        return proof.num_leaves, proof.merkle_proof

    @property
    def durable_leaves(self) -> int:
        """Leaves that are on stable storage."""
        return self._state.execution.num_leaves if self._prover is None else self._prover.durable_leaves

    def stop(self) -> None:
        """Makes `run` end at a checkpoint. From any thread."""
        self._stopping = True
        if self._prover is not None:
            self._prover.stop()


def _measure(prover: RoundProver) -> Measure:
    return Measure(
        prover.leaves_done,
        prover.rate,
        prover.mean_rate,
        prover.disk_bytes,
        prover.state == "proving",
        prover.problem,
        tuple(prover.notes),
    )
