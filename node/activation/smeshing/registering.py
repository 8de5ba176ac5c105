"""Registration of a challenge at the PoET servers, each by itself, until the round starts.

| a server | then |
|---|---|
| takes it | kept; it is not asked again, also after a restart |
| fails | asked again after a while, until the round starts |
| has another challenge of the identity | not asked again for this one |

Protocol 02-poet-client, section 6.2.
"""

from __future__ import annotations

from node.contract.demands import Failed, RegisterAtPoet, Registered, Result
from node.contract.instants import after
from node.contract.ports import Signer
from node.store.view import Span
from protocol.crypto.signing import Domain
from protocol.types.ids import NodeId

from .certificates import certificates, keep_certificate
from .events import NotRegisteredAt, RegisteredAt
from .space import space_proof
from .tables import REGISTRATIONS, Challenge, Registration, registrations
from .times import Timeline
from .work import Errands, State, Tag, Work

REGISTER = "register"


class Registering:
    """Of one identity."""

    def __init__(self, identity: NodeId, timeline: Timeline, labels_per_unit: int, errands: Errands) -> None:
        self._identity = identity
        self._timeline = timeline
        self._labels = labels_per_unit
        self._errands = errands
        self._conflicts: dict[str, bytes] = {}
        """The last challenge beside which a server had another one, by server."""

    def advance(self, work: Work, challenge: Challenge, signer: Signer) -> State:
        """READY where there is a registration at a configured server; further ones may still come."""
        servers, start = self._timeline.parameters.servers, self._timeline.round_start(challenge.publish_epoch)
        known = registrations(work.rows, self._identity, challenge.hash())
        missing = [server for server in servers if server not in known]
        has_started = work.now > start
        if missing and not has_started:
            for server in missing:
                self._register(work, challenge, signer, server)
            self._errands.wake_at(after(start, 1))
        if len(missing) < len(servers):
            return State.READY
        if not has_started or self._is_answer_coming(work, challenge):
            return State.WAITS
        return State.MISMATCHED if known else State.EXPIRED

    def _register(self, work: Work, challenge: Challenge, signer: Signer, server: str) -> None:
        hash, publish = challenge.hash(), challenge.publish_epoch
        if self._conflicts.get(server) == hash:
            return
        demand = RegisterAtPoet(
            server,
            self._identity,
            hash,
            signer.sign(Domain.POET, hash),
            self._timeline.round_start(publish),
            self._timeline.proof_deadline(publish),
            certificates(work.rows, self._identity),
            space_proof(work.rows, self._identity, self._labels),
        )
        self._errands.ask(work, demand, REGISTER, server)

    def _is_answer_coming(self, work: Work, challenge: Challenge) -> bool:
        """What was sent just before the round started may have been taken."""
        limit = after(self._timeline.round_start(challenge.publish_epoch), self._timeline.parameters.poet_retry)
        if work.now >= limit or not self._errands.is_any_open(REGISTER):
            return False
        self._errands.wake_at(limit)
        return True

    def answered(self, work: Work, challenge: Challenge, tag: Tag, result: Result) -> bool:
        """An answer; whether it was one to this."""
        if tag.what != REGISTER:
            return False
        server = tag.detail
        if isinstance(result, Registered):
            registration = Registration(challenge.hash(), result.round_id, result.round_end)
            if work.put(REGISTRATIONS, (self._identity, server), registration):
                if result.certificate is not None:
                    keep_certificate(work, self._identity, result.certificate)
                work.emit(RegisteredAt(self._identity, server, result.round_id, result.round_end))
                return True
            result = Failed("invalid", "The name or the end of the round cannot be right.")
        failed = result if isinstance(result, Failed) else Failed("no_registration")
        if failed.reason == "conflict":
            self._conflicts[server] = challenge.hash()
        self._errands.retry(work, tag, self._timeline.parameters.poet_retry)
        work.emit(NotRegisteredAt(self._identity, server, failed.reason, failed.detail))
        return True

    def mismatch(self, work: Work) -> str:
        """Why an identity without a registration at a configured server cannot go on, as a sentence."""
        known = [server for _, server in work.rows.keys(REGISTRATIONS, Span(within=(self._identity,)))]
        configured = ", ".join(self._timeline.parameters.servers) or "none"
        return (
            f"Its challenge is registered at {', '.join(known)} and the round has started, but configured are "
            f"{configured}. Put a server at which it is registered back into poet-servers, and start again."
        )
