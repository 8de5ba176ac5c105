"""A message of an own identity that this node did not sign comes from outside: the identity stops, with a sentence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from node.activation.machine import TOPIC as ATXS
from node.beacon.memory import FIRST_VOTES, FOLLOWING_VOTES
from node.certificates.machine import TOPIC as CERTIFY
from node.contract.effects import StopIdentity
from node.contract.verdicts import Verdict
from node.engine.edges import Input, Judge, Outputs, Send
from node.proposals.machine import TOPIC as PROPOSALS
from node.sim.forging import HARE3, HARE4, another
from node.sim.network import peer_id
from node.sim.node import SimNode
from node.sim.watch import Watcher
from protocol.crypto.signing import Domain
from protocol.types.certificates import CertifyMessage
from protocol.types.ids import BlockId

from .restarting import Hare, restarted

LAYERS = 16
SMESHER = 2


def of_elsewhere(node: SimNode, topic: str, data: bytes) -> bytes | None:
    """What another node with the same key says in place of a message."""
    if topic != CERTIFY:
        return node.read(lambda view: another(topic, data, node.keys, view))
    word = CertifyMessage.codec.decode(data)
    content = replace(word.content, block_id=BlockId(b"another block".ljust(20)))
    key = node.keys.key(word.smesher_id)
    assert key is not None
    made = replace(word, content=content)
    return CertifyMessage.codec.encode(replace(made, signature=key.sign(Domain.HARE, made.signed_bytes())))


class SameKey(Watcher):
    """Another node with the key of one: what that one says first on a topic, this one says otherwise."""

    def __init__(self, topic: str, is_echo: bool) -> None:
        self.topic, self.is_echo = topic, is_echo
        self.said = 0
        self.data = b""
        self.stops: list[StopIdentity] = []
        self.verdicts: list[Verdict] = []

    def turned(self, node: SimNode, inputs: Sequence[Input], outputs: Outputs) -> None:
        """As Watcher says."""
        for output in outputs:
            if node.number == SMESHER and isinstance(output, StopIdentity):
                self.stops.append(output)
            if node.number == SMESHER and isinstance(output, Judge) and output.message.data == self.data:
                self.verdicts.append(output.verdict)
            if node.number == SMESHER and isinstance(output, Send) and output.topic == self.topic and not self.said:
                data = output.data if self.is_echo else of_elsewhere(node, output.topic, output.data)
                if data is not None:
                    self.said += 1
                    self.data = data
                    node.hear(self.topic, data, peer_id(0))


@pytest.mark.parametrize("is_echo", [False, True])
@pytest.mark.parametrize(
    ("hare", "topic"),
    [
        ("4", ATXS),
        ("4", PROPOSALS),
        ("4", CERTIFY),
        ("4", FIRST_VOTES),
        ("4", FOLLOWING_VOTES),
        ("4", HARE4),
        ("3", HARE3),
    ],
)
def test_an_own_message_from_outside_stops_the_identity_unless_it_is_ours(
    hare: Hare, topic: str, is_echo: bool
) -> None:
    made = restarted(3, hare, LAYERS, each=0)
    same_key = SameKey(topic, is_echo)
    made.run.world.watchers.append(same_key)
    made.run.world.start()
    world = made.run.world
    node = world.nodes[SMESHER]
    world.run_until(LAYERS, lambda: same_key.said > 0 and world.now > world.time.genesis_ns)
    world.run_until(world.time.layer_at(world.now) + 1)
    assert same_key.said == 1
    if is_echo:
        assert same_key.stops == [] and node.keys.stopped == {}
    else:
        assert same_key.stops, same_key.verdicts
        first = same_key.stops[0]  # where there is a proof, a second one tells that the network knows
        assert first.identity in node.identities and node.keys.stopped.keys() == {first.identity}
        assert any(word in first.sentence for word in ("key", "another machine"))
