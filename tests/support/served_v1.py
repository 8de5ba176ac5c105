"""The services of `spacemesh.v1` over stores, called in process as recorded clients called those of another node."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from google.protobuf import json_format, message_factory
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import Message

from api.edge.rpc import Method
from api.services.node.backend import Backend
from api.services.node.v1 import activations, admin, debug, global_state, mesh, node, transactions
from protocol.params.config.node import Config
from protocol.pb.spacemesh.v1 import (
    activation_pb2,
    admin_pb2,
    debug_pb2,
    global_state_pb2,
    mesh_pb2,
    node_pb2,
    tx_pb2,
)
from tests.support.calling import Answered, Open, call
from tests.support.node_backend import StoresBackend

PARTS = (node_pb2, mesh_pb2, global_state_pb2, tx_pb2, activation_pb2, admin_pb2, debug_pb2)
SERVICES: Mapping[str, Callable[[Backend], dict[str, Method]]] = {
    "spacemesh.v1.NodeService": node.calls,
    "spacemesh.v1.MeshService": mesh.calls,
    "spacemesh.v1.GlobalStateService": global_state.calls,
    "spacemesh.v1.TransactionService": transactions.calls,
    "spacemesh.v1.ActivationService": activations.calls,
    "spacemesh.v1.AdminService": admin.calls,
    "spacemesh.v1.DebugService": debug.calls,
}


def request_class(service: str, method: str) -> type[Message]:
    """Of what a method is asked with."""
    return message_factory.GetMessageClass(_method(service, method).input_type)


def response_class(service: str, method: str) -> type[Message]:
    """Of what a method answers with."""
    return message_factory.GetMessageClass(_method(service, method).output_type)


@cache
def _method(service: str, method: str) -> MethodDescriptor:
    name = service.rpartition(".")[2]
    (found,) = [part.DESCRIPTOR.services_by_name[name] for part in PARTS if name in part.DESCRIPTOR.services_by_name]
    return found.methods_by_name[method]


def shown(message: Message) -> dict[str, Any]:
    """A message as the records have it."""
    return json_format.MessageToDict(message, always_print_fields_with_no_presence=True)


class ServedNode:
    """A node of which only stores and services are there."""

    def __init__(self, config: Config, runner: asyncio.Runner, folder: Path) -> None:
        """folder: for the data of the node, empty."""
        main = replace(config.main, data_folder=str(folder))
        self.runner = runner
        self.backend = StoresBackend(replace(config, main=main), loop=runner.get_loop())
        self._calls = {name: calls(self.backend) for name, calls in SERVICES.items()}

    def answer(
        self, service: str, method: str, data: bytes, *, most: int | None = None, ends: bool = False
    ) -> Answered:
        """What a method answers to the bytes of a request; see `calling.call`."""
        request = request_class(service, method)()
        request.ParseFromString(data)
        return self.runner.run(call(self._calls[service], method, request, most=most, ends=ends))

    def open(self, service: str, method: str, data: bytes) -> Open:
        """A stream."""
        request = request_class(service, method)()
        request.ParseFromString(data)
        return Open(self._calls[service], method, request)
