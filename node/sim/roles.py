"""Dishonest nodes. Each runs the same machines as everybody, and tells others something else.

An identity of a dishonest node may contradict itself; whom its words reach, and when, is its choice.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import ClassVar

from node.activation.machine import TOPIC as ATX_TOPIC
from node.beacon.memory import FIRST_VOTES, FOLLOWING_VOTES
from node.contract.demands import Demand, Failed, PostVerdict, Result, VerifyPost
from node.proposals.machine import TOPIC as PROPOSALS
from protocol.numbers.durations import SECOND
from protocol.types.activation import ActivationTxV1

from .forging import HARE3, HARE4, another, signed_atx
from .role import HONEST, Parcel, Role
from .seen import Seen

VOTES = (HARE3, HARE4, FIRST_VOTES, FOLLOWING_VOTES)


def _another(node: Seen, topic: str, data: bytes) -> bytes | None:
    return node.read(lambda view: another(topic, data, node.keys, view))


def _damaged(node: Seen, data: bytes) -> bytes:
    """With one bit the other way round."""
    damaged = bytearray(data)
    damaged[node.chance.below(len(damaged))] ^= 1 << node.chance.below(8)
    return bytes(damaged)


class Dishonest(Role):
    """What all of them share."""

    is_honest: ClassVar[bool] = False


class Equivocator(Dishonest):
    """Says one thing to one half of the network and another one to the other half, in every vote."""

    name = "equivocator"
    topics: ClassVar[tuple[str, ...]] = VOTES

    def says(self, node: Seen, topic: str, data: bytes) -> Sequence[Parcel]:
        """As Role says."""
        other = _another(node, topic, data) if topic in self.topics else None
        if other is None:
            return (Parcel(topic, data),)
        node.double_signed(topic, data, other)
        nodes = node.chance.of("halves").shuffled(range(node.network.size))
        half = len(nodes) // 2
        return Parcel(topic, data, tuple(nodes[:half])), Parcel(topic, other, tuple(nodes[half:]))


class DoubleAtx(Dishonest):
    """Publishes two activations an epoch, to everyone."""

    name = "double-atx"
    topic: ClassVar[str] = ATX_TOPIC

    def says(self, node: Seen, topic: str, data: bytes) -> Sequence[Parcel]:
        """As Role says."""
        other = _another(node, topic, data) if topic == self.topic else None
        if other is None:
            return (Parcel(topic, data),)
        node.double_signed(topic, data, other)
        return Parcel(topic, data), Parcel(topic, other, delay=SECOND)


class ConflictingBallots(DoubleAtx):
    """Two ballots a layer, to everyone."""

    name = "conflicting-ballots"
    topic: ClassVar[str] = PROPOSALS


class WrongPost(Dishonest):
    """Publishes activations whose proofs of space hold one wrong index."""

    name = "wrong-post"

    def says(self, node: Seen, topic: str, data: bytes) -> Sequence[Parcel]:
        """As Role says."""
        if topic != ATX_TOPIC:
            return (Parcel(topic, data),)
        atx = ActivationTxV1.codec.decode(data)
        key, nipost = node.keys.key(atx.smesher_id), atx.inner.nipost
        if key is None or nipost is None or nipost.post is None:
            return (Parcel(topic, data),)
        wrong = replace(nipost.post, indices=bytes((nipost.post.indices[0] ^ 1,)) + nipost.post.indices[1:])
        bad = signed_atx(key, replace(atx, inner=replace(atx.inner, nipost=replace(nipost, post=wrong))))
        return (Parcel(topic, ActivationTxV1.codec.encode(bad)),)

    def proves(self, node: Seen, demand: Demand, result: Result) -> Result:
        """As Role says: it finds nothing wrong with what it makes."""
        return PostVerdict(True) if isinstance(demand, VerifyPost) else result


class Withholder(Dishonest):
    """Takes part as it pleases: every third message reaches nobody, every third one only a few."""

    name = "withholder"

    def says(self, node: Seen, topic: str, data: bytes) -> Sequence[Parcel]:
        """As Role says."""
        match node.chance.below(3):
            case 0:
                return ()
            case 1:
                few = node.chance.sample(range(node.network.size), 1 + node.network.size // 4)
                return (Parcel(topic, data, tuple(few)),)
            case _:
                return (Parcel(topic, data),)


class LateProposer(Dishonest):
    """Its proposals come when hare has begun, to some before and to others behind a round."""

    name = "late-proposer"

    def says(self, node: Seen, topic: str, data: bytes) -> Sequence[Parcel]:
        """As Role says."""
        if topic != PROPOSALS:
            return (Parcel(topic, data),)
        return [
            Parcel(topic, data, (other,), node.chance.between(15, 45) * SECOND) for other in range(node.network.size)
        ]


class Grinder(Dishonest):
    """Chooses for each receiver in which order its messages come: each is held back by another time."""

    name = "grinder"
    hold: ClassVar[int] = 10 * SECOND

    def says(self, node: Seen, topic: str, data: bytes) -> Sequence[Parcel]:
        """As Role says."""
        return [Parcel(topic, data, (other,), node.chance.below(self.hold)) for other in range(node.network.size)]


class Spammer(Dishonest):
    """For every message of its own it sends damaged ones, and noise, on the same topic."""

    name = "spammer"
    count: ClassVar[int] = 5

    def says(self, node: Seen, topic: str, data: bytes) -> Sequence[Parcel]:
        """As Role says."""
        parcels = [Parcel(topic, data)]
        for _ in range(self.count):
            damaged = _damaged(node, data)
            parcels += Parcel(topic, damaged), Parcel(topic, node.chance.bytes(node.chance.below(200)))
        return parcels


class Liar(Dishonest):
    """Answers peers with damaged bytes, with those of another answer, with nothing, or not at all."""

    name = "liar"

    def answers(self, node: Seen, result: Result) -> Result:
        """As Role says."""
        if not isinstance(result, bytes):
            return result
        match node.chance.below(4):
            case 0:
                return Failed("refused")
            case 1:
                return b""
            case 2:
                return node.chance.bytes(len(result))
            case _:
                return _damaged(node, result or b"\0")


class Replayer(Dishonest):
    """Says again what it said before, soon and late."""

    name = "replayer"

    def says(self, node: Seen, topic: str, data: bytes) -> Sequence[Parcel]:
        """As Role says."""
        late = node.time.layer_duration_ns * (1 + node.chance.below(2 * node.time.layers_per_epoch))
        return Parcel(topic, data), Parcel(topic, data, delay=5 * SECOND), Parcel(topic, data, delay=late)


ROLES: Mapping[str, Role] = {
    role.name: role
    for role in (
        HONEST,
        Equivocator(),
        DoubleAtx(),
        ConflictingBallots(),
        WrongPost(),
        Withholder(),
        LateProposer(),
        Grinder(),
        Spammer(),
        Liar(),
        Replayer(),
    )
}
"""By name."""
