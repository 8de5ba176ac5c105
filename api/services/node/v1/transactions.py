"""`TransactionService`: transactions handed in, what they mean, what becomes of them. Specified in protocol 10-api,
sections 3.4 and 9.

Better than the reference: a stream of states begins with those that are known, tells each change once, and says
PROCESSED when tortoise has confirmed the layer; a transaction that was refused here is not unknown.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from typing import Any

from google.protobuf.message import Message

from api.edge.rpc import Headers, Method
from api.services.node.backend import Backend
from api.services.node.events import LayerStatus, LayerUpdated, TransactionAdded, TransactionDone
from api.services.node.reading import reading
from api.services.node.refusals import Refusal, refusals_of
from api.services.node.transactions import Transactions
from node.ledger import state as ledger
from node.mempool.tables import HELD, IN_BLOCK, TRANSACTIONS
from node.queries import transactions as queries
from node.queries.pages import Layers
from node.queries.transactions import KnownTransaction, State
from node.store.view import Span, View
from protocol.pb.spacemesh.v1 import tx_types_pb2 as pb
from protocol.pb.spacemesh.v1 import types_pb2
from protocol.types.ids import NO_LAYER, Address, LayerId, TransactionId
from protocol.types.transactions import transaction_id

from .bounds import Room, unhurried
from .convert import Convert
from .following import QUEUE, Once, following
from .parts import in_parts
from .requests import address_of, invalid

ID_SIZE = 32
RESULTS_QUEUE = 1024
"""Results that may wait for a client."""
RESULTS_PART = 250
IDS_AT_ONCE = 200
"""Transactions that are looked up before other clients have their turn."""

_Said = pb.TransactionState

_STATES: Mapping[State, pb.TransactionState.TransactionState] = {
    State.UNKNOWN: _Said.TRANSACTION_STATE_UNSPECIFIED,
    State.WAITING: _Said.TRANSACTION_STATE_MEMPOOL,
    State.INSUFFICIENT_FUNDS: _Said.TRANSACTION_STATE_INSUFFICIENT_FUNDS,
    State.CONFLICTING: _Said.TRANSACTION_STATE_CONFLICTING,
    State.REJECTED: _Said.TRANSACTION_STATE_REJECTED,
    State.INEFFECTUAL: _Said.TRANSACTION_STATE_INEFFECTUAL,
    State.APPLIED: _Said.TRANSACTION_STATE_PROCESSED,
}
_REFUSED: Mapping[Refusal, pb.TransactionState.TransactionState] = {
    Refusal.REJECTED: _Said.TRANSACTION_STATE_REJECTED,
    Refusal.INSUFFICIENT_FUNDS: _Said.TRANSACTION_STATE_INSUFFICIENT_FUNDS,
    Refusal.CONFLICTING: _Said.TRANSACTION_STATE_CONFLICTING,
}


def calls(backend: Backend) -> dict[str, Method]:
    """The methods by their names."""
    service = TransactionService(backend)
    return {
        "SubmitTransaction": service.submit,
        "ParseTransaction": service.parse,
        "TransactionsState": service.states,
        "TransactionsStateStream": service.state_stream,
        "StreamResults": service.results,
    }


class TransactionService:
    """The methods over one node."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._hrp = backend.config.main.network_hrp
        self._convert = Convert(self._hrp)
        self._transactions = Transactions(backend)
        self._refusals = refusals_of(backend)
        self._results = Once(self._done, RESULTS_QUEUE)

    # ---- one answer ----

    async def submit(self, request: pb.SubmitTransactionRequest) -> Message:
        """Gives a transaction to the mempool and the network. Raises Failed."""
        if not request.transaction:
            raise invalid("`Transaction` payload empty")
        id = await self._transactions.submit(request.transaction)
        answer = pb.SubmitTransactionResponse(txstate=_state(id, _Said.TRANSACTION_STATE_MEMPOOL))
        answer.status.SetInParent()  # all zeros: OK
        return answer

    async def parse(self, request: pb.ParseTransactionRequest) -> Message:
        """What a transaction means for its principal as it stands now. Raises Failed."""
        raw = request.transaction
        if not raw:
            raise invalid("empty transaction")
        parsed = self._transactions.parse(raw, verify=request.verify)
        return pb.ParseTransactionResponse(tx=self._convert.transaction(transaction_id(raw), raw, parsed.header))

    async def states(self, request: pb.TransactionsStateRequest) -> Message:
        """What became of transactions, one state for each id, in their order. Raises Failed."""
        answer = pb.TransactionsStateResponse()
        room = Room(self._backend.config.api.grpc_send_msg_size, "the transactions")
        ids = _ids(request)
        with reading(self._backend) as view:
            async for asked in unhurried(ids, IDS_AT_ONCE):
                known = queries.find(view, TransactionId(asked)) if len(asked) == ID_SIZE else None
                answer.transactions_state.append(room.take(_state(asked, self._became(view, asked, known))))
                if request.include_transactions:
                    answer.transactions.append(room.take(self._shown(known)))
        return answer

    # ---- streams ----

    async def state_stream(self, request: pb.TransactionsStateStreamRequest) -> AsyncIterator[Message | Headers]:
        """The states of transactions that are known, then every change. Raises Failed."""
        told = dict.fromkeys(_ids(request), _STATES[State.UNKNOWN])
        kinds: list[type[TransactionAdded | LayerUpdated]] = [TransactionAdded, LayerUpdated]
        with self._backend.bus.subscribe(*kinds, size=QUEUE) as subscription:
            yield Headers.NOW
            async for one in self._changed(told, list(told), request):
                yield one
            confirmed = NO_LAYER
            async for event in following(subscription):
                if isinstance(event, LayerUpdated):
                    changed = [] if event.status is LayerStatus.OPENED else list(told)
                    if event.status is LayerStatus.CONFIRMED:
                        confirmed = event.layer  # the facts may say so a moment later
                else:
                    changed = [event.id] if event.id in told else []
                async for one in self._changed(told, changed, request, confirmed):
                    yield one

    async def results(self, request: pb.TransactionResultsRequest) -> AsyncIterator[Message | Headers]:
        """What layers have executed, layers ascending, then ids; and what they will, where that is watched for.

        Raises Failed.
        """
        wanted = _Wanted(request, self._hrp)
        if not request.watch:
            for part in in_parts(self._backend, wanted.behind, RESULTS_PART):
                for known in part:
                    yield self._result(known)
            return
        with self._backend.bus.subscribe(TransactionDone, size=RESULTS_QUEUE) as subscription:
            yield Headers.NOW
            with reading(self._backend) as view:
                newest = ledger.last_applied(view) or NO_LAYER
            for part in in_parts(self._backend, wanted.behind, RESULTS_PART):
                for known in part:
                    newest = max(newest, known.layer or NO_LAYER)
                    yield self._result(known)
            is_new = False
            async for event in following(subscription):
                # what comes behind the first new layer is new, also a layer that is executed once more
                is_new = is_new or event.result.layer > newest
                if is_new and wanted.takes(event):
                    found = self._results.of(event)
                    if found is not None:
                        yield found

    async def _changed(
        self,
        told: dict[bytes, pb.TransactionState.TransactionState],
        ids: Iterable[bytes],
        request: pb.TransactionsStateStreamRequest,
        confirmed: LayerId = NO_LAYER,
    ) -> AsyncIterator[Message]:
        """The states of those that are others than they were told."""
        async for asked in unhurried(ids, IDS_AT_ONCE):
            with reading(self._backend) as view:
                known = queries.find(view, TransactionId(asked)) if len(asked) == ID_SIZE else None
                state = self._how_far(view, asked, known, confirmed)
            if state != told[asked]:
                told[asked] = state
                yield pb.TransactionsStateStreamResponse(
                    transaction_state=_state(asked, state),
                    transaction=self._shown(known) if request.include_transactions else None,
                )

    def _became(self, view: View, asked: bytes, known: KnownTransaction | None) -> pb.TransactionState.TransactionState:
        """What became of a transaction; of one that is not here, why it was refused."""
        if known is None:
            refusal = self._refusals.of(TransactionId(asked))
            return _STATES[State.UNKNOWN] if refusal is None else _REFUSED[refusal]
        return _STATES[queries.state(view, known)]

    def _how_far(
        self, view: View, asked: bytes, known: KnownTransaction | None, confirmed: LayerId
    ) -> pb.TransactionState.TransactionState:
        """Finer than the one answer: in the mesh is what a block holds that is still to be applied, and what has been
        applied in a layer that tortoise has not confirmed."""
        state, facts = self._became(view, asked, known), self._backend.facts
        if known is None:
            return state
        if state == _Said.TRANSACTION_STATE_MEMPOOL:
            blocks = Span(within=(known.id, IN_BLOCK), start=(known.id, IN_BLOCK, facts.applied + 1))
            is_in_mesh = next(view.keys(HELD, blocks), None) is not None
        else:
            is_in_mesh = known.layer is not None and known.layer > max(facts.verified, confirmed)
        return _Said.TRANSACTION_STATE_MESH if is_in_mesh else state

    def _shown(self, known: KnownTransaction | None) -> types_pb2.Transaction:
        return types_pb2.Transaction() if known is None else self._convert.stored(known.id, known.stored)

    def _result(self, known: KnownTransaction) -> pb.TransactionResult:
        assert known.result is not None, "only those are asked for that were applied"
        return self._convert.result(known.id, known.stored, known.result)

    def _done(self, event: TransactionDone) -> pb.TransactionResult | None:
        with reading(self._backend) as view:
            stored = view.get(TRANSACTIONS, event.id)
        return None if stored is None else self._convert.result(event.id, stored, event.result)


