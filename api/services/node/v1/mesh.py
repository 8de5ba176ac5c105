"""`MeshService`: time, layers, an account's transactions, malfeasance. Its streams are in `mesh_streams`.

Specified in protocol 10-api, section 3.2.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from google.protobuf.message import Message

from api.edge.rpc import Failed, Method, Status
from api.services.node.backend import Backend
from api.services.node.reading import reading
from node.ledger.tables import PAID_BY
from node.malfeasance.tables import PROOFS
from node.mempool.tables import PENDING
from node.queries import principal
from node.queries.pages import Layers
from node.store.view import Span
from protocol.numbers.durations import SECOND
from protocol.pb.spacemesh.v1 import mesh_types_pb2 as pb
from protocol.pb.spacemesh.v1 import types_pb2
from protocol.types.ids import LayerId, NodeId

from . import malfeasance
from .bounds import Room, counted, unhurried
from .convert import Convert, layer_number
from .mesh_streams import MeshStreams
from .requests import account_filter, address_of, identity_of, invalid, page

MAX_LAYERS = 100_000
"""Layers of one answer: an epoch of the largest network has 4,032."""
LAYERS_AT_ONCE = 50
ROWS_AT_ONCE = 100
"""What is read before other clients have their turn."""

_Status = types_pb2.Layer


def calls(backend: Backend) -> dict[str, Method]:
    """The methods by their names."""
    service, streams = MeshService(backend), MeshStreams(backend)
    return {
        "GenesisTime": service.genesis_time,
        "CurrentLayer": service.current_layer,
        "CurrentEpoch": service.current_epoch,
        "GenesisID": service.genesis_id,
        "EpochNumLayers": service.epoch_num_layers,
        "LayerDuration": service.layer_duration,
        "MaxTransactionsPerSecond": service.max_transactions_per_second,
        "AccountMeshDataQuery": service.account_mesh_data_query,
        "LayersQuery": service.layers_query,
        "AccountMeshDataStream": streams.account_mesh_data,
        "LayerStream": streams.layers,
        "EpochStream": streams.epoch,
        "MalfeasanceQuery": service.malfeasance_query,
        "MalfeasanceStream": streams.malfeasance,
    }


class MeshService:
    """The methods with one answer, over one node."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._time = backend.parameters.time
        self._hrp = backend.config.main.network_hrp
        self._convert = Convert(self._hrp)

    @property
    def _most(self) -> int:
        """Bytes of an answer."""
        return self._backend.config.api.grpc_send_msg_size

    # ---- time ----

    async def genesis_time(self, request: Any) -> Message:
        """Seconds since 1970."""
        return pb.GenesisTimeResponse(unixtime=types_pb2.SimpleInt(value=self._time.genesis_ns // SECOND))

    async def current_layer(self, request: Any) -> Message:
        """By the clock."""
        return pb.CurrentLayerResponse(layernum=layer_number(self._now()))

    async def current_epoch(self, request: Any) -> Message:
        """By the clock."""
        return pb.CurrentEpochResponse(epochnum=types_pb2.EpochNumber(number=self._time.epoch_of(self._now())))

    async def genesis_id(self, request: Any) -> Message:
        """20 bytes."""
        return pb.GenesisIDResponse(genesis_id=self._backend.parameters.genesis_id)

    async def epoch_num_layers(self, request: Any) -> Message:
        """Layers of an epoch."""
        return pb.EpochNumLayersResponse(numlayers=layer_number(self._time.layers_per_epoch))

    async def layer_duration(self, request: Any) -> Message:
        """Whole seconds."""
        duration = types_pb2.SimpleInt(value=self._time.layer_duration_ns // SECOND)
        return pb.LayerDurationResponse(duration=duration)

    async def max_transactions_per_second(self, request: Any) -> Message:
        """What proposals can hold; layers shorter than a second count as they are."""
        main = self._backend.config.main
        most = main.txs_per_proposal * main.layer_average_size
        seconds = self._time.layer_duration_ns // SECOND
        rate = most // seconds if seconds else most * SECOND // self._time.layer_duration_ns
        return pb.MaxTransactionsPerSecondResponse(max_txs_per_second=types_pb2.SimpleInt(value=rate))

    def _now(self) -> LayerId:
        return self._time.layer_at(self._backend.now())

    # ---- rows ----

    async def account_mesh_data_query(self, request: pb.AccountMeshDataQueryRequest) -> Message:
        """A page of the transactions that an account pays, from a layer on, and all that no layer has applied.

        Raises Failed.
        """
        latest, first = self._backend.facts.latest, request.min_layer.number
        if first > latest:
            raise invalid("`LatestLayer` must be less than or equal to latest layer")
        parse = partial(address_of, hrp=self._hrp, lead="failed to parse Filter.AccountId.Address")
        address, flags = account_filter(request, "account_mesh_data_flags", "AccountMeshDataFlags", parse)
        if not flags & pb.ACCOUNT_MESH_DATA_FLAG_TRANSACTIONS:
            return pb.AccountMeshDataQueryResponse()
        layers = Layers(LayerId(first), latest)
        with reading(self._backend) as view:
            paid = await counted(view, PAID_BY, layers.span(address))
            total = paid + await counted(view, PENDING, Span(within=(address,)))
            places = page(total, request.offset, request.max_results)
            if places is None:
                return pb.AccountMeshDataQueryResponse()
            answer = pb.AccountMeshDataQueryResponse(total_results=total)
            room = Room(self._most, "the transactions of the account")
            async for known in unhurried(principal.by_nonce(view, address, places, layers), ROWS_AT_ONCE):
                of_layer = None if known.layer is None else layer_number(known.layer)
                transaction = self._convert.stored(known.id, known.stored)
                item = types_pb2.MeshTransaction(transaction=transaction, layer_id=of_layer)
                answer.data.append(room.take(pb.AccountMeshData(mesh_transaction=item)))
        return answer

    async def layers_query(self, request: pb.LayersQueryRequest) -> Message:
        """A range of layers, both bounds within it; a bound that is not set is 0. Raises Failed."""
        first, last = request.start_layer.number, request.end_layer.number
        if last - first >= MAX_LAYERS:
            raise Failed(
                Status.RESOURCE_EXHAUSTED,
                f"layers {first} to {last} are asked for, at most {MAX_LAYERS} are answered at once",
            )
        facts, answer, room = self._backend.facts, pb.LayersQueryResponse(), Room(self._most, "the layers")
        with reading(self._backend) as view:
            async for number in unhurried(range(first, last + 1), LAYERS_AT_ONCE):
                status = _Status.LAYER_STATUS_UNSPECIFIED
                if number <= facts.processed:
                    status = _Status.LAYER_STATUS_CONFIRMED
                elif number <= facts.applied:
                    status = _Status.LAYER_STATUS_APPROVED
                answer.layer.append(room.take(self._convert.layer(view, LayerId(number), status)))
        return answer

    async def malfeasance_query(self, request: pb.MalfeasanceRequest) -> Message:
        """The proof against an identity, an empty one where there is none. Raises Failed."""
        identity = NodeId(identity_of(request.smesher_hex))
        with reading(self._backend) as view:
            stored = view.get(PROOFS, identity)
        if stored is None:
            return pb.MalfeasanceResponse(proof=types_pb2.MalfeasanceProof())
        proof = malfeasance.message(identity, stored.proof, with_proof=request.include_proof)
        return pb.MalfeasanceResponse(proof=proof)
