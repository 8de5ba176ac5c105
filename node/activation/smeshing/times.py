"""The moments in which an activation is made, by its publish epoch P. Pure.

| moment | formula; S(e) is the start of epoch e |
|---|---|
| the challenge is made | S(P-1) + phase shift - grace period |
| the search for a positioning activation ends | + its timeout, and not after the round has started |
| the round starts, no registration any more | S(P-1) + phase shift |
| the round ends | S(P) + phase shift - cycle gap |
| no proof of the round is asked for any more | S(P+1) - cycle gap |
| it may be published | S(P) until S(P+1) |

Protocol 04-activation-beacon-eligibility, section 3.
"""

from __future__ import annotations

from dataclasses import dataclass

from node.contract.instants import Instant
from protocol.numbers.layers import NetworkTime
from protocol.types.ids import EpochId

from .parameters import SmeshingParameters

PATIENCE_SHARE = 8
"""This part (an eighth) of the cycle gap after the end of a round, its proofs are not waited for if there is one."""
JITTER_LEAST, JITTER_MOST = 2, 4
"""Proofs are asked for so many ten-thousandths of the cycle gap after their round ended."""


@dataclass(frozen=True, slots=True)
class Timeline:
    """Of one network."""

    time: NetworkTime
    parameters: SmeshingParameters

    def epoch_at(self, now: Instant) -> EpochId:
        """The epoch that runs."""
        return self.time.epoch_of(self.time.layer_at(now))

    def epoch_start(self, epoch: int) -> Instant:
        """S(epoch)."""
        return Instant(self.time.start_ns(self.time.first_layer(epoch)))

    def building(self, publish: EpochId) -> Instant:
        """When the challenge is made."""
        return Instant(self.round_start(publish) - self.parameters.grace_period)

    def search_end(self, publish: EpochId) -> Instant:
        """When a positioning activation is no longer looked for."""
        limit = self.parameters.positioning_timeout or self.parameters.grace_period
        return Instant(min(self.building(publish) + limit, self.round_start(publish)))

    def round_start(self, publish: EpochId) -> Instant:
        """When the round starts."""
        return Instant(self.epoch_start(publish - 1) + self.parameters.phase_shift)

    def round_end(self, publish: EpochId) -> Instant:
        """When the round ends."""
        return Instant(self.round_start(EpochId(publish + 1)) - self.parameters.cycle_gap)

    def patience_end(self, publish: EpochId) -> Instant:
        """When the best proof is chosen of those that are there."""
        return Instant(self.round_end(publish) + self.parameters.cycle_gap // PATIENCE_SHARE)

    def proof_deadline(self, publish: EpochId) -> Instant:
        """Until when proofs are asked for."""
        return Instant(self.epoch_start(publish + 1) - self.parameters.cycle_gap)

    def publication(self, publish: EpochId) -> Instant:
        """From when on it may be published."""
        return self.epoch_start(publish)

    def publication_end(self, publish: EpochId) -> Instant:
        """From when on it is worthless."""
        return self.epoch_start(publish + 1)

    def next_publish_epoch(self, now: Instant, previous: EpochId | None) -> EpochId:
        """The next epoch for which a challenge can be registered in time. previous: the publish epoch of the last
        activation."""
        epoch = self.epoch_at(now)
        if previous is not None:
            epoch = max(epoch, previous)
        if now >= self.epoch_start(epoch) + self.parameters.phase_shift:
            epoch = EpochId(epoch + 1)
        return EpochId(epoch + 1)

    def jitter_bounds(self) -> tuple[int, int]:
        """How long after the end of a round its proof is asked for: the least and the most."""
        gap = self.parameters.cycle_gap
        return gap * JITTER_LEAST // 10_000, gap * JITTER_MOST // 10_000
