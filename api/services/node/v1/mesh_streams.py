"""The streams of `MeshService`. Specified in protocol 10-api, sections 3.2 and 9."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from functools import partial
from typing import Any

from google.protobuf.message import Message

from api.edge.rpc import Headers
from api.services.node.backend import Backend
from api.services.node.events import AtxAdded, LayerStatus, LayerUpdated, SmesherConvicted, TransactionAdded
from api.services.node.reading import reading
from node.activation.tables import COLUMNS
from node.malfeasance.tables import PROOFS, malicious
from node.mempool.tables import TRANSACTIONS
from node.store.view import Span, View
from protocol.pb.spacemesh.v1 import mesh_types_pb2 as pb
from protocol.pb.spacemesh.v1 import types_pb2
from protocol.types.ids import Address, AtxId, EpochId, NodeId, TransactionId

from . import malfeasance
from .convert import Convert
from .following import QUEUE, Once, following
from .parts import in_parts
from .requests import account_filter, address_of

PART = 1_000
"""Rows that are read at once."""
LAYERS_KEPT = 8
"""Layers as the last events told of them: each may have thousands of transactions."""
LAST_EPOCH = (1 << 32) - 2
"""The last one in which an activation can be published."""

_STATUSES = {
    LayerStatus.OPENED: types_pb2.Layer.LAYER_STATUS_UNSPECIFIED,
    LayerStatus.APPROVED: types_pb2.Layer.LAYER_STATUS_APPROVED,
    LayerStatus.CONFIRMED: types_pb2.Layer.LAYER_STATUS_CONFIRMED,
    LayerStatus.APPLIED: types_pb2.Layer.LAYER_STATUS_APPLIED,
}


class MeshStreams:
    """The streams over one node."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._hrp = backend.config.main.network_hrp
        self._convert = Convert(self._hrp)
        self._layers = Once(self._layer, LAYERS_KEPT)

    async def account_mesh_data(self, request: pb.AccountMeshDataStreamRequest) -> AsyncIterator[Message | Headers]:
        """An account's new transactions, and activations with it as their coinbase, from now on. Raises Failed."""
        parse = partial(address_of, hrp=self._hrp, lead="invalid in.Filter.AccountId.Address")
        address, flags = account_filter(request, "account_mesh_data_flags", "AccountMeshDataFlags", parse)
        kinds: list[type[TransactionAdded | AtxAdded]] = []
        if flags & pb.ACCOUNT_MESH_DATA_FLAG_TRANSACTIONS:
            kinds.append(TransactionAdded)
        if flags & pb.ACCOUNT_MESH_DATA_FLAG_ACTIVATIONS:
            kinds.append(AtxAdded)
        with self._backend.bus.subscribe(*kinds, size=QUEUE) as subscription:
            yield Headers.NOW
            async for event in following(subscription):
                datum = None
                if isinstance(event, AtxAdded):
                    datum = self._activation(event.id, address)
                elif event.principal == address:
                    datum = self._transaction(event.id)
                if datum is not None:
                    yield pb.AccountMeshDataStreamResponse(datum=datum)

    async def layers(self, request: Any) -> AsyncIterator[Message | Headers]:
        """Every layer of which something has become, from now on. Raises Failed."""
        with self._backend.bus.subscribe(LayerUpdated, size=QUEUE) as subscription:
            yield Headers.NOW
            async for event in following(subscription):
                yield self._layers.of(event)

    async def epoch(self, request: pb.EpochStreamRequest) -> AsyncIterator[Message | Headers]:
        """The activations that were published in an epoch, ids ascending, but for those of malicious smeshers.

        Raises Failed.
        """
        if request.epoch > LAST_EPOCH:
            return
        with reading(self._backend) as view:
            left_out = set(malicious(view))
        for part in in_parts(self._backend, partial(_activations, EpochId(request.epoch + 1)), PART):
            for id, smesher in part:
                if smesher not in left_out:
                    yield pb.EpochStreamResponse(id=types_pb2.ActivationId(id=id))

    async def malfeasance(self, request: pb.MalfeasanceStreamRequest) -> AsyncIterator[Message | Headers]:
        """All proofs by their smeshers, then those that come; of each smesher one. Raises Failed."""
        with self._backend.bus.subscribe(SmesherConvicted, size=QUEUE) as subscription:
            yield Headers.NOW
            told = set()
            for part in in_parts(self._backend, _proofs, PART):
                for identity, proof in part:
                    told.add(identity)
                    yield self._proof(identity, proof, request)
            async for event in following(subscription):
                if event.identity not in told:
                    told.add(event.identity)
                    yield self._proof(event.identity, event.proof, request)

    def _layer(self, event: LayerUpdated) -> pb.LayerStreamResponse:
        with reading(self._backend) as view:
            layer = self._convert.layer(view, event.layer, _STATUSES[event.status])
        return pb.LayerStreamResponse(layer=layer)

    def _transaction(self, id: TransactionId) -> pb.AccountMeshData | None:
        with reading(self._backend) as view:
            found = view.get(TRANSACTIONS, id)
        if found is None:
            return None
        transaction = types_pb2.MeshTransaction(transaction=self._convert.stored(id, found))
        return pb.AccountMeshData(mesh_transaction=transaction)

    def _activation(self, id: AtxId, coinbase: Address) -> pb.AccountMeshData | None:
        with reading(self._backend) as view:
            found = self._convert.activation_of(view, id)
        if found is None or found.coinbase.address != self._convert.addresses.text(coinbase):
            return None
        return pb.AccountMeshData(activation=found)

    def _proof(self, identity: NodeId, data: bytes, request: pb.MalfeasanceStreamRequest) -> Message:
        proof = malfeasance.message(identity, data, with_proof=request.include_proof)
        return pb.MalfeasanceStreamResponse(proof=proof)


def _activations(target: EpochId, view: View, last: tuple[AtxId, NodeId] | None) -> Iterator[tuple[AtxId, NodeId]]:
    """Ids and smeshers of the activations that count in an epoch."""
    start = None if last is None else (target, last[0])
    for (_, id), row in view.scan(COLUMNS, Span(within=(target,), start=start)):
        if last is None or id > last[0]:
            yield id, row.node


def _proofs(view: View, last: tuple[NodeId, bytes] | None) -> Iterator[tuple[NodeId, bytes]]:
    """Identities and the proofs against them."""
    for identity, stored in view.scan(PROOFS, Span(start=None if last is None else last[0])):
        if last is None or identity > last[0]:
            yield identity, stored.proof
