"""Many routers that gossip with each other: everybody hears everything once, whoever lies or stalls."""

from __future__ import annotations

import random
from collections import defaultdict, deque
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from node.contract.instants import Instant, after
from node.contract.messages import PeerId
from node.contract.verdicts import ACCEPT, Verdict, ignore, reject
from node.p2p.gossip import rpc
from node.p2p.gossip.meshes import Offered, ToJudge, ToSend
from node.p2p.gossip.parameters import BOOTNODE, GossipParameters
from node.p2p.gossip.router import Router
from node.p2p.gossip.rpc import OfferedPeer, Prune
from node.p2p.gossip.score import Outcome, Scores
from node.p2p.wire.errors import WireError
from node.sim.chance import Chance
from protocol.numbers.durations import HOUR, SECOND

START = Instant(1_700_000_000 * SECOND)
TOPIC = "ax1"
NEWEST, MIDDLE, OLDEST, FLOOD = rpc.PROTOCOLS
DEFAULTS = GossipParameters()


def name(number: int) -> PeerId:
    return PeerId(number.to_bytes(4, "big"))


class Net:
    """Routers and who is connected to whom; bytes arrive in their order, and after a while."""

    def __init__(self, count: int, seed: int, parameters: GossipParameters = DEFAULTS) -> None:
        self.now = START
        self.rng = random.Random(seed)
        self.routers = {name(number): Router(parameters, Chance(seed).of(number)) for number in range(count)}
        self.wires: dict[tuple[PeerId, PeerId], deque[bytes]] = defaultdict(deque)
        self.heard: dict[PeerId, list[bytes]] = {one: [] for one in self.routers}
        self.verdict: Callable[[PeerId, bytes], Verdict] = lambda who, data: ACCEPT
        self.lost: Callable[[PeerId, PeerId], bool] = lambda source, target: False
        self.sent_bytes = 0

    def connect(self, first: PeerId, second: PeerId) -> None:
        for one, other, is_outbound in ((first, second, True), (second, first, False)):
            self.routers[one].connected(other, NEWEST, is_outbound=is_outbound)
            self.routers[one].ready(other, NEWEST, self.now)

    def connect_randomly(self, degree: int) -> None:
        """Every one dials so many others; all are connected somehow."""
        names = list(self.routers)
        pairs = {frozenset((names[at], names[at - 1])) for at in range(1, len(names))}
        for one in names:
            pairs |= {frozenset((one, other)) for other in self.rng.sample(names, degree) if other != one}
        for pair in sorted(map(sorted, pairs)):
            self.connect(*pair)

    def collect(self) -> None:
        for one, router in self.routers.items():
            for output in router.take():
                if isinstance(output, ToSend):
                    self.sent_bytes += len(output.data)
                    if not self.lost(one, output.peer):
                        self.wires[one, output.peer].append(output.data)
                elif isinstance(output, ToJudge):
                    self.heard[one].append(output.data)
                    router.judged(output.id, self.verdict(one, output.data), self.now)

    def settle(self) -> None:
        """Until nothing is on its way."""
        self.collect()
        while busy := [pair for pair, queue in self.wires.items() if queue]:
            source, target = self.rng.choice(busy)
            self.routers[target].rpc(source, self.wires[source, target].popleft(), self.now)
            self.collect()

    def beat(self, times: int = 1) -> None:
        for _ in range(times):
            self.now = after(self.now, SECOND)
            for router in self.routers.values():
                router.heartbeat(self.now)
            self.settle()

    def join(self, topic: str = TOPIC) -> None:
        for router in self.routers.values():
            router.join(topic, self.now)
        self.settle()

    def publish(self, who: PeerId, data: bytes) -> None:
        self.routers[who].publish(TOPIC, data, self.now)
        self.settle()


@settings(max_examples=15)
@given(st.integers(0, 1 << 32))
def test_everybody_hears_every_message_once(seed: int) -> None:
    net = Net(20, seed)
    net.connect_randomly(4)
    net.join()
    net.beat(2)
    # each of its own: what was said before is the same message, whoever says it
    messages = [bytes([number]) + net.rng.randbytes(net.rng.choice([0, 100, 2000])) for number in range(10)]
    publishers = [net.rng.choice(list(net.routers)) for _ in messages]
    for who, data in zip(publishers, messages):
        net.publish(who, data)
    net.beat(3)
    for one, heard in net.heard.items():
        expected = sorted(data for who, data in zip(publishers, messages) if who != one)
        assert sorted(heard) == expected


