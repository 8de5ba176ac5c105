"""Which proof of a PoET round an activation is made over: the one of the most leaves with its challenge in it.

| the servers at which the challenge is registered | then |
|---|---|
| have all answered, or one has and patience is over | the best proof is kept, of equally good ones the first server's |
| fail | are asked again after a while, until the proof deadline |
| have no proof with the challenge in it | the other configured servers are asked for the same rounds |
| and these neither | nothing will come any more |

Protocol 02-poet-client, section 6.3.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, auto

from node.contract.instants import Instant, after
from node.contract.ports import Random
from protocol.types.ids import NodeId

from .events import BestProofSelected, NotAMember
from .rounds import Rounds
from .tables import MEMBERSHIPS, Challenge, Membership, registrations
from .times import Timeline
from .work import Errands, State, Work


@dataclass(frozen=True, slots=True)
class Source:
    """Where the proof of a round may be had."""

    server: str
    round_id: str
    due: Instant


class _Outcome(Enum):
    PENDING = auto()
    """It is on its way, or not due yet."""
    FAILED = auto()
    """It is asked for again later."""
    NO_MEMBER = auto()


class Choosing:
    """Of one identity."""

    def __init__(self, identity: NodeId, timeline: Timeline, errands: Errands, rounds: Rounds, random: Random) -> None:
        self.reason = ""
        """Why it is EXPIRED, as a sentence."""
        self._identity = identity
        self._timeline = timeline
        self._errands = errands
        self._rounds = rounds
        self._random = random
        self._jitter: dict[str, int] = {}
        self._told: set[Source] = set()
        """Sources of which it was told that the challenge is no member."""

    def reset(self) -> None:
        """Another challenge is next."""
        self._jitter.clear()
        self._told.clear()

    def wanted(self, work: Work, challenge: Challenge) -> set[tuple[str, str]]:
        """The rounds whose proofs may be chosen."""
        first, others = self._sources(work, challenge)
        return {(source.server, source.round_id) for source in (*first, *others)}

    def advance(self, work: Work, challenge: Challenge) -> State:
        """READY where a membership is kept."""
        deadline = self._timeline.proof_deadline(challenge.publish_epoch)
        if work.now > deadline:
            self.reason = "No PoET server gave a proof of the round in time."
            return State.EXPIRED
        self._errands.wake_at(after(deadline, 1))
        first, others = self._sources(work, challenge)
        found = self._look(work, challenge, first)
        if isinstance(found, Membership) or _Outcome.PENDING in found:
            return State.READY if isinstance(found, Membership) else State.WAITS
        elsewhere = self._look(work, challenge, others)
        if isinstance(elsewhere, Membership):
            return State.READY
        self.reason = "No proof of the round counts its challenge among the members."
        is_over = all(outcome is _Outcome.NO_MEMBER for outcome in (*found, *elsewhere))
        return State.EXPIRED if is_over else State.WAITS

    def _sources(self, work: Work, challenge: Challenge) -> tuple[Sequence[Source], Sequence[Source]]:
        """Where the challenge is registered, and where else the same rounds may be known."""
        known = registrations(work.rows, self._identity, challenge.hash())
        servers = self._timeline.parameters.servers
        first = [
            Source(server, known[server].round_id, after(Instant(known[server].round_end), self._jitter_of(server)))
            for server in servers
            if server in known
        ]
        rounds = sorted({row.round_id for row in known.values()})
        asked = {(source.server, source.round_id) for source in first}
        others = [
            Source(server, round_id, Instant(0))
            for server in servers
            for round_id in rounds
            if (server, round_id) not in asked
        ]
        return first, others

    def _jitter_of(self, server: str) -> int:
        if server not in self._jitter:
            least, most = self._timeline.jitter_bounds()
            self._jitter[server] = least + self._random.below(most - least + 1)
        return self._jitter[server]

    def _look(self, work: Work, challenge: Challenge, sources: Sequence[Source]) -> Membership | list[_Outcome]:
        """The best membership, kept, if it can be told now; else what became of each source."""
        best: tuple[Membership, Source] | None = None
        outcomes = []
        for source in sources:
            found = self._membership(work, challenge, source)
            if isinstance(found, _Outcome):
                outcomes.append(found)
            elif best is None or found.leaf_count > best[0].leaf_count:
                best = found, source
        if best is None:
            return outcomes
        patience = self._timeline.patience_end(challenge.publish_epoch)
        if _Outcome.PENDING in outcomes and work.now < patience:
            self._errands.wake_at(patience)
            return outcomes
        self._keep(work, *best)
        return best[0]

    def _membership(self, work: Work, challenge: Challenge, source: Source) -> Membership | _Outcome:
        if work.now < source.due:
            self._errands.wake_at(source.due)
            return _Outcome.PENDING
        is_open = self._rounds.ask(work, source.server, source.round_id)
        found = self._rounds.get(source.server, source.round_id)
        if found is None:
            if is_open:
                return _Outcome.PENDING
            self._errands.wake_at(self._rounds.not_before(source.server, source.round_id))
            return _Outcome.FAILED
        membership = found.membership(challenge.hash())
        if membership is not None:
            return membership
        if source not in self._told:
            self._told.add(source)
            work.emit(NotAMember(self._identity, source.server, source.round_id))
        return _Outcome.NO_MEMBER

    def _keep(self, work: Work, membership: Membership, source: Source) -> None:
        found = self._rounds.get(source.server, source.round_id)
        assert found is not None, "the membership was proven by it"
        found.keep(work.rows)
        work.rows.put(MEMBERSHIPS, self._identity, membership)
        work.emit(BestProofSelected(self._identity, source.server, source.round_id, membership.leaf_count))
