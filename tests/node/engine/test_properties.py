"""Any order of events: every message gets one verdict, nothing stays open, the backend makes no difference.

The machine does what the bytes of each message say, so that a script of bytes is a script of steps.
"""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from node.contract.bounds import Bounds
from node.contract.checks import VrfCheck
from node.contract.demands import Failed, Fetch, VerifyVrfNonce
from node.contract.effects import Ask, Effect, Emit, GiveUp, Publish, SetTimer
from node.contract.inputs import Answer, Change, NotSent, Sent, Timer
from node.contract.instants import Instant, after
from node.contract.machine import Machine
from node.contract.messages import Message, Origin
from node.contract.owed import OWED
from node.contract.steps import Found, Judged, Needs, Step, Ticket
from node.contract.verdicts import ACCEPT, ignore, reject
from node.engine.edges import Abandon, Call, Input, Judge, Output, Returned, Send
from node.engine.engine import Engine
from node.store.level import open_own_store, open_store
from node.store.own import SIGNED, Kind, OwnStore, Slot
from node.store.store import Store
from node.store.stores import Stores
from node.store.table import Schema
from node.store.view import Rows, View
from protocol.numbers.durations import SECOND
from protocol.types.ids import AtxId, NodeId
from tests.node.contract.world import ALICE, BOB, GENESIS, GENESIS_ID
from tests.node.store.tables import NOTES, VALUES
from tests.vector_cases.consensus_support import CountingChecker

ME = NodeId(b"\x01" * 32)
WAIT = 30


@dataclass(frozen=True, slots=True)
class Noted:
    """An event: what a unit has seen."""

    what: str
    rows: int


class Obedient(Machine):
    """Each byte of a message is a step: what it needs, and in the end what becomes of it."""

    name = "obedient"
    topics = ("t",)
    hints = ("h",)
    watches = (VALUES,)

    def admit(self, message: Message, view: View, now: Instant) -> Judged | Needs:
        return self._step(message, message.data, view, now)

    def proceed(self, ticket: Ticket, found: Found, view: View, now: Instant) -> Judged | Needs:
        rest = ticket.memo
        assert isinstance(rest, bytes)
        return self._step(ticket.message, rest, view, now)

    def timer(self, timer: Timer, view: View, now: Instant) -> Step:
        return Step(self._put(view, len(str(timer.key))), [Emit(Noted(f"timer {timer.key}", _count(view)))])

    def answer(self, answer: Answer, view: View, now: Instant) -> Step:
        return Step(effects=[Emit(Noted(f"answer {answer.tag} {type(answer.result).__name__}", _count(view)))])

    def changed(self, change: Change, view: View, now: Instant) -> Step:
        raise AssertionError("only others are told of what a machine writes")

    def _step(self, message: Message, rest: bytes, view: View, now: Instant) -> Judged | Needs:
        if not rest:
            return Judged(ACCEPT, self._put(view, len(message.data)))
        step, rest = rest[0], rest[1:]
        match step % 12:
            case 0 | 1:
                return Needs(vrf_proofs=(VrfCheck(ME, b"", bytes(80)),) * (1 + step % 3), memo=rest)
            case 2:
                return Needs(demands=(Fetch("h", bytes([step]) * 32),), memo=rest)
            case 3:
                work = VerifyVrfNonce(ME, AtxId(bytes(32)), step, 4, 1024)
                return Needs(demands=(work, Fetch("h", bytes([step % 5]) * 32)), memo=rest)
            case 4:
                return Judged(reject("told to"))
            case 5:
                return Judged(ignore("told to"), self._put(view, step))
            case 6:
                raise ZeroDivisionError("told to")
            case 7 if message.origin is not Origin.OWN:
                slot = Slot(ME, Kind.HARE, step, 0) if step % 2 else None
                until = after(now, 20 * SECOND) if step % 3 else None
                publish = Publish("t", rest, slot, until, tag=f"p{step}" if step % 5 else None)
                return Judged(ACCEPT, effects=[publish])
            case 8:
                timer = SetTimer(f"t{step}", after(now, step % 50 * SECOND))
                return Judged(ACCEPT, self._put(view, step), [timer, Emit(Noted("timer set", _count(view)))])
            case 9:
                ask: list[Effect] = [Ask(Fetch("h", bytes([step % 7]) * 32), f"a{step % 4}")]
                return Judged(ACCEPT, effects=ask)
            case 10:
                return Judged(ACCEPT, effects=[GiveUp(f"a{step % 4}")])
        return Judged(ACCEPT, self._put(view, step))

    def _put(self, view: View, value: int) -> Rows:
        rows = Rows(view)
        rows.put(VALUES, (b"a", value % 256), _count(view))
        return rows


def _count(view: View) -> int:
    return sum(1 for _ in view.keys(VALUES))


