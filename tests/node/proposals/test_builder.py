"""The own proposals: who makes one when, what is signed once, and what a restart or a late clock leaves."""

from __future__ import annotations

from dataclasses import replace

import pytest

from node.activation.tables import put_atx
from node.certificates.tables import put_hare_output
from node.contract.demands import Failed, ProveVrf
from node.contract.effects import StopIdentity
from node.contract.inputs import Tick
from node.contract.instants import Instant
from node.contract.owed import OWED
from node.engine.edges import Call, Send
from node.ledger.tables import ACCOUNTS
from node.mesh.mesh import GENESIS_MESH_HASH
from node.mesh.tables import BALLOTS, MESH_HASHES, NO_MESH_HASH
from node.proposals.builder import ActiveSetMade, ProposalMade, ProposalNotMade, SlotsKnown
from node.proposals.making import mesh_hash
from node.proposals.sessions import own_atx
from node.proposals.tables import ACTIVE_SETS, OWN_ACTIVE_SETS
from node.store.memory import MemoryBackend
from node.store.own import SIGNED, Kind, Slot
from node.store.view import Rows
from protocol.types.activation import active_set_hash
from protocol.types.ids import EMPTY_BALLOT_ID, EMPTY_BLOCK_ID, Address, AtxId, EpochId, Hash32, LayerId
from protocol.types.proposals import Proposal
from protocol.types.transactions import Account, LayerLimits, RawTx, Transaction, TxHeader
from tests.node.contract.world import at
from tests.node.proposals.network import (
    ALICE,
    BEACON,
    BOB,
    BUILDER,
    CAROL,
    EPOCH,
    FIRST,
    SMESHERS,
    TIME,
    Node,
    ballot_of,
    eligibilities,
    first_opinion,
    ids_of,
    layers_with_slots,
    proposal_of,
    slots_of,
)

BEFORE = at(FIRST - 1)
"""The layer before the first one with proposals."""


def started(*own: object, **options: object) -> Node:
    """A node that was there before the first layer with proposals began."""
    return Node(own=own, now=BEFORE, **options)  # type: ignore[arg-type]


def ready(*own: object, **options: object) -> Node:
    """The same, with active set and proofs of the first epoch made in advance."""
    node = started(*own, **options)
    node.world.turn(now=at(FIRST, -60))
    node.prove()
    return node


def sent(node: Node) -> list[Proposal]:
    return [Proposal.codec.decode(one.data) for one in node.world.of(Send) if one.topic == "pp1"]


def missed(node: Node) -> list[str]:
    return [event.reason for event in node.events(ProposalNotMade)]


def test_who_has_slots_makes_a_proposal_that_the_own_handler_takes() -> None:
    node = ready(ALICE)
    assert not sent(node)
    node.world.tick(FIRST)
    (proposal,) = sent(node)
    ballot = proposal.inner.ballot
    assert ballot.smesher_id == ALICE.id and ballot.eligibility_proofs == eligibilities(ALICE, FIRST)
    data = ballot.inner.epoch_data
    assert data is not None and ballot.inner.ref_ballot == EMPTY_BALLOT_ID
    assert (data.beacon, data.eligibility_count) == (BEACON, slots_of(ALICE))
    assert data.active_set_hash == active_set_hash(ids_of())
    view = node.world.view()
    assert view.has(BALLOTS, ballot.id()) and [one.id for one in node.kept.of_layer(FIRST)] == [proposal.id()]
    assert view.get(SIGNED, Slot(ALICE.id, Kind.PROPOSAL, FIRST)) == Proposal.codec.encode(proposal)
    assert view.has(SIGNED, Slot(ALICE.id, Kind.BALLOT, FIRST))
    assert node.events(ProposalMade) == [ProposalMade(ALICE.id, FIRST, proposal.id())]
    assert not list(view.keys(OWED))  # it was sent


