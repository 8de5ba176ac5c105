"""Seats of hare's committee: who may speak in a round, and as how many. Protocol 05-consensus, section 2."""

from __future__ import annotations

from typing import Protocol

from node.eligibility.active_set import ActiveSet
from node.eligibility.committee import Stake, counts, is_count
from node.eligibility.errors import EligibilityError
from node.hare.parameters import HareParameters
from node.store.view import View
from protocol.types.eligibility import hare_input
from protocol.types.hare import HareEligibility, IterRound
from protocol.types.ids import Beacon, LayerId, NodeId, VrfSignature


class Oracle(Protocol):
    """Who takes part in a layer."""

    def active_set(self, view: View, layer: LayerId) -> ActiveSet:
        """Raises EligibilityError: beacon_missing, empty_active_set, missing_atx."""


def alpha(beacon: Beacon, layer: LayerId, at: IterRound) -> bytes:
    """What a smesher proves with its VRF to take part in a round."""
    return hare_input(beacon, at.absolute(), layer)


class Seats:
    """The committees of one network. Where nobody can say who is active, nobody has a seat."""

    def __init__(self, oracle: Oracle) -> None:
        self._oracle = oracle

    def is_active(self, view: View, layer: LayerId, smesher: NodeId) -> bool:
        """Whether a smesher can have seats in a layer at all."""
        return self._stake(view, layer, smesher, VrfSignature(b"")) is not None

    def of(
        self,
        view: View,
        parameters: HareParameters,
        layer: LayerId,
        at: IterRound,
        smesher: NodeId,
        proof: VrfSignature,
    ) -> HareEligibility | None:
        """The seats of an own proof; None without any."""
        stake = self._stake(view, layer, smesher, proof)
        if stake is None:
            return None
        try:
            count = counts(parameters.seats(layer, at.round), stake[0], [stake[1]])[0]
        except EligibilityError:
            return None
        return HareEligibility(proof, count) if count > 0 else None

    def holds(
        self,
        view: View,
        parameters: HareParameters,
        layer: LayerId,
        at: IterRound,
        smesher: NodeId,
        claimed: HareEligibility,
    ) -> bool:
        """Whether a smesher, whose proof is valid, has the seats that it claims. No seats say nothing."""
        stake = self._stake(view, layer, smesher, claimed.proof)
        if stake is None or claimed.count == 0:
            return False
        try:
            return is_count(parameters.seats(layer, at.round), stake[0], stake[1], claimed.count)
        except EligibilityError:
            return False

    def _stake(self, view: View, layer: LayerId, smesher: NodeId, proof: VrfSignature) -> tuple[int, Stake] | None:
        """The weight of all, and a smesher's draw; None for one that takes no part."""
        try:
            active = self._oracle.active_set(view, layer)
        except EligibilityError:
            return None
        member = active.members.get(smesher)
        return None if member is None else (active.total, Stake(member.weight, proof))
