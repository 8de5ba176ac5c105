"""A proposal of our own: what it says of the mesh, and the signatures over it. Protocol 04b, section 5."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from node.certificates.tables import hare_output
from node.contract.ports import Signer
from node.mesh.tables import MESH_HASHES, NO_MESH_HASH
from node.proposals.sessions import Terms
from node.store.view import View
from protocol.crypto.signing import Domain
from protocol.types.ballots import Ballot, EpochData, InnerBallot, Opinion, VotingEligibility
from protocol.types.ids import EMPTY_BALLOT_ID, EdSignature, Hash32, LayerId, TransactionId
from protocol.types.proposals import InnerProposal, Proposal

UNSIGNED = EdSignature(bytes(64))


@dataclass(frozen=True, slots=True)
class Content:
    """What all own proposals of a layer have in common."""

    layer: LayerId
    opinion: Opinion
    mesh_hash: Hash32
    active_set_hash: Hash32
    """Named by first ballots."""


def mesh_hash(view: View, layer: LayerId, verified: LayerId, effective_genesis: LayerId, hdist: int) -> Hash32:
    """Our hash of the mesh before a layer, or zeros where too little of it is settled.

    Layers behind hdist must be verified, and hare's output known of all others.
    """
    oldest = max(effective_genesis, layer - (hdist + 1))
    if verified < oldest:
        return NO_MESH_HASH
    if any(hare_output(view, LayerId(number)) is None for number in range(oldest + 1, layer)):
        return NO_MESH_HASH
    return view.get(MESH_HASHES, LayerId(layer - 1)) or NO_MESH_HASH


def make_proposal(
    content: Content,
    terms: Terms,
    signer: Signer,
    eligibilities: Sequence[VotingEligibility],
    transactions: Sequence[TransactionId],
) -> Proposal:
    """A signed proposal with its signed ballot."""
    data = None
    if terms.first is None:
        data = EpochData(content.active_set_hash, terms.beacon, terms.slots)
    inner = InnerBallot(content.layer, terms.atx.id, content.opinion.hash, terms.first or EMPTY_BALLOT_ID, data)
    unsigned = Ballot(inner, UNSIGNED, signer.identity, content.opinion.votes, tuple(eligibilities))
    signature = signer.sign(Domain.BALLOT, unsigned.signed_bytes())
    ballot = Ballot(inner, signature, signer.identity, content.opinion.votes, tuple(eligibilities))
    body = InnerProposal(ballot, tuple(transactions), content.mesh_hash)
    return Proposal(body, signer.sign(Domain.PROPOSAL, Proposal(body, UNSIGNED).signed_bytes()))
