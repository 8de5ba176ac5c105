"""Second messages for a slot that has one, signed as validly as the first: what a dishonest smesher can always make."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TypeVar

from node.activation.machine import TOPIC as ATX_TOPIC
from node.beacon.memory import FIRST_VOTES, FOLLOWING_VOTES
from node.contract.ports import Signer
from node.mesh.tables import MESH_HASHES
from node.proposals.machine import TOPIC as PROPOSALS
from node.store.view import View
from protocol.codec.declare import CodecError
from protocol.crypto.signing import Domain
from protocol.types.activation import ActivationTxV1
from protocol.types.ballots import Votes
from protocol.types.beacon import (
    FirstVotingMessage,
    FirstVotingMessageBody,
    FollowingVotingMessage,
    FollowingVotingMessageBody,
)
from protocol.types.hare import Hare3Message, Hare3Value, Hare4Message, Hare4Value
from protocol.types.ids import Address, LayerId, NodeId, ProposalId
from protocol.types.opinions import opinion_hash
from protocol.types.proposals import Proposal, proposals_hash

from .keys import SimKeys

Forge = Callable[[bytes, SimKeys, View], bytes | None]
V = TypeVar("V", Hare3Value, Hare4Value)

HARE3, HARE4 = "/h/3.0", "/h/4.0"


def another(topic: str, data: bytes, keys: SimKeys, view: View) -> bytes | None:
    """Another message for the slot of this one; None where there is no such thing, or it is of somebody else. view: of
    the node that is dishonest."""
    forge = FORGERS.get(topic)
    try:
        return None if forge is None else forge(data, keys, view)
    except CodecError:
        return None


def _atx(data: bytes, keys: SimKeys, view: View) -> bytes | None:
    """The same activation with another coinbase."""
    atx = ActivationTxV1.codec.decode(data)
    key = keys.key(atx.smesher_id)
    if key is None:
        return None
    coinbase = Address(atx.inner.coinbase[:-1] + bytes((atx.inner.coinbase[-1] ^ 1,)))
    return ActivationTxV1.codec.encode(signed_atx(key, replace(atx, inner=replace(atx.inner, coinbase=coinbase))))


def signed_atx(signer: Signer, atx: ActivationTxV1) -> ActivationTxV1:
    """With the signature of its smesher."""
    return replace(atx, signature=signer.sign(Domain.ATX, atx.signed_bytes()))


def _first_vote(data: bytes, keys: SimKeys, view: View) -> bytes | None:
    """The proposals of a beacon the other way round."""
    message = FirstVotingMessage.codec.decode(data)
    key, body = keys.key(message.smesher_id), message.body
    if key is None:
        return None
    made = FirstVotingMessageBody(body.epoch, (), body.valid_proposals)
    signature = key.sign(Domain.BEACON_FIRST_MSG, FirstVotingMessageBody.codec.encode(made))
    return FirstVotingMessage.codec.encode(FirstVotingMessage(made, message.smesher_id, signature))


def _following_vote(data: bytes, keys: SimKeys, view: View) -> bytes | None:
    """Every bit the other way round."""
    message = FollowingVotingMessage.codec.decode(data)
    key, body = keys.key(message.smesher_id), message.body
    if key is None:
        return None
    made = FollowingVotingMessageBody(body.epoch, body.round, bytes(byte ^ 0xFF for byte in body.votes))
    signature = key.sign(Domain.BEACON_FOLLOWUP_MSG, FollowingVotingMessageBody.codec.encode(made))
    return FollowingVotingMessage.codec.encode(FollowingVotingMessage(made, message.smesher_id, signature))


def _other_value(value: V) -> V:
    """All proposals but the last, one that nobody made where there is none; or the reference of another set."""
    if value.reference is not None:
        return replace(value, reference=proposals_hash((ProposalId(value.reference[:20]),)))
    fewer = tuple(value.proposals)[:-1] if value.proposals else (ProposalId(b"\xee" * 20),)
    return replace(value, proposals=fewer)


def _hare3(data: bytes, keys: SimKeys, view: View) -> bytes | None:
    """A vote for another set of proposals."""
    message = Hare3Message.codec.decode(data)
    key = keys.key(message.sender)
    if key is None:
        return None
    made = replace(message, body=replace(message.body, value=_other_value(message.body.value)))
    return Hare3Message.codec.encode(replace(made, signature=key.sign(Domain.HARE, made.signed_bytes())))


def _hare4(data: bytes, keys: SimKeys, view: View) -> bytes | None:
    """The same of version 4; not of a preround, whose signature is over a list that is not sent."""
    message = Hare4Message.codec.decode(data)
    key = keys.key(message.sender)
    if key is None or message.body.value.compact_proposals:
        return None
    made = replace(message, body=replace(message.body, value=_other_value(message.body.value)))
    return Hare4Message.codec.encode(replace(made, signature=key.sign(Domain.HARE, made.signed_bytes())))


def _proposal(data: bytes, keys: SimKeys, view: View) -> bytes | None:
    """A proposal over another valid ballot, which abstains on the layer before; None where that one is the genesis."""
    proposal = Proposal.codec.decode(data)
    ballot = proposal.inner.ballot
    key, last = keys.key(NodeId(ballot.smesher_id)), LayerId(ballot.inner.layer - 1)
    before = view.get(MESH_HASHES, LayerId(last - 1))
    if key is None or before is None:
        return None
    votes = Votes(
        ballot.votes.base,
        tuple(vote for vote in ballot.votes.support if vote.layer != last),
        tuple(vote for vote in ballot.votes.against if vote.layer != last),
        (*(layer for layer in ballot.votes.abstain if layer != last), last),
    )
    inner = replace(ballot.inner, opinion_hash=opinion_hash(before, None))
    ballot = replace(ballot, inner=inner, votes=votes)
    ballot = replace(ballot, signature=key.sign(Domain.BALLOT, ballot.signed_bytes()))
    made = replace(proposal, inner=replace(proposal.inner, ballot=ballot))
    if ballot.id() == proposal.inner.ballot.id():
        return None  # it abstains there already
    return Proposal.codec.encode(replace(made, signature=key.sign(Domain.PROPOSAL, made.signed_bytes())))


FORGERS: Mapping[str, Forge] = {
    ATX_TOPIC: _atx,
    FIRST_VOTES: _first_vote,
    FOLLOWING_VOTES: _following_vote,
    HARE3: _hare3,
    HARE4: _hare4,
    PROPOSALS: _proposal,
}
"""By topic."""
