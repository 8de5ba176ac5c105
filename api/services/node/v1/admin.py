"""`AdminService`: checkpoints, the end of the process, what smeshers are told, peers. Specified in protocol 10-api,
section 3.6.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

from google.protobuf.duration_pb2 import Duration
from google.protobuf.empty_pb2 import Empty
from google.protobuf.message import Message

from api.edge.rpc import Failed, Headers, Method, Status
from api.services.node.backend import Backend, PeerFacts, Traffic
from api.services.node.reading import reading
from node.checkpoint import files
from node.queries.checkpoint import checkpoint
from node.store.view import View
from protocol.pb.spacemesh.v1 import admin_types_pb2 as pb
from protocol.types.ids import LayerId
from prover import durable

from .following import following

LEAST_ATXS = 4
"""Activations of each smesher that a checkpoint holds at least."""
CHUNK = 1024
"""Bytes of a checkpoint in one message."""
EVENTS_QUEUE = 1000
"""User events that may wait for a client."""
END_AFTER_S = 1.0


def calls(backend: Backend) -> dict[str, Method]:
    """The methods by their names."""
    service = AdminService(backend)
    return {
        "CheckpointStream": service.checkpoint_stream,
        "Recover": service.recover,
        "EventsStream": service.events_stream,
        "PeerInfoStream": service.peer_info_stream,
    }


class AdminService:
    """The methods over one node."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._folder = Path(backend.config.main.data_folder).expanduser() / "checkpoint"
        self._writing = asyncio.Lock()

    async def checkpoint_stream(self, request: pb.CheckpointStreamRequest) -> AsyncIterator[Message | Headers]:
        """Writes the checkpoint of a layer to a file that must not be there, and sends it. Raises Failed."""
        layer, newest = LayerId(request.snapshot_layer), max(request.num_atxs, LEAST_ATXS)
        path = self._folder / f"snapshot-{layer}"
        async with self._writing:
            with reading(self._backend) as view:
                data = await asyncio.to_thread(_written, view, path, layer, newest)
        for start in range(0, len(data), CHUNK):
            yield pb.CheckpointStreamResponse(data=data[start : start + CHUNK])

    async def recover(self, request: Any) -> Message:
        """Ends the process: whoever starts it again does so with the options of a recovery."""
        self._backend.shut_down(END_AFTER_S)
        return Empty()

    async def events_stream(self, request: Any) -> AsyncIterator[Message | Headers]:
        """The last events, then those that come. Raises Failed."""
        recent, events = self._backend.bus.subscribe_with_recent(size=EVENTS_QUEUE)
        with events:
            yield Headers.NOW
            for one in recent:
                yield one.event
            async for one in following(events):
                yield one.event

    async def peer_info_stream(self, request: Any) -> AsyncIterator[Message | Headers]:
        """Who is connected."""
        for peer in self._backend.peering.peers():
            yield _peer(peer)


def _written(view: View, path: Path, layer: LayerId, newest: int) -> bytes:
    """The bytes of a new file. Raises Failed (INTERNAL)."""
    try:
        if os.path.lexists(path):
            raise _failed(f"new recovery file: file already exists: file already exist: {path}")
        made = checkpoint(view, layer, newest)
        if not made.atxs:
            raise _failed("atxs snapshot: database: not found")
        data = files.write(made, newest)
        durable.make_directory(path.parent)
        durable.replace(path, data)
    except OSError as error:
        raise _failed(str(error)) from error
    return data


def _failed(why: str) -> Failed:
    return Failed(Status.INTERNAL, f"failed to create checkpoint: {why}")


# ---- peers ----


def _peer(peer: PeerFacts) -> pb.PeerInfo:
    asked, asking = peer.asked, peer.asking
    kind = pb.ConnectionInfo.Outbound if peer.is_outbound else pb.ConnectionInfo.Inbound
    return pb.PeerInfo(
        id=peer.id,
        connections=[
            pb.ConnectionInfo(
                address=address, uptime=_duration(peer.connected_ns), outbound=peer.is_outbound, kind=kind
            )
            for address in peer.addresses
        ],
        tags=peer.tags,
        client_stats=_requests(asked),
        server_stats=_requests(asking),
        bytes_sent=asked.sent_bytes + asking.sent_bytes,
        bytes_received=asked.received_bytes + asking.received_bytes,
        send_rate=list(_rates(asked.send_rates, asking.send_rates)),
        recv_rate=list(_rates(asked.receive_rates, asking.receive_rates)),
    )


def _requests(traffic: Traffic) -> pb.PeerRequestStats | None:
    if not traffic.successes and not traffic.failures:
        return None
    return pb.PeerRequestStats(
        success_count=traffic.successes, failure_count=traffic.failures, latency=_duration(traffic.latency_ns)
    )


def _rates(*windows: tuple[int, int]) -> Iterator[int]:
    """Of both windows; none where nothing went by."""
    sums = [sum(rates) for rates in zip(*windows)]
    if any(sums):
        yield from sums


def _duration(ns: int) -> Duration:
    made = Duration()
    made.FromNanoseconds(ns)
    return made
