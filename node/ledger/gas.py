"""Gas: what a transaction costs, known before it runs. One table for the templates that sign.

A transaction consumes the same gas whether it succeeds or fails: base + data + load + execution. Storage is paid by
words of eight bytes. Protocol 07-vm-and-transactions, section 3.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from protocol.types.templates import METHOD_DRAIN_VAULT, METHOD_SPAWN, METHOD_SPEND

TX = 20_000
SPAWN = 30_000
EDVERIFY = 3_000
"""One signature."""
ACCOUNT_ACCESS = 2_500

TXDATA = 128
"""A word of the raw transaction."""
STORE = 5_000
"""A word of new state."""
UPDATE = 725
"""A word of changed state."""
LOAD = 182
"""A word that is read."""

WORD_SIZE = 8
PUBLIC_KEY_SIZE = 32
ACCOUNT_HEADER_SIZE = 36
ACCOUNT_BALANCE_SIZE = 8
VAULT_STATE_SIZE = ACCOUNT_HEADER_SIZE + 56
DRAINED_SIZE = 8
"""What a drain changes in a vault beside its balance."""


def words(price: int, size_bytes: int) -> int:
    """The price of as many words as hold `size_bytes`."""
    return price * -(-size_bytes // WORD_SIZE)


def data_gas(size_bytes: int) -> int:
    """What a raw transaction of this size, signatures included, costs."""
    return TXDATA * -(-size_bytes // WORD_SIZE)


@dataclass(frozen=True, slots=True)
class Costs:
    """Gas of one account, by method."""

    base: Mapping[int, int]
    """Of the transaction and its signatures; `base + data` is the intrinsic gas."""
    load: int
    """Of reading the principal."""
    execution: Mapping[int, int]
    fixed: Mapping[int, int] = field(init=False)
    """load + execution."""

    def __post_init__(self) -> None:
        fixed = {method: self.load + gas for method, gas in self.execution.items()}
        object.__setattr__(self, "fixed", MappingProxyType(fixed))


EXEC_SPEND = (
    ACCOUNT_ACCESS
    + words(LOAD, ACCOUNT_BALANCE_SIZE)
    + words(UPDATE, ACCOUNT_HEADER_SIZE)
    + words(UPDATE, ACCOUNT_BALANCE_SIZE)
)
EXEC_DRAIN_VAULT = (
    ACCOUNT_ACCESS
    + words(LOAD, VAULT_STATE_SIZE)
    + words(UPDATE, ACCOUNT_HEADER_SIZE)
    + words(UPDATE, ACCOUNT_BALANCE_SIZE + DRAINED_SIZE)
)


@functools.cache
def of_keys(required: int, keys: int) -> Costs:
    """The costs of an account with that many keys, of which `required` sign; a wallet is (1, 1)."""
    signatures = EDVERIFY * required
    state = PUBLIC_KEY_SIZE * keys + ACCOUNT_HEADER_SIZE
    return Costs(
        base=MappingProxyType(
            {
                METHOD_SPAWN: TX + signatures + SPAWN,
                METHOD_SPEND: TX + signatures,
                METHOD_DRAIN_VAULT: TX + signatures,
            }
        ),
        load=ACCOUNT_ACCESS + words(LOAD, state),
        execution=MappingProxyType(
            {
                METHOD_SPAWN: words(STORE, state),
                METHOD_SPEND: EXEC_SPEND,
                METHOD_DRAIN_VAULT: EXEC_DRAIN_VAULT,
            }
        ),
    )


FREE = Costs(
    base=MappingProxyType({METHOD_SPAWN: 0, METHOD_SPEND: 0}),
    load=0,
    execution=MappingProxyType({METHOD_SPAWN: 0, METHOD_SPEND: 0}),
)
"""The costs of a vault: who relays to it has paid."""
