"""VRF proofs of a whole network: made in batches, since its keys are no secret, and those of a round for all at once.

A proof follows from key and input, so each is what the key by itself would have made. Where the code for batches is not
loaded, each key makes its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from kernels.signatures import ecvrf_proving, ed25519
from node.contract.checks import VrfCheck
from protocol.codec.sharing import Recent
from protocol.crypto import signing
from protocol.types.ids import NodeId, VrfSignature

from .keys import SimKey

Wanted = tuple[SimKey, bytes]
"""A key, and what it is to prove."""
Judge = Callable[[Sequence[VrfCheck]], object]

KEPT = 10_000
"""Proofs that are remembered."""


def prepare(*, is_worth_compiling: bool) -> None:
    """Load the code for batches, a second once in a process; or have it compiled in the background, where that is worth
    some 20 seconds."""
    if ed25519.is_compiled() and ecvrf_proving.is_compiled():
        signing.prepare()
        ecvrf_proving.prepare()
    elif is_worth_compiling:
        signing.prepare(in_background=True)
        ecvrf_proving.prepare_in_background()


class SharedProver:
    """The proofs of all keys."""

    def __init__(self, keys: Iterable[SimKey], judge: Judge | None = None) -> None:
        """judge: is given all proofs of a batch, so that it need not judge them one by one."""
        self._keys = {key.identity: key for key in keys}
        self._judge = judge
        self._known = Recent(KEPT)
        self._first = Recent(KEPT)
        """By input: who was the first one to prove it."""

    def prove(self, key: SimKey, alpha: bytes) -> VrfSignature:
        """The proof of a key. What a second key proves, all are about to prove: a round has begun."""
        found: VrfSignature | None = self._known.get((key.identity, alpha))
        if found is not None:
            return found
        first: NodeId | None = self._first.get(alpha)
        if first is None:
            self._first.put(alpha, key.identity)
        elif first != key.identity and ecvrf_proving.is_ready():
            self.expect([(key, alpha), *((other, alpha) for other in self._keys.values() if other is not key)])
            made: VrfSignature = self._known.get((key.identity, alpha))
            return made
        return key.prove(alpha)

    def expect(self, wanted: Sequence[Wanted]) -> None:
        """These are about to be asked for: make them together."""
        if not ecvrf_proving.is_ready():
            return
        new = [one for one in wanted if self._known.get((one[0].identity, one[1])) is None]
        proofs = ecvrf_proving.prove_many([key.open_key for key, _ in new], [alpha for _, alpha in new])
        for (key, alpha), proof in zip(new, proofs):
            self._known.put((key.identity, alpha), VrfSignature(proof))
        if self._judge is not None and ed25519.is_ready():
            self._judge([VrfCheck(key.identity, alpha, proof) for (key, alpha), proof in zip(new, proofs)])
