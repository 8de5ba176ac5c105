"""Signatures crafted against the rules, and the rules in plain integers: what every path of verification is held to."""

from __future__ import annotations

import hashlib
import random
from dataclasses import dataclass

from kernels.signatures.ed25519 import GO_STANDARD_LIBRARY, NODE
from kernels.signatures.ed25519_curve import (
    BASE,
    ORDER,
    SMALL_ORDER,
    TORSION,
    P,
    add,
    compress,
    decompress,
    is_canonical,
    multiply,
    negate,
)

IDENTITY = TORSION[0]
ODD_ENCODINGS = [
    *TORSION,
    *((y | sign << 255).to_bytes(32, "little") for y in (0, 1, 2, P - 1, P, P + 1, 2**255 - 1) for sign in (0, 1)),
]
"""Encodings of points of small order, canonical and not, and one of no point."""


@dataclass(frozen=True, slots=True)
class Signed:
    """A signature with what it claims to sign."""

    key: bytes
    message: bytes
    signature: bytes


def challenge(r: bytes, key: bytes, message: bytes) -> int:
    return int.from_bytes(hashlib.sha512(r + key + message).digest(), "little") % ORDER


def accepts(case: Signed, rules: int = NODE) -> bool:
    """The verdict by the text of the rule."""
    r, s = case.signature[:32], int.from_bytes(case.signature[32:], "little")
    key = decompress(case.key)
    if key is None or s >= ORDER:
        return False
    k = challenge(r, case.key, case.message)
    result = add(multiply(s, BASE), negate(multiply(k, key)))
    if rules == GO_STANDARD_LIBRARY:
        return compress(result) == r
    r_point = decompress(r)
    if r_point is None or not is_canonical(r) or not is_canonical(case.key) or case.key in SMALL_ORDER:
        return False
    return compress(multiply(8, result)) == compress(multiply(8, r_point))


def craft(secret: int, key: bytes, nonce: int, r: bytes, message: bytes) -> Signed:
    """S = nonce + k * secret for whatever encodings of key and R are stated."""
    s = (nonce + challenge(r, key, message) * secret) % ORDER
    return Signed(key, message, r + s.to_bytes(32, "little"))


def shifted(scalar: int, torsion: int) -> bytes:
    """[scalar] B plus a point of small order."""
    point = decompress(TORSION[torsion])
    assert point is not None
    return compress(add(multiply(scalar, BASE), point))


def crafted(seed: int = 1) -> list[Signed]:
    """Every combination of torsion in A and R, of odd encodings, and of S beyond the group order."""
    source = random.Random(seed)
    secret, nonce = (source.randrange(1, ORDER) for _ in range(2))
    key, r = shifted(secret, 0), shifted(nonce, 0)

    def message() -> bytes:
        return source.randbytes(source.randrange(200))

    cases = [craft(secret, shifted(secret, a), nonce, shifted(nonce, b), message()) for a in range(8) for b in range(8)]
    cases += [craft(secret, key, 0, odd, message()) for odd in ODD_ENCODINGS]
    cases += [craft(0, odd, nonce, r, message()) for odd in ODD_ENCODINGS]
    cases += [craft(0, a, 0, b, message()) for a in ODD_ENCODINGS for b in ODD_ENCODINGS]
    for times in range(1, 15):
        good = craft(secret, key, nonce, r, message())
        s = int.from_bytes(good.signature[32:], "little") + times * ORDER
        cases.append(Signed(good.key, good.message, r + s.to_bytes(32, "little")))
    return cases


def columns(cases: list[Signed]) -> tuple[list[bytes], list[bytes], list[bytes]]:
    """Keys, messages, signatures."""
    return [case.key for case in cases], [case.message for case in cases], [case.signature for case in cases]
