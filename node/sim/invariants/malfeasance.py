"""Whoever signs twice for one slot, where the network has a proof for that, is caught by all who received both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from node.activation.machine import TOPIC as ATXS
from node.contract.verdicts import Judgement
from node.engine.edges import Input, Judge, Outputs
from node.malfeasance.tables import is_malicious
from node.proposals.machine import TOPIC as PROPOSALS
from node.sim.disk import Crash
from node.sim.forging import HARE3, HARE4
from node.sim.seen import Seen
from protocol.types.ids import LayerId, NodeId

from .base import Invariant

PROVABLE = (ATXS, HARE3, HARE4, PROPOSALS)
NOT_LOOKED_AT = ("no_session", "not_synced", "expired", "too_many_waiting", "too_many_waiting_of_peer", "fault")
"""Reasons for which a message was ignored before anybody saw what it says."""


@dataclass(slots=True)
class _Pair:
    """Two messages for one slot."""

    identity: NodeId
    topic: str
    messages: tuple[bytes, bytes]


class DoubleSignsCaught(Invariant):
    """By the next layer, a node that took one of two messages and looked at the other has a proof."""

    name = "who signs twice is caught"

    def __init__(self) -> None:
        super().__init__()
        self._pairs: dict[bytes, _Pair] = {}
        """By each of the messages."""
        self._seen: dict[tuple[int, bytes], bool] = {}
        """By node and message: whether it was accepted; no entry where it was refused or not looked at."""
        self._due: list[tuple[int, NodeId, str]] = []

    def double_signed(self, node: Seen, topic: str, first: bytes, second: bytes) -> None:
        """As Watcher says."""
        if topic in PROVABLE:
            (identity,) = node.identities
            self._pairs[first] = self._pairs[second] = _Pair(identity, topic, (first, second))

    def turned(self, node: Seen, inputs: Sequence[Input], outputs: Outputs) -> None:
        """As Watcher says."""
        if not self._pairs or not node.is_honest:
            return
        for output in outputs:
            if not isinstance(output, Judge):
                continue
            pair, verdict = self._pairs.get(output.message.data), output.verdict
            if pair is None or verdict.judgement is Judgement.REJECT or verdict.reason in NOT_LOOKED_AT:
                continue
            self._seen[node.number, output.message.data] = verdict.is_accepted
            if self._took_both(node.number, pair):
                self._due.append((node.number, pair.identity, pair.topic))

    def crashed(self, node: Seen, kind: Crash) -> None:
        """As Watcher says: what was only in its memory is gone."""
        self._seen = {key: seen for key, seen in self._seen.items() if key[0] != node.number}
        self._due = [due for due in self._due if due[0] != node.number]

    def layer_began(self, layer: LayerId) -> None:
        """As Watcher says."""
        due, self._due = self._due, []
        for number, identity, topic in dict.fromkeys(due):
            node = self.world.nodes[number]
            if node.is_up and not node.read(lambda view, identity=identity: is_malicious(view, identity)):  # type: ignore[misc]
                self.violated(f"{identity.hex()[:8]} signed twice on {topic} and is not known for it", node)

    def _took_both(self, node: int, pair: _Pair) -> bool:
        seen = [self._seen.get((node, message)) for message in pair.messages]
        return None not in seen and any(seen)
