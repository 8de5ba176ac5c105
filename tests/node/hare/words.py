"""A small network of hare: keys with seats, what they say, and nodes that hear each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from heapq import heappop, heappush
from random import Random

from node.contract.demands import Failed, Request, Result
from node.contract.effects import Emit
from node.eligibility.committee import Stake, counts
from node.engine.edges import Judge, Send
from node.hare.parameters import HareBounds, HareParameters
from node.store.stores import Stores
from protocol.crypto.signing import Domain
from protocol.types.eligibility import hare_input
from protocol.types.hare import (
    Hare3Body,
    Hare3Message,
    Hare3Value,
    Hare4Body,
    Hare4Message,
    Hare4Value,
    HareEligibility,
    HareRound,
    IterRound,
    signed_bytes,
)
from protocol.types.ids import (
    AtxId,
    Beacon,
    CompactProposalId,
    EdSignature,
    Hash32,
    LayerId,
    NodeId,
    ProposalId,
)
from tests.support.hare_nodes import ROUND, HareNode, KeptAtx, KeptProposal, Surroundings, by_proof, parameters
from tests.vector_cases.consensus_support import Key

GENESIS_ID = b"a network of hare..."
BEACON = Beacon(b"\1\2\3\4")
BEACONS = dict.fromkeys(range(2, 8), BEACON)
FIRST = 8
"""The first layer that hare agrees on: four layers an epoch."""
PREROUND, SOFTLOCK = IterRound(0, HareRound.PREROUND), IterRound(0, HareRound.SOFTLOCK)
PROPOSE, COMMIT = IterRound(0, HareRound.PROPOSE), IterRound(0, HareRound.COMMIT)
NOTIFY = IterRound(0, HareRound.NOTIFY)
COMMITTEE, LEADERS, WEIGHT = 400, 200, 100
"""So many seats that every key has some in every round."""
TOPIC, TOPIC_4 = "/h/3.0", "/h/4.0"


def key(number: int) -> Key:
    """A key by its number."""
    return Key(f"{number:064x}", GENESIS_ID)


def atx(node: NodeId, height: int = 100) -> KeptAtx:
    """The ATX of a key."""
    return KeptAtx(AtxId(node), node, WEIGHT, 0, height)


def proposal(number: int, smesher: bytes | None = None, compact: bytes | None = None) -> KeptProposal:
    """A proposal by its number; smesher: whose, its own ATX where nothing is said."""
    proof = (compact or bytes([number, 0, 0, 0])) + bytes(76)
    maker = bytes([200 + number % 50]) * 32 if smesher is None else smesher
    return KeptProposal(ProposalId(bytes([number]) * 20), AtxId(maker), NodeId(maker), BEACON, by_proof(proof.hex()))


def around(
    keys: Sequence[Key], proposals: Sequence[KeptProposal] = (), layers: Sequence[int] = (FIRST,)
) -> Surroundings:
    """What nodes know where these keys are active."""
    makers = {one.smesher for one in proposals} - {one.identity for one in keys}
    return Surroundings(
        [atx(one.identity) for one in keys],
        {LayerId(layer): list(proposals) for layer in layers},
        [KeptAtx(AtxId(maker), maker) for maker in sorted(makers)],
    )


def committee(number: int = 3, **changes: object) -> HareParameters:
    """Parameters with many seats."""
    return parameters(number, **{"committee": COMMITTEE, "leaders": LEADERS, **changes})


def node(
    own: Sequence[Key],
    known: Surroundings,
    *,
    number: int = 3,
    stores: Stores | None = None,
    bounds: HareBounds | None = None,
    beacons: Mapping[int, bytes] = BEACONS,
    now: int | None = None,
    is_proving: bool = True,
    **changes: object,
) -> HareNode:
    """A node in one version."""
    made = committee(number, **changes)
    more = {} if now is None else {"now": now}
    return HareNode(
        GENESIS_ID,
        own,
        known,
        beacons,
        hare3=made if number == 3 else None,
        hare4=made if number == 4 else None,
        stores=stores,
        bounds=bounds,
        is_proving=is_proving,
        **more,  # type: ignore[arg-type]
    )


def seats(one: Key, at: IterRound, members: int, layer: int = FIRST, committee: int = COMMITTEE) -> HareEligibility:
    """The seats of one of so many keys."""
    proof = one.prove(hare_input(BEACON, at.absolute(), LayerId(layer)))
    size = LEADERS if at.round == HareRound.PROPOSE else committee
    return HareEligibility(proof, counts(size, members * WEIGHT, [Stake(WEIGHT, proof)])[0])


def word(
    one: Key,
    at: IterRound,
    members: int,
    *proposals: ProposalId,
    reference: Hash32 | None = None,
    layer: int = FIRST,
) -> bytes:
    """A message of version 3 of one of so many keys."""
    body = Hare3Body(LayerId(layer), at, Hare3Value(proposals, reference), seats(one, at, members, layer))
    return signed(one, body)


def signed(one: Key, body: Hare3Body | Hare4Body) -> bytes:
    """A message with a body as it is."""
    signature = EdSignature(one.sign(Domain.HARE, signed_bytes(body)))
    if isinstance(body, Hare3Body):
        return Hare3Message.codec.encode(Hare3Message(body, one.identity, signature))
    return Hare4Message.codec.encode(Hare4Message(body, one.identity, signature))


def short_word(
    one: Key, members: int, proposals: Sequence[KeptProposal], at: IterRound = PREROUND, layer: int = FIRST
) -> bytes:
    """A preround message of version 4, sent with short ids."""
    ordered = sorted(proposals, key=lambda proposal: proposal.id)
    value = Hare4Value(tuple(proposal.id for proposal in ordered))
    body = Hare4Body(LayerId(layer), at, value, seats(one, at, members, layer))
    signature = EdSignature(one.sign(Domain.HARE, signed_bytes(body)))
    short = tuple(CompactProposalId(proposal.eligibilities[0].sig[:4]) for proposal in ordered)
    sent = replace(body, value=Hare4Value((), None, short))
    return Hare4Message.codec.encode(Hare4Message(sent, one.identity, signature))


def decoded(data: bytes, number: int = 3) -> Hare3Message | Hare4Message:
    """A message that was sent."""
    return Hare3Message.codec.decode(data) if number == 3 else Hare4Message.codec.decode(data)


class Network:
    """Nodes that hear each other over their engines: at once, or each message after a time of its own below a round."""

    def __init__(self, nodes: Sequence[HareNode], dice: Random | None = None) -> None:
        self.nodes = nodes
        self._dice = dice
        self._under_way: list[tuple[int, int, int, str, bytes, bytes]] = []
        """When it arrives, a running number, where, topic, message, from whom."""
        self._count = 0
        for one in nodes:
            one.answers = self._answer

    def _answer(self, request: Request) -> Result:
        found = self.nodes[int(request.peer)].ask(request.protocol, request.data)
        assert not isinstance(found, Failed)
        return found

    def tick(self, layer: int) -> None:
        """A layer begins for all."""
        for one in self.nodes:
            one.tick(layer)

    def until(self, layer: int, end: int) -> None:
        """Everything that falls due in a layer until so many nanoseconds after its begin."""
        limit = self.nodes[0].at(layer) + end
        while True:
            timers = [due for one in self.nodes if (due := one.engine.next_due()) is not None]
            arrivals = [self._under_way[0][0]] if self._under_way else []
            now = min([*timers, *arrivals], default=limit + 1)
            if now > limit:
                return
            for place, one in enumerate(self.nodes):
                for left in one.turn(now=now):
                    if isinstance(left, Send):
                        self._send(place, now, left.topic, left.data)
            while self._under_way and self._under_way[0][0] <= now:
                _, _, place, topic, data, peer = heappop(self._under_way)
                one = self.nodes[place]
                one.turn(one.gossip(topic, data, peer))

    def _send(self, place: int, now: int, topic: str, data: bytes) -> None:
        for other in range(len(self.nodes)):
            if other != place:
                delay = 0 if self._dice is None else self._dice.randrange(ROUND)
                self._count += 1
                heappush(self._under_way, (now + delay, self._count, other, topic, data, str(place).encode()))


# ---- one node ----

ME, OTHER = key(1), key(2)
A, B, C = proposal(1), proposal(2), proposal(3)
IDS = tuple(sorted(one.id for one in (A, B, C)))
END = 25 + 28 * 12
"""Seconds from a layer's begin to the last hardlock of four iterations."""


