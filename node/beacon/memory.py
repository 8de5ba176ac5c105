"""What the beacon remembers: the epochs, the run that is under way, and its coin.

Shared by the two halves of the machine: `machine`, which runs the protocol, and `reception`, which judges messages.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from node.beacon.coin import WeakCoin
from node.beacon.epochs import EpochAtxs, EpochState
from node.beacon.parameters import BeaconParameters
from node.beacon.votes import OwnVotes
from node.contract.instants import Instant
from node.contract.ports import Signer
from protocol.numbers.layers import NetworkTime
from protocol.types.ids import EpochId, NodeId, RoundId

PROPOSALS, FIRST_VOTES, FOLLOWING_VOTES, COINS = "bp1", "bf1", "bo1", "bw1"
FIRST_ROUND = RoundId(0)


class Activations(Protocol):
    """What the beacon asks of the ATXs. Epochs are those in which they are active."""

    def atxs(self, epoch: EpochId) -> EpochAtxs:
        """All ATXs of an epoch."""

    def nonce(self, node: NodeId, epoch: EpochId) -> int | None:
        """The VRF nonce of a smesher in an epoch."""

    def units(self, node: NodeId, epoch: EpochId) -> int:
        """Space units of a smesher in an epoch; 0 for a malicious one, or none at all."""


@dataclass(slots=True)
class Run:
    """One run. Mutable."""

    epoch: EpochId
    signers: tuple[Signer, ...]
    """Own identities with an ATX and a nonce, as they were when it began."""
    round: RoundId = FIRST_ROUND
    earliest_vote: Instant | None = None
    """From when on votes of the next round are taken."""
    votes: OwnVotes | None = None


@dataclass(slots=True)
class Memory:
    """Everything. Mutable."""

    parameters: BeaconParameters
    time: NetworkTime
    activations: Activations
    coin: WeakCoin
    epoch: EpochId
    """The epoch of the layer that began last."""
    states: dict[EpochId, EpochState] = field(default_factory=dict)
    run: Run | None = None

    def state(self, epoch: EpochId) -> EpochState | None:
        """The state of an epoch, made where it is not there; None where nobody has weight in it."""
        state = self.states.get(epoch)
        if state is None:
            start = Instant(self.time.start_ns(self.time.first_layer(epoch)))
            try:
                state = EpochState(self.parameters, self.activations.atxs(epoch), start)
            except ValueError:
                return None
            self.states[epoch] = state
        return state
