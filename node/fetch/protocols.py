"""The protocols by name, what is asked in them and how the answers are read. Protocol 09a, section 4.1.

Requests and answers here are what the protocols mean; lengths and errors around them are those of `node.p2p.frames`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from protocol.codec.declare import CodecError, Fault, c32
from protocol.types.fetch import MESH_HASHES as MESH_HASH_LIST
from protocol.types.fetch import (
    FetchEpochData,
    Hint,
    LayerData,
    LayerOpinion,
    MaliciousIDs,
    MeshHashRequest,
    OpinionRequest,
)
from protocol.types.ids import AtxId, BallotId, BlockId, EpochId, Hash32, LayerId, NodeId

EPOCH_ATXS = "ax/1"
"""Ids of the activations that were published in an epoch."""
LAYER_BALLOTS = "ld/1"
"""Ids of the ballots of a layer."""
OBJECTS = "hs/1"
"""Objects by their ids."""
ACTIVE_SETS = "as/1"
"""Active sets, which are large: one at a time."""
MESH_HASHES = "mh/1"
"""Hashes of the mesh, of some layers."""
MALICIOUS_IDS = "ml/1"
"""Identities with a proof of malfeasance."""
OPINIONS = "lp/2"
"""The opinion on a layer, or the certificate of its block."""

PROTOCOLS = (EPOCH_ATXS, LAYER_BALLOTS, OBJECTS, ACTIVE_SETS, MESH_HASHES, MALICIOUS_IDS, OPINIONS)

OWN_PROTOCOL: Mapping[str, str] = {Hint.ACTIVE_SET: ACTIVE_SETS}
"""Kinds that have a protocol of their own; peers that do not know it serve them as other objects."""


def epoch_request(epoch: EpochId) -> bytes:
    """Asks for the activations published in an epoch."""
    return c32.encode(epoch)


def layer_request(layer: LayerId) -> bytes:
    """Asks for the ballots of a layer."""
    return c32.encode(layer)


def opinion_request(layer: LayerId) -> bytes:
    """Asks for the opinion on a layer."""
    return OpinionRequest.codec.encode(OpinionRequest(layer))


def certificate_request(layer: LayerId, block: BlockId) -> bytes:
    """Asks for the certificate of a block; zeros where the layer is certified to be empty."""
    return OpinionRequest.codec.encode(OpinionRequest(layer, block))


def read_epoch(data: bytes) -> Sequence[AtxId]:
    """The answer to `epoch_request`. Raises CodecError."""
    return FetchEpochData.codec.decode(data).atx_ids


def read_layer(data: bytes) -> Sequence[BallotId]:
    """The answer to `layer_request`. Raises CodecError."""
    return LayerData.codec.decode(data).ballots


def read_malicious(data: bytes) -> Sequence[NodeId]:
    """The answer to a request for malicious identities, which is empty. Raises CodecError."""
    return MaliciousIDs.codec.decode(data).node_ids


def read_opinion(data: bytes) -> LayerOpinion:
    """The answer to `opinion_request`. Raises CodecError."""
    return LayerOpinion.codec.decode(data)


def read_mesh_hashes(request: MeshHashRequest, data: bytes) -> Sequence[Hash32]:
    """The hashes that were asked for, by ascending layers. Raises CodecError, also where there are more or fewer."""
    hashes = MESH_HASH_LIST.decode(data)
    if len(hashes) != request.count():
        fault = Fault("wrong_count", f"there are {len(hashes)} hashes, expected {request.count()}")
        raise CodecError("MeshHashes", "", fault)
    return hashes
