"""TransactionService and its stream: transactions, what became of them, and new ones. Protocol 10-api, section 4.

The reference has no stream; here it tells of transactions that come in, then of their results.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

from google.protobuf.message import Message

from api.edge.rpc import Failed, Headers, Method, Status
from api.services.node.addresses import addresses_of
from api.services.node.backend import Backend
from api.services.node.events import TransactionAdded, TransactionDone
from api.services.node.reading import reading
from api.services.node.transactions import Transactions
from node.queries import transactions
from node.queries.pages import Layers, Page
from node.queries.transactions import KnownTransaction, State
from node.store.view import View
from protocol.pb.spacemesh.v2alpha1 import tx_pb2
from protocol.types.ids import Address, LayerId, TransactionId

from .far import read
from .package import Package
from .pages import DESC, ids_of, page_of
from .streams import stream_of
from .wire import list_of, wire_of

EMPTY = "transaction is empty"
_STATES = {
    State.UNKNOWN: tx_pb2.TRANSACTION_STATE_UNSPECIFIED,
    State.WAITING: tx_pb2.TRANSACTION_STATE_MEMPOOL,
    State.INSUFFICIENT_FUNDS: tx_pb2.TRANSACTION_STATE_INSUFFICIENT_FUNDS,
    State.CONFLICTING: tx_pb2.TRANSACTION_STATE_CONFLICTING,
    State.REJECTED: tx_pb2.TRANSACTION_STATE_REJECTED,
    State.INEFFECTUAL: tx_pb2.TRANSACTION_STATE_INEFFECTUAL,
    State.APPLIED: tx_pb2.TRANSACTION_STATE_PROCESSED,
}


def calls(backend: Backend, package: Package) -> dict[str, Method]:
    """The methods of TransactionService."""
    hrp = backend.config.main.network_hrp
    addresses, wire, clients = addresses_of(hrp), wire_of(hrp), Transactions(backend)

    async def list_(request: Any) -> Any:
        address = addresses.parse(request.address) if request.HasField("address") else None
        ids, page = ids_of(request, "txid"), page_of(request)
        if ids is None:
            return package.TransactionList()
        layers = Layers(_bound(request, "start_layer"), _bound(request, "end_layer"))
        is_descending, with_result = request.sort_order == DESC, request.include_result

        def found(view: View, page: Page) -> bytes:
            rows = transactions.page(
                view, address=address, ids=ids, layers=layers, is_descending=is_descending, page=page
            )
            if not request.include_state:
                return list_of(wire.response(one, with_result=with_result) for one in rows)
            return list_of(
                wire.response(one, with_result=with_result, state=_STATES[transactions.state(view, one)])
                for one in rows
            )

        return package.TransactionList.FromString(await read(backend, page, found))

    async def parse(request: Any) -> Any:
        parsed = clients.parse(_required(request), verify=request.verify)
        shown = wire.message(request.transaction, parsed.header)
        return package.ParseTransactionResponse(tx=package.Transaction.FromString(shown.SerializeToString()))

    async def submit(request: Any) -> Any:
        answer = package.SubmitTransactionResponse(tx_id=await clients.submit(_required(request)))
        answer.status.SetInParent()  # of code OK
        return answer

    async def estimate(request: Any) -> Any:
        parsed = clients.parse(_required(request))
        return package.EstimateGasResponse(recommended_max_gas=parsed.max_gas)

    return {"List": list_, "ParseTransaction": parse, "SubmitTransaction": submit, "EstimateGas": estimate}


def stream_calls(backend: Backend, package: Package) -> dict[str, Method]:
    """The methods of TransactionStreamService."""
    hrp = backend.config.main.network_hrp
    addresses, wire = addresses_of(hrp), wire_of(hrp)

    def shown(view: View, known: KnownTransaction) -> Message:
        state = _STATES[transactions.state(view, known)]
        message: Message = package.TransactionResponse.FromString(wire.response(known, with_result=True, state=state))
        return message

    def stream(request: Any) -> AsyncIterator[Message | Headers]:
        principal = addresses.parse(request.principal) if request.HasField("principal") else None
        ids = ids_of(request, "txid")
        layers = Layers(LayerId(request.start_layer) if request.start_layer else None, _bound(request, "end_layer"))

        def rows(view: View) -> Iterator[Message]:
            return iter(()) if ids is None else (shown(view, one) for one in _rows(view, principal, ids, layers))

        def live(event: TransactionAdded | TransactionDone) -> Message | None:
            if ids is None or (ids and event.id not in ids):
                return None
            with reading(backend) as view:
                known = transactions.find(view, event.id)
                return shown(view, known) if known is not None and _meets(known, principal, layers) else None

        def is_among(view: View, event: TransactionAdded | TransactionDone) -> bool:
            known = transactions.find(view, event.id)
            return known is not None and (isinstance(event, TransactionAdded) or known.result is not None)

        return stream_of(
            backend,
            rows,
            watch=request.watch,
            kinds=(TransactionAdded, TransactionDone),
            live=live,
            is_among=is_among,
        )

    return {"Stream": stream}


def _bound(request: Any, field: str) -> LayerId | None:
    """A bound that may be 0."""
    return LayerId(getattr(request, field)) if request.HasField(field) else None


def _required(request: Any) -> bytes:
    """Raises Failed."""
    raw: bytes = request.transaction
    if not raw:
        raise Failed(Status.INVALID_ARGUMENT, EMPTY)
    return raw


def _rows(
    view: View, principal: Address | None, ids: list[TransactionId], layers: Layers
) -> Iterator[KnownTransaction]:
    """The transactions of a stream; a filter over principals needs no other index than that of one account's."""
    if ids or principal is None:
        found = transactions.page(view, ids=ids, layers=layers)
    else:
        found = transactions.of_principal(view, principal, layers)
    return (one for one in found if _meets(one, principal, layers))


def _meets(known: KnownTransaction, principal: Address | None, layers: Layers) -> bool:
    if not layers.is_all and (known.layer is None or known.layer not in layers):
        return False
    return principal is None or (known.header is not None and known.header.principal == principal)
