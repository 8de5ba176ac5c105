"""Signatures of transactions: found by the parser, judged all together.

Whether a signature is valid depends on the state only through the keys of the principal. So a layer's signatures are
judged in one batch before anything runs, with the keys that the principals will most likely have by then; who turns
out to have others is judged again, alone. Protocol 07-vm-and-transactions, section 2.2.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from node.ledger.parse import Parsed
from protocol.crypto import signing

VerifyMany = Callable[[Sequence[bytes], Sequence[bytes], Sequence[bytes]], Sequence[bool]]
"""Public keys, messages without the genesis id, signatures -> verdicts."""


def verifier(genesis_id: bytes, threads: int = 1) -> VerifyMany:
    """The rules for transactions of the network with this genesis; large batches on so many threads."""

    def verify_many(
        public_keys: Sequence[bytes], messages: Sequence[bytes], signatures: Sequence[bytes]
    ) -> Sequence[bool]:
        return signing.verify_many(signing.NO_DOMAIN, public_keys, messages, signatures, genesis_id, threads)

    return verify_many


def verify(parsed: Parsed, verify_many: VerifyMany) -> bool:
    """Whether one transaction is signed by its principal."""
    return verify_all((parsed,), verify_many)[0]


def verify_all(transactions: Iterable[Parsed], verify_many: VerifyMany) -> list[bool]:
    """One verdict for each transaction, from one call of `verify_many`."""
    keys: list[bytes] = []
    messages: list[bytes] = []
    signatures: list[bytes] = []
    ends: list[int] = []
    for parsed in transactions:
        found = parsed.signatures()
        if found is None:
            ends.append(-1)
            continue
        raw = parsed.raw
        signed = raw[: len(raw) - found.size]
        keys += found.public_keys
        signatures += found.signatures
        messages += (signed,) * len(found.signatures)
        ends.append(len(keys))
    verdicts = verify_many(keys, messages, signatures) if keys else ()
    results = []
    start = 0
    for end in ends:
        if end < 0:
            results.append(False)
            continue
        results.append(all(verdicts[start:end]))
        start = end
    return results
