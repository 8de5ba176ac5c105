"""`GlobalStateService`: accounts, rewards, the root of the state. Specified in protocol 10-api, section 3.3."""

from __future__ import annotations

from collections.abc import AsyncIterator
from functools import partial
from typing import Any

from google.protobuf.message import Message

from api.edge.rpc import Failed, Headers, Method, Status
from api.services.node.backend import Backend
from api.services.node.events import AccountChanged, LayerStatus, LayerUpdated, RewardPaid
from api.services.node.reading import reading
from node.ledger import state
from node.ledger.tables import REWARDS_BY_COINBASE
from node.queries import accounts, rewards
from node.queries.pages import Page
from node.store.view import Span, View
from protocol.pb.spacemesh.v1 import global_state_types_pb2 as pb
from protocol.types.ids import Address, Hash32, LayerId

from .bounds import Room, counted, unhurried
from .convert import Convert, layer_number
from .following import QUEUE, Once, following
from .requests import account_filter, address_of, invalid, page

ROWS_AT_ONCE = 100
"""Rewards that are read before other clients have their turn."""
TOLD_KEPT = 1024
"""Messages of the last events."""
NO_ROOT = Hash32(bytes(32))
"""What is said of a layer that has no state."""

Told = AccountChanged | RewardPaid | LayerUpdated
"""What the stream of the state tells of."""


def calls(backend: Backend) -> dict[str, Method]:
    """The methods by their names."""
    service = GlobalStateService(backend)
    return {
        "GlobalStateHash": service.global_state_hash,
        "Account": service.account,
        "AccountDataQuery": service.account_data_query,
        "AccountDataStream": service.account_data_stream,
        "GlobalStateStream": service.global_state_stream,
        "SmesherDataQuery": service.smesher_data_query,
        "SmesherRewardStream": service.smesher_reward_stream,
        "AppEventStream": service.app_event_stream,
    }