@settings(max_examples=10)
@given(st.integers(0, 1 << 32))
def test_what_is_lost_on_the_way_comes_by_asking(seed: int) -> None:
    net = Net(16, seed)
    net.connect_randomly(5)
    net.join()
    net.beat(2)
    net.lost = lambda source, target: net.rng.randrange(100) < 30
    for number in range(5):
        net.publish(name(number), bytes([number]) * 50)
    net.lost = lambda source, target: False
    net.beat(4)
    assert all(len(heard) >= 4 for heard in net.heard.values())


def test_a_mesh_keeps_its_size_and_those_that_were_dialled() -> None:
    net = Net(40, 7)
    net.connect_randomly(12)
    net.join()
    net.beat(5)
    sizes = [len(router.mesh(TOPIC)) for router in net.routers.values()]
    assert min(sizes) >= DEFAULTS.degree_low
    assert max(sizes) <= DEFAULTS.degree_high + 1


def test_messages_are_sent_to_the_mesh_alone() -> None:
    net = Net(40, 3)
    net.connect_randomly(15)
    net.join()
    net.beat(3)
    before = net.sent_bytes
    data = bytes(10_000)
    net.publish(name(0), data)
    copies = (net.sent_bytes - before) / len(data) / len(net.routers)
    assert copies < DEFAULTS.degree_high + 1


def test_a_message_is_spread_only_after_it_was_judged() -> None:
    router = lone()
    router.rpc(name(1), rpc.publication(TOPIC, b"data"), START)
    (judge,) = router.take()
    assert isinstance(judge, ToJudge)
    assert router.judging == 1
    router.judged(judge.id, ignore("later"), START)
    assert router.take() == []
    router.judged(judge.id, ACCEPT, START)
    assert router.take() == []  # judged once


def lone(*peers: int, parameters: GossipParameters = DEFAULTS, protocol: str = NEWEST) -> Router:
    """A router whose peers want its topic."""
    router = Router(parameters, Chance(1))
    router.join(TOPIC, START)
    for number in peers or (1, 2):
        router.connected(name(number), protocol, is_outbound=False)
        router.ready(name(number), protocol, START)
        router.rpc(name(number), rpc.subscription(TOPIC, True), START)
    router.take()
    return router


def sent(router: Router, to: int | None = None) -> list[bytes]:
    return [one.data for one in router.take() if isinstance(one, ToSend) and to in (None, int.from_bytes(one.peer))]


@pytest.mark.parametrize(("protocol", "backoff"), [(NEWEST, 60 * SECOND), (OLDEST, None)])
def test_a_peer_is_told_only_what_its_version_knows(protocol: str, backoff: int | None) -> None:
    router = lone(1, protocol=protocol)
    router.rpc(name(1), rpc.control(prune=(Prune(TOPIC),)), START)
    router.rpc(name(1), rpc.control(graft=(TOPIC,)), START)
    (data,) = sent(router)
    control = rpc.decode(data).control
    assert control is not None and control.prune == [Prune(TOPIC, backoff)]


def test_who_speaks_the_oldest_protocol_gets_everything_and_is_in_no_mesh() -> None:
    router = lone(1, protocol=FLOOD)
    assert router.mesh(TOPIC) == frozenset()
    router.publish(TOPIC, b"data", START)
    assert sent(router, 1) == [rpc.publication(TOPIC, b"data")]


def test_own_messages_of_other_topics_go_to_some_who_want_them() -> None:
    router = lone(1, 2, 3)
    for number in (1, 2, 3):
        router.rpc(name(number), rpc.subscription("tx1", True), START)
    router.publish("tx1", b"data", START)
    assert len(sent(router)) == 3
    router.heartbeat(after(START, 2 * DEFAULTS.fanout))
    router.publish("tx1", b"other", after(START, 2 * DEFAULTS.fanout))
    assert rpc.publication("tx1", b"other") in sent(router, 1)


def test_a_peer_that_need_not_be_sent_a_message_is_not() -> None:
    router = lone(1, 2)
    id = rpc.message_id(TOPIC, b"data")
    router.rpc(name(1), rpc.control(idontwant=(id,)), START)
    router.publish(TOPIC, b"data", START)
    assert sent(router, 1) == []
    for beat in range(1, DEFAULTS.idontwant_heartbeats + 1):
        router.heartbeat(after(START, beat * SECOND))
    router.take()
    router.rpc(name(1), rpc.control(iwant=(id,)), after(START, 5 * SECOND))
    assert sent(router, 1) == [rpc.publication(TOPIC, b"data") + rpc.NO_CONTROL]


