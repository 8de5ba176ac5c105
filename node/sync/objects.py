"""What came of objects that were fetched: whether to ask again. Protocol 09a, sections 4.4 and 5.4."""

from __future__ import annotations

from enum import Enum

from node.contract.demands import Failed, Fetched, Result
from node.contract.verdicts import Judgement

PASSING = frozenset({"expired", "fault", "not_checked", "not_synced", "too_many_waiting", "too_many_waiting_of_peer"})
"""Reasons of verdicts that say nothing of the object: it may be taken another time."""
PASSING_BEGINNING, PASSING_ENDINGS = "missing_", ("unavailable", "not_found")
"""So are those that say that something else did not come."""


class Outcome(Enum):
    """What came of one."""

    HERE = "here"
    """It is stored."""
    REFUSED = "refused"
    """It is bad, or is not wanted: no use in asking again."""
    UNKNOWN = "unknown"
    """No peer has it."""
    LATER = "later"
    """Peers did not answer, or what it depends on is not here."""


def outcome_of(result: Result) -> Outcome:
    """Of a demand `Fetch`."""
    if isinstance(result, Fetched):
        verdict = result.verdict
        if verdict.is_accepted:
            return Outcome.HERE
        is_passing = (
            verdict.reason in PASSING
            or verdict.reason.startswith(PASSING_BEGINNING)
            or verdict.reason.endswith(PASSING_ENDINGS)
        )
        return Outcome.LATER if verdict.judgement is Judgement.IGNORE and is_passing else Outcome.REFUSED
    if isinstance(result, Failed) and result.reason == "not_found":
        return Outcome.UNKNOWN
    return Outcome.LATER
