"""The ledger's state as its rows have it: what it is, how it was, which rows a layer changes and a revert takes back.

Functions of a View read; those of Rows add to what one unit writes. Protocol 07-vm-and-transactions, section 4.4.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from node.ledger.errors import LayerRefused
from node.ledger.layer import LayerChanges
from node.ledger.state_hash import NO_LAYER
from node.ledger.tables import ACCOUNTS, EARLIER, LAST_APPLIED, LAYERS, RESULTS, REWARDS, AppliedLayer
from node.store.keys import ONLY
from node.store.view import BACKWARDS, Rows, Span, View
from protocol.types.ids import Address, Hash32, LayerId, TransactionId
from protocol.types.transactions import Account, Reward, TransactionResult


def account(view: View, address: Address, layer: LayerId | None = None) -> Account | None:
    """The newest version of an account, or the newest one at or before a layer; None where there is none."""
    newest = view.get(ACCOUNTS, address)
    if layer is None or newest is None or newest.layer <= layer:
        return newest
    found = view.first(EARLIER, Span(within=(address,), last=(address, layer), reverse=True))
    return None if found is None else found[1]


def accounts(view: View, layer: LayerId | None = None) -> Iterator[Account]:
    """All accounts, or all as they were at a layer, addresses ascending."""
    for address, newest in view.scan(ACCOUNTS):
        found = newest if layer is None or newest.layer <= layer else account(view, address, layer)
        if found is not None:
            yield found


def nonce_and_balance(view: View, address: Address) -> tuple[int, int]:
    """The next nonce of an account and its smidge."""
    found = view.get(ACCOUNTS, address)
    return (0, 0) if found is None else (found.next_nonce, found.balance)


def rewards(view: View, layer: LayerId | None = None) -> list[Reward]:
    """All rewards, or those of a layer: layers ascending, then smeshers."""
    return [reward for _, reward in view.scan(REWARDS, Span(within=None if layer is None else (layer,)))]


def result(view: View, id: TransactionId) -> TransactionResult | None:
    """What applying a transaction gave; None where it was not applied."""
    return view.get(RESULTS, id)


def state_hash(view: View, layer: LayerId) -> Hash32 | None:
    """Of one layer; None where it was not applied."""
    found = view.get(LAYERS, layer)
    return None if found is None else found.state_hash


def current_state_hash(view: View) -> Hash32:
    """The state hash of the latest layer that has one; zeros before the first layer."""
    found = view.first(LAYERS, BACKWARDS)
    return NO_LAYER if found is None else found[1].state_hash


def last_applied(view: View) -> LayerId | None:
    """The layer that was applied last; None where none was."""
    return view.get(LAST_APPLIED, ONLY)


def put_layer(rows: Rows, changes: LayerChanges) -> None:
    """What a layer changes, made over the state that `rows` show.

    Raises LayerRefused (duplicate_row), with nothing put, where the layer or a later one was applied already.
    """
    layer = changes.layer
    last = last_applied(rows)
    if last is not None and last >= layer:
        raise LayerRefused(
            f"Layer {layer} cannot be applied: layer {last} was applied already; revert first.", "duplicate_row"
        )
    executed = changes.results()
    rows.put_many(
        EARLIER, (((before.address, before.layer), before) for before in changes.before if before is not None)
    )
    rows.put_many(
        ACCOUNTS,
        ((after.address, after) for after in changes.accounts),
        {before.address: before for before in changes.before if before is not None},
    )
    rows.put_many(RESULTS, executed, {})
    rows.put_many(REWARDS, (((layer, reward.smesher_id), reward) for reward in changes.rewards), {})
    rows.put(
        LAYERS,
        layer,
        AppliedLayer(
            changes.state_hash,
            changes.block,
            tuple(after.address for after in changes.accounts),
            tuple(id for id, _ in executed),
        ),
    )
    rows.put(LAST_APPLIED, ONLY, layer)


def put_accounts(rows: Rows, start: Iterable[Account]) -> None:
    """The accounts with which a ledger begins, which no hash covers.

    Raises LayerRefused (duplicate_row) where one of them exists, or stands there twice.
    """
    for one in start:
        if rows.has(ACCOUNTS, one.address):
            raise LayerRefused(f"Account {one.address.hex()} is in the ledger already.", "duplicate_row")
        rows.put(ACCOUNTS, one.address, one)


def revert(rows: Rows, layer: LayerId) -> list[TransactionId]:
    """Take back all layers above one; which transactions are not applied any more, the first ones first."""
    reverted = list(rows.scan(LAYERS, Span(start=layer + 1)))
    if reverted:
        first = reverted[0][0]
        for address in {address: None for _, row in reverted for address in row.accounts}:
            _take_back(rows, Address(address), first)
    ids = [id for _, row in reverted for id in row.transactions]
    for id in ids:
        rows.delete(RESULTS, id)
    for key in rows.keys(REWARDS, Span(start=(layer + 1,))):
        rows.delete(REWARDS, key)
    for above, _ in reverted:
        rows.delete(LAYERS, above)
    last = last_applied(rows)
    if last is not None and last > layer:
        rows.put(LAST_APPLIED, ONLY, layer)
    return ids


def _take_back(rows: Rows, address: Address, first: LayerId) -> None:
    """Make the newest version before a layer the newest one."""
    rows.delete(ACCOUNTS, address)
    for key, before in rows.scan(EARLIER, Span(within=(address,), reverse=True)):
        rows.delete(EARLIER, key)
        if before.layer < first:
            rows.put(ACCOUNTS, address, before)
            return
