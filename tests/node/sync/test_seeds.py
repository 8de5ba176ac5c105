"""Catching up where anything may happen: peers that answer truly, falsely, half or not at all, a node that is killed.

One seed is one run, to the last byte. What must hold whatever happens: everything is here in the end, the state is that
of the honest peer, nothing false is stored, honest peers are not blamed, and nothing is left open.
"""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from node.contract.demands import Failed, PeerRequest, Result
from node.contract.messages import PeerId
from node.mesh.tables import BALLOTS
from node.sync.states import SyncState
from protocol.numbers.durations import MILLISECOND, MINUTE, SECOND
from tests.node.contract.world import at
from tests.node.fetch.network import Network, Puppet

from .chain import FIRST, Chain
from .test_catch_up import Liar
from .world import Node

CURRENT = 24
HONEST, ME = PeerId(b"honest"), PeerId(b"me")


class Fickle(Puppet):
    """Answers truly, as an honest peer would, or in one of the ways in which answers go wrong."""

    def __init__(self, network: Network, name: PeerId, honest: Node, dice: random.Random, truth: float) -> None:
        super().__init__(network, name, Liar().answer)
        self.honest, self.dice, self.truth = honest, dice, truth

    def ask(self, question: PeerRequest, reply: Callable[[Result], None]) -> None:
        if self.dice.random() < self.truth:
            self.honest.host.ask(question, reply)
            return
        match self.dice.randrange(5):
            case 0:
                super().ask(question, reply)
            case 1:
                reply(Failed("no_answer"))
            case 2:
                reply(Failed("refused", "I do not like you."))
            case 3:
                self.honest.host.ask(question, lambda result: reply(self.damaged(result)))
            case _:
                pass  # silence

    def damaged(self, result: Result) -> Result:
        """An honest answer with a piece cut out, changed or added."""
        if not isinstance(result, bytes) or not result:
            return result
        at_byte = self.dice.randrange(len(result))
        piece = self.dice.randbytes(self.dice.choice((0, 1, 1, 40)))
        return result[:at_byte] + piece + result[at_byte + 1 :]


@pytest.mark.parametrize("seed", range(6))
def test_in_the_end_everything_is_here(seed: int) -> None:
    dice = random.Random(seed)
    chain = Chain(CURRENT)
    network = Network(at(CURRENT, 10))
    network.statements = {poet.ref(): poet.statement for poet in chain.poets}
    honest = Node.with_chain(network, HONEST, chain)
    for number in range(dice.randrange(1, 5)):
        Fickle(network, PeerId(b"fickle %d" % number), honest, dice, dice.choice((0.3, 0.6, 0.9)))
    node = Node(network, ME)
    for _ in range(dice.randrange(4)):
        network.run_for(dice.randrange(100) * SECOND + dice.randrange(1000) * MILLISECOND)
        node = node.restarted()
    for _ in range(60):
        network.run_for(MINUTE)
        if node.sync.progress.state is SyncState.SYNCED and node.has_all_of(chain):
            break
    assert node.has_all_of(chain) and node.sync.progress.state is SyncState.SYNCED, node.sync.progress
    layers = range(FIRST, CURRENT - 1)
    assert [node.hash_of(layer) for layer in layers] == [honest.hash_of(layer) for layer in layers]
    known = {one.id() for one in chain.ballots}
    assert not [id for id in node.view().keys(BALLOTS) if id not in known]
    assert HONEST not in {peer for peer, _ in node.host.blamed()}
    network.run_for(MINUTE)
    assert node.fetching.wanted == node.fetching.open_requests == 0 or node.sync.open_demands