def test_all_layers_of_an_epoch_go_by_the_first_ballot() -> None:
    node = ready(ALICE, BOB)
    for layer in range(FIRST, FIRST + 4):
        node.world.tick(layer)
    made = [(one.inner.ballot.smesher_id, one.inner.ballot.inner.layer) for one in sent(node)]
    expected = [(one.id, layer) for one in (ALICE, BOB) for layer in layers_with_slots(one)]
    assert sorted(made) == sorted(expected)
    for smesher in (ALICE, BOB):
        own = [one.inner.ballot for one in sent(node) if one.inner.ballot.smesher_id == smesher.id]
        assert {one.inner.ref_ballot for one in own[1:]} == {own[0].id()}
        assert [one.inner.epoch_data is None for one in own] == [False] + [True] * (len(own) - 1)
        assert sum(len(one.eligibility_proofs) for one in own) == slots_of(smesher)
    assert all(verdict.is_accepted for verdict in node.verdicts()) and not missed(node)


def test_proofs_are_asked_for_a_few_at_a_time() -> None:
    node = started(ALICE, builder=replace(BUILDER, proofs_at_once=3))
    node.world.turn(now=at(FIRST, -60))
    asked = [one for one in node.world.of(Call) if isinstance(one.demand, ProveVrf)]
    assert len(asked) == 3 and node.engine.open_calls == 3
    node.prove()
    (known,) = node.events(SlotsKnown)
    assert known.slots == {layer: len(eligibilities(ALICE, layer)) for layer in layers_with_slots(ALICE)}


def test_a_beacon_that_comes_late_still_makes_a_proposal_of_its_layer() -> None:
    node = started(ALICE, has_beacon=False)
    node.world.tick(FIRST)
    assert missed(node) == ["beacon_missing"]
    node.agree_on_beacon(EPOCH)
    node.prove()
    (proposal,) = sent(node)
    assert proposal.inner.ballot.inner.layer == FIRST


def test_proofs_that_come_after_their_layer_make_nothing_of_it() -> None:
    node = started(ALICE)
    node.world.turn(now=at(FIRST, -60))
    node.world.tick(FIRST)
    node.world.now = Instant(at(FIRST + 1, 1))
    node.prove()
    assert not sent(node)
    node.world.tick(FIRST + 2)
    assert [one.inner.ballot.inner.layer for one in sent(node)] == [
        layer for layer in layers_with_slots(ALICE) if layer == FIRST + 2
    ]


def test_a_proof_that_fails_is_asked_for_again_in_the_next_layer() -> None:
    node = started(ALICE)
    node.world.turn(now=at(FIRST, -60))
    first = node.world.of(Call)[0]
    node.world.turn(node.world.returned(first, Failed("stopped")))
    assert missed(node) == ["no_proof"]
    node.world.tick(FIRST)
    node.prove()
    assert [one.inner.ballot.inner.layer for one in sent(node)] == [FIRST]


def test_transactions_are_as_many_as_the_slots_allow_the_best_first() -> None:
    node = ready(ALICE, builder=replace(BUILDER, transactions=1, gas_limit=1000))
    payers = [Address(bytes(4) + bytes((number,)) * 20) for number in range(1, 6)]
    best = []
    for number, payer in enumerate(payers):
        header = TxHeader(payer, Address(bytes(24)), 16, 0, LayerLimits(), 100, number + 1, 0)
        transaction = Transaction(RawTx.of(bytes((number,))), header)
        best.insert(0, transaction.raw.id)

        def add(rows: Rows, payer: Address = payer, transaction: Transaction = transaction) -> None:
            rows.put(ACCOUNTS, payer, Account(LayerId(0), payer, 0, 10**9))
            assert node.pool.add(rows, transaction, 0)

        node.write(add)
    node.world.tick(FIRST)
    (proposal,) = sent(node)
    count = len(eligibilities(ALICE, FIRST))
    assert count < len(payers) and sorted(proposal.inner.tx_ids) == sorted(best[:count])
    assert node.pool.waiting().keys() == set(payers[: len(payers) - count]), "those of a proposal are linked to it"


