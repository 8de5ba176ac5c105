"""Signatures of the network: domains, keys, identity files, and the exact rules by which a node accepts.

A signature is plain Ed25519 over prefix, domain byte and message; the prefix is the genesis id. A node accepts by the
cofactored equation, with canonical A and R, S below the group order and A not of small order. libsodium accepts less:
what it accepts a node accepts, and what it refuses is judged here once more, so that nobody can split us from the
network by a crafted signature. The PoET server has another rule (`poet_signing`). Protocol 03-encoding-and-types,
sections 7 and 8.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from enum import IntEnum

from nacl.bindings import crypto_sign, crypto_sign_open, crypto_sign_seed_keypair
from nacl.exceptions import BadSignatureError

from kernels.signatures import ed25519, ed25519_batch, ed25519_sodium
from kernels.signatures.ed25519_curve import ORDER, SMALL_ORDER, is_canonical
from kernels.signatures.ed25519_keys import KNOWN
from protocol.crypto import vrf
from protocol.errors import ProtocolError

SEED_BYTES = 32
PUBLIC_KEY_BYTES = 32
SIGNATURE_BYTES = 64

IDENTITY_FILE_MODE = 0o600
"""Permissions of an identity file."""

LANES_FROM = 3
"""Signatures from which on a group of eight lanes is quicker than one after the other."""

LANES_WANTED_FROM = 64
"""Signatures in one batch for which the code of the lanes is loaded, if it is not."""


class Domain(IntEnum):
    """What a signature is for; one byte between prefix and message."""

    ATX = 0
    PROPOSAL = 1
    BALLOT = 2
    HARE = 3
    """Hare messages and, although not part of Hare, certify messages."""
    POET = 4
    MARRIAGE = 5
    BEACON_FIRST_MSG = 10
    BEACON_FOLLOWUP_MSG = 11


NO_DOMAIN = None
"""The domain of transactions: they have the prefix but no domain byte."""


class InvalidIdentity(ProtocolError):
    """The text of an identity file is not one of the node's. Reasons: wrong_size, not_hex, public_private_mismatch."""


def signed_bytes(domain: int | None, message: bytes, prefix: bytes = b"") -> bytes:
    """What is signed; `domain` is 0..255, or NO_DOMAIN for a transaction."""
    return prefix + message if domain is None else prefix + bytes((domain,)) + message


# ---- keys ----


class Signer:
    """A key pair that signs for one network. The secret half appears in no text of the object."""

    __slots__ = ("_prefix", "_secret_key", "public_key")

    def __init__(self, seed: bytes, prefix: bytes = b"") -> None:
        """`prefix` is the genesis id. Raises ValueError for a seed that is not 32 bytes."""
        if len(seed) != SEED_BYTES:
            raise ValueError(f"a seed has {SEED_BYTES} bytes, this one has {len(seed)}")
        self.public_key, self._secret_key = crypto_sign_seed_keypair(seed)
        self._prefix = prefix

    def sign(self, domain: int | None, message: bytes) -> bytes:
        """The 64-byte signature of a message; `domain` as for `signed_bytes`."""
        return crypto_sign(signed_bytes(domain, message, self._prefix), self._secret_key)[:SIGNATURE_BYTES]

    def prove(self, alpha: bytes) -> bytes:
        """The 80-byte VRF proof of this key for `alpha`; it has neither prefix nor domain."""
        return vrf.prove(self._secret_key[:SEED_BYTES], alpha)

    def identity_text(self) -> str:
        """The content of this key's identity file."""
        return self._secret_key.hex()

    def __repr__(self) -> str:
        return f"Signer({self.public_key.hex()})"


def read_identity(content: bytes | str, prefix: bytes = b"") -> Signer:
    """The key of an identity file: seed and public key as 128 hex digits and nothing else.

    Raises InvalidIdentity. As the node does, counts a last odd character as not hexadecimal.
    """
    text = content if isinstance(content, str) else content.decode("latin-1")
    size = SEED_BYTES + PUBLIC_KEY_BYTES
    if len(text) // 2 != size:
        raise InvalidIdentity(
            f"An identity file holds exactly {2 * size} hexadecimal digits, this one has {len(text)} characters.",
            "wrong_size",
        )
    if len(text) % 2 or not set(text) <= set("0123456789abcdefABCDEF"):
        raise InvalidIdentity(
            f"An identity file holds exactly {2 * size} hexadecimal digits, without spaces or a line end; "
            f"this one has {len(text)} characters, not all of them hexadecimal.",
            "not_hex",
        )
    secret = bytes.fromhex(text)
    signer = Signer(secret[:SEED_BYTES], prefix)
    if signer.public_key != secret[SEED_BYTES:]:
        # nothing of the file is shown: if its halves stand in the wrong order, the second one is the secret
        raise InvalidIdentity(
            "The public key in the second half of the identity file does not belong to the private key in its first.",
            "public_private_mismatch",
        )
    return signer


