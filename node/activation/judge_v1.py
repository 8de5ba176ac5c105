"""What becomes of an activation of version 1, step by step.

| stage | waits for | then |
|---|---|---|
| signature | its check | rules on the message alone |
| initial nonce, initial post | proofs of a first activation | what it builds on is fetched |
| dependencies | PoET proof and activations | rules on what it builds on |
| nonce | its check, where space grew or the nonce is new | size of the space |
| post | the proof of space | membership, rows, proofs of malfeasance |

Protocol 04-activation-beacon-eligibility, sections 4.1, 4.2 and 4.4.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum, auto

from node.contract.checks import SignatureCheck
from node.contract.demands import Demand, PostVerdict
from node.contract.effects import Effect, Emit, ReportMalfeasance, StopIdentity
from node.contract.instants import Instant
from node.contract.messages import Message, Origin
from node.contract.steps import Found, Judged, Needs
from node.contract.verdicts import ACCEPT, ignore, reject
from node.malfeasance.tables import has_proof, is_malicious
from node.store.own import SIGNED, Kind, Slot
from node.store.view import Rows, View
from protocol.crypto.signing import Domain
from protocol.types.activation import ActivationTxV1
from protocol.types.ids import AtxId
from protocol.types.malfeasance import MalfeasanceProof

from . import contradictions, rules, rules_v1
from .errors import AtxIgnored, AtxRefused
from .surroundings import AtxStored, Surroundings, judged
from .tables import ATXS, POSTS, StoredAtx, StoredPost, put_atx


class Wait(Enum):
    """What a message waits for."""

    SIGNATURE = auto()
    INITIAL_NONCE = auto()
    INITIAL_POST = auto()
    DEPENDENCIES = auto()
    NONCE = auto()
    POST = auto()


@dataclass(frozen=True, slots=True)
class StageV1:
    """A message that waits."""

    atx: ActivationTxV1
    id: AtxId
    wait: Wait
    demands: tuple[Demand, ...] = ()


class JudgeV1:
    """The judge."""

    def __init__(self, surroundings: Surroundings) -> None:
        self._around = surroundings

    def admit(self, atx: ActivationTxV1, id: AtxId) -> Judged | Needs:
        """The first step: its signature."""
        check = SignatureCheck(Domain.ATX, atx.smesher_id, atx.signed_bytes(), atx.signature)
        return Needs(signatures=(check,), memo=StageV1(atx, id, Wait.SIGNATURE))

    def proceed(self, stage: StageV1, found: Found, message: Message, view: View, now: Instant) -> Judged | Needs:
        """A further step."""
        if stage.wait is Wait.SIGNATURE and not found.all_hold:
            return Judged(reject("bad_signature"))
        if view.has(ATXS, stage.id):
            return Judged(ignore("known_atx") if message.origin is Origin.GOSSIP else ACCEPT)
        try:
            return self._next(stage, found, message, view, now)
        except (AtxRefused, AtxIgnored) as error:
            return replace(judged(error), effects=_stops(error, stage, message, view))

    def _next(self, stage: StageV1, found: Found, message: Message, view: View, now: Instant) -> Judged | Needs:
        atx, parameters = stage.atx, self._around.parameters
        match stage.wait:
            case Wait.SIGNATURE:
                rules_v1.check_syntax(atx, self._around.epoch_at(now))
                if atx.is_initial:
                    return _needs(stage, Wait.INITIAL_NONCE, rules_v1.initial_nonce(atx, parameters))
            case Wait.INITIAL_NONCE:
                rules.require_nonce(found.results[0])
                return _needs(stage, Wait.INITIAL_POST, rules_v1.initial_post(atx))
            case Wait.INITIAL_POST:
                rules.require_post(found.results[0], "initial_post_invalid")
            case Wait.DEPENDENCIES:
                rules.check_fetched(stage.demands, found.results)
                return self._basis(stage, view)
            case Wait.NONCE:
                rules.require_nonce(found.results[0])
                return self._space(stage, view, rules_v1.basis(atx, view, parameters))
            case Wait.POST:
                return self._finish(stage, rules.post_verdict(found.results[0]), message, view)
        challenge, ids = rules_v1.dependencies(atx)
        missing = rules.missing(view, parameters, (challenge,), ids, message)
        return _needs(stage, Wait.DEPENDENCIES, *missing) if missing else self._basis(stage, view)

    def _basis(self, stage: StageV1, view: View) -> Needs:
        parameters = self._around.parameters
        basis = rules_v1.basis(stage.atx, view, parameters)
        if basis.must_check_nonce:
            check = rules_v1.nonce_check(stage.atx, parameters, basis.commitment, basis.vrf_nonce)
            return _needs(stage, Wait.NONCE, check)
        return self._space(stage, view, basis)

    def _space(self, stage: StageV1, view: View, basis: rules_v1.Basis) -> Needs:
        atx, parameters = stage.atx, self._around.parameters
        rules_v1.check_space(atx, view, parameters)
        positions = self._around.positions(atx.smesher_id, rules_v1.proof_of(atx).metadata.challenge)
        return _needs(stage, Wait.POST, rules_v1.post_check(atx, basis.commitment, positions))

    def _finish(self, stage: StageV1, found: PostVerdict, message: Message, view: View) -> Judged:
        atx = stage.atx
        if found.wrong_position is not None:
            return self._wrong_index(atx, found.wrong_position, view)
        rules.require_post(found, "post_invalid")
        parameters = self._around.parameters
        basis = rules_v1.basis(atx, view, parameters)
        height = rules_v1.check_space(atx, view, parameters)
        stored, post = rules_v1.derive(atx, basis, height, view, parameters, message.received)
        return self._store(stage, stored, post, message, view)

    def _wrong_index(self, atx: ActivationTxV1, position: int, view: View) -> Judged:
        if has_proof(view, atx.smesher_id):
            raise AtxRefused(f"{atx.smesher_id.hex()} is known to be malicious.", "known_malicious")
        first_layer = self._around.time.first_layer(atx.publish_epoch)
        report = _report(contradictions.wrong_index(atx, position, first_layer), atx)
        return Judged(ignore("malicious_atx", f"index {position} of its proof is wrong"), effects=(report,))

    def _store(self, stage: StageV1, stored: StoredAtx, post: StoredPost, message: Message, view: View) -> Judged:
        atx, smesher = stage.atx, stage.atx.smesher_id
        proof = None
        if not has_proof(view, smesher):
            first_layer = self._around.time.first_layer(atx.publish_epoch)
            proof = contradictions.find_v1(atx, stage.id, view, first_layer, is_own=self._around.is_own(smesher))
        rows = Rows(view)
        put_atx(rows, stage.id, stored, message.data)
        rows.put(POSTS, (stage.id, smesher), post)
        is_flagged = proof is not None or is_malicious(view, smesher)
        self._around.memory.add(stage.id, stored, is_malicious=is_flagged)
        effects: list[Effect] = [Emit(AtxStored(stage.id, smesher, atx.publish_epoch, is_flagged))]
        if proof is None:
            return Judged(ACCEPT, rows, effects)
        effects.append(_report(proof, atx))
        is_gossip = message.origin is Origin.GOSSIP
        return Judged(ignore("malicious_atx") if is_gossip else ACCEPT, rows, effects)


def _needs(stage: StageV1, wait: Wait, *demands: Demand) -> Needs:
    return Needs(demands=demands, memo=replace(stage, wait=wait, demands=demands))


def _report(proof: MalfeasanceProof, atx: ActivationTxV1) -> ReportMalfeasance:
    return ReportMalfeasance(atx.smesher_id, MalfeasanceProof.codec.encode(proof))


def _stops(error: AtxRefused | AtxIgnored, stage: StageV1, message: Message, view: View) -> tuple[StopIdentity, ...]:
    """What follows where a peer brings an activation of an own identity beside the one that this node published."""
    identity, epoch = stage.atx.smesher_id, stage.atx.publish_epoch
    if error.reason not in contradictions.OWN or message.origin is Origin.OWN:
        return ()
    if view.get(SIGNED, Slot(identity, Kind.ATX, epoch)) == message.data:
        return ()
    sentence = (
        f"Another activation for epoch {epoch}, {stage.id.hex()}, came from the network: the key is in use elsewhere. "
        "Two nodes with one key lose its rewards; stop one of them."
    )
    return (StopIdentity(identity, sentence),)
