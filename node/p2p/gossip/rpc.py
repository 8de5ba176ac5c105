"""What peers send each other on a stream of gossip: each behind its length. Protocol 09a, section 2.1.

A message is encoded once, and the same bytes go to every peer.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from node.contract.messages import PeerId
from node.p2p.wire import protobuf
from node.p2p.wire.errors import LIMIT, WireError
from protocol.crypto.hashing import hash32
from protocol.numbers.durations import SECOND

PROTOCOLS = ("/meshsub/1.2.0", "/meshsub/1.1.0", "/meshsub/1.0.0", "/floodsub/1.0.0")
"""The one that is wanted most first."""
MOST_PARTS = 20_000
"""Messages and entries of control in one RPC; what is above it is none of an honest peer."""

MessageId = bytes

_RPC: protobuf.Kinds = {1: bytes, 2: bytes, 3: bytes}
_SUBSCRIPTION: protobuf.Kinds = {1: int, 2: bytes}
_MESSAGE: protobuf.Kinds = dict.fromkeys(range(1, 7), bytes)
_CONTROL: protobuf.Kinds = dict.fromkeys(range(1, 6), bytes)
_TOPIC_IDS: protobuf.Kinds = {1: bytes, 2: bytes}
_ONE: protobuf.Kinds = {1: bytes}
_PRUNE: protobuf.Kinds = {1: bytes, 2: bytes, 3: int}


def message_id(topic: str, data: bytes) -> MessageId:
    """By which all nodes know a message."""
    return hash32(topic.encode(), data)


@dataclass(frozen=True, slots=True)
class GossipMessage:
    """A message as it came."""

    topic: str | None
    data: bytes
    is_signed: bool = False
    """It has an author, a number, a signature or a key, even an empty one: none of them is allowed."""


@dataclass(frozen=True, slots=True)
class OfferedPeer:
    """A peer that another one names when it parts with us."""

    id: PeerId
    record: bytes | None
    """Its sealed peer record."""


@dataclass(frozen=True, slots=True)
class Prune:
    """This peer does not want us in its mesh."""

    topic: str
    backoff: int | None = None
    """Nanoseconds for which it is not to be asked again."""
    offered: tuple[OfferedPeer, ...] = ()


@dataclass(slots=True)
class Control:
    """What peers tell each other about messages and meshes."""

    ihave: list[tuple[str, list[MessageId]]] = field(default_factory=list)
    iwant: list[MessageId] = field(default_factory=list)
    graft: list[str] = field(default_factory=list)
    prune: list[Prune] = field(default_factory=list)
    idontwant: list[MessageId] = field(default_factory=list)


@dataclass(slots=True)
class Rpc:
    """All that came at once."""

    subscriptions: list[tuple[bool, str]] = field(default_factory=list)
    messages: list[GossipMessage] = field(default_factory=list)
    control: Control | None = None
    """None: nothing was said."""


# ---- reading ----


def decode(data: bytes) -> Rpc:
    """What is in the bytes. Raises WireError: then the stream is reset."""
    rpc = Rpc()
    parts = 0
    for number, value in protobuf.decode(data, _RPC):
        assert isinstance(value, bytes)
        parts += 1
        if number == 1:
            rpc.subscriptions.append(_subscription(value))
        elif number == 2:
            rpc.messages.append(_message(value))
        else:
            rpc.control = rpc.control or Control()
            parts += _read_control(value, rpc.control)
        if parts > MOST_PARTS:
            raise WireError(f"The peer sends more than {MOST_PARTS} parts at once.", LIMIT)
    return rpc


def _text(data: bytes) -> str:
    return data.decode("utf-8", "replace")


def _subscription(data: bytes) -> tuple[bool, str]:
    wants, topic = False, ""
    for _, value in protobuf.decode(data, _SUBSCRIPTION):
        if isinstance(value, int):
            wants = bool(value)
        else:
            topic = _text(value)
    return wants, topic


def _message(data: bytes) -> GossipMessage:
    content, topic, is_signed = b"", None, False
    for number, value in protobuf.decode(data, _MESSAGE):
        assert isinstance(value, bytes)
        if number == 2:
            content = value
        elif number == 4:
            topic = _text(value)
        else:
            is_signed = True
    return GossipMessage(topic, content, is_signed)


def _read_control(data: bytes, control: Control) -> int:
    """Adds what is said; how many entries that are."""
    entries = 0
    for number, value in protobuf.decode(data, _CONTROL):
        assert isinstance(value, bytes)
        entries += 1
        if number == 1:
            topic, ids = "", []
            for inner, one in protobuf.decode(value, _TOPIC_IDS):
                assert isinstance(one, bytes)
                if inner == 1:
                    topic = _text(one)
                else:
                    ids.append(one)
            control.ihave.append((topic, ids))
            entries += len(ids)
        elif number == 3:
            control.graft.append("".join(_text(one) for one in _only(value)[-1:]))
        elif number == 4:
            control.prune.append(_read_prune(value))
        else:
            ids = _only(value)
            (control.iwant if number == 2 else control.idontwant).extend(ids)
            entries += len(ids)
    return entries


def _only(data: bytes) -> list[bytes]:
    return [value for _, value in protobuf.decode(data, _ONE) if isinstance(value, bytes)]


def _read_prune(data: bytes) -> Prune:
    topic, backoff, offered = "", None, []
    for number, value in protobuf.decode(data, _PRUNE):
        if isinstance(value, int):
            backoff = value * SECOND
        elif number == 1:
            topic = _text(value)
        else:
            found = protobuf.last(value, _TOPIC_IDS)
            id, record = found.get(1), found.get(2)
            if isinstance(id, bytes):
                offered.append(OfferedPeer(PeerId(id), record if isinstance(record, bytes) else None))
    return Prune(topic, backoff, tuple(offered))


# ---- writing ----


def subscription(topic: str, wants: bool) -> bytes:
    """Whether this node wants a topic."""
    return protobuf.encode((1, protobuf.encode((1, int(wants)), (2, topic.encode()))))


def publication(topic: str, data: bytes) -> bytes:
    """A message: data and topic, nothing else."""
    return protobuf.encode((2, protobuf.encode((2, data), (4, topic.encode()))))


NO_CONTROL = protobuf.encode((3, b""))
"""With which an answer to a request for messages ends."""


def control(
    ihave: Iterable[tuple[str, Sequence[MessageId]]] = (),
    iwant: Sequence[MessageId] = (),
    graft: Iterable[str] = (),
    prune: Iterable[Prune] = (),
    idontwant: Sequence[MessageId] = (),
) -> bytes:
    """What is to be told."""
    return protobuf.encode(
        (
            3,
            protobuf.encode(
                *((1, protobuf.encode((1, topic.encode()), *((2, id) for id in ids))) for topic, ids in ihave),
                *([(2, protobuf.encode(*((1, id) for id in iwant)))] if iwant else []),
                *((3, protobuf.encode((1, topic.encode()))) for topic in graft),
                *((4, _prune(one)) for one in prune),
                *([(5, protobuf.encode(*((1, id) for id in idontwant)))] if idontwant else []),
            ),
        )
    )


def _prune(prune: Prune) -> bytes:
    backoff = None if prune.backoff is None else prune.backoff // SECOND
    offered = ((2, protobuf.encode((1, peer.id), (2, peer.record))) for peer in prune.offered)
    return protobuf.encode((1, prune.topic.encode()), *offered, (3, backoff))
