"""What a node says to the PoST services that connect to it: messages and calls in, messages and results out.

| a stream | then |
|---|---|
| begins | it is asked at once who it is |
| is of an identity that has one | it ends; the first goes on |
| ends, whoever ended it | whoever waits for it is told that nobody is connected |

| an answer to a request for a proof | then |
|---|---|
| no error, no proof | the same request again after a while |
| a proof for this challenge, over data that is named | the proof is handed out |
| anything else | the call has failed; the stream goes on |

One request at a time on a stream, each with exactly one answer. A node id of any form is let in: one that is not of
this node is never asked. Specified in protocol 10-api, sections 3.10 and 9.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from api.edge.rpc import Status
from node.contract.demands import Failed, HeldSpace, ProvenPost, Result
from protocol.pb.spacemesh.v1 import post_types_pb2 as pb
from protocol.types.activation import PostMetadataV1, PostV1
from protocol.types.ids import ID_SIZE, AtxId, NodeId

NO_COINBASE = "connection not allowed: node has no coinbase set in config"
GONE = Failed("not_connected", "The PoST service has gone before it answered.")
NOT_THERE = Failed("not_connected", "No PoST service is connected for this identity.")

Level = Literal["info", "warning", "error"]


@dataclass(frozen=True, slots=True)
class Send:
    """Effect: a message for a service, which has one answer."""

    link: int
    request: pb.NodeRequest


@dataclass(frozen=True, slots=True)
class End:
    """Effect: a stream ends with this status."""

    link: int
    status: Status
    text: str


@dataclass(frozen=True, slots=True)
class Wait:
    """Effect: call `poll` with this number after the time between two requests."""

    link: int
    ticket: int


@dataclass(frozen=True, slots=True)
class Tell:
    """Effect: what came of a call."""

    call: int
    result: Result


@dataclass(frozen=True, slots=True)
class Say:
    """Effect: a sentence for the log."""

    level: Level
    text: str


Effect = Send | End | Wait | Tell | Say


@dataclass(frozen=True, slots=True)
class Command:
    """What a service is asked for."""

    call: int
    challenge: bytes | None
    """Of a proof; None: what space it holds."""

    def request(self) -> pb.NodeRequest:
        """As it is sent."""
        if self.challenge is None:
            return pb.NodeRequest(metadata=pb.MetadataRequest())
        return pb.NodeRequest(gen_proof=pb.GenProofRequest(challenge=self.challenge))


@dataclass(slots=True)
class _Link:
    """One stream."""

    identity: NodeId | None = None
    """None: it was asked who it is, and has not said so."""
    asked: Command | None = None
    """Whose answer is awaited."""
    is_given_up: bool = False
    """Nobody wants that answer any more."""
    resting: Command | None = None
    """A proof that is being made: asked for again when `ticket` is due."""
    ticket: int = 0
    waiting: deque[Command] = field(default_factory=deque)


class PostServers:
    """All streams of a node."""

    def __init__(self) -> None:
        self._links: dict[int, _Link] = {}
        self._identities: dict[NodeId, int] = {}
        self._proving: dict[NodeId, int] = {}
        """Who wants a proof, with the last call; one that failed is wanted still."""
        self._tickets = 0

    def connected(self) -> frozenset[NodeId]:
        """Those for whom a service is there."""
        return frozenset(self._identities)

    def is_proving(self, identity: NodeId) -> bool:
        """Whether a proof is awaited, also while no service is there."""
        return identity in self._proving

    @property
    def is_at_work(self) -> bool:
        """Whether a service that is connected makes a proof."""
        commands = (one for link in self._links.values() for one in (link.asked, link.resting))
        return any(one is not None and one.challenge is not None for one in commands)

    # ---- streams ----

    def connect(self, link: int, *, is_allowed: bool) -> list[Effect]:
        """A stream begins. is_allowed: whether there is a coinbase that proofs would be of use for."""
        if not is_allowed:
            return [End(link, Status.FAILED_PRECONDITION, NO_COINBASE)]
        self._links[link] = _Link()
        return [Send(link, Command(0, None).request())]

    def receive(self, link: int, response: pb.ServiceResponse) -> list[Effect]:
        """The answer to the last message."""
        state = self._links.get(link)
        if state is None:
            return []
        if state.identity is None:
            return self._introduced(link, state, response)
        command, state.asked = state.asked, None
        assert command is not None, "an answer is read after a request"
        given_up, state.is_given_up = state.is_given_up, False
        found = _read(command, response)
        if given_up:
            return self._next(link, state)
        if found is None:
            self._tickets += 1
            state.resting, state.ticket = command, self._tickets
            return [Wait(link, state.ticket), *self._next(link, state)]
        if isinstance(found, ProvenPost):
            self._proving.pop(state.identity, None)
        said = self._complaint(state.identity, found)
        return [*said, Tell(command.call, found), *self._next(link, state)]

    def silent(self, link: int) -> list[Effect]:
        """The service has ended its side while an answer is awaited."""
        return [*self.gone(link), End(link, Status.UNKNOWN, "failed to receive response: EOF")]

    def gone(self, link: int) -> list[Effect]:
        """A stream has ended; a second time does nothing."""
        state = self._links.pop(link, None)
        if state is None or state.identity is None:
            return []
        del self._identities[state.identity]
        asked = None if state.is_given_up else state.asked
        lost = [one for one in (asked, state.resting, *state.waiting) if one is not None]
        said = Say("info", f"The PoST service of {_hex(state.identity)} is not connected any more.")
        return [said, *(Tell(one.call, GONE) for one in lost)]

    def poll(self, link: int, ticket: int) -> list[Effect]:
        """The time of a `Wait` is over."""
        state = self._links.get(link)
        if state is None or state.resting is None or state.ticket != ticket:
            return []
        state.waiting.appendleft(state.resting)
        state.resting = None
        return self._next(link, state)

    # ---- calls ----

    def prove(self, call: int, identity: NodeId, challenge: bytes) -> list[Effect]:
        """A proof of space is wanted."""
        self._proving[identity] = call
        return self._ask(identity, Command(call, challenge))

    def describe(self, call: int, identity: NodeId) -> list[Effect]:
        """What space there is."""
        return self._ask(identity, Command(call, None))

    def give_up(self, call: int) -> list[Effect]:
        """Nobody wants the result any more. The service goes on with a proof that it has begun."""
        for identity, wanted in list(self._proving.items()):
            if wanted == call:
                del self._proving[identity]
        for link, state in self._links.items():
            if state.asked is not None and state.asked.call == call:
                state.is_given_up = True
                return []
            if state.resting is not None and state.resting.call == call:
                state.resting = None
                return self._next(link, state)
            for command in state.waiting:
                if command.call == call:
                    state.waiting.remove(command)
                    return []
        return []

    def _ask(self, identity: NodeId, command: Command) -> list[Effect]:
        link = self._identities.get(identity)
        if link is None:
            return [Tell(command.call, NOT_THERE)]
        state = self._links[link]
        state.waiting.append(command)
        return self._next(link, state)

    def _next(self, link: int, state: _Link) -> list[Effect]:
        """The next request, where none is open. A proof waits for the one before it."""
        if state.asked is not None:
            return []
        for command in state.waiting:
            if command.challenge is None or state.resting is None:
                state.waiting.remove(command)
                state.asked = command
                return [Send(link, command.request())]
        return []

    def _introduced(self, link: int, state: _Link, response: pb.ServiceResponse) -> list[Effect]:
        kind = response.WhichOneof("kind")
        if kind != "metadata":
            return self._refuse(link, f"expected metadata response, got {_GO_NAMES[kind]}")
        if not response.metadata.HasField("meta"):
            return self._refuse(link, "expected metadata, got empty response")
        identity = NodeId(response.metadata.meta.node_id)
        if identity in self._identities:
            return self._refuse(link, "post service already registered")
        state.identity = identity
        self._identities[identity] = link
        units = response.metadata.meta.num_units
        return [Say("info", f"A PoST service has connected for {_hex(identity)}, with {units} units.")]

    def _refuse(self, link: int, text: str) -> list[Effect]:
        del self._links[link]
        return [Say("warning", f"A PoST service was refused: {text}."), End(link, Status.UNKNOWN, text)]

    def _complaint(self, identity: NodeId, found: Result) -> list[Effect]:
        if not isinstance(found, Failed):
            return []
        return [Say("error", f"The PoST service of {_hex(identity)} gave no proof: {found.detail}")]


_GO_NAMES = {"gen_proof": "*spacemeshv1.ServiceResponse_GenProof", None: "<nil>"}
"""How the reference names what came in place of metadata."""


def _read(command: Command, response: pb.ServiceResponse) -> ProvenPost | HeldSpace | Failed | None:
    """What an answer says; None: the proof is being made."""
    kind = response.WhichOneof("kind")
    if command.challenge is None:
        if kind != "metadata" or not response.metadata.HasField("meta"):
            return _bad("asked what space it holds, it answered something else.")
        meta = response.metadata.meta
        if len(meta.commitment_atx_id) != ID_SIZE:
            return _bad(_commitment(meta))
        return HeldSpace(AtxId(meta.commitment_atx_id), meta.num_units)
    if kind != "gen_proof":
        return _bad("asked for a proof, it answered something else.")
    found = response.gen_proof
    if found.status == pb.GEN_PROOF_STATUS_ERROR:
        return Failed("refused", "it has failed; its own log says why.")
    if found.status != pb.GEN_PROOF_STATUS_OK:
        return _bad(f"its answer has the status {found.status}, expected 1 (OK) or 2 (error).")
    if not found.HasField("proof"):
        return None
    return _proven(command.challenge, found)


def _proven(challenge: bytes, found: pb.GenProofResponse) -> ProvenPost | Failed:
    if not found.HasField("metadata") or not found.metadata.HasField("meta"):
        return _bad("its proof does not say over which data it was made.")
    if found.metadata.challenge != challenge:
        return _bad(f"its proof is for challenge {_hex(found.metadata.challenge)}, asked was {challenge.hex()}.")
    meta, proof = found.metadata.meta, found.proof
    if len(meta.commitment_atx_id) != ID_SIZE:
        return _bad(_commitment(meta))
    return ProvenPost(
        PostV1(proof.nonce, proof.indices, proof.pow),
        PostMetadataV1(challenge, meta.labels_per_unit),
        meta.num_units,
        AtxId(meta.commitment_atx_id),
        meta.nonce if meta.HasField("nonce") else None,
    )


def _commitment(meta: pb.Metadata) -> str:
    return f"its commitment ATX id has {len(meta.commitment_atx_id)} bytes, expected {ID_SIZE}."


def _hex(said: bytes) -> str:
    """What a service says, which may have any length, for a log."""
    return said.hex() if len(said) <= ID_SIZE else f"{said[:ID_SIZE].hex()}… ({len(said)} bytes)"


def _bad(sentence: str) -> Failed:
    return Failed("bad_answer", sentence)


def states(servers: PostServers, identities: Sequence[tuple[NodeId, str]]) -> pb.PostStatesResponse:
    """What is told of the identities: with the name of the key file of each."""
    states = [
        pb.PostState(
            id=identity, state=pb.PostState.PROVING if servers.is_proving(identity) else pb.PostState.IDLE, name=name
        )
        for identity, name in identities
    ]
    return pb.PostStatesResponse(states=states)
