"""How far a long job is: done, rate, time taken, time left, for people on a terminal and for machines as events.

Times leave pauses out, for the job as for each device. Shares have as many decimals as move, times are in words, and
rates in the unit that fits: a bar that says 0 % for hours says nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Protocol

from .units import byte_size, duration

if TYPE_CHECKING:
    from rich.console import Console

LABEL_BYTES = 16
JSON_INTERVAL_S = 1.0
"""At most one progress event in this time."""
MOVES_IN_S = 10.0
"""A share is shown with so many decimals that it changes in about this time."""
MOST_DECIMALS = 6


class Speaker(Protocol):
    """What a bar needs of a command's output."""

    json: bool

    @property
    def errors(self) -> Console:
        """Standard error for people."""

    def event(self, name: str, /, **fields: object) -> None:
        """One JSON line."""


class Progress:
    """The progress of one job. `update` may be called as often as one likes."""

    def __init__(
        self,
        output: Speaker,
        what: str,
        total: int | None,
        done: int = 0,
        clock: Callable[[], float] = time.monotonic,
        *,
        unit: str = "labels",
    ) -> None:
        """`done`: what was there before; `unit`: what is counted, which names the fields of events."""
        self._output, self._what, self._total, self._unit = output, what, total, unit
        self._first = self._done = done
        self._clock = clock
        self._began = self._last_event = clock()
        self._paused_before = 0.0
        self._paused_at: float | None = None
        self._said = what
        self._devices: Mapping[str, float] = {}
        self._states: Mapping[str, Mapping[str, object]] = {}
        self._live: Any = None
        if not output.json and output.errors.is_terminal:
            from rich.live import Live

            self._live = Live(get_renderable=self._render, console=output.errors, refresh_per_second=4)
            self._live.start()

    @property
    def paused_s(self) -> float:
        """Time spent in pauses so far."""
        return self._paused_before + (0.0 if self._paused_at is None else self._clock() - self._paused_at)

    @property
    def worked_s(self) -> float:
        """Time taken so far, pauses left out."""
        return self._clock() - self._began - self.paused_s

    @property
    def rate(self) -> float:
        """What is done a second."""
        worked = self.worked_s
        return (self._done - self._first) / worked if worked > 0 else 0.0

    @property
    def seconds_left(self) -> float | None:
        """Until everything is done at this rate; None where nobody can know."""
        rate = self.rate
        return (self._total - self._done) / rate if rate > 0 and self._total is not None else None

    def update(
        self,
        done: int,
        devices: Mapping[str, float] | None = None,
        states: Mapping[str, Mapping[str, object]] | None = None,
    ) -> None:
        """So much of the total is there; `devices` maps names to labels a second, `states` to other facts."""
        self._done, self._devices, self._states = done, devices or {}, states or {}
        now = self._clock()
        if now - self._last_event >= JSON_INTERVAL_S:
            self._last_event = now
            self._tell()

    def add(self, count: int) -> None:
        """So much more is there."""
        self.update(self._done + count)

    def _tell(self) -> None:
        left = self.seconds_left
        self._output.event(
            "progress",
            what=self._what,
            total=self._total,
            seconds=round(self.worked_s, 1),
            seconds_paused=round(self.paused_s, 1),
            seconds_left=None if left is None else round(left, 1),
            devices={name: round(value, 1) for name, value in self._devices.items()},
            **{self._unit: self._done, f"{self._unit}_per_second": round(self.rate, 1)},
            **({"device_states": dict(self._states)} if self._states else {}),
        )

    def say(self, what: str) -> None:
        """Another text before the bar."""
        self._said = what

    def pause(self, what: str) -> None:
        """The job rests from now on; `what` is shown meanwhile."""
        if self._paused_at is None:
            self._paused_at = self._clock()
        self._said = what

    def resume(self) -> None:
        """The job goes on."""
        self._paused_before, self._paused_at = self.paused_s, None
        self._said = self._what

    def close(self) -> None:
        """Takes the bar off the screen (its last state stays)."""
        if self._live is not None:
            self._live.stop()

    # -- what is shown ------------------------------------------------------------------------------------------

    def _render(self) -> Any:
        from rich.console import Group
        from rich.progress_bar import ProgressBar
        from rich.table import Table
        from rich.text import Text

        head = Table.grid(padding=(0, 1), expand=True)
        head.add_column(overflow="fold")
        head.add_column(ratio=1)
        head.add_column(justify="right", no_wrap=True)
        total = None if self._total is None else max(1, self._total)
        head.add_row(self._said, ProgressBar(total, self._done, pulse=self._total is None), self.share())
        lines = [f"  {self.facts()}", *(f"  {line}" for line in self.device_lines())]
        return Group(head, *(Text(line, overflow="fold") for line in lines))

    def share(self) -> str:
        """The share that is done, in percent; nothing where the end is not known."""
        if self._total is None:
            return ""
        if not self._total:
            return "100 %"
        step = 100 * self.rate * MOVES_IN_S / self._total  # what it grows by until it has to look different
        decimals = 0
        while step and step < 10**-decimals and decimals < MOST_DECIMALS:
            decimals += 1
        scale = 10**decimals
        return f"{100 * self._done * scale // self._total / scale:.{decimals}f} %"  # never rounded up to 100

    def facts(self) -> str:
        """What is done, how fast, how long it took, how long it will take."""
        of = "" if self._total is None else f" of {self._total:,}"
        parts = [f"{self._done:,}{of} {self._unit}"]
        if self._done > self._first:
            parts.append(rate_text(self.rate, self._unit))
        parts.append(f"{duration(self.worked_s)} taken")
        left = self.seconds_left
        if self._paused_at is not None:
            parts.append("resting")
        elif left:
            parts.append(f"{duration(left)} left" if left >= 1 else "about done")
        return ", ".join(parts)

    def device_lines(self) -> list[str]:
        """A line for each device."""
        return [
            f"{name}: {rate_text(rate, 'labels')}{state_text(self._states.get(name, {}))}"
            for name, rate in self._devices.items()
        ]


def rate_text(per_second: float, unit: str) -> str:
    """A rate for people: with decimals where it is small, and in bytes where labels are counted."""
    if per_second and per_second < 0.1:
        return f"{per_second * 3600:,.1f} {unit}/h"
    number = f"{per_second:,.0f}" if per_second >= 100 else f"{per_second:,.1f}"
    if unit != "labels":
        return f"{number} {unit}/s"
    return f"{number} labels/s, {byte_size(round(per_second * LABEL_BYTES))}/s"


def state_text(facts: Mapping[str, object]) -> str:
    """Facts about a device, for the end of its line."""
    parts = []
    if "temperature_c" in facts:
        parts.append(f"{facts['temperature_c']:.0f} °C")
    if "errors" in facts:
        parts.append(f"{facts['errors']} error{'' if facts['errors'] == 1 else 's'}")
    if "engines_retired" in facts:
        parts.append("given up")
    return "".join(f", {part}" for part in parts)