def test_a_message_is_sent_again_only_so_often() -> None:
    router = lone(1)
    id = rpc.message_id(TOPIC, b"data")
    router.publish(TOPIC, b"data", START)
    router.take()
    for _ in range(10):
        router.rpc(name(1), rpc.control(iwant=(id, id)), START)
    assert len(sent(router)) == DEFAULTS.retransmissions


def test_a_peer_that_promises_and_does_not_keep_it_is_pruned() -> None:
    router, now = lone(1), START
    for number in range(20):
        router.rpc(name(1), rpc.control(ihave=((TOPIC, [number.to_bytes(32, "big")]),)), now)
        assert sent(router)
        now = after(now, DEFAULTS.iwant_followup + SECOND)
        router.heartbeat(now)
        if not router.mesh(TOPIC):
            break
    assert router.counts["broken_promise"] == number + 1 < 20
    assert router.scores.of(name(1), now) < 0


def test_a_peer_that_tells_of_too_much_is_not_heard() -> None:
    router = lone(1)
    ids = [number.to_bytes(32, "big") for number in range(2 * DEFAULTS.ihave_ids)]
    router.rpc(name(1), rpc.control(ihave=((TOPIC, ids),)), START)
    (data,) = sent(router)
    control = rpc.decode(data).control
    assert control is not None and len(control.iwant) == DEFAULTS.ihave_ids
    for number in range(DEFAULTS.ihave_messages + 5):
        router.rpc(name(1), rpc.control(ihave=((TOPIC, [number.to_bytes(31, "big") + b"x"]),)), START)
    assert sent(router) == []
    assert router.counts["ihave_ignored"] == 6


def test_a_graft_that_comes_too_early_costs_more_and_more() -> None:
    router = lone(1)
    router.rpc(name(1), rpc.control(prune=(Prune(TOPIC, 60 * SECOND),)), START)
    for _ in range(10):
        router.rpc(name(1), rpc.control(graft=(TOPIC,)), after(START, SECOND))
    assert router.mesh(TOPIC) == frozenset()
    assert router.scores.of(name(1), START) == -10 * (2 * 10 - 6) ** 2
    later = after(START, SECOND + 60 * SECOND)
    router.heartbeat(later)
    router.rpc(name(1), rpc.control(graft=(TOPIC,)), later)
    assert router.mesh(TOPIC) == frozenset()


def test_a_backoff_is_no_longer_than_an_hour() -> None:
    router = lone(1)
    router.rpc(name(1), rpc.control(prune=(Prune(TOPIC, 10**6 * SECOND),)), START)
    router.scores.connect(name(1))
    later = after(START, HOUR + SECOND)
    router.rpc(name(1), rpc.control(graft=(TOPIC,)), later)
    assert router.mesh(TOPIC) == {name(1)}


def test_a_full_mesh_takes_only_those_that_were_dialled() -> None:
    router = lone(*range(1, DEFAULTS.degree + 1))
    for number in range(100, 104):
        router.connected(name(number), NEWEST, is_outbound=number == 103)
        router.ready(name(number), NEWEST, START)
        router.rpc(name(number), rpc.control(graft=(TOPIC,)), START)
    assert len(router.mesh(TOPIC)) == DEFAULTS.degree_high + 1
    assert name(102) not in router.mesh(TOPIC) and name(103) in router.mesh(TOPIC)


def test_who_sends_what_nobody_may_send_is_not_heard_any_more() -> None:
    router = lone(1)
    for number in range(6):
        router.rpc(name(1), rpc.publication(TOPIC, bytes([number])), START)
        (judge,) = (one for one in router.take() if isinstance(one, ToJudge))
        router.judged(judge.id, reject("bad"), START)
    router.rpc(name(1), rpc.publication(TOPIC, b"good"), START)
    assert router.counts["graylisted"] == 1
    assert not [one for one in router.take() if isinstance(one, ToJudge)]
    router.disconnected(name(1), START)
    router.connected(name(1), NEWEST, is_outbound=False)
    assert router.scores.of(name(1), after(START, HOUR)) < DEFAULTS.score.graylist_threshold


def test_all_that_sent_an_invalid_message_are_judged_by_it() -> None:
    router = lone(1, 2, 3)
    data = rpc.publication(TOPIC, b"bad")
    for number in (1, 2):
        router.rpc(name(number), data, START)
    (judge,) = (one for one in router.take() if isinstance(one, ToJudge))
    router.judged(judge.id, reject("bad"), START)
    router.rpc(name(3), data, START)
    assert [router.scores.of(name(number), START) for number in (1, 2, 3)] == [-100.0] * 3


