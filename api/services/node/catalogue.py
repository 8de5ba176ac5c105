"""Which services there are, by the names that a configuration has for them. Specified in protocol 10-api, section 1.2.

What is named for v2alpha1 is served as v2beta1 too, under that package's name: its messages are the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from google.protobuf.descriptor import ServiceDescriptor

from api.edge.errors import UsageError
from api.edge.rpc import Method
from api.edge.text import nearest, shown
from api.services.node.backend import Backend
from api.services.node.v1 import activations, admin, debug, global_state, mesh, node, transactions
from api.services.node.v2.package import V2ALPHA1, V2BETA1, Package
from api.services.node.v2.services import SERVICES
from protocol.pb.spacemesh.v1 import (
    activation_pb2,
    admin_pb2,
    debug_pb2,
    global_state_pb2,
    mesh_pb2,
    node_pb2,
    post_pb2,
    smesher_pb2,
    tx_pb2,
)

Calls = Mapping[str, Method]
"""The methods of a service by their names."""


@dataclass(frozen=True, slots=True)
class Offer:
    """A service that can be served."""

    descriptor: ServiceDescriptor
    calls: Calls


_V1: Mapping[str, tuple[ServiceDescriptor, Callable[[Backend], Calls]]] = {
    "global": (global_state_pb2.DESCRIPTOR.services_by_name["GlobalStateService"], global_state.calls),
    "mesh": (mesh_pb2.DESCRIPTOR.services_by_name["MeshService"], mesh.calls),
    "transaction": (tx_pb2.DESCRIPTOR.services_by_name["TransactionService"], transactions.calls),
    "node": (node_pb2.DESCRIPTOR.services_by_name["NodeService"], node.calls),
    "activation": (activation_pb2.DESCRIPTOR.services_by_name["ActivationService"], activations.calls),
    "admin": (admin_pb2.DESCRIPTOR.services_by_name["AdminService"], admin.calls),
    "debug": (debug_pb2.DESCRIPTOR.services_by_name["DebugService"], debug.calls),
}
"""Services that stand on a node alone."""

GIVEN: Mapping[str, ServiceDescriptor] = {
    "smesher": smesher_pb2.DESCRIPTOR.services_by_name["SmesherService"],
    "post": post_pb2.DESCRIPTOR.services_by_name["PostService"],
    "postInfo": post_pb2.DESCRIPTOR.services_by_name["PostInfoService"],
}
"""Services that stand on more: their calls are given by whoever composes a node."""


def _second() -> Mapping[str, tuple[tuple[Package, str], ...]]:
    """`account_v2alpha1`, `layer_stream_v2alpha1` and so on, with their packages and names."""
    named: dict[str, tuple[tuple[Package, str], ...]] = {}
    for service in SERVICES:
        words = service.removesuffix("Service").removesuffix("Stream").lower()
        stem = f"{words}_stream" if service.endswith("StreamService") else words
        named[f"{stem}_v2alpha1"] = ((V2ALPHA1, service), (V2BETA1, service))
        named[f"{stem}_v2beta1"] = ((V2BETA1, service),)
    return named


_V2 = _second()
NAMES: Sequence[str] = (*_V1, *GIVEN, *_V2)
"""All names that a configuration may say."""


class Catalogue:
    """The services of one node."""

    def __init__(self, backend: Backend, given: Mapping[str, Calls]) -> None:
        """given: the calls of those in `GIVEN`, as far as this node has them."""
        self._backend, self._given = backend, given
        self._made: dict[str, Offer] = {}
        """By their full names: one service may be on several listeners, and is the same one there."""

    def offers(self, setting: str, names: Iterable[str]) -> list[Offer]:
        """The services of a listener, in the order of their names there.

        setting: where the names stand. Raises UsageError for a name that is unknown, or there twice.
        """
        found: dict[str, Offer] = {}
        seen: set[str] = set()
        for name in names:
            if name in seen:
                raise UsageError(f"{setting} names {shown(name)} twice; each service is there once.")
            seen.add(name)
            for offer in self._named(setting, name):
                found[offer.descriptor.full_name] = offer
        return list(found.values())

    def _named(self, setting: str, name: str) -> list[Offer]:
        if name in _V1:
            descriptor, make = _V1[name]
            return [self._once(descriptor, partial(make, self._backend))]
        if name in _V2:
            return [
                self._once(package.services[service], partial(SERVICES[service], self._backend, package))
                for package, service in _V2[name]
            ]
        if name in GIVEN:
            if name not in self._given:
                raise UsageError(f"{setting} names {shown(name)}, a service that this node does not have.")
            return [Offer(GIVEN[name], self._given[name])]
        raise UsageError(
            f"{setting} names {shown(name)}, which is no service.{nearest(name, NAMES)} There are: {', '.join(NAMES)}."
        )

    def _once(self, descriptor: ServiceDescriptor, calls: Callable[[], Calls]) -> Offer:
        name = descriptor.full_name
        if name not in self._made:
            self._made[name] = Offer(descriptor, calls())
        return self._made[name]
