"""Rules of the tortoise where they turn: one unit of weight, one layer, one tick more or less."""

from __future__ import annotations

from dataclasses import replace

from node.tortoise.full import Full
from node.tortoise.state import BallotInfo
from node.tortoise.thresholds import crosses, global_threshold
from node.tortoise.verifying import Verifying
from node.tortoise.votes import AGAINST, NEUTRAL, SUPPORT, Block
from protocol.types.ballots import Vote
from protocol.types.ids import BlockId, LayerId
from tests.node.tortoise.network import HEIGHT, Network, parameters


def network(layers: int = 8) -> Network:
    found = Network(parameters(window=100))
    for _ in range(layers):
        found.step()
    return found


def a_ballot(of: Network) -> tuple[BallotInfo, Block]:
    """A ballot of the newest layer, and the block of the layer before, which it votes for."""
    ballot, block = of.tortoise.state.layer(of.layer).ballots[0], of.tortoise.state.layer(of.layer - 1).blocks[0]
    assert ballot.votes is not None and ballot.votes.supported == (block,)
    return ballot, block


def test_a_margin_decides_beyond_the_threshold_and_not_at_it() -> None:
    assert [crosses(margin, 10) for margin in (10, 11, 0, -10, -11)] == [NEUTRAL, SUPPORT, NEUTRAL, NEUTRAL, AGAINST]


def test_what_one_layer_weighs_is_a_part_of_the_global_threshold() -> None:
    state = network().tortoise.state
    assert state.local_threshold > 0
    target = LayerId(state.last - 2)
    with_it = global_threshold(state, target)
    local, state.local_threshold = state.local_threshold, 0
    assert with_it == global_threshold(state, target) + local


def test_hare_is_followed_for_hdist_layers() -> None:
    state = network().tortoise.state
    assert state.parameters.hdist == 4
    assert [state.is_within_hdist(layer, 20) for layer in (15, 16, 17, 20)] == [False, False, True, True]


def test_a_layer_without_an_output_of_hare_is_empty_after_zdist() -> None:
    found = network()
    assert found.parameters.zdist == 2
    silent = LayerId(found.layer + 1)
    ended = []
    for _ in range(4):
        found.step(hare=None)
        ended.append(found.tortoise.state.layer(silent).hare_terminated)
    assert ended == [False, False, True, True]


def test_a_ballot_with_another_beacon_is_not_good() -> None:
    found = network()
    ballot, _ = a_ballot(found)
    for has_bad_beacon, expected in ((False, ballot.weight), (True, 0)):
        ballot.has_bad_beacon = has_bad_beacon
        counters = Verifying(found.tortoise.state)
        counters.count((ballot,), found.layer)
        assert counters.total_good == expected > -1


def test_a_ballot_with_another_beacon_counts_in_full_mode_when_its_delay_is_over() -> None:
    found = network()
    state, (ballot, block) = found.tortoise.state, a_ballot(found)
    ballot.has_bad_beacon = True
    for late, expected in (
        (state.parameters.bad_beacon_delay - 1, 0),
        (state.parameters.bad_beacon_delay, ballot.weight),
    ):
        state.last = LayerId(ballot.layer + late)
        block.margin = 0
        Full(state, found.layer).count((ballot,))
        assert block.margin == expected


def test_a_ballot_votes_on_blocks_as_high_as_its_activation_and_no_higher() -> None:
    found = network()
    ballot, block = a_ballot(found)
    assert ballot.reference.height == HEIGHT
    for height, expected in ((HEIGHT, ballot.weight), (HEIGHT + 1, 0)):
        block.height, block.margin = height, 0
        Full(found.tortoise.state, found.layer).count((ballot,))
        assert block.margin == expected


def test_who_broke_the_rules_has_no_weight() -> None:
    found = network()
    next = LayerId(found.layer + 1)
    ballot = found.ballot(found.nodes[0], next, found.tortoise.encode_votes(next))
    assert found.tortoise.decode(ballot).info.weight > 0
    assert found.tortoise.decode(replace(ballot, is_malicious=True)).info.weight == 0


def test_weight_that_was_not_seen_counts_against_us() -> None:
    """Of n layers with votes and k without: n - k has to exceed a third of n + k, and a third of a layer."""
    found = network(12)
    state, newest = found.tortoise.state, found.layer
    for silent, needed in ((0, 1), (1, 3), (2, 5)):
        counters = Verifying(state)
        for layer in range(state.evicted + 2, newest + 1):
            counters.count(state.layer(layer).ballots, LayerId(layer))
        state.last = LayerId(newest + silent)
        assert counters.run()[0] == newest - needed


def test_the_weak_coin_decides_what_nothing_else_does() -> None:
    for coin, expected in ((True, 1), (False, 0)):
        found = network()
        for _ in range(8):
            found.step(voters=0, hare=None, coin=coin)
        state = found.tortoise.state
        doubted = Vote(BlockId(b"d" * 20), LayerId(found.layer - 6), HEIGHT)
        found.tortoise.on_block(doubted)
        block = state.block(doubted)
        assert block is not None
        block.margin, block.hare, block.validity = 0, NEUTRAL, NEUTRAL
        next = LayerId(found.layer + 1)
        found.tortoise.on_weak_coin(found.layer, coin)
        opinion = found.tortoise.encode_votes(next)
        votes = [vote.id for vote in opinion.votes.support]
        assert votes.count(doubted.id) == expected
