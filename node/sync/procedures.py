"""Procedures: what is done over many steps, written as it is thought, one thing after another.

A procedure is a generator. It yields what it waits for, and goes on in the step in which that is here. It is given a
`Turn`, whose rows and effects are those of the current step, so that what it reads after a wait is what is stored then.
Nothing runs by itself: `Procedures` is called by its machine with answers and timers, and stops a procedure when told.

| a procedure waits for | it goes on when |
|---|---|
| `Answers` | all of its demands are answered; so many of them are open at once |
| `Pause` | the instant has come |
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

from node.contract.demands import Demand, Result
from node.contract.effects import Ask, Deliver, Effect, GiveUp, SetTimer, StopTimer
from node.contract.inputs import Answer, NotSent, Sent, Timer
from node.contract.instants import Instant
from node.contract.steps import Step
from node.store.view import Rows, View

T = TypeVar("T")


@dataclass(slots=True)
class Turn:
    """The step in which a procedure is. Mutable: each step has its own rows and effects."""

    rows: Rows
    now: Instant
    effects: list[Effect]


@dataclass(frozen=True, slots=True)
class Came:
    """What came of a demand."""

    result: Result
    took: int
    """Nanoseconds since it was asked."""


@dataclass(frozen=True, slots=True)
class Answers:
    """Waits for the answers to demands, in their order."""

    demands: Sequence[Demand | Deliver]
    at_once: int


@dataclass(frozen=True, slots=True)
class Pause:
    """Waits for an instant."""

    until: Instant


Procedure = Generator["Answers | Pause", Sequence[Came], T]


@dataclass(frozen=True, slots=True)
class _Tag:
    name: str
    run: int
    """Counts waits: an answer to an earlier one is not taken."""
    place: int


@dataclass(slots=True)
class _Running:
    steps: Procedure[None]
    turn: Turn
    run: int = 0
    came: list[Came | None] = field(default_factory=list)
    asked: dict[int, Instant] = field(default_factory=dict)
    """Open demands by place, with when they were asked."""
    queue: deque[tuple[int, Demand | Deliver]] = field(default_factory=deque)
    """Those that were not asked yet."""


class Procedures:
    """The procedures of one machine, by name."""

    def __init__(self) -> None:
        self._running: dict[str, _Running] = {}
        self._runs = 0

    def is_running(self, name: str) -> bool:
        """Whether a procedure has been begun and has not ended."""
        return name in self._running

    @property
    def open(self) -> int:
        """Demands that were not answered."""
        return sum(len(one.asked) for one in self._running.values())

    def begin(self, name: str, make: Callable[[Turn], Procedure[None]], turn: Turn) -> None:
        """Begin one, and do its first step in a turn of another one or of the machine."""
        running = self._running[name] = _Running(make(own := Turn(turn.rows, turn.now, turn.effects)), own)
        self._advance(name, running, ())

    def stop(self, name: str, turn: Turn) -> None:
        """End one; what it has asked for is given up. Nothing where it does not run."""
        running = self._running.pop(name, None)
        if running is not None:
            running.steps.close()
            turn.effects.append(StopTimer(name))
            turn.effects += [GiveUp(_Tag(name, running.run, place)) for place in running.asked]

    def answer(self, answer: Answer, view: View, now: Instant) -> Step:
        """A demand was answered."""
        tag = answer.tag
        assert isinstance(tag, _Tag)
        running = self._running.get(tag.name)
        turn = Turn(Rows(view), now, [])
        if running is not None and running.run == tag.run and tag.place in running.asked:
            took = max(0, answer.received - running.asked.pop(tag.place))
            assert not isinstance(answer.result, (Sent, NotSent)), "no procedure publishes"
            running.came[tag.place] = Came(answer.result, took)
            running.turn.rows, running.turn.now, running.turn.effects = turn.rows, now, turn.effects
            if running.queue:
                self._ask(tag.name, running)
            elif not running.asked:
                self._advance(tag.name, running, [one for one in running.came if one is not None])
        return Step(turn.rows, turn.effects)

    def timer(self, timer: Timer, view: View, now: Instant) -> Step:
        """A pause is over."""
        turn = Turn(Rows(view), now, [])
        name = str(timer.key)
        running = self._running.get(name)
        if running is not None:
            running.turn.rows, running.turn.now, running.turn.effects = turn.rows, now, turn.effects
            self._advance(name, running, ())
        return Step(turn.rows, turn.effects)

    def _advance(self, name: str, running: _Running, came: Sequence[Came]) -> None:
        while True:
            try:
                waits_for = running.steps.send(came) if running.run else next(running.steps)
            except StopIteration:
                if self._running.get(name) is running:
                    del self._running[name]
                return
            self._runs += 1
            running.run = self._runs
            if isinstance(waits_for, Pause):
                running.turn.effects.append(SetTimer(name, waits_for.until))
                return
            if waits_for.demands:
                running.came = [None] * len(waits_for.demands)
                running.queue = deque(enumerate(waits_for.demands))
                for _ in range(waits_for.at_once):
                    self._ask(name, running)
                return
            came = ()

    def _ask(self, name: str, running: _Running) -> None:
        if not running.queue:
            return
        place, demand = running.queue.popleft()
        running.asked[place] = running.turn.now
        tag = _Tag(name, running.run, place)
        running.turn.effects.append(replace(demand, tag=tag) if isinstance(demand, Deliver) else Ask(demand, tag))
