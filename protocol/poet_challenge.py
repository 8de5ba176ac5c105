"""What a node submits to a PoET: the challenge of the activation that it is going to publish, and the signature.

The challenge is the BLAKE3 hash of a zero byte and the encoded plan of the activation; the zero byte keeps leaves of
the membership tree apart from its nodes. Protocol 02-poet-client, section 2.
"""

from __future__ import annotations

from dataclasses import dataclass

from blake3 import blake3

from .codec import Writer
from .post import AtxId

ID_SIZE = 32
MAX_POST_INDICES_SIZE = 800


@dataclass(frozen=True, slots=True)
class InitialPost:
    """The proof of space that a new identity shows first."""

    nonce: int
    indices: bytes
    pow: int


@dataclass(frozen=True, slots=True)
class ChallengeV1:
    """The plan of an activation of version 1."""

    publish_epoch: int
    sequence: int
    prev_atx: AtxId
    positioning_atx: AtxId
    commitment_atx: AtxId | None = None
    initial_post: InitialPost | None = None

    def encode(self) -> bytes:
        """SCALE. Raises CodecError."""
        writer = Writer("NIPostChallengeV1")
        writer.compact("PublishEpoch", self.publish_epoch, 32).compact("Sequence", self.sequence)
        writer.raw("PrevATXID", self.prev_atx, ID_SIZE).raw("PositioningATXID", self.positioning_atx, ID_SIZE)
        writer.present(self.commitment_atx is not None)
        if self.commitment_atx is not None:
            writer.raw("CommitmentATXID", self.commitment_atx, ID_SIZE)
        _write_post(writer, self.initial_post)
        return writer.bytes()

    def hash(self) -> bytes:
        """The 32 bytes that are submitted."""
        return _hash(self.encode())


@dataclass(frozen=True, slots=True)
class ChallengeV2:
    """The plan of an activation of version 2."""

    publish_epoch: int
    prev_atx: AtxId
    positioning_atx: AtxId
    initial_post: InitialPost | None = None

    def encode(self) -> bytes:
        """SCALE. Raises CodecError."""
        writer = Writer("NIPostChallengeV2")
        writer.compact("PublishEpoch", self.publish_epoch, 32)
        writer.raw("PrevATXID", self.prev_atx, ID_SIZE).raw("PositioningATXID", self.positioning_atx, ID_SIZE)
        _write_post(writer, self.initial_post)
        return writer.bytes()

    def hash(self) -> bytes:
        """The 32 bytes that are submitted."""
        return _hash(self.encode())


def _write_post(writer: Writer, post: InitialPost | None) -> None:
    writer.present(post is not None)
    if post is not None:
        writer.compact("InitialPost.Nonce", post.nonce, 32)
        writer.byte_string("InitialPost.Indices", post.indices, MAX_POST_INDICES_SIZE)
        writer.compact("InitialPost.Pow", post.pow)


def _hash(encoded: bytes) -> bytes:
    return blake3(b"\x00" + encoded).digest()
