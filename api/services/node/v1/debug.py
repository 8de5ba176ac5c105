"""`DebugService`: the network as this node sees it, all accounts, active sets, proposals, the log.

Specified in protocol 10-api, section 3.7.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import fields
from typing import Any

from google.protobuf.empty_pb2 import Empty
from google.protobuf.message import Message

from api.edge.node_log import UnknownLevel, UnknownPart, change_level
from api.edge.rpc import Failed, Headers, Method, Status
from api.services.node.backend import Backend, Traffic
from api.services.node.events import ProposalSeen, ProposalStatus
from api.services.node.reading import reading
from node.activation.columns import AtxColumns
from node.bootstrap.tables import fallback
from node.eligibility.active_set import active_ids
from node.eligibility.errors import EligibilityError
from node.proposals.oracle import RowSources
from node.queries import accounts
from protocol.numbers.layers import MAX_LAYER
from protocol.params.config.logs import Logging
from protocol.pb.spacemesh.v1 import debug_types_pb2 as pb
from protocol.pb.spacemesh.v1 import types_pb2
from protocol.types.ids import EpochId, LayerId, as_hash32

from .bounds import Room, unhurried
from .convert import Convert, layer_number
from .following import QUEUE, following

ACCOUNTS_AT_ONCE = 500
IDS_AT_ONCE = 5_000
"""What is read before other clients have their turn."""
MODULES = frozenset(item.metadata["key"] for item in fields(Logging)) - {"log-encoder"}
"""The parts of a node that have a level of their own."""

_REFUSED = {
    "beacon_missing": "get beacon: beacon is not calculated for this epoch",
    "empty_active_set": "empty active set",
}


def calls(backend: Backend) -> dict[str, Method]:
    """The methods by their names."""
    service = DebugService(backend)
    return {
        "NetworkInfo": service.network_info,
        "Accounts": service.accounts,
        "ActiveSet": service.active_set,
        "ProposalsStream": service.proposals_stream,
        "ChangeLogLevel": service.change_log_level,
    }


class DebugService:
    """The methods over one node."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._convert = Convert(backend.config.main.network_hrp)

    async def network_info(self, request: Any) -> Message:
        """This node, as peers see it."""
        found = self._backend.peering.network()
        protocols = found.protocols or {}
        return pb.NetworkInfoResponse(
            id=found.id,
            listen_addresses=sorted(found.listens_on),
            known_addresses=sorted(found.known_addresses),
            dht_server_enabled=found.is_dht_server,
            stats={name: _traffic(traffic) for name, traffic in protocols.items()},
        )

    async def accounts(self, request: pb.AccountsRequest) -> Message:
        """All accounts, or all as they were at a layer, addresses ascending. Raises Failed."""
        layer = LayerId(request.layer) if request.layer else None
        answer = pb.AccountsResponse()
        room = Room(self._backend.config.api.grpc_send_msg_size, "the accounts")
        with reading(self._backend) as view:
            async for account in unhurried(accounts.everyone(view, layer), ACCOUNTS_AT_ONCE):
                answer.account_wrapper.append(room.take(self._convert.version(account)))
        return answer

    async def active_set(self, request: pb.ActiveSetRequest) -> Message:
        """Who takes part in the layers of an epoch. Raises Failed."""
        time, epoch = self._backend.parameters.time, EpochId(request.epoch)
        try:
            if epoch > time.epoch_of(MAX_LAYER) - 1:
                raise EligibilityError(f"There is no epoch {epoch}.", "beacon_missing")
            if epoch * time.layers_per_epoch <= time.effective_genesis:
                raise EligibilityError(f"Epoch {epoch} belongs to the genesis.", "empty_active_set")
            with reading(self._backend) as view:
                sources = RowSources(view, time, AtxColumns(), fallback)
                ids = await asyncio.to_thread(active_ids, sources, epoch)  # there may be a million
        except EligibilityError as error:
            why = _REFUSED.get(error.reason, str(error))
            raise Failed(Status.INTERNAL, f"active set for epoch {epoch}: {why}") from None
        answer = pb.ActiveSetResponse()
        room = Room(self._backend.config.api.grpc_send_msg_size, f"the active set of epoch {epoch}")
        async for id in unhurried(ids, IDS_AT_ONCE):
            answer.ids.append(room.take(types_pb2.ActivationId(id=id)))
        return answer

    async def proposals_stream(self, request: Any) -> AsyncIterator[Message | Headers]:
        """Proposals that are made here, and those of which blocks are made, from now on. Raises Failed."""
        with self._backend.bus.subscribe(ProposalSeen, size=QUEUE) as subscription:
            yield Headers.NOW
            async for event in following(subscription):
                yield self._proposal(event)

    async def change_log_level(self, request: pb.ChangeLogLevelRequest) -> Message:
        """Lets a part of the node say more or less. Raises Failed."""
        try:
            change_level(request.module, request.level, MODULES)
        except UnknownLevel:
            raise Failed(Status.UNKNOWN, f'parse level: unrecognized level: "{request.level}"') from None
        except UnknownPart:
            raise Failed(Status.UNKNOWN, f"cannot find logger {request.module}") from None
        return Empty()

    def _proposal(self, event: ProposalSeen) -> pb.Proposal:
        ballot = event.proposal.inner.ballot
        inner = ballot.inner
        is_created = event.status is ProposalStatus.CREATED
        message = pb.Proposal(
            id=as_hash32(event.id),
            epoch=types_pb2.EpochNumber(number=self._backend.parameters.time.epoch_of(inner.layer)),
            layer=layer_number(inner.layer),
            smesher=types_pb2.SmesherId(id=ballot.smesher_id),
            ballot=as_hash32(ballot.id()),
            eligibilities=[pb.Eligibility(j=one.j, signature=one.sig) for one in ballot.eligibility_proofs],
            status=pb.Proposal.Created if is_created else pb.Proposal.Included,
        )
        if inner.epoch_data is None:
            message.reference = as_hash32(inner.ref_ballot)
        else:
            message.data.beacon = inner.epoch_data.beacon
        return message


def _traffic(traffic: Traffic) -> pb.DataStats:
    return pb.DataStats(
        bytes_sent=traffic.sent_bytes,
        bytes_received=traffic.received_bytes,
        send_rate=traffic.send_rates if any(traffic.send_rates) else (),
        recv_rate=traffic.receive_rates if any(traffic.receive_rates) else (),
    )
