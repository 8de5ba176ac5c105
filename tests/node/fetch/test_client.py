"""Objects of peers that are dead, slow, or lie: asked for once, of one peer after another, within bounds."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from node.contract.demands import Failed, Fetch, Fetched, Request, Result
from node.contract.effects import Ask
from node.contract.inputs import Answer
from node.contract.instants import Instant
from node.contract.machine import Machine
from node.contract.messages import Message, Origin, PeerId
from node.contract.owed import OWED
from node.contract.steps import Judged, Step
from node.contract.verdicts import ACCEPT, Judgement, ignore, reject
from node.fetch.blobs import Blobs
from node.fetch.client import Fetching
from node.fetch.parameters import FetchParameters
from node.fetch.peers import PeerScores
from node.sim.chance import Chance
from node.store.keys import fixed
from node.store.own import SIGNED, OwnStore
from node.store.store import Store
from node.store.stores import Stores
from node.store.table import RAW, Schema, Table
from node.store.view import Rows, View
from protocol.crypto.hashing import hash32
from protocol.numbers.durations import MILLISECOND, SECOND
from protocol.types.fetch import Hint, RequestBatch, ResponseBatch, ResponseMessage
from protocol.types.ids import Hash32

from .network import Host, Network, Puppet

ALICE, BOB, CAROL, DAVE = (PeerId(name) for name in (b"alice", b"bob", b"carol", b"dave"))
ME = PeerId(b"me")
OBJECTS: Table[bytes, bytes] = Table(b"ob", "objects", fixed(32), RAW)
SOURCES = {Hint.POET: Blobs(lambda view, id: view.has(OBJECTS, id), lambda view, id: view.get(OBJECTS, id))}
TRUE = [b"object %d" % number for number in range(50)]
IDS = [hash32(one) for one in TRUE]


class Judge(Machine):
    """Keeps objects of the kind whose id is their hash. Those that begin with `bad` are rejected, with `hm` ignored."""

    name, hints = "judge", (Hint.POET,)

    def __init__(self) -> None:
        self.seen: list[bytes] = []

    def admit(self, message: Message, view: View, now: Instant) -> Judged:
        self.seen.append(message.data)
        if hash32(message.data) != message.expected:
            return Judged(reject("wrong_hash"))
        if message.data.startswith(b"bad"):
            return Judged(reject("bad"))
        if message.data.startswith(b"hm"):
            return Judged(ignore("too_old"))
        rows = Rows(view)
        rows.put(OBJECTS, message.expected, message.data)
        return Judged(ACCEPT, rows)


class Wisher(Machine):
    """Wants what it is told to want, by gossip of a peer who has it: ids one after another."""

    name, topics = "wisher", ("want", "want more")

    def __init__(self) -> None:
        self.got: dict[bytes, Result] = {}
        self.answers = 0

    def admit(self, message: Message, view: View, now: Instant) -> Judged:
        peers = () if message.peer is None else (message.peer,)
        ids = [message.data[at : at + 32] for at in range(0, len(message.data), 32)]
        asks = [Ask(Fetch(Hint.POET, id, peers), (message.channel, id)) for id in ids]
        return Judged(ignore("noted"), effects=asks)

    def answer(self, answer: Answer, view: View, now: Instant) -> Step:
        assert isinstance(answer.tag, tuple) and isinstance(answer.result, (Failed, Fetched))
        self.got[answer.tag[1]] = answer.result
        self.answers += 1
        return Step()


class World:
    """One engine, and puppets around it."""

    def __init__(self, parameters: FetchParameters | None = None, seed: int = 1) -> None:
        self.network = Network()
        self.judge, self.wisher = Judge(), Wisher()
        self.scores = PeerScores(lambda: self.network.peers(ME), Chance(seed))
        self.fetching = Fetching(parameters or FetchParameters(), self.scores, SOURCES)
        stores = Stores(
            Store.in_memory(Schema("state", 1, (OWED, OBJECTS))), OwnStore.in_memory(Schema("own", 1, (SIGNED,)))
        )
        self.me = Host(self.network, ME, stores, [self.judge, self.wisher, self.fetching])

    def peer(self, name: PeerId, change: Callable[[bytes, ResponseBatch], Result | None] | None = None) -> Puppet:
        """One that has everything. change: what it sends instead of its honest answer to a batch."""

        def answers(protocol: str, data: bytes) -> Result | None:
            assert protocol == "hs/1"
            batch = RequestBatch.codec.decode(data)
            assert all(one.hint == Hint.POET for one in batch.requests)
            known = dict(zip(IDS, TRUE))
            honest = ResponseBatch(
                batch.id,
                tuple(ResponseMessage(one.hash, known[one.hash]) for one in batch.requests if one.hash in known),
            )
            return ResponseBatch.codec.encode(honest) if change is None else change(data, honest)

        return Puppet(self.network, name, answers)

    def want(self, ids: Sequence[bytes], named: PeerId | None = None, topic: str = "want") -> None:
        self.me.turn(Message(topic, b"".join(ids), Origin.GOSSIP, self.network.now, named))

    def asked(self) -> list[tuple[PeerId, int]]:
        """Who was asked for how many."""
        return [(one.peer, len(RequestBatch.codec.decode(one.data).requests)) for _, one in self.network.requests]

    def is_idle(self) -> bool:
        return self.fetching.wanted == self.fetching.open_requests == self.me.engine.open_calls == 0


GOT = Fetched(ACCEPT)


def answer_of(honest: ResponseBatch, *messages: ResponseMessage) -> bytes:
    return ResponseBatch.codec.encode(ResponseBatch(honest.id, messages))


def message(id: bytes, data: bytes) -> ResponseMessage:
    return ResponseMessage(Hash32(id), data)


# ---- batches ----


def test_objects_are_gathered_and_asked_for_in_batches() -> None:
    world = World()
    world.peer(ALICE)
    world.want(IDS[:15])
    assert world.network.requests == []  # for 50 ms
    world.network.run_for(49 * MILLISECOND)
    assert world.network.requests == []
    world.network.run_for(MILLISECOND)
    assert world.asked() == [(ALICE, 10), (ALICE, 5)]
    world.network.run_for(SECOND)
    assert world.wisher.got == dict.fromkeys(IDS[:15], GOT)
    assert world.is_idle() and world.me.engine.next_due() is None


def test_answers_do_not_cut_short_what_is_being_gathered() -> None:
    world = World()
    world.peer(ALICE)
    world.want(IDS[:1])
    world.network.run_for(80 * MILLISECOND)  # the answer is on its way
    world.want(IDS[1:3])
    world.network.run_for(20 * MILLISECOND)
    world.want(IDS[3:6], topic="want more")
    world.network.run_for(SECOND)
    assert world.asked() == [(ALICE, 1), (ALICE, 5)]


def test_many_objects_are_not_gathered_for_long() -> None:
    world = World()
    world.peer(ALICE)
    world.want(IDS[:20])
    assert world.asked() == [(ALICE, 10), (ALICE, 10)]


def test_each_object_is_asked_for_once_however_many_wait() -> None:
    world = World()
    world.peer(ALICE)
    world.want(IDS[:3])
    world.want(IDS[:3], topic="want more")
    world.network.run_for(60 * MILLISECOND)
    world.want(IDS[:3], topic="want more")  # in place of the demands with the same tags
    world.network.run_for(SECOND)
    assert world.asked() == [(ALICE, 3)] and sorted(world.judge.seen) == sorted(TRUE[:3])
    assert world.wisher.answers == 6 and world.is_idle()


def test_what_is_here_is_not_asked_for() -> None:
    world = World()
    world.peer(ALICE)
    world.want(IDS[:1])
    world.network.run_for(SECOND)
    world.want(IDS[:1])
    assert world.wisher.answers == 2 and len(world.network.requests) == 1


def test_what_comes_by_another_way_meanwhile_ends_the_search() -> None:
    world = World()
    world.peer(ALICE, lambda data, honest: answer_of(honest))
    world.want(IDS[:1])
    world.network.run_for(55 * MILLISECOND)
    rows = Rows(world.me.stores.view())
    rows.put(OBJECTS, IDS[0], TRUE[0])
    world.me.stores.write(rows)
    world.network.run_for(SECOND)
    assert world.wisher.got == {IDS[0]: GOT} and len(world.network.requests) == 1 and world.is_idle()


# ---- which peer ----


def test_whoever_named_it_is_asked_first() -> None:
    world = World()
    for name in (ALICE, BOB, CAROL):
        world.peer(name)
    world.want(IDS[:5], named=CAROL)
    world.network.run_for(SECOND)
    assert world.asked() == [(CAROL, 5)]


def test_without_a_name_a_seed_chooses_among_the_best() -> None:
    def chosen(seed: int) -> list[tuple[PeerId, int]]:
        world = World(seed=seed)
        for number in range(10):
            world.peer(PeerId(b"peer %d" % number))
        world.want(IDS[:20])
        world.network.run_for(SECOND)
        return world.asked()

    assert chosen(1) == chosen(1) != chosen(2)
    assert {peer for peer, _ in chosen(1)} <= {PeerId(b"peer %d" % number) for number in range(5)}


def test_good_peers_are_asked_before_bad_ones() -> None:
    world = World(FetchParameters(best_peers=1))
    bad = world.peer(ALICE, lambda data, honest: Failed("no_answer"))
    world.peer(BOB)
    for number in range(5):
        world.want(IDS[number : number + 1])
        world.network.run_for(2 * SECOND)
    assert len(bad.asked) == 1  # a new peer is tried, and then no more
    assert world.wisher.got == dict.fromkeys(IDS[:5], GOT)


def test_a_dead_peer_costs_its_time_and_the_next_one_is_asked() -> None:
    world = World()
    world.peer(ALICE, lambda data, honest: None)
    world.want(IDS[:3], named=ALICE)
    world.network.run_for(SECOND)
    world.peer(BOB)
    world.network.run_for(20 * SECOND)
    assert world.wisher.got == {}
    world.network.run_for(5 * SECOND)
    assert world.wisher.got == dict.fromkeys(IDS[:3], GOT)
    assert world.asked() == [(ALICE, 3), (BOB, 3)] and world.me.blamed() == []


def test_a_peer_that_has_it_not_is_followed_by_the_next_without_blame() -> None:
    world = World()
    world.peer(ALICE, lambda data, honest: answer_of(honest, *honest.responses[:2]))
    world.peer(BOB)
    world.want(IDS[:4], named=ALICE)
    world.network.run_for(SECOND)
    assert world.asked() == [(ALICE, 4), (BOB, 2)]
    assert world.wisher.got == dict.fromkeys(IDS[:4], GOT) and world.me.blamed() == []


def test_without_peers_it_fails_at_once() -> None:
    world = World()
    world.want(IDS[:2])
    world.network.run_for(60 * MILLISECOND)
    assert world.wisher.got == dict.fromkeys(IDS[:2], Failed("no_peers", "No peer is connected."))
    assert world.is_idle()


def test_all_peers_are_asked_in_so_many_rounds() -> None:
    world = World(FetchParameters(rounds=3))
    for name in (ALICE, BOB):
        world.peer(name, lambda data, honest: answer_of(honest))
    world.want(IDS[:1])
    world.network.run_for(2 * SECOND)
    assert world.wisher.got == {}
    world.network.run_for(2 * SECOND)
    (result,) = world.wisher.got.values()
    assert isinstance(result, Failed) and result.reason == "not_found"
    assert sorted(peer for peer, _ in world.asked()) == [ALICE] * 3 + [BOB] * 3 and world.is_idle()


def test_what_only_comes_later_is_found_in_a_later_round() -> None:
    world = World()
    peer = world.peer(ALICE, lambda data, honest: answer_of(honest))
    world.want(IDS[:1])
    world.network.run_for(500 * MILLISECOND)
    world.peer(ALICE)
    assert world.network.hosts[ALICE] is not peer
    world.network.run_for(2 * SECOND)
    assert world.wisher.got == {IDS[0]: GOT}


def test_what_whoever_named_it_has_not_is_asked_of_few_others() -> None:
    world = World(FetchParameters(others_after_denial=2))
    for number in range(20):
        world.peer(PeerId(b"peer %02d" % number), lambda data, honest: answer_of(honest))
    world.want([b"\7" * 32], named=PeerId(b"peer 19"))
    world.network.run_for(20 * SECOND)
    (result,) = world.wisher.got.values()
    assert isinstance(result, Failed) and result.reason == "not_found"
    assert len(world.network.requests) == 3 and world.is_idle()


# ---- lies ----

OTHER = message(IDS[9], TRUE[9])
LIES: dict[str, tuple[Callable[[bytes, ResponseBatch], bytes], str]] = {
    "no batch": (lambda data, honest: b"\xff\xff", "malformed_answer"),
    "nothing": (lambda data, honest: b"", "malformed_answer"),
    "extra bytes": (lambda data, honest: ResponseBatch.codec.encode(honest) + b"\0", "malformed_answer"),
    "cut short": (lambda data, honest: ResponseBatch.codec.encode(honest)[:-1], "malformed_answer"),
    "another batch": (
        lambda data, honest: ResponseBatch.codec.encode(ResponseBatch(Hash32(bytes(32)), honest.responses)),
        "wrong_batch",
    ),
    "another id": (lambda data, honest: answer_of(honest, OTHER), "object_not_asked_for"),
    "too many ids": (lambda data, honest: answer_of(honest, *[OTHER] * 90), "object_not_asked_for"),
    "wrong hash": (lambda data, honest: answer_of(honest, message(IDS[0], b"something else")), "wrong_hash"),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_lying_peer_is_blamed_and_the_next_one_asked(lie: str) -> None:
    change, reason = LIES[lie]
    world = World()
    world.peer(ALICE, change)
    world.peer(BOB)
    world.want(IDS[:1], named=ALICE)
    world.network.run_for(SECOND)
    assert world.wisher.got == {IDS[0]: GOT}
    assert [peer for peer, _ in world.asked()] == [ALICE, BOB]
    assert world.me.blamed() == [(ALICE, reason)]
    assert world.fetching.counts[Hint.POET, "accept"] == 1
    assert world.fetching.counts["", reason] == (0 if reason == "wrong_hash" else 1)  # which the engine has counted
    assert TRUE[9] not in world.judge.seen and world.is_idle()
    assert world.scores.best_of([ALICE, BOB]) == BOB


def test_what_is_right_beside_a_lie_is_taken() -> None:
    world = World()
    world.peer(ALICE, lambda data, honest: answer_of(honest, OTHER, *honest.responses[:2], honest.responses[0]))
    world.peer(BOB)
    world.want(IDS[:3], named=ALICE)
    world.network.run_for(SECOND)
    assert world.wisher.got == dict.fromkeys(IDS[:3], GOT)
    assert world.asked() == [(ALICE, 3), (BOB, 1)]
    assert world.me.blamed() == [(ALICE, "object_repeated")]


def test_bad_objects_of_so_many_peers_are_bad() -> None:
    bad = b"bad object"
    world = World()
    names = [PeerId(b"peer %d" % number) for number in range(6)]
    for name in names:
        world.peer(name, lambda data, honest: answer_of(honest, message(hash32(bad), bad)))
    world.want([hash32(bad)], named=names[5])
    world.network.run_for(5 * SECOND)
    result = world.wisher.got[hash32(bad)]
    assert isinstance(result, Fetched) and result.verdict.judgement is Judgement.REJECT
    assert len(world.network.requests) == 3 == len(world.me.blamed()) and world.is_idle()


def test_whoever_named_it_is_asked_before_it_counts_as_bad() -> None:
    world = World(FetchParameters(max_bad_answers=2))
    known = dict.fromkeys((ALICE, BOB, CAROL), IDS[0])
    world.judge.admit = lambda message, view, now: Judged(  # type: ignore[method-assign]
        ACCEPT if message.peer == DAVE else reject("bad_signature")
    )
    for name in known:
        world.peer(name)
    world.peer(DAVE)
    for name in (*known, DAVE):
        world.want(IDS[:1], named=name, topic="want more" if name == DAVE else "want")
        world.fetching._wanted[Hint.POET, IDS[0]].join(99, (name,))
    world.network.run_for(5 * SECOND)
    assert world.wisher.got == {IDS[0]: GOT} and DAVE in [peer for peer, _ in world.asked()]


def test_something_else_of_many_peers_says_nothing_of_the_object() -> None:
    world = World(FetchParameters(max_bad_answers=2))
    for name in (ALICE, BOB, CAROL):
        world.peer(name, lambda data, honest: answer_of(honest, message(IDS[0], b"something else")))
    world.want(IDS[:1], named=ALICE)
    world.network.run_for(5 * SECOND)
    (result,) = world.wisher.got.values()
    assert isinstance(result, Failed) and result.reason == "not_found" and len(world.network.requests) == 3
    world.peer(DAVE)
    world.want(IDS[:1], named=ALICE)
    world.network.run_for(5 * SECOND)
    assert world.wisher.got == {IDS[0]: GOT}


def test_an_object_that_is_ignored_is_asked_of_nobody_else() -> None:
    late = b"hm, too late"
    world = World()
    for name in (ALICE, BOB):
        world.peer(name, lambda data, honest: answer_of(honest, message(hash32(late), late)))
    world.want([hash32(late)])
    world.network.run_for(5 * SECOND)
    assert world.wisher.got == {hash32(late): Fetched(ignore("too_old"))}
    assert len(world.network.requests) == 1 and world.me.blamed() == []


def test_what_is_rejected_for_what_we_do_not_know_is_nobodys_lie() -> None:
    odd = b"bad object"
    world = World()
    world.judge.admit = lambda message, view, now: Judged(reject("unknown_identity"))  # type: ignore[method-assign]
    for name in (ALICE, BOB):
        world.peer(name, lambda data, honest: answer_of(honest, message(hash32(odd), odd)))
    world.want([hash32(odd)])
    world.network.run_for(5 * SECOND)
    assert world.wisher.got == {hash32(odd): Fetched(reject("unknown_identity"))}
    assert len(world.network.requests) == 1 and world.me.blamed() == []


# ---- bounds ----


def test_a_flood_of_wishes_is_bounded() -> None:
    world = World(FetchParameters(max_wanted=40, max_requests=3, max_requests_of_peer=2))
    world.peer(ALICE, lambda data, honest: None)
    world.want(IDS)
    refused = [id for id, result in world.wisher.got.items() if isinstance(result, Failed) and result.reason == "busy"]
    assert refused == IDS[40:] and world.fetching.wanted == 40 and world.fetching.counts[Hint.POET, "busy"] == 10
    world.network.run_for(SECOND)
    assert world.asked() == [(ALICE, 10), (ALICE, 10)]
    assert world.fetching.open_requests == 2
    for name in (BOB, CAROL, DAVE):
        world.peer(name)
    world.network.run_for(SECOND)
    assert {peer for peer, _ in world.asked()[2:]} <= {BOB, CAROL, DAVE}
    world.network.run_for(30 * SECOND)
    assert [id for id, result in world.wisher.got.items() if result == GOT] and world.is_idle()
    assert set(world.wisher.got) == set(IDS)
    assert all(world.wisher.got[id] == GOT for id in IDS[:40])


def test_a_busy_peer_does_not_keep_others_from_being_asked() -> None:
    world = World(FetchParameters(max_requests_of_peer=1))
    world.peer(ALICE, lambda data, honest: None)
    world.want(IDS[:12], named=ALICE)
    world.network.run_for(SECOND)
    assert world.asked() == [(ALICE, 10)]
    world.peer(BOB)
    world.want(IDS[12:14], named=BOB)
    world.network.run_for(SECOND)
    # the two that waited for Alice go with them
    assert world.asked() == [(ALICE, 10), (BOB, 4)]


def test_a_peer_has_no_more_requests_than_it_may_whatever_kinds_they_are_of() -> None:
    world = World(FetchParameters(max_requests_of_peer=1))
    asked: list[str] = []

    def silent(protocol: str, data: bytes) -> None:
        asked.append(protocol)

    Puppet(world.network, ALICE, silent)
    demands = [Fetch(Hint.ATX, IDS[0]), Fetch(Hint.ACTIVE_SET, IDS[1]), Fetch(Hint.ATX, IDS[2])]
    world.me.turn()
    calls = [Ask(one, one.id) for one in demands]
    world.wisher.admit = lambda message, view, now: Judged(ignore("noted"), effects=calls)  # type: ignore[method-assign]
    world.wisher.answer = lambda answer, view, now: Step()  # type: ignore[method-assign]
    world.want([])
    world.network.run_for(SECOND)
    assert asked == ["hs/1"]


def test_an_active_set_goes_alone_and_in_its_protocol_or_as_other_objects_do() -> None:
    world = World()
    asked: list[str] = []

    def answers(protocol: str, data: bytes) -> Result | None:
        asked.append(protocol)
        assert len(RequestBatch.codec.decode(data).requests) == 1
        return Failed("no_protocol") if protocol == "as/1" else Failed("no_answer")

    Puppet(world.network, ALICE, answers)
    demands = [Fetch(Hint.ACTIVE_SET, id) for id in IDS[:2]]
    world.me.turn()
    calls = [Ask(one, one.id) for one in demands]
    world.wisher.admit = lambda message, view, now: Judged(ignore("noted"), effects=calls)  # type: ignore[method-assign]
    world.wisher.answer = lambda answer, view, now: Step()  # type: ignore[method-assign]
    world.want([])
    world.network.run_for(200 * MILLISECOND)
    assert asked == ["as/1", "as/1", "hs/1", "hs/1"]
    assert all(isinstance(one, Request) for _, one in world.network.requests)
