"""Several nodes: what they come to, also with late messages and two nodes that share a key."""

from __future__ import annotations

from random import Random

import pytest

from node.blocks.tables import AGREED
from node.contract.instants import Instant
from node.contract.verdicts import Judgement
from node.engine.edges import Judge, Send
from node.malfeasance.tables import malicious
from protocol.numbers.durations import SECOND
from protocol.types.ids import LayerId
from tests.node.hare.words import (
    END,
    FIRST,
    ME,
    OTHER,
    TOPIC,
    A,
    B,
    Network,
    around,
    committee,
    decoded,
    key,
    node,
    proposal,
    said,
)


@pytest.mark.parametrize("number", [3, 4])
def test_nodes_that_know_different_proposals_come_to_one_result_and_one_coin(number: int) -> None:
    keys = [key(one) for one in range(1, 6)]
    proposals = [proposal(one, keys[one - 1].identity) for one in range(1, 6)]
    nodes = []
    for place, one_key in enumerate(keys):
        known = around(keys, [one for at, one in enumerate(proposals) if at != place])
        nodes.append(node([one_key], known, number=number))
    network = Network(nodes)
    network.tick(FIRST)
    network.until(FIRST, END * SECOND)
    results = [one.view().get(AGREED, LayerId(FIRST)) for one in nodes]
    assert results == [tuple(one.id for one in proposals)] * 5
    assert len({tuple(one.surroundings.coins) for one in nodes}) == 1
    for one in nodes:
        assert not one.running
        assert all(output.verdict.judgement is not Judgement.REJECT for output in one.of(Judge))


@pytest.mark.parametrize("number", [3, 4])
@pytest.mark.parametrize("seed", range(4))
def test_late_messages_and_an_equivocator_divide_nobody(seed: int, number: int) -> None:
    """Every message takes its own time, below a round; two of six nodes share a key, and see different proposals.

    Whether enough have a proposal may then look different here and there: who does not see it comes to no result, and
    will get the certificate; nobody comes to another result.
    """
    dice = Random(seed)
    keys = [key(10 * seed + one) for one in range(1, 6)]
    owners = [*keys, keys[0]]
    proposals = [proposal(one, keys[one - 1].identity) for one in range(1, 6)]
    known = [proposals[1:], *(dice.sample(proposals, 4) for _ in keys[1:]), proposals[:-1]]
    nodes = [node([one], around(keys, some), number=number) for one, some in zip(owners, known, strict=True)]
    network = Network(nodes, dice)
    network.tick(FIRST)
    network.until(FIRST, (END + 12) * SECOND)
    results = [one.view().get(AGREED, LayerId(FIRST)) for one in nodes]
    assert len({tuple(result) for result in results if result is not None}) == 1
    assert sum(result is not None for result in results) > len(nodes) / 2
    assert len({tuple(one.surroundings.coins) for one in nodes}) == 1
    assert not any(one.running for one in nodes)
    assert all(malicious(one.view()) == [keys[0].identity] for one in nodes)


def test_a_node_that_stood_still_takes_rounds_and_messages_in_their_order() -> None:
    keys = [ME, OTHER]
    swift, slow = (node([one], around(keys, [A, B])) for one in keys)
    network = Network([swift])
    for one in (swift, slow):
        one.tick(FIRST)
    network.until(FIRST, END * SECOND)
    assert said(swift)  # it speaks, and agrees only if it has more than half of the seats
    messages = []
    for output in swift.of(Send):
        at = decoded(output.data).body.iter_round
        received = Instant(slow.at(FIRST) + committee().round_start(at))
        messages.append((received, output.data))
    inputs = []
    for received, data in messages:
        slow.now = received
        inputs.append(slow.gossip(TOPIC, data))
    slow.turn(*inputs, now=slow.at(FIRST, END))
    verdicts = [output.verdict for output in slow.of(Judge)]
    assert [verdict.reason for verdict in verdicts] == [""] * len(messages)
    assert messages and not slow.running
