"""Proposals and ballots of peers: what is taken, what is asked for, what floods and contradictions come to."""

from __future__ import annotations

from dataclasses import replace

import pytest

from node.contract.bounds import Bounds
from node.contract.demands import Failed, Fetch
from node.contract.effects import StopIdentity
from node.contract.messages import PeerId
from node.engine.edges import Call, Send
from node.malfeasance.tables import has_proof
from node.mempool.tables import TRANSACTIONS, StoredTransaction
from node.mesh.tables import BALLOTS
from node.proposals.machine import ProposalTaken
from node.proposals.parameters import StoreBounds
from node.proposals.tables import ACTIVE_SETS, put_active_set
from node.store.own import SIGNED, Kind, Slot
from protocol.numbers.durations import MINUTE
from protocol.types.activation import EpochActiveSet, active_set_hash
from protocol.types.ballots import Ballot
from protocol.types.fetch import Hint
from protocol.types.ids import AtxId, EpochId, Hash32, TransactionId, as_hash32
from protocol.types.proposals import Proposal
from tests.node.contract.world import at
from tests.node.proposals.network import (
    ALICE,
    BOB,
    CAROL,
    DAVE,
    EPOCH,
    FIRST,
    GOLDEN,
    PARAMETERS,
    PEER,
    SMESHERS,
    Node,
    Smesher,
    ballot_of,
    eligibilities,
    ids_of,
    layers_with_slots,
    proposal_of,
    signed_ballot,
)

LATER = layers_with_slots(ALICE)[1]
ACCEPT = ("accept", "")
TX = TransactionId(b"\x33" * 32)


def first_of(smesher: Smesher, node: Node, *transactions: TransactionId, mesh_hash: int = 0) -> Proposal:
    """A valid proposal with a first ballot of the epoch."""
    ballot = ballot_of(smesher, FIRST, node.opinion(FIRST))
    return proposal_of(smesher, ballot, transactions, Hash32(bytes((mesh_hash,)) * 32))


def second_of(smesher: Smesher, node: Node) -> Proposal:
    """A proposal with another valid first ballot of the epoch, which counts fewer smeshers as active."""
    return proposal_of(smesher, ballot_of(smesher, FIRST, node.opinion(FIRST), ids=ids_of(EPOCH, SMESHERS[:3])))


def encoded_set(*smeshers: Smesher) -> tuple[Hash32, bytes]:
    ids = ids_of(EPOCH, smeshers or SMESHERS)
    return active_set_hash(ids), EpochActiveSet.codec.encode(EpochActiveSet(EPOCH, ids))


# ---- what is taken ----


def test_a_valid_proposal_is_taken() -> None:
    node = Node()
    proposal = first_of(ALICE, node)
    ballot = proposal.inner.ballot
    node.gossip(proposal)
    assert node.last == ACCEPT
    assert node.world.view().get(BALLOTS, ballot.id()) == ballot
    (kept,) = node.kept.of_layer(FIRST)
    assert kept.proposal == proposal and kept.ballot_id == ballot.id() and not kept.is_malicious
    assert (kept.smesher, kept.atx_id, kept.eligibilities) == (ALICE.id, ALICE.atx(), eligibilities(ALICE, FIRST))
    assert node.kept.proposal(node.world.view(), FIRST, proposal.id()) == node.kept.by_id(proposal.id()).proposal  # type: ignore[union-attr]
    assert node.tortoise.ballot(ballot.id()) is not None
    assert node.events(ProposalTaken) == [ProposalTaken(FIRST, proposal.id(), ballot.id(), ALICE.id, at(FIRST), False)]


def test_a_later_proposal_goes_by_the_beacon_of_the_first_ballot() -> None:
    node = Node(now=at(LATER))
    first = ballot_of(ALICE, FIRST, node.opinion(FIRST))
    assert node.sync(first).is_accepted
    node.gossip(proposal_of(ALICE, ballot_of(ALICE, LATER, node.opinion(LATER), first.id())))
    assert node.last == ACCEPT
    (kept,) = node.kept.of_layer(LATER)
    assert first.inner.epoch_data is not None and kept.beacon == first.inner.epoch_data.beacon


@pytest.mark.parametrize("atx", [AtxId(bytes(32)), GOLDEN])
def test_no_ballot_stands_on_an_activation_that_is_none(atx: AtxId) -> None:
    node = Node()
    ballot = ballot_of(ALICE, FIRST, node.opinion(FIRST))
    forged = signed_ballot(ALICE, replace(ballot, inner=replace(ballot.inner, atx_id=atx)))
    node.gossip(proposal_of(ALICE, forged))
    assert node.last == ("reject", "invalid_atx_id")


