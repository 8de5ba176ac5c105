"""Votes on proposals: how they are sent, and what follows from the margins.

Protocol 04b, sections 1.2, 1.5 and 1.6.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from enum import Enum
from fractions import Fraction

from node.beacon.thresholds import voting_threshold
from protocol.crypto import vrf
from protocol.types.ids import VrfSignature

Proposal = bytes
"""Four bytes: the beginning of a proof."""


class Class(Enum):
    """What a proposal is worth."""

    VALID = "valid"
    POTENTIALLY_VALID = "potentially_valid"
    """Some nodes may think otherwise of it."""
    INVALID = "invalid"


@dataclass(frozen=True, slots=True)
class ProposalFacts:
    """What decides about a proposal. Durations in nanoseconds."""

    proof: VrfSignature
    atx_late: int
    """When the smesher's ATX came, after the epoch's start."""
    proposal_late: int
    """When the proposal came, after the end of its phase; 0 while that goes on."""


def classify(facts: ProposalFacts, grace: int, threshold: int, strict_threshold: int) -> Class:
    """The class of a proposal whose proof is valid. Honest nodes who differ by less than `grace` never contradict."""
    number = vrf.threshold_value(facts.proof)
    if facts.atx_late <= 0 and facts.proposal_late <= 0 and number < strict_threshold:
        return Class.VALID
    if facts.atx_late <= grace and facts.proposal_late <= grace and number < threshold:
        return Class.POTENTIALLY_VALID
    return Class.INVALID


@dataclass(frozen=True, slots=True)
class OwnVotes:
    """What we vote for."""

    support: frozenset[Proposal]
    against: frozenset[Proposal]
    undecided: frozenset[Proposal] = frozenset()

    def after_coin(self, is_heads: bool) -> OwnVotes:
        """All undecided go one way."""
        if is_heads:
            return OwnVotes(self.support | self.undecided, self.against)
        return OwnVotes(self.support, self.against | self.undecided)


def own_votes(margins: Mapping[Proposal, int], theta: Fraction, epoch_weight: int) -> OwnVotes:
    """What follows from the margins of all votes so far."""
    threshold = voting_threshold(theta, epoch_weight)
    support = frozenset(one for one, margin in margins.items() if margin >= threshold)
    against = frozenset(one for one, margin in margins.items() if margin <= -threshold) - support
    return OwnVotes(support, against, frozenset(margins) - support - against)


def encode_bits(first_vote: Sequence[Proposal], support: Set[Proposal]) -> bytes:
    """Votes on the elements of a first vote, the first in the lowest bit, without leading zero bytes."""
    number = sum(1 << position for position, one in enumerate(first_vote) if one in support)
    return number.to_bytes((number.bit_length() + 7) // 8, "big")


def decode_bits(first_vote: Sequence[Proposal], bits: bytes) -> tuple[frozenset[Proposal], frozenset[Proposal]]:
    """What of a first vote is supported, and what voted against: missing bits, too. Bits beyond it are nothing.

    An element that stands in it twice may be in both.
    """
    number = int.from_bytes(bits, "big")
    support = frozenset(one for position, one in enumerate(first_vote) if number >> position & 1)
    return support, frozenset(one for position, one in enumerate(first_vote) if not number >> position & 1)
