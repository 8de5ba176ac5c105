"""The benchmark of the ledger runs and reports what it says it does; no test asserts a speed."""

from __future__ import annotations

import pytest

from bench import vm
from bench.settings import Settings


def test_every_figure_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vm, "TURNS", 1)
    monkeypatch.setattr(vm, "SPENDS", 40)
    monkeypatch.setattr(vm, "MULTISIGS", 4)
    monkeypatch.setattr(vm, "HASHED", 100)
    monkeypatch.setattr("protocol.crypto.signing.prepare", lambda: None)
    shown: list[object] = []
    results = vm.run(Settings(threads=2, rounds=1), shown.append)
    rates = results["per_second"]
    assert isinstance(rates, dict)
    assert set(rates) == {
        "pynacl",
        "signed_layer",
        "stored_layer",
        "verified_layer",
        "wallet",
        "multisig",
        "wallet_known",
        "multisig_known",
        "state_hash",
    }
    assert min(rates.values()) > 0
    threads = results["signed_layer_per_second_on_threads"]
    assert isinstance(threads, dict) and set(threads) == {"1", "2"}
    assert "2 threads" in str(shown[-1])
