"""`smesher tx history` of every account of a chain: what it tells adds up to the balance."""

from __future__ import annotations

import csv
import json
import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from api.cli.main import main
from api.clients.node import PublicApi
from api.edge.errors import EnvironmentFault, UsageError
from api.wallet import history
from node.ledger import state
from node.mempool import transactions as mempool
from node.mempool.tables import TRANSACTIONS
from node.store.memory import MemoryBackend
from node.store.view import Rows
from protocol.numbers.time import Time
from protocol.pb.spacemesh.v2alpha1 import tx_pb2
from protocol.types import address
from protocol.types.ids import Address
from protocol.types.transactions import RawTx, Transaction
from tests.support.imported_chain import ImportedChain, imported_chain
from tests.support.node_backend import StoresBackend
from tests.support.served_api import ServedApi, everywhere

HRP = "stest"


@pytest.fixture(scope="module")
def chain_and_node() -> Iterator[tuple[ImportedChain, str]]:
    """63 layers, and where a node serves them; one more transaction waits."""
    files = MemoryBackend(), MemoryBackend()
    chain = imported_chain(backends=files)
    rows = Rows(chain.stores.view())
    known = next(row for _, row in rows.scan(TRANSACTIONS) if row.header is not None)
    assert known.header is not None
    header = replace(known.header, nonce=1000)
    mempool.put(rows, Transaction(RawTx.of(known.raw[:-1] + b"\0"), header), 1)
    chain.stores.write(rows)
    with ServedApi(lambda loop: StoresBackend(everywhere(chain.config), files, loop=loop)) as api:
        yield chain, f"127.0.0.1:{api.ports['public']}"


@pytest.fixture
def chain(chain_and_node: tuple[ImportedChain, str]) -> ImportedChain:
    return chain_and_node[0]


@pytest.fixture
def node(chain_and_node: tuple[ImportedChain, str]) -> str:
    return chain_and_node[1]


