"""An encrypted connection between two peers that know who the other is: Noise XX with libp2p's payload.

    handshake   three messages, each behind its length in two bytes: e · e, ee, s, es · s, se
    payload     of the second and third: the peer's key, and its signature of the key that this connection uses
    records     length in two bytes, then ciphertext with its tag; a counter for each direction

The prologue is the network's name: peers of another network do not get beyond the second message. Protocol 09a,
sections 1.2 and 1.3; the pattern is that of Noise_XX_25519_ChaChaPoly_SHA256.
"""

from __future__ import annotations

import hashlib
import hmac
import struct

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from node.contract.messages import PeerId

from . import peer_id, protobuf
from .errors import MALFORMED, NOT_AUTHENTIC, TRUNCATED, WireError
from .key_file import PeerKey, verify

PROTOCOL = "/noise"
NAME = b"Noise_XX_25519_ChaChaPoly_SHA256"
SIGNED_PREFIX = b"noise-libp2p-static-key:"
TAG_BYTES = 16
KEY_BYTES = 32
LARGEST_RECORD = 0xFFFF
LARGEST_PLAIN = LARGEST_RECORD - TAG_BYTES
_PAYLOAD: protobuf.Kinds = {1: bytes, 2: bytes}
_nonce = struct.Struct("<4xQ").pack
_SHORTEST = (KEY_BYTES, 2 * KEY_BYTES + TAG_BYTES, KEY_BYTES + TAG_BYTES)
"""Bytes of each message without its payload."""


def payload(key: PeerKey, static_public: bytes) -> bytes:
    """What shows that a connection's key is that of a peer."""
    return protobuf.encode((1, peer_id.public_key(key.public)), (2, key.sign(SIGNED_PREFIX + static_public)))


def read_payload(data: bytes, static_public: bytes, expected: PeerId | None = None) -> PeerId:
    """The peer that a payload shows. expected: who was dialled. Raises WireError."""
    found = protobuf.last(data, _PAYLOAD)
    key, signature = found.get(1), found.get(2)
    if not isinstance(key, bytes) or not isinstance(signature, bytes):
        raise WireError("The peer did not say who it is.", MALFORMED)
    public = peer_id.read_public_key(key)
    if not verify(public, signature, SIGNED_PREFIX + static_public):
        raise WireError("The peer did not show that it is who it says.", NOT_AUTHENTIC)
    peer = peer_id.of_public_key(public)
    if expected is not None and peer != expected:
        raise WireError(
            f"The peer is {peer_id.to_text(peer)}, but {peer_id.to_text(expected)} was dialled.", NOT_AUTHENTIC
        )
    return peer


class Handshake:
    """The messages, in turn: the initiator writes, reads, writes; the other side the other way round."""

    def __init__(
        self,
        prologue: bytes,
        *,
        is_initiator: bool,
        static: X25519PrivateKey | None = None,
        ephemeral: X25519PrivateKey | None = None,
    ) -> None:
        """static, ephemeral: known keys; by default new ones, as for every connection."""
        self.is_initiator = is_initiator
        self._static = static or X25519PrivateKey.generate()
        self._ephemeral = ephemeral or X25519PrivateKey.generate()
        self.static_public = self._static.public_key().public_bytes_raw()
        self.remote_static = b""
        self._remote_ephemeral = b""
        self._chaining = NAME
        self.hash = NAME
        """Of all that was said."""
        self._cipher: ChaCha20Poly1305 | None = None
        self._counter = 0
        self._step = 0
        self._mix_hash(prologue)

    @property
    def is_done(self) -> bool:
        """Whether all messages were written and read."""
        return self._step == 3

    @property
    def writes(self) -> bool:
        """Whether the next message is ours."""
        return not self.is_done and (self._step % 2 == 0) == self.is_initiator

    def write(self, content: bytes = b"") -> bytes:
        """The next message."""
        pieces = []
        if self._step < 2:
            public = self._ephemeral.public_key().public_bytes_raw()
            self._mix_hash(public)
            pieces.append(public)
        if self._step == 1:
            self._mix_key(self._ephemeral, self._remote_ephemeral)
        if self._step > 0:
            pieces.append(self._seal(self.static_public))
            self._mix_key(self._static, self._remote_ephemeral)
        self._step += 1
        return b"".join(pieces) + self._seal(content)

    def read(self, message: bytes) -> bytes:
        """What the other side's message holds. Raises WireError (truncated, not_authentic)."""
        if len(message) < _SHORTEST[self._step]:
            raise WireError(
                f"The peer's handshake has {len(message)} bytes, expected {_SHORTEST[self._step]} or more.", TRUNCATED
            )
        if self._step < 2:
            self._remote_ephemeral, message = message[:KEY_BYTES], message[KEY_BYTES:]
            self._mix_hash(self._remote_ephemeral)
        if self._step == 1:
            self._mix_key(self._ephemeral, self._remote_ephemeral)
        if self._step > 0:
            sealed = KEY_BYTES + TAG_BYTES
            self.remote_static, message = self._open(message[:sealed]), message[sealed:]
            self._mix_key(self._ephemeral, self.remote_static)
        self._step += 1
        return self._open(message)

    def records(self) -> Records:
        """What follows the handshake."""
        ours, theirs = _derive(self._chaining, b"")
        return Records(ours, theirs) if self.is_initiator else Records(theirs, ours)

    def _mix_hash(self, data: bytes) -> None:
        self.hash = hashlib.sha256(self.hash + data).digest()

    def _mix_key(self, private: X25519PrivateKey, public: bytes) -> None:
        try:
            shared = private.exchange(X25519PublicKey.from_public_bytes(public))
        except ValueError:  # a point of small order: all keys would be the same
            raise WireError("The peer's handshake has a key that is none.", NOT_AUTHENTIC) from None
        self._chaining, key = _derive(self._chaining, shared)
        self._cipher, self._counter = ChaCha20Poly1305(key), 0

    def _seal(self, plain: bytes) -> bytes:
        sealed = plain
        if self._cipher is not None:
            sealed = self._cipher.encrypt(_nonce(self._counter), plain, self.hash)
            self._counter += 1
        self._mix_hash(sealed)
        return sealed

    def _open(self, sealed: bytes) -> bytes:
        plain = sealed
        if self._cipher is not None:
            try:
                plain = self._cipher.decrypt(_nonce(self._counter), sealed, self.hash)
            except InvalidTag:
                raise WireError(
                    "The peer's handshake does not hold. It is of another network: compare genesis time, extra data "
                    "and, after a recovery, the layer.",
                    NOT_AUTHENTIC,
                ) from None
            self._counter += 1
        self._mix_hash(sealed)
        return plain


