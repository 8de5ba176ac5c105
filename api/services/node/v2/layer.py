"""LayerService and its stream: how far layers are, their hashes and blocks. Protocol 10-api, section 4."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

from google.protobuf.message import Message

from api.edge.rpc import Headers, Method
from api.services.node.backend import Backend
from api.services.node.events import LayerStatus, LayerUpdated
from api.services.node.reading import reading
from node.queries import layers
from node.queries.layers import LayerFacts
from node.queries.pages import Page
from node.store.view import View
from protocol.crypto.hashing import HASH32_SIZE
from protocol.pb.spacemesh.v2alpha1.layer_pb2 import Layer
from protocol.types.ids import EMPTY_BLOCK_ID

from .far import read
from .package import Package
from .pages import DESC, layers_of, page_of
from .streams import stream_of

_NO_HASH = bytes(HASH32_SIZE)
_SHORT_HASH_BYTES = 5
"""Of the aggregated hash, as text; everything else shows all of it."""
_LIVE = {
    LayerStatus.APPROVED: Layer.LAYER_STATUS_APPLIED,
    LayerStatus.CONFIRMED: Layer.LAYER_STATUS_VERIFIED,
    LayerStatus.APPLIED: Layer.LAYER_STATUS_VERIFIED,
}


def calls(backend: Backend, package: Package) -> dict[str, Method]:
    """The methods of LayerService."""
    genesis = backend.parameters.time.effective_genesis

    async def list_(request: Any) -> Any:
        bounds = layers_of(request.start_layer, request.end_layer)

        def found(view: View, page: Page) -> list[Any]:
            rows = layers.page(view, genesis, bounds, request.sort_order == DESC, page)
            return [_shown(package, view, one, _status(one)) for one in rows]

        return package.LayerList(layers=await read(backend, page_of(request), found))

    return {"List": list_}


def stream_calls(backend: Backend, package: Package) -> dict[str, Method]:
    """The methods of LayerStreamService."""
    genesis = backend.parameters.time.effective_genesis

    def stream(request: Any) -> AsyncIterator[Message | Headers]:
        bounds = layers_of(request.start_layer, request.end_layer)

        def rows(view: View) -> Iterator[Message]:
            return (_shown(package, view, one, _status(one)) for one in layers.page(view, genesis, bounds))

        def live(event: LayerUpdated) -> Message | None:
            if event.layer not in bounds:
                return None
            with reading(backend) as view:
                status = _LIVE.get(event.status, Layer.LAYER_STATUS_UNSPECIFIED)
                shown: Message = _shown(package, view, layers.facts(view, event.layer), status)
                return shown

        return stream_of(backend, rows, watch=request.watch, kinds=(LayerUpdated,), live=live)

    return {"Stream": stream}


def _status(facts: LayerFacts) -> Layer.LayerStatus:
    if facts.is_processed:
        return Layer.LAYER_STATUS_VERIFIED
    return Layer.LAYER_STATUS_APPLIED if facts.is_applied else Layer.LAYER_STATUS_UNSPECIFIED


def _shown(package: Package, view: View, facts: LayerFacts, status: Layer.LayerStatus) -> Any:
    """A layer of which a block is stored says so also where it was applied without one: with an id of zeros."""
    layer = package.Layer(number=facts.layer, status=status)
    if facts.mesh_hash not in (None, _NO_HASH):
        layer.consensus_hash = facts.mesh_hash[:_SHORT_HASH_BYTES].hex()
        layer.cumulative_state_hash = facts.mesh_hash
    if facts.state_hash not in (None, _NO_HASH):
        layer.state_hash = facts.state_hash
    if facts.has_block or layers.blocks(view, facts.layer):
        layer.block.id = facts.block or EMPTY_BLOCK_ID
    return layer