class GlobalStateService:
    """The methods over one node."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._hrp = backend.config.main.network_hrp
        self._convert = Convert(self._hrp)
        self._told = Once(self._tell, TOLD_KEPT)

    # ---- one answer ----

    async def global_state_hash(self, request: Any) -> Message:
        """The root of the state after the newest layer in it. Raises Failed."""
        with reading(self._backend) as view:
            root = state.current_state_hash(view)
            last = state.last_applied(view)
        genesis = self._backend.parameters.time.effective_genesis
        layer = genesis if last is None else max(last, genesis)
        return pb.GlobalStateHashResponse(response=pb.GlobalStateHash(root_hash=root, layer=layer_number(layer)))

    async def account(self, request: pb.AccountRequest) -> Message:
        """How an account stands, zeros where there is none. Raises Failed."""
        if not request.HasField("account_id"):
            raise invalid("`AccountId` must be provided")
        address = address_of(request.account_id.address, self._hrp, "failed to parse in.AccountId.Address")
        with reading(self._backend) as view:
            return pb.AccountResponse(account_wrapper=self._account(view, address))

    async def account_data_query(self, request: pb.AccountDataQueryRequest) -> Message:
        """A page of the rewards of a coinbase, then the account itself. Raises Failed."""
        address, flags = self._filter(request, "AccountMeshDataFlags", "failed to parse in.Filter.AccountId.Address")
        with_rewards = bool(flags & pb.ACCOUNT_DATA_FLAG_REWARD)
        with_account = bool(flags & pb.ACCOUNT_DATA_FLAG_ACCOUNT)
        with reading(self._backend) as view:
            paid = await counted(view, REWARDS_BY_COINBASE, Span(within=(address,))) if with_rewards else 0
            total = paid + with_account
            places = page(total, request.offset, request.max_results)
            if places is None:
                return pb.AccountDataQueryResponse()
            answer = pb.AccountDataQueryResponse(total_results=total)
            room = Room(self._backend.config.api.grpc_send_msg_size, "the rewards of the account")
            if places.start < paid:
                part = Page(places.start, min(places.stop, paid) - places.start)
                async for reward in unhurried(rewards.page(view, coinbase=address, page=part), ROWS_AT_ONCE):
                    answer.account_item.append(room.take(pb.AccountData(reward=self._convert.reward(reward))))
            if with_account and paid in places:
                answer.account_item.append(pb.AccountData(account_wrapper=self._account(view, address)))
        return answer

    # ---- streams ----

    async def account_data_stream(self, request: pb.AccountDataStreamRequest) -> AsyncIterator[Message | Headers]:
        """An account whenever it was touched, and its rewards, from now on. Raises Failed."""
        address, flags = self._filter(request, "AccountDataFlags", "failed to parse in.Filter.AccountId.Address")
        kinds: list[type[AccountChanged | RewardPaid]] = []
        if flags & pb.ACCOUNT_DATA_FLAG_ACCOUNT:
            kinds.append(AccountChanged)
        if flags & pb.ACCOUNT_DATA_FLAG_REWARD:
            kinds.append(RewardPaid)
        with self._backend.bus.subscribe(*kinds, size=QUEUE) as subscription:
            yield Headers.NOW
            async for event in following(subscription):
                if isinstance(event, RewardPaid):
                    if event.reward.coinbase == address:
                        datum = pb.AccountData(reward=self._convert.reward(event.reward))
                        yield pb.AccountDataStreamResponse(datum=datum)
                elif event.address == address:
                    datum = pb.AccountData(account_wrapper=self._read_account(address))
                    yield pb.AccountDataStreamResponse(datum=datum)

    async def global_state_stream(self, request: pb.GlobalStateStreamRequest) -> AsyncIterator[Message | Headers]:
        """Accounts, rewards and roots of all that is applied from now on. Raises Failed."""
        flags = request.global_state_data_flags
        if not flags:
            raise invalid("`GlobalStateDataFlags` must set at least one bitfield")
        kinds: list[type[Told]] = []
        if flags & pb.GLOBAL_STATE_DATA_FLAG_ACCOUNT:
            kinds.append(AccountChanged)
        if flags & pb.GLOBAL_STATE_DATA_FLAG_REWARD:
            kinds.append(RewardPaid)
        if flags & pb.GLOBAL_STATE_DATA_FLAG_GLOBAL_STATE_HASH:
            kinds.append(LayerUpdated)
        with self._backend.bus.subscribe(*kinds, size=QUEUE) as subscription:
            yield Headers.NOW
            async for event in following(subscription):
                if not isinstance(event, LayerUpdated) or event.status is LayerStatus.APPLIED:
                    yield self._told.of(event)

    # ---- what was never there ----

    async def smesher_data_query(self, request: Any) -> Message:
        """Raises Failed."""
        raise Failed(Status.UNIMPLEMENTED, "DEPRECATED")

    async def smesher_reward_stream(self, request: Any) -> AsyncIterator[Message | Headers]:
        """Raises Failed."""
        raise Failed(Status.UNIMPLEMENTED, "DEPRECATED")
        yield Headers.NOW

    async def app_event_stream(self, request: Any) -> AsyncIterator[Message | Headers]:
        """Raises Failed."""
        raise Failed(Status.UNIMPLEMENTED, "this endpoint has not yet been implemented")
        yield Headers.NOW

    # ---- shared ----

    def _filter(self, request: Any, name: str, lead: str) -> tuple[Address, int]:
        return account_filter(request, "account_data_flags", name, partial(address_of, hrp=self._hrp, lead=lead))

    def _account(self, view: View, address: Address) -> pb.Account:
        return self._convert.account(address, state.nonce_and_balance(view, address), accounts.projected(view, address))

    def _tell(self, event: Told) -> pb.GlobalStateStreamResponse:
        match event:
            case AccountChanged(address):
                datum = pb.GlobalStateData(account_wrapper=self._read_account(address))
            case RewardPaid(reward):
                datum = pb.GlobalStateData(reward=self._convert.reward(reward))
            case LayerUpdated(layer):
                datum = pb.GlobalStateData(global_state=self._root(layer))
        return pb.GlobalStateStreamResponse(datum=datum)

    def _read_account(self, address: Address) -> pb.Account:
        with reading(self._backend) as view:
            return self._account(view, address)

    def _root(self, layer: LayerId) -> pb.GlobalStateHash:
        with reading(self._backend) as view:
            root = state.state_hash(view, layer) or NO_ROOT
        return pb.GlobalStateHash(root_hash=root, layer=layer_number(layer))
