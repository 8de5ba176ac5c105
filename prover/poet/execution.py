"""One execution of a round by the prover: fresh, gone on with, or taken over from the reference's layer files.

What the worker knows of the prover is in here. Specified in protocol 02-poet, section 8.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from .records import Nip, RoundState


@dataclass(frozen=True, slots=True)
class Settings:
    """How the prover works; nothing of it changes a byte of a proof."""

    leaves_per_second: int = 78_000
    """Estimate, to plan what is kept on disk."""
    checkpoint_s: float = 1.0
    cpu: int | None = None
    """CPU to pin the hashing thread to."""
    realtime: bool = False
    kept_height: int | None = None
    """Lowest layer to keep; None: by the round's length."""


class Progressed(Protocol):
    """Told how many leaves there are, about once a second and at the end."""

    def __call__(self, leaves: int, problem: str = "", proving: bool = False) -> None: ...


class Execution:
    """A prover at work on one round."""

    def __init__(
        self,
        directory: Path,
        state: RoundState,
        end_ns: int,
        settings: Settings,
        clock: Callable[[], int],
        *,
        leaves: int | None = None,
    ) -> None:
        from .prove import ProverConfig, RoundProver  # compiles kernels, so only where a round is worked on

        self._end_ns = end_ns
        self._leaves = leaves
        self.durable_leaves = state.num_leaves

    def run(self, progressed: Progressed) -> tuple[int, Nip]:
        """Works to the end: leaf count and proof. Raises Interrupted after `stop`, DataError, OSError."""
        raise DataError("")

    def stop(self) -> None:
        """Makes `run` end at a checkpoint. From any thread."""
