"""Whether a ballot is taken, alone or in a proposal: every check in its order, and what has to be asked for first.

| check | what may be asked for, once |
|---|---|
| epoch data stand where they belong | |
| the active set of a first ballot | the set; before it the ATX, so that nobody without one makes us ask |
| base ballot, first ballot | both |
| ATX | it |
| tortoise can unfold the votes, which are as signed | |
| the votes go together | |
| slots | proofs, a few at first |

All of it is done anew after each wait. Protocol 04b, section 6.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum, auto
from typing import Protocol

from node.activation.columns import AtxColumns, AtxRow
from node.contract.checks import VrfCheck
from node.contract.demands import Demand, Fetch, Fetched
from node.contract.messages import Message, Origin, PeerId
from node.contract.steps import Found, Needs
from node.proposals.active_sets import ActiveSets
from node.proposals.asked import Asked
from node.proposals.eligibility import Standing, proofs_to_check, require_owner, standing
from node.proposals.errors import BallotIgnored, BallotRejected
from node.proposals.parameters import ProposalParameters
from node.proposals.rules import check_votes, epoch_data_of, for_tortoise
from node.store.view import View
from node.tortoise.ballots import BallotFacts, Decoded, TortoiseBallot
from node.tortoise.errors import TortoiseError
from protocol.numbers.layers import NetworkTime
from protocol.types.ballots import Ballot, EpochData
from protocol.types.fetch import Hint
from protocol.types.ids import EMPTY_BALLOT_ID, BallotId, EpochId, as_hash32
from protocol.types.proposals import Proposal


class Wait(Enum):
    """What a message waits for."""

    SIGNATURES = auto()
    ACTIVE_SET_ATX = auto()
    ACTIVE_SET = auto()
    BALLOTS = auto()
    ATX = auto()
    PROOFS = auto()
    TRANSACTIONS = auto()


@dataclass(frozen=True, slots=True)
class Stage:
    """A ballot or a proposal, and how far it has come."""

    ballot: Ballot
    ballot_id: BallotId
    proposal: Proposal | None
    """None: the ballot came alone."""
    wait: Wait
    asked: frozenset[Wait] = frozenset()
    missed: frozenset[Wait] = frozenset()
    """What was asked for and is not to be had."""
    proofs: tuple[VrfCheck, ...] = ()
    """Those that are being looked at."""
    proven: tuple[VrfCheck, ...] = ()
    """Those that hold."""

    def waiting(self, wait: Wait, proofs: Sequence[VrfCheck] = ()) -> Stage:
        """The next stage."""
        return replace(self, wait=wait, asked=self.asked | {wait}, proofs=tuple(proofs))

    def found(self, found: Found) -> Stage:
        """With the answer to what it waited for, but for signatures.

        Raises BallotIgnored (bad_vrf) where a proof does not hold.
        """
        if self.wait is Wait.PROOFS:
            if not found.all_hold:
                raise BallotIgnored("A proof of a slot does not hold for the beacon of its smesher.", "bad_vrf")
            return replace(self, proofs=(), proven=(*self.proven, *self.proofs))
        if all(isinstance(result, Fetched) and result.verdict.is_accepted for result in found.results):
            return self
        return replace(self, missed=self.missed | {self.wait})


@dataclass(frozen=True, slots=True)
class ValidBallot:
    """A ballot that holds, and what was found on the way."""

    decoded: Decoded
    standing: Standing
    atx: AtxRow


class Votes(Protocol):
    """Tortoise, as far as a ballot is judged by it."""

    def ballot(self, id: BallotId) -> BallotFacts | None:
        """What a stored ballot says."""

    def decode(self, ballot: TortoiseBallot) -> Decoded:
        """Unfold the votes of a ballot. Raises TortoiseError."""


class BallotJudge:
    """The checks of ballots."""

    def __init__(self, parameters: ProposalParameters, time: NetworkTime, atxs: AtxColumns, votes: Votes) -> None:
        self._parameters = parameters
        self._time = time
        self._atxs = atxs
        self._votes = votes
        self._asked = Asked(parameters)
        self.active_sets = ActiveSets(parameters, atxs)

    def judge(self, stage: Stage, message: Message, current: EpochId, view: View) -> ValidBallot | Needs:
        """One pass over a ballot that tortoise does not know. current: the epoch that runs.

        Raises BallotIgnored, BallotRejected.
        """
        ballot, inner = stage.ballot, stage.ballot.inner
        epoch = self._time.epoch_of(inner.layer)
        data, total = epoch_data_of(ballot), 0
        if data is not None and epoch >= max(0, current - 1):
            found = self._active_set(stage, data, epoch, message, view)
            if isinstance(found, Needs):
                return found
            total = found
        needs = self._others(stage, epoch, message)
        if needs is not None:
            return needs
        decoded = self._decode(ballot)
        check_votes(ballot.votes, inner.layer, self._parameters.hdist, self._parameters.max_exceptions)
        entitled = self.entitled(stage, total, current)
        return entitled if isinstance(entitled, Needs) else ValidBallot(decoded, *entitled)

    def entitled(self, stage: Stage, total: int, current: EpochId) -> tuple[Standing, AtxRow] | Needs:
        """Whether a ballot has the slots that it claims. total: weight of the active set that it names, 0 where that
        was not looked at. Raises BallotIgnored, BallotRejected."""
        ballot, inner = stage.ballot, stage.ballot.inner
        if not ballot.eligibility_proofs:
            raise BallotRejected("The ballot claims no slot.", "no_eligibility_proofs")
        atx = require_owner(ballot, self._atxs.get(self._time.epoch_of(inner.layer), inner.atx_id))
        by = standing(
            ballot,
            atx,
            total,
            self._votes.ballot(inner.ref_ballot),
            current,
            self._time,
            self._parameters.layer_size,
            self._parameters.minimal_weights,
        )
        return self._unproven(stage, by, atx) or (by, atx)

    def _active_set(self, stage: Stage, data: EpochData, epoch: EpochId, message: Message, view: View) -> int | Needs:
        """What the active set of a first ballot weighs."""
        hash = data.active_set_hash
        weight = self.active_sets.weight(view, hash)
        if weight is not None:
            return weight
        if Wait.ACTIVE_SET in stage.missed:
            raise BallotIgnored(f"Active set {hash.hex()} is not to be had.", "unavailable")
        if Wait.ACTIVE_SET in stage.asked:
            raise BallotIgnored(f"Active set {hash.hex()} did not come.", "active_set_not_found")
        atx = self._atxs.get(epoch, stage.ballot.inner.atx_id)
        if atx is None and Wait.ACTIVE_SET_ATX not in stage.asked:
            demand = Fetch(Hint.ATX, stage.ballot.inner.atx_id, _peers(message))
            return Needs(demands=(demand,), memo=stage.waiting(Wait.ACTIVE_SET_ATX))
        require_owner(stage.ballot, atx)
        self._asked.active_set(epoch, stage.ballot.smesher_id, hash)
        return Needs(demands=(Fetch(Hint.ACTIVE_SET, hash, _peers(message)),), memo=stage.waiting(Wait.ACTIVE_SET))

    def _others(self, stage: Stage, epoch: EpochId, message: Message) -> Needs | None:
        """What else is not here: ballots, and the ATX."""
        inner = stage.ballot.inner
        named = dict.fromkeys((stage.ballot.votes.base, inner.ref_ballot))
        missing = [id for id in named if id != EMPTY_BALLOT_ID and self._votes.ballot(id) is None]
        if missing:
            if Wait.BALLOTS in stage.missed:
                raise BallotIgnored(f"Ballot {missing[0].hex()} is not to be had.", "ballots_unavailable")
            if Wait.BALLOTS not in stage.asked:
                wanted = [as_hash32(id) for id in missing]
                because = message.expected if message.origin is Origin.FETCHED else None
                self._asked.ballots(because, wanted)
                demands: list[Demand] = [Fetch(Hint.BALLOT, id, _peers(message)) for id in wanted]
                return Needs(demands=demands, memo=stage.waiting(Wait.BALLOTS))
        if self._atxs.get(epoch, inner.atx_id) is None:
            if Wait.ATX in stage.asked:
                raise BallotIgnored(f"ATX {inner.atx_id.hex()} is not to be had for epoch {epoch}.", "atx_unavailable")
            return Needs(demands=(Fetch(Hint.ATX, inner.atx_id, _peers(message)),), memo=stage.waiting(Wait.ATX))
        return None

    def _decode(self, ballot: Ballot) -> Decoded:
        is_malicious = self._atxs.is_malicious(ballot.smesher_id)
        try:
            return self._votes.decode(for_tortoise(ballot, is_malicious=is_malicious))
        except TortoiseError as error:
            raise BallotIgnored(f"Tortoise cannot take the ballot: {error}", "tortoise_decode") from None

    def _unproven(self, stage: Stage, by: Standing, atx: AtxRow) -> Needs | None:
        """Proofs that were not looked at yet; None: all hold. Raises BallotRejected where that says all there is."""
        checks, fault = proofs_to_check(stage.ballot, by, atx.nonce, self._time)
        done = len(stage.proven)
        if stage.proven != tuple(checks[:done]):
            done = 0  # another ballot of the epoch has become the first one
        more = checks[done : max(2 * done, self._parameters.first_proofs)]
        if more:
            start = stage if done else replace(stage, proven=())
            return Needs(vrf_proofs=more, memo=start.waiting(Wait.PROOFS, more))
        if fault is not None:
            raise fault.with_traceback(None)  # it may be kept, and shall keep nothing
        return None


def _peers(message: Message) -> tuple[PeerId, ...]:
    return () if message.peer is None else (message.peer,)
