"""When rounds of a PoET server open, start and end. Pure; times are Unix nanoseconds, durations nanoseconds.

Registration for round n closes and its work begins at start(n); the work stops at end(n). Which round takes
registrations at a moment follows from the moment alone. Specified in protocol 02-poet, section 6.
"""

from __future__ import annotations

from dataclasses import dataclass

from prover.errors import UsageError

SECOND_NS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Schedule:
    """The rounds of one server."""

    genesis_ns: int
    epoch_duration_ns: int
    phase_shift_ns: int
    cycle_gap_ns: int

    def check(self) -> None:
        """Raises UsageError for durations that no round can have."""
        if self.epoch_duration_ns <= 0:
            raise UsageError(f"epoch-duration is {self.epoch_duration_ns} ns, expected more than zero")
        for name, value in (("phase-shift", self.phase_shift_ns), ("cycle-gap", self.cycle_gap_ns)):
            if value < 0:
                raise UsageError(f"{name} is {value} ns, expected zero or more")

    @property
    def duration_ns(self) -> int:
        """How long a round works; zero or less means that every round is over when it starts."""
        return self.epoch_duration_ns - self.cycle_gap_ns

    def start(self, round_id: int) -> int:
        """When registration of a round closes and its work begins."""
        return self.genesis_ns + self.phase_shift_ns + round_id * self.epoch_duration_ns

    def end(self, round_id: int) -> int:
        """When the work of a round stops."""
        return self.start(round_id) + self.duration_ns

    def open_round(self, now_ns: int) -> int:
        """The round that takes registrations at a moment; exactly at start(n) it is already n + 1."""
        since = now_ns - self.genesis_ns - self.phase_shift_ns
        return 0 if since < 0 else since // self.epoch_duration_ns + 1

    def next_open(self, closed: int, now_ns: int) -> int:
        """The round to open after `closed`: never the same one again, even where the clock was set back."""
        return max(closed + 1, self.open_round(now_ns))
