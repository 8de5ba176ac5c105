"""How the registration talks to the worker: one interface, whatever process the worker is in.

Rounds go there, progress and proofs come back; a proof is acknowledged once it is stored, and only then does the
worker drop the round. `NoWorker` stands for `--disable-worker`. Specified in protocol 02-poet, sections 7.6 and 8.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

from prover.poet.records import Nip


@dataclass(frozen=True, slots=True)
class Assignment:
    """A closed round to be worked on."""

    round_id: int
    statement: bytes


@dataclass(frozen=True, slots=True)
class Finished:
    """A round's proof; an empty Nip and no leaves where there is no worker."""

    round_id: int
    num_leaves: int
    nip: Nip


@dataclass(slots=True)
class Progress:
    """Where the worker stands."""

    round_id: int | None = None
    num_leaves: int = 0
    leaves_per_second: float = 0.0
    """Over the last seconds."""
    mean_leaves_per_second: float = 0.0
    """Since this process took the round up."""
    deadline_ns: int | None = None
    durable_leaves: int = 0
    disk_bytes: int = 0
    state: str = "idle"
    """idle, working, proving, down."""
    problem: str = ""
    """What keeps it from its work, for a person; empty if nothing does."""
    checkpoint_seconds: list[float] = field(default_factory=list)
    """How long the checkpoints took since the last report."""

    def public(self) -> dict[str, Any]:
        """For the status page."""
        shown = asdict(self)
        del shown["checkpoint_seconds"]
        return shown


class WorkerLink(Protocol):
    """What the registration needs of a worker. Called, and calling back, in the event loop's thread."""

    async def start(self, finished: Callable[[Finished], None], progress: Callable[[Progress], None]) -> None:
        """Starts the worker; it goes on with what it finds on disk."""

    def assign(self, assignment: Assignment) -> None:
        """Hands a closed round over; one that the worker knows already is left as it is."""

    def stored(self, round_id: int) -> None:
        """The proof of a round is on stable storage; the worker may forget the round."""

    async def stop(self) -> None:
        """Stops the worker at a safe point."""

    def pids(self) -> list[int]:
        """The worker's processes, if it has its own."""


class NoWorker:
    """Every closed round has an empty proof at once."""

    def __init__(self) -> None:
        self._finished: Callable[[Finished], None] | None = None

    async def start(self, finished: Callable[[Finished], None], progress: Callable[[Progress], None]) -> None:
        """Nothing to start."""
        self._finished = finished
        progress(Progress(state="disabled"))

    def assign(self, assignment: Assignment) -> None:
        """Answers with the empty proof."""
        if self._finished is not None:
            self._finished(Finished(assignment.round_id, 0, Nip()))

    def stored(self, round_id: int) -> None:
        """Nothing to forget."""

    async def stop(self) -> None:
        """Nothing to stop."""

    def pids(self) -> list[int]:
        """None."""
        return []
