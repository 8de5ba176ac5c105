"""Identities of a simulation, and the checker that judges their signatures."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Hashable, Sequence
from typing import TypeVar

from kernels.signatures.ecvrf_proving import OpenKey
from node.contract.checks import Checker, NetworkChecker, SignatureCheck, VrfCheck
from node.contract.ports import Signer
from protocol.codec.sharing import Recent
from protocol.crypto import signing
from protocol.crypto.signing import Domain
from protocol.types.ids import EdSignature, NodeId, VrfSignature

C = TypeVar("C", SignatureCheck, VrfCheck)

KEPT_VERDICTS = 100_000
"""Verdicts that a shared checker remembers at least, and at most twice as many."""


class SimKey:
    """An identity with a real key, which follows from the seed of the run."""

    def __init__(self, seed: int, number: int, genesis_id: bytes) -> None:
        secret = hashlib.sha256(f"smesher/{seed}/{number}".encode()).digest()
        self._signer = signing.Signer(secret, genesis_id)
        self._identity = NodeId(self._signer.public_key)
        self.open_key = OpenKey.of(secret, self._signer.public_key)
        """With the secret half, which whoever knows the seed knows."""

    @property
    def identity(self) -> NodeId:
        """As Signer says."""
        return self._identity

    def sign(self, domain: Domain | None, message: bytes) -> EdSignature:
        """As Signer says; also of a transaction, which has no domain."""
        return EdSignature(self._signer.sign(domain, message))

    def prove(self, alpha: bytes) -> VrfSignature:
        """Its VRF proof."""
        return VrfSignature(self._signer.prove(alpha))


class SimKeys:
    """The keys of one node. Also the port `Keys`."""

    def __init__(self, keys: Sequence[SimKey]) -> None:
        self._keys = list(keys)
        self.stopped: dict[NodeId, str] = {}
        """Identities that sign no more, with the sentence."""

    def signers(self) -> Sequence[Signer]:
        """As Keys says."""
        return tuple(self._keys)

    def all(self) -> Sequence[SimKey]:
        """Those that may sign."""
        return tuple(self._keys)

    def stop(self, identity: NodeId, sentence: str) -> None:
        """As Keys says."""
        self.stopped[identity] = sentence
        self._keys = [key for key in self._keys if key.identity != identity]

    def key(self, identity: NodeId) -> SimKey | None:
        """One of them; None where it is not here, or may not sign."""
        return next((key for key in self._keys if key.identity == identity), None)


class SharedChecker:
    """Verdicts of a whole network on the same machine: each signature and proof is judged once, whoever asks."""

    def __init__(self, genesis_id: bytes) -> None:
        self._checker: Checker = NetworkChecker(genesis_id)
        self._signatures = Recent(KEPT_VERDICTS)
        self._proofs = Recent(KEPT_VERDICTS)

    def signatures(self, checks: Sequence[SignatureCheck]) -> Sequence[bool]:
        """As Checker says."""
        keys = [(check.public_key, check.message, check.signature, check.domain) for check in checks]
        return _judged(self._signatures, keys, checks, self._checker.signatures)

    def vrf_proofs(self, checks: Sequence[VrfCheck]) -> Sequence[bool]:
        """As Checker says."""
        keys = [(check.public_key, check.alpha, check.proof) for check in checks]
        return _judged(self._proofs, keys, checks, self._checker.vrf_proofs)


def _judged(
    known: Recent, keys: Sequence[Hashable], checks: Sequence[C], judge: Callable[[Sequence[C]], Sequence[bool]]
) -> list[bool]:
    found: list[bool | None] = [known.get(key) for key in keys]
    missing = {key: check for key, check, verdict in zip(keys, checks, found) if verdict is None}
    if not missing:
        return found  # type: ignore[return-value]
    made = dict(zip(missing, judge(list(missing.values())), strict=True))
    for key, verdict in made.items():
        known.put(key, verdict)
    return [made[key] if verdict is None else verdict for key, verdict in zip(keys, found)]
