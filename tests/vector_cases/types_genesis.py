"""Vectors of a network's identity and first coins: the genesis lists of types/economics.json."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from protocol.params.config import networks
from protocol.params.genesis import Genesis, GenesisError, read_time
from protocol.types import address
from tests.vector_cases.harness import Case, Context, vectors

_NETWORKS = {
    "mainnet": networks.MAINNET,
    "testnet": networks.TESTNET,
    "fastnet": networks.FASTNET,
    "standalone": networks.STANDALONE,
}


def _check_id(case: dict[str, Any]) -> None:
    genesis = Genesis(read_time(case["genesis_time"]), case["extra_data"])
    assert genesis.time.seconds == case["unix"], genesis.time.seconds
    assert genesis.golden_atx.hex() == case["golden_atx"], genesis.golden_atx.hex()
    assert genesis.genesis_id.hex() == case["genesis_id"], genesis.genesis_id.hex()
    try:
        genesis.check()
    except GenesisError:
        assert not case["valid"], "refused"
    else:
        assert case["valid"], "accepted"
    if case["name"] in _NETWORKS:
        configured = _NETWORKS[case["name"]].genesis.identity
        assert configured.golden_atx == genesis.golden_atx, "the preset has another golden ATX"


def _check_time(case: dict[str, Any]) -> None:
    try:
        time = read_time(case["text"])
    except GenesisError:
        assert not case["ok"], "refused"
        return
    assert case["ok"], "accepted"
    assert (time.seconds, time.nanoseconds) == (case["unix"], case["nanoseconds"]), time
    assert str(time) == case["json"], str(time)


def _check_file(case: dict[str, Any]) -> None:
    accounts = {name: int(balance) for name, balance in case["accounts"].items()}
    genesis = Genesis(read_time(case["genesis_time"]), case["extra_data"], accounts)
    assert genesis.file_content() == case["file_content"], genesis.file_content()
    assert Genesis.from_file_content(case["file_content"]) == genesis


def _check_ledger(case: dict[str, Any]) -> None:
    config = _NETWORKS[case["network"]]
    found = {
        name: (address.from_text(name, config.main.network_hrp).hex(), balance)
        for name, balance in config.genesis.accounts.items()
    }
    expected = {entry["text"]: (entry["address"], int(entry["balance"])) for entry in case["accounts"]}
    assert found == expected, found
    assert len(found) == case["count"]
    assert sum(balance for _, balance in found.values()) == int(case["sum"])


@vectors("types/economics.json", variants=False)
def genesis(document: Any, context: Context) -> Iterator[Case]:
    for kind, check in (
        ("genesis_ids", _check_id),
        ("genesis_time_text", _check_time),
        ("genesis_file", _check_file),
        ("genesis_ledger", _check_ledger),
    ):
        for position, case in enumerate(document[kind]):
            yield Case(f"{kind}[{position}]", lambda case=case, check=check: check(case))