def test_a_ballot_with_the_activation_of_another_is_refused_without_a_look_at_its_active_set() -> None:
    node = Node(has_set=False)
    ballot = ballot_of(ALICE, FIRST, node.opinion(FIRST))
    node.gossip(
        proposal_of(ALICE, signed_ballot(ALICE, replace(ballot, inner=replace(ballot.inner, atx_id=BOB.atx()))))
    )
    assert node.last == ("reject", "atx_of_other_smesher") and not node.world.of(Call)


def test_what_was_sent_is_what_was_asked_for() -> None:
    node = Node()
    one, other = first_of(ALICE, node), first_of(BOB, node)
    for hint, data, id in (
        (Hint.PROPOSAL, Proposal.codec.encode(one), as_hash32(other.id())),
        (Hint.BALLOT, Ballot.codec.encode(one.inner.ballot), as_hash32(other.inner.ballot.id())),
        (Hint.ACTIVE_SET, encoded_set(ALICE)[1], encoded_set(BOB)[0]),
    ):
        node.fetched(hint, data, id)
        assert node.last == ("reject", "wrong_hash")
    node.fetched(Hint.PROPOSAL, Proposal.codec.encode(one), as_hash32(one.id()))
    node.fetched(Hint.PROPOSAL, Proposal.codec.encode(one), as_hash32(one.id()))
    assert node.last == ACCEPT  # known, and what was asked for is here
    node.gossip(one)
    assert node.last == ("ignore", "known_proposal")


def test_slots_of_a_proposal_are_looked_at_also_where_its_ballot_is_known() -> None:
    """Rewards are counted by them, and the id of a ballot does not cover them."""
    node = Node()
    ballot = ballot_of(ALICE, FIRST, node.opinion(FIRST))
    first, *others = ballot.eligibility_proofs
    false = replace(first, j=first.j + 1)
    assert others and false.j < others[0].j
    assert node.sync(replace(ballot, eligibility_proofs=[first])).is_accepted
    node.gossip(proposal_of(ALICE, replace(ballot, eligibility_proofs=[first, false, *others])))
    assert node.last == ("ignore", "bad_vrf") and not node.kept.of_layer(FIRST)
    node.gossip(proposal_of(ALICE, ballot))  # who handed on the ballot has left a slot out
    assert node.last == ACCEPT
    assert node.kept.of_layer(FIRST)[0].eligibilities == ballot.eligibility_proofs
    assert len(node.tortoise.state.layer(FIRST).ballots) == 1


def test_gossip_is_not_judged_before_the_node_is_near_the_present() -> None:
    node = Node()
    node.is_synced = False
    node.gossip(first_of(ALICE, node))
    assert node.last == ("ignore", "not_synced")
    assert node.sync(ballot_of(ALICE, FIRST, node.opinion(FIRST))).is_accepted


# ---- what is missing ----


def test_everything_that_is_missing_is_asked_for_once_by_whoever_waits_for_it() -> None:
    """The ATX first, since nobody without one makes us ask for more; then set, ballots and transactions."""
    node = Node(known=(BOB, CAROL, DAVE), has_set=False, now=at(LATER))
    helper = Node(now=at(LATER))  # a node that has it all
    base = ballot_of(BOB, FIRST, helper.opinion(FIRST))
    assert helper.sync(base).is_accepted
    ballot = ballot_of(ALICE, LATER, helper.opinion(LATER))
    assert ballot.votes.base == base.id()
    proposals = [proposal_of(ALICE, ballot, [TX], Hash32(bytes((number,)) * 32)) for number in range(2)]
    for number, proposal in enumerate(proposals):
        node.gossip(proposal, PeerId(bytes((number,))))
    (call,) = node.world.of(Call)
    assert call.demand == Fetch(Hint.ATX, ALICE.atx(), (PeerId(b"\0"),))
    node.add_atx(ALICE)
    node.accept(call)
    hash, data = encoded_set()
    assert [one.demand.id for one in node.calls(Hint.ACTIVE_SET)] == [hash]
    node.deliver(Hint.ACTIVE_SET, hash, data)
    node.deliver(Hint.BALLOT, as_hash32(base.id()), Ballot.codec.encode(base))
    # Bob's ballot names the same set, which is here by now
    assert [one.demand.id for one in node.calls(Hint.TX)] == [TX]
    node.write(lambda rows: rows.put(TRANSACTIONS, TX, StoredTransaction(b"", None, 0)))
    node.accept(node.calls(Hint.TX)[0])
    assert [node.world.of(Call).count(one) for one in node.world.of(Call)] == [1, 1, 1, 1]
    assert node.verdicts()[-2:] == [node.verdicts()[-1]] * 2 and node.last == ACCEPT
    assert {one.id for one in node.kept.of_layer(LATER)} == {one.id() for one in proposals}


