"""Every page by an index is what filtering and sorting all rows gives."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, composite

from node.activation.tables import ATXS
from node.ledger.tables import ACCOUNTS, RESULTS, REWARDS
from node.mempool.tables import TRANSACTIONS
from node.queries import accounts, activations, layers, rewards, transactions
from node.queries.pages import ALL, Layers, Page
from node.store.view import View
from protocol.types.ids import Address, NodeId, TransactionId
from tests.support.imported_chain import ImportedChain

T = TypeVar("T")

bounds = st.builds(Layers, st.none() | st.integers(0, 70), st.none() | st.integers(0, 70))
parts = st.builds(Page, st.integers(0, 40), st.none() | st.integers(0, 40)) | st.just(ALL)


def cut(found: Sequence[T], page: Page) -> list[T]:
    """A part of all."""
    return list(found[page.offset : None if page.limit is None else page.offset + page.limit])


@composite
def some_of(draw: DrawFn, known: Sequence[bytes]) -> list[Any]:
    """Some known keys, perhaps twice, and one that is not known."""
    return draw(st.lists(st.sampled_from([*known, bytes(len(known[0]))]), max_size=6))


@given(data=st.data(), limits=bounds, page=parts, is_descending=st.booleans())
def test_transactions(view: View, data: st.DataObject, limits: Layers, page: Page, is_descending: bool) -> None:
    known = [transactions.find(view, id) for id in view.keys(TRANSACTIONS)]
    everything = [one for one in known if one is not None]
    addresses = sorted({address for _, result in view.scan(RESULTS) for address in result.addresses})
    address = data.draw(st.none() | st.sampled_from([*addresses, Address(bytes(24))]))
    ids = data.draw(st.just([]) | some_of([one.id for one in everything]))

    def is_asked_for(one: transactions.KnownTransaction) -> bool:
        touched = one.result.addresses if one.result else ()
        return (
            (address is None or address in touched)
            and (not ids or one.id in ids)
            and (limits.is_all or (one.layer is not None and one.layer in limits))
        )

    def place(one: transactions.KnownTransaction) -> tuple[int, TransactionId]:
        layer = -1 if one.layer is None else one.layer
        return -layer if is_descending else layer, one.id

    expected = sorted(filter(is_asked_for, everything), key=place)
    found = transactions.page(view, address=address, ids=ids, layers=limits, is_descending=is_descending, page=page)
    assert list(found) == cut(expected, page)


@given(data=st.data(), limits=bounds)
def test_results(view: View, data: st.DataObject, limits: Layers) -> None:
    everything = sorted((result.layer, id, result) for id, result in view.scan(RESULTS))
    address = data.draw(st.none() | st.sampled_from(sorted({one for *_, r in everything for one in r.addresses})))
    id = data.draw(st.none() | st.sampled_from([one for _, one, _ in everything] + [TransactionId(bytes(32))]))
    expected = [
        one
        for layer, one, result in everything
        if layer in limits and (address is None or address in result.addresses) and (id is None or one == id)
    ]
    assert [one.id for one in transactions.results(view, address=address, id=id, layers=limits)] == expected


@given(data=st.data(), limits=bounds, page=parts)
def test_transactions_of_a_principal(view: View, data: st.DataObject, limits: Layers, page: Page) -> None:
    known = [transactions.find(view, id) for id in view.keys(TRANSACTIONS)]
    everything = [one for one in known if one is not None and one.header is not None]
    principal = data.draw(st.sampled_from(sorted({one.header.principal for one in everything if one.header})))
    mine = [one for one in everything if one.header is not None and one.header.principal == principal]
    expected = [one.id for one in mine if one.layer is None or one.layer in limits]
    found = list(transactions.of_principal(view, principal, limits))
    assert sorted(one.id for one in found) == sorted(expected)
    assert [one.layer for one in found] == sorted((one.layer for one in found), key=lambda at: -1 if at is None else at)
    assert list(transactions.of_principal(view, principal, limits, page)) == cut(found, page)


@given(data=st.data(), limits=bounds, page=parts, is_descending=st.booleans())
def test_rewards(view: View, data: st.DataObject, limits: Layers, page: Page, is_descending: bool) -> None:
    everything = [reward for _, reward in view.scan(REWARDS)]
    whose: dict[str, Any] = data.draw(
        st.just({})
        | st.sampled_from(sorted({reward.smesher_id for reward in everything})).map(lambda one: {"smesher": one})
        | st.sampled_from(sorted({reward.coinbase for reward in everything})).map(lambda one: {"coinbase": one})
    )
    expected = [
        reward
        for reward in everything
        if reward.layer in limits
        and whose.get("smesher", reward.smesher_id) == reward.smesher_id
        and whose.get("coinbase", reward.coinbase) == reward.coinbase
    ]
    found = list(rewards.page(view, **whose, layers=limits, is_descending=is_descending))
    assert sorted(found, key=_place) == sorted(expected, key=_place)
    of_layers = [reward.layer for reward in found]
    assert of_layers == sorted(of_layers, reverse=is_descending)
    part = rewards.page(view, **whose, layers=limits, is_descending=is_descending, page=page)
    assert list(part) == cut(found, page)


def _place(reward: Any) -> tuple[int, NodeId]:
    return reward.layer, reward.smesher_id


@given(data=st.data(), page=parts)
def test_accounts(view: View, data: st.DataObject, page: Page) -> None:
    everything = sorted((account for _, account in view.scan(ACCOUNTS)), key=lambda one: (-one.layer, one.address))
    addresses = data.draw(st.just([]) | some_of([one.address for one in everything]))
    expected = [one for one in everything if not addresses or one.address in addresses]
    assert list(accounts.page(view, addresses, page)) == cut(expected, page)


@given(data=st.data(), page=parts)
def test_activations(view: View, data: st.DataObject, page: Page) -> None:
    everything = [activations.KnownAtx(id, row) for id, row in view.scan(ATXS)]
    smeshers = data.draw(st.just([]) | some_of(sorted({one.stored.smesher for one in everything})))
    ids = data.draw(st.just([]) | some_of([one.id for one in everything]))
    coinbase = data.draw(st.none() | st.sampled_from(sorted({one.stored.coinbase for one in everything})))
    first, last = data.draw(st.tuples(st.none() | st.integers(0, 9), st.none() | st.integers(0, 9)))
    expected = sorted(
        (
            one
            for one in everything
            if (not smeshers or one.stored.smesher in smeshers)
            and (not ids or one.id in ids)
            and (coinbase is None or one.stored.coinbase == coinbase)
            and (first is None or first <= one.stored.publish_epoch)
            and (last is None or one.stored.publish_epoch <= last)
        ),
        key=lambda one: (one.stored.publish_epoch, one.id),
    )
    found = activations.page(view, smeshers=smeshers, ids=ids, coinbase=coinbase, first=first, last=last, page=page)
    assert list(found) == cut(expected, page)


def test_activations_are_counted_as_they_are_published(view: View) -> None:
    epochs = [row.publish_epoch for _, row in view.scan(ATXS)]
    assert activations.count(view) == len(epochs)
    assert [activations.count(view, epoch) for epoch in range(10)] == [epochs.count(epoch) for epoch in range(10)]


def test_the_highest_activation_is_of_the_two_newest_epochs(view: View) -> None:
    newest = max(row.publish_epoch for _, row in view.scan(ATXS))
    recent = [row for _, row in view.scan(ATXS) if row.publish_epoch >= newest - 1]
    highest = activations.highest(view)
    assert highest is not None
    assert highest.stored.height == max(row.height for row in recent)


@given(limits=bounds, page=parts, is_descending=st.booleans())
def test_layers(chain: ImportedChain, view: View, limits: Layers, page: Page, is_descending: bool) -> None:
    rows = {row["layer"]: row for row in chain.document["layers"]}
    genesis = chain.parameters.time.effective_genesis
    expected = [layer for layer in sorted(rows, reverse=is_descending) if layer in limits]
    found = list(layers.page(view, genesis, limits, is_descending, page))
    assert [one.layer for one in found] == cut(expected, page)
    for one in found:
        row = rows[one.layer]
        said = one.weak_coin, one.state_hash, one.mesh_hash
        assert said == (
            None if row["weak_coin"] is None else bool(row["weak_coin"]),
            _optional(row["state_hash"]),
            _optional(row["aggregated_hash"]),
        )


def _optional(text: str | None) -> bytes | None:
    return None if text is None else bytes.fromhex(text)
