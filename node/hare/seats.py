"""Seats of hare's committee: who may speak in a round, and as how many. Protocol 05-consensus, section 2."""

from __future__ import annotations

from dataclasses import dataclass

from node.eligibility.active_set import ActiveSet
from node.eligibility.committee import Stake, counts, is_count
from node.eligibility.errors import EligibilityError
from node.hare.parameters import HareParameters
from protocol.types.eligibility import hare_input
from protocol.types.hare import HareEligibility, IterRound
from protocol.types.ids import Beacon, LayerId, NodeId, VrfSignature


@dataclass(frozen=True, slots=True)
class Committee:
    """That of one layer."""

    parameters: HareParameters
    layer: LayerId
    beacon: Beacon
    """Of the layer's epoch."""
    active: ActiveSet | None = None
    """None where nothing says who is active: then nobody has a seat."""

    def alpha(self, at: IterRound) -> bytes:
        """What a smesher proves with its VRF to take part in a round."""
        return hare_input(self.beacon, at.absolute(), self.layer)

    def is_active(self, smesher: NodeId) -> bool:
        """Whether a smesher can have seats at all."""
        return self.active is not None and smesher in self.active.members

    def seats(self, at: IterRound, smesher: NodeId, proof: VrfSignature) -> HareEligibility | None:
        """The seats of an own proof; None without any."""
        stake = self._stake(smesher, proof)
        if stake is None:
            return None
        try:
            count = counts(self.parameters.seats(self.layer, at.round), stake[0], [stake[1]])[0]
        except EligibilityError:
            return None
        return HareEligibility(proof, count) if count > 0 else None

    def has_seats(self, at: IterRound, smesher: NodeId, claimed: HareEligibility) -> bool:
        """Whether a smesher, whose proof is valid, has the seats that it claims. No seats say nothing."""
        stake = self._stake(smesher, claimed.proof)
        if stake is None or claimed.count == 0:
            return False
        try:
            return is_count(self.parameters.seats(self.layer, at.round), stake[0], stake[1], claimed.count)
        except EligibilityError:
            return False

    def _stake(self, smesher: NodeId, proof: VrfSignature) -> tuple[int, Stake] | None:
        """The weight of all, and a smesher's draw; None for one that takes no part."""
        member = None if self.active is None else self.active.members.get(smesher)
        if self.active is None or member is None:
            return None
        return self.active.total, Stake(member.weight, proof)
