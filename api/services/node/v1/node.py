"""`NodeService`: what a node is, how far it is, what goes wrong. Specified in protocol 10-api, section 3.1."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from google.protobuf.message import Message

from api.edge.rpc import Headers, Method
from api.services.node.backend import Backend
from api.services.node.events import NodeErred, StatusChanged
from protocol.pb.spacemesh.v1 import node_types_pb2, types_pb2

from .convert import layer_number
from .following import QUEUE, following
from .requests import invalid

_LEVELS = (
    node_types_pb2.LOG_LEVEL_UNSPECIFIED,
    node_types_pb2.LOG_LEVEL_DEBUG,
    node_types_pb2.LOG_LEVEL_INFO,
    node_types_pb2.LOG_LEVEL_WARN,
    node_types_pb2.LOG_LEVEL_ERROR,
    node_types_pb2.LOG_LEVEL_DPANIC,
    node_types_pb2.LOG_LEVEL_PANIC,
    node_types_pb2.LOG_LEVEL_FATAL,
)


def calls(backend: Backend) -> dict[str, Method]:
    """The methods by their names."""
    service = NodeService(backend)
    return {
        "Echo": service.echo,
        "Version": service.version,
        "Build": service.build,
        "Status": service.status,
        "NodeInfo": service.node_info,
        "StatusStream": service.status_stream,
        "ErrorStream": service.error_stream,
    }


class NodeService:
    """The methods over one node."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    async def echo(self, request: node_types_pb2.EchoRequest) -> Message:
        """What was said. Raises Failed."""
        if not request.HasField("msg"):
            raise invalid("Must include `Msg`")
        return node_types_pb2.EchoResponse(msg=request.msg)

    async def version(self, request: Any) -> Message:
        """Of this program."""
        return node_types_pb2.VersionResponse(version_string=types_pb2.SimpleString(value=self._backend.version))

    async def build(self, request: Any) -> Message:
        """Of this program."""
        return node_types_pb2.BuildResponse(build_string=types_pb2.SimpleString(value=self._backend.build))

    async def status(self, request: Any) -> Message:
        """How far the node is."""
        return node_types_pb2.StatusResponse(status=self._status())

    async def node_info(self, request: Any) -> Message:
        """What a client has to know of the network."""
        time = self._backend.parameters.time
        return node_types_pb2.NodeInfoResponse(
            hrp=self._backend.config.main.network_hrp,
            first_genesis=time.first_effective_genesis,
            effective_genesis=time.effective_genesis,
            epoch_size=time.layers_per_epoch,
        )

    async def status_stream(self, request: Any) -> AsyncIterator[Message | Headers]:
        """The status whenever it may be another. Raises Failed."""
        with self._backend.bus.subscribe(StatusChanged, size=QUEUE) as subscription:
            yield Headers.NOW
            async for _ in following(subscription):
                yield node_types_pb2.StatusStreamResponse(status=self._status())

    async def error_stream(self, request: Any) -> AsyncIterator[Message | Headers]:
        """What goes wrong from now on. Raises Failed."""
        with self._backend.bus.subscribe(NodeErred, size=QUEUE) as subscription:
            yield Headers.NOW
            async for event in following(subscription):
                error = node_types_pb2.NodeError(level=_LEVELS[event.level], msg=event.message, stack_trace=event.trace)
                yield node_types_pb2.ErrorStreamResponse(error=error)

    def _status(self) -> node_types_pb2.NodeStatus:
        backend, facts = self._backend, self._backend.facts
        time = backend.parameters.time
        current = time.layer_at(backend.now())
        verified = facts.latest if current <= time.effective_genesis else facts.applied
        return node_types_pb2.NodeStatus(
            connected_peers=len(backend.peering.peers()),
            is_synced=facts.is_synced,
            synced_layer=layer_number(facts.latest),
            top_layer=layer_number(current),
            verified_layer=layer_number(verified),
        )
