"""What the verifiable random function is asked: the inputs by which eligibilities, proposals and coins are drawn.

The encoding is the input as it is, without prefix or domain. Protocol 03-encoding-and-types, section 4.10.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from protocol.codec.declare import c16, c32, c64, struct

from .ids import BEACON, Beacon, EpochId, LayerId, RoundId


class EligibilityType(IntEnum):
    """The first field of every input."""

    BEACON = 1
    HARE = 2
    """Hare and the certifier."""
    VOTING = 3
    BEACON_WEAK_COIN = 4


@dataclass(frozen=True, slots=True)
class BeaconProposalVrfMessage:
    """For a proposal for the beacon."""

    type: int
    nonce: int
    epoch: EpochId

    codec = struct(type=c16, nonce=c64, epoch=c32)


@dataclass(frozen=True, slots=True)
class HareVrfMessage:
    """For taking part in a round of Hare, or in certifying. No VRF nonce, and the round before the layer."""

    type: int
    beacon: Beacon
    round: int
    """The absolute round; `certificates.CERTIFIER_ROUND` for certifiers."""
    layer: LayerId

    codec = struct(type=c16, beacon=BEACON, round=c32, layer=c32)


@dataclass(frozen=True, slots=True)
class ProposalEligibilityVrfMessage:
    """For a slot in an epoch."""

    type: int
    beacon: Beacon
    epoch: EpochId
    nonce: int
    counter: int

    codec = struct(type=c16, beacon=BEACON, epoch=c32, nonce=c64, counter=c32)


@dataclass(frozen=True, slots=True)
class WeakCoinVrfMessage:
    """For a toss of the beacon's weak coin."""

    type: int
    nonce: int
    epoch: EpochId
    round: RoundId
    unit: int

    codec = struct(type=c16, nonce=c64, epoch=c32, round=c32, unit=c32)


def beacon_proposal_input(nonce: int, epoch: EpochId) -> bytes:
    """The input for a beacon proposal. Raises CodecError, as all functions here."""
    message = BeaconProposalVrfMessage(EligibilityType.BEACON, nonce, epoch)
    return BeaconProposalVrfMessage.codec.encode(message)


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
