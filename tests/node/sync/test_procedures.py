"""Procedures: what they wait for, windows of demands, an end from outside, answers that come too late."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from node.contract.demands import Demand, Request
from node.contract.effects import Ask, Effect, GiveUp, SetTimer, StopTimer
from node.contract.inputs import Answer, Timer
from node.contract.instants import Instant
from node.contract.messages import PeerId
from node.contract.steps import Step
from node.mesh.tables import MESH_HASHES
from node.schema import STATE
from node.store.memory import MemoryBackend
from node.store.store import Store
from node.store.view import Rows
from node.sync.procedures import Answers, Came, Pause, Procedure, Procedures, Turn
from protocol.types.ids import Hash32, LayerId

START = Instant(1000)


def question(number: int) -> Request:
    return Request("p/1", bytes([number]), PeerId(b"a"), 5)


@dataclass
class Runner:
    """What calls them, as a machine does."""

    procedures: Procedures = field(default_factory=Procedures)
    store: Store = field(default_factory=lambda: Store(STATE, MemoryBackend()))
    now: Instant = START
    open: dict[object, Demand] = field(default_factory=dict)
    effects: list[Effect] = field(default_factory=list)

    def begin(self, name: str, make: object) -> None:
        turn = Turn(Rows(self.store.view()), self.now, [])
        self.procedures.begin(name, make, turn)  # type: ignore[arg-type]
        self.follow(Step(turn.rows, turn.effects))

    def stop(self, name: str) -> list[Effect]:
        turn = Turn(Rows(self.store.view()), self.now, [])
        self.procedures.stop(name, turn)
        self.follow(Step(turn.rows, turn.effects))
        return turn.effects

    def answer(self, tag: object, data: bytes) -> None:
        demand = self.open.pop(tag)
        answer = Answer(tag, demand, data, self.now)  # type: ignore[arg-type]
        self.follow(self.procedures.answer(answer, self.store.view(), self.now))

    def timer(self, name: str) -> None:
        self.follow(self.procedures.timer(Timer(name, self.now), self.store.view(), self.now))

    def follow(self, step: Step) -> None:
        if step.rows is not None:
            self.store.write(step.rows)
        self.effects += step.effects
        self.open |= {one.tag: one.demand for one in step.effects if isinstance(one, Ask)}

    def asked(self) -> list[int]:
        return [one.demand.data[0] for one in self.effects if isinstance(one, Ask)]  # type: ignore[union-attr]


def test_so_many_demands_are_open_and_the_answers_come_in_their_order() -> None:
    runner = Runner()
    results: list[Sequence[Came]] = []

    def steps(turn: Turn) -> Procedure[None]:
        results.append((yield Answers([question(number) for number in range(5)], 2)))

    runner.begin("x", steps)
    assert runner.asked() == [0, 1] and runner.procedures.open == 2
    while runner.open:
        runner.now = Instant(runner.now + 7)
        tag = list(runner.open)[-1]  # the last one first
        runner.answer(tag, b"to " + runner.open[tag].data)  # type: ignore[union-attr]
        assert len(runner.open) <= 2
    assert runner.asked() == [0, 1, 2, 3, 4]
    ((*came,),) = results
    assert [one.result for one in came] == [b"to " + bytes([number]) for number in range(5)]
    assert came[1].took == 7 and came[0].took == 35
    assert not runner.procedures.is_running("x")


def test_each_step_has_its_own_rows_and_reads_what_was_stored_meanwhile() -> None:
    runner = Runner()
    seen: list[object] = []

    def steps(turn: Turn) -> Procedure[None]:
        turn.rows.put(MESH_HASHES, LayerId(1), Hash32(b"1" * 32))
        yield Pause(Instant(turn.now + 10))
        seen.append((turn.now, turn.rows.get(MESH_HASHES, LayerId(1)), turn.rows.get(MESH_HASHES, LayerId(2))))
        turn.rows.put(MESH_HASHES, LayerId(3), Hash32(b"3" * 32))

    runner.begin("x", steps)
    assert runner.effects == [SetTimer("x", Instant(START + 10))]
    rows = Rows(runner.store.view())
    rows.put(MESH_HASHES, LayerId(2), Hash32(b"2" * 32))
    runner.store.write(rows)
    runner.now = Instant(START + 11)
    runner.timer("x")
    assert seen == [(START + 11, b"1" * 32, b"2" * 32)]
    assert list(runner.store.view().keys(MESH_HASHES)) == [1, 2, 3]


def test_no_demands_are_answered_at_once() -> None:
    runner = Runner()
    done: list[object] = []

    def steps(turn: Turn) -> Procedure[None]:
        done.append((yield Answers([], 0)))
        done.append((yield Answers((), 5)))

    runner.begin("x", steps)
    assert done == [(), ()] and not runner.effects


def test_what_is_stopped_gives_up_what_it_has_asked_for_and_hears_no_late_answer() -> None:
    runner = Runner()
    ended: list[str] = []

    def steps(turn: Turn) -> Procedure[None]:
        try:
            yield Answers([question(1), question(2)], 2)
            ended.append("answered")
        finally:
            ended.append("closed")

    runner.begin("x", steps)
    tags = list(runner.open)
    assert runner.stop("x") == [StopTimer("x"), GiveUp(tags[0]), GiveUp(tags[1])]
    assert ended == ["closed"] and not runner.procedures.is_running("x")
    runner.answer(tags[0], b"late")
    runner.begin("x", steps)  # another one under the same name
    runner.answer(tags[1], b"late, too")
    assert ended == ["closed"] and runner.procedures.is_running("x") and runner.procedures.open == 2
    assert runner.stop("y") == []


def test_one_may_begin_and_stop_another() -> None:
    runner = Runner()
    ran: list[str] = []

    def other(turn: Turn) -> Procedure[None]:
        ran.append("begun")
        yield Pause(Instant(turn.now + 5))
        ran.append("gone on")

    def steps(turn: Turn) -> Procedure[None]:
        runner.procedures.begin("other", other, turn)
        yield Pause(Instant(turn.now + 1))
        runner.procedures.stop("other", turn)

    runner.begin("x", steps)
    assert runner.effects == [SetTimer("other", Instant(START + 5)), SetTimer("x", Instant(START + 1))]
    runner.timer("x")
    runner.timer("other")
    assert ran == ["begun"] and not runner.procedures.is_running("other")
