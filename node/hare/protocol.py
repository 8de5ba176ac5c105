"""The agreement of one layer: messages in, and in each round what this node says, learns and decides.

| round | does |
|---|---|
| preround | says which proposals it has |
| hardlock | takes a result that enough have notified of; holds on to a set that enough have committed to |
| softlock | holds on to one that nearly enough have committed to |
| propose | proposes what enough have |
| wait1, wait2 | proposals come in |
| commit | commits to the first good proposal, or to what it holds on to |
| notify | tells of a set that enough have committed to |

It goes on for one iteration after its result. Protocol 05-consensus, section 5.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from node.hare.gossip import Equivocation, Gossip, HareInput, Proposals
from node.hare.parameters import FIRST, following
from protocol.crypto import vrf
from protocol.crypto.hashing import hash_of_list
from protocol.types.hare import HareRound, IterRound
from protocol.types.ids import Hash32, NodeId, ProposalId, VrfSignature, as_hash32


@dataclass(frozen=True, slots=True)
class Said:
    """What a member of the committee sends in a round."""

    at: IterRound
    proposals: Proposals = ()
    reference: Hash32 | None = None


@dataclass(frozen=True, slots=True)
class RoundOutput:
    """What came of a round."""

    executed: IterRound
    said: Said | None = None
    coin: bool | None = None
    """The weak coin of the layer; once, after the first preround."""
    result: Proposals | None = None
    """What was agreed on, which may be nothing; once."""
    is_terminated: bool = False


def reference_of(proposals: Sequence[ProposalId]) -> Hash32:
    """The name of a list of proposals in this order."""
    return Hash32(hash_of_list(as_hash32(one) for one in proposals))


class HareProtocol:
    """The protocol of one layer. Mutable."""

    def __init__(self, threshold: int) -> None:
        """threshold: seats that decide."""
        self.next_round = FIRST
        """The round that is executed next."""
        self.initial: Proposals = ()
        """What this node votes for in the preround."""
        self.locked: Hash32 | None = None
        self.is_hard_locked = False
        self._result: Hash32 | None = None
        self._valid: dict[Hash32, Proposals] = {}
        """Proposed lists whose members enough have, by their references."""
        self._smallest: VrfSignature | None = None
        """Of the proofs of preround messages; its lowest bit is the coin."""
        self._is_coin_out = False
        self._gossip = Gossip(threshold)

    @property
    def messages(self) -> int:
        """Messages in memory."""
        return len(self._gossip)

    def on_input(self, message: HareInput) -> tuple[bool, Equivocation | None]:
        """Take a message: whether it is relayed, and what it proves together with an earlier one."""
        is_relayed, equivocation = self._gossip.receive(self.next_round, message)
        if is_relayed and message.at.round == HareRound.PREROUND:
            if vrf.compare(message.proof, self._smallest) < 0:
                self._smallest = message.proof
        return is_relayed, equivocation

    def is_known(self, at: IterRound, sender: NodeId, hash: Hash32) -> bool:
        """Whether a message would be dropped: it is there, or two others of its sender are."""
        return self._gossip.is_known(at, sender, hash)

    def next(self) -> RoundOutput:
        """Execute the next round."""
        at = self.next_round
        said, result, is_terminated = self._execute(at)
        coin = None
        if at.round >= HareRound.SOFTLOCK and self._smallest is not None and not self._is_coin_out:
            coin = bool(vrf.coin_bit(self._smallest))
            self._is_coin_out = True
        self.next_round = following(at)
        return RoundOutput(at, said, coin, result, is_terminated)

    def _execute(self, at: IterRound) -> tuple[Said | None, Proposals | None, bool]:
        """What is said, what the result is, whether this was the end."""
        match at.round:
            case HareRound.PREROUND:
                return Said(at, self.initial), None, False
            case HareRound.HARDLOCK if at.iter > 0:
                return None, *self._hardlock(at)
            case HareRound.SOFTLOCK if at.iter > 0 and not self.is_hard_locked:
                self.locked, _ = self._agreed(_before(at, HareRound.COMMIT), 3)
            case HareRound.PROPOSE:
                return Said(at, self._to_propose(at)), None, False
            case HareRound.COMMIT:
                reference = self._to_commit(at)
                return (None if reference is None else Said(at, reference=reference)), None, False
            case HareRound.NOTIFY:
                reference = self._result
                if reference is None:
                    reference, _ = self._agreed(IterRound(at.iter, HareRound.COMMIT), 5)
                return (None if reference is None else Said(at, reference=reference)), None, False
        return None, None, False

    def _agreed(self, target: IterRound, least: int) -> tuple[Hash32 | None, Proposals]:
        """The list that enough have named, where we know it to be valid."""
        for reference in self._gossip.references(target, least):
            if reference in self._valid:
                return reference, self._valid[reference]
        return None, ()

    def _hardlock(self, at: IterRound) -> tuple[Proposals | None, bool]:
        is_terminated = self._result is not None
        result = None
        reference, values = self._agreed(_before(at, HareRound.NOTIFY), 5)
        if reference is not None and self._result is None:
            self._result, result = reference, values
        self.locked, _ = self._agreed(_before(at, HareRound.COMMIT), 4)
        self.is_hard_locked = self.locked is not None
        return result, is_terminated

    def _to_propose(self, at: IterRound) -> Proposals:
        if at.iter > 0:
            reference, values = self._agreed(_before(at, HareRound.COMMIT), 2)
            if reference is not None:
                return values
        return tuple(self._gossip.proposals(FIRST, 4))

    def _to_commit(self, at: IterRound) -> Hash32 | None:
        proposed = self._gossip.gradecast(IterRound(at.iter, HareRound.PROPOSE))
        known = set(self._gossip.proposals(FIRST, 2))
        for one in proposed:
            if known.issuperset(one.values):
                self._valid[reference_of(one.values)] = one.values
        if self.is_hard_locked:
            return self.locked
        well_known = set(self._gossip.proposals(FIRST, 3))
        must_have = self._gossip.proposals(FIRST, 5)
        earlier = self._gossip.references(_before(at, HareRound.COMMIT), 1)
        for one in proposed:
            reference = reference_of(one.values)
            if (
                reference in self._valid
                and one.grade == 2
                and well_known.issuperset(one.values)
                and (set(one.values).issuperset(must_have) or reference in earlier)
                and self.locked in (None, reference)
            ):
                return reference
        return None


def _before(at: IterRound, round: HareRound) -> IterRound:
    """A round of the iteration before; that of the first has the number 255, of which there is nothing."""
    return IterRound((at.iter - 1) & 0xFF, round)
