"""Whether entries of certificates hold: signature, proof, and the seats that are claimed.

Protocol 05-consensus, sections 2 and 9.
"""

from __future__ import annotations

from collections.abc import Sequence

from node.beacon.machine import BEACONS
from node.contract.checks import SignatureCheck, VrfCheck
from node.eligibility.active_set import Oracle
from node.eligibility.committee import Stake, counts, is_count
from node.eligibility.errors import EligibilityError
from node.store.view import View
from protocol.crypto.signing import Domain
from protocol.numbers.layers import NetworkTime
from protocol.types.certificates import CERTIFIER_ROUND, CertifyMessage
from protocol.types.eligibility import hare_input
from protocol.types.ids import Beacon, LayerId, NodeId, VrfSignature


class Seats:
    """The committee that certifies."""

    def __init__(self, committee: int, time: NetworkTime, oracle: Oracle) -> None:
        self._committee = committee
        self._time = time
        self._oracle = oracle

    def beacon(self, view: View, layer: LayerId) -> Beacon | None:
        """The beacon of a layer's epoch."""
        return view.get(BEACONS, self._time.epoch_of(layer))

    def alpha(self, view: View, layer: LayerId) -> bytes:
        """What a certifier of a layer proves with its VRF. Raises EligibilityError (beacon_missing)."""
        beacon = self.beacon(view, layer)
        if beacon is None:
            raise EligibilityError(f"The beacon of the epoch of layer {layer} is not known.", "beacon_missing")
        return hare_input(beacon, CERTIFIER_ROUND, layer)

    def checks(
        self, view: View, layer: LayerId, entries: Sequence[CertifyMessage]
    ) -> tuple[list[SignatureCheck], list[VrfCheck]]:
        """What has to be looked at in entries of one layer. Raises EligibilityError (beacon_missing)."""
        alpha = self.alpha(view, layer)
        return (
            [SignatureCheck(Domain.HARE, entry.smesher_id, entry.signed_bytes(), entry.signature) for entry in entries],
            [VrfCheck(entry.smesher_id, alpha, entry.content.proof) for entry in entries],
        )

    def require_seats(self, view: View, entry: CertifyMessage) -> None:
        """Raises EligibilityError unless a smesher, whose proof holds, has the seats that it claims: not_eligible,
        and as `active_set` and `is_count`. No seats say nothing."""
        layer, claimed = entry.content.layer, entry.content.eligibility_count
        stake = self._stake(view, layer, entry.smesher_id, entry.content.proof)
        if claimed == 0 or not is_count(self._committee, stake[0], stake[1], claimed):
            raise EligibilityError(
                f"Smesher {entry.smesher_id.hex()} does not have {claimed} seats in layer {layer}.", "not_eligible"
            )

    def of(self, view: View, layer: LayerId, smesher: NodeId, proof: VrfSignature) -> int:
        """The seats of an own proof. Raises EligibilityError as `active_set`, `counts`, and not_active."""
        total, stake = self._stake(view, layer, smesher, proof)
        return counts(self._committee, total, [stake])[0]

    def is_active(self, view: View, layer: LayerId, smesher: NodeId) -> bool:
        """Whether a smesher can have seats at all. Raises EligibilityError as `active_set`."""
        return smesher in self._oracle.active_set(view, layer).members

    def _stake(self, view: View, layer: LayerId, smesher: NodeId, proof: VrfSignature) -> tuple[int, Stake]:
        active = self._oracle.active_set(view, layer)
        member = active.members.get(smesher)
        if member is None:
            raise EligibilityError(f"Smesher {smesher.hex()} takes no part in layer {layer}.", "not_active")
        return active.total, Stake(member.weight, proof)
