"""What the judges of both versions work with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from node.contract.instants import Instant
from node.contract.ports import Keys, signer_of
from node.contract.steps import Judged
from node.contract.verdicts import ignore, reject
from protocol.numbers.layers import NetworkTime
from protocol.types.ids import AtxId, EpochId, NodeId

from .errors import AtxIgnored, AtxRefused
from .memory import Memory
from .parameters import ActivationParameters

Positions = Callable[[NodeId, bytes], tuple[int, ...]]
"""Which labels of a proof this node checks, by the identity and the challenge: K3 of K2, others than other nodes."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Of one node."""

    parameters: ActivationParameters
    time: NetworkTime
    keys: Keys
    memory: Memory
    choose: Positions

    def epoch_at(self, now: Instant) -> EpochId:
        """The epoch that runs."""
        return self.time.epoch_of(self.time.layer_at(now))

    def positions(self, identity: NodeId, challenge: bytes) -> tuple[int, ...] | None:
        """The labels of a proof that are checked; None: all."""
        return None if self.parameters.is_verifying_fully else self.choose(identity, challenge)

    def is_own(self, identity: NodeId) -> bool:
        """Whether we sign for an identity."""
        return signer_of(self.keys, identity) is not None


@dataclass(frozen=True, slots=True)
class AtxStored:
    """An event: a new activation was stored."""

    id: AtxId
    smesher: NodeId
    publish_epoch: EpochId
    is_malicious: bool
    """Whether its smesher is known to have broken the rules."""


def judged(error: AtxRefused | AtxIgnored) -> Judged:
    """The verdict that follows from a rule."""
    verdict = reject if isinstance(error, AtxRefused) else ignore
    return Judged(verdict(error.reason, str(error)))
