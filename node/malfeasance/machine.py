"""The machine that keeps the proofs of malfeasance. The first one against an identity counts.

| comes from | is checked | and then |
|---|---|---|
| gossip, topic `mp1` | signatures, proof of space | kept unless one is known, accepted either way |
| a peer that was asked | the same, then whether it is the proof that was asked for | the same |
| ourselves, about to be published | the same | nothing: it was kept when it was reported |
| another machine's report | nothing: it has seen both sides | kept, and published where all is synced |

A report without a proof is about activations of version 2, for which the network has no message: a mark is kept.
Protocol 05-consensus, section 12, and 04-activation-beacon-eligibility, section 4.4.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

from node.contract.checks import SignatureCheck
from node.contract.demands import Failed, PostVerdict, VerifyPost
from node.contract.effects import Effect, Emit, Publish, StopIdentity
from node.contract.instants import Instant
from node.contract.machine import Machine
from node.contract.messages import Message, Origin
from node.contract.ports import Keys, signer_of
from node.contract.steps import NOTHING, Found, Judged, Needs, Step, Ticket
from node.contract.verdicts import ACCEPT, ignore, reject
from node.store.view import Rows, View
from protocol.codec.declare import CodecError
from protocol.types.fetch import Hint
from protocol.types.ids import AtxId, NodeId
from protocol.types.malfeasance import (
    InvalidPostIndexProof,
    MalfeasanceGossip,
    MalfeasanceProof,
)

from . import verdicts
from .tables import MARKS, PROOFS, Mark, StoredProof, has_proof, is_malicious
from .verdicts import InvalidProof, World

TOPIC = "mp1"


class Identities(Protocol):
    """What is known of the smeshers. Given to the machine: activations know malfeasance, not the other way round."""

    def exists(self, view: View, identity: NodeId) -> bool:
        """Whether an activation of an identity is stored."""

    def commitment_of(self, view: View, identity: NodeId) -> AtxId | None:
        """The commitment of an identity's stored activations."""


class Followers(Protocol):
    """Rooms that answer at once and want to know: activations in memory, tortoise."""

    def on_malicious(self, node: NodeId) -> None:
        """An identity broke the rules."""


@dataclass(frozen=True, slots=True)
class Convicted:
    """An event: an identity is known to have broken the rules."""

    identity: NodeId
    proof: bytes
    """A MalfeasanceProof; empty for activations of version 2."""
    is_own: bool


@dataclass(frozen=True, slots=True)
class _Stage:
    proof: MalfeasanceProof
    checks: tuple[SignatureCheck, ...]
    is_about_post: bool = False
    """Whether the proof of space is being checked."""


