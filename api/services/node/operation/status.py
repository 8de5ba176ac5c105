"""NodeService of `smesher.v1`: the node on one page, its peers, its devices, its log."""

from __future__ import annotations

import asyncio
import logging
import shutil
from collections.abc import Mapping
from pathlib import Path

from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message

from api.edge.rpc import Failed, Method, Status
from api.services.node.backend import Backend, PeerFacts
from protocol.pb.smesher.v1 import node_pb2 as pb

from .operation import Operation, Reachability

_REACHABILITY = {
    Reachability.PUBLIC: pb.REACHABILITY_PUBLIC,
    Reachability.PRIVATE: pb.REACHABILITY_PRIVATE,
}


def calls(backend: Backend, operation: Operation) -> dict[str, Method]:
    """The methods of the service."""
    service = Node(backend, operation)
    return {"Status": service.status, "Peers": service.peers, "Devices": service.devices, "Log": service.log}


class Node:
    """The methods over one node."""

    def __init__(self, backend: Backend, operation: Operation) -> None:
        self._backend, self._operation = backend, operation

    async def status(self, request: pb.StatusRequest) -> Message:
        """The node on one page."""
        backend, facts, time = self._backend, self._backend.facts, self._backend.parameters.time
        databases = await asyncio.to_thread(_databases, self._operation.databases)
        now, network = backend.now(), backend.peering.network()
        current = time.layer_at(now)
        shown = pb.StatusResponse(
            version=backend.version,
            build=backend.build,
            current_layer=current,
            current_epoch=time.epoch_of(current),
            latest_layer=facts.latest,
            applied_layer=facts.applied,
            processed_layer=facts.processed,
            verified_layer=facts.verified,
            is_synced=facts.is_synced,
            is_atx_synced=facts.is_atx_synced,
            sync_reason=self._sync_reason(current),
            peers=len(backend.peering.peers()),
            peer_id=network.id,
            listens_on=network.listens_on,
            known_addresses=network.known_addresses,
            databases=databases,
        )
        shown.now.FromNanoseconds(now)
        offset, reachability = self._operation.clock_offset_ns(), self._operation.reachability()
        if offset is not None:
            shown.clock_offset.FromNanoseconds(offset)
        if reachability is not None:
            shown.reachability = _REACHABILITY[reachability]
        return shown

    def _sync_reason(self, current: int) -> str:
        facts = self._backend.facts
        if facts.is_synced:
            return ""
        if not self._backend.peering.peers():
            return "No peer is connected, so nothing can be got."
        if not facts.is_atx_synced:
            return "Activations of the past are got from peers."
        return f"Layers are got from peers: {facts.processed} of {current} are processed, {facts.applied} are applied."

    async def peers(self, request: pb.PeersRequest) -> Message:
        """Who is connected."""
        return pb.PeersResponse(peers=[_peer(one) for one in self._backend.peering.peers()])

    async def devices(self, request: pb.DevicesRequest) -> Message:
        """What computes here. Drivers are asked in a thread: it may take seconds the first time."""
        found = await asyncio.to_thread(self._operation.devices)
        return pb.DevicesResponse(
            devices=[
                pb.Device(
                    id=device.place,
                    name=device.name,
                    kind=device.device_class,
                    backend=device.backend,
                    memory_bytes=device.memory_bytes,
                )
                for device in found
            ]
        )

    async def log(self, request: pb.LogRequest) -> Message:
        """The last lines of the log. Raises Failed for a level that is none."""
        level = logging.getLevelNamesMapping().get(request.level.upper() or "NOTSET")
        if level is None:
            raise Failed(Status.INVALID_ARGUMENT, f"level is {request.level!r}, expected debug, info, warning or error")
        shown = pb.LogResponse()
        for line in self._operation.log.tail(request.limit, level, request.contains):
            one = shown.lines.add(level=logging.getLevelName(line.level), logger=line.logger, message=line.message)
            one.at.FromNanoseconds(line.at_ns)
        return shown


def _peer(peer: PeerFacts) -> pb.Peer:
    shown = pb.Peer(
        id=peer.id,
        addresses=peer.addresses,
        is_outbound=peer.is_outbound,
        connected_for=_duration(peer.connected_ns),
        protocols=peer.protocols,
        tags=peer.tags,
        received_bytes=peer.asked.received_bytes + peer.asking.received_bytes,
        sent_bytes=peer.asked.sent_bytes + peer.asking.sent_bytes,
        answered=peer.asked.successes,
        failed=peer.asked.failures,
    )
    if peer.asked.successes:
        shown.latency.FromNanoseconds(peer.asked.latency_ns)
    return shown


def _duration(ns: int) -> Duration:
    found = Duration()
    found.FromNanoseconds(ns)
    return found


def _databases(folders: Mapping[str, Path]) -> list[pb.Database]:
    """How large the stores are. A file that goes away meanwhile counts for nothing."""
    found = []
    for name, folder in folders.items():
        shown = pb.Database(name=name, size_bytes=sum(_size(file) for file in folder.glob("*")))
        try:
            shown.free_bytes = shutil.disk_usage(folder).free
        except OSError:
            pass  # the disk does not say, and neither do we
        found.append(shown)
    return found


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except OSError:
        return 0
