"""The key of a peer, and the file that keeps it: `p2p.key`. Protocol 09a, section 1.1.

The reference reads a key whose two halves do not belong together, and one of another curve; with the one it can reach
nobody, the other this node does not speak. Both are refused here, before the node starts.
"""

from __future__ import annotations

import base64
import binascii
import json
from typing import Any

import nacl.exceptions
import nacl.signing

from node.contract.messages import PeerId

from . import peer_id, protobuf
from .errors import MALFORMED, UNSUPPORTED, WireError

SEED_BYTES = 32
_LENGTHS = (64, 96)
"""Seed and public half; in old files the public half twice."""


class PeerKey:
    """An Ed25519 key that names a peer. It has nothing to do with smeshing."""

    def __init__(self, seed: bytes) -> None:
        """seed: 32 bytes."""
        self._key = nacl.signing.SigningKey(seed)
        self.public = bytes(self._key.verify_key)
        self.id: PeerId = peer_id.of_public_key(self.public)

    @property
    def text(self) -> str:
        """Its peer id, as people read it: 12D3Koo…"""
        return peer_id.to_text(self.id)

    def sign(self, message: bytes) -> bytes:
        """A signature of 64 bytes."""
        return self._key.sign(message).signature

    def to_file(self) -> str:
        """The content of a key file."""
        key = protobuf.encode((1, peer_id.ED25519), (2, bytes(self._key) + self.public))
        text = {"Key": base64.b64encode(key).decode(), "ID": self.text}
        return json.dumps(text, separators=(",", ":"))


def new() -> PeerKey:
    """A key that nobody else has."""
    return PeerKey(bytes(nacl.signing.SigningKey.generate()))


def from_file(text: str) -> PeerKey:
    """The key in a file. Raises WireError (malformed, unsupported), which says what is wrong with it."""
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise WireError(f"The key file is no JSON: {error}.", MALFORMED) from None
    if not isinstance(document, dict):
        raise WireError("The key file is no object, expected Key and ID.", MALFORMED)
    fields = {str(name).lower(): value for name, value in document.items()}
    _check_id(fields.get("id"))
    return _key(_bytes(fields.get("key")))


def _check_id(value: Any) -> None:
    """What the file says of the id does not count, but must be one."""
    if value is None:
        return
    if not isinstance(value, str):
        raise WireError("ID in the key file is no text.", MALFORMED)
    peer_id.from_text(value)


def _bytes(value: Any) -> bytes:
    if not isinstance(value, str):
        raise WireError("The key file has no Key.", MALFORMED)
    try:
        return base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError) as error:
        raise WireError(f"Key in the key file is no base 64: {error}.", MALFORMED) from None


def _key(data: bytes) -> PeerKey:
    kind, key = peer_id.read_key(data)
    if kind != peer_id.ED25519:
        raise WireError(
            f"The key file holds a key of the type {kind}, expected {peer_id.ED25519} (Ed25519). Move the file away, "
            "and a new one is made.",
            UNSUPPORTED,
        )
    if len(key) not in _LENGTHS:
        raise WireError(f"The key in the key file has {len(key)} bytes, expected 64.", MALFORMED)
    if len(key) == _LENGTHS[1] and key[64:] != key[32:64]:
        raise WireError("The public halves in the key file differ.", MALFORMED)
    found = PeerKey(key[:SEED_BYTES])
    if found.public != key[32:64]:
        raise WireError(
            "The public half in the key file does not belong to its seed: no peer would accept it.", MALFORMED
        )
    return found


def verify(public: bytes, signature: bytes, message: bytes) -> bool:
    """Whether a peer's key has signed a message."""
    try:
        nacl.signing.VerifyKey(public).verify(message, signature)
    except (nacl.exceptions.CryptoError, ValueError):
        return False
    return True
