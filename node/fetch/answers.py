"""What a peer is answered, protocol by protocol, as functions of what is stored. Lists of ids without a small bound are
in `lists`. Protocol 09a, sections 4.1 to 4.3.

| request | answer |
|---|---|
| cannot be read | none, or an error: `UNREADABLE_ANSWERED` says where |
| asks for what is not there | objects: left out; ids: an empty list; certificates and hashes of the mesh: an error |
| asks for more than is allowed | an error |
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import islice

from node.certificates.tables import of_layer
from node.errors import NodeError
from node.fetch.blobs import ON_THE_WIRE, Sources
from node.fetch.parameters import ServerParameters
from node.fetch.protocols import ACTIVE_SETS, LAYER_BALLOTS, MESH_HASHES, OBJECTS, OPINIONS
from node.mesh import tables as mesh
from node.store.view import Span, View
from protocol.codec.declare import c32
from protocol.types.certificates import Certificate
from protocol.types.fetch import (
    MAX_BALLOTS,
    Hint,
    LayerData,
    LayerOpinion,
    MeshHashRequest,
    OpinionRequest,
    RequestBatch,
    ResponseBatch,
    ResponseMessage,
)
from protocol.types.fetch import MESH_HASHES as HASH_LIST
from protocol.types.ids import BlockId, Hash32, LayerId

UNREADABLE_ANSWERED = (LAYER_BALLOTS, OPINIONS)
"""Protocols in which a request that cannot be read is answered with an error; in the others the stream is closed."""


class RequestRefused(NodeError):
    """A request that is answered with an error. reason: unknown_hint, too_many, wrong_hint, bad_range, missing,
    no_certificate."""


class NotAllowed(NodeError):
    """A request that is treated as one that cannot be read. reason: too_many, wrong_hint."""


class Answers:
    """The answers of one node. Each raises CodecError, RequestRefused, NotAllowed and StoreFault."""

    def __init__(self, parameters: ServerParameters, sources: Sources) -> None:
        self._parameters = parameters
        self._sources = sources
        self.by_protocol: Mapping[str, Callable[[View, bytes], bytes]] = {
            LAYER_BALLOTS: ballots,
            OBJECTS: self.objects,
            ACTIVE_SETS: self.active_set,
            MESH_HASHES: mesh_hashes,
            OPINIONS: opinion,
        }

    def objects(self, view: View, data: bytes) -> bytes:
        """The objects that are here, in the order of the request."""
        return self._answer(view, RequestBatch.codec.decode(data))

    def active_set(self, view: View, data: bytes) -> bytes:
        """One active set."""
        batch = RequestBatch.codec.decode(data)
        if len(batch.requests) > 1:
            raise NotAllowed(f"{len(batch.requests)} active sets are asked for, expected one.", "too_many")
        if batch.requests and batch.requests[0].hint != Hint.ACTIVE_SET:
            raise NotAllowed(
                f"The hint is {batch.requests[0].hint!r}, expected {Hint.ACTIVE_SET.value!r}.", "wrong_hint"
            )
        return self._answer(view, batch)

    def _answer(self, view: View, batch: RequestBatch) -> bytes:
        unknown = [one.hint for one in batch.requests if one.hint not in self._sources or one.hint in ON_THE_WIRE]
        if unknown:
            raise RequestRefused(f"The hint {unknown[0]!r} is not known.", "unknown_hint")
        requests = dict.fromkeys(batch.requests) if self._parameters.is_streaming else batch.requests
        found: list[ResponseMessage] = []
        size = 0
        for one in requests:
            blob = self._sources[one.hint].get(view, one.hash)
            if not blob:
                continue
            size += len(blob)
            if found and size > self._parameters.max_answer_bytes:
                break
            found.append(ResponseMessage(one.hash, blob))
        return ResponseBatch.codec.encode(ResponseBatch(batch.id, found))


def ballots(view: View, data: bytes) -> bytes:
    """The ballots of a layer, by smesher."""
    layer = c32.decode(data)
    found = view.find(mesh.BALLOTS_BY_SMESHER, Span(within=(layer,)))
    return LayerData.codec.encode(LayerData([id for _, id in islice(found, MAX_BALLOTS)]))


def mesh_hashes(view: View, data: bytes) -> bytes:
    """The hashes of every so many layers, and of the last one; all of them or none."""
    request = MeshHashRequest.codec.decode(data)
    if not request.is_valid():
        raise RequestRefused(
            f"The hashes of the layers {request.start} to {request.end} are asked for in steps of {request.step}, "
            "which is no range or too many.",
            "bad_range",
        )
    hashes = own_hashes(view, request)
    if None in hashes:
        raise RequestRefused(f"Not all layers from {request.start} to {request.end} have a hash.", "missing")
    return HASH_LIST.encode([one for one in hashes if one is not None])


def own_hashes(view: View, request: MeshHashRequest) -> list[Hash32 | None]:
    """Our hashes of the layers that a request names; None where we have none."""
    return [view.get(mesh.MESH_HASHES, layer) for layer in layers_of(request)]


def layers_of(request: MeshHashRequest) -> list[LayerId]:
    """The layers that a valid request names, ascending."""
    layers = [LayerId(layer) for layer in range(request.start, request.end + 1, request.step)]
    return layers if layers[-1] == request.end else [*layers, request.end]


def opinion(view: View, data: bytes) -> bytes:
    """Our opinion on a layer, or the certificate of a block of it."""
    request = OpinionRequest.codec.decode(data)
    if request.block is not None:
        return certificate(view, request.layer, request.block)
    if request.layer == 0:
        raise RequestRefused("There is no layer before layer 0.", "bad_range")
    before = view.get(mesh.MESH_HASHES, LayerId(request.layer - 1)) or mesh.NO_MESH_HASH
    return LayerOpinion.codec.encode(LayerOpinion(before, certified(view, request.layer)))


def certified(view: View, layer: LayerId) -> BlockId | None:
    """The block of a layer with a valid certificate, zeros where the layer is certified to be empty; None: unknown."""
    return next((block for block, row in of_layer(view, layer) if row.is_valid and row.certificate is not None), None)


def certificate(view: View, layer: LayerId, block: BlockId) -> bytes:
    """The certificate of a block; no bytes where only others of its layer are known, or what hare came to."""
    rows = dict(of_layer(view, layer))
    if not rows:
        raise RequestRefused(f"No certificate of layer {layer} is known.", "no_certificate")
    row = rows.get(block)
    if row is None or row.certificate is None:
        return b""
    return Certificate.codec.encode(row.certificate)
