"""A node catches up with a network: from nothing, from liars, after being killed at any time."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace
from unittest import mock

import pytest

from node.certificates.tables import CERTIFICATES
from node.contract.demands import Result
from node.contract.messages import PeerId
from node.fetch import protocols
from node.malfeasance.tables import PROOFS
from node.mesh.tables import BALLOTS
from node.sync.machine import AtxsSynced, Progress
from node.sync.opinions import CertificateAdopted, ForkFollowed
from node.sync.states import SyncState, SyncStateChanged
from protocol.codec.declare import c32
from protocol.numbers.durations import MILLISECOND, MINUTE, SECOND
from protocol.types.ballots import Ballot
from protocol.types.certificates import Certificate
from protocol.types.fetch import (
    FetchEpochData,
    Hint,
    LayerData,
    LayerOpinion,
    MaliciousIDs,
    OpinionRequest,
    RequestBatch,
    ResponseBatch,
    ResponseMessage,
)
from protocol.types.ids import (
    EMPTY_BLOCK_ID,
    AtxId,
    BallotId,
    BlockId,
    EpochId,
    Hash32,
    LayerId,
    NodeId,
    as_hash32,
)
from tests.node.contract.world import at
from tests.node.fetch.network import Network, Puppet

from .chain import CHEAT, FIRST, Chain, Key, ballot
from .world import QUICK, Node

CURRENT = 30
A, B, C = PeerId(b"a"), PeerId(b"b"), PeerId(b"c")


def test_a_node_that_has_nothing_gets_everything_and_is_synced() -> None:
    chain = Chain(CURRENT)
    network = Network(at(CURRENT, 10))
    source = Node.with_chain(network, A, chain)
    assert source.has_all_of(chain) and source.view().has(PROOFS, CHEAT.identity)
    node = Node(network, B)
    network.run_for(3 * MINUTE)
    assert node.has_all_of(chain), node.sync.progress
    assert [node.hash_of(layer) for layer in range(FIRST - 1, CURRENT)] == [
        source.hash_of(layer) for layer in range(FIRST - 1, CURRENT)
    ]
    assert node.sync.progress.state is SyncState.SYNCED
    assert node.host.blamed() == [] == source.host.blamed()
    assert node.fetching.wanted == node.fetching.open_requests == 0
    changes = [(one.before, one.after) for one in node.events(SyncStateChanged)]
    assert changes == [(SyncState.NOT_SYNCED, SyncState.GOSSIP), (SyncState.GOSSIP, SyncState.SYNCED)]
    assert node.view().has(PROOFS, CHEAT.identity)
    assert node.events(AtxsSynced) == [AtxsSynced(EpochId(CURRENT // 4))]


def test_killed_again_and_again_it_goes_on_where_it_stopped() -> None:
    chain = Chain(CURRENT)
    network = Network(at(CURRENT, 10))
    Node.with_chain(network, A, chain)
    node = Node(network, B)
    done: list[int] = []
    for kill in range(20):
        network.run_for(6 * SECOND + 130 * MILLISECOND * (kill + 1))
        node = node.restarted()
        done.append(node.sync.progress.last)
    assert done == sorted(done) and done[-2] >= FIRST, done
    network.run_for(2 * MINUTE)
    assert node.has_all_of(chain) and node.sync.progress.state is SyncState.SYNCED
    objects = Counter(
        one.hash
        for source, request in network.requests
        if source == B and request.protocol == protocols.OBJECTS
        for one in RequestBatch.codec.decode(request.data).requests
    )
    assert max(objects.values()) <= 3 and objects.total() < 1.5 * len(objects)
    lists = [request.data for source, request in network.requests if source == B and request.protocol == "ax/1"]
    # an epoch that is complete is not asked for again, but for the one that runs
    past = [lists.count(protocols.epoch_request(EpochId(epoch))) for epoch in range(1, CURRENT // 4 - 1)]
    assert max(past) <= 3, past


def test_a_layer_from_a_killed_run_is_asked_for_as_a_whole() -> None:
    """A ballot of a layer says nothing of the others: what was synced is a row of its own."""
    chain = Chain(CURRENT)
    network = Network(at(CURRENT, 10))
    source = Node.with_chain(network, A, chain)
    last = [one for one in chain.ballots if one.inner.layer == CURRENT - 1]
    node = Node(network, B)
    network.run_for(3 * SECOND)
    # a ballot of the newest layer is here before all others, as gossip may bring it
    for message in chain.messages(network.now):
        if message.channel in (Hint.POET, Hint.ATX) or message.data == Ballot.codec.encode(last[0]):
            node.host.turn(message)
            network.run_for(10 * MILLISECOND)
    assert node.mesh.latest == CURRENT - 1
    node = node.restarted()
    network.run_for(2 * MINUTE)
    assert node.has_all_of(chain) and source.hash_of(CURRENT - 1) == node.hash_of(CURRENT - 1)


def test_a_peer_that_dies_is_followed_by_another() -> None:
    chain = Chain(CURRENT)
    network = Network(at(CURRENT, 10))
    first, second = Node.with_chain(network, A, chain), Node.with_chain(network, C, chain)
    node = Node(network, B)
    network.run_for(6500 * MILLISECOND)
    first.host.stop()
    assert not node.has_all_of(chain)
    network.run_for(4 * MINUTE)
    assert node.has_all_of(chain) and node.sync.progress.state is SyncState.SYNCED
    assert second.host.is_up and node.host.blamed() == []


def test_a_silent_peer_delays_and_does_not_prevent() -> None:
    chain = Chain(CURRENT)
    network = Network(at(CURRENT, 10))
    Node.with_chain(network, A, chain)
    silent = Puppet(network, C, lambda protocol, data: None)
    node = Node(network, B)
    network.run_for(20 * MINUTE)
    assert node.has_all_of(chain) and silent.asked
    assert node.sync.progress.state is SyncState.SYNCED


class Liar:
    """Answers everything, and nothing truly."""

    def __init__(self) -> None:
        self.dice = random.Random(3)
        self.forged: dict[int, Ballot] = {}

    def forge(self, layer: int) -> Ballot:
        """Well signed, by nobody, for an activation that there is not."""
        return self.forged.setdefault(layer, ballot(Key(50), layer, AtxId(b"\x66" * 32)))

    def answer(self, protocol: str, data: bytes) -> Result:
        fakes = [self.dice.randbytes(32) for _ in range(5)]
        match protocol:
            case protocols.EPOCH_ATXS:
                return FetchEpochData.codec.encode(FetchEpochData([AtxId(one) for one in fakes]))
            case protocols.MALICIOUS_IDS:
                return MaliciousIDs.codec.encode(MaliciousIDs([NodeId(one) for one in fakes]))
            case protocols.LAYER_BALLOTS:
                layer = c32.decode(data)
                ids = [BallotId(one[:20]) for one in fakes[:3]] + [self.forge(layer).id()]
                return LayerData.codec.encode(LayerData(ids))
            case protocols.OPINIONS if OpinionRequest.codec.decode(data).block is None:
                return LayerOpinion.codec.encode(LayerOpinion(Hash32(fakes[0]), BlockId(fakes[1][:20])))
            case protocols.OPINIONS:
                block = OpinionRequest.codec.decode(data).block
                assert block is not None
                return Certificate.codec.encode(Certificate(block, ()))
            case protocols.MESH_HASHES:
                return protocols.MESH_HASH_LIST.encode([Hash32(one) for one in fakes])
        batch = RequestBatch.codec.decode(data)
        forged = {as_hash32(one.id()): Ballot.codec.encode(one) for one in self.forged.values()}
        responses = [ResponseMessage(one.hash, forged.get(one.hash, fakes[0] * 20)) for one in batch.requests]
        return ResponseBatch.codec.encode(ResponseBatch(batch.id, responses))


def test_what_a_lying_peer_says_changes_nothing_and_it_is_blamed() -> None:
    chain = Chain(CURRENT)
    network = Network(at(CURRENT, 10))
    source = Node.with_chain(network, A, chain)
    liar = Puppet(network, C, Liar().answer)
    node = Node(network, B)
    network.run_for(20 * MINUTE)
    assert node.has_all_of(chain), node.sync.progress
    assert node.sync.progress.state is SyncState.SYNCED and node.fetching.wanted <= 5  # of its newest list
    assert node.hash_of(CURRENT - 1) == source.hash_of(CURRENT - 1)
    assert liar.asked
    blamed = node.host.blamed()
    assert {peer for peer, _ in blamed} == {C}
    assert {"wrong_hash", "malformed", "unknown_ids"} & {reason for _, reason in blamed}
    assert not [key for key in node.view().keys(BALLOTS) if key not in {one.id() for one in chain.ballots}]


def test_without_peers_nothing_is_synced_and_it_says_why() -> None:
    network = Network(at(CURRENT, 10))
    node = Node(network, B)
    network.run_for(MINUTE)
    assert node.sync.progress == Progress(SyncState.NOT_SYNCED, False, LayerId(FIRST - 1), "no_peers")
    assert node.sync.open_demands == 0


def test_a_node_left_alone_falls_behind_and_catches_up_again() -> None:
    chain, longer = Chain(CURRENT), Chain(CURRENT + 6)
    network = Network(at(CURRENT, 10))
    source = Node.with_chain(network, A, chain)
    node = Node(network, B)
    network.run_for(2 * MINUTE)
    assert node.sync.status.is_synced and node.sync.status.may_sign(at(CURRENT + 1))
    source.host.stop()
    for layer in range(CURRENT + 1, CURRENT + 7):
        node.tick(layer)
    network.run_for(10 * SECOND)
    assert node.sync.progress.state is SyncState.NOT_SYNCED and node.sync.progress.stopped_by == "no_peers"
    assert not node.sync.status.may_sign(at(CURRENT + 6))
    with mock.patch.object(network, "peers", return_value=[]):
        Node.with_chain(network, C, longer)  # seen by nobody before it has it all
    network.run_for(2 * MINUTE)
    assert node.has_all_of(longer) and node.sync.status.is_synced
    # nothing is signed for what began while it was away
    assert not node.sync.status.may_sign(at(CURRENT + 6)) and node.sync.status.may_sign(at(CURRENT + 7))


@pytest.mark.parametrize("share", (40, 48, 56))
def test_a_node_with_short_layers_is_synced(share: int) -> None:
    """Whatever the phase of its runs in the layers, whose begin makes the state a layer old for a moment."""
    layer = at(2) - at(1)
    parameters = replace(QUICK, interval=layer * share // 100, gossip_duration=layer)
    network = Network(at(CURRENT, 10))
    source = Node.with_chain(network, A, Chain(CURRENT))
    node = Node(network, B, parameters)
    for number in range(CURRENT + 1, CURRENT + 9):
        for one in (source, node):
            one.tick(number)
    assert node.sync.status.is_synced


def test_certificates_of_recent_layers_are_adopted_and_their_blocks_got() -> None:
    chain = Chain(CURRENT)
    network = Network(at(CURRENT, 10))
    Node.with_chain(network, A, chain)
    node = Node(network, B)
    network.run_for(MINUTE)
    adopted = {event.layer: event.block for event in node.events(CertificateAdopted)}  # type: ignore[attr-defined]
    # a layer whose certificate is too old follows from votes
    assert adopted == {layer: chain.block_of(layer) for layer in (CURRENT - 2, CURRENT - 1)}
    assert dict(node.tortoise.told) == adopted
    for layer, one in adopted.items():
        row = node.view().get(CERTIFICATES, (layer, one))
        assert row is not None and row.certificate == chain.certificates[layer] and row.is_valid


def test_layers_of_which_hare_is_in_charge_are_left_alone() -> None:
    chain = Chain(CURRENT)
    network = Network(at(CURRENT, 10))
    Node.with_chain(network, A, chain)
    node = Node(network, B)
    node.patrol.set_in_charge(LayerId(CURRENT - 1))
    network.run_for(2 * MINUTE)
    assert node.sync.progress.last == CURRENT - 1 and node.mesh.processed == CURRENT - 2
    assert node.sync.progress.state is SyncState.NOT_SYNCED
    node.patrol.complete(LayerId(CURRENT - 1))
    network.run_for(MINUTE)
    assert node.mesh.processed == CURRENT - 1 and node.sync.status.is_synced


def test_missing_ballots_of_a_layer_are_found_by_the_hash_of_the_mesh_and_got() -> None:
    chain = Chain(CURRENT)
    lost = [one for one in chain.ballots if one.inner.layer in (17, 18)]
    network = Network(at(CURRENT, 10))
    poor = Chain(CURRENT)
    poor.ballots = [one for one in chain.ballots if one not in lost]
    first = Node.with_chain(network, A, poor)
    node = Node(network, B)
    network.run_for(2 * MINUTE)
    assert node.sync.status.is_synced and node.in_state(17) == EMPTY_BLOCK_ID
    first.host.stop()
    before = node.hash_of(CURRENT - 1)
    source = Node.with_chain(network, C, chain)
    assert before != source.hash_of(CURRENT - 1)
    network.run_for(2 * MINUTE)
    (followed,) = node.events(ForkFollowed)
    assert isinstance(followed, ForkFollowed) and (followed.peer, followed.agreed) == (C, 15)
    assert node.has_all_of(chain)
    assert [node.hash_of(layer) for layer in range(FIRST, CURRENT)] == [
        source.hash_of(layer) for layer in range(FIRST, CURRENT)
    ]
    asked = [one for source_name, one in network.requests if source_name == B and one.protocol == "mh/1"]
    assert len(asked) <= 2


def test_at_genesis_a_node_is_synced_at_once_and_signs_nothing_that_began_before() -> None:
    network = Network(at(3, 100))
    node = Node(network, B)
    assert node.sync.status.is_synced and not node.sync.status.may_sign(at(3)) and node.sync.status.may_sign(at(4))
    assert node.sync.status.is_atx_synced  # there are none in epoch 0
    later = Node(Network(at(5)), C)
    assert later.sync.status.is_synced and not later.sync.status.is_atx_synced
