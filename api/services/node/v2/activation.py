"""ActivationService and its stream: ATXs by epoch, smesher, coinbase. Protocol 10-api, section 4."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from google.protobuf.message import Message

from api.edge.rpc import Headers, Method
from api.services.node.addresses import Addresses, addresses_of
from api.services.node.backend import Backend
from api.services.node.events import AtxAdded
from api.services.node.reading import reading
from node.activation.tables import ATXS
from node.queries import activations
from node.queries.activations import KnownAtx
from node.queries.pages import ALL, Page
from node.store.view import View
from protocol.types.ids import Address, AtxId, EpochId, NodeId

from .far import read
from .package import Package
from .pages import ids_of, page_of
from .streams import stream_of


def calls(backend: Backend, package: Package) -> dict[str, Method]:
    """The methods of ActivationService."""
    addresses = addresses_of(backend.config.main.network_hrp)
    shown = _shower(package, addresses)

    async def list_(request: Any) -> Any:
        wanted = _wanted(request, addresses)
        page = page_of(request)
        if wanted is None:
            return package.ActivationList()
        found = await read(backend, page, lambda view, page: [shown(one) for one in wanted.rows(view, page)])
        return package.ActivationList(activations=found)

    async def count(request: Any) -> Any:
        epoch = EpochId(request.epoch) if request.HasField("epoch") else None
        with reading(backend) as view:
            return package.ActivationsCountResponse(count=activations.count(view, epoch))

    async def highest(request: Any) -> Any:
        with reading(backend) as view:
            found = activations.highest(view)
        if found is None:
            golden = package.Activation(id=backend.parameters.activation.golden_atx)
            return package.HighestResponse(activation=golden)
        return package.HighestResponse(activation=shown(found))

    return {"List": list_, "ActivationsCount": count, "Highest": highest}


def stream_calls(backend: Backend, package: Package) -> dict[str, Method]:
    """The methods of ActivationStreamService."""
    addresses = addresses_of(backend.config.main.network_hrp)
    shown = _shower(package, addresses)

    def stream(request: Any) -> AsyncIterator[Message | Headers]:
        wanted = _wanted(request, addresses)

        def rows(view: View) -> Iterator[Message]:
            return iter(()) if wanted is None else map(shown, wanted.rows(view))

        def live(event: AtxAdded) -> Message | None:
            with reading(backend) as view:
                found = activations.find(view, event.id)
            is_wanted = wanted is not None and found is not None and wanted.is_met_by(found)
            return shown(found) if found is not None and is_wanted else None

        return stream_of(
            backend,
            rows,
            watch=request.watch,
            kinds=(AtxAdded,),
            live=live,
            is_among=lambda view, event: view.has(ATXS, event.id),
        )

    return {"Stream": stream}


@dataclass(frozen=True, slots=True)
class _Wanted:
    """The filters of a request."""

    smeshers: Sequence[NodeId]
    ids: Sequence[AtxId]
    coinbase: Address | None
    first: EpochId | None
    last: EpochId | None

    def rows(self, view: View, page: Page = ALL) -> Iterator[KnownAtx]:
        return activations.page(
            view,
            smeshers=self.smeshers,
            ids=self.ids,
            coinbase=self.coinbase,
            first=self.first,
            last=self.last,
            page=page,
        )

    def is_met_by(self, found: KnownAtx) -> bool:
        stored = found.stored
        return (
            (not self.smeshers or stored.smesher in self.smeshers)
            and (not self.ids or found.id in self.ids)
            and (self.coinbase is None or stored.coinbase == self.coinbase)
            and (self.first is None or stored.publish_epoch >= self.first)
            and (self.last is None or stored.publish_epoch <= self.last)
        )


def _wanted(request: Any, addresses: Addresses) -> _Wanted | None:
    """None: nothing can meet the filters. Raises Failed for a coinbase that is no address."""
    coinbase = addresses.parse(request.coinbase) if request.coinbase else None
    smeshers, ids = ids_of(request, "smesher_id"), ids_of(request, "id")
    if smeshers is None or ids is None:
        return None
    first = EpochId(request.start_epoch) if request.start_epoch else None
    return _Wanted(smeshers, ids, coinbase, first, EpochId(request.end_epoch) if request.end_epoch else None)


def _shower(package: Package, addresses: Addresses) -> Callable[[KnownAtx], Any]:
    def shown(found: KnownAtx) -> Any:
        stored = found.stored
        return package.Activation(
            id=found.id,
            smesher_id=stored.smesher,
            publish_epoch=stored.publish_epoch,
            coinbase=addresses.text(stored.coinbase),
            weight=stored.weight,
            height=stored.height,
            num_units=stored.units,
        )

    return shown
