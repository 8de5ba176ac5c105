"""What becomes of an activation of version 2, step by step.

| stage | waits for | then |
|---|---|---|
| signature | its check | rules on the message alone |
| initial nonce, initial post | proofs of a first activation | what it builds on is fetched |
| dependencies | PoET proofs and activations | positioning, certificates |
| marriages | their signatures | rules on what it builds on |
| post | the proofs of space, one after another | the nonce, unless it is a first one |
| nonce | its check | rows, and what contradicts others |

Protocol 04-activation-beacon-eligibility, sections 4.3, 4.4 and 5.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum, auto

from node.contract.checks import SignatureCheck
from node.contract.demands import Demand
from node.contract.effects import Effect, Emit, ReportMalfeasance
from node.contract.instants import Instant
from node.contract.messages import Message
from node.contract.steps import Found, Judged, Needs
from node.contract.verdicts import ACCEPT, reject
from node.malfeasance.tables import is_malicious
from node.store.view import Rows, View
from protocol.crypto.signing import Domain
from protocol.types.activation_v2 import ActivationTxV2
from protocol.types.ids import AtxId

from . import contradictions, marriages, rules, rules_v2
from .errors import AtxIgnored, AtxRefused
from .marriages import Consent
from .rules_v2 import Plan
from .surroundings import AtxStored, Surroundings, judged
from .tables import ATXS, POSTS, put_atx


class Wait(Enum):
    """What a message waits for."""

    SIGNATURE = auto()
    INITIAL_NONCE = auto()
    INITIAL_POST = auto()
    DEPENDENCIES = auto()
    MARRIAGES = auto()
    POST = auto()
    NONCE = auto()


@dataclass(frozen=True, slots=True)
class StageV2:
    """A message that waits."""

    atx: ActivationTxV2
    id: AtxId
    wait: Wait
    demands: tuple[Demand, ...] = ()
    consents: tuple[Consent, ...] = ()
    """Whose certificates were looked at."""
    plan: Plan | None = None
    """What its proofs of space are checked for."""
    checked: int = 0
    """So many of them are valid."""


class JudgeV2:
    """The judge."""

    def __init__(self, surroundings: Surroundings) -> None:
        self._around = surroundings

    def admit(self, atx: ActivationTxV2, id: AtxId, view: View) -> Judged | Needs:
        """The first step: its signature."""
        if view.has(ATXS, id):
            return Judged(ACCEPT)
        check = SignatureCheck(Domain.ATX, atx.smesher_id, id, atx.signature)
        return Needs(signatures=(check,), memo=StageV2(atx, id, Wait.SIGNATURE))

    def proceed(self, stage: StageV2, found: Found, message: Message, view: View, now: Instant) -> Judged | Needs:
        """A further step."""
        if stage.wait is Wait.SIGNATURE and not found.all_hold:
            return Judged(reject("bad_signature"))
        if view.has(ATXS, stage.id):
            return Judged(ACCEPT)
        try:
            return self._next(stage, found, message, view, now)
        except (AtxRefused, AtxIgnored) as error:
            return judged(error)

    def _next(self, stage: StageV2, found: Found, message: Message, view: View, now: Instant) -> Judged | Needs:
        atx, parameters = stage.atx, self._around.parameters
        match stage.wait:
            case Wait.SIGNATURE:
                rules_v2.check_syntax(atx, parameters, self._around.epoch_at(now))
                if atx.initial is not None:
                    return _needs(stage, Wait.INITIAL_NONCE, rules_v2.initial_nonce(atx, parameters))
            case Wait.INITIAL_NONCE:
                rules.require_nonce(found.results[0])
                return _needs(stage, Wait.INITIAL_POST, rules_v2.initial_post(atx, parameters))
            case Wait.INITIAL_POST:
                rules.require_post(found.results[0], "initial_post_invalid")
            case Wait.DEPENDENCIES:
                rules.check_fetched(stage.demands, found.results)
                return self._marriages(stage, view, message)
            case Wait.MARRIAGES:
                marriages.check(atx, stage.consents, found.signatures)
                return self._plan(stage, view, message)
            case Wait.POST:
                rules.require_post(found.results[0], "post_invalid")
                return self._post(replace(stage, checked=stage.checked + 1), view, message)
            case Wait.NONCE:
                rules.require_nonce(found.results[0])
                return self._finish(stage, view, message)
        challenges, ids = rules_v2.dependencies(atx)
        missing = rules.missing(view, parameters, challenges, ids, message)
        return _needs(stage, Wait.DEPENDENCIES, *missing) if missing else self._marriages(stage, view, message)

    def _marriages(self, stage: StageV2, view: View, message: Message) -> Judged | Needs:
        atx = stage.atx
        rules_v2.base_height(atx, view, self._around.parameters)
        found = tuple(marriages.consents(atx, view))
        if found:
            checks = marriages.signature_checks(atx, found)
            return Needs(signatures=checks, memo=replace(stage, wait=Wait.MARRIAGES, consents=found))
        marriages.check(atx, (), ())
        return self._plan(stage, view, message)

    def _plan(self, stage: StageV2, view: View, message: Message) -> Judged | Needs:
        plan = rules_v2.plan(stage.atx, view, self._around.parameters)
        return self._post(replace(stage, plan=plan, checked=0), view, message)

    def _post(self, stage: StageV2, view: View, message: Message) -> Judged | Needs:
        """The next proof of space, or what comes when all are valid."""
        plan, parameters = stage.plan, self._around.parameters
        assert plan is not None, "the plan is made first"
        if stage.checked < len(plan.parts):
            part = plan.parts[stage.checked]
            positions = self._around.positions(part.identity, part.challenge)
            return _needs(stage, Wait.POST, rules_v2.post_check(part, parameters, positions))
        if stage.atx.initial is None:
            return _needs(stage, Wait.NONCE, rules_v2.nonce_check(stage.atx, plan, parameters))
        return self._finish(stage, view, message)

    def _finish(self, stage: StageV2, view: View, message: Message) -> Judged | Needs:
        if rules_v2.plan(stage.atx, view, self._around.parameters) != stage.plan:
            return self._plan(stage, view, message)  # sets were joined meanwhile
        assert stage.plan is not None, "the plan is made first"
        return self._store(stage, stage.plan, view, message)

    def _store(self, stage: StageV2, plan: Plan, view: View, message: Message) -> Judged:
        atx, id, smesher = stage.atx, stage.id, stage.atx.smesher_id
        stored = rules_v2.derive(atx, plan, self._around.parameters, message.received)
        rows = Rows(view)
        marked = marriages.store(rows, id, smesher, stage.consents)
        put_atx(rows, id, stored, message.data)
        for identity, post in plan.posts.items():
            rows.put(POSTS, (id, identity), post)
        found = contradictions.find_v2(atx, id, plan.posts, rows)
        if found is not None:
            marked.append(smesher)
        is_flagged = smesher in marked or is_malicious(view, smesher)
        effects: list[Effect] = [Emit(AtxStored(id, smesher, atx.publish_epoch, is_flagged))]
        if found is not None:
            effects.append(Emit(found))
        effects += [ReportMalfeasance(identity, b"") for identity in dict.fromkeys(marked)]
        self._around.memory.add(id, stored, is_malicious=is_flagged)
        return Judged(ACCEPT, rows, effects)


def _needs(stage: StageV2, wait: Wait, *demands: Demand) -> Needs:
    return Needs(demands=demands, memo=replace(stage, wait=wait, demands=demands))
