"""What is counted of the turns of a node, for its figures: an onlooker of the engine, in its thread.

Only what a turn has in its hands anyway is counted; nothing is read for it. Whoever reads the counts does so from any
thread, and takes copies.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

from node.activation.smeshing import events as smeshing
from node.assembly.parameters import NodeParameters
from node.blocks.machine import BlockMade, BlockNotMade
from node.bootstrap.machine import FallbackRefused, FallbackTaken
from node.contract.instants import Instant
from node.engine.errors import MachineFailed
from node.hare.events import HareAgreed, HareBegan, HareEnded, HareSkipped
from node.ledger.tables import LAYERS, REWARDS
from node.malfeasance.machine import Convicted
from node.proposals.builder import ProposalMade, ProposalNotMade
from node.runtime.facts import Facts
from node.store.view import Rows
from node.sync.opinions import CertificateAdopted
from node.sync.states import SyncState, SyncStateChanged
from protocol.numbers.durations import SECOND

HARE_BUCKETS_S = (0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 15.0, 20.0, 25.0, 30.0, 40.0, 60.0, 90.0, 120.0, 180.0, 300.0)
"""From the start of a layer until hare came to something in it."""


class Counted:
    """The counts. An `Onlooker`."""

    def __init__(self, parameters: NodeParameters, now: Callable[[], Instant]) -> None:
        self._time, self._now = parameters.time, now
        self.events: Counter[tuple[str, str]] = Counter()
        """By family and outcome."""
        self.failures: Counter[str] = Counter()
        """Of machines, by their names."""
        self.transactions = 0
        """In layers that were applied."""
        self.layers = 0
        self.rewards = 0
        """Smidge, with fees."""
        self.subsidy = 0
        """Smidge, without."""
        self.sync = SyncState.NOT_SYNCED
        self.on_hare_output: Callable[[float], None] = lambda seconds: None
        """Told how long after the start of its layer hare came to something."""

    def committed(self, rows: Rows, events: Sequence[object], facts: Facts) -> None:
        """As Onlooker says."""
        for event in events:
            self._count(event)
        for _, applied in rows.put_rows(LAYERS):
            self.layers += 1
            self.transactions += len(applied.transactions)
        for _, reward in rows.put_rows(REWARDS):
            self.rewards += reward.total_reward
            self.subsidy += reward.layer_reward

    def _count(self, event: object) -> None:
        match event:
            case BlockMade(_, block):
                self.events["blocks", "block" if any(block) else "empty"] += 1
            case BlockNotMade(_, reason):
                self.events["blocks", reason] += 1
            case HareBegan():
                self.events["hare", "start"] += 1
            case HareSkipped(_, reason):
                self.events["hare", f"skipped_{reason}"] += 1
            case HareAgreed(layer):
                self.events["hare", "result"] += 1
                self.on_hare_output(max(0, self._now() - self._time.start_ns(layer)) / SECOND)
            case HareEnded(_, is_agreed):
                self.events["hare", "terminated" if is_agreed else "failed"] += 1
            case CertificateAdopted():
                self.events["adopted", ""] += 1
            case FallbackTaken():
                self.events["bootstrap", "ok"] += 1
            case FallbackRefused():
                self.events["bootstrap", "fail"] += 1
            case SyncStateChanged(_, after):
                self.sync = after
            case Convicted():
                self.events["convicted", ""] += 1
            case ProposalMade():
                self.events["proposals", "made"] += 1
            case ProposalNotMade(_, _, reason):
                self.events["proposals", reason] += 1
            case smeshing.Published():
                self.events["activations", "published"] += 1
            case smeshing.NotPublished():
                self.events["activations", "not_published"] += 1
            case smeshing.ChallengeDropped():
                self.events["activations", "dropped"] += 1
            case smeshing.NotRegisteredAt(_, _, reason):
                self.events["registrations", reason] += 1
            case smeshing.RegisteredAt():
                self.events["registrations", "registered"] += 1
            case smeshing.ProofNotMade():
                self.events["activations", "no_proof"] += 1
            case MachineFailed(machine):
                self.failures[machine] += 1
