"""The store of proposals: bounds, and what is let go."""

from __future__ import annotations

from dataclasses import replace

from node.proposals.parameters import StoreBounds
from node.proposals.store import KnownProposal, ProposalStore
from protocol.types.ids import BallotId, Beacon, Hash32, LayerId
from tests.node.proposals.network import ALICE, BOB, FIRST, Smesher, ballot_of, first_opinion, proposal_of

BALLOT = ballot_of(ALICE, FIRST, first_opinion())


def known(number: int, layer: int = FIRST, smesher: Smesher = ALICE, size: int = 100) -> KnownProposal:
    ballot = replace(BALLOT, smesher_id=smesher.id, inner=replace(BALLOT.inner, layer=LayerId(layer)))
    proposal = proposal_of(smesher, ballot, mesh_hash=Hash32(bytes((number,)) * 32))
    return KnownProposal(proposal.id(), BallotId(bytes(20)), proposal, Beacon(bytes(4)), False, size)


def added(store: ProposalStore, one: KnownProposal, *, is_wanted: bool = False) -> str | None:
    refusal = store.refusal(one.layer, one.smesher, one.size, is_wanted=is_wanted)
    if refusal is None:
        store.add(one)
    return refusal


def test_proposals_are_read_by_layer_and_by_id() -> None:
    store = ProposalStore(StoreBounds(layers=2))
    ones = [known(number) for number in range(3)]
    for count, one in enumerate(ones, 1):
        assert added(store, one) is None
        store.add(one)  # the same one again changes nothing
        assert [one.id for one in store.of_layer(FIRST)] == sorted(one.id for one in ones[:count])
    assert store.get(FIRST, ones[1].id) is ones[1] and store.get(LayerId(FIRST + 1), ones[1].id) is None
    assert store.by_id(ones[2].id) is ones[2] and store.by_id(known(9).id) is None
    assert not store.of_layer(LayerId(FIRST + 1))


def test_what_is_there_twice_is_counted_once() -> None:
    store = ProposalStore(StoreBounds(layers=2, bytes=300))
    for one in (known(0), known(0), known(1)):
        store.add(one)
    assert added(store, known(2, size=101)) == "too_many_bytes"
    assert added(store, known(2, size=100)) is None


def test_bounds_hold_for_gossip_and_wider_ones_for_what_is_wanted() -> None:
    store = ProposalStore(StoreBounds(layers=2, of_layer=3, of_smesher=2, bytes=1000))
    assert [added(store, known(number)) for number in range(3)] == [None, None, "too_many_of_smesher"]
    assert added(store, known(0, smesher=BOB)) is None
    assert added(store, known(1, smesher=BOB)) == "too_many_of_layer"
    assert added(store, known(1, smesher=BOB), is_wanted=True) is None
    assert added(store, known(0, FIRST + 1, size=601)) == "too_many_bytes"
    assert added(store, known(0, FIRST + 1, size=601), is_wanted=True) is None
    assert added(store, known(1, FIRST + 1, size=1000), is_wanted=True) == "too_many_bytes"


def test_layers_that_are_over_are_let_go_and_not_taken_up_again() -> None:
    store = ProposalStore(StoreBounds(layers=2, of_smesher=2, bytes=400))
    for layer in (FIRST, FIRST + 1):
        for number in range(2):
            assert added(store, known(number, layer)) is None
    touches = store.touches
    store.on_layer(LayerId(FIRST + 1))
    assert [len(store.of_layer(LayerId(layer))) for layer in (FIRST, FIRST + 1)] == [2, 2]
    assert added(store, known(0, FIRST + 2, size=1)) == "too_many_bytes"
    store.on_layer(LayerId(FIRST + 2))
    assert [len(store.of_layer(LayerId(layer))) for layer in (FIRST, FIRST + 1)] == [0, 2] and store.touches > touches
    for size, refusal in ((201, "too_many_bytes"), (200, None)):
        assert store.refusal(LayerId(FIRST + 2), ALICE.id, size, is_wanted=False) == refusal
    assert added(store, known(5)) == "evicted" and added(store, known(5), is_wanted=True) == "evicted"
    store.on_layer(FIRST)  # a clock that goes back takes nothing back
    assert added(store, known(5)) == "evicted"
    store.on_layer(LayerId(FIRST + 9))
    assert not store.of_layer(LayerId(FIRST + 1))
    assert store.refusal(LayerId(FIRST + 9), ALICE.id, 400, is_wanted=False) is None
