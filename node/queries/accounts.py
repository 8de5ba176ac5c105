"""Accounts, for those who ask from outside. Specified in protocol 10-api, sections 3.3, 3.7 and 4."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from node.ledger import state
from node.ledger.tables import ACCOUNTS, BY_CHANGE
from node.mempool import pool
from node.store.view import View
from protocol.types.ids import Address, LayerId
from protocol.types.transactions import Account

from .pages import ALL, Page


class Projection(NamedTuple):
    """An account behind everything that waits."""

    next_nonce: int
    balance: int
    """Smidge."""


def projected(view: View, address: Address) -> Projection:
    """What is left of an account behind its transactions that wait, by the rows alone. Raises StoreFault.

    It is what the mempool holds after a start on these rows. Before that it may hold less: a candidate that was dropped
    for a dearer one of an earlier nonce comes back only with the next layer.
    """
    return Projection(*pool.projection_of(view, address))


def page(view: View, addresses: Sequence[Address] = (), page: Page = ALL) -> Iterator[Account]:
    """Accounts, the last one that changed first, those of one layer by their addresses. Raises StoreFault.

    addresses: none of them is no filter; what is unknown is left out.
    """
    if addresses:
        found = [
            one for one in (state.account(view, address) for address in dict.fromkeys(addresses)) if one is not None
        ]
        yield from page.of(sorted(found, key=lambda account: (-account.layer, account.address)))
        return
    for _, address in page.of(view.find(BY_CHANGE)):
        account = view.get(ACCOUNTS, address)
        if account is not None:
            yield account


def everyone(view: View, layer: LayerId | None = None) -> Iterator[Account]:
    """All accounts, or all as they were after a layer, addresses ascending. Raises StoreFault."""
    return state.accounts(view, layer)
