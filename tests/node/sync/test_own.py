"""Own activations and ballots that sync brings: they are noted as signed, or show that somebody else has the key."""

from __future__ import annotations

import pytest

from node.contract.effects import StopIdentity
from node.contract.messages import Message, Origin, PeerId
from node.engine.edges import Output
from node.mesh.tables import BALLOTS
from node.store.own import SIGNED, Kind, Slot
from node.store.view import Rows
from protocol.numbers.durations import MILLISECOND, MINUTE
from protocol.types.ballots import Ballot
from protocol.types.fetch import Hint
from tests.node.contract.world import at
from tests.node.fetch.network import Network

from .chain import KEYS, Chain, Key, ballot
from .world import Node

CURRENT = 30
A, B = PeerId(b"a"), PeerId(b"b")
ME = KEYS[0]


def slots(node: Node, kind: Kind, identity: bytes = ME.identity) -> dict[int, bytes]:
    """What is noted as signed, by epoch or layer."""
    found = node.view().scan(SIGNED)
    return {slot.number: data for slot, data in found if slot.kind is kind and slot.identity == identity}


def stopped(node: Node) -> list[Output]:
    return [*node.host.of(StopIdentity)]


def caught_up(own: tuple[Key, ...] = (ME,)) -> tuple[Node, Chain]:
    """A node without a memory, whose identities have taken part for long."""
    chain = Chain(CURRENT)
    network = Network(at(CURRENT, 10))
    Node.with_chain(network, A, chain)
    node = Node(network, B, own=own)
    network.run_for(3 * MINUTE)
    assert node.has_all_of(chain) and node.sync.status.is_synced
    return node, chain


def receive(node: Node, one: Ballot) -> None:
    """A peer sends a ballot that it was asked for."""
    node.host.turn(Message(Hint.BALLOT, Ballot.codec.encode(one), Origin.RESTORED, node.network.now))
    node.network.run_for(50 * MILLISECOND)


def test_what_an_earlier_life_has_signed_is_noted_and_stops_nobody() -> None:
    node, chain = caught_up()
    atxs = {one.atx.publish_epoch: one.data for one in chain.atxs if one.atx.smesher_id == ME.identity}
    ballots = {one.inner.layer: Ballot.codec.encode(one) for one in chain.ballots if one.smesher_id == ME.identity}
    found = slots(node, Kind.ATX)
    assert found == {epoch: atxs[epoch] for epoch in found} and set(found) >= set(range(1, CURRENT // 4))
    assert slots(node, Kind.BALLOT) == ballots
    assert {slot.identity for slot in node.view().keys(SIGNED)} == {ME.identity}  # and of nobody else
    assert not stopped(node)


def test_the_same_objects_again_change_nothing() -> None:
    node, _ = caught_up()
    before = dict(node.view().scan(SIGNED))
    again = node.restarted()
    again.network.run_for(2 * MINUTE)
    assert before.items() <= dict(again.view().scan(SIGNED)).items() and not stopped(again)


def test_another_ballot_for_a_slot_that_is_taken_stops_the_identity() -> None:
    node, chain = caught_up()
    atx = next(one.inner.atx_id for one in chain.ballots if one.smesher_id == ME.identity and one.inner.layer == 20)
    before = slots(node, Kind.BALLOT)
    receive(node, ballot(ME, 20, atx, salt=5))
    (effect,) = stopped(node)
    assert isinstance(effect, StopIdentity) and effect.identity == ME.identity and "layer 20" in effect.sentence
    assert slots(node, Kind.BALLOT) == before


def test_a_ballot_of_a_layer_that_began_since_we_are_synced_is_somebody_elses() -> None:
    node, chain = caught_up()
    atx = chain.ballots[-3].inner.atx_id
    node.tick(CURRENT + 1)
    receive(node, ballot(ME, CURRENT + 1, atx))
    (effect,) = stopped(node)
    assert isinstance(effect, StopIdentity) and effect.identity == ME.identity
    # whoever else signed it: nothing more is signed for this slot
    assert CURRENT + 1 in slots(node, Kind.BALLOT)


def test_the_ballot_of_an_own_proposal_is_ours() -> None:
    node, chain = caught_up()
    node.tick(CURRENT + 1)
    rows = Rows(node.view())
    rows.put(SIGNED, Slot(ME.identity, Kind.PROPOSAL, CURRENT + 1), b"the proposal")
    node.host.stores.write(rows)
    receive(node, ballot(ME, CURRENT + 1, chain.ballots[-3].inner.atx_id))
    assert not stopped(node) and CURRENT + 1 in slots(node, Kind.BALLOT)


def test_of_a_key_that_is_added_what_is_stored_is_noted_before_its_first_layer() -> None:
    node, chain = caught_up(own=())
    assert not slots(node, Kind.ATX)
    node.keys.keys.append(ME)
    node.tick(CURRENT + 1)
    assert set(slots(node, Kind.ATX)) >= set(range(1, CURRENT // 4)) and not stopped(node)
    # and what comes from now on, too
    receive(node, ballot(ME, CURRENT - 3, chain.ballots[-3].inner.atx_id, salt=1))
    assert CURRENT - 3 in slots(node, Kind.BALLOT)


def test_killed_between_the_stores_the_slot_is_there_and_the_object_is_not() -> None:
    node, chain = caught_up()
    one = ballot(ME, CURRENT, chain.ballots[-3].inner.atx_id)

    def killed(rows: Rows, sync: bool = False) -> None:
        raise KeyboardInterrupt

    node.host.stores.state.write = killed  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        receive(node, one)
    again = node.restarted()
    assert slots(again, Kind.BALLOT)[CURRENT] == Ballot.codec.encode(one) and not again.view().has(BALLOTS, one.id())
    receive(again, one)
    assert again.view().has(BALLOTS, one.id()) and not stopped(again)