class MalfeasanceMachine(Machine):
    """The proofs of one network."""

    name = "malfeasance"
    topics = (TOPIC,)
    hints = (Hint.MALFEASANCE,)
    keeps_proofs = True

    def __init__(self, keys: Keys, identities: Identities, followers: Followers, is_synced: Callable[[], bool]) -> None:
        """is_synced: whether reports are published; before, they are about what everybody else knows."""
        self._keys = keys
        self._identities = identities
        self._followers = followers
        self._is_synced = is_synced

    # ---- messages ----

    def admit(self, message: Message, view: View, now: Instant) -> Judged | Needs:
        """As Machine says."""
        try:
            proof = self._decode(message)
        except CodecError as error:
            return Judged(reject("malformed", str(error)))
        if proof is None:
            return Judged(reject("eligibility_present", "The gossiped proof carries an eligibility."))
        checks = tuple(dict.fromkeys(SignatureCheck(*one) for one in verdicts.signatures(proof)))
        if not isinstance(proof.proof, InvalidPostIndexProof) and not self._identities.exists(
            view, checks[0].public_key
        ):
            return Judged(reject("unknown_identity", f"No activation of {checks[0].public_key.hex()} is known."))
        return Needs(signatures=checks, memo=_Stage(proof, checks))

    def _decode(self, message: Message) -> MalfeasanceProof | None:
        """The proof; None where the relic is there, which is no longer allowed."""
        if message.origin not in (Origin.GOSSIP, Origin.OWN):
            return MalfeasanceProof.codec.decode(message.data)
        gossip = MalfeasanceGossip.codec.decode(message.data)
        return None if gossip.eligibility is not None else gossip.proof

    def proceed(self, ticket: Ticket, found: Found, view: View, now: Instant) -> Judged | Needs:
        """As Machine says."""
        stage = ticket.memo
        assert isinstance(stage, _Stage)
        is_signed: dict[SignatureCheck, bool] = (
            dict.fromkeys(stage.checks, True)
            if stage.is_about_post
            else dict(zip(stage.checks, found.signatures, strict=True))
        )
        world = World(
            verify=lambda domain, key, message, signature: is_signed[SignatureCheck(domain, key, message, signature)],
            identity_exists=lambda identity: self._identities.exists(view, identity),
            commitment_of=lambda identity: self._identities.commitment_of(view, identity),
            is_index_invalid=lambda question: not _post_verdict(found).is_valid,
        )
        try:
            if isinstance(stage.proof.proof, InvalidPostIndexProof) and not stage.is_about_post:
                question = verdicts.post_question(stage.proof.proof, world.verify, world.commitment_of)
                if question.post is None:  # the reference crashes here
                    return Judged(reject("invalid_proof", "The activation has no proof of space."))
                check = VerifyPost(
                    question.node_id,
                    question.commitment_atx,
                    question.post,
                    question.metadata,
                    question.num_units,
                    (question.index,),
                )
                return Needs(demands=(check,), memo=replace(stage, is_about_post=True))
            if stage.is_about_post and isinstance(found.results[0], Failed):
                return Judged(ignore("not_checked", f"The proof of space: {found.results[0].reason}."))
            identity = verdicts.offender(stage.proof, world)
        except InvalidProof as error:
            return Judged(reject(error.reason, str(error)))
        return self._convicted(identity, stage.proof, ticket.message, view, now)

    def _convicted(
        self, identity: NodeId, proof: MalfeasanceProof, message: Message, view: View, now: Instant
    ) -> Judged:
        if message.origin is Origin.OWN:
            self._followers.on_malicious(identity)
            return Judged(ACCEPT)
        if has_proof(view, identity):
            return Judged(ACCEPT)
        step = self._keep(identity, MalfeasanceProof.codec.encode(proof), message.received, view)
        if message.expected not in (None, identity):
            verdict = reject("wrong_hash", f"The proof convicts {identity.hex()}, asked for was another.")
            return Judged(verdict, step.rows, step.effects)
        return Judged(ACCEPT, step.rows, step.effects)

    # ---- reports ----

    def convict(self, identity: bytes, proof: bytes, view: View, now: Instant) -> Step:
        """As Machine says. proof: empty for activations of version 2."""
        node = NodeId(identity)
        if not proof:
            return NOTHING if is_malicious(view, node) else self._mark(node, view, now)
        if has_proof(view, node):
            return NOTHING
        step = self._keep(node, proof, now, view)
        if not self._is_synced():
            return step
        gossip = MalfeasanceGossip(MalfeasanceProof.codec.decode(proof))
        return Step(step.rows, [*step.effects, Publish(TOPIC, MalfeasanceGossip.codec.encode(gossip))])

    def _keep(self, identity: NodeId, proof: bytes, received: Instant, view: View) -> Step:
        rows = Rows(view)
        rows.put(PROOFS, identity, StoredProof(proof, received))
        return self._made_known(identity, proof, rows)

    def _mark(self, identity: NodeId, view: View, now: Instant) -> Step:
        rows = Rows(view)
        rows.put(MARKS, identity, Mark(now))
        return self._made_known(identity, b"", rows)

    def _made_known(self, identity: NodeId, proof: bytes, rows: Rows) -> Step:
        is_own = signer_of(self._keys, identity) is not None
        effects: list[Effect] = [Emit(Convicted(identity, proof, is_own))]
        if is_own:
            why = "It is known to have broken the rules of the network, which gives it no rewards any more."
            effects.append(StopIdentity(identity, why))
        self._followers.on_malicious(identity)
        return Step(rows, effects)


def _post_verdict(found: Found) -> PostVerdict:
    (result,) = found.results
    assert isinstance(result, PostVerdict), "what failed was looked at before"
    return result
