"""What the service answers to the node, and which proof is made next: messages and events in, messages and effects out.

The proofs of all identities are made one after another. No error is for ever: it is told once, with its reason for
whoever looks, and the next request starts afresh; a finished proof is given out for its own challenge only, and does
not stand in the way of another one. Specified in protocol 01-post-tools, section 4.2, and 10-api, section 3.10.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Literal

from api.edge.repeats import Repeats
from protocol.pb.spacemesh.v1 import post_types_pb2 as pb
from protocol.post.proof import CHALLENGE_SIZE, Proof
from prover.post.metadata import PostMetadata

Level = Literal["info", "warning", "error"]
Refusal = Literal["no_kind", "challenge", "busy", "proof", "check"]
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
class IdentityState:
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
    voice: Repeats = field(default_factory=Repeats)


class PostService:
    """All identities of one process."""

    def __init__(self, identities: Sequence[PostMetadata]) -> None:
        self.states = [IdentityState(metadata) for metadata in identities]
        self._queue: deque[int] = deque()
        self.working: int | None = None
        """The identity whose proof is being made."""

    def receive(self, identity: int, request: pb.NodeRequest, now: float) -> tuple[pb.ServiceResponse, list[Effect]]:
        """The answer to one request of the node."""
        state = self.states[identity]
        kind = request.WhichOneof("kind")
        if kind == "metadata":
            state.requests["metadata"] += 1
            return pb.ServiceResponse(metadata=pb.MetadataResponse(meta=metadata_message(state.metadata))), []
        if kind is None:
            return self._refuse(identity, "no_kind", "The node sent a request of a kind that is not known here.", now)
        return self._gen_proof(identity, bytes(request.gen_proof.challenge), now)

    def made(self, identity: int, proof: Proof, now: float, *, weakened: bool = False) -> list[Effect]:
        """The proof in work was made and checked; some data could not be read where it is `weakened`."""
        state = self.states[identity]
        assert state.challenge is not None, "a proof in work has a challenge"
        state.proofs["weakened" if weakened else "made"] += 1
        state.proof, state.fault, state.last_made = proof, None, (now, state.challenge)
        self._enter(state, Phase.DONE, now)
        text = f"The proof for challenge {state.challenge.hex()} is made and checked: nonce {proof.nonce}."
        if weakened:
            text += " It is valid, but some data was missing or could not be read; see above."
        return [Say(identity, "warning" if weakened else "info", text), *self._next(identity, now)]

    def failed(self, identity: int, reason: str, now: float, *, in_check: bool = False) -> list[Effect]:
        """The proof in work could not be made, or was found not valid (`in_check`)."""
        state = self.states[identity]
        assert state.challenge is not None, "a proof in work has a challenge"
        state.proofs["failed"] += 1
        state.fault = Fault("check" if in_check else "proof", reason, now)
        self._enter(state, Phase.FAILED, now)
        text = f"No proof for challenge {state.challenge.hex()}: {reason}"
        return [Say(identity, "error", text), *self._next(identity, now)]

    def _gen_proof(self, identity: int, challenge: bytes, now: float) -> tuple[pb.ServiceResponse, list[Effect]]:
        state = self.states[identity]
        if state.phase in (Phase.DONE, Phase.FAILED) and challenge == state.challenge:
            return self._hand_out(identity, now)
        if len(challenge) != CHALLENGE_SIZE:
            text = f"The node's challenge has {len(challenge)} bytes, expected {CHALLENGE_SIZE}."
            return self._refuse(identity, "challenge", text, now)
        if state.phase is Phase.PROVING and challenge != state.challenge:
            assert state.challenge is not None, "a proof in work has a challenge"
            text = (
                f"The node asked for challenge {challenge.hex()} while the proof for {state.challenge.hex()} is being "
                "made; that one goes on."
            )
            return self._refuse(identity, "busy", text, now)
        if challenge == state.challenge:
            return self._in_progress(state), []
        return self._begin(identity, challenge, now)

    def _begin(self, identity: int, challenge: bytes, now: float) -> tuple[pb.ServiceResponse, list[Effect]]:
        state = self.states[identity]
        effects: list[Effect] = []
        if state.phase is Phase.DONE and state.challenge is not None:
            text = f"The node did not fetch the proof for {state.challenge.hex()} and asks for another one."
            effects.append(Say(identity, "warning", text))
        state.challenge, state.proof = challenge, None
        if identity not in self._queue:
            self._queue.append(identity)
        self._enter(state, Phase.QUEUED, now)
        effects.append(Say(identity, "info", f"The node asks for a proof for challenge {challenge.hex()}."))
        if self.working is None:
            effects += self._next(None, now)
        else:
            effects.append(Say(identity, "info", "It is made after the proof of another identity that is in work."))
        return self._in_progress(state), effects

    def _next(self, ended: int | None, now: float) -> list[Effect]:
        """The next proof of the queue, after the one of `ended`."""
        if ended is not None and self.working == ended:
            self.working = None
        if self.working is not None or not self._queue:
            return []
        self.working = self._queue.popleft()
        state = self.states[self.working]
        assert state.challenge is not None, "who waits in the queue has a challenge"
        self._enter(state, Phase.PROVING, now)
        return [Start(self.working, state.challenge)]

    def _hand_out(self, identity: int, now: float) -> tuple[pb.ServiceResponse, list[Effect]]:
        """The end of a proof, told to the node."""
        state = self.states[identity]
        if state.phase is Phase.FAILED:
            assert state.fault is not None, "a failed proof has a reason"
            kind = state.fault.kind
            self._forget(state, now)
            return self._error(state, kind), []
        assert state.proof is not None and state.challenge is not None, "a proof that is done is there"
        proof, own = state.proof, state.challenge
        self._forget(state, now)
        state.requests["proof"] += 1
        answer = pb.GenProofResponse(
            status=pb.GEN_PROOF_STATUS_OK,
            proof=pb.Proof(nonce=proof.nonce, indices=proof.indices, pow=proof.pow),
            metadata=pb.ProofMetadata(challenge=own, meta=metadata_message(state.metadata)),
        )
        return pb.ServiceResponse(gen_proof=answer), [Say(identity, "info", "The node has fetched the proof.")]

    def _forget(self, state: IdentityState, now: float) -> None:
        state.challenge = state.proof = None
        self._enter(state, Phase.IDLE, now)

    def _enter(self, state: IdentityState, phase: Phase, now: float) -> None:
        state.phase, state.since = phase, now

    def _in_progress(self, state: IdentityState) -> pb.ServiceResponse:
        state.requests["progress"] += 1
        return pb.ServiceResponse(gen_proof=pb.GenProofResponse(status=pb.GEN_PROOF_STATUS_OK))

    def _refuse(self, identity: int, kind: Refusal, text: str, now: float) -> tuple[pb.ServiceResponse, list[Effect]]:
        """An error that leaves everything as it is."""
        state = self.states[identity]
        state.fault = Fault(kind, text, now)
        said = state.voice.once(text, now)
        return self._error(state, kind), [] if said is None else [Say(identity, "error", said)]

    def _error(self, state: IdentityState, kind: Refusal) -> pb.ServiceResponse:
        state.requests["error"] += 1
        state.refusals[kind] += 1
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
