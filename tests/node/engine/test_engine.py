"""The engine by itself: order, timers, calls, changes, what stops it. The walks are in tests/node/contract."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from node.contract.bounds import Bounds
from node.contract.checks import SignatureCheck, VrfCheck
from node.contract.demands import Failed, Fetch, ProveVrf, VerifyVrfNonce
from node.contract.effects import (
    Ask,
    Effect,
    Emit,
    GiveUp,
    Publish,
    ReportMalfeasance,
    SetTimer,
    StopTimer,
)
from node.contract.inputs import Answer, Asked, Change, NotSent, Sent, Tick, Timer
from node.contract.instants import Instant, after
from node.contract.machine import Machine
from node.contract.messages import Message, Origin
from node.contract.owed import OWED, owed
from node.contract.steps import Found, Judged, Needs, Step, Ticket
from node.contract.verdicts import ACCEPT, ignore, reject
from node.engine.agenda import Agenda, DueTimer
from node.engine.edges import Abandon, Call, Judge, Returned, Send
from node.engine.engine import Engine
from node.engine.errors import EngineStopped
from node.engine.routes import Routes
from node.store.own import SIGNED, Kind, OwnStore, Slot, sign_once
from node.store.store import Store
from node.store.stores import Stores
from node.store.table import Schema
from node.store.view import Rows, View
from protocol.crypto import vrf
from protocol.crypto.signing import Domain, Signer
from protocol.numbers.durations import SECOND
from protocol.types.ids import AtxId, LayerId, NodeId
from tests.node.contract.world import ALICE, GENESIS, World
from tests.node.store.tables import NOTES, VALUES

ME = NodeId(b"\x01" * 32)


def stores(*tables: Any) -> Stores:
    state = Store.in_memory(Schema("state", 1, (OWED, VALUES, *tables)))
    return Stores(state, OwnStore.in_memory(Schema("own", 1, (SIGNED, NOTES))))


class Scripted(Machine):
    """A machine that does what each test tells it, and notes what it was told."""

    name = "scripted"
    topics = ("t",)
    hints = ("h",)
    ticks = True

    def __init__(self, **does: Callable[..., Any]) -> None:
        self.told: list[Any] = []
        self._does = does

    def _do(self, what: str, *arguments: Any) -> Any:
        self.told.append(arguments[0])
        if what in self._does:
            return self._does[what](*arguments)
        return Judged(ACCEPT) if what == "admit" else Step()

    def start(self, view: View, now: Instant) -> Step:
        return self._does["start"](view, now) if "start" in self._does else Step()  # type: ignore[no-any-return]

    def admit(self, message: Message, view: View, now: Instant) -> Judged | Needs:
        return self._do("admit", message, view, now)  # type: ignore[no-any-return]

    def proceed(self, ticket: Ticket, found: Found, view: View, now: Instant) -> Judged | Needs:
        return self._do("proceed", ticket, found, view, now)  # type: ignore[no-any-return]

    def timer(self, timer: Timer, view: View, now: Instant) -> Step:
        return self._do("timer", timer, view, now)  # type: ignore[no-any-return]

    def tick(self, tick: Tick, view: View, now: Instant) -> Step:
        return self._do("tick", tick, view, now)  # type: ignore[no-any-return]

    def answer(self, answer: Answer, view: View, now: Instant) -> Step:
        return self._do("answer", answer, view, now)  # type: ignore[no-any-return]

    def changed(self, change: Change, view: View, now: Instant) -> Step:
        return self._do("changed", change, view, now)  # type: ignore[no-any-return]

    def serve(self, asked: Asked, view: View, now: Instant) -> Step:
        return self._do("serve", asked, view, now)  # type: ignore[no-any-return]


def effects(*wanted: Effect) -> Callable[..., Step]:
    return lambda *_: Step(effects=wanted)


def later(seconds: float) -> Instant:
    return after(GENESIS, int(seconds * SECOND))


def gossip(data: bytes = b"m", received: Instant = GENESIS) -> Message:
    return Message("t", data, Origin.GOSSIP, received, ALICE)


def tick(layer: int, due: Instant) -> Tick:
    return Tick(LayerId(layer), due)


# ---- order and timers ----


def test_everything_is_taken_in_the_order_in_which_it_came_or_fell_due() -> None:
    machine = Scripted(
        start=effects(SetTimer("five", later(5)), SetTimer("nine", later(9)), SetTimer("far", later(60)))
    )
    world = World(stores(), [machine])
    messages = {seconds: gossip(b"%d" % seconds, later(seconds)) for seconds in (1, 5, 7, 12)}
    world.turn(*[messages[seconds] for seconds in (12, 7, 5, 1)], tick(1, later(5)), tick(2, later(9)), now=later(10))
    assert machine.told == [
        messages[1],
        tick(1, later(5)),  # a layer, then its timers, then what was received then
        Timer("five", later(5)),
        messages[5],
        messages[7],
        tick(2, later(9)),
        Timer("nine", later(9)),
        messages[12],  # stamped by a clock ahead of ours
    ]
    assert world.engine.next_due() == later(60)


def test_timers_are_set_anew_and_stopped() -> None:
    agenda = Agenda()
    machine, other = Scripted(), Machine()
    other.name = "other"  # type: ignore[misc]
    agenda.set_timer(machine, "a", later(5))
    agenda.set_timer(machine, "b", later(6))
    agenda.set_timer(other, "a", later(7))
    agenda.set_timer(machine, "a", later(8))
    agenda.stop_timer(machine, "b")
    agenda.stop_timer(machine, "unknown")
    assert agenda.next_due() == later(7)
    assert [agenda.take(later(9)) for _ in range(3)] == [
        DueTimer(other, "a", later(7)),
        DueTimer(machine, "a", later(8)),
        None,
    ]
    assert agenda.next_due() is None


def test_a_timer_that_is_due_already_when_it_is_set_comes_in_the_same_turn() -> None:
    steps = iter([SetTimer("second", later(2)), StopTimer("third")])
    machine = Scripted(
        start=effects(SetTimer("first", later(1)), SetTimer("third", later(3))),
        timer=lambda *_: Step(effects=[next(steps)]),
    )
    world = World(stores(), [machine])
    world.turn(now=later(10))
    assert machine.told == [Timer("first", later(1)), Timer("second", later(2))]
    assert world.engine.next_due() is None


def test_machines_that_answer_each_other_without_end_stop_the_node(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("node.engine.engine.MAX_INNER_STEPS", 50)
    machine = Scripted(tick=effects(Publish("t", b"m")), admit=lambda *_: Judged(ACCEPT, None, [Publish("t", b"m")]))
    world = World(stores(), [machine])
    with pytest.raises(EngineStopped, match="more than 50 steps"):
        world.turn(tick(1, GENESIS))


# ---- rows and changes ----


def put(view: View, *values: tuple[int, int]) -> Rows:
    rows = Rows(view)
    for number, value in values:
        rows.put(VALUES, (b"a", number), value)
    return rows


def test_units_of_a_turn_see_the_rows_of_those_before_and_share_one_write() -> None:
    seen: list[int | None] = []

    def admit(message: Message, view: View, now: Instant) -> Judged:
        number = int(message.data)
        seen.append(view.get(VALUES, (b"a", number - 1)))
        return Judged(ACCEPT, put(view, (number, number)))

    world = World(stores(), [Scripted(admit=admit)])
    writes = world.stores.state.writes
    world.turn(*[gossip(b"%d" % number) for number in range(1, 5)])
    assert seen == [None, 1, 2, 3]
    assert world.stores.state.writes == writes + 1
    assert [number for (_, number), _ in world.view().scan(VALUES)] == [1, 2, 3, 4]


def test_a_watcher_is_told_of_the_keys_that_others_have_written_in_a_unit_of_its_own() -> None:
    class Watcher(Scripted):
        name = "watcher"
        topics = ("own",)
        hints = ()
        ticks = False
        watches = (VALUES,)

    watcher = Watcher(
        changed=lambda change, view, now: Step(put(view, (9, sum(view.get(VALUES, key) or 0 for key in change.keys))))
    )
    writer = Scripted(admit=lambda message, view, now: Judged(ignore("stored"), put(view, (2, 20), (1, 10))))
    world = World(stores(), [writer, watcher])
    world.turn(gossip())
    assert watcher.told == [Change(VALUES, [(b"a", 1), (b"a", 2)])]  # and not of its own
    assert world.view().get(VALUES, (b"a", 9)) == 30
    assert world.verdicts() == [ignore("stored")]  # an ignored message may leave rows


def test_rows_made_over_something_else_stop_the_node() -> None:
    kept: list[View] = []

    def admit(message: Message, view: View, now: Instant) -> Judged:
        kept.append(view)
        return Judged(ACCEPT, put(kept[0], (1, 1)))

    world = World(stores(), [Scripted(admit=admit)])
    world.turn(gossip())
    with pytest.raises(EngineStopped, match="made over these"):
        world.turn(gossip(b"2"))


# ---- publishing ----


def test_an_own_message_that_is_not_accepted_does_not_leave() -> None:
    machine = Scripted(tick=effects(Publish("t", b"m", tag="mine")), admit=lambda *_: Judged(ignore("not_yet")))
    world = World(stores(), [machine])
    world.turn(tick(1, GENESIS))
    assert world.sent() == [] and world.of(Judge) == []
    answer = machine.told[-1]
    assert (answer.tag, answer.result) == ("mine", NotSent(ignore("not_yet")))


def test_a_message_that_the_network_could_not_take_stays_owed() -> None:
    machine = Scripted(tick=effects(Publish("t", b"m", owed_until=later(60), tag="mine")))
    world = World(stores(), [machine], sends=False)
    world.turn(tick(1, GENESIS))
    (send,) = world.of(Send)
    world.turn(Returned(send.call, NotSent(ignore("no_peers")), GENESIS))
    assert machine.told[-1].result == NotSent(ignore("no_peers"))
    assert [one.data for one in owed(world.view(), "scripted", GENESIS)] == [b"m"]
    assert owed(world.view(), "scripted", later(60)) == []
    world.turn(tick(2, GENESIS))
    world.turn(Returned(world.of(Send)[1].call, Sent(), GENESIS))
    assert list(world.view().scan(OWED)) == []


def test_what_was_signed_for_a_slot_is_sent_whatever_is_signed_later() -> None:
    slot = Slot(ME, Kind.BALLOT, 5)
    data = iter([b"first", b"second"])
    machine = Scripted(tick=lambda *_: Step(effects=[Publish("t", next(data), slot)]))
    world = World(stores(), [machine])
    world.turn(tick(1, GENESIS), tick(2, GENESIS))  # in one turn
    world = World(world.stores, [Scripted(tick=effects(Publish("t", b"third", slot)))])
    world.turn(tick(3, GENESIS))  # and after a restart
    assert world.sent() == [b"first"]
    assert world.engine.counts["t", "slot_taken", "BALLOT"] == 1
    assert machine.told[1].data == machine.told[3].data == b"first"


def test_an_own_message_that_sync_brings_takes_its_slot() -> None:
    slot = Slot(ME, Kind.ATX, 5)

    def admit(message: Message, view: View, now: Instant) -> Judged:
        rows = Rows(view)
        if message.origin is Origin.FETCHED:
            sign_once(rows, slot, message.data)
        return Judged(ACCEPT, rows)

    world = World(stores(), [Scripted(admit=admit, tick=effects(Publish("t", b"another", slot)))])
    world.turn(Message("h", b"signed before the disk was lost", Origin.FETCHED, GENESIS, ALICE, b"id"))
    world.turn(tick(1, GENESIS))
    assert world.sent() == [b"signed before the disk was lost"]


def test_gossip_on_a_topic_to_which_the_node_does_not_listen_is_ignored_and_all_else_is_judged() -> None:
    machine = Scripted(tick=effects(Publish("t", b"own")))
    listening: set[str] = set()
    node = stores()
    engine = Engine([machine], node, World(node, [machine]).checker, listens=listening.__contains__)
    engine.start(GENESIS)
    heard = [gossip(b"early"), Message("h", b"fetched", Origin.FETCHED, GENESIS, ALICE), tick(1, GENESIS)]
    judged = [one.verdict for one in engine.turn(heard, GENESIS) if isinstance(one, Judge)]
    assert judged == [ignore("not_synced"), ACCEPT]
    assert [one.data for one in machine.told if isinstance(one, Message)] == [b"own", b"fetched"]
    listening.add("t")
    (late,) = [one.verdict for one in engine.turn([gossip(b"late")], GENESIS) if isinstance(one, Judge)]
    assert late == ACCEPT


def test_a_signed_topic_takes_no_message_without_its_slot() -> None:
    class Signing(Scripted):
        signs = True

    world = World(stores(), [Signing(tick=effects(Publish("t", b"m")))])
    with pytest.raises(EngineStopped, match="publishes on t without saying what was signed"):
        world.turn(tick(1, GENESIS))


# ---- checks ----


def test_vrf_proofs_and_signatures_of_all_domains_are_checked_in_two_batches() -> None:
    signer = Signer(bytes(32), b"walks of a node.....")
    me = NodeId(signer.public_key)
    checks = {
        b"good": (
            SignatureCheck(Domain.HARE, me, b"x", signer.sign(Domain.HARE, b"x")),
            SignatureCheck(Domain.ATX, me, b"x", signer.sign(Domain.ATX, b"x")),
            SignatureCheck(None, me, b"x", signer.sign(None, b"x")),
        ),
        b"wrong domain": (SignatureCheck(Domain.ATX, me, b"x", signer.sign(Domain.HARE, b"x")),),
        b"no signature": (),
    }
    proof = vrf.prove(bytes(32), b"alpha")
    proofs = {b"good": b"alpha", b"wrong domain": b"alpha", b"no signature": b"beta"}
    machine = Scripted(
        admit=lambda message, view, now: Needs(
            signatures=checks[message.data], vrf_proofs=(VrfCheck(me, proofs[message.data], proof),), memo="m"
        ),
        proceed=lambda ticket, found, view, now: Judged(ACCEPT if found.all_hold else reject("false")),
    )
    world = World(stores(), [machine])
    world.turn(*map(gossip, checks))
    assert [one.is_accepted for one in world.verdicts()] == [True, False, False]
    assert (world.checker.batches, world.checker.vrf_batches) == ([4], [3])


def test_a_message_may_need_several_things_one_after_another() -> None:
    work = VerifyVrfNonce(ME, AtxId(bytes(32)), 1, 4, 1024)
    stages = iter(
        [
            Needs(vrf_proofs=(VrfCheck(ME, b"", bytes(80)),), memo=1),
            Needs(demands=(work, Fetch("h", b"i" * 32)), memo=2),
            Needs(vrf_proofs=(VrfCheck(ME, b"", bytes(80)),), memo=3),
            Judged(ACCEPT),
        ]
    )
    memos: list[object] = []

    def proceed(ticket: Ticket, found: Found, view: View, now: Instant) -> Judged | Needs:
        memos.append((ticket.memo, found))
        return next(stages)

    machine = Scripted(
        admit=lambda message, view, now: next(stages) if message.channel == "t" else Judged(ACCEPT), proceed=proceed
    )
    world = World(stores(), [machine])
    world.turn(gossip())
    fetch, verify = world.call_for(Fetch), world.call_for(VerifyVrfNonce)
    world.turn(world.fetched(fetch, b"object"))
    assert world.engine.waiting == 1
    world.turn(world.returned(verify, False))
    assert [memo for memo, _ in memos] == [1, 2, 3]
    assert memos[1][1].results[0] is False and memos[1][1].results[1].verdict == ACCEPT  # type: ignore[index]
    assert world.verdicts()[-1] == ACCEPT


def test_what_a_check_leads_to_may_take_back_the_timer_that_is_due_next() -> None:
    fetch = Fetch("h", b"i" * 32)
    checks = Needs(vrf_proofs=(VrfCheck(ME, b"", bytes(80)),))

    def admit(message: Message, view: View, now: Instant) -> Judged | Needs:
        return checks if message.data else Needs(demands=(fetch,))

    def proceed(ticket: Ticket, found: Found, view: View, now: Instant) -> Judged | Needs:
        return Judged(ACCEPT, effects=[StopTimer("stopped")])

    machine = Scripted(admit=admit, proceed=proceed, start=effects(SetTimer("stopped", later(10))))
    world = World(stores(), [machine], Bounds(wait=10 * SECOND))
    waits = gossip(b"")
    world.turn(waits)
    # the object's own proof is checked in the turn in which whoever waits for it would expire
    world.turn(Message("h", b"object", Origin.FETCHED, later(9), ALICE, fetch.id), now=later(10))
    assert world.verdicts() == [ACCEPT, ACCEPT]
    assert not any(isinstance(one, Timer) for one in machine.told)


def test_a_step_needs_either_checks_or_demands() -> None:
    with pytest.raises(ValueError, match="either checks or demands"):
        Needs()
    with pytest.raises(ValueError, match="either checks or demands"):
        Needs(vrf_proofs=(VrfCheck(ME, b"", b""),), demands=(Fetch("h", b""),))


# ---- demands ----


def test_an_object_is_asked_for_once_and_given_up_when_nobody_waits_any_more() -> None:
    fetch = Fetch("h", b"i" * 32)
    machine = Scripted(
        admit=lambda message, view, now: Needs(demands=(fetch,)),
        proceed=lambda *_: Judged(ACCEPT),
        tick=effects(Ask(fetch, "tag")),
        timer=effects(GiveUp("tag")),
        start=effects(SetTimer("give up", later(20))),
    )
    world = World(stores(), [machine], Bounds(wait=10 * SECOND))
    world.turn(gossip(), gossip(), tick(1, GENESIS))
    assert len(world.of(Call)) == 1
    world.turn(now=later(10))
    assert world.of(Abandon) == [] and world.engine.open_calls == 1
    world.turn(now=later(20))
    assert world.of(Abandon) == [Abandon(world.of(Call)[0].call)] and world.engine.open_calls == 0
    assert not any(isinstance(one, Answer) for one in machine.told)


def test_a_demand_under_the_same_tag_takes_the_place_of_the_one_before() -> None:
    demands = iter([ProveVrf(ME, b"1"), ProveVrf(ME, b"2")])
    machine = Scripted(tick=lambda *_: Step(effects=[Ask(next(demands), "vrf")]))
    world = World(stores(), [machine])
    world.turn(tick(1, GENESIS), tick(2, GENESIS))
    first, second = world.of(Call)
    assert world.of(Abandon) == [Abandon(first.call)]
    world.turn(world.returned(first, b"late"), world.returned(second, b"proof"), world.returned(second, b"twice"))
    (answer,) = [one for one in machine.told if isinstance(one, Answer)]
    assert (answer.tag, answer.asked, answer.result) == ("vrf", ProveVrf(ME, b"2"), b"proof")
    assert world.engine.counts["", "late_answer", ""] == 2


def test_a_demand_that_failed_is_answered_so() -> None:
    machine = Scripted(tick=effects(Ask(ProveVrf(ME, b"1"), "vrf")))
    world = World(stores(), [machine])
    world.turn(tick(1, GENESIS))
    world.turn(world.returned(world.of(Call)[0], Failed("refused")))
    assert machine.told[-1].result == Failed("refused")


# ---- what stops it ----


def test_a_machine_that_fails_on_anything_but_a_message_stops_the_node() -> None:
    def fail(*_: object) -> Step:
        raise ZeroDivisionError("nothing left")

    world = World(stores(), [Scripted(tick=fail)])
    with pytest.raises(EngineStopped, match="nothing left"):
        world.turn(tick(1, GENESIS))
    for again in (lambda: world.turn(), lambda: world.engine.start(GENESIS)):
        with pytest.raises(EngineStopped, match="begin a new one"):
            again()


def test_malfeasance_that_nobody_keeps_stops_the_node() -> None:
    world = World(stores(), [Scripted(tick=effects(ReportMalfeasance(ME, b"")))])
    with pytest.raises(EngineStopped, match="no machine keeps proofs"):
        world.turn(tick(1, GENESIS))


def test_a_turn_is_prepared_and_committed_in_this_order() -> None:
    machine = Scripted(tick=lambda tick, view, now: Step(put(view, (1, 1)), [Emit("done")]))
    made = stores()
    engine = Engine([machine], made, World(stores(), []).checker)
    assert engine.start(GENESIS) == []
    with pytest.raises(ValueError, match="no turn was prepared"):
        engine.commit()
    engine.prepare([tick(1, GENESIS)], GENESIS)
    assert made.view().get(VALUES, (b"a", 1)) is None
    with pytest.raises(ValueError, match="was not committed"):
        engine.prepare([], GENESIS)
    assert engine.commit() == [Emit("done")]
    assert made.view().get(VALUES, (b"a", 1)) == 1


class _Bare(Machine):
    name = "other"


class _Other(_Bare):
    def admit(self, message: Message, view: View, now: Instant) -> Judged | Needs:
        raise AssertionError("it is told of nothing")

    def serve(self, asked: Asked, view: View, now: Instant) -> Step:
        raise AssertionError("it is told of nothing")

    def convict(self, identity: bytes, proof: bytes, view: View, now: Instant) -> Step:
        raise AssertionError("it is told of nothing")


@pytest.mark.parametrize(
    ("attribute", "value"),
    [("topics", ("t",)), ("hints", ("h",)), ("serves", (Fetch,)), ("protocols", ("p",)), ("name", "scripted")],
)
def test_two_machines_may_not_claim_the_same(attribute: str, value: object) -> None:
    first, second = Scripted(), _Other()
    first.serves, first.protocols = (Fetch,), ("p",)  # type: ignore[misc]
    setattr(second, attribute, value)
    with pytest.raises(ValueError, match="both claim"):
        Routes([first, second])


def test_names_of_machines_fit_into_keys_and_one_keeps_proofs() -> None:
    machine, other = _Other(), Scripted()
    machine.name = "a name of seventeen"  # type: ignore[misc]
    with pytest.raises(ValueError, match="1 to 16 characters"):
        Routes([machine])
    machine.name = "other"  # type: ignore[misc]
    machine.keeps_proofs = other.keeps_proofs = True  # type: ignore[misc]
    with pytest.raises(ValueError, match="both keep proofs"):
        Routes([machine, other])


@pytest.mark.parametrize(
    ("attribute", "value", "method"),
    [
        ("topics", ("t",), "admit"),
        ("hints", ("h",), "admit"),
        ("ticks", True, "tick"),
        ("watches", (VALUES,), "changed"),
        ("serves", (Fetch,), "serve"),
        ("protocols", ("p",), "serve"),
        ("keeps_proofs", True, "convict"),
    ],
)
def test_a_machine_has_the_methods_for_what_it_asks_for(attribute: str, value: object, method: str) -> None:
    """Found when the node is put together, not when the first message comes."""
    bare = type("Bare", (Machine,), {"name": "bare", attribute: value})
    with pytest.raises(ValueError, match=f"bare has {attribute} but no method {method}"):
        Routes([bare()])
    Routes([type("Whole", (bare,), {method: lambda self, *given: None})()])


@pytest.mark.parametrize("method", ["admit", "timer", "tick", "answer", "changed", "serve"])
def test_what_a_machine_did_not_ask_for_is_an_error_that_names_it(method: str) -> None:
    with pytest.raises(NotImplementedError, match="other"):
        getattr(_Bare(), method)(None, None, GENESIS)
    with pytest.raises(NotImplementedError, match="other"):
        _Bare().proceed(None, None, None, GENESIS)  # type: ignore[arg-type]
    with pytest.raises(NotImplementedError, match="other"):
        _Bare().convict(b"", b"", None, GENESIS)  # type: ignore[arg-type]
