"""A node's public API, as a wallet asks it: one call at a time, pages one after another.

Works with ours and with the original, by `spacemesh.v2alpha1` and `v1`. Specified in protocol 10-api, sections 3 and 4.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from types import TracebackType
from typing import TypeVar

import grpc
from google.protobuf.message import Message

from api.edge.errors import EnvironmentFault, Failure, UsageError
from api.edge.text import escaped
from protocol.pb.spacemesh.v1 import mesh_types_pb2, node_types_pb2, types_pb2
from protocol.pb.spacemesh.v2alpha1 import account_pb2, network_pb2, reward_pb2, tx_pb2

T = TypeVar("T", bound=Message)

TIMEOUT_S = 30.0
"""For one call."""
PAGE = 100
"""The most that a node gives at once."""
TLS_PORT = ":443"
MOST_BYTES = 64 << 20
"""Of one answer."""
V1, V2 = "spacemesh.v1", "spacemesh.v2alpha1"


class PublicApi:
    """The calls. Use as a context manager."""

    def __init__(self, target: str, *, is_encrypted: bool | None = None) -> None:
        """target: host and port; is_encrypted: by TLS; None: where the port is 443."""
        self._target = target
        options = [("grpc.max_receive_message_length", MOST_BYTES)]
        if target.endswith(TLS_PORT) if is_encrypted is None else is_encrypted:
            self._channel = grpc.secure_channel(target, grpc.ssl_channel_credentials(), options)
        else:
            self._channel = grpc.insecure_channel(target, options)

    def __enter__(self) -> PublicApi:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._channel.close()

    def network(self) -> network_pb2.NetworkInfoResponse:
        """Genesis, times and prefix of the network. Raises EnvironmentFault, UsageError, as all calls do."""
        asked, answer = network_pb2.NetworkInfoRequest(), network_pb2.NetworkInfoResponse
        return self._call(f"/{V2}.NetworkService/Info", asked, answer)

    def account(self, address: str) -> account_pb2.Account | None:
        """An account as it is; None where there is none."""
        request = account_pb2.AccountRequest(addresses=[address], limit=1)
        found = self._call(f"/{V2}.AccountService/List", request, account_pb2.AccountList).accounts
        return found[0] if found else None

    def transactions(self, address: str) -> Iterator[tx_pb2.TransactionResponse]:
        """All applied transactions that have touched an account, in the order of layers, with their results."""
        for offset in count(step=PAGE):
            request = tx_pb2.TransactionRequest(
                address=address, offset=offset, limit=PAGE, include_result=True, include_state=True
            )
            found = self._call(f"/{V2}.TransactionService/List", request, tx_pb2.TransactionList).transactions
            yield from found
            if len(found) < PAGE:
                return

    def rewards(self, address: str) -> Iterator[reward_pb2.Reward]:
        """All rewards of a coinbase, in the order of layers."""
        for offset in count(step=PAGE):
            request = reward_pb2.RewardRequest(coinbase=address, offset=offset, limit=PAGE)
            found = self._call(f"/{V2}.RewardService/List", request, reward_pb2.RewardList).rewards
            yield from found
            if len(found) < PAGE:
                return

    def waiting(self, address: str) -> list[tx_pb2.TransactionResponse]:
        """Transactions that an account is to pay and that no layer has applied, with what became of them."""
        status = self._call(f"/{V1}.NodeService/Status", node_types_pb2.StatusRequest(), node_types_pb2.StatusResponse)
        request = mesh_types_pb2.AccountMeshDataQueryRequest(
            filter=mesh_types_pb2.AccountMeshDataFilter(
                account_id=types_pb2.AccountId(address=address),
                account_mesh_data_flags=mesh_types_pb2.ACCOUNT_MESH_DATA_FLAG_TRANSACTIONS,
            ),
            min_layer=types_pb2.LayerNumber(number=status.status.synced_layer.number),
        )
        answer = mesh_types_pb2.AccountMeshDataQueryResponse
        found = [
            one.mesh_transaction for one in self._call(f"/{V1}.MeshService/AccountMeshDataQuery", request, answer).data
        ]
        ids = [one.transaction.id for one in found if not one.layer_id.number]
        asked = (ids[first : first + PAGE] for first in range(0, len(ids), PAGE))
        return [
            one
            for some in asked
            for one in self._call(
                f"/{V2}.TransactionService/List",
                tx_pb2.TransactionRequest(txid=some, limit=PAGE, include_result=True, include_state=True),
                tx_pb2.TransactionList,
            ).transactions
            if not one.HasField("tx_result")  # else a layer has applied it meanwhile
        ]

    def _call(self, method: str, request: Message, answer: type[T]) -> T:
        call = self._channel.unary_unary(
            method, request_serializer=type(request).SerializeToString, response_deserializer=answer.FromString
        )
        try:
            found: T = call(request, timeout=TIMEOUT_S)
        except grpc.RpcError as error:
            raise _fault(self._target, method, error) from None
        return found


def _fault(target: str, method: str, error: grpc.RpcError) -> Failure:
    """What a call that failed means."""
    code, text = error.code(), escaped(error.details() or "")
    if code is grpc.StatusCode.INVALID_ARGUMENT:
        return UsageError(f"The node {target} does not take the question: {text}.")
    if code is grpc.StatusCode.UNIMPLEMENTED:
        return UsageError(
            f"The node {target} does not offer {method.strip('/')}: it is of an older release, or private."
        )
    if code is grpc.StatusCode.UNAVAILABLE:
        return EnvironmentFault(
            f"The node {target} cannot be reached: {text}. Is it running, and is that its public API?"
        )
    if code is grpc.StatusCode.DEADLINE_EXCEEDED:
        return EnvironmentFault(f"The node {target} has not answered {method.strip('/')} within {TIMEOUT_S:.0f} s.")
    return EnvironmentFault(f"The node {target} failed at {method.strip('/')}: {code.name}, {text}.")
