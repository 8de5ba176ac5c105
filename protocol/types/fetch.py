"""What nodes ask of each other: objects by their hash, lists of ids, opinions, hashes of the mesh.

Protocol 03-encoding-and-types, section 4.11; who answers what is in 09a-p2p-fetch-sync.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Annotated

from protocol.codec.declare import LIST_NESTING, Codec, Record, c32, codec_of, record, up_to, vector
from protocol.crypto.hashing import hash32

from .ids import (
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


@record
class ServerResponse(Record):
    """The answer to any request: data, or what went wrong."""

    data: Annotated[bytes, up_to(MAX_DATA_SIZE)]
    """The answer of the protocol that was asked; empty with an error."""
    error: Annotated[str, up_to(MAX_ERROR_SIZE)] = ""
    """For people; empty when all is well."""


@record
class RequestMessage(Record):
    """One object that is wanted."""

    hint: Annotated[str, up_to(MAX_HINT_SIZE)]
    """A Hint."""
    hash: Hash32
    """The id; of 20-byte ids, their 32-byte form."""


@record
class ResponseMessage(Record):
    """One object; empty data where it is not known."""

    hash: Hash32
    """As in the request."""
    data: Annotated[bytes, up_to(MAX_DATA_SIZE)]
    """The object as it is stored."""


REQUESTS = vector(RequestMessage.codec)
"""Requests by themselves, as they are hashed."""


@record
class RequestBatch(Record):
    """Objects that are wanted."""

    id: Hash32
    """`batch_id` of the requests."""
    requests: Annotated[Sequence[RequestMessage], up_to(MAX_BATCH)]
    """The objects."""

    @classmethod
    def of(cls, requests: Sequence[RequestMessage]) -> RequestBatch:
        """The batch of the given requests. Raises CodecError."""
        return cls(batch_id(requests), requests)


@record
class ResponseBatch(Record):
    """The answer to a batch, with its id."""

    id: Hash32
    """As in the request."""
    responses: Annotated[Sequence[ResponseMessage], up_to(MAX_BATCH)]
    """Those that are known, in any order."""


def batch_id(requests: Sequence[RequestMessage]) -> Hash32:
    """The id of a batch: the hash of its requests. Raises CodecError."""
    return Hash32(hash32(REQUESTS.encode(requests, LIST_NESTING)))


@record
class MeshHashRequest(Record):
    """Asks for the hashes of the mesh at every `step`-th layer, and at the last one."""

    start: LayerId
    """The first layer."""
    end: LayerId
    """The last layer, included."""
    step: Annotated[int, c32]
    """Layers between two hashes."""

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


@record
class MeshHashes(Record):
    """Hashes of the mesh. What is served is the bare list, `MESH_HASHES`."""

    hashes: Annotated[Sequence[Hash32], up_to(MAX_SENT_MESH_HASHES)]
    """By ascending layers."""


MESH_HASHES: Codec[Sequence[Hash32]] = vector(codec_of(Hash32))
"""The served form: a bare list."""


@record
class MaliciousIDs(Record):
    """Identities for which there is a proof of malfeasance."""

    node_ids: Annotated[Sequence[NodeId], up_to(MAX_IDS)]
    """In any order."""


@record
class FetchEpochData(Record):
    """The activations of an epoch. `EpochData` of the fetch protocol."""

    atx_ids: Annotated[Sequence[AtxId], up_to(MAX_IDS)]
    """In any order."""


@record
class LayerData(Record):
    """The ballots of a layer."""

    ballots: Annotated[Sequence[BallotId], up_to(MAX_BALLOTS)]
    """In any order."""


@record
class OpinionRequest(Record):
    """Asks for the opinion on a layer; with a block, for its certificate."""

    layer: LayerId
    """The layer."""
    block: BlockId | None = None
    """None: the opinion is asked for, not a certificate."""


@record
class LayerOpinion(Record):
    """A peer's opinion on a layer."""

    prev_agg_hash: Hash32
    """The hash of the mesh up to the layer before."""
    certified: BlockId | None = None
    """The layer's certified block; None where there is none."""
