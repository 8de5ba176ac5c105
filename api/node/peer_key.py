"""The key by which peers know a node: `p2p/p2p.key`, an object with the key and the peer id that follows from it.

Key: base64 of a protobuf message (type Ed25519, 64 bytes). Id: base58 of the public key's protobuf message as an
identity multihash. Protocol 09b-node-storage-libp2p, section 6.1.
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nacl.signing import SigningKey

from api.config.files import parse_json
from api.edge.errors import DataError, EnvironmentFault, UsageError
from api.edge.text import read_text
from prover import durable

FILE_NAME = "p2p.key"

_KIND_TAG, _DATA_TAG = 0x08, 0x12
_ED25519 = 1
_SEED_SIZE, _KEY_SIZE = 32, 64
_PRIVATE = bytes([_KIND_TAG, _ED25519, _DATA_TAG, _KEY_SIZE])
"""Before the 64 bytes of a private key."""
_PUBLIC = bytes.fromhex("002408011220")
"""Before the 32 bytes of a public key: identity multihash of 36 bytes; field 1, type Ed25519; field 2, 32 bytes."""
_BASE58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"


@dataclass(frozen=True, slots=True)
class PeerKey:
    """A node's key among peers. It has nothing to do with smeshing."""

    id: str
    """12D3Koo…"""
    seed: bytes = field(repr=False)
    """32 secret bytes."""
    public_key: bytes
    """32 bytes."""

    @classmethod
    def of(cls, seed: bytes) -> PeerKey:
        """The key of a seed."""
        public = bytes(SigningKey(seed).verify_key)
        return cls(base58(_PUBLIC + public), seed, public)

    def file_content(self) -> str:
        """The text of the file."""
        key = base64.b64encode(_PRIVATE + self.seed + self.public_key).decode()
        return json.dumps({"Key": key, "ID": self.id}, separators=(",", ":"))


def base58(data: bytes) -> str:
    """Bytes in Bitcoin's base 58."""
    number, digits = int.from_bytes(data, "big"), ""
    while number:
        number, digit = divmod(number, 58)
        digits = _BASE58[digit] + digits
    return _BASE58[0] * (len(data) - len(data.lstrip(b"\0"))) + digits


def load_or_make(folder: Path) -> tuple[PeerKey, bool]:
    """The key of a folder, and whether it was made now. Raises DataError for a damaged one, EnvironmentFault."""
    path = folder / FILE_NAME
    if path.exists():
        return read(path), False
    made = PeerKey.of(bytes(SigningKey.generate()))
    try:
        durable.make_directory(folder)
        durable.create(path, made.file_content().encode())
    except OSError as error:
        raise EnvironmentFault(f"{path} cannot be written: {durable.reason(error)}.") from None
    return made, True


def read(path: Path) -> PeerKey:
    """The key in a file. Raises DataError, which never shows what it holds, EnvironmentFault."""
    try:
        document: Any = parse_json(read_text(path, "The key file"))
        fields = {name.lower(): value for name, value in document.items()}
        raw = base64.b64decode(fields["key"], validate=True)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError, UsageError):
        raise DataError(_damaged(path, "expected an object with Key, in base64, and ID")) from None
    seed, public = _halves(path, raw)
    found = PeerKey.of(seed)
    if public != found.public_key:
        raise DataError(_damaged(path, "the public half of Key does not belong to its private half"))
    written = fields.get("id", found.id)
    if not isinstance(written, str) or not written or not set(written) <= set(_BASE58):
        raise DataError(_damaged(path, "ID is no peer id"))
    return found


def _halves(path: Path, raw: bytes) -> tuple[bytes, bytes]:
    """Seed and public key of a private key's protobuf message. Raises DataError."""
    kind, data = _message(raw)
    if data is None or kind is None:
        raise DataError(_damaged(path, "Key is no protobuf message of a private key"))
    if kind != _ED25519:
        raise DataError(_damaged(path, "Key is of another kind than Ed25519, which this node does not have"))
    public = data[_SEED_SIZE:_KEY_SIZE]
    if len(data) not in (_KEY_SIZE, _KEY_SIZE + len(public)) or data[_KEY_SIZE:] not in (b"", public):
        raise DataError(_damaged(path, f"Key has {len(data)} bytes, expected {_KEY_SIZE}"))  # or 96, of old releases
    return data[:_SEED_SIZE], public


def _message(raw: bytes) -> tuple[int | None, bytes | None]:
    """Kind and data of a key, fields in any order; None for what is not there."""
    kind: int | None = None
    data: bytes | None = None
    at = 0
    while at + 1 < len(raw):
        tag, value = raw[at], raw[at + 1]
        if tag == _KIND_TAG and value < 1 << 7:
            kind, at = value, at + 2
        elif tag == _DATA_TAG and value < 1 << 7 and at + 2 + value <= len(raw):
            data, at = raw[at + 2 : at + 2 + value], at + 2 + value
        else:
            return None, None
    return (kind, data) if at == len(raw) else (None, None)


def _damaged(path: Path, why: str) -> str:
    return (
        f"{path} is damaged: {why}. Restore it from a copy; or delete it, and a new one is made: peers know the node "
        "by another id then, its identities stay what they are."
    )
