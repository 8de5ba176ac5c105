"""What the verifiable random function is asked: the inputs by which eligibilities, proposals and coins are drawn.

The encoding is the input as it is, without prefix or domain. Protocol 03-encoding-and-types, section 4.10.
"""

from __future__ import annotations

from enum import IntEnum
from functools import lru_cache
from typing import Annotated

from protocol.codec.declare import Record, c16, c32, c64, record

from .ids import Beacon, EpochId, LayerId, RoundId


class EligibilityType(IntEnum):
    """The first field of every input."""

    BEACON = 1
    HARE = 2
    """Hare and the certifier."""
    VOTING = 3
    BEACON_WEAK_COIN = 4


@record
class BeaconProposalVrfMessage(Record):
    """For a proposal for the beacon."""

    type: Annotated[int, c16]
    """EligibilityType.BEACON."""
    nonce: Annotated[int, c64]
    """The smesher's VRF nonce."""
    epoch: EpochId
    """The epoch in which the beacon is agreed on."""


@record
class HareVrfMessage(Record):
    """For taking part in a round of Hare, or in certifying. No VRF nonce, and the round before the layer."""

    type: Annotated[int, c16]
    """EligibilityType.HARE."""
    beacon: Beacon
    """The epoch's."""
    round: Annotated[int, c32]
    """The absolute round; `certificates.CERTIFIER_ROUND` for certifiers."""
    layer: LayerId
    """The layer that is agreed on."""


@record
class ProposalEligibilityVrfMessage(Record):
    """For a slot in an epoch."""

    type: Annotated[int, c16]
    """EligibilityType.VOTING."""
    beacon: Beacon
    """The epoch's."""
    epoch: EpochId
    """The epoch that the slot is in."""
    nonce: Annotated[int, c64]
    """The smesher's VRF nonce."""
    counter: Annotated[int, c32]
    """The slot, `VotingEligibility.j`."""


@record
class WeakCoinVrfMessage(Record):
    """For a toss of the beacon's weak coin."""

    type: Annotated[int, c16]
    """EligibilityType.BEACON_WEAK_COIN."""
    nonce: Annotated[int, c64]
    """The smesher's VRF nonce."""
    epoch: EpochId
    """The epoch in which the beacon is agreed on."""
    round: RoundId
    """The round whose coin is tossed."""
    unit: Annotated[int, c32]
    """Which of the smesher's tosses."""


def beacon_proposal_input(nonce: int, epoch: EpochId) -> bytes:
    """The input for a beacon proposal. Raises CodecError, as all functions here."""
    message = BeaconProposalVrfMessage(EligibilityType.BEACON, nonce, epoch)
    return BeaconProposalVrfMessage.codec.encode(message)


@lru_cache(maxsize=64)  # that of a round is asked for with every message
def hare_input(beacon: Beacon, round: int, layer: LayerId) -> bytes:
    """The input for a round of Hare, or for a certifier."""
    return HareVrfMessage.codec.encode(HareVrfMessage(EligibilityType.HARE, beacon, round, layer))


def voting_input(beacon: Beacon, epoch: EpochId, nonce: int, counter: int) -> bytes:
    """The input for slot number `counter` of an epoch."""
    message = ProposalEligibilityVrfMessage(EligibilityType.VOTING, beacon, epoch, nonce, counter)
    return ProposalEligibilityVrfMessage.codec.encode(message)


def weak_coin_input(nonce: int, epoch: EpochId, round: RoundId, unit: int) -> bytes:
    """The input for the weak coin of a round of the beacon."""
    message = WeakCoinVrfMessage(EligibilityType.BEACON_WEAK_COIN, nonce, epoch, round, unit)
    return WeakCoinVrfMessage.codec.encode(message)
