"""The tortoise of a node: the same object for all rooms, whatever it was recovered from; and how rows reach it.

Calls that answer at once go to the tortoise that `TortoiseMachine` has recovered at start. Beacons reach it because
that machine watches their rows: they are found in three rooms, none of which has to know who else must be told.
"""

from __future__ import annotations

from collections.abc import Sequence

from node.beacon.machine import BEACONS
from node.contract.inputs import Change
from node.contract.instants import Instant
from node.contract.machine import Machine
from node.contract.steps import NOTHING, Step
from node.proposals.oracle import ActiveSetOracle
from node.store.view import Span, View
from node.sync.states import SyncStatus
from node.sync.tables import LAST_LAYER
from node.tortoise.ballots import BallotFacts, Decoded, TortoiseBallot
from node.tortoise.parameters import TortoiseParameters
from node.tortoise.recovery import recover
from node.tortoise.results import LayerResult
from node.tortoise.state import AtxData
from node.tortoise.tortoise import Tortoise
from protocol.numbers.layers import NetworkTime
from protocol.types.ballots import Opinion, Vote
from protocol.types.ids import AtxId, BallotId, Beacon, BlockId, EpochId, Hash32, LayerId, NodeId

from .recovery import StoredVotes


class NodeTortoise:
    """Tortoise with a count of changes, and one that can be replaced at start. As `Tortoise` says of each call."""

    def __init__(self, parameters: TortoiseParameters, atxs: AtxData) -> None:
        self._parameters = parameters
        self._atxs = atxs
        self._tortoise = Tortoise(parameters, atxs)
        self.touches = 0

    def recover(self, stored: StoredVotes, current: LayerId) -> None:
        """Become what it would be had it seen all that is stored. current: the layer of the clock."""
        self.touches += 1
        self._tortoise = recover(self._parameters, self._atxs, stored, current)

    @property
    def inner(self) -> Tortoise:
        """For queries; not to be changed."""
        return self._tortoise

    # ---- what is known ----

    @property
    def verified(self) -> LayerId:
        """The newest layer up to which all are verified."""
        return self._tortoise.verified

    @property
    def parameters(self) -> TortoiseParameters:
        """What the network has in common."""
        return self._parameters

    def is_within_hdist(self, layer: LayerId) -> bool:
        """Whether our votes on a layer follow hare."""
        return self._tortoise.is_within_hdist(layer)

    def ballot(self, id: BallotId) -> BallotFacts | None:
        """What a stored ballot says."""
        return self._tortoise.ballot(id)

    def missing_active_set(self, epoch: EpochId, ids: Sequence[AtxId]) -> Sequence[AtxId]:
        """Those ATXs of an active set that are not known in the epoch."""
        return self._tortoise.missing_active_set(epoch, ids)

    def updates(self) -> Sequence[LayerResult]:
        """What has changed since it was last taken."""
        return self._tortoise.updates()

    def encode_votes(self, current: LayerId | None = None) -> Opinion:
        """The votes of a ballot in a layer. Raises CannotVote."""
        return self._tortoise.encode_votes(current)

    # ---- what has happened ----

    def on_atx(self, target: EpochId, node: NodeId, weight: int) -> None:
        """An ATX is active in an epoch."""
        self.touches += 1
        self._tortoise.on_atx(target, node, weight)

    def on_beacon(self, epoch: EpochId, beacon: Beacon) -> None:
        """An epoch has its beacon."""
        self.touches += 1
        self._tortoise.on_beacon(epoch, beacon)

    def on_malfeasance(self, node: NodeId) -> None:
        """An identity is malicious."""
        self.touches += 1
        self._tortoise.on_malfeasance(node)

    def on_weak_coin(self, layer: LayerId, is_heads: bool) -> None:
        """The weak coin of a layer."""
        self.touches += 1
        self._tortoise.on_weak_coin(layer, is_heads)

    def on_block(self, vote: Vote) -> None:
        """A block is here."""
        self.touches += 1
        self._tortoise.on_block(vote)

    def on_hare_output(self, layer: LayerId, block: BlockId) -> None:
        """Hare came to a block, zeros for none."""
        self.touches += 1
        self._tortoise.on_hare_output(layer, block)

    def on_applied(self, layer: LayerId, opinion: Hash32) -> bool:
        """The result of a layer was taken."""
        self.touches += 1
        return self._tortoise.on_applied(layer, opinion)

    def decode(self, ballot: TortoiseBallot) -> Decoded:
        """Unfold the votes of a ballot; nothing is stored. Raises VotesRefused, BallotRefused."""
        return self._tortoise.decode(ballot)

    def store(self, decoded: Decoded, *, is_malicious: bool = False) -> None:
        """Keep and count a decoded ballot. Raises BallotRefused."""
        self.touches += 1
        self._tortoise.store(decoded, is_malicious=is_malicious)

    def tally(self, last: LayerId) -> None:
        """Count everything up to a layer."""
        self.touches += 1
        self._tortoise.tally(last)


class TortoiseMachine(Machine):
    """Recovers the tortoise at start, and tells it of beacons when their rows are written."""

    name = "tortoise"
    watches = (BEACONS,)

    def __init__(self, tortoise: NodeTortoise, time: NetworkTime) -> None:
        self._tortoise = tortoise
        self._time = time

    def start(self, view: View, now: Instant) -> Step:
        """As Machine says. The ATXs are in memory before."""
        current = self._time.layer_at(now)
        self._tortoise.recover(StoredVotes(view), current)
        # recovery reads those of epochs with ballots or activations; a first one may be known before either
        for epoch, beacon in view.scan(BEACONS, Span(start=self._time.epoch_of(current))):
            self._tortoise.on_beacon(epoch, beacon)
        return NOTHING

    def changed(self, change: Change, view: View, now: Instant) -> Step:
        """As Machine says."""
        for epoch in change.keys:
            beacon = view.get(BEACONS, epoch)
            if beacon is not None:
                self._tortoise.on_beacon(epoch, beacon)
        return NOTHING


class OracleMachine(Machine):
    """Has active sets made anew as long as the node catches up: they may lack what has come since."""

    name = "oracle"
    watches = (LAST_LAYER,)

    def __init__(self, oracle: ActiveSetOracle, status: SyncStatus) -> None:
        self._oracle = oracle
        self._status = status

    def changed(self, change: Change, view: View, now: Instant) -> Step:
        """As Machine says: a layer was synced."""
        if not self._status.is_synced:
            self._oracle.forget()
        return NOTHING
