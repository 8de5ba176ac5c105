"""The driver's rules, one by one: what is acknowledged when, what is refused, what becomes of a disk that is full."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import closing

import pytest

from node.contract.demands import Failed, Request
from node.contract.inputs import Sent
from node.contract.instants import Instant
from node.contract.messages import Message, Origin, PeerId
from node.contract.verdicts import Verdict
from node.engine.edges import Call
from node.engine.errors import EngineStopped
from node.mempool import transactions
from node.mempool.handler import TOPIC
from node.p2p.memory import MemoryHost
from node.runtime.driver import Phase
from node.runtime.errors import Refused
from node.runtime.facts import Facts
from node.runtime.inbox import Inbox, Lane, Limits
from node.runtime.ports import inward, outward
from node.store.errors import StoreFault, StoreFull
from node.store.memory import MemoryBackend
from node.store.view import Rows
from protocol.numbers.durations import SECOND
from protocol.types.ids import LayerId
from protocol.types.transactions import RawTx

from .company import Company, Member


class Disk(MemoryBackend):
    """A backend that notes what is synced, and may fail."""

    def __init__(self) -> None:
        super().__init__()
        self.synced = 0
        self.fault: StoreFault | None = None

    def write(self, changes: Iterable[tuple[bytes, bytes | None]], sync: bool) -> None:
        """As Backend says."""
        if self.fault is not None:
            raise self.fault
        self.synced += sync
        super().write(changes, sync)

    def get(self, key: bytes) -> bytes | None:
        """As Backend says: a store is opened with it."""
        if self.fault is not None:
            raise self.fault
        return super().get(key)

    def close(self) -> None:
        """As Backend says; what was written stays."""


class Told:
    """An onlooker."""

    def __init__(self, fails: bool = False) -> None:
        self.fails = fails
        self.tables: list[set[str]] = []
        self.facts: list[Facts] = []

    def committed(self, rows: Rows, events: Sequence[object], facts: Facts) -> None:
        """As Onlooker says."""
        self.tables.append({table.name for table in rows.tables()})
        self.facts.append(facts)
        if self.fails:
            raise ValueError("a mistake")


@pytest.fixture
def disk() -> Disk:
    return Disk()


def alone(disk: Disk | None = None, onlookers: Sequence[Told] = (), limits: Limits | None = None) -> Member:
    """A company of one, started."""
    company = Company(1, onlookers, limits)
    (member,) = company.members
    if disk is not None:
        member.backends = (disk, Disk())
    company.start()
    return member


def phase_of(member: Member) -> Phase:
    """Of its driver, now."""
    return member.driver.phase


def test_a_clients_transaction_is_acknowledged_after_its_rows_are_synced(disk: Disk) -> None:
    member = alone(disk)
    raw = member.company.wallets[0].spawn()
    verdict = member.driver.submit(raw)
    assert not verdict.done()
    synced = disk.synced
    member.driver.turn()
    assert verdict.result(0).is_accepted
    assert disk.synced == synced + 1
    with closing(member.node.stores.view()) as view:
        assert transactions.has(view, RawTx.of(raw).id, with_header=True)


def test_all_that_wait_share_one_sync(disk: Disk) -> None:
    member = alone(disk)
    verdicts = [member.driver.submit(wallet.spawn()) for wallet in member.company.wallets]
    synced = disk.synced
    member.driver.turn()
    assert [one.result(0).is_accepted for one in verdicts] == [True] * len(member.company.wallets)
    assert disk.synced == synced + 1
    assert member.driver.measures.syncs == 1


def test_one_that_came_by_gossip_before_is_synced_when_a_client_sends_it(disk: Disk) -> None:
    """Its rows are written already, but not on stable storage."""
    company = Company(1)
    (member,) = company.members
    member.backends = (disk, Disk())
    company.start()
    company.run_to(10)  # it listens now
    raw = company.wallets[0].spawn()
    member.driver.heard(TOPIC, raw, PeerId(b"peer"))
    company.settle()
    with closing(member.node.stores.view()) as view:
        assert transactions.has(view, RawTx.of(raw).id, with_header=True)
    synced = disk.synced
    verdict = member.driver.submit(raw)
    company.settle()
    assert verdict.result(0).is_accepted
    assert disk.synced == synced + 1


def test_a_transaction_that_is_refused_has_its_reason() -> None:
    member = alone()
    raw = member.company.wallets[0].spawn()
    verdict = member.driver.submit(raw[:-1] + bytes([raw[-1] ^ 1]))
    member.driver.turn()
    assert verdict.result(0).reason == "not_signed"


def test_what_a_client_sent_goes_to_peers_once_it_is_accepted() -> None:
    company = Company(2)
    company.start()
    company.run_to(10)
    raw = company.wallets[0].spawn()
    company.members[0].driver.submit(raw)
    company.settle()
    with closing(company.members[1].node.stores.view()) as view:
        assert transactions.has(view, RawTx.of(raw).id, with_header=True)


def test_more_than_a_number_of_transactions_do_not_wait() -> None:
    member = alone(limits=Limits(submitted=2))
    raw = member.company.wallets[0].spawn()
    first = [member.driver.submit(raw) for _ in range(2)]
    with pytest.raises(Refused) as refused:
        member.driver.submit(raw)
    assert refused.value.reason == "busy"
    member.driver.turn()
    assert all(one.result(0).is_accepted for one in first)
    assert not member.driver._submitted
    assert member.driver.inbox.refused[Lane.SUBMITTED] == 1


def test_questions_are_answered_between_turns_and_bounded() -> None:
    member = alone(limits=Limits(questions=2))
    answers = [member.driver.ask(lambda rooms, view: rooms.mesh.latest) for _ in range(2)]
    with pytest.raises(Refused):
        member.driver.ask(lambda rooms, view: None)
    assert not answers[0].done()
    member.driver.turn()
    assert [one.result(0) for one in answers] == [member.node.rooms.mesh.latest] * 2


def test_what_a_question_raises_is_raised_to_whoever_asked() -> None:
    member = alone()

    def question(rooms: object, view: object) -> None:
        raise KeyError("nothing here")

    answer = member.driver.ask(question)
    member.driver.turn()
    with pytest.raises(KeyError):
        answer.result(0)
    assert phase_of(member) is Phase.RUNNING


def test_an_onlooker_that_fails_ends_nothing(caplog: pytest.LogCaptureFixture) -> None:
    failing, other = Told(fails=True), Told()
    member = alone(onlookers=(failing, other))
    member.driver.submit(member.company.wallets[0].spawn())
    member.driver.turn()
    assert "transactions" in other.tables[-1]
    assert len(other.tables) == len(failing.tables) == 2  # the start, and the turn
    assert "what was committed could not be told" in caplog.text
    assert other.facts[-1] == member.driver.facts


# ---- bounds ----


def test_gossip_beyond_the_bound_is_judged_at_once_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    company = Company(2, limits=Limits(gossip=1))
    company.start()
    _, second = company.members
    judged: list[str] = []

    def judge(host: MemoryHost, message: Message, verdict: Verdict) -> None:
        judged.append(verdict.reason)

    monkeypatch.setattr(MemoryHost, "judge", judge)
    for data in (b"one", b"two"):
        second.driver.heard(TOPIC, data, PeerId(b"peer"))
    assert judged == ["busy"]
    assert second.driver.inbox.refused == {Lane.GOSSIP: 1}


def test_a_turn_takes_so_much_of_each_lane_and_what_is_urgent_beside_it() -> None:
    inbox = Inbox(Limits(turn=2), lambda topic: topic == "hare")
    for number in range(5):
        inbox.put(Message("tx1", b"%d" % number, Origin.GOSSIP, Instant(number), PeerId(b"peer")))
    inbox.put(Message("hare", b"", Origin.GOSSIP, Instant(9), PeerId(b"peer")))
    taken = inbox.take()
    assert [one.channel for one in taken if isinstance(one, Message)] == ["hare", "tx1", "tx1"]
    assert inbox.waiting()[Lane.GOSSIP] == 3


def test_a_peer_that_does_not_answer_in_time_has_failed() -> None:
    company = Company(2)
    first, second = company.members
    company.start()
    company.settle()
    second.driver.asked = lambda number, request: None  # type: ignore[method-assign]
    returned: list[object] = []
    before = first.driver.returned

    def watch(call: int, result: object) -> None:
        returned.append(result)
        before(call, result)  # type: ignore[arg-type]

    first.driver.returned = watch  # type: ignore[method-assign]
    first.driver._carry_out([Call(99, Request("ml/1", b"", second.host.peer, 2 * SECOND))])
    assert first.driver.wakes_at() <= company.clock.now() + 2 * SECOND
    company.run_until(company.clock.now() + 2 * SECOND)
    assert Failed("timeout", "The peer has not answered in time.") in returned


def test_answers_for_an_engine_that_is_no_more_are_dropped() -> None:
    member = alone()
    assert inward(outward(7, 5)) == (7, 5)
    for life in (member.driver.measures.lives + 1, member.driver.measures.lives - 1):
        member.driver.returned(outward(life, 1), Sent())
    assert not member.driver.inbox


# ---- a disk without room ----


def test_without_room_nothing_is_taken_all_is_read_and_it_goes_on() -> None:
    company = Company(1)
    (member,) = company.members
    company.start()
    company.run_to(3)
    raw = company.wallets[0].spawn()
    waiting = member.driver.submit(raw)
    member.has_room = False
    member.driver.turn()
    assert phase_of(member) is Phase.NO_ROOM
    assert isinstance(waiting.exception(0), Refused)  # it was not taken, and its sender knows
    with pytest.raises(Refused) as refused:
        member.driver.submit(raw)
    assert refused.value.reason == "no_room"
    answer = member.driver.ask(lambda rooms, view: rooms.mesh.latest)
    company.run_until(company.clock.now() + 5 * SECOND)
    assert answer.result(0) == member.driver.facts.latest
    member.node.stores.view().close()
    member.has_room = True
    company.run_until(company.clock.now() + 2 * SECOND)
    assert phase_of(member) is Phase.RUNNING
    assert member.starts == 1
    accepted = member.driver.submit(raw)
    company.settle()
    assert accepted.result(0).is_accepted


def test_a_turn_that_cannot_be_written_for_want_of_room_is_not_lost(disk: Disk) -> None:
    company = Company(1)
    (member,) = company.members
    member.backends = (disk, Disk())
    company.start()
    company.run_to(10)
    raw = company.wallets[0].spawn()
    member.driver.heard(TOPIC, raw, PeerId(b"peer"))
    disk.fault = StoreFull("No space left on device.")
    sent = member.driver.submit(company.wallets[1].spawn())
    company.settle()
    assert phase_of(member) is Phase.NO_ROOM
    assert isinstance(sent.exception(0), Refused)
    company.run_until(company.clock.now() + 3 * SECOND)  # it looks, and cannot begin
    assert phase_of(member) is Phase.NO_ROOM
    assert member.driver.inbox.waiting()[Lane.GOSSIP] == 1  # what peers sent waits for the next engine
    disk.fault = None
    company.run_until(company.clock.now() + 300 * SECOND)
    assert phase_of(member) is Phase.RUNNING
    assert not member.driver.inbox
    assert member.driver.facts.is_synced


def test_any_other_fault_of_the_store_ends_the_node(disk: Disk) -> None:
    member = alone(disk)
    disk.fault = StoreFault("The disk is gone.")
    waiting = member.driver.submit(member.company.wallets[0].spawn())
    with pytest.raises(EngineStopped) as stopped:
        member.driver.turn()
    assert stopped.value.__cause__ is disk.fault
    member.driver.stop()
    assert isinstance(waiting.exception(0), Refused)


# ---- sleep, and the end ----


def test_a_node_that_slept_begins_anew_and_goes_on() -> None:
    company = Company(1)
    (member,) = company.members
    company.start()
    company.run_to(6)
    stores = member.node.stores
    company.clock.set(company.time.start_ns(LayerId(12)))
    member.driver.turn()
    assert member.starts == 2
    assert member.node.stores is stores
    company.run_to(20)
    assert member.driver.facts.is_synced
    assert member.starts == 2


def test_a_layer_that_is_a_little_late_is_ticked_late() -> None:
    company = Company(1)
    (member,) = company.members
    company.start()
    company.run_to(6)
    company.clock.set(company.time.start_ns(LayerId(7)) + SECOND)
    member.driver.turn()
    assert member.starts == 1
    assert member.driver.measures.late_ns == SECOND


def test_who_waits_when_the_node_stops_is_told() -> None:
    member = alone()
    waiting = member.driver.submit(member.company.wallets[0].spawn())
    answer = member.driver.ask(lambda rooms, view: None)
    member.driver.stop()
    for one in (waiting, answer):
        assert isinstance(one.exception(0), Refused)
    for ask in (lambda: member.driver.submit(b""), lambda: member.driver.ask(lambda rooms, view: None)):
        with pytest.raises(Refused):
            ask()
    assert not member.company.network.is_here(member.host)
