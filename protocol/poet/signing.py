"""Ed25519 as the PoET server judges it: the rule of Go's standard library.

The equation R = [S]B - [k]A is compared byte by byte, S must be below the group order, and nothing else is
asked: keys and R of small order and keys with y at or above the prime are let through, which libsodium
refuses. What libsodium accepts, this rule accepts; only where libsodium would refuse for one of its extra
reasons is the equation worked out here. A node has another rule (`signing`). Specified in
protocol 02-poet, section 7.1, and 03-encoding-and-types, section 8.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from nacl.bindings import crypto_sign_open
from nacl.exceptions import BadSignatureError

from kernels.signatures import ed25519, ed25519_sodium
from kernels.signatures.ed25519_curve import ORDER, SMALL_ORDER_Y, P, compress, decompress, y_of


def verify(public_key: bytes, message: bytes, signature: bytes) -> bool:
    """Whether Go's ed25519.Verify accepts. Raises ValueError for a key that is not 32 bytes (Go panics)."""
    if len(public_key) != 32:
        raise ValueError(f"an Ed25519 key has 32 bytes, this one has {len(public_key)}")
    if len(signature) != 64:
        return False
    try:
        crypto_sign_open(signature + message, public_key)
    except BadSignatureError:
        return _refused_for_its_form(public_key, signature) and _equation_holds(public_key, message, signature)
    return True


def verify_many(
    public_keys: Sequence[bytes], messages: Sequence[bytes], signatures: Sequence[bytes], threads: int = 1
) -> list[bool]:
    """One verdict for each signature, the same as `verify` gives; in the eight lanes as soon as they are loaded.

    Raises ValueError for a key that is not 32 bytes and for lists of unequal lengths.
    """
    if not len(public_keys) == len(messages) == len(signatures):
        raise ValueError(f"{len(public_keys)} keys, {len(messages)} messages and {len(signatures)} signatures")
    if ed25519.is_ready() and ed25519.is_fast() and set(map(len, signatures)) == {64}:
        rules = ed25519.GO_STANDARD_LIBRARY
        found = ed25519.verify_many(public_keys, messages, signatures, rules=rules, threads=threads)
        return [bool(verdict) for verdict in found]
    return [verify(*row) for row in zip(public_keys, messages, signatures)]


def _refused_for_its_form(public_key: bytes, signature: bytes) -> bool:
    """Whether libsodium refuses this key or R whatever the message is."""
    key_y = y_of(public_key)
    return key_y >= P or key_y in SMALL_ORDER_Y or y_of(signature[:32]) % P in SMALL_ORDER_Y


def _equation_holds(public_key: bytes, message: bytes, signature: bytes) -> bool:
    key = decompress(public_key)
    scalar = int.from_bytes(signature[32:], "little")
    if key is None or scalar >= ORDER:
        return False
    digest = hashlib.sha512(signature[:32] + public_key + message).digest()
    challenge = int.from_bytes(digest, "little") % ORDER
    product = ed25519_sodium.multiply(challenge, compress(key))
    return ed25519_sodium.subtract(ed25519_sodium.multiply_base(scalar), product) == signature[:32]
