"""The two versions of hare: in what form each sends what is said.

Both sign the hash of a body with full lists. Version 4 sends the preround with short ids in their place: `exchange`.
Protocol 05-consensus, section 3, and 03-encoding-and-types, section 4.7.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from node.hare.gossip import Equivocation, HareInput
from node.hare.parameters import HareParameters
from node.hare.protocol import Said
from protocol.codec.sharing import known
from protocol.types.hare import (
    Hare3Body,
    Hare3Message,
    Hare3Value,
    Hare4Body,
    Hare4Message,
    Hare4Value,
    HareEligibility,
    HareMetadata,
    HareRound,
)
from protocol.types.ids import CompactProposalId, EdSignature, Hash32, LayerId, NodeId, ProposalId
from protocol.types.malfeasance import HareProof, HareProofMsg, MalfeasanceProof

Body = Hare3Body | Hare4Body
AnyMessage = Hare3Message | Hare4Message


@dataclass(frozen=True, slots=True)
class Version:
    """One of them, with its parameters."""

    number: int
    """3 or 4."""
    parameters: HareParameters

    def is_compact(self, round: int) -> bool:
        """Whether messages of a round are sent with short ids."""
        return self.number == 4 and round == HareRound.PREROUND

    def decode(self, data: bytes) -> AnyMessage:
        """A message as it is sent. Raises CodecError."""
        return Hare3Message.codec.decode(data) if self.number == 3 else Hare4Message.codec.decode(data)

    def body(self, layer: LayerId, said: Said, eligibility: HareEligibility) -> Body:
        """What a member signs."""
        if self.number == 3:
            return Hare3Body(layer, said.at, Hare3Value(said.proposals, said.reference), eligibility)
        return Hare4Body(layer, said.at, Hare4Value(said.proposals, said.reference), eligibility)

    def encode(self, body: Body, sender: NodeId, signature: EdSignature) -> bytes:
        """A message with the body that is sent."""
        if isinstance(body, Hare3Body):
            return Hare3Message.codec.encode(Hare3Message(body, sender, signature))
        return Hare4Message.codec.encode(Hare4Message(body, sender, signature))


def shortened(body: Hare4Body, compact: Sequence[CompactProposalId]) -> Hare4Body:
    """The body that is sent in place of the one that is signed. compact: of its proposals, in their order."""
    return replace(body, value=replace(body.value, proposals=(), compact_proposals=tuple(compact)))


def lengthened(body: Hare4Body, proposals: Sequence[ProposalId]) -> Hare4Body:
    """The body that is signed, of one that was sent, with its proposals in this order."""
    return replace(body, value=replace(body.value, proposals=tuple(proposals), compact_proposals=()))


def in_full(message: Hare4Message, proposals: Sequence[ProposalId]) -> tuple[Hare4Message, Hash32]:
    """A message with the body that is signed, of one that was sent, and the hash of that body."""
    return known(_in_full, message, tuple(proposals))


def _in_full(message: Hare4Message, proposals: Sequence[ProposalId]) -> tuple[Hare4Message, Hash32]:
    body = lengthened(message.body, proposals)
    return Hare4Message(body, message.sender, message.signature), body.hash()


def metadata_of(body: Body, hash: Hash32) -> bytes:
    """What is signed of a body, given its hash."""
    return known(_metadata_of, body, hash)


def _metadata_of(body: Body, hash: Hash32) -> bytes:
    return HareMetadata.codec.encode(HareMetadata(body.layer, body.iter_round.absolute(), hash))


def proof_of(layer: LayerId, equivocation: Equivocation) -> bytes:
    """The proof that the sender of two messages broke the rules: a MalfeasanceProof."""
    first, second = (_signed(layer, one) for one in (equivocation.first, equivocation.second))
    return MalfeasanceProof.codec.encode(MalfeasanceProof(layer, HareProof((first, second))))


def _signed(layer: LayerId, message: HareInput) -> HareProofMsg:
    metadata = HareMetadata(layer, message.at.absolute(), message.hash)
    return HareProofMsg(metadata, message.sender, message.signature)
