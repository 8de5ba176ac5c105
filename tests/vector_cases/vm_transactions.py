"""Vectors of parsing and verifying transactions: vm/transactions.json."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from node.ledger.errors import ParseError
from node.ledger.parse import parse
from node.ledger.rules import NETWORK
from node.ledger.staging import StagedCache
from node.ledger.verify import verifier, verify
from protocol.types import address
from protocol.types.ids import LayerId
from protocol.types.transactions import transaction_id
from tests.vector_cases.harness import Case, Context, unknown_sections, vectors
from tests.vector_cases.vm_support import accounts, header_case


@vectors("vm/transactions.json")
def transactions(document: Any, context: Context) -> Iterator[Any]:
    yield from unknown_sections(document, ("params", "keys", "principals", "state", "cases"))
    params = document["params"]
    genesis_id = bytes.fromhex(params["genesis_id"])
    judge = verifier(genesis_id)
    stored = {account.address: account for account in accounts(document["state"])}

    def parameters() -> None:
        assert params["tx_size_limit"] == NETWORK.max_size
        for principal in document["principals"]:
            if "bech32" in principal:
                assert address.to_text(bytes.fromhex(principal["address"]), params["hrp"]) == principal["bech32"]

    yield Case("parameters and addresses", parameters)

    for case in document["cases"]:

        def check(case: dict[str, Any] = case) -> None:
            raw = bytes.fromhex(case["raw"])
            assert transaction_id(raw).hex() == case["id"]
            cache = StagedCache(NETWORK, params["hrp"], stored.get, LayerId(0))
            try:
                parsed = parse(raw, cache.template_of)
            except ParseError as error:
                assert case["parse"] == "error", f"refused: {error}"
                assert error.reason == case["error_class"], f"{error.reason}, expected {case['error_class']}: {error}"
                return
            assert case["parse"] == "ok", f"accepted, expected {case.get('error_class')}"
            found = header_case(parsed.header)
            assert found == case["header"], f"{found}, expected {case['header']}"
            assert (str(parsed.fee), str(parsed.spending)) == (case["header"]["fee"], case["header"]["spending"])
            gas = {
                "base": str(parsed.base_gas),
                "fixed": str(parsed.fixed_gas),
                "tx_data": str(parsed.data_gas),
                "intrinsic": str(parsed.intrinsic_gas),
                "max": str(parsed.max_gas),
            }
            assert gas == case["gas"], f"{gas}, expected {case['gas']}"
            if "signing_payload" in case and case["verify"]:
                signatures = parsed.signatures()
                assert signatures is not None
                signed = genesis_id + raw[: len(raw) - signatures.size]
                assert signed.hex() == case["signing_payload"]
            assert verify(parsed, judge) == case["verify"]

        yield Case(case["name"], check)
