"""ActivationService and its stream: ATXs by epoch, smesher, coinbase. Protocol 10-api, section 4."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

from api.edge.rpc import Method
from api.services.node.addresses import Addresses
from api.services.node.backend import Backend
from api.services.node.events import AtxAdded
from api.services.node.reading import reading
from node.activation.tables import ATXS
from node.queries import activations
from node.queries.activations import KnownAtx
from node.store.view import View
from protocol.types.ids import EMPTY_ADDRESS, AtxId, EpochId

from .package import Package
from .pages import NothingMatches, ids_of, page_of
from .streams import stream


def calls(backend: Backend, package: Package) -> dict[str, Method]:
    """The methods of the service."""
    addresses = Addresses(backend.config.main.network_hrp)
    shown = _shower(package, addresses)

    async def list_(request: Any) -> Any:
        found: list[Any] = []
        try:
            wanted = _filter(request, addresses)
            page = page_of(request)
        except NothingMatches:
            page_of(request)
            return package.ActivationList()
        with reading(backend) as view:
            found = [shown(one) for one in activations.page(view, **wanted, page=page)]
        return package.ActivationList(activations=found)

    async def count(request: Any) -> Any:
        epoch = EpochId(request.epoch) if request.HasField("epoch") else None
        with reading(backend) as view:
            return package.ActivationsCountResponse(count=activations.count(view, epoch))

    async def highest(request: Any) -> Any:
        with reading(backend) as view:
            found = activations.highest(view)
        if found is None:
            golden = backend.parameters.activation.golden_atx
            return package.HighestResponse(activation=package.Activation(id=golden))
        return package.HighestResponse(activation=shown(found))

    return {"List": list_, "ActivationsCount": count, "Highest": highest}


