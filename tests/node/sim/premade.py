"""Activations made before a run, of virtual space and time: one an epoch of each identity, all in one PoET round.

They are judged like any others. For nodes without the machine that makes their own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from node.activation.machine import TOPIC
from node.activation.smeshing.rounds import keep_proof
from node.activation.tables import ATXS
from node.contract.effects import Effect, Publish
from node.contract.inputs import Tick
from node.contract.instants import Instant
from node.contract.machine import Machine
from node.contract.owed import owed
from node.contract.ports import Keys, Signer, signer_of
from node.contract.steps import NOTHING, Step
from node.sim.forging import signed_atx
from node.sim.virtual.space import VirtualSpace
from node.sim.virtual.time import proof_of
from node.store.own import Kind, Slot
from node.store.view import Rows, View
from protocol.crypto.merkle import membership_nodes
from protocol.numbers.layers import NetworkTime
from protocol.types.activation import (
    ActivationTxV1,
    InnerActivationTxV1,
    NIPostChallengeV1,
    NIPostV1,
    PostMetadataV1,
)
from protocol.types.ids import EMPTY_ATX_ID, Address, AtxId, EdSignature, EpochId, Hash32, LayerId, NodeId
from protocol.types.poet import MembershipProof, PoetProofMessage

ZERO_CHALLENGE = bytes(32)
SERVICE = b"virtual PoET"


@dataclass(frozen=True, slots=True)
class Miner:
    """An identity with space."""

    signer: Signer
    units: int
    coinbase: Address


@dataclass(frozen=True, slots=True)
class Premade:
    """The activation of one identity in one epoch, with its proof of time."""

    atx: ActivationTxV1
    poet: PoetProofMessage


def premake(
    miners: Sequence[Miner], space: VirtualSpace, golden: AtxId, leaves: int, epochs: Sequence[int]
) -> dict[tuple[NodeId, EpochId], Premade]:
    """All activations published in these epochs, which follow each other. leaves: of every PoET round."""
    found: dict[tuple[NodeId, EpochId], Premade] = {}
    previous: dict[NodeId, AtxId] = {}
    positioning = golden
    for sequence, epoch in enumerate(epochs):
        challenges = [_challenge(miner, space, golden, epoch, sequence, previous, positioning) for miner in miners]
        members = [challenge.hash() for challenge in challenges]
        poet = proof_of(members, leaves, SERVICE, str(epoch))
        for place, miner in enumerate(miners):
            node = miner.signer.identity
            post = space.prove(node, golden, poet.ref(), miner.units)
            membership = MembershipProof(tuple(map(Hash32, membership_nodes(members, place))), place)
            nipost = NIPostV1(membership, post, PostMetadataV1(poet.ref(), space.labels_per_unit))
            is_first = sequence == 0
            inner = InnerActivationTxV1(
                challenges[place],
                miner.coinbase,
                miner.units,
                nipost,
                node if is_first else None,
                space.nonce(node, golden) if is_first else None,
            )
            atx = signed_atx(miner.signer, ActivationTxV1(inner, node, EdSignature(bytes(64))))
            found[node, EpochId(epoch)] = Premade(atx, poet)
            previous[node] = atx.id()
        positioning = previous[miners[0].signer.identity]
    return found


def _challenge(
    miner: Miner,
    space: VirtualSpace,
    golden: AtxId,
    epoch: int,
    sequence: int,
    previous: dict[NodeId, AtxId],
    positioning: AtxId,
) -> NIPostChallengeV1:
    node = miner.signer.identity
    if sequence:
        return NIPostChallengeV1(EpochId(epoch), sequence, previous[node], positioning)
    initial = space.prove(node, golden, ZERO_CHALLENGE, miner.units)
    return NIPostChallengeV1(EpochId(epoch), 0, EMPTY_ATX_ID, golden, commitment_atx=golden, initial_post=initial)


class PremadePublisher(Machine):
    """Publishes the premade activations of the own identities, from a layer of each epoch on."""

    name = "premade"
    ticks = True

    def __init__(
        self, keys: Keys, time: NetworkTime, premade: Mapping[tuple[NodeId, EpochId], Premade], from_layer: int
    ) -> None:
        """from_layer: of the publish epoch, counted from 0."""
        self._keys = keys
        self._time = time
        self._premade = premade
        self._from_layer = from_layer

    def start(self, view: View, now: Instant) -> Step:
        """As Machine says: what is owed, and what a crash kept from being stored."""
        due = self._due(view, self._time.layer_at(now))
        return Step(due.rows, [*owed(view, self.name, now), *due.effects])

    def tick(self, tick: Tick, view: View, now: Instant) -> Step:
        """As Machine says."""
        return self._due(view, tick.layer)

    def _due(self, view: View, layer: LayerId) -> Step:
        epoch = self._time.epoch_of(layer)
        if self._time.ordinal_in_epoch(layer) < self._from_layer:
            return NOTHING
        rows, effects = Rows(view), list[Effect]()
        end = Instant(self._time.start_ns(self._time.first_layer(epoch + 1)))
        for (node, of), made in self._premade.items():
            if of != epoch or signer_of(self._keys, node) is None or view.has(ATXS, made.atx.id()):
                continue
            keep_proof(rows, made.poet, PoetProofMessage.codec.encode(made.poet))
            slot = Slot(node, Kind.ATX, epoch)
            effects.append(Publish(TOPIC, ActivationTxV1.codec.encode(made.atx), slot, owed_until=end))
        return Step(rows, effects)
