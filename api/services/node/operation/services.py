"""The services of `smesher.v1`, with their descriptors, for the private listener."""

from __future__ import annotations

from collections.abc import Mapping

from google.protobuf.descriptor import ServiceDescriptor

from api.edge.rpc import Method
from api.services.node.backend import Backend
from protocol.pb.smesher.v1 import node_pb2, smeshing_pb2

from . import identities, status
from .operation import Operation

SERVICES: Mapping[str, ServiceDescriptor] = {
    service.full_name: service
    for module in (node_pb2, smeshing_pb2)
    for service in module.DESCRIPTOR.services_by_name.values()
}
"""By their full names."""


def calls(backend: Backend, operation: Operation) -> dict[str, dict[str, Method]]:
    """The methods of each service, by its full name."""
    return {
        "smesher.v1.NodeService": status.calls(backend, operation),
        "smesher.v1.SmeshingService": identities.calls(backend, operation),
    }