def test_without_votes_there_is_no_proposal() -> None:
    node = ready(ALICE)
    node.tortoise.state.epochs[EPOCH].beacon = None
    node.world.now = at(FIRST)
    assert node.sync(ballot_of(BOB, FIRST, first_opinion())).is_accepted
    node.world.tick(FIRST)
    assert missed(node) == ["not_drained"] and not sent(node)


def test_more_slots_than_can_be_proved_are_refused() -> None:
    node = ready(ALICE, builder=replace(BUILDER, max_slots=slots_of(ALICE) - 1))
    assert missed(node) == ["too_many_slots"]


# ---- what is not signed ----


def test_a_layer_that_is_learned_of_when_it_is_over_is_left_out() -> None:
    node = ready(ALICE)
    node.world.turn(Tick(FIRST, at(FIRST)), now=at(FIRST + 1, 1))
    assert not sent(node)
    node.world.turn(Tick(LayerId(FIRST + 1), at(FIRST + 1)))
    assert [one.inner.ballot.inner.layer for one in sent(node)] == [FIRST + 1]


def test_nothing_is_made_for_a_layer_that_began_before_the_node_was_synced() -> None:
    node = started(ALICE)
    node.world.turn(now=at(FIRST, -60))
    node.is_synced = False
    node.world.tick(FIRST)
    node.is_synced = True
    node.prove()
    assert not sent(node)
    node.world.tick(FIRST + 1)
    assert [one.inner.ballot.inner.layer for one in sent(node)] == [FIRST + 1]


def test_a_node_that_starts_within_a_layer_waits_for_the_next() -> None:
    node = Node(own=[ALICE], now=at(FIRST, 10))
    node.prove()
    assert not sent(node)
    node.world.tick(FIRST + 1)
    node.prove()
    assert [one.inner.ballot.inner.layer for one in sent(node)] == [FIRST + 1]


def test_the_same_layer_twice_is_signed_once() -> None:
    node = ready(ALICE)
    node.world.tick(FIRST)
    node.world.tick(FIRST)
    assert len(sent(node)) == 1


def test_a_ballot_that_sync_has_brought_is_not_contradicted() -> None:
    node = ready(ALICE)
    ballot = ballot_of(ALICE, FIRST, node.opinion(FIRST), ids=ids_of(EPOCH, SMESHERS[:3]))
    node.fetched_set(ids_of(EPOCH, SMESHERS[:3]))
    node.world.now = at(FIRST)
    assert node.sync(ballot).is_accepted  # of this identity, from before its stores were lost
    node.world.tick(FIRST)
    assert not sent(node)
    node.world.tick(FIRST + 1)
    node.prove()  # it has other slots than was thought
    (proposal,) = sent(node)
    assert proposal.inner.ballot.inner.ref_ballot == ballot.id()


def test_another_proposal_with_our_own_ballot_stops_the_identity() -> None:
    node = ready(ALICE)
    node.world.tick(FIRST)
    (own,) = sent(node)
    node.gossip(own)
    assert node.last == ("ignore", "known_proposal") and not node.world.of(StopIdentity)
    node.gossip(proposal_of(ALICE, own.inner.ballot, mesh_hash=Hash32(b"\1" * 32)))
    assert [one.identity for one in node.world.of(StopIdentity)] == [ALICE.id]


# ---- restarts ----


def test_what_was_signed_and_not_sent_is_sent_when_the_node_starts_again() -> None:
    node = ready(ALICE, sends=False)
    node.world.tick(FIRST)
    (signed,) = sent(node)
    again = Node(own=[ALICE], backends=node.backends, now=at(FIRST, 30))
    assert sent(again) == [signed]
    again.world.tick(FIRST)
    again.prove()
    assert sent(again) == [signed]
    late = Node(own=[ALICE], backends=node.backends, now=at(FIRST + 1, 1))
    assert sent(late) == [] and not list(late.world.view().keys(OWED))