class Driver:
    """Answers calls after a while, some never, some wrongly, as a seed says."""

    def __init__(self, stores: Stores, seed: int) -> None:
        self.engine = Engine([Obedient()], stores, CountingChecker(GENESIS_ID), Bounds(WAIT * SECOND, 6, 4))
        self.random = random.Random(seed)
        self.now = GENESIS
        self.log: list[Output] = list(self.engine.start(GENESIS))
        self.open: list[Call | Send] = []
        self.messages: list[Message] = []

    def go(self, inputs: list[Input], seconds: int) -> None:
        self.now = after(self.now, seconds * SECOND)
        outputs = self.engine.turn(inputs, self.now)
        self.log += outputs
        gone = {one.call for one in outputs if isinstance(one, Abandon)}
        self.open = [one for one in self.open if one.call not in gone]
        self.open += [one for one in outputs if isinstance(one, (Call, Send)) and one.call not in gone]

    def gossip(self, data: bytes) -> Message:
        message = Message("t", data, Origin.GOSSIP, self.now, self.random.choice((ALICE, BOB)))
        self.messages.append(message)
        return message

    def answers(self) -> list[Input]:
        """What comes of some of the open calls."""
        chosen = [one for one in self.open if self.random.random() < 0.5]
        self.open = [one for one in self.open if one not in chosen]
        return [self._answer(one) for one in chosen]

    def _answer(self, call: Call | Send) -> Input:
        if isinstance(call, Send):
            sent = Sent() if self.random.random() < 0.7 else NotSent(ignore("no_peers"))
            return Returned(call.call, sent, self.now)
        if isinstance(call.demand, Fetch):
            if self.random.random() < 0.3:
                return Returned(call.call, Failed("not_found"), self.now)
            data = self.random.randbytes(self.random.randrange(3))
            message = Message("h", data, Origin.FETCHED, self.now, BOB, call.demand.id)
            self.messages.append(message)
            return message
        return Returned(call.call, self.random.random() < 0.5, self.now)

    def finish(self) -> None:
        """Answer everything, and let everything that waits expire."""
        for _ in range(60):
            self.go([*self.answers()], 1 if self.open else WAIT)


def described(output: Output) -> str:
    """An output as text, to be compared: messages are compared by identity."""
    if isinstance(output, Judge):
        return f"{output.message.data!r} {output.message.origin} {output.verdict}"
    if isinstance(output, Emit) and not isinstance(output.event, Noted):
        return f"failed {output.event.channel}"  # type: ignore[attr-defined]
    return repr(output)


scripts = st.lists(
    st.tuples(st.lists(st.binary(max_size=4), max_size=4), st.sampled_from([0, 0, 1, 5, WAIT])), max_size=8
)


def in_memory() -> Stores:
    state = Store.in_memory(Schema("state", 1, (OWED, VALUES)))
    return Stores(state, OwnStore.in_memory(Schema("own", 1, (SIGNED, NOTES))))


def in_files(folder: Path) -> Stores:
    state = open_store(folder / "state", Schema("state", 1, (OWED, VALUES)))
    return Stores(state, open_own_store(folder / "own", Schema("own", 1, (SIGNED, NOTES))))


def run(stores: Stores, script: list[tuple[list[bytes], int]], seed: int) -> Driver:
    driver = Driver(stores, seed)
    for messages, seconds in script:
        inputs: list[Input] = [driver.gossip(data) for data in messages]
        driver.go([*inputs, *driver.answers()], seconds)
    driver.finish()
    return driver


@settings(max_examples=150, deadline=None)
@given(script=scripts, seed=st.integers(0, 1000))
def test_every_message_gets_one_verdict_and_nothing_stays_open(
    script: list[tuple[list[bytes], int]], seed: int
) -> None:
    driver = run(in_memory(), script, seed)
    judged = Counter(one.message for one in driver.log if isinstance(one, Judge))
    assert judged == Counter(driver.messages)
    assert driver.engine.waiting == 0
    assert driver.engine.open_calls == len(driver.open) == 0
    asked = [one.call for one in driver.log if isinstance(one, (Call, Send))]
    assert len(asked) == len(set(asked))
    assert {one.call for one in driver.log if isinstance(one, Abandon)} <= set(asked)
    again = run(in_memory(), script, seed)
    assert list(map(described, again.log)) == list(map(described, driver.log))


@settings(max_examples=15, deadline=None)
@given(script=scripts, seed=st.integers(0, 1000))
def test_the_backend_makes_no_difference(
    tmp_path_factory: pytest.TempPathFactory, script: list[tuple[list[bytes], int]], seed: int
) -> None:
    folder = tmp_path_factory.mktemp("engine")
    memory = in_memory()
    stores = in_files(folder)
    in_one, in_other = run(memory, script, seed), run(stores, script, seed)
    assert list(map(described, in_one.log)) == list(map(described, in_other.log))
    for table in (VALUES, OWED, SIGNED):
        assert list(memory.view().scan(table)) == list(stores.view().scan(table))  # type: ignore[var-annotated]
    stores.close()
