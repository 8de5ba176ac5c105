"""What an eligibility cannot be judged for."""

from __future__ import annotations

from node.errors import NodeError


class EligibilityError(NodeError):
    """An eligibility that cannot be computed.

    reason: zero_committee_size, zero_total_weight, weight_exceeds_maximum, not_active, beacon_missing,
    empty_active_set, missing_atx.
    """
