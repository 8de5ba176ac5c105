"""The verifiable random function of the network: ECVRF-EDWARDS25519-SHA512-ELL2 of RFC 9381, and how proofs are used.

A key is the Ed25519 key of an identity; nothing but the input itself is hashed, no prefix and no domain. Consumers read
the raw bytes of a proof, not the function's output, in three different orders. Secret scalars pass only through
libsodium; integers are for public data. Protocol 03-encoding-and-types, sections 9 and 9.1.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
from nacl.bindings import (
    crypto_core_ed25519_scalar_add,
    crypto_core_ed25519_scalar_mul,
    crypto_core_ed25519_scalar_reduce,
    crypto_scalarmult_ed25519_base_noclamp,
    crypto_scalarmult_ed25519_noclamp,
    crypto_sign_seed_keypair,
)

from kernels.signatures import ecvrf, ed25519, ed25519_batch, ed25519_sodium
from kernels.signatures.ed25519_curve import ORDER, SMALL_ORDER, TORSION, is_canonical, map_to_curve
from kernels.signatures.ed25519_keys import KNOWN

PROOF_BYTES = 80
PUBLIC_KEY_BYTES = 32
SEED_BYTES = 32

LANES_FROM = 3
"""Proofs from which on eight lanes are quicker than libsodium also where the processor has no IFMA."""

LANES_WANTED_FROM = 16
"""Proofs in one batch for which the code of the lanes is loaded, if it is not."""

_SUITE = b"\x04"
_DOMAIN_TAG = b"ECVRF_edwards25519_XMD:SHA-512_ELL2_NU_" + _SUITE
_DOMAIN_TAG += bytes((len(_DOMAIN_TAG),))
_BLOCK_OF_ZEROS = bytes(128)
_ELEMENT_BYTES = 48
_CHALLENGE_BYTES = 16


# ---- proofs ----


def prove(seed: bytes, alpha: bytes) -> bytes:
    """The 80-byte proof of the key with this seed for `alpha`. Raises ValueError for a seed that is not 32 bytes."""
    if len(seed) != SEED_BYTES:
        raise ValueError(f"a seed has {SEED_BYTES} bytes, this one has {len(seed)}")
    public_key, _ = crypto_sign_seed_keypair(seed)
    secret, nonce_prefix = _expand(seed)
    h = encode_to_curve(public_key, alpha)
    gamma = crypto_scalarmult_ed25519_noclamp(secret, h)
    nonce = crypto_core_ed25519_scalar_reduce(hashlib.sha512(nonce_prefix + h).digest())
    u, v = crypto_scalarmult_ed25519_base_noclamp(nonce), crypto_scalarmult_ed25519_noclamp(nonce, h)
    challenge = _challenge(public_key, h, gamma, u, v)
    product = crypto_core_ed25519_scalar_mul(challenge + bytes(32 - _CHALLENGE_BYTES), secret)
    return gamma + challenge + crypto_core_ed25519_scalar_add(nonce, product)


def verify(public_key: bytes, alpha: bytes, proof: bytes) -> bool:
    """Whether a node accepts this proof; keys and proofs of a wrong length are refused."""
    return verify_many([public_key], [alpha], [proof])[0]


def verify_many(
    public_keys: Sequence[bytes], alphas: Sequence[bytes], proofs: Sequence[bytes], threads: int = 1
) -> list[bool]:
    """One verdict for each proof, the same as `verify` gives. Raises ValueError for lists of unequal lengths.

    The eight lanes of `kernels.signatures.ecvrf` are quicker on every processor, but taken only when their code is
    loaded (`signing.prepare`). A large batch starts loading in the background and waits for nothing.
    """
    if not len(public_keys) == len(alphas) == len(proofs):
        raise ValueError(f"{len(public_keys)} keys, {len(alphas)} inputs and {len(proofs)} proofs")
    verdicts = np.zeros(len(proofs), np.bool_)
    rows = zip(public_keys, proofs)
    whole = [i for i, (key, proof) in enumerate(rows) if len(key) == PUBLIC_KEY_BYTES and len(proof) == PROOF_BYTES]
    if not whole:
        return [False] * len(proofs)
    keys, inputs, chosen = ([column[i] for i in whole] for column in (public_keys, alphas, proofs))
    if _lanes_take(len(whole)):
        verdicts[whole] = ecvrf.verify_many(keys, inputs, chosen, threads, KNOWN)
        return [bool(verdict) for verdict in verdicts]

    def work(piece: slice) -> None:
        part = zip(keys[piece], inputs[piece], chosen[piece])
        verdicts[whole[piece]] = [verify_by_libsodium(*row) for row in part]

    ed25519_batch.run(work, ed25519_batch.pieces(len(whole), threads), threads)
    return [bool(verdict) for verdict in verdicts]


def _lanes_take(count: int) -> bool:
    if count >= LANES_WANTED_FROM and not ed25519.is_ready():
        ed25519.prepare_in_background()
    return ed25519.is_ready() and (count >= LANES_FROM or ed25519.is_fast())


def verify_by_libsodium(public_key: bytes, alpha: bytes, proof: bytes) -> bool:
    """The verdict of `verify` on a key of 32 bytes and a proof of 80, without the lanes."""
    gamma, challenge = proof[:32], int.from_bytes(proof[32:48], "little")
    s = int.from_bytes(proof[48:], "little")
    if s >= ORDER or public_key in SMALL_ORDER or not (is_canonical(public_key) and is_canonical(gamma)):
        return False
    try:
        # with c = 0 the products say nothing of whether these are points
        for point in (public_key, gamma):
            ed25519_sodium.add(point, TORSION[0])
        h = encode_to_curve(public_key, alpha)
        u = ed25519_sodium.subtract(ed25519_sodium.multiply_base(s), ed25519_sodium.multiply(challenge, public_key))
        v = ed25519_sodium.subtract(ed25519_sodium.multiply(s, h), ed25519_sodium.multiply(challenge, gamma))
    except ed25519_sodium.NotAPoint:
        return False
    return _challenge(public_key, h, gamma, u, v) == proof[32:48]


def output(proof: bytes) -> bytes:
    """beta: the 64-byte output of the function for a valid proof. The node never uses it."""
    gamma = proof[:32]
    for _ in range(3):
        gamma = ed25519_sodium.add(gamma, gamma)
    return hashlib.sha512(_SUITE + b"\x03" + gamma + b"\x00").digest()


def encode_to_curve(public_key: bytes, alpha: bytes) -> bytes:
    """H: a point of prime order that key and input determine, encoded."""
    end = _ELEMENT_BYTES.to_bytes(2, "big") + b"\x00" + _DOMAIN_TAG
    first = hashlib.sha512(_BLOCK_OF_ZEROS + public_key + alpha + end).digest()
    second = hashlib.sha512(first + b"\x01" + _DOMAIN_TAG).digest()
    return map_to_curve(int.from_bytes(second[:_ELEMENT_BYTES], "big"))


def _expand(seed: bytes) -> tuple[bytes, bytes]:
    """The secret scalar, clamped, and what nonces are derived from."""
    digest = bytearray(hashlib.sha512(seed).digest())
    digest[0] &= 248
    digest[31] &= 127
    digest[31] |= 64
    return bytes(digest[:32]), bytes(digest[32:])


def _challenge(public_key: bytes, h: bytes, gamma: bytes, u: bytes, v: bytes) -> bytes:
    hashed = hashlib.sha512(_SUITE + b"\x02" + public_key + h + gamma + u + v + b"\x00").digest()
    return hashed[:_CHALLENGE_BYTES]


# ---- what proofs are used for ----


def slot_layer(proof: bytes, epoch: int, layers_per_epoch: int) -> int:
    """The layer of `epoch` in which the ballot slot of this proof lies."""
    return epoch * layers_per_epoch + int.from_bytes(proof[:8], "little") % layers_per_epoch


def threshold_value(proof: bytes) -> int:
    """What must lie below the threshold for a beacon proposal: all 80 bytes, big-endian."""
    return int.from_bytes(proof, "big")


def beacon_proposal(proof: bytes) -> bytes:
    """The 4-byte id of the beacon proposal with this proof."""
    return proof[:4]


def compact_id(proof: bytes) -> bytes:
    """The 4 bytes by which a compact Hare message names the proposal whose first eligibility this is."""
    return proof[:4]


def coin_bit(proof: bytes) -> int:
    """The toss, 0 or 1, of beacon and Hare coins."""
    return proof[0] & 1


def compare(proof: bytes, other: bytes | None) -> int:
    """-1, 0 or 1 as `proof` comes before, with or after `other` in search of the smallest; none at all comes last."""
    if other is None:
        return -1
    ours, theirs = order_key(proof), order_key(other)
    return (ours > theirs) - (ours < theirs)


def order_key(proof: bytes) -> int:
    """The number that `compare` compares: all 80 bytes, little-endian."""
    return int.from_bytes(proof, "little")
