"""Transactions that clients hand in: the core of both generations of services. Protocol 10-api, sections 3.4 and 9."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest

from api.edge.rpc import Failed, Status
from api.services.node.addresses import Addresses, addresses_of
from api.services.node.reading import reading
from api.services.node.transactions import Transactions
from node.contract.verdicts import ACCEPT, Verdict, ignore
from node.ledger.errors import INTERNAL, INVALID_ARGS, MALFORMED, NOT_SPAWNED, TX_LIMIT
from node.ledger.tables import ACCOUNTS
from node.mempool import transactions
from node.store.errors import StoreFault
from node.store.view import View
from protocol.types.address import to_text
from protocol.types.ids import EMPTY_ADDRESS, LayerId
from protocol.types.templates import MULTISIG, WALLET, MultisigSpawnArguments, principal_address
from protocol.types.transactions import Account, LayerLimits, RawTx, Transaction, TxHeader, transaction_id
from tests.support.imported_chain import SHORT, imported_chain
from tests.support.node_backend import StoresBackend

RAW = b"some bytes"
ID = transaction_id(RAW)
ALICE = bytes(4) + b"\x01" * 20
NO_KEYS = MultisigSpawnArguments(0, ())
KEYLESS = b"\0" + principal_address(MULTISIG, NO_KEYS) + b"\0" + MULTISIG + bytes(2) + NO_KEYS.codec.encode(NO_KEYS)
SPEND = b"\0" + ALICE + bytes([16 << 2]) + bytes(2) + bytes(25)


@pytest.fixture
def backend() -> Iterator[StoresBackend]:
    loop = asyncio.new_event_loop()
    made = StoresBackend(imported_chain(SHORT).config, loop=loop)
    made.told = replace(made.facts, is_synced=True)
    yield made
    loop.close()


def submit(backend: StoresBackend, verdict: Verdict) -> bytes:
    async def answer(raw: bytes) -> Verdict:
        assert raw == RAW
        return verdict

    backend.submit = answer  # type: ignore[method-assign]
    return asyncio.run(Transactions(backend).submit(RAW))


def refusal(call: object) -> tuple[int, str]:
    with pytest.raises(Failed) as caught:
        assert callable(call)
        call()
    return caught.value.status, caught.value.message


def test_what_is_accepted_has_its_id(backend: StoresBackend) -> None:
    assert submit(backend, ACCEPT) == ID


@pytest.mark.parametrize(
    ("verdict", "why"),
    (
        (ignore("bad_nonce", "It was used."), "bad nonce"),
        (ignore("insufficient_balance", "Nothing is left."), "insufficient balance"),
        (ignore("duplicate", "It is known."), "tx already exists"),
        (ignore("not_signed", "By nobody."), f"failed to verify tx: {ID.hex()}"),
        (ignore("no_fee", "It pays nothing."), f"failed to parse tx: zero gas price {ID.hex()}"),
        (ignore(NOT_SPAWNED, "Ours."), f"failed to parse tx: {ID.hex()} (err: account is not spawned)"),
        (ignore(MALFORMED, "malformed tx: x."), f"failed to parse tx: {ID.hex()} (err: malformed tx: x.)"),
        (ignore(TX_LIMIT, "Too long."), f"failed to parse tx: {ID.hex()} (err: Too long.)"),
        (ignore(INVALID_ARGS, "No keys."), f"failed to parse tx: {ID.hex()} (err: No keys.)"),
        (ignore(INTERNAL, "Unread."), f"failed to parse tx: {ID.hex()} (err: Unread.)"),
        (ignore("another_reason", "In full."), "In full."),
        (ignore("another_reason"), "another_reason"),
    ),
)
def test_what_is_refused_says_why(backend: StoresBackend, verdict: Verdict, why: str) -> None:
    expected = Status.INVALID_ARGUMENT, f"Failed to verify transaction: {why}"
    assert refusal(lambda: submit(backend, verdict)) == expected


def test_nothing_is_taken_before_the_node_is_synced(backend: StoresBackend) -> None:
    backend.told = replace(backend.facts, is_synced=False)
    status, text = refusal(lambda: submit(backend, ACCEPT))
    assert status == Status.FAILED_PRECONDITION
    assert text == "Cannot submit transaction, node is not in sync yet, try again later"


def test_what_is_known_is_not_taken_twice(backend: StoresBackend) -> None:
    """The node itself accepts it once more; a client is told."""
    header = TxHeader(EMPTY_ADDRESS, WALLET, 16, 1, max_gas=1, gas_price=1, max_spend=0, layer_limits=LayerLimits())
    backend.write(lambda rows: transactions.put(rows, Transaction(RawTx(ID, RAW), header), 1))
    expected = Status.INVALID_ARGUMENT, "Failed to verify transaction: tx already exists"
    assert refusal(lambda: submit(backend, ACCEPT)) == expected


def test_what_came_in_a_block_and_was_not_valid_may_be_sent_anew(backend: StoresBackend) -> None:
    backend.write(lambda rows: transactions.put(rows, Transaction(RawTx(ID, RAW)), 1))
    assert submit(backend, ACCEPT) == ID


@pytest.mark.parametrize(
    ("raw", "status", "text"),
    (
        (b"something", Status.INVALID_ARGUMENT, "malformed tx"),
        (SPEND, Status.NOT_FOUND, "account is not spawned"),
        (bytes(1025), Status.INTERNAL, "overflows tx limit"),
        (KEYLESS, Status.INTERNAL, "No signature is required"),
    ),
)
def test_bytes_that_mean_nothing(backend: StoresBackend, raw: bytes, status: Status, text: str) -> None:
    found = refusal(lambda: Transactions(backend).parse(raw))
    assert found[0] == status and text in found[1]


def test_signatures_are_looked_at_where_they_are_to_be(backend: StoresBackend) -> None:
    raw = SPEND + bytes(64)
    account = Account(LayerId(1), ALICE, 0, 10, WALLET, b"\x07" * 32)
    backend.write(lambda rows: rows.put(ACCOUNTS, ALICE, account))
    parsed = Transactions(backend).parse(raw)
    assert parsed.header.principal == ALICE
    assert refusal(lambda: Transactions(backend).parse(raw, verify=True)) == (
        Status.INVALID_ARGUMENT,
        "signature is invalid",
    )


def test_a_store_that_cannot_be_read_ends_the_call_alone(backend: StoresBackend) -> None:
    @contextmanager
    def broken() -> Iterator[View]:
        raise StoreFault("The disk is gone.")
        yield

    backend.view = broken  # type: ignore[method-assign]

    def read() -> None:
        with reading(backend):
            pass

    assert refusal(read) == (Status.INTERNAL, "The disk is gone.")
    backend.told = replace(backend.told or backend.facts, is_synced=True)
    assert refusal(lambda: submit(backend, ACCEPT)) == (Status.INTERNAL, "The disk is gone.")


def test_texts_of_addresses_are_kept_once_for_all_services() -> None:
    assert addresses_of("stest") is addresses_of("stest") is not addresses_of("sm")


def test_addresses_are_of_one_network() -> None:
    addresses = Addresses("stest")
    assert addresses.parse(addresses.text(ALICE)) == ALICE
    for text, status in ((to_text(ALICE, "sm"), Status.UNKNOWN), ("x", Status.INVALID_ARGUMENT)):
        assert refusal(lambda text=text, status=status: addresses.parse(text, status))[0] == status
