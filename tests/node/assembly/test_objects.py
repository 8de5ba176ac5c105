"""What peers are served: proposals of memory, active sets of rows."""

from __future__ import annotations

from node.assembly.objects import sources
from node.proposals.parameters import StoreBounds
from node.proposals.store import KnownProposal, ProposalStore
from node.proposals.tables import put_active_set
from protocol.types.activation import EpochActiveSet, active_set_hash
from protocol.types.ballots import Ballot, EpochData, InnerBallot, Votes, VotingEligibility
from protocol.types.fetch import Hint
from protocol.types.ids import (
    EMPTY_BALLOT_ID,
    AtxId,
    Beacon,
    EdSignature,
    EpochId,
    Hash32,
    LayerId,
    NodeId,
    VrfSignature,
    as_hash32,
)
from protocol.types.proposals import InnerProposal, Proposal
from tests.support.node_stores import Kept

BEACON = Beacon(b"\1\2\3\4")
IDS = (AtxId(b"\1" * 32), AtxId(b"\2" * 32))


def proposal() -> Proposal:
    inner = InnerBallot(LayerId(9), IDS[0], Hash32(bytes(32)), EMPTY_BALLOT_ID, EpochData(Hash32(bytes(32)), BEACON, 3))
    slot = VotingEligibility(0, VrfSignature(bytes(80)))
    ballot = Ballot(inner, EdSignature(bytes(64)), NodeId(b"\7" * 32), Votes(EMPTY_BALLOT_ID), (slot,))
    return Proposal(InnerProposal(ballot, (), Hash32(bytes(32))), EdSignature(bytes(64)))


def test_a_proposal_is_had_by_its_id_with_zeros_behind_it_and_an_active_set_by_its_hash() -> None:
    one, store, kept = proposal(), ProposalStore(StoreBounds(3)), Kept()
    data = Proposal.codec.encode(one)
    hash, active = active_set_hash(IDS), EpochActiveSet(EpochId(2), IDS)
    kept.unit(lambda rows: put_active_set(rows, hash, active))
    found = sources(store)
    proposals, sets = found[Hint.PROPOSAL], found[Hint.ACTIVE_SET]
    with kept.view() as view:
        id = as_hash32(one.id())
        assert not proposals.has(view, id) and proposals.get(view, id) is None
        store.add(KnownProposal(one.id(), one.inner.ballot.id(), one, BEACON, False, len(data)))
        assert proposals.has(view, id) and proposals.get(view, id) == data
        longer = one.id() + b"\0" * 11 + b"\1"
        assert not proposals.has(view, longer) and proposals.get(view, longer) is None
        assert sets.has(view, hash) and sets.get(view, hash) == EpochActiveSet.codec.encode(
            EpochActiveSet(EpochId(2), IDS)
        )
        assert not sets.has(view, bytes(32)) and sets.get(view, bytes(32)) is None
    assert set(found) >= {Hint.ATX, Hint.POET, Hint.BALLOT, Hint.BLOCK, Hint.TX, Hint.MALFEASANCE}
