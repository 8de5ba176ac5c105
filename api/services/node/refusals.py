"""Transactions that were refused here, for a while: who asks what became of one learns why, not that it is unknown.

One memory a node, whichever service refused and whichever is asked. Protocol 10-api, section 7.
"""

from __future__ import annotations

from collections import OrderedDict
from enum import Enum
from weakref import WeakKeyDictionary

from node.contract.verdicts import Verdict
from protocol.types.ids import TransactionId

from .backend import Backend
from .bus import Bus

KEPT = 10_000
"""Refused transactions that are remembered, the latest ones."""


class Refusal(Enum):
    """Why a transaction is not taken."""

    REJECTED = "rejected"
    """It is not valid."""
    INSUFFICIENT_FUNDS = "insufficient funds"
    CONFLICTING = "conflicting"
    """Its nonce has been used."""


_REASONS = {"insufficient_balance": Refusal.INSUFFICIENT_FUNDS, "bad_nonce": Refusal.CONFLICTING}
_PASSING = frozenset(("duplicate", "not_synced"))
"""Reasons that say nothing about the transaction."""


class Refusals:
    """What is remembered of one node. Mutable."""

    def __init__(self, kept: int = KEPT) -> None:
        self._kept = kept
        self._found: OrderedDict[TransactionId, Refusal] = OrderedDict()

    def note(self, id: TransactionId, verdict: Verdict) -> None:
        """What a node has said of a transaction; the last word counts."""
        self._found.pop(id, None)
        if verdict.is_accepted or verdict.reason in _PASSING:
            return
        self._found[id] = _REASONS.get(verdict.reason, Refusal.REJECTED)
        if len(self._found) > self._kept:
            self._found.popitem(last=False)

    def of(self, id: TransactionId) -> Refusal | None:
        """Why a transaction was refused; None where it was not, or that is forgotten."""
        return self._found.get(id)


_OF_NODES: WeakKeyDictionary[Bus, Refusals] = WeakKeyDictionary()


def refusals_of(backend: Backend) -> Refusals:
    """Those of a node."""
    return _OF_NODES.setdefault(backend.bus, Refusals())