def events(one: HareNode) -> list[object]:
    return [output.event for output in one.of(Emit)]


def said(one: HareNode) -> list[Hare3Message]:
    return [Hare3Message.codec.decode(output.data) for output in one.of(Send)]


def alone(**changes: object) -> HareNode:
    """A node with all seats, and its first session begun."""
    one = node([ME], around([ME], [A, B, C]), **changes)  # type: ignore[arg-type]
    one.tick(FIRST)
    return one


def pass_time(one: HareNode, layer: int, seconds: float) -> None:
    """Everything that falls due, each thing at its time."""
    limit = one.at(layer, seconds)
    while (due := one.engine.next_due()) is not None and due <= limit:
        one.turn(now=due)
    one.now = limit


# ---- a node that listens ----

KEYS = [key(number) for number in range(1, 5)]
REFERENCE = Hash32(b"r" * 32)


def listening(bounds: HareBounds | None = None, number: int = 3) -> HareNode:
    """A node without keys in the session of the first layer."""
    one = node([], around(KEYS, [A, B, C]), bounds=bounds, number=number)
    one.tick(FIRST)
    return one


def reasons(one: HareNode) -> list[tuple[str, str]]:
    return [(output.verdict.judgement.value, output.verdict.reason) for output in one.of(Judge)]
