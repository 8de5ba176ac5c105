"""What the service answers to the node, and which proof is made next: messages and events in, messages and effects out.

One `Desk` an identity; the proofs of all desks are made one after another. No error is for ever: it is told once,
with its reason for whoever looks, and the next request starts afresh; a finished proof is given out for its own
challenge only. Specified in protocol 01-post-tools, section 4.2, and 10-api, section 3.10; `as_reference` is the
recorded program there, whose errors stay and whose finished proof stands in the way of another challenge.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Literal

from api.services.post.reconnect import OnceAMinute
from protocol.pb.spacemesh.v1 import post_types_pb2 as pb
from protocol.post.proof import CHALLENGE_SIZE, Proof
from prover.post.metadata import PostMetadata

Level = Literal["info", "warning", "error"]
Refusal = Literal["no_kind", "challenge", "busy", "proof", "check", "other_challenge"]
"""Why a request was answered with an error: of the request, or of the proof that was asked for."""


@dataclass(frozen=True, slots=True)
class Start:
    """Effect: make this proof now, then call `made` or `failed`."""

    identity: int
    challenge: bytes


@dataclass(frozen=True, slots=True)
class Say:
    """Effect: a sentence for the log."""

    identity: int
    level: Level
    text: str


Effect = Start | Say


class Phase(Enum):
    """Where the proof of an identity stands."""

    IDLE = "idle"
    QUEUED = "queued"
    """Asked for; the proof of another identity is being made."""
    PROVING = "proving"
    DONE = "done"
    """Made and checked, not yet fetched."""
    FAILED = "failed"
    """The node has not been told yet."""


@dataclass(frozen=True, slots=True)
class Fault:
    """The last error of an identity."""

    kind: Refusal
    text: str
    at: float


@dataclass(slots=True)
class Desk:
    """One identity."""

    metadata: PostMetadata
    phase: Phase = Phase.IDLE
    since: float = 0.0
    """When the phase began."""
    challenge: bytes | None = None
    """Of the proof in work, or of the one that has ended and is not fetched."""
    proof: Proof | None = None
    fault: Fault | None = None
    """The last error, until a proof is made."""
    last_made: tuple[float, bytes] | None = None
    """When the last proof was made, and its challenge."""
    requests: Counter[str] = field(default_factory=Counter)
    """Answers given: metadata, progress, proof, error."""
    refusals: Counter[Refusal] = field(default_factory=Counter)
    proofs: Counter[str] = field(default_factory=Counter)
    """Proofs that ended: made, weakened, failed."""
    voice: OnceAMinute = field(default_factory=OnceAMinute)


class PostService:
    """All identities of one process."""

    def __init__(self, identities: Sequence[PostMetadata], *, as_reference: bool = False) -> None:
        self.desks = [Desk(metadata) for metadata in identities]
        self._as_reference = as_reference
        self._queue: deque[int] = deque()
        self.working: int | None = None
        """The identity whose proof is being made."""

    def receive(self, identity: int, request: pb.NodeRequest, now: float) -> tuple[pb.ServiceResponse, list[Effect]]:
        """The answer to one request of the node."""
        desk = self.desks[identity]
        kind = request.WhichOneof("kind")
        if kind == "metadata":
            desk.requests["metadata"] += 1
            return pb.ServiceResponse(metadata=pb.MetadataResponse(meta=metadata_message(desk.metadata))), []
        if kind is None:
            return self._refuse(identity, "no_kind", "The node sent a request of a kind that is not known here.", now)
        return self._gen_proof(identity, bytes(request.gen_proof.challenge), now)

    def made(self, identity: int, proof: Proof, now: float, *, weakened: bool = False) -> list[Effect]:
        """The proof in work was made and checked; some data could not be read where it is `weakened`."""
        desk = self.desks[identity]
        assert desk.challenge is not None, "a proof in work has a challenge"
        desk.proofs["weakened" if weakened else "made"] += 1
        desk.proof, desk.fault, desk.last_made = proof, None, (now, desk.challenge)
        self._enter(desk, Phase.DONE, now)
        text = f"The proof for challenge {desk.challenge.hex()} is made and checked: nonce {proof.nonce}."
        if weakened:
            text += " It is valid, but some data was missing or could not be read; see above."
        return [Say(identity, "warning" if weakened else "info", text), *self._next(identity, now)]

    def failed(self, identity: int, reason: str, now: float, *, in_check: bool = False) -> list[Effect]:
        """The proof in work could not be made, or was found not valid (`in_check`)."""
        desk = self.desks[identity]
        assert desk.challenge is not None, "a proof in work has a challenge"
        desk.proofs["failed"] += 1
        desk.fault = Fault("check" if in_check else "proof", reason, now)
        self._enter(desk, Phase.FAILED, now)
        text = f"No proof for challenge {desk.challenge.hex()}: {reason}"
        return [Say(identity, "error", text), *self._next(identity, now)]

    def _gen_proof(self, identity: int, challenge: bytes, now: float) -> tuple[pb.ServiceResponse, list[Effect]]:
        desk = self.desks[identity]
        if desk.phase in (Phase.DONE, Phase.FAILED) and (self._as_reference or challenge == desk.challenge):
            return self._hand_out(identity, challenge, now)
        if len(challenge) != CHALLENGE_SIZE:
            text = f"The node's challenge has {len(challenge)} bytes, expected {CHALLENGE_SIZE}."
            return self._refuse(identity, "challenge", text, now)
        if desk.phase is Phase.PROVING and challenge != desk.challenge:
            assert desk.challenge is not None, "a proof in work has a challenge"
            text = (
                f"The node asked for challenge {challenge.hex()} while the proof for {desk.challenge.hex()} is being "
                "made; that one goes on."
            )
            return self._refuse(identity, "busy", text, now)
        if challenge == desk.challenge:
            return self._in_progress(desk), []
        return self._begin(identity, challenge, now)

    def _begin(self, identity: int, challenge: bytes, now: float) -> tuple[pb.ServiceResponse, list[Effect]]:
        desk = self.desks[identity]
        effects: list[Effect] = []
        if desk.phase is Phase.DONE and desk.challenge is not None:
            text = f"The node did not fetch the proof for {desk.challenge.hex()} and asks for another one."
            effects.append(Say(identity, "warning", text))
        desk.challenge, desk.proof = challenge, None
        if identity not in self._queue:
            self._queue.append(identity)
        self._enter(desk, Phase.QUEUED, now)
        effects.append(Say(identity, "info", f"The node asks for a proof for challenge {challenge.hex()}."))
        if self.working is None:
            effects += self._next(None, now)
        else:
            effects.append(Say(identity, "info", "It is made after the proof of another identity that is in work."))
        return self._in_progress(desk), effects

    def _next(self, ended: int | None, now: float) -> list[Effect]:
        """The next proof of the queue, after the one of `ended`."""
        if ended is not None and self.working == ended:
            self.working = None
        if self.working is not None or not self._queue:
            return []
        self.working = self._queue.popleft()
        desk = self.desks[self.working]
        assert desk.challenge is not None, "who waits in the queue has a challenge"
        self._enter(desk, Phase.PROVING, now)
        return [Start(self.working, desk.challenge)]

    def _hand_out(self, identity: int, challenge: bytes, now: float) -> tuple[pb.ServiceResponse, list[Effect]]:
        """The end of a proof, told to the node."""
        desk = self.desks[identity]
        if desk.phase is Phase.FAILED:
            assert desk.fault is not None, "a failed proof has a reason"
            kind = desk.fault.kind
            if not self._as_reference or kind == "check":
                self._forget(desk, now)
            return self._error(desk, kind), []
        assert desk.proof is not None and desk.challenge is not None, "a proof that is done is there"
        proof, own = desk.proof, desk.challenge
        self._forget(desk, now)
        if challenge != own:  # the recorded program checks its proof against whatever was asked for
            return self._error(desk, "other_challenge"), []
        desk.requests["proof"] += 1
        answer = pb.GenProofResponse(
            status=pb.GEN_PROOF_STATUS_OK,
            proof=pb.Proof(nonce=proof.nonce, indices=proof.indices, pow=proof.pow),
            metadata=pb.ProofMetadata(challenge=own, meta=metadata_message(desk.metadata)),
        )
        return pb.ServiceResponse(gen_proof=answer), [Say(identity, "info", "The node has fetched the proof.")]

    def _forget(self, desk: Desk, now: float) -> None:
        desk.challenge = desk.proof = None
        self._enter(desk, Phase.IDLE, now)

    def _enter(self, desk: Desk, phase: Phase, now: float) -> None:
        desk.phase, desk.since = phase, now

    def _in_progress(self, desk: Desk) -> pb.ServiceResponse:
        desk.requests["progress"] += 1
        return pb.ServiceResponse(gen_proof=pb.GenProofResponse(status=pb.GEN_PROOF_STATUS_OK))

    def _refuse(self, identity: int, kind: Refusal, text: str, now: float) -> tuple[pb.ServiceResponse, list[Effect]]:
        """An error that leaves everything as it is."""
        desk = self.desks[identity]
        desk.fault = Fault(kind, text, now)
        said = desk.voice.say(text, now)
        return self._error(desk, kind), [] if said is None else [Say(identity, "error", said)]

    def _error(self, desk: Desk, kind: Refusal) -> pb.ServiceResponse:
        desk.requests["error"] += 1
        desk.refusals[kind] += 1
        return pb.ServiceResponse(gen_proof=pb.GenProofResponse(status=pb.GEN_PROOF_STATUS_ERROR))


def metadata_message(metadata: PostMetadata) -> pb.Metadata:
    """The identity and its data as the node hears of them. A VRF nonce of 0 is one; without one there is no field."""
    return pb.Metadata(
        node_id=metadata.node_id,
        commitment_atx_id=metadata.commitment_atx_id,
        nonce=metadata.nonce,
        num_units=metadata.num_units,
        labels_per_unit=metadata.labels_per_unit,
    )
