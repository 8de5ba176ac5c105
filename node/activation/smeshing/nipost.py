"""From a challenge to a proof of space over the time that a PoET round took: registration, membership, proof.

| state | by the rows | waits for | then |
|---|---|---|---|
| registering | a challenge | every configured server, each by itself, until the round starts | registrations |
| in the round | registrations | the end of the round, and a little more | proofs are asked for |
| choosing | registrations | the proofs: all, or one when patience ends | the one of most leaves is kept |
| proving | a membership | the initial proof checked against the space; the prover | the proof of space is kept |
| verifying | a proof of space | its check | one that does not hold is made again |

| it ends | when |
|---|---|
| EXPIRED | the round started without a registration, or no proof came in time |
| – | no round counts the challenge among its members, or the epoch is over |
| MISMATCHED | the round started, and all registrations are at servers that are not configured any more |
| INITIAL_INVALID | the registered initial proof does not fit the space any more |
| READY | the proof of space is verified |

`registering` and `choosing` are the part with PoET servers, `proving` is the one with the prover. Each looks at the
rows and does what is due, so that it does not matter where a node stopped. Protocol
04-activation-beacon-eligibility, section 3.2, and 02-poet-client, section 6.
"""

from __future__ import annotations

from node.contract.demands import Result
from node.contract.ports import Random, Signer
from protocol.types.ids import NodeId

from .choosing import Choosing
from .proving import Proving
from .registering import Registering
from .rounds import Rounds
from .tables import MEMBERSHIPS, NIPOSTS, Challenge
from .times import Timeline
from .work import Errands, State, Tag, Work


class NipostBuilder:
    """Of one identity. Mutable; what it remembers may be forgotten."""

    def __init__(
        self,
        identity: NodeId,
        timeline: Timeline,
        labels_per_unit: int,
        errands: Errands,
        rounds: Rounds,
        random: Random,
    ) -> None:
        self.reason = ""
        """Why it is EXPIRED, as a sentence."""
        self._identity = identity
        self._registering = Registering(identity, timeline, labels_per_unit, errands)
        self._choosing = Choosing(identity, timeline, errands, rounds, random)
        self._proving = Proving(identity, timeline, labels_per_unit, errands)

    def advance(self, work: Work, challenge: Challenge, signer: Signer) -> State:
        """Do what is due."""
        nipost = work.rows.get(NIPOSTS, self._identity)
        if nipost is not None:
            return self._proving.verify(work, challenge, nipost)
        membership = work.rows.get(MEMBERSHIPS, self._identity)
        if membership is None:
            state = self._registering.advance(work, challenge, signer)
            if state is not State.READY:
                return self._because(state, "No PoET server took its challenge before the round started.")
            state = self._choosing.advance(work, challenge)
            if state is not State.READY:
                return self._because(state, self._choosing.reason)
            membership = work.rows.get(MEMBERSHIPS, self._identity)
            assert membership is not None, "it was chosen"
        state = self._proving.advance(work, challenge, membership)
        return self._because(state, "The epoch was over before its proof of space was made.")

    def _because(self, state: State, reason: str) -> State:
        self.reason = reason
        return state

    def mismatch(self, work: Work) -> str:
        """Why an identity that is MISMATCHED cannot go on, as a sentence."""
        return self._registering.mismatch(work)

    def wanted(self, work: Work, challenge: Challenge) -> set[tuple[str, str]]:
        """The rounds whose proofs may still be chosen."""
        if work.rows.has(MEMBERSHIPS, self._identity):
            return set()
        return self._choosing.wanted(work, challenge)

    def answered(self, work: Work, challenge: Challenge, tag: Tag, result: Result) -> State:
        """What was asked for is here. INITIAL_INVALID where that is what it says, else WAITS."""
        if self._registering.answered(work, challenge, tag, result):
            return State.WAITS
        return self._proving.answered(work, challenge, tag, result)

    def reset(self) -> None:
        """Another challenge is next."""
        self._choosing.reset()
        self._proving.reset()
