"""How accounts and results are written in the store: fixed places, by hand.

A layer of spends reads and writes some thousand of them, and the network's own form, read and written field by field,
takes four times as long. Nobody but this program's store ever sees these bytes.
"""

from __future__ import annotations

from struct import Struct
from struct import error as StructError
from typing import cast

from protocol.types.ids import ADDRESS_SIZE, Address
from protocol.types.transactions import Account, TransactionResult

_ACCOUNT = Struct("<I24sQQ?")
"""Layer, address, nonce, balance, whether a template (24 bytes) follows; the rest is the state."""
_TEMPLATE_END = _ACCOUNT.size + ADDRESS_SIZE
_RESULT = Struct("<BQQ20sIB")
"""Status, gas, fee, block, layer, number of addresses (24 bytes each) that follow; the rest is the message."""


class AccountRow:
    """Accounts as rows."""

    def encode(self, value: Account, /) -> bytes:
        """The row of an account. Raises ValueError for numbers that do not fit."""
        template = value.template
        try:
            head = _ACCOUNT.pack(value.layer, value.address, value.next_nonce, value.balance, template is not None)
        except StructError as error:
            raise ValueError(f"account {value.address.hex()} does not fit its row: {error}") from None
        return head + value.state if template is None else head + template + value.state

    def decode(self, data: bytes, /) -> Account:
        """The account of a row. Raises ValueError."""
        if len(data) < _ACCOUNT.size:
            raise ValueError(f"the row has {len(data)} bytes, expected {_ACCOUNT.size} or more")
        layer, address, next_nonce, balance, is_spawned = _ACCOUNT.unpack_from(data)
        if not is_spawned:
            return Account(layer, address, next_nonce, balance, None, data[_ACCOUNT.size :])
        if len(data) < _TEMPLATE_END:
            raise ValueError(f"the row has {len(data)} bytes, expected {_TEMPLATE_END} or more")
        template = Address(data[_ACCOUNT.size : _TEMPLATE_END])
        return Account(layer, address, next_nonce, balance, template, data[_TEMPLATE_END:])


class ResultRow:
    """Results as rows."""

    def encode(self, value: TransactionResult, /) -> bytes:
        """The row of a result. Raises ValueError for numbers that do not fit."""
        addresses = value.addresses
        try:
            head = _RESULT.pack(value.status, value.gas, value.fee, value.block, value.layer, len(addresses))
        except StructError as error:
            raise ValueError(f"a result of layer {value.layer} does not fit its row: {error}") from None
        return b"".join((head, *addresses, value.message.encode()))

    def decode(self, data: bytes, /) -> TransactionResult:
        """The result of a row. Raises ValueError."""
        if len(data) < _RESULT.size:
            raise ValueError(f"the row has {len(data)} bytes, expected {_RESULT.size} or more")
        status, gas, fee, block, layer, count = _RESULT.unpack_from(data)
        end = _RESULT.size + ADDRESS_SIZE * count
        if len(data) < end:
            raise ValueError(f"the row has {len(data)} bytes, expected {end} or more")
        addresses = tuple([data[at : at + ADDRESS_SIZE] for at in range(_RESULT.size, end, ADDRESS_SIZE)])
        message = data[end:].decode() if len(data) > end else ""
        return TransactionResult(status, message, gas, fee, block, layer, cast("tuple[Address, ...]", addresses))