def _derive(chaining: bytes, secret: bytes) -> tuple[bytes, bytes]:
    key = hmac.digest(chaining, secret, "sha256")
    first = hmac.digest(key, b"\1", "sha256")
    return first, hmac.digest(key, first + b"\2", "sha256")


class Records:
    """Both directions of an encrypted connection."""

    def __init__(self, sending: bytes, receiving: bytes) -> None:
        self._encrypt = ChaCha20Poly1305(sending).encrypt
        self._decrypt = ChaCha20Poly1305(receiving).decrypt
        self._sent = self._received = 0
        self._buffer = b""

    def seal(self, data: bytes) -> bytes:
        """The records of some bytes; one without content of none."""
        pieces = []
        for at in range(0, len(data) or 1, LARGEST_PLAIN):
            sealed = self._encrypt(_nonce(self._sent), data[at : at + LARGEST_PLAIN], None)
            self._sent += 1
            pieces += [len(sealed).to_bytes(2, "big"), sealed]
        return b"".join(pieces)

    def feed(self, data: bytes) -> bytes:
        """All that has become whole. Raises WireError where a record does not hold; nothing after it is taken."""
        if self._buffer:
            data = self._buffer + data
        view, at, end, plain = memoryview(data), 0, len(data), []
        while end - at >= 2:
            stop = at + 2 + (data[at] << 8 | data[at + 1])
            if stop > end:
                break
            try:
                plain.append(self._decrypt(_nonce(self._received), view[at + 2 : stop], None))
            except InvalidTag:
                raise WireError(f"Record {self._received} of the peer does not hold.", NOT_AUTHENTIC) from None
            self._received += 1
            at = stop
        self._buffer = data[at:]
        return plain[0] if len(plain) == 1 else b"".join(plain)


class Securing:
    """A handshake on a connection: bytes in, bytes out, then records and who the other side is."""

    def __init__(self, key: PeerKey, prologue: bytes, *, is_initiator: bool, expected: PeerId | None = None) -> None:
        """expected: who was dialled; None: whoever comes."""
        self._key = key
        self._handshake = Handshake(prologue, is_initiator=is_initiator)
        self._expected = expected
        self._buffer = bytearray()
        self._out: list[bytes] = []
        self.peer: PeerId | None = None
        self.records: Records | None = None
        """Once the handshake is done."""
        if is_initiator:
            self._write(b"")

    def take(self) -> bytes:
        """What is to be sent now."""
        data = b"".join(self._out)
        self._out.clear()
        return data

    def feed(self, data: bytes) -> bytes:
        """Bytes of the other side; what lies behind the handshake is given back. Raises WireError."""
        self._buffer += data
        while self.records is None and len(self._buffer) >= 2:
            stop = 2 + int.from_bytes(self._buffer[:2], "big")
            if len(self._buffer) < stop:
                break
            message = bytes(self._buffer[2:stop])
            del self._buffer[:stop]
            self._read(message)
        if self.records is None:
            return b""
        rest = bytes(self._buffer)
        self._buffer.clear()
        return rest

    def _read(self, message: bytes) -> None:
        handshake = self._handshake
        content = handshake.read(message)
        if handshake.remote_static:
            self.peer = read_payload(content, handshake.remote_static, self._expected)
        if handshake.writes:
            self._write(payload(self._key, handshake.static_public))
        if handshake.is_done:
            self.records = handshake.records()

    def _write(self, content: bytes) -> None:
        message = self._handshake.write(content)
        self._out += [len(message).to_bytes(2, "big"), message]
        if self._handshake.is_done:
            self.records = self._handshake.records()
