"""On which activation a new one builds: the highest whose whole chain holds, by our own verification.

Candidates are the activations in memory of the newest epoch before, smeshers that broke the rules left out, the highest
first. One search serves all identities of the node, and the choice of a commitment before labels are made.
Protocol 04-activation-beacon-eligibility, section 3.3.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from node.activation.columns import AtxColumns
from node.activation.tables import ATXS, COLUMNS
from node.contract.demands import Result, VerifyPost
from node.store.view import BACKWARDS, Rows, View
from protocol.types.ids import AtxId, EpochId

from .chain import ChainCheck, Finding, Trust

AT_ONCE = 64
"""Candidates that are taken out of the columns at once; the first of them nearly always holds."""


def newest_epoch(view: View) -> EpochId | None:
    """The newest publish epoch of all activations."""
    for target, _ in view.keys(COLUMNS, BACKWARDS):
        return EpochId(target - 1)
    return None


def chosen(view: View, golden: AtxId, candidate: AtxId, previous: AtxId | None) -> AtxId:
    """What an identity builds on: its own previous activation always before the golden one, and before a candidate that
    is not higher."""
    own = None if previous is None else view.get(ATXS, previous)
    if previous is None or own is None:
        return candidate
    other = None if candidate == golden else view.get(ATXS, candidate)
    return previous if other is None or own.height >= other.height else candidate


@dataclass(slots=True)
class Search:
    """One search. Mutable; may be begun anew at any time."""

    trust: Trust
    target: EpochId
    """The epoch in which the candidates count."""
    found: AtxId | None = None
    """What was found; the golden one where nothing holds."""
    seen: set[AtxId] = field(default_factory=set)
    waiting: list[AtxId] = field(default_factory=list)
    """Candidates, the next one last."""
    check: ChainCheck | None = None

    def advance(self, rows: Rows, columns: AtxColumns) -> VerifyPost | None:
        """The next check to be made; None: it is over."""
        while self.found is None:
            if self.check is None:
                candidate = self._next(columns)
                if candidate is None:
                    self.stop()
                    break
                self.check = ChainCheck(candidate, self.trust)
            step = self.check.advance(rows)
            if isinstance(step, VerifyPost):
                return step
            self._settled(step)
        return None

    def answered(self, rows: Rows, result: Result) -> None:
        """The check that was asked for is made."""
        if self.check is not None and self.found is None:
            step = self.check.answered(rows, result)
            if step is not None:
                self._settled(step)

    def stop(self) -> None:
        """No more time: nothing was found."""
        if self.found is None:
            self.found = self.trust.parameters.golden_atx
        self.check = None

    def _settled(self, step: Finding) -> None:
        assert self.check is not None, "it gave the step"
        if step is Finding.HOLDS:
            self.found = self.check.id
        self.check = None

    def _next(self, columns: AtxColumns) -> AtxId | None:
        if not self.waiting:
            highest = columns.epoch(self.target).highest(len(self.seen) + AT_ONCE)
            self.waiting = [id for id in reversed(highest) if id not in self.seen]
            self.seen.update(self.waiting)
        return self.waiting.pop() if self.waiting else None
