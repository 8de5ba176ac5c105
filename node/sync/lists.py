"""Objects of a list that one peer sent, got batch by batch, however long the list is.

| of an id | then |
|---|---|
| is stored | passed over |
| came | passed over from now on |
| was refused | not asked for again, until it is in another list |
| nobody has it, or no answer came | asked for again later, so many times |

A list in which too many ids are of things that nobody has is let go, and one in which most are does not count as one;
its sender is blamed, for an honest one has what it names. Protocol 09a, sections 5.3 and 5.7.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from node.contract.demands import Fetch
from node.contract.effects import Penalise
from node.contract.instants import after
from node.contract.messages import PeerId
from node.store.view import View
from node.sync.objects import Outcome, outcome_of
from node.sync.procedures import Answers, Pause, Procedure, Turn


@dataclass(frozen=True, slots=True)
class ListRules:
    """How the objects of a list are got."""

    hint: str
    has: Callable[[View, bytes], bool]
    """Whether an object is stored."""
    batch: int
    at_once: int
    max_tries: int
    max_retried: int
    max_unknown: int
    ids_of_step: int
    step_pause: int
    """Nanoseconds."""


class Listed:
    """What is still to be got of the lists that came."""

    def __init__(self, rules: ListRules) -> None:
        self._rules = rules
        self._tries: dict[bytes, int] = {}
        """Of those that did not come."""
        self.total = 0
        """Ids of the longest list."""
        self.passed = 0
        """Ids of the list that is being followed, so far."""
        self.left_out: set[bytes] = set()
        """Those that are not asked for any more; bounded as those that are."""

    @property
    def missing(self) -> int:
        """Ids that are to be asked for again."""
        return len(self._tries)

    def take(self, turn: Turn, ids: Sequence[bytes], peer: PeerId) -> Procedure[bool]:
        """Get the objects of a list; whether it was followed to its end, and was one."""
        self.total = max(self.total, len(ids))
        at, asked, unknown = 0, 0, 0
        while at < len(ids):
            self.passed = at
            end = min(len(ids), at + self._rules.ids_of_step)
            wanted: list[bytes] = []
            while at < end and len(wanted) < self._rules.batch:
                id, at = ids[at], at + 1
                if not self._rules.has(turn.rows, id):
                    self._tries.pop(id, None)
                    self.left_out.discard(id)
                    wanted.append(id)
            outcomes = yield from self._get(turn, wanted, (peer,))
            asked += len(outcomes)
            unknown += outcomes.count(Outcome.UNKNOWN)
            if unknown > self._rules.max_unknown:
                break
            if not wanted and at < len(ids):
                yield Pause(after(turn.now, self._rules.step_pause))
        is_made_up = unknown > self._rules.max_unknown or 2 * unknown > asked
        if is_made_up:
            turn.effects.append(Penalise(peer, "unknown_ids"))
        return not is_made_up

    def retry(self, turn: Turn) -> Procedure[None]:
        """Ask once more for a batch of those that did not come."""
        yield from self._get(turn, list(self._tries)[: self._rules.batch], ())

    def _get(self, turn: Turn, ids: Sequence[bytes], peers: tuple[PeerId, ...]) -> Procedure[list[Outcome]]:
        came = yield Answers([Fetch(self._rules.hint, id, peers) for id in ids], self._rules.at_once)
        outcomes = [outcome_of(one.result) for one in came]
        for id, outcome in zip(ids, outcomes, strict=True):
            # what had to wait for others may have come with them
            if outcome is Outcome.HERE or self._rules.has(turn.rows, id):
                self._tries.pop(id, None)
                continue
            tries = self._rules.max_tries if outcome is Outcome.REFUSED else self._tries.pop(id, 0) + 1
            if tries < self._rules.max_tries and len(self._tries) < self._rules.max_retried:
                self._tries[id] = tries
            else:
                self._tries.pop(id, None)
                if len(self.left_out) < self._rules.max_retried:
                    self.left_out.add(id)
        return outcomes