def test_a_direct_peer_is_heard_and_served_whatever_it_does() -> None:
    router = Router(DEFAULTS, Chance(1))
    router.join(TOPIC, START)
    router.connected(name(1), NEWEST, is_outbound=True, is_direct=True)
    router.ready(name(1), NEWEST, START)
    router.rpc(name(1), rpc.subscription(TOPIC, True), START)
    router.scores.penalise(name(1), 1000)
    router.take()
    assert router.mesh(TOPIC) == frozenset()
    router.publish(TOPIC, b"ours", START)
    assert sent(router, 1) == [rpc.publication(TOPIC, b"ours")]
    router.rpc(name(1), rpc.publication(TOPIC, b"theirs"), START)
    assert [one.data for one in router.take() if isinstance(one, ToJudge)] == [b"theirs"]


def test_only_a_bootnode_may_name_others() -> None:
    offered = (OfferedPeer(name(9), b"record"),)
    for application, expected in ((0.0, []), (10_000.0, [Offered(offered)])):
        router = Router(DEFAULTS, Chance(1))
        router.join(TOPIC, START)
        router.connected(name(1), NEWEST, is_outbound=True, application=application)
        router.ready(name(1), NEWEST, START)
        router.take()
        router.rpc(name(1), rpc.control(prune=(Prune(TOPIC, None, offered),)), START)
        assert [one for one in router.take() if isinstance(one, Offered)] == expected


def test_a_bootnode_is_in_no_mesh_and_names_others() -> None:
    router = Router(BOOTNODE, Chance(1), lambda peer: b"record of " + peer)
    router.join(TOPIC, START)
    for number in (1, 2):
        router.connected(name(number), NEWEST, is_outbound=False)
        router.ready(name(number), NEWEST, START)
        router.rpc(name(number), rpc.subscription(TOPIC, True), START)
    router.take()
    router.rpc(name(1), rpc.control(graft=(TOPIC,)), START)
    (data,) = sent(router, 1)
    control = rpc.decode(data).control
    assert control is not None
    assert control.prune == [Prune(TOPIC, 300 * SECOND, (OfferedPeer(name(2), b"record of " + name(2)),))]


def test_leaving_a_topic_parts_with_its_mesh() -> None:
    router = lone(1)
    router.leave(TOPIC, START)
    unsubscribed, pruned = sent(router, 1)
    assert rpc.decode(unsubscribed).subscriptions == [(False, TOPIC)]
    control = rpc.decode(pruned).control
    assert control is not None and control.prune == [Prune(TOPIC, DEFAULTS.unsubscribe_backoff)]
    router.rpc(name(1), rpc.publication(TOPIC, b"data"), START)
    assert router.take() == []


def test_subscriptions_of_a_peer_are_bounded() -> None:
    router = lone(1, parameters=replace(DEFAULTS, topics_of_peer=3))
    router.rpc(name(1), b"".join(rpc.subscription(str(number), True) for number in range(10)), START)
    assert router.counts["too_many_topics"] == 8


def test_memory_does_not_grow_with_what_was_heard() -> None:
    router, now = lone(1), START
    for number in range(300):
        router.rpc(name(1), rpc.publication(TOPIC, number.to_bytes(4, "big")), now)
        (judge,) = (one for one in router.take() if isinstance(one, ToJudge))
        router.judged(judge.id, ACCEPT, now)
        now = after(now, SECOND)
        router.heartbeat(now)
    assert len(router._seen) <= DEFAULTS.seen // SECOND + 1
    assert len(router._history) <= DEFAULTS.history
    assert len(router.scores._deliveries) <= DEFAULTS.seen // SECOND + 1


@settings(max_examples=200)
@given(st.binary(max_size=300))
def test_no_bytes_of_a_peer_disturb_the_router(data: bytes) -> None:
    router = lone(1, 2)
    try:
        router.rpc(name(1), data, START)
    except WireError as error:
        assert error.reason
    router.heartbeat(after(START, SECOND))


def test_what_is_retained_of_a_bad_peer_does_not_fade() -> None:
    scores = Scores(DEFAULTS.score)
    scores.connect(name(1))
    scores.judged(b"id", name(1), TOPIC, Outcome.INVALID)
    scores.disconnect(name(1), START)
    for _ in range(100):
        scores.decay(after(START, HOUR))
    assert scores.of(name(1), START) == -100.0
    scores.decay(after(START, DEFAULTS.score.retain))
    assert scores.of(name(1), START) == 0.0
