"""Transactions and their results as they go to clients: bytes, made once.

A page shows a hundred of them, with three or four messages in each, and the same ones are asked for again and again. On
the wire both packages are the same, so a list is put together from bytes that are kept. Protocol 10-api, section 4.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

from api.services.node.addresses import Addresses, addresses_of
from node.queries.transactions import KnownTransaction
from protocol.pb.spacemesh.v2alpha1.tx_pb2 import Transaction, TransactionResult
from protocol.types import transactions as types
from protocol.types.transactions import TransactionStatus, TxHeader

from .contents import show_contents

KEPT = 1 << 12
"""Transactions with their results: about a kilobyte each."""

_LIST_ITEM, _TX, _TX_RESULT, _TX_STATE = b"\x0a", b"\x0a", b"\x12", b"\x18"
"""Tags of `TransactionList.transactions` and of the fields of TransactionResponse."""
_STATUS: dict[int, TransactionResult.Status] = {
    TransactionStatus.SUCCESS: TransactionResult.TRANSACTION_STATUS_SUCCESS,
    TransactionStatus.FAILURE: TransactionResult.TRANSACTION_STATUS_FAILURE,
}


class _Shown:
    """The bytes of one transaction and its result, as far as they were asked for. Mutable."""

    __slots__ = ("result", "transaction")

    def __init__(self) -> None:
        self.transaction = b""
        self.result: tuple[types.TransactionResult | None, bytes] = (None, b"")
        """Of which the bytes are: it is another one where its layer was applied anew. Set at once, for threads."""


class Wire:
    """Transactions of a network."""

    def __init__(self, addresses: Addresses) -> None:
        self._addresses = addresses
        self._shown = lru_cache(KEPT)(lambda id, is_parsed: _Shown())

    def response(self, known: KnownTransaction, *, with_result: bool = False, state: int | None = None) -> bytes:
        """The bytes of a TransactionResponse. with_result: where there is one."""
        # the id says all of the bytes; a header may come later, but stays then as it is
        shown = self._shown(known.id, known.header is not None)
        if not shown.transaction:
            message = self.message(known.raw, known.header, known.id)
            shown.transaction = _TX + _with_length(message.SerializeToString())
        found = shown.transaction
        if with_result and known.result is not None:
            of, result = shown.result
            if of != known.result:
                result = _TX_RESULT + _with_length(self._result(known.result).SerializeToString())
                shown.result = known.result, result
            found += result
        return found if state is None else found + _TX_STATE + bytes((state,))

    def message(self, raw: bytes, header: TxHeader | None, id: bytes = b"") -> Transaction:
        """A transaction: id (where it is to be shown), bytes, header if it is known, and what the bytes say."""
        if header is None:
            shown = Transaction(id=id, raw=raw)
        else:
            shown = Transaction(
                id=id,
                principal=self._addresses.text(header.principal),
                template=self._addresses.text(header.template),
                method=header.method,
                max_gas=header.max_gas,
                gas_price=header.gas_price,
                max_spend=header.max_spend,
                raw=raw,
            )
            # set in place: a message that is handed over is copied
            shown.nonce.SetInParent()
            shown.nonce.counter = header.nonce
        show_contents(shown, raw, self._addresses)
        return shown

    def _result(self, result: types.TransactionResult) -> TransactionResult:
        return TransactionResult(
            status=_STATUS.get(result.status, TransactionResult.TRANSACTION_STATUS_UNSPECIFIED),
            message=result.message,
            gas_consumed=result.gas,
            fee=result.fee,
            block=result.block,
            layer=result.layer,
            touched_addresses=[self._addresses.text(address) for address in result.addresses],
        )


@lru_cache(maxsize=8)
def wire_of(hrp: str) -> Wire:
    """One for a network, whichever package asks: what is kept depends on nothing else."""
    return Wire(addresses_of(hrp))


def list_of(responses: Iterable[bytes]) -> bytes:
    """The bytes of a TransactionList."""
    return b"".join([_LIST_ITEM + _with_length(response) for response in responses])


def _with_length(data: bytes) -> bytes:
    """Bytes with their number before them, as protobuf writes it."""
    size, head = len(data), bytearray()
    while size > 0x7F:
        head.append(size & 0x7F | 0x80)
        size >>= 7
    head.append(size)
    return bytes(head) + data