def test_after_a_restart_the_epoch_goes_on_by_its_first_ballot_and_its_active_set() -> None:
    node = ready(ALICE)
    node.world.tick(FIRST)
    (first,) = sent(node)
    again = Node(own=[ALICE, BOB], backends=node.backends, now=at(FIRST, 30))
    again.recover(first.inner.ballot)
    for layer in (FIRST + 1, FIRST + 2, FIRST + 3):
        again.world.tick(layer)
        again.prove()
    own = [one.inner.ballot for one in sent(again) if one.inner.ballot.smesher_id == ALICE.id]
    assert [one.inner.layer for one in own] == [layer for layer in layers_with_slots(ALICE) if layer > FIRST]
    assert {one.inner.ref_ballot for one in own} == {first.inner.ballot.id()}
    of_bob = next(one.inner.ballot for one in sent(again) if one.inner.ballot.smesher_id == BOB.id)
    assert of_bob.inner.epoch_data is not None and first.inner.ballot.inner.epoch_data is not None
    assert of_bob.inner.epoch_data.active_set_hash == first.inner.ballot.inner.epoch_data.active_set_hash


def test_after_a_restart_the_proofs_are_here_when_the_next_layer_begins() -> None:
    node = ready(ALICE)
    node.world.tick(FIRST)
    again = Node(own=[ALICE], backends=node.backends, now=at(FIRST, 30))
    again.prove()
    assert len(again.events(SlotsKnown)) == 1 and not sent(again)


def test_a_key_that_is_added_within_an_epoch_joins_with_the_next_layer_and_one_that_is_gone_leaves() -> None:
    node = ready(ALICE)
    node.world.tick(FIRST)
    node.keys.keys.append(CAROL.key)
    node.prove()
    node.world.tick(FIRST + 1)
    node.prove()
    node.keys.keys.remove(ALICE.key)
    node.world.tick(FIRST + 2)
    node.world.tick(FIRST + 3)
    for smesher, layers in ((CAROL, range(FIRST + 1, FIRST + 4)), (ALICE, range(FIRST, FIRST + 2))):
        found = [one.inner.ballot.inner.layer for one in sent(node) if one.inner.ballot.smesher_id == smesher.id]
        assert found == [layer for layer in layers_with_slots(smesher) if layer in layers] != []
    assert layers_with_slots(ALICE)[-1] >= FIRST + 2, "she would have gone on"


@pytest.mark.parametrize("lost", ["state", "own"])
def test_one_store_is_enough_not_to_sign_for_a_layer_again(lost: str) -> None:
    node = ready(ALICE)
    node.world.tick(FIRST)
    (signed,) = sent(node)
    state, own = node.backends
    backends = (MemoryBackend(), own) if lost == "state" else (state, MemoryBackend())
    again = Node(own=[ALICE], backends=backends, now=BEFORE, is_empty=lost == "state")
    if lost == "own":
        again.recover(signed.inner.ballot)
    again.world.turn(now=at(FIRST, -60))
    again.prove()
    again.world.tick(FIRST)
    assert again.events(SlotsKnown) and not again.events(ProposalMade) and not sent(again)
    again.world.tick(FIRST + 1)
    assert [one.inner.ballot.inner.layer for one in sent(again)] == [FIRST + 1]


def test_of_a_key_that_is_gone_nothing_is_remembered() -> None:
    node = ready(ALICE)
    node.keys.keys.clear()
    node.world.tick(FIRST)
    node.keys.keys.append(ALICE.key)
    node.world.tick(FIRST + 1)
    node.prove()
    assert len(node.events(SlotsKnown)) == 2 and len(sent(node)) == 1


def test_of_several_own_activations_the_first_that_came_counts() -> None:
    node = Node(known=[BOB])
    ids = [AtxId(bytes((number,)) * 32) for number in (1, 2, 3)]
    for id, received in zip(ids, (30, 10, 20), strict=True):
        stored = ALICE.stored(EPOCH, received)
        node.write(lambda rows, id=id, stored=stored: put_atx(rows, id, stored, None))
        node.columns.add(EPOCH, stored.row(id))
    view = node.stores.view()
    found = own_atx(view, node.columns, ALICE.id, EPOCH)
    assert found is not None and found.id == ids[1]
    assert own_atx(view, node.columns, ALICE.id, EpochId(EPOCH + 1)) is None


