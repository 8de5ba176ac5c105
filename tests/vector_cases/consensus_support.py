"""What checks of consensus vectors and tests of nodes share: own identities, a checker that counts, and a machine's
message from admission to verdict."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from node.contract.checks import Checker, NetworkChecker, SignatureCheck, VrfCheck
from node.contract.demands import Demand, Result
from node.contract.instants import Instant
from node.contract.machine import Machine
from node.contract.messages import Message
from node.contract.ports import Signer as SignerPort
from node.contract.steps import Found, Judged, Needs, Ticket
from node.store.store import Store
from protocol.crypto import signing
from protocol.crypto.signing import Domain
from protocol.types.ids import EdSignature, NodeId, VrfSignature

S = TypeVar("S", bound=SignerPort)


class Key:
    """A Signer."""

    def __init__(self, seed: str, genesis_id: bytes) -> None:
        self._signer = signing.Signer(bytes.fromhex(seed), genesis_id)

    @property
    def identity(self) -> NodeId:
        return NodeId(self._signer.public_key)

    def sign(self, domain: Domain, message: bytes) -> EdSignature:
        return EdSignature(self._signer.sign(domain, message))

    def prove(self, alpha: bytes) -> VrfSignature:
        return VrfSignature(self._signer.prove(alpha))


class SilentKey:
    """A Signer where nothing is signed: only whose it is counts."""

    def __init__(self, identity: NodeId) -> None:
        self.identity = identity

    def sign(self, domain: Domain, message: bytes) -> EdSignature:
        raise AssertionError("nothing is signed here")


class Keys:
    """The own identities, none of which may be stopped. Without any: those of a node that only looks on."""

    def __init__(self, keys: Sequence[SignerPort] = ()) -> None:
        self.keys = keys

    def signers(self) -> Sequence[SignerPort]:
        return tuple(self.keys)

    def stop(self, identity: NodeId, sentence: str) -> None:
        raise AssertionError(sentence)


class KeyRing(Generic[S]):
    """The own identities, to which others may be added. Mutable."""

    def __init__(self, *keys: S) -> None:
        self.keys = list(keys)
        self.stopped: dict[NodeId, str] = {}

    def signers(self) -> Sequence[S]:
        return tuple(self.keys)

    def stop(self, identity: NodeId, sentence: str) -> None:
        self.stopped[identity] = sentence
        self.keys = [key for key in self.keys if key.identity != identity]


class CountingChecker(NetworkChecker):
    """The network's verdicts, with the sizes of the batches."""

    def __init__(self, genesis_id: bytes) -> None:
        super().__init__(genesis_id)
        self.batches: list[int] = []
        self.vrf_batches: list[int] = []

    def signatures(self, checks: Sequence[SignatureCheck]) -> Sequence[bool]:
        self.batches.append(len(checks))
        return super().signatures(checks)

    def vrf_proofs(self, checks: Sequence[VrfCheck]) -> Sequence[bool]:
        self.vrf_batches.append(len(checks))
        return super().vrf_proofs(checks)


def _no_answer(demand: Demand) -> Result:
    raise AssertionError(f"asked for {demand}")


def judged(
    machine: Machine,
    message: Message,
    store: Store,
    now: Instant,
    checker: Checker,
    answer: Callable[[Demand], Result] = _no_answer,
) -> Judged:
    """What becomes of a message. answer: what it asks for beside checks, which may write to the store."""
    step = machine.admit(message, store.view(), now)
    while isinstance(step, Needs):
        found = Found(
            checker.signatures(step.signatures),
            checker.vrf_proofs(step.vrf_proofs),
            [answer(demand) for demand in step.demands],
        )
        step = machine.proceed(Ticket(0, message, step.memo, now), found, store.view(), now)
    return step