# ---- verdicts ----


def verify(domain: int | None, public_key: bytes, message: bytes, signature: bytes, prefix: bytes = b"") -> bool:
    """Whether a node accepts this signature; keys and signatures of a wrong length are refused."""
    return _verify(public_key, signed_bytes(domain, message, prefix), signature)


def verify_many(
    domain: int | None,
    public_keys: Sequence[bytes],
    messages: Sequence[bytes],
    signatures: Sequence[bytes],
    prefix: bytes = b"",
    threads: int = 1,
) -> list[bool]:
    """One verdict for each signature, the same as `verify` gives. Raises ValueError for lists of unequal lengths.

    The eight lanes of `kernels.signatures.ed25519` take a batch as soon as their code is loaded (`prepare`); until
    then, and where the processor has nothing better, libsodium does. A large batch starts loading in the background
    and waits for nothing.
    """
    if not len(public_keys) == len(messages) == len(signatures):
        raise ValueError(f"{len(public_keys)} keys, {len(messages)} messages and {len(signatures)} signatures")
    head = signed_bytes(domain, b"", prefix)
    if _lanes_take(len(signatures)):
        return _verify_in_lanes(head, public_keys, messages, signatures, threads)
    verdicts = [False] * len(signatures)

    def work(piece: slice) -> None:
        rows = zip(public_keys[piece], messages[piece], signatures[piece])
        verdicts[piece] = [_verify(key, head + message, signature) for key, message, signature in rows]

    ed25519_batch.run(work, ed25519_batch.pieces(len(signatures), threads), threads)
    return verdicts


def all_valid(
    domain: int | None,
    public_keys: Sequence[bytes],
    messages: Sequence[bytes],
    signatures: Sequence[bytes],
    prefix: bytes = b"",
    threads: int = 1,
) -> bool:
    """The verdict of the node's batch verifier, as for multisig accounts: an empty batch is refused."""
    return bool(signatures) and all(verify_many(domain, public_keys, messages, signatures, prefix, threads))


def prepare(in_background: bool = False) -> None:
    """Loads the code for batches, which programs with many signatures to verify do at their start.

    Where it has to be compiled first that takes some 20 seconds, once for each version and processor; in the
    background, this returns at once.
    """
    if in_background:
        ed25519.prepare_in_background()
    else:
        ed25519.prepare()


def _lanes_take(count: int) -> bool:
    if count < LANES_FROM or not ed25519.is_fast():
        return False
    if count >= LANES_WANTED_FROM and not ed25519.is_ready():
        ed25519.prepare_in_background()
    return ed25519.is_ready()


def _verify_in_lanes(
    head: bytes, public_keys: Sequence[bytes], messages: Sequence[bytes], signatures: Sequence[bytes], threads: int
) -> list[bool]:
    if set(map(len, public_keys)) != {PUBLIC_KEY_BYTES} or set(map(len, signatures)) != {SIGNATURE_BYTES}:
        sizes = (PUBLIC_KEY_BYTES, SIGNATURE_BYTES)
        whole = [i for i, row in enumerate(zip(public_keys, signatures)) if tuple(map(len, row)) == sizes]
        verdicts = [False] * len(signatures)
        keys, texts, rest = ([column[i] for i in whole] for column in (public_keys, messages, signatures))
        for i, verdict in zip(whole, verify_many(NO_DOMAIN, keys, texts, rest, head, threads)):
            verdicts[i] = verdict
        return verdicts
    found = ed25519.verify_many(public_keys, messages, signatures, head, threads=threads, known=KNOWN)
    result: list[bool] = found.tolist()
    return result


def _verify(public_key: bytes, signed: bytes, signature: bytes) -> bool:
    if len(public_key) != PUBLIC_KEY_BYTES or len(signature) != SIGNATURE_BYTES:
        return False
    try:
        crypto_sign_open(signature + signed, public_key)
    except BadSignatureError:
        return _wide_check(public_key, signed, signature)
    return True


def _wide_check(public_key: bytes, signed: bytes, signature: bytes) -> bool:
    """The node's own rule, whatever libsodium says: [8] ([S]B - [k]A - R) = 0."""
    r, s = signature[:32], int.from_bytes(signature[32:], "little")
    if s >= ORDER or public_key in SMALL_ORDER or not (is_canonical(public_key) and is_canonical(r)):
        return False
    k = int.from_bytes(hashlib.sha512(r + public_key + signed).digest(), "little") % ORDER
    try:
        expected = ed25519_sodium.add(ed25519_sodium.multiply(k, public_key), r)
        return ed25519_sodium.subtract(ed25519_sodium.multiply_base(s), expected) in SMALL_ORDER
    except ed25519_sodium.NotAPoint:
        return False
