"""Objects of a list that one peer sent, got batch by batch, however long the list is.

| of an id | then |
|---|---|
| is stored | passed over |
| came | passed over from now on |
| was refused | not asked for again, until it is in another list |
| no answer came, or something else is missing | asked for again later, so many times |
| nobody has it, not even who named it | the same, fewer times |

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
from node.sync.parameters import ListParameters
from node.sync.procedures import Answers, Pause, Procedure, Turn


@dataclass(frozen=True, slots=True)
class ListRules:
    """How the objects of a list are got."""

    hint: str
    has: Callable[[View, bytes], bool]
    """Whether an object is stored."""
    of: ListParameters
    at_once: int
    """Of a batch, those that are asked for at the same time."""
    ids_of_step: int
    step_pause: int
    """Nanoseconds."""


@dataclass(slots=True)
class _Missing:
    """An id whose object did not come."""

    named_by: PeerId
    tries: int = 0
    unknown: int = 0
    """How often nobody had it."""


class Listed:
    """What is still to be got of the lists that came."""

    def __init__(self, rules: ListRules) -> None:
        self._rules = rules
        self._missing: dict[bytes, _Missing] = {}
        self.total = 0
        """Ids of the longest list that was followed."""
        self.length = 0
        """Of the list that is being followed, or was last."""
        self.passed = 0
        """Ids of it, so far."""
        self.left_out: set[bytes] = set()
        """Those that are not asked for any more; bounded as those that are."""

    @property
    def obtainable(self) -> int:
        """Ids of the longest list, those left out that nobody has."""
        return max(0, self.total - len(self.left_out))

    @property
    def missing(self) -> int:
        """Ids that are to be asked for again."""
        return len(self._missing)

    def take(self, turn: Turn, ids: Sequence[bytes], peer: PeerId) -> Procedure[bool]:
        """Get the objects of a list; whether it was followed to its end, and was one."""
        at, asked = 0, 0
        unknown: list[bytes] = []
        self.length = len(ids)
        while at < len(ids) and len(unknown) <= self._rules.of.max_unknown:
            self.passed = at
            end = min(len(ids), at + self._rules.ids_of_step)
            wanted: list[bytes] = []
            while at < end and len(wanted) < self._rules.of.batch:
                id, at = ids[at], at + 1
                if not self._rules.has(turn.rows, id):
                    self._missing.pop(id, None)
                    self.left_out.discard(id)
                    wanted.append(id)
            outcomes = yield from self._get(turn, [(id, _Missing(peer)) for id in wanted])
            asked += len(wanted)
            unknown += [id for id, outcome in zip(wanted, outcomes, strict=True) if outcome is Outcome.UNKNOWN]
            if not wanted and at < len(ids):
                yield Pause(after(turn.now, self._rules.step_pause))
        if len(unknown) <= self._rules.of.max_unknown and 2 * len(unknown) <= asked:
            self.total = max(self.total, len(ids))
            return True
        for id in unknown:
            self._missing.pop(id, None)
        turn.effects.append(Penalise(peer, "unknown_ids"))
        return False

    def retry(self, turn: Turn) -> Procedure[None]:
        """Ask once more for a batch of those that did not come."""
        yield from self._get(turn, list(self._missing.items())[: self._rules.of.batch])

    def _get(self, turn: Turn, wanted: Sequence[tuple[bytes, _Missing]]) -> Procedure[list[Outcome]]:
        demands = [Fetch(self._rules.hint, id, (one.named_by,)) for id, one in wanted]
        came = yield Answers(demands, self._rules.at_once)
        outcomes = [outcome_of(one.result) for one in came]
        for (id, missing), outcome in zip(wanted, outcomes, strict=True):
            self._missing.pop(id, None)
            # what had to wait for others may have come with them
            if outcome is Outcome.HERE or self._rules.has(turn.rows, id):
                continue
            missing.tries += 1
            missing.unknown += outcome is Outcome.UNKNOWN
            is_over = missing.tries >= self._rules.of.max_tries or missing.unknown >= self._rules.of.max_tries_unknown
            if outcome is not Outcome.REFUSED and not is_over and len(self._missing) < self._rules.of.max_retried:
                self._missing[id] = missing
            elif len(self.left_out) < self._rules.of.max_retried:
                self.left_out.add(id)
        return outcomes
