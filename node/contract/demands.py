"""What a machine can ask for: an object or an answer of a peer, or work that takes longer than a step may.

A demand is a value. It is answered by an `inputs.Answer`, with a result of the type named beside it, or with `Failed`.
Another machine may serve it (`Machine.serve`), else a port does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from protocol.types.activation import PostMetadataV1, PostV1
from protocol.types.ids import AtxId, EdSignature, EpochId, NodeId, PoetProofRef, VrfSignature
from protocol.types.poet import PoetProofMessage

from .instants import Instant
from .messages import PeerId
from .verdicts import Verdict


@dataclass(frozen=True, slots=True)
class Failed:
    """A demand that was not met."""

    reason: str
    """A short fixed word: `no_peers`, `timeout`, `not_found`, `refused`, `cancelled`, or one of the port's."""
    detail: str = ""
    """A sentence for people."""


# ---- peers ----


@dataclass(frozen=True, slots=True)
class Fetch:
    """An object by its id, judged by the machine that its hint belongs to. Answer: `Fetched`."""

    hint: str
    """A `protocol.types.fetch.Hint`, or the name of objects of one that are judged in another way."""
    id: bytes
    """32 bytes; the ids of ballots, blocks and proposals padded with zeros."""
    peers: tuple[PeerId, ...] = ()
    """Who is likely to have it: whoever named it."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """The object came, and this became of it."""

    verdict: Verdict


@dataclass(frozen=True, slots=True)
class Request:
    """A question to one peer, in a protocol of requests. Answer: bytes, as the peer sent them."""

    protocol: str
    data: bytes
    peer: PeerId
    timeout: int
    """Nanoseconds."""


@dataclass(frozen=True, slots=True)
class PeerRequest:
    """A question of a peer to this node. Answer: bytes, or `Failed`, which the peer is told of."""

    protocol: str
    data: bytes
    peer: PeerId


# ---- proofs ----


@dataclass(frozen=True, slots=True)
class ProveVrf:
    """A VRF proof of an own identity (0.4 ms): asked for before it is needed. Answer: VrfSignature."""

    identity: NodeId
    alpha: bytes


@dataclass(frozen=True, slots=True)
class ProvePost:
    """A proof of space of an own identity, which takes minutes to hours. Answer: `ProvenPost`, or Failed: with
    `not_connected` where no prover of the identity is there, or it went away before it was done."""

    identity: NodeId
    challenge: bytes
    """32 bytes."""


@dataclass(frozen=True, slots=True)
class ProvenPost:
    """A proof of space, and over what it was made."""

    post: PostV1
    metadata: PostMetadataV1
    num_units: int
    commitment_atx: AtxId
    vrf_nonce: int | None


@dataclass(frozen=True, slots=True)
class DescribePost:
    """What space an own identity holds, by the word of its prover. Answer: `HeldSpace`, or Failed as of `ProvePost`."""

    identity: NodeId


@dataclass(frozen=True, slots=True)
class HeldSpace:
    """The space of an identity as it is now."""

    commitment_atx: AtxId
    num_units: int


@dataclass(frozen=True, slots=True)
class ChooseCommitment:
    """The activation to which an own identity binds the labels that it is about to make. Answer: bytes, its id."""

    identity: NodeId


@dataclass(frozen=True, slots=True)
class VerifyPost:
    """Whether a proof of space is valid. Answer: `PostVerdict`."""

    node_id: NodeId
    commitment_atx: AtxId
    post: PostV1
    metadata: PostMetadataV1
    num_units: int
    positions: tuple[int, ...] | None = None
    """Positions among the proof's indices that are checked; None: all."""
    is_urgent: bool = False
    """Whether it comes before others that wait."""


@dataclass(frozen=True, slots=True)
class PostVerdict:
    """What checking a proof of space gave."""

    is_valid: bool
    wrong_position: int | None = None
    """The position of an index that is proven wrong; None where the proof is valid or refused as a whole."""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class VerifyVrfNonce:
    """Whether a VRF nonce belongs to the space of an identity. Answer: bool."""

    node_id: NodeId
    commitment_atx: AtxId
    nonce: int
    num_units: int
    labels_per_unit: int


@dataclass(frozen=True, slots=True)
class VerifyPoet:
    """Whether a proof of sequential work holds. Answer: bool."""

    proof: PoetProofMessage
    ref: PoetProofRef


# ---- PoET servers ----


@dataclass(frozen=True, slots=True)
class SpaceProof:
    """What a certifier is shown: that an identity holds space. Protocol 02-poet-client, section 5."""

    post: PostV1
    challenge: bytes
    """32 bytes; zeros of an initial proof."""
    commitment_atx: AtxId
    num_units: int


@dataclass(frozen=True, slots=True)
class Certified:
    """A certifier's word with which PoET servers that trust it let an identity in."""

    certifier: bytes
    """Its public key, 32 bytes."""
    certificate: bytes
    signature: bytes


@dataclass(frozen=True, slots=True)
class CertifyAtPoet:
    """A certificate of the certifier that a server names. Answer: `Certified`, or Failed: with `no_certifier` where it
    names none."""

    server: str
    identity: NodeId
    space: SpaceProof
    certificates: tuple[Certified, ...] = ()
    """Those that the identity has; where one is of that certifier, it is the answer."""


@dataclass(frozen=True, slots=True)
class RegisterAtPoet:
    """Register a challenge at a server until its round starts. Answer: `Registered`, or Failed: with `conflict` where
    the server has another challenge of the identity in this round."""

    server: str
    """Its address."""
    identity: NodeId
    challenge: bytes
    """32 bytes."""
    signature: EdSignature
    """Of the challenge, in the domain POET."""
    deadline: Instant
    """When the round starts."""
    proof_deadline: Instant
    """Until when the proof of the round is of use; told to the server."""
    certificates: tuple[Certified, ...] = ()
    """Those that the identity has. Without one of the server's certifier, or where the server refuses it, a new one is
    asked for; a proof of work stands in where there is none."""
    space: SpaceProof | None = None
    """For a new certificate."""


@dataclass(frozen=True, slots=True)
class Registered:
    """A server took the challenge."""

    round_id: str
    round_end: Instant
    certificate: Certified | None = None
    """A new one that was used, to be kept."""


@dataclass(frozen=True, slots=True)
class PoetProofOf:
    """The proof of a round. Answer: `RoundProof`, which whoever asks has to verify."""

    server: str
    round_id: str


@dataclass(frozen=True, slots=True)
class RoundProof:
    """The proof of a round, and whose challenges it covers, in their order."""

    proof: PoetProofMessage
    members: Sequence[bytes]


# ---- the rest ----


@dataclass(frozen=True, slots=True)
class BootstrapDocument:
    """The published fallback of an epoch. Answer: bytes, or Failed (`not_found`)."""

    epoch: EpochId


Demand = (
    Fetch
    | Request
    | PeerRequest
    | ProveVrf
    | ProvePost
    | DescribePost
    | ChooseCommitment
    | VerifyPost
    | VerifyVrfNonce
    | VerifyPoet
    | CertifyAtPoet
    | RegisterAtPoet
    | PoetProofOf
    | BootstrapDocument
)
Result = (
    bytes
    | bool
    | VrfSignature
    | Fetched
    | ProvenPost
    | HeldSpace
    | PostVerdict
    | Certified
    | Registered
    | RoundProof
    | Failed
)
