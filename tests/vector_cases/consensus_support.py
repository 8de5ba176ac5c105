"""What several checks of consensus vectors share: own identities, and a machine's message from admission to verdict."""

from __future__ import annotations

from collections.abc import Sequence

from node.contract.checks import Checker
from node.contract.instants import Instant
from node.contract.machine import Machine
from node.contract.messages import Message
from node.contract.ports import Signer as SignerPort
from node.contract.steps import Found, Judged, Needs, Ticket
from node.store.view import View
from protocol.crypto import signing
from protocol.crypto.signing import Domain
from protocol.types.ids import EdSignature, NodeId, VrfSignature


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


class Keys:
    """The own identities."""

    def __init__(self, keys: Sequence[Key]) -> None:
        self.keys = keys

    def signers(self) -> Sequence[SignerPort]:
        return tuple(self.keys)

    def stop(self, identity: NodeId, sentence: str) -> None:
        raise AssertionError(sentence)


def judged(machine: Machine, message: Message, view: View, now: Instant, checker: Checker) -> Judged:
    """What becomes of a message that asks for nothing but checks."""
    step = machine.admit(message, view, now)
    while isinstance(step, Needs):
        assert not step.demands, f"asked for {step.demands}"
        found = Found(checker.signatures(step.signatures), checker.vrf_proofs(step.vrf_proofs))
        step = machine.proceed(Ticket(0, message, step.memo, now), found, view, now)
    return step
