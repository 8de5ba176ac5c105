"""Every field of a proposal forged: by others, who cannot sign, and by its smesher, who can."""

from __future__ import annotations

import pytest

from node.contract.demands import Failed
from node.engine.edges import Call
from node.mesh.tables import BALLOTS
from protocol.types.ballots import Ballot
from protocol.types.proposals import Proposal
from tests.node.contract.world import at
from tests.node.proposals.forging import variants
from tests.node.proposals.network import (
    ALICE,
    FIRST,
    Node,
    ballot_of,
    first_opinion,
    layers_with_slots,
    proposal_of,
    signed,
    signed_ballot,
)

LATER = layers_with_slots(ALICE)[1]
"""In which Alice has slots, too."""
FIRST_BALLOT = ballot_of(ALICE, FIRST, first_opinion())
PROPOSAL = proposal_of(ALICE, FIRST_BALLOT)
FORGED = dict(variants(PROPOSAL))

ACCEPT = ("accept", "")
LIES = {
    "inner.ballot.inner.layer": ("ignore", "from_future"),
    "inner.ballot.inner.atx_id": ("ignore", "atx_unavailable"),
    "inner.ballot.inner.opinion_hash": ("ignore", "tortoise_decode"),
    "inner.ballot.inner.ref_ballot": ("reject", "unexpected_epoch_data"),
    "inner.ballot.inner.epoch_data-": ("reject", "missing_epoch_data"),
    "inner.ballot.inner.epoch_data.active_set_hash": ("ignore", "unavailable"),
    "inner.ballot.inner.epoch_data.beacon": ("ignore", "bad_vrf"),
    "inner.ballot.inner.epoch_data.eligibility_count": ("reject", "wrong_eligibility_count"),
    "inner.ballot.signature": ACCEPT,  # both signatures are made anew
    "inner.ballot.smesher_id": ("ignore", "bad_proposal_signature"),
    "inner.ballot.votes.base": ("ignore", "ballots_unavailable"),
    "inner.ballot.votes.support+": ("ignore", "tortoise_decode"),
    "inner.ballot.votes.against+": ACCEPT,  # a vote against a block that the base does not support says nothing
    "inner.ballot.votes.abstain+": ("ignore", "tortoise_decode"),
    "inner.ballot.eligibility_proofs-": ACCEPT,  # who has slots may use some of them
    "inner.ballot.eligibility_proofs+": ("reject", "counters_not_increasing"),
    "inner.ballot.eligibility_proofs[0].j": ("ignore", "bad_vrf"),
    "inner.ballot.eligibility_proofs[0].sig": ("ignore", "bad_vrf"),
    "inner.ballot.active_set+": ACCEPT,  # a relic that nobody looks at
    "inner.tx_ids+": ("ignore", "txs_unavailable"),
    "inner.mesh_hash": ACCEPT,  # what a smesher thinks of the mesh is its own affair
    "signature": ACCEPT,
}
"""What becomes of a proposal in which its smesher changes one field and signs all of it."""


def judged(node: Node, proposal: Proposal) -> tuple[str, str]:
    """The verdict on a proposal, where nobody has what is asked for."""
    node.gossip(proposal)
    _nobody_has_it(node)
    (verdict,) = node.verdicts()
    return verdict.judgement.value, verdict.reason


def _nobody_has_it(node: Node) -> None:
    for call in list(node.world.of(Call)):
        node.world.turn(node.world.returned(call, Failed("not_found")))


@pytest.mark.parametrize("path", FORGED)
def test_who_cannot_sign_forges_nothing_and_makes_nobody_ask(path: str) -> None:
    node = Node()
    verdict, _ = judged(node, FORGED[path])
    assert verdict != "accept" and not node.world.of(Call)
    assert not list(node.world.view().keys(BALLOTS)) and not node.kept.of_layer(FIRST)


def test_the_lies_are_those_that_the_records_allow() -> None:
    assert set(LIES) == set(FORGED)


@pytest.mark.parametrize("path", LIES)
def test_a_smesher_that_lies_in_one_field(path: str) -> None:
    node = Node()
    proposal = signed(ALICE, FORGED[path].inner)
    found = judged(node, proposal)
    assert found == LIES[path]
    is_ballot_stored = found == ACCEPT or found[1] == "txs_unavailable"
    assert node.world.view().has(BALLOTS, proposal.inner.ballot.id()) is is_ballot_stored
    assert (node.tortoise.ballot(proposal.inner.ballot.id()) is not None) is is_ballot_stored
    assert len(node.kept.of_layer(FIRST)) == (found == ACCEPT)


LATER_LIES = {
    "inner.layer": ("ignore", "tortoise_decode"),  # an opinion on one layer more
    "inner.atx_id": ("ignore", "atx_unavailable"),
    "inner.opinion_hash": ("ignore", "tortoise_decode"),
    "inner.ref_ballot": ("ignore", "ballots_unavailable"),
    "inner.epoch_data+": ("reject", "unexpected_epoch_data"),
    "signature": ACCEPT,
    "smesher_id": ("reject", "bad_ballot_signature"),
    "votes.base": ("ignore", "ballots_unavailable"),
    "votes.support+": ("ignore", "tortoise_decode"),
    "votes.against+": ACCEPT,
    "votes.abstain-": ("ignore", "tortoise_decode"),
    "votes.abstain+": ("ignore", "tortoise_decode"),
    "votes.abstain[0]": ("ignore", "tortoise_decode"),
    "eligibility_proofs-": ACCEPT,
    "eligibility_proofs+": ("reject", "counters_not_increasing"),
    "eligibility_proofs[0].j": ("ignore", "bad_vrf"),
    "eligibility_proofs[0].sig": ("ignore", "bad_vrf"),
    "active_set+": ACCEPT,
}
"""The same of a later ballot of the epoch, which sync brings."""
SIGNED_FIELDS = ("inner.", "signature", "smesher_id")


def _synced() -> tuple[Node, Ballot]:
    """A node that knows Alice's first ballot, and a second one of her."""
    node = Node(now=at(LATER))
    assert node.sync(FIRST_BALLOT).is_accepted
    return node, ballot_of(ALICE, LATER, node.opinion(LATER), FIRST_BALLOT.id())


LATER_FORGED = dict(variants(_synced()[1]))


def test_the_lies_of_later_ballots_are_those_that_the_records_allow() -> None:
    assert set(LATER_LIES) == set(LATER_FORGED)


def _judged_ballot(node: Node, ballot: Ballot) -> tuple[str, str]:
    node.request(ballot)
    _nobody_has_it(node)
    return node.last


@pytest.mark.parametrize("path", LATER_LIES)
def test_a_smesher_that_lies_in_one_field_of_a_later_ballot(path: str) -> None:
    node, _ = _synced()
    ballot = signed_ballot(ALICE, LATER_FORGED[path])
    found = _judged_ballot(node, ballot)
    assert found == LATER_LIES[path]
    assert (node.tortoise.ballot(ballot.id()) is not None) is (found == ACCEPT)


@pytest.mark.parametrize("path", LATER_LIES)
def test_what_the_signature_of_a_ballot_covers_nobody_else_changes(path: str) -> None:
    """Votes and slots stand outside of it: they must agree with the opinion that is signed, and with the beacon."""
    node, _ = _synced()
    found = _judged_ballot(node, LATER_FORGED[path])
    is_covered = path.startswith(SIGNED_FIELDS)
    assert found == (("reject", "bad_ballot_signature") if is_covered else LATER_LIES[path])