# ---- active sets over time ----


def test_an_active_set_is_made_before_its_epoch_and_tried_again_until_then() -> None:
    node = started(ALICE, known=[])
    node.world.turn(now=at(FIRST, -60))
    assert not node.events(ActiveSetMade) and node.engine.next_due() == at(FIRST, -50)
    for smesher in SMESHERS:
        node.add_atx(smesher)
    node.world.turn(now=at(FIRST, -50))
    assert node.events(ActiveSetMade) == [ActiveSetMade(EPOCH, 2000, 4)]
    node.prove()
    node.world.tick(FIRST)
    assert len(sent(node)) == 1
    assert node.engine.next_due() == at(FIRST + 4, -60)


def test_after_so_many_tries_it_is_made_in_the_first_layer_of_its_epoch() -> None:
    node = started(ALICE, known=[])
    for second in (-60, -50, -40):
        node.world.turn(now=at(FIRST, second))
    assert node.engine.next_due() is None
    for smesher in SMESHERS:
        node.add_atx(smesher)
    node.world.tick(FIRST)
    node.prove()
    assert len(sent(node)) == 1 and [event.epoch for event in node.events(ActiveSetMade)] == [EPOCH]


@pytest.mark.parametrize("changes", [{"tries": 0}, {"retry_interval": 0}])
def test_without_tries_nothing_is_made_in_advance(changes: dict[str, int]) -> None:
    node = started(ALICE, builder=replace(BUILDER, **changes))
    assert node.engine.next_due() is None
    node.world.tick(FIRST)
    node.prove()
    assert len(sent(node)) == 1


def test_a_node_that_was_not_there_takes_the_set_of_no_ballot_before_a_block_is_applied() -> None:
    node = started(ALICE, received=at(FIRST, -3))
    node.world.turn(now=at(FIRST, -60))
    node.world.tick(FIRST)
    node.world.tick(FIRST + 1)
    assert missed(node) == ["not_available_yet", "no_applied_block"] and not sent(node)


def test_the_set_of_an_epoch_is_made_once() -> None:
    node = ready(ALICE)
    before = node.world.view().get(OWN_ACTIVE_SETS, EPOCH)
    node.columns.mark_malicious(BOB.id)
    for layer in range(FIRST, FIRST + 4):
        node.world.tick(layer)
    assert node.world.view().get(OWN_ACTIVE_SETS, EPOCH) == before and before is not None
    assert node.world.view().has(ACTIVE_SETS, before.hash)


# ---- what a proposal says of the mesh ----


def test_the_mesh_hash_is_given_where_enough_of_the_mesh_is_settled() -> None:
    node = Node()
    genesis, layer = TIME.effective_genesis, LayerId(FIRST + 7)
    with_hash = Hash32(b"\x77" * 32)

    def found(verified: int, *, without: int = 0) -> Hash32:
        view = node.stores.view()
        rows = Rows(view)
        rows.put(MESH_HASHES, LayerId(layer - 1), with_hash)
        for number in range(layer - 4, layer):
            if number != without:
                put_hare_output(rows, LayerId(number), EMPTY_BLOCK_ID, is_valid=True)
        return mesh_hash(rows, layer, LayerId(verified), genesis, 4)

    assert found(layer - 5) == with_hash
    assert found(layer - 6) == NO_MESH_HASH  # a layer outside of hdist is not verified
    for number in range(layer - 4, layer):
        assert found(layer - 5, without=number) == NO_MESH_HASH  # hare may be silent, but is not known to be
    view = node.stores.view()
    assert mesh_hash(view, LayerId(genesis + 1), genesis, genesis, 4) == GENESIS_MESH_HASH
