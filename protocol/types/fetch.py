"""What nodes ask of each other: objects by their hash, lists of ids, opinions, hashes of the mesh.

Protocol 03-encoding-and-types, section 4.11; who answers what is in 09a-p2p-fetch-sync.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from protocol.codec.declare import LIST_NESTING, byte_string, c32, option, struct, text, vector
from protocol.crypto.hashing import hash32

from .ids import (
    ATX_ID,
    BALLOT_ID,
    BLOCK_ID,
    HASH32,
    NODE_ID,
    AtxId,
    BallotId,
    BlockId,
    Hash32,
    LayerId,
    NodeId,
)

MAX_DATA_SIZE = 272_629_760
"""Bytes of one object."""
MAX_ERROR_SIZE = 1024
MAX_HINT_SIZE = 256
MAX_BATCH = 100
MAX_IDS = 8_000_000
MAX_BALLOTS = 2350
MAX_MESH_HASHES = 100
"""Hashes that are asked for at once."""
MAX_SENT_MESH_HASHES = 1000


class Hint(StrEnum):
    """Where an object is to be looked up."""

    NONE = ""
    BALLOT = "ballotDB"
    BLOCK = "blocksDB"
    PROPOSAL = "proposalDB"
    ATX = "ATXDB"
    TX = "TXDB"
    POET = "POETDB"
    MALFEASANCE = "malfeasance"
    ACTIVE_SET = "activeset"


@dataclass(frozen=True, slots=True)
class ServerResponse:
    """The answer to any request: data, or what went wrong."""

    data: bytes
    error: str = ""

    codec = struct(data=byte_string(MAX_DATA_SIZE), error=text(MAX_ERROR_SIZE))


@dataclass(frozen=True, slots=True)
class RequestMessage:
    """One object that is wanted."""

    hint: str
    """A Hint."""
    hash: Hash32

    codec = struct(hint=text(MAX_HINT_SIZE), hash=HASH32)


@dataclass(frozen=True, slots=True)
class ResponseMessage:
    """One object; empty data where it is not known."""

    hash: Hash32
    data: bytes

    codec = struct(hash=HASH32, data=byte_string(MAX_DATA_SIZE))


REQUESTS = vector(RequestMessage.codec)
"""Requests by themselves, as they are hashed."""


@dataclass(frozen=True, slots=True)
class RequestBatch:
    """Objects that are wanted."""

    id: Hash32
    requests: Sequence[RequestMessage]

    codec = struct(id=HASH32, requests=vector(RequestMessage.codec, MAX_BATCH))

    @classmethod
    def of(cls, requests: Sequence[RequestMessage]) -> RequestBatch:
        """The batch of the given requests. Raises CodecError."""
        return cls(batch_id(requests), requests)


@dataclass(frozen=True, slots=True)
class ResponseBatch:
    """The answer to a batch, with its id."""

    id: Hash32
    responses: Sequence[ResponseMessage]

    codec = struct(id=HASH32, responses=vector(ResponseMessage.codec, MAX_BATCH))


def batch_id(requests: Sequence[RequestMessage]) -> Hash32:
    """The id of a batch: the hash of its requests. Raises CodecError."""
    return Hash32(hash32(REQUESTS.encode(requests, LIST_NESTING)))


@dataclass(frozen=True, slots=True)
class MeshHashRequest:
    """Asks for the hashes of the mesh at every `step`-th layer, and at the last one."""

    start: LayerId
    end: LayerId
    step: int

    codec = struct(start=c32, end=c32, step=c32)

    @classmethod
    def between(cls, start: LayerId, end: LayerId) -> MeshHashRequest:
        """The request with the smallest step that is allowed. end must not be before start."""
        return cls(start, end, (end - start) // (MAX_MESH_HASHES - 1) + 1)

    def count(self) -> int:
        """How many hashes are asked for. Raises ZeroDivisionError without a step."""
        steps, rest = divmod(self.end - self.start, self.step)
        return steps + 1 + (1 if rest else 0)

    def is_valid(self) -> bool:
        """Whether it may be answered."""
        return self.step != 0 and self.end >= self.start and self.count() <= MAX_MESH_HASHES


@dataclass(frozen=True, slots=True)
class MeshHashes:
    """Hashes of the mesh. What is served is the bare list, `MESH_HASHES`."""

    hashes: Sequence[Hash32]

    codec = struct(hashes=vector(HASH32, MAX_SENT_MESH_HASHES))


MESH_HASHES = vector(HASH32)
"""The served form: a bare list."""


@dataclass(frozen=True, slots=True)
class MaliciousIDs:
    """Identities for which there is a proof of malfeasance."""

    node_ids: Sequence[NodeId]

    codec = struct(node_ids=vector(NODE_ID, MAX_IDS))


@dataclass(frozen=True, slots=True)
class FetchEpochData:
    """The activations of an epoch. `EpochData` of the fetch protocol."""

    atx_ids: Sequence[AtxId]

    codec = struct(atx_ids=vector(ATX_ID, MAX_IDS))


@dataclass(frozen=True, slots=True)
class LayerData:
    """The ballots of a layer."""

    ballots: Sequence[BallotId]

    codec = struct(ballots=vector(BALLOT_ID, MAX_BALLOTS))


@dataclass(frozen=True, slots=True)
class OpinionRequest:
    """Asks for the opinion on a layer; with a block, for its certificate."""

    layer: LayerId
    block: BlockId | None = None

    codec = struct(layer=c32, block=option(BLOCK_ID))


@dataclass(frozen=True, slots=True)
class LayerOpinion:
    """A peer's opinion on a layer."""

    prev_agg_hash: Hash32
    """The hash of the mesh up to the layer before."""
    certified: BlockId | None = None

    codec = struct(prev_agg_hash=HASH32, certified=option(BLOCK_ID))