@pytest.mark.parametrize(
    ("hint", "reason"),
    [
        (Hint.ATX, "atx_not_in_memory"),
        (Hint.ACTIVE_SET, "unavailable"),
        (Hint.BALLOT, "ballots_unavailable"),
        (Hint.TX, "txs_unavailable"),
    ],
)
def test_what_nobody_has_costs_the_proposal_and_is_not_asked_for_again(hint: str, reason: str) -> None:
    node = Node(known=SMESHERS[1:] if hint == Hint.ATX else SMESHERS, has_set=hint in (Hint.BALLOT, Hint.TX))
    ballot = ballot_of(ALICE, FIRST, node.opinion(FIRST))
    if hint == Hint.BALLOT:
        ballot = replace(ballot, votes=replace(ballot.votes, base=ballot.id()))
    node.gossip(proposal_of(ALICE, ballot, [TX] if hint == Hint.TX else []))
    (call,) = node.world.of(Call)
    assert isinstance(call.demand, Fetch) and call.demand.hint == hint
    node.world.turn(node.world.returned(call, Failed("not_found")))
    assert node.last == ("ignore", reason) and len(node.world.of(Call)) == 1
    assert not node.kept.of_layer(FIRST)
    assert node.world.view().has(BALLOTS, ballot.id()) is (hint == Hint.TX)


def test_what_peers_call_good_and_is_not_here_is_not_asked_for_again() -> None:
    node = Node()
    ballot = ballot_of(ALICE, FIRST, node.opinion(FIRST))
    node.gossip(proposal_of(ALICE, replace(ballot, votes=replace(ballot.votes, base=ballot.id()))))
    (call,) = node.calls(Hint.BALLOT)
    node.accept(call)
    assert node.last == ("ignore", "tortoise_decode") and len(node.world.of(Call)) == 1
    node, others = Node(known=SMESHERS[1:]), ids_of(EPOCH, SMESHERS[1:])
    node.fetched_set(others)
    node.gossip(proposal_of(ALICE, ballot_of(ALICE, FIRST, node.opinion(FIRST), ids=others)))
    node.accept(node.calls(Hint.ATX)[0])
    assert node.last == ("ignore", "atx_unavailable") and len(node.world.of(Call)) == 1


def test_a_layer_that_is_processed_takes_no_proposals_but_ballots() -> None:
    node = Node()
    node.mesh.processed = FIRST
    node.gossip(first_of(ALICE, node))
    assert node.last == ("ignore", "too_late")
    assert node.sync(ballot_of(ALICE, FIRST, node.opinion(FIRST))).is_accepted


def test_a_proposal_that_waits_too_long_is_dropped_and_counted() -> None:
    node = Node(bounds=Bounds(wait=MINUTE))
    node.gossip(first_of(ALICE, node, TX))
    assert node.engine.waiting == 1
    node.world.turn(now=at(FIRST, 61))
    assert node.last == ("ignore", "expired")
    assert node.engine.counts["pp1", "ignore", "expired"] == 1
    assert node.engine.waiting == 0 and node.engine.open_calls == 0


def test_a_ballot_that_comes_alone_while_its_proposal_waits_is_stored_once() -> None:
    node = Node()
    proposal = first_of(ALICE, node, TX)
    node.gossip(proposal)
    assert node.sync(proposal.inner.ballot).is_accepted
    node.write(lambda rows: rows.put(TRANSACTIONS, TX, StoredTransaction(b"", None, 0)))
    node.accept(node.calls(Hint.TX)[0])
    assert node.last == ACCEPT and len(node.tortoise.state.layer(FIRST).ballots) == 1


def test_a_transaction_that_is_listed_twice_costs_the_proposal_but_not_the_ballot() -> None:
    node = Node()
    proposal = first_of(ALICE, node, TX, TX)
    node.gossip(proposal)
    assert node.last == ("reject", "duplicate_tx") and not node.world.of(Call)
    assert node.world.view().has(BALLOTS, proposal.inner.ballot.id())


# ---- floods ----


