"""Peer ids: the multihash of a public key, whole where it is short. Protocol 09a, section 1.1."""

from __future__ import annotations

from node.contract.messages import PeerId

from . import base58, protobuf, varint
from .errors import LIMIT, MALFORMED, UNSUPPORTED, WireError

RSA, ED25519, SECP256K1, ECDSA = range(4)
"""Types of keys."""
KEY_FIELDS: protobuf.Kinds = {1: int, 2: bytes}
IDENTITY, SHA256 = 0x00, 0x12
DIGEST_BYTES = {SHA256: 32}
LONGEST_WHOLE = 42
"""Bytes of a key that is its own id; longer ones are hashed."""
LIBP2P_KEY = 0x72
CID_VERSION = 1
BASE32 = "b"


def public_key(key: bytes) -> bytes:
    """An Ed25519 key of 32 bytes as a message."""
    return protobuf.encode((1, ED25519), (2, key))


def read_public_key(data: bytes) -> bytes:
    """The Ed25519 key, 32 bytes, in a message. Raises WireError (malformed, unsupported, truncated)."""
    kind, key = read_key(data)
    if kind != ED25519:
        raise WireError(f"A peer's key has the type {kind}, expected {ED25519} (Ed25519).", UNSUPPORTED)
    if len(key) != 32:
        raise WireError(f"A peer's key has {len(key)} bytes, expected 32.", MALFORMED)
    return key


def read_key(data: bytes) -> tuple[int, bytes]:
    """Type and bytes of a key, public or private. Raises WireError (malformed, truncated)."""
    found = protobuf.last(data, KEY_FIELDS)
    kind, key = found.get(1), found.get(2)
    if not isinstance(kind, int) or not isinstance(key, bytes):
        raise WireError("A key has no type or no bytes.", MALFORMED)
    return kind, key


def of_public_key(key: bytes) -> PeerId:
    """The id of an Ed25519 key of 32 bytes."""
    return _identity(public_key(key))


def _identity(data: bytes) -> PeerId:
    return PeerId(bytes((IDENTITY, len(data))) + data)


def public_key_of(peer: PeerId) -> bytes:
    """The Ed25519 key of an id. Raises WireError (unsupported, malformed)."""
    if peer[:1] != bytes((IDENTITY,)):
        raise WireError("The peer id is the hash of a key, expected an Ed25519 key.", UNSUPPORTED)
    return read_public_key(peer[2:])


def check(data: bytes) -> PeerId:
    """The bytes as an id: a whole multihash. Raises WireError (malformed, truncated, limit)."""
    code, at = varint.take(data)
    size, at = varint.take(data, at)
    if size != len(data) - at:
        raise WireError(f"A peer id says {size} bytes and has {len(data) - at}.", MALFORMED)
    if size == 0:
        raise WireError("A peer id is empty.", MALFORMED)
    if code == IDENTITY:
        if size > 2 * LONGEST_WHOLE:
            raise WireError(f"A peer id has {size} bytes, expected at most {2 * LONGEST_WHOLE}.", LIMIT)
    elif DIGEST_BYTES.get(code) != size:
        raise WireError(f"A peer id has a hash of the kind {code:#x} with {size} bytes, expected SHA-256.", MALFORMED)
    return PeerId(data)


def to_text(peer: PeerId) -> str:
    """As people and files write it, in base 58."""
    return base58.encode(peer)


def from_text(text: str) -> PeerId:
    """The id of a text: in base 58, or a CID in base 32. Raises WireError."""
    if text.startswith(("Qm", "1")):
        return check(base58.decode(text))
    if not text.startswith(BASE32):
        raise WireError("A peer id begins with 12D3, Qm or bafz.", MALFORMED)
    data = base58.decode32(text[1:])
    version, at = varint.take(data)
    content, at = varint.take(data, at)
    if (version, content) != (CID_VERSION, LIBP2P_KEY):
        raise WireError("A peer id is a CID of something else than a key.", MALFORMED)
    return check(data[at:])
