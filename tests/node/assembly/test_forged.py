"""Every message that a node hears comes to it first in many wrong forms: none is accepted, and none leaves a trace."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import pytest

from node.beacon.memory import COINS
from node.certificates.machine import TOPIC as CERTIFY
from node.contract.messages import Message, Origin, PeerId
from node.engine.edges import Input, Judge, Outputs
from node.mempool.handler import TOPIC as TRANSACTIONS
from node.proposals.machine import TOPIC as PROPOSALS
from node.sim.forging import HARE3, HARE4
from node.sim.node import SimNode
from node.sim.running import Run
from node.sim.watch import Watcher
from node.store.view import Rows
from protocol.crypto.signing import Domain
from protocol.types.proposals import Proposal

from .forged import RECORDS, cut, forged
from .restarting import OBSERVER, Hare, as_the_twin, assembled, restarted

FORGER = PeerId(b"node-0000")
LAYERS = 20
OF_EACH = 4
"""Messages of a topic that are forged."""


class Forger(Watcher):
    """Stands before one node. Whatever comes to it on a topic comes forged first, the first few times."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.node = run.world.nodes[OBSERVER]
        self.counts: Counter[str] = Counter()
        """Messages that were forged, by topic."""
        self.given: dict[int, tuple[str, str, Message]] = {}
        """By the identity of the message: topic, what is wrong, and itself, so that the identity stays taken."""
        self.verdicts: dict[int, tuple[str, str]] = {}
        self.accepted: dict[str, bytes] = {}
        """The last message of each topic that was accepted."""
        self.wrote: list[tuple[str, str]] = []
        self.touched: list[tuple[str, str]] = []
        self._rows = 0
        self._hear = self.node.hear
        self.node.hear = self.hear
        run.world.watchers.append(self)

    def hear(self, topic: str, data: bytes, peer: PeerId) -> None:
        """As Station says."""
        node = self.node
        if node.is_up and assembled(node).sync.status.is_synced and self.counts[topic] < OF_EACH:
            self.counts[topic] += 1
            self._work([])  # what is due at this instant
            for what, wrong in forged(RECORDS[topic], data) if topic in RECORDS else cut(data):
                self._give(topic, what, wrong)
            if topic == PROPOSALS:
                for what, wrong in self._signed_again(data):
                    self._give(topic, f"signed again: {what}", wrong)
            if topic in self.accepted:
                self._give(topic, "said again", self.accepted[topic])
        self._hear(topic, data, peer)

    def _signed_again(self, data: bytes) -> Iterator[tuple[str, bytes]]:
        """The signature of a proposal covers more than that of its ballot: here it holds, and the ballot's may not."""
        identity = Proposal.codec.decode(data).inner.ballot.smesher_id
        keys = [node.keys.key(identity) for node in self.run.world.nodes]
        (signer,) = [key for key in keys if key is not None]
        for what, wrong in forged(Proposal.codec, data):
            if not what.startswith("inner.ballot."):
                continue
            made = Proposal.codec.decode(wrong)
            signature = signer.sign(Domain.PROPOSAL, made.signed_bytes())
            yield what, Proposal.codec.encode(replace(made, signature=signature))

    def _give(self, topic: str, what: str, data: bytes) -> None:
        message = Message(topic, data, Origin.GOSSIP, self.node.local(), FORGER)
        self.given[id(message)] = topic, what, message
        rooms = assembled(self.node).rooms
        before, self._rows = [room.touches for room in rooms.derived], 0
        self._work([message])
        if self._rows:
            self.wrote.append((topic, what))
        if [room.touches for room in rooms.derived] != before:
            self.touched.append((topic, what))

    def _work(self, inputs: Sequence[Input]) -> None:
        node, now = self.node, self.node.local()
        stores = node.stores
        assert stores is not None
        write = type(stores).write

        def counting(rows: Rows, sync: bool = False) -> None:
            self._rows += sum(len(list(rows.changes(table))) for table in rows.tables())
            write(stores, rows, sync)

        stores.write = counting

        def turn(engine: Any) -> Outputs:
            outputs: Outputs = engine.turn(inputs, now)
            self.turned(node, inputs, outputs)
            return outputs

        node._work(turn)
        del stores.write

    def turned(self, node: SimNode, inputs: Sequence[Input], outputs: Outputs) -> None:
        """As Watcher says."""
        for output in outputs:
            if not isinstance(output, Judge) or node is not self.node:
                continue
            message, verdict = output.message, output.verdict
            if id(message) in self.given:
                self.verdicts[id(message)] = verdict.judgement.value, verdict.reason
            elif verdict.is_accepted and message.origin is Origin.GOSSIP:
                self.accepted[message.channel] = message.data


FREE = {
    # 04b, 1.7: a coin of the next round is kept, within a bound, and looked at when its round opens
    (COINS, "round"),
    # 05, 9: a word that is known, in the same bytes, goes on; the network does not send it again
    (CERTIFY, "said again"),
    # 04b, 3: a smesher may use as many of its slots as it likes, and says so with its own signature
    (PROPOSALS, "signed again: inner.ballot.eligibility_proofs"),
}
"""What is wrong by our book only: by topic and field."""


@pytest.mark.parametrize(("hare", "topic"), [("3", HARE3), ("4", HARE4)])
def test_what_is_forged_is_never_accepted_and_changes_nothing(hare: Hare, topic: str) -> None:
    made = restarted(5, hare, LAYERS, each=0)
    forger = Forger(made.run)
    assert made.run.finish().violations == ()
    as_the_twin(made.run)
    found: dict[tuple[str, str], set[str]] = defaultdict(set)
    for key, (of, what, _) in forger.given.items():
        found[of, what].add(forger.verdicts[key][0])
    every = {*RECORDS, TRANSACTIONS} - {HARE3, HARE4} | {topic}
    assert forger.counts == dict.fromkeys(every, OF_EACH) and len(forger.given) > 1400
    assert {of for of, verdicts in found.items() if "accept" in verdicts} == FREE
    assert set(forger.wrote) | set(forger.touched) <= FREE