def test_of_one_smesher_so_many_proposals_of_a_layer_are_kept() -> None:
    node = Node(store=StoreBounds(layers=3, of_smesher=2))
    for number in range(4):
        node.gossip(first_of(ALICE, node, mesh_hash=number))
    found = [(one.judgement.value, one.reason) for one in node.verdicts()]
    assert found == [ACCEPT, ACCEPT, ("ignore", "too_many_of_smesher"), ("ignore", "too_many_of_smesher")]
    assert node.engine.counts["pp1", "ignore", "too_many_of_smesher"] == 2
    node.gossip(first_of(BOB, node))
    assert node.last == ACCEPT
    wanted = first_of(ALICE, node, mesh_hash=9)
    node.fetched(Hint.PROPOSAL, Proposal.codec.encode(wanted), as_hash32(wanted.id()))
    assert node.last == ACCEPT  # hare agreed on it, whatever else she made


def test_proposals_wait_within_bounds_of_the_engine() -> None:
    node = Node(bounds=Bounds(waiting=3, waiting_by_peer=2))
    for number in range(4):
        node.gossip(first_of(ALICE, node, TransactionId(bytes((number,)) * 32)), PEER if number < 3 else PeerId(b"x"))
    assert [one.reason for one in node.verdicts()] == ["too_many_waiting_of_peer"]
    assert node.engine.waiting == 3
    node.gossip(first_of(BOB, node, TX), PeerId(b"y"))
    assert node.last == ("ignore", "too_many_waiting")


def test_a_chain_of_ballots_without_end_is_followed_so_far() -> None:
    node = Node(parameters=replace(PARAMETERS, chain=5))
    ballot = ballot_of(ALICE, FIRST, node.opinion(FIRST))
    chain = [ballot]
    for number in range(8):  # each names the one before
        inner = replace(ballot.inner, opinion_hash=Hash32(bytes((number,)) * 32))
        named = replace(ballot, inner=inner, votes=replace(ballot.votes, base=chain[-1].id()))
        chain.append(signed_ballot(ALICE, named))
    node.gossip(proposal_of(ALICE, chain.pop()))
    while chain and len(node.calls(Hint.BALLOT)) > 8 - len(chain):
        wanted = chain.pop()
        node.deliver(Hint.BALLOT, as_hash32(wanted.id()), Ballot.codec.encode(wanted))
    assert len(node.calls(Hint.BALLOT)) == 5
    assert ("ignore", "too_deep") in [(one.judgement.value, one.reason) for one in node.verdicts()]
    assert node.last == ("ignore", "ballots_unavailable")
    assert node.engine.waiting == 0


def test_first_ballots_of_a_smesher_name_so_many_active_sets() -> None:
    node = Node(has_set=False, parameters=replace(PARAMETERS, sets_by_smesher=2))
    for number in range(3):
        ids = ids_of(EPOCH, SMESHERS[number:])
        node.gossip(proposal_of(ALICE, ballot_of(ALICE, FIRST, node.opinion(FIRST), ids=ids)))
    assert len(node.calls(Hint.ACTIVE_SET)) == 2
    assert node.last == ("ignore", "too_many_active_sets")


def test_an_active_set_makes_us_ask_for_so_many_activations() -> None:
    node = Node(known=(ALICE,), has_set=False, parameters=replace(PARAMETERS, missing_atxs=2))
    node.gossip(first_of(ALICE, node))
    hash, data = encoded_set()
    node.deliver(Hint.ACTIVE_SET, hash, data)
    assert not node.calls(Hint.ATX) and node.last == ("ignore", "unavailable")
    assert node.engine.counts[Hint.ACTIVE_SET, "ignore", "too_many_missing_atxs"] == 1


def test_a_proposal_makes_us_ask_for_so_many_transactions() -> None:
    node = Node(parameters=replace(PARAMETERS, missing_transactions=2))
    node.gossip(first_of(ALICE, node, *(TransactionId(bytes((number,)) * 32) for number in range(3))))
    assert node.last == ("ignore", "too_many_missing_transactions") and not node.world.of(Call)


def test_of_many_false_proofs_few_are_looked_at() -> None:
    node = Node(parameters=replace(PARAMETERS, first_proofs=1))
    ballot = ballot_of(ALICE, FIRST, node.opinion(FIRST))
    proofs = eligibilities(ALICE, FIRST)
    assert len(proofs) > 1
    false = [replace(one, sig=one.sig[:-1] + b"\0") for one in proofs]
    node.gossip(proposal_of(ALICE, replace(ballot, eligibility_proofs=false)))
    assert node.last == ("ignore", "bad_vrf") and node.world.checker.vrf_batches == [1]
    node.gossip(proposal_of(BOB, ballot_of(BOB, FIRST, node.opinion(FIRST))))
    assert node.last == ACCEPT and sum(node.world.checker.vrf_batches[1:]) == len(eligibilities(BOB, FIRST))


