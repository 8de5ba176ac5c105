"""One node alone: from an empty disk to activations, beacons, proposals, and layers that are agreed on, certified,
applied and verified."""

from __future__ import annotations

import random
from collections import Counter

from node.activation.tables import ATXS
from node.beacon.machine import BEACONS, BeaconFailed
from node.blocks.machine import BlockNotMade, LayerNotApplied
from node.certificates.tables import CERTIFICATES
from node.ledger import state
from node.ledger.tables import LAYERS
from node.mesh.tables import BALLOTS, BLOCKS
from node.proposals.builder import ProposalNotMade
from node.store.own import SIGNED, Kind
from protocol.types.ids import EMPTY_BLOCK_ID, EpochId, LayerId

from .alone import COINBASE, EPOCH, Alone

FIRST = 2 * EPOCH
"""The first layer with proposals."""
BUSY = 2
"""Layers at the start of an epoch: a beacon is agreed on, then a PoET takes registrations."""


def blocks(node: Alone) -> dict[int, bool]:
    """The applied layers, and whether each has a block."""
    return {layer: row.block != EMPTY_BLOCK_ID for layer, row in node.view().scan(LAYERS)}


def test_it_makes_every_layer_of_its_network() -> None:
    node = Alone()
    last = 5 * EPOCH
    node.run(last)
    view, rooms = node.view(), node.node.rooms
    # an activation of each identity in every epoch, from the first PoET round on
    made = Counter((row.smesher, row.publish_epoch) for _, row in view.scan(ATXS))
    assert made == Counter((key.identity, epoch) for key in node.keys for epoch in range(1, 5))
    # the first beacon is the network's, all others were agreed on
    beacons = dict(view.scan(BEACONS))
    assert list(beacons) == [2, 3, 4, 5] and len(set(beacons.values())) == 4 and not node.of(BeaconFailed)
    # in the very first layer nobody knows yet who is active; from then on each has a block, certified and verified
    found = blocks(node)
    assert list(found) == list(range(FIRST, last))
    assert [layer for layer, has_block in found.items() if not has_block] == [FIRST]
    assert rooms.tortoise.verified >= last - 4 and rooms.mesh.processed == rooms.mesh.in_state == last - 1
    certified = {layer for (layer, _), row in view.scan(CERTIFICATES) if row.certificate is not None}
    assert certified == set(range(FIRST, last))
    for _, block in view.scan(BLOCKS):
        assert 1 <= len(block.rewards) <= 2
    assert not (node.of(BlockNotMade) or node.of(LayerNotApplied) or node.of(ProposalNotMade) or node.stopped)
    # all that was paid was paid to the coinbase of our activations
    account = state.account(view, COINBASE)
    assert account is not None and account.balance == sum(one.total_reward for one in state.rewards(view)) > 0
    assert {ballot.smesher_id for _, ballot in view.scan(BALLOTS)} == {key.identity for key in node.keys}


def test_killed_again_and_again_it_contradicts_itself_nowhere_and_goes_on() -> None:
    node, dice = Alone(), random.Random(5)
    # while a beacon is agreed on and while a PoET registers, one node alone would be missed: it is both networks
    kills = sorted(EPOCH * dice.randrange(5) + dice.uniform(BUSY, EPOCH) for _ in range(16))
    for at in kills:
        node.run(at)
        node.begin()
    last = 6 * EPOCH
    node.run(last)
    view = node.view()
    assert not node.stopped
    signed = Counter(slot.kind for slot in dict(view.scan(SIGNED)))
    assert signed[Kind.ATX] == 2 * 5 and signed[Kind.BALLOT] > EPOCH and signed[Kind.HARE] > EPOCH
    # what is in the mesh is what was signed, one ballot of an identity in a layer
    ballots = Counter((ballot.inner.layer, ballot.smesher_id) for _, ballot in view.scan(BALLOTS))
    assert set(ballots.values()) == {1}
    made = Counter((row.smesher, row.publish_epoch) for _, row in view.scan(ATXS))
    assert made == Counter((key.identity, epoch) for key in node.keys for epoch in range(1, 6))
    found = blocks(node)
    quiet = range(int(kills[-1]) + EPOCH, last)
    assert list(found) == list(range(FIRST, last)) and all(found[layer] for layer in quiet)
    assert all(view.has(BEACONS, EpochId(epoch)) for epoch in range(2, 7))
    assert node.node.rooms.tortoise.verified >= LayerId(last - 4)
