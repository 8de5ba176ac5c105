"""Parameters of the beacon protocol. Durations are in nanoseconds. Protocol 04b, section 1.1."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction


@dataclass(frozen=True, slots=True)
class BeaconParameters:
    """What all nodes of a network have in common."""

    kappa: int
    """Security: the chance that no honest smesher may propose is 2^-kappa."""
    q: Fraction
    """The part of the weight that may be dishonest."""
    theta: Fraction
    """The part of the epoch's weight that decides a vote."""
    rounds: int
    """0: the protocol does not run, the beacon comes from ballots or is published."""
    grace: int
    """How much clocks and arrivals of different nodes may differ."""
    proposal_duration: int
    first_voting_duration: int
    voting_duration: int
    weak_coin_duration: int
    votes_limit: int
    """Elements of a smesher's first vote that his later votes refer to."""
    sync_weight_units: int
    """Eligibilities of ballots after which their beacon is believed."""

    @property
    def length(self) -> int:
        """Nanoseconds from the start of an epoch to the end of its run, none where the protocol does not run."""
        if not self.rounds:
            return 0
        later = (self.rounds - 1) * (self.voting_duration + self.weak_coin_duration)
        return self.proposal_duration + self.first_voting_duration + later

    def check(self, epoch_duration: int) -> None:
        """Raises ValueError where a run would outlast its epoch, so that the next one has no beacon to begin with."""
        if self.length > epoch_duration:
            raise ValueError(
                f"a run of the beacon takes {self.length / 1e9:g} s ({self.rounds} rounds), expected at most an "
                f"epoch, {epoch_duration / 1e9:g} s"
            )
