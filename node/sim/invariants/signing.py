"""What is signed stands, and nobody who keeps to the rules is ever held to have broken them."""

from __future__ import annotations

from collections.abc import Sequence

from node.activation.machine import TOPIC as ATXS
from node.beacon.memory import FIRST_VOTES, FOLLOWING_VOTES
from node.certificates.machine import TOPIC as CERTIFY
from node.contract.effects import Emit, StopIdentity
from node.engine.edges import Input, Outputs, Send
from node.malfeasance.machine import Convicted
from node.proposals.machine import TOPIC as PROPOSALS
from node.sim.disk import Changes
from node.sim.forging import HARE3, HARE4
from node.sim.seen import Seen
from node.store.own import SIGNED

from .base import Invariant

SIGNED_TOPICS = (ATXS, FIRST_VOTES, FOLLOWING_VOTES, CERTIFY, HARE3, HARE4, PROPOSALS)


class SignaturesStand(Invariant):
    """For a slot one message is signed, for ever, whatever a crash takes; and nothing leaves before it is noted."""

    name = "signatures stand"

    def __init__(self) -> None:
        super().__init__()
        self._signed: dict[bytes, bytes] = {}
        """By the key of the row, which holds the identity. Not on any disk."""
        self._messages: set[bytes] = set()

    def own_rows(self, node: Seen, changes: Changes) -> None:
        """As Watcher says."""
        for key, value in changes:
            if not key.startswith(SIGNED.prefix):
                continue
            slot = SIGNED.key.decode(key[len(SIGNED.prefix) :])
            what = f"{slot.kind.name} {slot.number}, round {slot.round}, of {slot.identity.hex()[:8]}"
            if value is None:
                self.violated(f"what was signed for {what} was deleted", node)
                continue
            known = self._signed.setdefault(key, value)
            if known != value:
                self.violated(f"two messages were signed for {what}", node)
            self._messages.add(value)

    def turned(self, node: Seen, inputs: Sequence[Input], outputs: Outputs) -> None:
        """As Watcher says."""
        for output in outputs:
            if isinstance(output, Send) and output.topic in SIGNED_TOPICS and output.data not in self._messages:
                self.violated(f"a message on {output.topic} leaves that is not noted as signed", node)

    def started(self, node: Seen, outputs: Outputs) -> None:
        """As Watcher says."""
        self.turned(node, (), outputs)


class NobodyHonestMarked(Invariant):
    """No identity of an honest node is ever held to be malicious, and none is stopped."""

    name = "nobody honest is marked"

    def turned(self, node: Seen, inputs: Sequence[Input], outputs: Outputs) -> None:
        """As Watcher says."""
        for output in outputs:
            if isinstance(output, Emit) and isinstance(output.event, Convicted):
                self._look(node, output.event)
            elif isinstance(output, StopIdentity) and node.is_honest:
                self.violated(f"identity {output.identity.hex()[:8]} was stopped: {output.sentence}", node)

    def _look(self, node: Seen, event: Convicted) -> None:
        for other in self.world.honest:
            if event.identity in other.identities:
                self.violated(f"identity {event.identity.hex()[:8]} of node {other.number} is convicted", node)
