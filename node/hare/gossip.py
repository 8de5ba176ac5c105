"""Graded gossip: which values enough of the committee has sent, by how late their messages were.

One message counts for each sender and round. Of a sender who says two things, the better graded message is kept, counts
towards a value's total but not as a valid vote, and the pair is a proof against him.

| in the store | a message comes | what happens |
|---|---|---|
| nothing | any | kept, relayed |
| the same | the same again | dropped |
| an honest one | another of a better ATX grade | replaces it, marked; relayed, with a proof |
| an honest one | another | it is marked; relayed, with a proof |
| a marked one | any | dropped |

What a tally needs is kept in step: messages of a round are summed by when they came, the grade of their ATX and whether
their sender is honest, so a tally adds up a few sums. Protocol 05-consensus, sections 5.1 to 5.4.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from node.contract.quick import quick
from node.hare.parameters import delay, grade
from protocol.crypto import vrf
from protocol.types.hare import HareRound, IterRound
from protocol.types.ids import EdSignature, Hash32, NodeId, ProposalId, VrfSignature

MASK16 = 0xFFFF
"""Seats are added up in 16 bits."""
TOP_GRADE = 5

Proposals = tuple[ProposalId, ...]
Value = Proposals | Hash32
"""What a message votes for: a list of proposals, or the reference of one."""


@quick
class HareInput:
    """A message as the protocol needs it."""

    sender: NodeId
    at: IterRound
    proposals: Proposals
    reference: Hash32 | None
    hash: Hash32
    """Of its body: what is signed."""
    proof: VrfSignature
    count: int
    """Seats of the sender in the round."""
    atx_grade: int
    """0 to 5."""
    is_malicious: bool
    """Whether the sender was known as malicious when it came."""
    signature: EdSignature
    """Over the hash, layer and round."""


@dataclass(frozen=True, slots=True)
class Equivocation:
    """Two messages of one sender in one round."""

    first: HareInput
    """The one that was there."""
    second: HareInput


@dataclass(frozen=True, slots=True)
class Graded:
    """A proposal that was graded."""

    grade: int
    """1 or 2."""
    values: Proposals
    proof: VrfSignature


@dataclass(slots=True)
class _Kept:
    """A message in the store. Mutable."""

    message: HareInput
    received: IterRound
    is_marked: bool
    other: IterRound | None = None
    """When the other message of its sender came."""


@dataclass(slots=True)
class _Sum:
    """Messages of one round that a tally treats alike."""

    messages: int = 0
    counts: dict[Value, int] = field(default_factory=dict)


_Class = tuple[IterRound, int, bool]
"""When it came, the grade of its ATX, whether its sender is marked."""


class Gossip:
    """The messages of one layer. Mutable."""

    def __init__(self, threshold: int) -> None:
        """threshold: seats that decide."""
        self._threshold = threshold
        self._kept: dict[IterRound, dict[NodeId, _Kept]] = {}
        self._sums: dict[IterRound, dict[_Class, _Sum]] = {}
        self._tallies: dict[tuple[IterRound, int], Sequence[Value]] = {}
        """Results that no message has made old yet."""

    def __len__(self) -> int:
        return sum(len(kept) for kept in self._kept.values())

    def receive(self, now: IterRound, message: HareInput) -> tuple[bool, Equivocation | None]:
        """Take a message: whether it is relayed, and what it proves together with an earlier one.

        now: the round that is executed next.
        """
        kept = self._kept.setdefault(message.at, {})
        known = kept.get(message.sender)
        if known is None:
            kept[message.sender] = added = _Kept(message, now, message.is_malicious)
            self._add(added, 1)
            return True, None
        if self.is_known(message.at, message.sender, message.hash):
            return False, None
        self._add(known, -1)
        if message.atx_grade > known.message.atx_grade:
            kept[message.sender] = marked = _Kept(message, now, True, known.received)
        else:
            known.is_marked, known.other = True, now
            marked = known
        self._add(marked, 1)
        return True, Equivocation(known.message, message)

    def is_known(self, at: IterRound, sender: NodeId, hash: Hash32) -> bool:
        """Whether a message would be dropped: it is there, or two others of its sender are."""
        known = self._kept.get(at, {}).get(sender)
        return known is not None and (known.is_marked or known.message.hash == hash)

    def _add(self, kept: _Kept, sign: int) -> None:
        message = kept.message
        sums = self._sums.setdefault(message.at, {})
        one = sums.setdefault((kept.received, message.atx_grade, kept.is_marked), _Sum())
        value: Value = message.proposals if message.reference is None else message.reference
        one.messages += sign
        one.counts[value] = one.counts.get(value, 0) + sign * message.count
        for target in [target for target in self._tallies if target[0] == message.at]:
            del self._tallies[target]

    def references(self, target: IterRound, least: int) -> Sequence[Hash32]:
        """References that reach the threshold with messages of at least a grade, in a fixed order of ours."""
        return self._tally(target, least)  # type: ignore[return-value]

    def proposals(self, target: IterRound, least: int) -> Sequence[ProposalId]:
        """Proposals that reach the threshold with messages of at least a grade, ascending."""
        return self._tally(target, least)  # type: ignore[return-value]

    def _tally(self, target: IterRound, least: int) -> Sequence[Value]:
        known = self._tallies.get((target, least))
        if known is None:
            known = self._tallies[target, least] = sorted(self._reached(target, least))
        return known

    def _reached(self, target: IterRound, least: int) -> Iterable[Value]:
        in_time = [
            (atx_grade, is_marked, one)
            for (received, atx_grade, is_marked), one in self._sums.get(target, {}).items()
            if one.messages and grade(received, target) >= least
        ]
        lowest = min([TOP_GRADE, *(atx_grade for atx_grade, is_marked, _ in in_time if not is_marked)])
        lists: dict[Value, tuple[int, int]] = {}
        for atx_grade, is_marked, one in in_time:
            if atx_grade >= lowest:
                for value, count in one.counts.items():
                    total, valid = lists.get(value, (0, 0))
                    lists[value] = (total + count, valid if is_marked else valid + count)
        if target.round in (HareRound.PREROUND, HareRound.PROPOSE):
            singles: dict[Value, tuple[int, int]] = {}
            for ids, (total, valid) in lists.items():
                for id in ids:
                    known_total, known_valid = singles.get(id, (0, 0))  # type: ignore[call-overload]
                    singles[id] = (known_total + total, known_valid + valid)  # type: ignore[index]
            lists = singles
        return [
            value for value, (total, valid) in lists.items() if total & MASK16 >= self._threshold and valid & MASK16 > 0
        ]

    def gradecast(self, target: IterRound) -> list[Graded]:
        """The proposals of a propose round that are worth something, by their proofs."""
        found = []
        for kept in self._kept.get(target, {}).values():
            if kept.is_marked and kept.other is None:
                continue
            late = delay(kept.received, target)
            other = None if kept.other is None else delay(kept.other, target)
            message = kept.message
            if message.atx_grade == TOP_GRADE and late <= 1 and (other is None or other > 3):
                found.append(Graded(2, message.proposals, message.proof))
            elif message.atx_grade >= 4 and late <= 2 and (other is None or other > 2):
                found.append(Graded(1, message.proposals, message.proof))
        return sorted(found, key=lambda one: vrf.order_key(one.proof))
