"""Rows of the reference's state come to ours and back as they were; what contradicts itself is refused by name."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

import pytest

from node.checkpoint.tables import RESTORED
from node.ledger import state
from node.malfeasance import tables as malfeasance
from node.migration import records
from node.migration.errors import MigrationError
from node.migration.give import state_records
from node.migration.take import Taker, take_all
from node.store.check import check_rows
from node.store.keys import ONLY
from node.store.memory import MemoryBackend
from node.store.stores import Stores
from node.store.view import Rows
from node.sync.tables import LAST_LAYER
from protocol.types.ids import LayerId, NodeId
from tests.support.imported_chain import chain_records, imported_chain
from tests.support.node_stores import stores_over

CHAIN = imported_chain()
GENESIS = CHAIN.parameters.time.effective_genesis
RECORDS = list(chain_records(CHAIN.document))


def taken(given: Iterable[records.StateRecord], at_once: int = 100) -> Stores:
    stores = stores_over((MemoryBackend(), MemoryBackend()))
    assert list(take_all(stores, Taker(), given, at_once))
    return stores


def everything(stores: Stores) -> list[tuple[bytes, bytes]]:
    return list(stores.state.snapshot().scan(b"", None, False))


def of(kind: type[Any], **columns: Any) -> Any:
    """The first record of a kind with these columns."""
    return next(
        one
        for one in RECORDS
        if isinstance(one, kind) and all(getattr(one, name) == value for name, value in columns.items())
    )


def changed(before: Any, **columns: Any) -> list[records.StateRecord]:
    """All records, one of them with other columns."""
    return [before._replace(**columns) if one is before else one for one in RECORDS]


def test_records_come_back() -> None:
    given = list(state_records(CHAIN.stores.view(), GENESIS))
    derived = [one for one in given if isinstance(one, records.TransactionAddress)]
    assert Counter(given) == Counter([*RECORDS, *derived])
    addresses = {(one.address, one.tid) for one in derived}
    recorded = [one for one in RECORDS if isinstance(one, records.Transaction) and one.result]
    assert {tid for _, tid in addresses} == {one.id for one in recorded}
    assert everything(taken(given)) == everything(CHAIN.stores)


def test_records_are_given_in_the_order_in_which_they_are_taken() -> None:
    kinds = [type(one) for one in state_records(CHAIN.stores.view(), GENESIS)]
    places = [records.STATE.index(kind) for kind in dict.fromkeys(kinds) if kind is not records.ProposalTransaction]
    assert places == sorted(places)


@pytest.mark.parametrize("at_once", [1, 7, 10**6])
def test_the_size_of_units_changes_nothing(at_once: int) -> None:
    assert everything(taken(RECORDS, at_once)) == everything(CHAIN.stores)


def test_the_order_of_the_versions_of_an_account_changes_nothing() -> None:
    is_account = [isinstance(one, records.Account) for one in RECORDS]
    backwards = iter([one for one in reversed(RECORDS) if isinstance(one, records.Account)])
    given = [next(backwards) if is_one else one for one, is_one in zip(RECORDS, is_account)]
    assert everything(taken(given)) == everything(CHAIN.stores)


def test_the_state_is_that_of_the_record() -> None:
    view = CHAIN.stores.view()
    for row in CHAIN.document["layers"]:
        expected = None if row["state_hash"] is None else bytes.fromhex(row["state_hash"])
        assert state.state_hash(view, row["layer"]) == expected
    processed = max(row["layer"] for row in CHAIN.document["layers"] if row["processed"])
    assert view.get(LAST_LAYER, ONLY) == processed
    assert state.last_applied(view) == max(row["layer"] for row in CHAIN.document["layers"] if row["state_hash"])


def test_what_a_checkpoint_left_is_taken_and_given_back() -> None:
    atx = of(records.Atx)._replace(atx=None, version=None, weight=None, received=0)
    account = records.Account(b"\1" * 24, 5, 0, 175, None, None)
    layer = records.Layer(175, None, 1, bytes(20), None, bytes(32))
    given = [records.Recovery(176), atx, account, layer]
    view = taken(given).view()
    assert (view.get(RESTORED, ONLY), state.last_applied(view)) == (176, 175)
    assert list(state_records(view, LayerId(175))) == given


def test_marriages_keep_their_order_and_malice_becomes_a_mark() -> None:
    identities = [bytes([number]) * 32 for number in (3, 1, 2)]
    given: list[records.StateRecord] = [
        records.Marriage(one, 4, b"\7" * 32, index, identities[0], bytes([index]) * 64)
        for index, one in enumerate(identities)
    ]
    convicted = records.Malfeasance(identities[1], 4, 9, None, None)
    view = taken([*given, records.Identity(b"\5" * 32, b"proof", 8), convicted]).view()
    found = list(state_records(view, GENESIS))
    assert [one for one in found if isinstance(one, records.Marriage)] == given
    assert [one for one in found if isinstance(one, records.Identity)] == [records.Identity(b"\5" * 32, b"proof", 8)]
    assert malfeasance.malicious(view) == [identities[1], NodeId(b"\5" * 32)]


def test_a_nonce_that_is_not_said_is_the_one_before() -> None:
    first, *_, last = sorted(
        (one for one in RECORDS if isinstance(one, records.Atx) and one.pubkey == of(records.Atx).pubkey),
        key=lambda one: one.epoch,
    )
    found = list(state_records(taken(changed(last, nonce=None)).view(), GENESIS))
    assert first.nonce in [one.nonce for one in found if isinstance(one, records.Atx) and one.id == last.id]
    with pytest.raises(MigrationError, match="has no nonce, nor has one of its identity before it"):
        taken(changed(first, nonce=None))


def test_the_epoch_of_a_proof_that_is_not_said_is_that_of_its_activation() -> None:
    post = of(records.Post)
    assert everything(taken(changed(post, publish_epoch=None))) == everything(CHAIN.stores)
    with pytest.raises(MigrationError, match=f"posts: activation {'01' * 32} is not in atxs"):
        taken(changed(post, publish_epoch=None, atxid=b"\1" * 32))


APPLIED = of(records.Layer, id=30)
DAMAGE: dict[str, tuple[list[records.StateRecord], str]] = {
    "balance": (
        changed(of(records.Account, layer_updated=30), balance=1),
        "layers: layer 30 has the state hash",
    ),
    "account": (
        [one for one in RECORDS if one is not of(records.Account, layer_updated=30)],
        "layers: layer 30 has the state hash",
    ),
    "block": (
        [one for one in RECORDS if one is not of(records.Block, layer=30)],
        "layers: layer 30 has block .*blocks",
    ),
    "state hash": (changed(APPLIED, state_hash=bytes(32)), "layers: layer 30 has the state hash 0000"),
    "transaction": (changed(of(records.Transaction), tx=b"x"), "transactions: column id is .*, but the bytes"),
    "header": (changed(of(records.Transaction), header=b"x"), "transactions: column header of row .* cannot be read"),
    "result": (changed(of(records.Transaction), result=b"x"), "transactions: column result of row .* cannot be read"),
    "ballot": (changed(of(records.Ballot), ballot=b"x"), "ballots: column ballot of row .* cannot be read"),
    "ballot id": (changed(of(records.Ballot), id=bytes(20)), "ballots: column id is 0000.*, but the bytes"),
    "block bytes": (changed(of(records.Block), block=b"x"), "blocks: column block of row .* cannot be read"),
    "block id": (changed(of(records.Block), id=bytes(20)), "blocks: column id is 0000"),
    "certificate": (changed(of(records.Certificate), cert=b"x"), "certificates: column cert of row .* cannot be read"),
    "active set": (changed(of(records.ActiveSet), active_set=b"x"), "activesets: column active_set of row"),
    "poet": (changed(of(records.Poet), poet=b"x"), "poets: column poet of row .* cannot be read"),
    "poet ref": (changed(of(records.Poet), ref=bytes(32)), "poets: column ref is 0000"),
    "atx": (changed(of(records.Atx), atx=b"x"), "atx_blobs: column atx of row .* cannot be read"),
    "atx id": (changed(of(records.Atx), id=bytes(32)), "atxs: column id is 0000"),
    "beacon": (
        changed(of(records.Beacon), beacon=b"x"),
        "beacons: a row cannot be taken, .* It has epoch .*, beacon 78",
    ),
    "address": (changed(of(records.Account), address=b"x"), "accounts: a row cannot be taken, .* address 78,"),
    "layer": (changed(of(records.Reward), layer=1 << 40), "rewards: a row cannot be taken, .* layer 1099511627776,"),
    "signature": (
        [records.Marriage(bytes(32), 1, bytes(32), 0, bytes(32), b"x")],
        "marriages: a row cannot be taken, .* marriage_sig 78",
    ),
    "atx version": (changed(of(records.Atx), version=3), "atx_blobs: column version of row .* is 3, expected 1 or 2"),
}


@pytest.mark.parametrize("case", DAMAGE)
def test_what_contradicts_itself_is_refused_by_table_and_column(case: str) -> None:
    given, expected = DAMAGE[case]
    with pytest.raises(MigrationError, match=expected) as raised:
        taken(given)
    assert raised.value.reason in ("unreadable", "inconsistent")


def test_rows_of_a_taken_store_serve_a_unit() -> None:
    stores = taken(RECORDS)
    rows = Rows(stores.view())
    assert check_rows(stores.state).faults == 0
    assert state.revert(rows, LayerId(40))
    stores.write(rows)
    assert state.last_applied(stores.view()) == 40
    assert check_rows(stores.state).faults == 0, "every index leads to rows, and every row has its entries"
