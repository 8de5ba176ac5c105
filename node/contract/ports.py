"""What the node wants from the world. Adapters are elsewhere: `node/p2p`, shells around `prover/`, `api/`; the
simulator has its own.

A port takes what is to be done and returns at once; what comes of it is an input of the engine, under the number of the
call. Only keys answer at once: signing is synchronous.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, TypeVar

from protocol.crypto.signing import Domain
from protocol.types.ids import EdSignature, NodeId

from .demands import (
    BootstrapDocument,
    CertifyAtPoet,
    DescribePost,
    PoetProofOf,
    ProvePost,
    ProveVrf,
    RegisterAtPoet,
    Request,
    Result,
    VerifyPoet,
    VerifyPost,
    VerifyVrfNonce,
)
from .instants import Instant
from .messages import Message, PeerId
from .verdicts import Verdict

T = TypeVar("T")


class Clock(Protocol):
    """The time of day. Runtime and simulator have one; no machine does."""

    def now(self) -> Instant:
        """Now."""


class Random(Protocol):
    """A generator seeded from outside: the same seed, the same run."""

    def below(self, limit: int) -> int:
        """A number from 0 to limit - 1."""

    def shuffled(self, values: Sequence[T]) -> list[T]:
        """The values in another order."""


class Signer(Protocol):
    """An own identity."""

    @property
    def identity(self) -> NodeId:
        """Its public key."""

    def sign(self, domain: Domain, message: bytes) -> EdSignature:
        """The signature of a message, with the network's prefix."""


class Keys(Protocol):
    """The own identities. A machine samples them in the unit of a tick: a key that is added joins the next layer."""

    def signers(self) -> Sequence[Signer]:
        """Those that may sign now."""

    def stop(self, identity: NodeId, sentence: str) -> None:
        """Let an identity sign no more, and tell its owner why."""


def signer_of(keys: Keys, identity: NodeId) -> Signer | None:
    """The own identity with this public key; None where it is not ours, or may not sign now."""
    return next((signer for signer in keys.signers() if signer.identity == identity), None)


class Network(Protocol):
    """Peers, without saying how they are reached. Messages and answers come as inputs."""

    def publish(self, call: int, topic: str, data: bytes) -> None:
        """Send to everyone. Result: `Sent` or `NotSent`."""

    def judge(self, message: Message, verdict: Verdict) -> None:
        """Whether a message of gossip goes on."""

    def request(self, call: int, request: Request) -> None:
        """Ask a peer. Result: bytes or Failed."""

    def reply(self, call: int, result: Result) -> None:
        """Answer a peer's request, which came with this number."""

    def penalise(self, peer: PeerId, reason: str) -> None:
        """Think less of a peer, or part with it."""

    def peers(self) -> Sequence[PeerId]:
        """Who is connected."""


class Prover(Protocol):
    """Long work with proofs."""

    def prove_post(self, call: int, work: ProvePost) -> None:
        """Result: ProvenPost or Failed."""

    def describe_post(self, call: int, work: DescribePost) -> None:
        """Result: HeldSpace or Failed."""

    def prove_vrf(self, call: int, work: ProveVrf) -> None:
        """Result: VrfSignature or Failed."""

    def verify_post(self, call: int, work: VerifyPost) -> None:
        """Result: PostVerdict."""

    def verify_vrf_nonce(self, call: int, work: VerifyVrfNonce) -> None:
        """Result: bool."""

    def verify_poet(self, call: int, work: VerifyPoet) -> None:
        """Result: bool."""

    def give_up(self, call: int) -> None:
        """The result is wanted no more. Nothing where there is no such call, or it was not the prover's."""


class PoetServers(Protocol):
    """The servers that prove the passing of time."""

    def certify(self, call: int, work: CertifyAtPoet) -> None:
        """Result: Certified or Failed."""

    def register(self, call: int, work: RegisterAtPoet) -> None:
        """Result: Registered or Failed."""

    def proof(self, call: int, work: PoetProofOf) -> None:
        """Result: RoundProof or Failed."""

    def give_up(self, call: int) -> None:
        """As of Prover: what is given up is asked of no server any more."""


class Bootstrap(Protocol):
    """The published fallback."""

    def document(self, call: int, work: BootstrapDocument) -> None:
        """Result: bytes or Failed."""
