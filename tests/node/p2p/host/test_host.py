"""Hosts on loopback: they meet, gossip, ask each other, and hold against whoever does not keep to the rules."""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any

import pytest

from node.contract.demands import Failed, PeerRequest, Request
from node.contract.messages import Message, Origin, PeerId
from node.contract.verdicts import ACCEPT, Verdict, ignore, reject
from node.p2p.gossip import rpc
from node.p2p.host.host import Host, HostError
from node.p2p.host.parameters import Framing, HostParameters
from node.p2p.peers.clocks import ClockParameters
from node.p2p.peers.gater import GaterParameters
from node.p2p.peers.trimming import TrimmingParameters
from node.p2p.wire import identify, kad, multiaddr, multistream, noise, peer_id, varint, yamux
from node.p2p.wire.backup import KnownPeer
from node.p2p.wire.key_file import PeerKey
from node.p2p.wire.multiaddr import Multiaddr
from node.sim.chance import Chance
from protocol.numbers.durations import SECOND

TOPIC = "ax1"
LOOPBACK = multiaddr.from_text("/ip4/127.0.0.1/tcp/0")
DEFAULTS = HostParameters(
    b"network-15",
    (TOPIC, "tx1"),
    {"hs/1": Framing.ENVELOPE, "hare4/full_exchange": Framing.BARE},
    listen=(LOOPBACK,),
    gossip=replace(HostParameters(b"", (), {}).gossip, heartbeat=SECOND // 20),
    look_s=0.1,
    search_s=0.1,
)
pytestmark = pytest.mark.timeout(60)


def looped(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """A test that runs in a loop of its own."""

    @functools.wraps(test)
    def run(**arguments: Any) -> None:
        asyncio.run(test(**arguments))

    return run


@dataclass
class Node:
    """Who stands behind a host: answers questions, and judges messages."""

    host: Host
    heard: list[bytes] = field(default_factory=list)
    returned_: dict[int, Any] = field(default_factory=dict)
    questions: list[PeerRequest] = field(default_factory=list)
    verdict: Callable[[bytes], Verdict] = lambda data: ACCEPT
    answer: Callable[[PeerRequest], bytes | Failed] = lambda request: b"answer to " + request.data
    calls: int = 0

    @property
    def id(self) -> PeerId:
        return self.host.key.id

    @property
    def address(self) -> Multiaddr:
        (where,) = self.host.listening
        return Multiaddr((*where.parts, ("p2p", peer_id.to_text(self.id))))

    @property
    def known(self) -> KnownPeer:
        return KnownPeer(self.id, self.host.listening)

    def heard_(self, topic: str, data: bytes, peer: PeerId) -> None:
        self.heard.append(data)
        message = Message(topic, data, Origin.GOSSIP, self.host._now(), peer)
        self.host.judge(message, self.verdict(data))

    def asked(self, number: int, request: PeerRequest) -> None:
        self.questions.append(request)
        self.host.reply(number, self.answer(request))

    def returned(self, call: int, result: Any) -> None:
        self.returned_[call] = result

    async def ask(self, other: PeerId, data: bytes, protocol: str = "hs/1") -> Any:
        self.calls += 1
        self.host.request(self.calls, Request(protocol, data, other, 5 * SECOND))
        call = self.calls
        await until(lambda: call in self.returned_)
        return self.returned_[call]


class Ear:
    """A Receiver that leads to a Node: the names of its methods are taken there."""

    def __init__(self, node: Node) -> None:
        self.heard, self.asked, self.returned = node.heard_, node.asked, node.returned


async def until(condition: Callable[[], object]) -> None:
    """Waits until something holds; the test's own limit ends it."""
    while not condition():
        await asyncio.sleep(0.005)


def key(number: int) -> PeerKey:
    return PeerKey(number.to_bytes(32, "big"))


@asynccontextmanager
async def nodes(count: int, parameters: HostParameters = DEFAULTS, first: int = 1) -> AsyncIterator[list[Node]]:
    """So many nodes that listen on loopback."""
    made = []
    try:
        for number in range(first, first + count):
            node = Node(Host(key(number), parameters, Chance(number)))
            node.host.open(Ear(node))
            await node.host.start()
            made.append(node)
        yield made
    finally:
        for node in made:
            await node.host.stop()
        await asyncio.sleep(0)


async def meet(first: Node, second: Node) -> None:
    first.host.connect(second.address)
    await until(lambda: second.id in first.host.peers() and first.id in second.host.peers())


@looped
async def test_two_nodes_meet_and_know_each_other() -> None:
    async with nodes(2) as (one, other):
        await meet(one, other)
        (contact,) = one.host.contacts()
        assert (contact.peer, contact.text) == (other.id, other.host.id)
        assert contact.is_outbound and contact.addresses == (str(other.host.listening[0]),)
        (back,) = other.host.contacts()
        assert not back.is_outbound
        await until(lambda: other.id in one.host._described)
        described = one.host._described[other.id]
        assert described.agent == identify.AGENT
        assert {"hs/1", kad.PROTOCOL, identify.PING, *rpc.PROTOCOLS} <= set(described.protocols)
        assert described.record is not None
        assert described.addresses == other.host.listening


@looped
async def test_a_node_of_another_network_is_not_let_in() -> None:
    async with nodes(1) as (one,), nodes(1, replace(DEFAULTS, prologue=b"other-15"), 2) as (other,):
        one.host.connect(other.address)
        await until(lambda: other.host.refused or one.host.refused)
        assert one.host.peers() == other.host.peers() == []


@looped
async def test_another_node_than_the_one_that_was_dialled_is_not_taken() -> None:
    async with nodes(2) as (one, other):
        wrong = Multiaddr((*other.host.listening[0].parts, ("p2p", peer_id.to_text(key(9).id))))
        one.host.connect(wrong)
        await until(lambda: one.host.refused)
        assert one.host.peers() == []
        one.host.connect(other.address)
        await until(one.host.peers)


@looped
async def test_both_dial_at_once_and_one_connection_is_left() -> None:
    async with nodes(2) as (one, other):
        one.host.connect(other.address)
        other.host.connect(one.address)
        await until(lambda: one.host.peers() and other.host.peers())
        for _ in range(20):
            await asyncio.sleep(0.01)
        assert (one.host.peers(), other.host.peers()) == ([other.id], [one.id])
        assert await one.ask(other.id, b"x") == b"answer to x"
        assert await other.ask(one.id, b"y") == b"answer to y"


@looped
async def test_a_peer_that_comes_again_is_the_one_that_is_heard() -> None:
    """As after a loss of its address: the first connection is dead, and ends after the second one is there."""
    async with nodes(1) as (one,):
        first = await Stranger.met(one, 5)
        first.open(rpc.PROTOCOLS[0], varint.delimited(rpc.subscription(TOPIC, True)))
        await until(lambda: one.host.gossiping.router._subscribers)
        async with nodes(1, DEFAULTS, 5) as (again,):
            again.host.connect(one.address)
            await until(lambda: one.host._links[again.id].remote_ip and again.host.peers())
            await first.closed()
            await until(lambda: one.host.gossiping.router.mesh(TOPIC) and again.host.gossiping.router.mesh(TOPIC))
            one.host.publish(1, TOPIC, b"for the second one")
            await until(lambda: again.heard == [b"for the second one"])
        await first.leave()


@looped
async def test_messages_reach_everybody_once() -> None:
    async with nodes(6) as made:
        for one, other in pairwise(made):
            await meet(one, other)
        await until(lambda: all(node.host.gossiping.router.mesh(TOPIC) for node in made))
        sent = [bytes([number]) * (1 if number % 2 else 100_000) for number in range(20)]
        for number, data in enumerate(sent):
            made[number % 6].host.publish(number, TOPIC, data)
        for node in made:
            expected = sorted(data for number, data in enumerate(sent) if made[number % 6] is not node)
            await until(lambda node=node, expected=expected: sorted(node.heard) == expected)  # type: ignore[misc]


@looped
async def test_who_sends_what_is_rejected_is_parted_with() -> None:
    async with nodes(3) as (one, other, third):
        await meet(one, other)
        await meet(one, third)
        await until(lambda: len(one.host.gossiping.router.mesh(TOPIC)) == 2)
        one.verdict = lambda data: reject("bad") if data == b"bad" else ignore("meh")
        other.host.publish(1, TOPIC, b"meh")
        await until(lambda: one.heard == [b"meh"])
        assert len(one.host.peers()) == 2
        other.host.publish(2, TOPIC, b"bad")
        await until(lambda: one.host.peers() == [third.id])
        assert one.host.penalties["bad"] == 1
        assert third.heard == []


@looped
async def test_questions_are_answered() -> None:
    async with nodes(2) as (one, other):
        await meet(one, other)
        assert await one.ask(other.id, b"") == b"answer to "
        large = bytes(3 << 20)
        other.answer = lambda request: large
        assert await one.ask(other.id, b"x" * 10_240) == large
        assert await one.ask(other.id, b"x", "hare4/full_exchange") == large
        other.answer = lambda request: Failed("refused", "no such thing")
        assert await one.ask(other.id, b"x") == Failed("refused", "no such thing")
        other.answer = lambda request: Failed("no_answer")
        assert (await one.ask(other.id, b"x")).reason == "no_answer"
        assert (await one.ask(other.id, b"x", "unknown/1")).reason == "no_protocol"
        assert (await one.ask(key(9).id, b"x")).reason == "no_peers"
        assert (await one.ask(other.id, b"x" * 10_241)).reason == "refused"
        tally = one.host.questions.tallies[other.id, "hs/1"]
        assert (tally.successes, tally.failures) == (2, 3)


@looped
async def test_many_questions_at_once() -> None:
    async with nodes(2) as (one, other):
        await meet(one, other)
        answers = await asyncio.gather(*(one.ask(other.id, b"%d" % number) for number in range(200)))
        assert answers == [b"answer to %d" % number for number in range(200)]
        assert not +other.host.questions.in_flight
        await until(lambda: all(link.session.streams <= 3 for link in one.host._links.values() if link.session))


@looped
async def test_a_peer_that_goes_leaves_no_question_open() -> None:
    async with nodes(2) as (one, other):
        await meet(one, other)
        other.host._receiver = None  # it never answers
        other.host.questions._asked = lambda number, request: other.questions.append(request)
        asking = asyncio.ensure_future(one.ask(other.id, b"x"))
        await until(lambda: other.questions)
        await other.host.stop()
        assert (await asking).reason == "no_answer"


@looped
async def test_a_question_without_an_answer_ends() -> None:
    hasty = replace(DEFAULTS, idle_s=0.1)
    async with nodes(2, hasty) as (one, other):
        await meet(one, other)
        other.host.questions._asked = lambda number, request: None
        assert (await one.ask(other.id, b"x")).reason in ("timeout", "no_answer")
        await until(lambda: not +other.host.questions.in_flight)


@looped
async def test_bootnodes_lead_to_the_others() -> None:
    async with nodes(1) as (bootnode,):
        parameters = replace(DEFAULTS, bootnodes=(bootnode.known,), least_peers=3)
        async with nodes(4, parameters, 2) as made:
            await until(lambda: all(len(node.host.peers()) >= 3 for node in made))
            assert bootnode.id in made[0].host.peers()


@looped
async def test_peers_of_the_last_time_are_dialled_again() -> None:
    async with nodes(2) as (one, other):
        await meet(one, other)
        known = await one.host.stop()
        assert [peer.id for peer in known] == [other.id]
        again = Node(Host(key(1), DEFAULTS, Chance(5)))
        again.host.open(Ear(again))
        await again.host.start(known)
        await until(lambda: again.host.peers() == [other.id])
        await again.host.stop()


@looped
async def test_too_many_peers_are_not_taken() -> None:
    small = replace(DEFAULTS, gater=GaterParameters(high=4, inbound=0.5))
    async with nodes(1, small) as (one,), nodes(6, DEFAULTS, 2) as others:
        for other in others:
            other.host.connect(one.address)
        await until(lambda: one.host.refused["too_many_peers"] >= 3)
        await until(lambda: len(one.host.peers()) == 3)
        assert one.host.refused["too_many_peers"] == 3


@looped
async def test_of_too_many_peers_those_that_were_not_used_go() -> None:
    small = replace(DEFAULTS, trimming=TrimmingParameters(low=2, high=4, grace=0))
    async with nodes(1, small) as (one,), nodes(4, DEFAULTS, 2) as others, nodes(1, DEFAULTS, 6) as (last,):
        for other in others:
            await meet(other, one)
        assert await others[0].ask(one.id, b"x") == b"answer to x"
        await others[1].ask(one.id, b"x")
        last.host.connect(one.address)
        await until(lambda: len(one.host.peers()) == 2)
        assert set(one.host.peers()) == {others[0].id, others[1].id}


@looped
async def test_an_address_that_cannot_be_listened_on_is_named() -> None:
    async with nodes(1) as (one,):
        taken = Host(key(2), replace(DEFAULTS, listen=one.host.listening), Chance(1))
        with pytest.raises(HostError, match="Another program uses the port"):
            await taken.start()
        await taken.stop()
        wrong = Host(key(2), replace(DEFAULTS, listen=(multiaddr.from_text("/ip4/127.0.0.1/udp/1"),)), Chance(1))
        with pytest.raises(HostError, match="cannot be listened on"):
            await wrong.start()
        await wrong.stop()


@looped
async def test_clocks_are_compared_with_those_of_peers(caplog: pytest.LogCaptureFixture) -> None:
    often = replace(DEFAULTS, clocks=ClockParameters(retry=SECOND // 50, timeout=SECOND // 5, largest_offset=0))
    async with nodes(1, often) as (one,), nodes(3, DEFAULTS, 2) as others:
        for other in others:
            await meet(other, one)
        await until(lambda: one.host.comparing.offset is not None)
        assert one.host.comparing.offset is not None and abs(one.host.comparing.offset) < 5 * SECOND
        assert "The clock of this machine is" in caplog.text


# ---- peers that do not keep to the rules ----


class Stranger:
    """A peer by hand, over a real socket."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self.records: noise.Records | None = None
        self.session: yamux.Session | None = None
        self.heard: dict[int, bytearray] = {}
        self.ended: set[int] = set()

    @classmethod
    async def dial(cls, node: Node) -> Stranger:
        where = node.host.listening[0].tcp
        assert where is not None
        return cls(*await asyncio.open_connection(*where))

    @classmethod
    async def met(cls, node: Node, number: int = 99) -> Stranger:
        """With streams."""
        self = await cls.dial(node)
        securing = noise.Securing(key(number), DEFAULTS.prologue, is_initiator=True)
        rest = await self._agree(noise.PROTOCOL, lambda data: data)
        self.writer.write(securing.take())
        while securing.records is None:
            rest = securing.feed(rest or await self.reader.read(65536))
            self.writer.write(securing.take())
        self.records = records = securing.records
        plain = await self._agree(yamux.PROTOCOL, records.seal, records.feed, rest)
        self.session = yamux.Session(is_client=True, accept=self._accept)
        self.session.feed(plain)
        self._reading = asyncio.ensure_future(self._read())
        return self

    async def _agree(
        self,
        protocol: str,
        seal: Callable[[bytes], bytes],
        open_: Callable[[bytes], bytes] = lambda data: data,
        rest: bytes = b"",
    ) -> bytes:
        dialler = multistream.Dialler((protocol,))
        self.writer.write(seal(dialler.take()))
        if rest:
            dialler.feed(open_(rest))
        while dialler.agreed is None:
            dialler.feed(open_(await self.reader.read(65536)))
        return dialler.rest()

    def _accept(self, stream: yamux.Stream) -> Any:
        return StrangersEar(self, stream)

    async def _read(self) -> None:
        assert self.records is not None and self.session is not None
        while data := await self.reader.read(65536):
            self.session.feed(self.records.feed(data))
            self.flush()

    def flush(self) -> None:
        assert self.records is not None and self.session is not None
        if data := self.session.take():
            self.writer.write(self.records.seal(data))

    def open(self, protocol: str, data: bytes = b"") -> yamux.Stream:
        assert self.session is not None
        ear = StrangersEar(self, None)
        ear.stream = stream = self.session.open(ear)
        self.heard[stream.id] = bytearray()
        stream.write(multistream.line(multistream.HEADER) + multistream.line(protocol) + data)
        self.flush()
        return stream

    async def closed(self) -> None:
        """Until the other side has closed the connection."""
        if self.session is None:
            with contextlib.suppress(ConnectionResetError):  # what was written to it after its end
                while await self.reader.read(65536):
                    pass
        else:
            await until(lambda: self.reader.at_eof())

    async def leave(self) -> None:
        self.writer.close()


class StrangersEar:
    def __init__(self, stranger: Stranger, stream: yamux.Stream | None) -> None:
        self.stranger, self.stream = stranger, stream

    def data(self, data: bytes) -> None:
        assert self.stream is not None
        self.stranger.heard.setdefault(self.stream.id, bytearray()).extend(data)
        self.stream.taken(len(data))

    def ended(self) -> None:
        assert self.stream is not None
        self.stranger.ended.add(self.stream.id)

    def reset(self) -> None:
        self.ended()

    def room(self) -> None:
        pass


GREETING = multistream.line(multistream.HEADER)


@pytest.mark.parametrize(
    "said",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"\0" * 100,
        GREETING + multistream.line(noise.PROTOCOL) + b"\0\0" * 10,
        GREETING + multistream.line(noise.PROTOCOL) + b"\0\x20" + bytes(32) + b"\0\x60" + bytes(96),
        GREETING + multistream.line("x") * 100,
    ],
)
@looped
async def test_whoever_speaks_otherwise_is_left(said: bytes) -> None:
    async with nodes(1) as (one,):
        stranger = await Stranger.dial(one)
        stranger.writer.write(said)
        await stranger.closed()
        await until(lambda: one.host.refused)
        assert not one.host._pending and not one.host._accepted
        await stranger.leave()


@looped
async def test_whoever_says_nothing_is_left() -> None:
    async with nodes(1, replace(DEFAULTS, handshake_s=0.05)) as (one,):
        strangers = [await Stranger.dial(one) for _ in range(5)]
        for stranger in strangers:
            stranger.writer.write(GREETING[:3])
            await stranger.closed()
            await stranger.leave()
        await until(lambda: not one.host._pending)


@looped
async def test_connections_without_a_handshake_are_bounded() -> None:
    async with nodes(1, replace(DEFAULTS, handshakes=3)) as (one,):
        strangers = [await Stranger.dial(one) for _ in range(10)]
        await until(lambda: one.host.refused["too_many_handshakes"] == 7)
        assert len(one.host._pending) == 3
        for stranger in strangers:
            await stranger.leave()
        await until(lambda: not one.host._accepted)


@looped
async def test_a_question_that_is_too_long_ends_the_connection() -> None:
    async with nodes(1) as (one,):
        stranger = await Stranger.met(one)
        stream = stranger.open("hs/1", varint.delimited(bytes(10_240)))
        await until(lambda: stream.id in stranger.ended)
        assert b"answer to " in stranger.heard[stream.id]
        stranger.open("hs/1", varint.encode(10_241))
        await stranger.closed()
        await until(lambda: not one.host.peers())
        await stranger.leave()


@pytest.mark.parametrize("question", [b"\x80\0", b"\xff" * 11, b"\5ab"])
@looped
async def test_a_question_that_is_none_is_closed_without_an_answer(question: bytes) -> None:
    async with nodes(1, replace(DEFAULTS, idle_s=0.2)) as (one,):
        stranger = await Stranger.met(one)
        stream = stranger.open("hs/1", question)
        agreed = GREETING + multistream.line("hs/1")
        await until(lambda: stream.id in stranger.ended)
        assert bytes(stranger.heard[stream.id]) == agreed
        assert one.host.peers() and not one.questions
        await stranger.leave()


@looped
async def test_bytes_behind_a_question_and_an_early_end_do_not_matter() -> None:
    async with nodes(1) as (one,):
        stranger = await Stranger.met(one)
        stream = stranger.open("hs/1", varint.delimited(b"q") + b"more")
        stream.close()
        stranger.flush()
        await until(lambda: stream.id in stranger.ended)
        assert b"answer to q" in stranger.heard[stream.id]
        await stranger.leave()


@looped
async def test_gossip_that_is_none_costs_the_stream_alone() -> None:
    async with nodes(1) as (one,):
        stranger = await Stranger.met(one)
        for data in (varint.delimited(b"\xff" * 20), varint.encode((2 << 20) + 1)):
            stream = stranger.open(rpc.PROTOCOLS[0], data)
            await until(lambda stream=stream: stream.id in stranger.ended)  # type: ignore[misc]
        assert one.host.peers()
        stranger.open(rpc.PROTOCOLS[0], varint.delimited(rpc.publication(TOPIC, b"good")))
        await until(lambda: one.heard == [b"good"])
        await stranger.leave()


@looped
async def test_pings_come_back_and_a_peer_that_takes_none_is_reset() -> None:
    async with nodes(1) as (one,):
        stranger = await Stranger.met(one)
        stream = stranger.open(identify.PING, b"x" * 32)
        await until(lambda: stranger.heard[stream.id].endswith(b"x" * 32))
        await stranger.leave()


@looped
async def test_a_peer_that_does_not_answer_pings_is_left() -> None:
    async with nodes(1, replace(DEFAULTS, ping_s=0.02)) as (one,):
        stranger = await Stranger.met(one)
        stranger._reading.cancel()
        await until(lambda: not one.host.peers())
        await stranger.leave()


@looped
async def test_who_is_near_is_told() -> None:
    async with nodes(2) as (one, other):
        await meet(one, other)
        await until(lambda: other.id in one.host._described)
        stranger = await Stranger.met(one)
        stream = stranger.open(kad.PROTOCOL, kad.find_node(b"key").encode() + kad.Message(kad.Kind.PING).encode())
        ping = kad.Message(kad.Kind.PING).encode()
        await until(lambda: stranger.heard[stream.id].endswith(ping))
        agreed = GREETING + multistream.line(kad.PROTOCOL)
        answer = bytes(stranger.heard[stream.id])[len(agreed) : -len(ping)]
        size, at = varint.take(answer)
        (near,) = kad.decode(answer[at : at + size]).closer
        assert (near.id, near.addresses, near.connection) == (
            other.id,
            other.host.listening,
            kad.Connection.CONNECTED,
        )
        await stranger.leave()