class _Wanted:
    """Which results a client asks for. Raises Failed."""

    def __init__(self, request: pb.TransactionResultsRequest, hrp: str) -> None:
        if request.watch and request.end:
            raise invalid("watch stream should have an empty End argument")
        self._address: Address | None = None
        if request.address:
            self._address = address_of(request.address, hrp, "failed to parse in.Address")
        self._id = TransactionId(request.id) if request.id else None
        self._start, self._end = LayerId(request.start), LayerId(request.end) if request.end else None

    def behind(self, view: View, last: KnownTransaction | None) -> Iterator[KnownTransaction]:
        """What layers have executed; last: behind which one."""
        if self._id is not None and len(self._id) != ID_SIZE:
            return
        behind = (-1, b"") if last is None else (last.layer or NO_LAYER, last.id)
        layers = Layers(LayerId(max(self._start, behind[0])), self._end)
        for known in queries.results(view, address=self._address, id=self._id, layers=layers):
            if (known.layer or NO_LAYER, known.id) > behind:
                yield known

    def takes(self, event: TransactionDone) -> bool:
        """Whether a new one is asked for."""
        result = event.result
        return (
            result.layer >= self._start
            and (self._id is None or event.id == self._id)
            and (self._address is None or self._address in result.addresses)
        )


def _ids(request: Any) -> list[bytes]:
    if not request.transaction_id:
        raise invalid("`TransactionId` must include one or more transaction IDs")
    return [one.id for one in request.transaction_id]


def _state(id: bytes, state: pb.TransactionState.TransactionState) -> pb.TransactionState:
    return pb.TransactionState(id=types_pb2.TransactionId(id=id), state=state)
