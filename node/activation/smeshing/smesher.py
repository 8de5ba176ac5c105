"""The timeline of one identity, from nothing to an activation of every epoch.

| state | by the rows | waits for | then |
|---|---|---|---|
| unknown | signed an activation that is not stored | the own handler, the network | sent again, before anything else |
| no proof | no activation, no initial proof | prover and check | `planning`: the initial proof is kept |
| idle | – | shortly before the next round starts | `planning`: a positioning activation is looked for |
| registering | a challenge | PoET servers, until the round starts | `nipost`: registrations |
| in the round | registrations | its end | `nipost`: the best proof with the challenge in it |
| proving | a membership | the prover | `nipost`: a proof of space, verified |
| ready | a verified proof | its publish epoch, as long as that lasts | `publishing`: signed, once an epoch |
| signed | the signed bytes | that they are sent | everything of it goes: idle |

| an end before that | then |
|---|---|
| no registration, no proof in time, not a member, the epoch over | planned anew, in the next layer |
| the registered initial proof does not hold any more | it goes, too, and is made anew |
| registered only where it is not configured any more | the identity is stopped, with a sentence |

What is to be done follows from the rows alone, at any time: every input ends with `advance`, and a restart begins with
it. Protocol 04-activation-beacon-eligibility, section 3.
"""

from __future__ import annotations

from collections.abc import Callable

from node.activation.parameters import ActivationParameters
from node.contract.demands import Result
from node.contract.effects import StopIdentity
from node.contract.inputs import Answer, NotSent, Sent
from node.contract.ports import Keys, Random, Signer
from protocol.types.ids import Address, Hash32, NodeId

from .events import ChallengeDropped
from .nipost import NipostBuilder
from .planning import FindPositioning, Planning, signed_and_unknown, signed_for
from .publishing import CHECK_NONCE, PUBLISH, Nonces, Publishing
from .rounds import Rounds
from .tables import CHALLENGES, INITIAL_POSTS, Challenge, forget
from .times import Timeline
from .work import Errands, State, Tag, Work

PLAN = "plan"


class Smesher:
    """One identity. Mutable; may be made anew from the rows at any time."""

    def __init__(
        self,
        identity: NodeId,
        timeline: Timeline,
        activation: ActivationParameters,
        keys: Keys,
        coinbase: Callable[[], Address],
        is_synced: Callable[[], bool],
        find: FindPositioning,
        rounds: Rounds,
        nonces: Nonces,
        random: Random,
    ) -> None:
        self.identity = identity
        self._timeline = timeline
        self._is_stopped = False
        self._pursued: Hash32 | None = None
        """The challenge that was pursued last."""
        self.errands = Errands(identity)
        errands = self.errands
        self._planning = Planning(identity, timeline, activation, errands, keys, is_synced, find)
        self._nipost = NipostBuilder(identity, timeline, activation.labels_per_unit, errands, rounds, random)
        self._publishing = Publishing(identity, timeline, activation, errands, keys, coinbase, is_synced, nonces)

    def advance(self, work: Work, signer: Signer) -> None:
        """Do what is due, by the rows."""
        if not self._is_stopped:
            self._advance(work, signer)
        self.errands.settle(work)

    def wanted(self, work: Work) -> set[tuple[str, str]]:
        """The rounds whose proofs may still be chosen: server and name of the round."""
        challenge = work.rows.get(CHALLENGES, self.identity)
        return set() if challenge is None else self._nipost.wanted(work, challenge)

    def _advance(self, work: Work, signer: Signer) -> None:
        unknown = signed_and_unknown(work.rows, self.identity)
        if unknown is not None:
            self._publishing.send(work, *unknown)
            return
        challenge = work.rows.get(CHALLENGES, self.identity)
        if challenge is not None and challenge.publish_epoch < self._timeline.epoch_at(work.now):
            self._drop(work, challenge, "The epoch was over before its activation was out.")
            challenge = None
        if challenge is None:
            if not self.errands.is_held(PLAN):
                self._planning.advance(work)
            challenge = work.rows.get(CHALLENGES, self.identity)
        if challenge is not None:
            self._pursue(work, challenge, signer)

    def _pursue(self, work: Work, challenge: Challenge, signer: Signer) -> None:
        if self._pursued != challenge.hash():
            self._pursued = challenge.hash()
            self._nipost.reset()
        match self._nipost.advance(work, challenge, signer):
            case State.READY:
                fault = self._publish(work, challenge, signer)
                if fault is not None:
                    self._drop(work, challenge, fault)
            case State.EXPIRED:
                self._drop(work, challenge, self._nipost.reason)
            case State.MISMATCHED:
                self._is_stopped = True
                work.effects.append(StopIdentity(self.identity, self._nipost.mismatch(work)))

    def _publish(self, work: Work, challenge: Challenge, signer: Signer) -> str | None:
        signed = signed_for(work.rows, self.identity, challenge.publish_epoch)
        if signed is None:
            return self._publishing.advance(work, challenge, signer)
        self._publishing.send(work, challenge.publish_epoch, signed)
        return None

    def _drop(self, work: Work, challenge: Challenge, sentence: str) -> None:
        forget(work.rows, self.identity)
        self.errands.give_up(work)
        self.errands.hold(PLAN)
        self._pursued = None
        work.emit(ChallengeDropped(self.identity, challenge.publish_epoch, sentence))

    # ---- answers ----

    def answered(self, work: Work, answer: Answer, tag: Tag) -> None:
        """Something that was asked for is here."""
        if not self.errands.close(tag):
            return
        result = answer.result
        if tag.what in (PUBLISH, CHECK_NONCE):
            self._publishing.answered(work, tag, answer.asked, result)
            return
        if isinstance(result, Sent | NotSent):
            raise ValueError(f"{tag.what} is a demand, but was answered as a message")
        if not self._planning.answered(work, tag, result):
            self._proof_answered(work, tag, result)

    def _proof_answered(self, work: Work, tag: Tag, result: Result) -> None:
        challenge = work.rows.get(CHALLENGES, self.identity)
        if challenge is None:
            return
        if self._nipost.answered(work, challenge, tag, result) is State.INITIAL_INVALID:
            work.rows.delete(INITIAL_POSTS, self.identity)
            self._drop(work, challenge, "Its registered initial proof does not fit its space any more.")

    def give_up(self, work: Work) -> None:
        """The identity is not ours any more, or must not sign."""
        self.errands.give_up(work)
        self.errands.settle(work)
