"""Signatures and VRF proofs that a machine wants checked. The engine checks all of a turn in one batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from protocol.crypto import signing, vrf
from protocol.crypto.signing import Domain, signed_bytes
from protocol.types.ids import NodeId

from .quick import quick


@quick
class SignatureCheck:
    """One signature."""

    domain: Domain | None
    """None: of a transaction, which has no domain byte."""
    public_key: NodeId
    message: bytes
    """Without prefix and domain byte."""
    signature: bytes


@dataclass(frozen=True, slots=True)
class VrfCheck:
    """One VRF proof."""

    public_key: NodeId
    alpha: bytes
    proof: bytes


class Checker(Protocol):
    """Verdicts on many signatures and proofs at once."""

    def signatures(self, checks: Sequence[SignatureCheck]) -> Sequence[bool]:
        """One verdict for each, in their order."""

    def vrf_proofs(self, checks: Sequence[VrfCheck]) -> Sequence[bool]:
        """One verdict for each, in their order."""


class NetworkChecker:
    """The verdicts of one network."""

    def __init__(self, genesis_id: bytes, threads: int = 1) -> None:
        """genesis_id: 20 bytes, the prefix of everything signed."""
        self._genesis_id = genesis_id
        self._threads = threads

    def signatures(self, checks: Sequence[SignatureCheck]) -> Sequence[bool]:
        """As Checker says. Signatures of several domains share the batch."""
        return signing.verify_many(
            signing.NO_DOMAIN,
            [check.public_key for check in checks],
            [signed_bytes(check.domain, check.message, self._genesis_id) for check in checks],
            [check.signature for check in checks],
            threads=self._threads,
        )

    def vrf_proofs(self, checks: Sequence[VrfCheck]) -> Sequence[bool]:
        """As Checker says."""
        return vrf.verify_many(
            [check.public_key for check in checks],
            [check.alpha for check in checks],
            [check.proof for check in checks],
            self._threads,
        )