def test_an_active_set_keeps_the_epoch_with_which_it_came_first() -> None:
    """The hash does not cover it: whoever sends the set again with another one changes nothing."""
    node = Node(has_set=False)
    hash, data = encoded_set()
    node.fetched(Hint.ACTIVE_SET, data, hash)
    node.fetched(Hint.ACTIVE_SET, EpochActiveSet.codec.encode(EpochActiveSet(EpochId(9), ids_of())), hash)
    node.write(lambda rows: put_active_set(rows, hash, EpochActiveSet(EpochId(9), ids_of())))
    stored = node.world.view().get(ACTIVE_SETS, hash)
    assert stored is not None and stored.epoch == EPOCH


@pytest.mark.parametrize("known", [SMESHERS, SMESHERS[:3]])
def test_an_active_set_that_comes_with_a_wrong_epoch_serves_its_ballots_all_the_same(known: list[Smesher]) -> None:
    """One peer that names another epoch would else make the set worthless, whoever has it."""
    node = Node(known=known, has_set=False)
    hash, _ = encoded_set()
    node.gossip(first_of(ALICE, node))
    node.deliver(Hint.ACTIVE_SET, hash, EpochActiveSet.codec.encode(EpochActiveSet(EpochId(9), ids_of())))
    unknown = node.calls(Hint.ATX)
    if known != SMESHERS:
        node.add_atx(DAVE)
    for call in unknown:
        node.accept(call)
    stored = node.world.view().get(ACTIVE_SETS, hash)
    assert stored is not None and stored.epoch == EPOCH
    assert bool(unknown) is (known != SMESHERS) and node.last == ACCEPT


def test_active_sets_of_epochs_that_are_over_are_deleted() -> None:
    node = Node(epochs=(EPOCH, EPOCH + 1, EPOCH + 2))
    before = set(node.world.view().keys(ACTIVE_SETS))
    node.world.tick(4 * (EPOCH + 2))
    gone = before - set(node.world.view().keys(ACTIVE_SETS))
    assert gone == {active_set_hash(ids_of(EPOCH))}


# ---- contradictions, and own identities ----


def test_two_ballots_of_a_smesher_in_a_layer_are_malfeasance() -> None:
    node = Node()
    one = first_of(ALICE, node)
    node.gossip(one)
    second = second_of(ALICE, node)
    node.gossip(second)
    node.deliver(Hint.ACTIVE_SET, *encoded_set(*SMESHERS[:3]))
    assert node.last == ("ignore", "malicious_ballot")
    assert has_proof(node.world.view(), ALICE.id)
    assert [one.topic for one in node.world.of(Send)] == ["mp1"]
    assert {kept.id: kept.is_malicious for kept in node.kept.of_layer(FIRST)} == {one.id(): False, second.id(): True}
    assert node.columns.is_malicious(ALICE.id)
    # whoever is convicted is heard, and the first proof counts
    node.gossip(proposal_of(ALICE, ballot_of(ALICE, FIRST, node.opinion(FIRST), ids=ids_of(EPOCH, SMESHERS[:2]))))
    node.deliver(Hint.ACTIVE_SET, *encoded_set(*SMESHERS[:2]))
    assert node.last == ACCEPT and len(node.world.of(Send)) == 1
    assert [kept.is_malicious for kept in node.kept.of_layer(FIRST)].count(True) == 2


def test_a_ballot_of_an_own_identity_that_gossip_brings_stops_it() -> None:
    node = Node(own=[ALICE])
    node.gossip(first_of(ALICE, node))
    (stopped,) = node.world.of(StopIdentity)
    assert stopped.identity == ALICE.id and "run the key on one node only" in stopped.sentence


def test_an_own_ballot_that_sync_brings_is_noted_and_one_beside_it_stops_the_identity() -> None:
    node = Node(own=[ALICE])
    ballot = ballot_of(ALICE, FIRST, node.opinion(FIRST))
    assert node.sync(ballot).is_accepted
    stored = node.world.view().get(SIGNED, Slot(ALICE.id, Kind.BALLOT, FIRST))
    assert stored is not None and Ballot.codec.decode(stored).id() == ballot.id()
    assert not node.world.of(StopIdentity)
    node.gossip(proposal_of(ALICE, ballot))  # the same one, by another way
    assert node.last == ACCEPT and not node.world.of(StopIdentity)
    node.gossip(second_of(ALICE, node))
    node.deliver(Hint.ACTIVE_SET, *encoded_set(*SMESHERS[:3]))
    assert node.last == ("ignore", "malicious_ballot")
    # for the ballot that it has not made, and for the malfeasance that follows
    assert [one.identity for one in node.world.of(StopIdentity)] == [ALICE.id, ALICE.id]
