"""The state hash of a layer: of all accounts that it changed, in the order of their first change.

It is not cumulative: it says nothing of accounts that did not change. `Account.codec` says what is hashed; here it is
written out by hand, three times as fast, because a layer may change a hundred thousand accounts.
Protocol 07-vm-and-transactions, section 4.4.
"""

from __future__ import annotations

from collections.abc import Iterable

from blake3 import blake3

from protocol.codec.compact import ONE_BYTE, write_compact
from protocol.types.ids import Hash32
from protocol.types.transactions import Account

EMPTY = Hash32(blake3(b"").digest())
"""Of a layer that changed nothing."""
NO_LAYER = Hash32(bytes(32))
"""The current state hash before any layer was applied."""

_SMALL = len(ONE_BYTE)
"""Values below it take one byte."""
_WIDE = 1 << 30
"""Values from it on take a byte that tells their size, and as many bytes."""
_WIDE_SIZES = tuple(max(4, (bits + 7) // 8) + 1 for bits in range(65))
"""Bytes of a wide value, by its number of bits."""
_WIDE_HEADS = tuple((size - 5) << 2 | 3 for size in _WIDE_SIZES)


def state_hash(layer: int, accounts: Iterable[Account]) -> Hash32:
    """The hash of accounts that changed in a layer. Balances and nonces are below 2^64."""
    head = write_compact(layer, 32)
    pieces: list[bytes] = []
    for account in accounts:
        nonce = account.next_nonce
        balance = account.balance
        if balance >= _WIDE:
            bits = balance.bit_length()
            amount = (balance << 8 | _WIDE_HEADS[bits]).to_bytes(_WIDE_SIZES[bits], "little")
        else:
            amount = write_compact(balance, 64)
        state = account.state
        size = len(state)
        if account.template is not None:
            code = b"\1" + account.template + (ONE_BYTE[size] if size < _SMALL else write_compact(size, 32)) + state
        else:
            code = b"\0" + write_compact(size, 32) + state if state else b"\0\0"
        pieces += (head, account.address, ONE_BYTE[nonce] if nonce < _SMALL else write_compact(nonce, 64), amount, code)
    return Hash32(blake3(b"".join(pieces)).digest())
