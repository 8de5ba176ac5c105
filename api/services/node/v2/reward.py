"""RewardService and its stream: what coinbases received, for which smesher. Protocol 10-api, section 4."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from typing import Any

from google.protobuf.message import Message

from api.edge.rpc import Headers, Method
from api.services.node.addresses import Addresses, addresses_of
from api.services.node.backend import Backend
from api.services.node.events import RewardPaid
from node.ledger.tables import REWARDS
from node.queries import rewards
from node.queries.pages import ALL, Layers, Page
from node.store.view import View
from protocol.types.ids import ID_SIZE, Address, NodeId
from protocol.types.transactions import Reward

from .far import read
from .package import Package
from .pages import DESC, layers_of, page_of
from .streams import stream_of


def calls(backend: Backend, package: Package) -> dict[str, Method]:
    """The methods of RewardService."""
    addresses = addresses_of(backend.config.main.network_hrp)
    shown = _shower(package, addresses)

    async def list_(request: Any) -> Any:
        wanted = _wanted(request, addresses)
        is_descending = request.sort_order == DESC

        def found(view: View, page: Page) -> list[Any]:
            return [shown(reward) for reward in wanted.rows(view, page, is_descending=is_descending)]

        return package.RewardList(rewards=await read(backend, page_of(request), found))

    return {"List": list_}


def stream_calls(backend: Backend, package: Package) -> dict[str, Method]:
    """The methods of RewardStreamService."""
    addresses = addresses_of(backend.config.main.network_hrp)
    shown = _shower(package, addresses)

    def stream(request: Any) -> AsyncIterator[Message | Headers]:
        wanted = _wanted(request, addresses)

        def live(event: RewardPaid) -> Message | None:
            return shown(event.reward) if wanted.is_met_by(event.reward) else None

        def is_among(view: View, event: RewardPaid) -> bool:
            reward = event.reward
            return view.get(REWARDS, (reward.layer, reward.smesher_id)) == reward

        return stream_of(
            backend,
            lambda view: map(shown, wanted.rows(view)),
            watch=request.watch,
            kinds=(RewardPaid,),
            live=live,
            is_among=is_among,
        )

    return {"Stream": stream}


@dataclass(frozen=True, slots=True)
class _Wanted:
    """The filters of a request."""

    layers: Layers
    coinbase: Address | None
    smesher: bytes | None
    """Of any length: none but a key has rewards."""

    def rows(self, view: View, page: Page = ALL, *, is_descending: bool = False) -> Iterator[Reward]:
        if self.smesher is not None and len(self.smesher) != ID_SIZE:
            return iter(())
        smesher = None if self.smesher is None else NodeId(self.smesher)
        return rewards.page(
            view, smesher=smesher, coinbase=self.coinbase, layers=self.layers, is_descending=is_descending, page=page
        )

    def is_met_by(self, reward: Reward) -> bool:
        return (
            reward.layer in self.layers
            and (self.coinbase is None or reward.coinbase == self.coinbase)
            and (self.smesher is None or reward.smesher_id == self.smesher)
        )


def _wanted(request: Any, addresses: Addresses) -> _Wanted:
    """Raises Failed for a coinbase that is no address."""
    filter = request.WhichOneof("filter_by")
    return _Wanted(
        layers_of(request.start_layer, request.end_layer),
        addresses.parse(request.coinbase) if filter == "coinbase" else None,
        request.smesher if filter == "smesher" else None,
    )


def _shower(package: Package, addresses: Addresses) -> Callable[[Reward], Any]:
    def shown(reward: Reward) -> Any:
        return package.Reward(
            layer=reward.layer,
            total=reward.total_reward,
            layer_reward=reward.layer_reward,
            coinbase=addresses.text(reward.coinbase),
            smesher=reward.smesher_id,
        )

    return shown