def told(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    assert main(["tx", "history", *words, "--json"]) == 0
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    (done,) = [one for one in events if one["event"] == "done"]
    return [one for one in events if one["event"] == "entry"], done


def test_entries_add_up_to_the_balance_of_every_account(chain: ImportedChain, node: str) -> None:
    view = chain.stores.view()
    began = chain.config.genesis.accounts
    kinds: set[str] = set()
    for account in state.accounts(view):
        text = address.to_text(account.address, HRP)
        with PublicApi(node) as api:
            entries = [history.of_transaction(one, text) for one in api.transactions(text)]
            entries += [history.of_reward(one) for one in api.rewards(text)]
        assert began.get(text, 0) + sum(one.change for one in entries) == account.balance, text
        kinds |= {one.kind for one in entries}
    assert kinds >= {"sent", "received", "spawn", "reward"}


def test_all_entries_of_an_account(
    chain: ImportedChain,
    node: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("api.clients.node.PAGE", 10)
    monkeypatch.setattr("api.cli.wallet.history.SHOWN", 10)
    busiest = _busiest(chain)
    file = tmp_path / "history.csv"
    entries, done = told(capsys, busiest, "--node", node, "--csv", str(file))
    assert done["entries"] == len(entries) > 40 and done["file"] == str(file)
    assert done["balance_smidge"] == done["began_with_smidge"] + sum(one["change_smidge"] for one in entries)
    layers = [one["layer"] for one in entries if one["layer"] != ""]
    assert layers == sorted(layers)
    with file.open(newline="") as text:
        found = list(csv.DictReader(text))
    assert [list(row.values()) for row in found] == [[str(one[name]) for name in history.COLUMNS] for one in entries]
    first = entries[0]
    genesis = chain.parameters.time.start_ns(first["layer"])
    assert first["time"] == str(Time.of(genesis))
    assert main(["tx", "history", busiest.upper(), "--node", node]) == 0
    said = capsys.readouterr().out
    assert "before (all of them with --csv FILE)" in said and "balance" in said and "began with" in said
    assert main(["tx", "history", busiest, "--node", node, "--csv", str(file)]) == 2
    assert "exists already" in capsys.readouterr().err


def _busiest(chain: ImportedChain) -> str:
    """The genesis account that has sent most."""
    view = chain.stores.view()
    accounts = [
        one for one in state.accounts(view) if address.to_text(one.address, HRP) in chain.config.genesis.accounts
    ]
    return address.to_text(max(accounts, key=lambda one: one.next_nonce).address, HRP)


def test_what_waits_is_told_last(chain: ImportedChain, node: str, capsys: pytest.CaptureFixture[str]) -> None:
    view = chain.stores.view()
    waiting = next(row for _, row in view.scan(TRANSACTIONS) if row.header is not None and row.header.nonce == 1000)
    assert waiting.header is not None
    entries, _ = told(capsys, address.to_text(waiting.header.principal, HRP), "--node", node)
    last = entries[-1]
    assert (last["layer"], last["time"], last["change_smidge"], last["status"]) == ("", "", 0, "waiting")
    assert all(one["layer"] != "" for one in entries[:-1])


def test_an_account_of_which_nothing_is_known(node: str, capsys: pytest.CaptureFixture[str]) -> None:
    entries, done = told(capsys, address.to_text(Address(bytes(4) + b"\7" * 20), HRP), "--node", node)
    assert entries == [] and (done["balance_smidge"], done["began_with_smidge"]) == (0, 0)


def test_what_is_wrong_with_the_question(node: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tx", "history", address.to_text(Address(bytes(24)), "sm"), "--node", node]) == 2
    assert "belongs to another network" in capsys.readouterr().err
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and nobody listens
        assert main(["tx", "history", "x", "--node", f"127.0.0.1:{taken.getsockname()[1]}"]) == 3
    assert "cannot be reached" in capsys.readouterr().err
    with PublicApi(node) as api, pytest.raises(UsageError, match="does not take the question"):
        next(api.transactions("x"))
    with PublicApi(node, is_encrypted=True) as api, pytest.raises(EnvironmentFault):
        api.network()


SELF, OTHER, VAULT = "me", "you", "vault"


def drain(vault: str, destination: str) -> dict[str, Any]:
    return {"drain_vault": {"vault": vault, "destination": destination, "amount": 5}}


@pytest.mark.parametrize(
    ("contents", "principal", "status", "expected"),
    [
        ({"send": {"destination": OTHER, "amount": 5}}, SELF, 1, ("sent", -7, 2, OTHER, "applied")),
        ({"send": {"destination": OTHER, "amount": 5}}, SELF, 2, ("sent", -2, 2, OTHER, "failed")),
        ({"send": {"destination": SELF, "amount": 5}}, SELF, 1, ("sent", -2, 2, SELF, "applied")),
        ({"send": {"destination": SELF, "amount": 5}}, OTHER, 1, ("received", 5, 0, OTHER, "applied")),
        ({"send": {"destination": SELF, "amount": 5}}, OTHER, 2, ("received", 0, 0, OTHER, "failed")),
        (
            {"drain_vault": {"vault": VAULT, "destination": SELF, "amount": 5}},
            SELF,
            1,
            ("received", 3, 2, VAULT, "applied"),
        ),
        (
            {"drain_vault": {"vault": VAULT, "destination": OTHER, "amount": 5}},
            SELF,
            1,
            ("drained", -2, 2, OTHER, "applied"),
        ),
        (
            {"drain_vault": {"vault": SELF, "destination": OTHER, "amount": 5}},
            OTHER,
            1,
            ("drained", -5, 0, OTHER, "applied"),
        ),
        ({"vault_spawn": {}}, OTHER, 1, ("spawn", 0, 0, OTHER, "applied")),
        ({"single_sig_spawn": {}}, SELF, 1, ("spawn", -2, 2, "", "applied")),
        ({}, OTHER, 1, ("touched", 0, 0, OTHER, "applied")),
    ],
)
def test_what_a_transaction_was_to_an_account(
    contents: dict[str, Any], principal: str, status: int, expected: tuple[Any, ...]
) -> None:
    answer = tx_pb2.TransactionResponse(
        tx=tx_pb2.Transaction(principal=principal, contents=tx_pb2.TransactionContents(**contents)),
        tx_result=tx_pb2.TransactionResult(status=status, fee=2, layer=9),  # type: ignore[arg-type]
    )
    found = history.of_transaction(answer, SELF)
    assert (found.kind, found.change, found.fee, found.other, found.status) == expected
    assert found.layer == 9
