"""Vectors of transactions composed by independent clients: types/client_transactions.json.

Ours are composed by the wallet from the same arguments, signed with the same keys, and must have the node's bytes.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from nacl.bindings import crypto_sign_seed_keypair

from api.edge.errors import UsageError
from api.wallet import accounts, explain, transactions
from api.wallet.accounts import AccountDescription
from api.wallet.secret import Secret
from protocol.types.ids import Address, LayerId, NodeId
from protocol.types.templates import MultisigSpawnArguments, Payload, VaultSpawnArguments
from tests.vector_cases.harness import Case, Context, NotUnderstood, vectors


def _hex(text: str) -> bytes:
    return bytes.fromhex(text)


def _spawned(case: dict[str, Any], name: str) -> AccountDescription:
    arguments = case["arguments"]
    if name == "wallet":
        return accounts.wallet_account(_hex(arguments["PublicKey"]))
    if name == "vault":
        return AccountDescription(
            "vault",
            VaultSpawnArguments(
                Address(_hex(arguments["Owner"])),
                int(arguments["TotalAmount"]),
                int(arguments["InitialUnlockAmount"]),
                LayerId(arguments["VestingStart"]),
                LayerId(arguments["VestingEnd"]),
            ),
        )
    keys = tuple(NodeId(_hex(key)) for key in arguments["PublicKeys"])
    return AccountDescription(name, MultisigSpawnArguments(arguments["Required"], keys))


def _principal(case: dict[str, Any], kind: str, required: int, keys: list[bytes]) -> AccountDescription:
    if kind in ("wallet", "vault"):
        return accounts.wallet_account(keys[0])
    return AccountDescription(kind, MultisigSpawnArguments(required, tuple(NodeId(key) for key in keys)))


def _check(case: dict[str, Any], required: int) -> None:
    name, arguments = case["name"], case["arguments"]
    kind = name.split("_")[0]
    genesis_id = _hex(case["genesis_id"])
    payload = Payload(int(case["nonce"]), int(case["gas_price"]))
    pairs = [crypto_sign_seed_keypair(_hex(seed)) for seed in case["seeds"]]
    account = _principal(case, kind, required, [public for public, _ in pairs])
    assert account.address.hex() == case["principal"], account.address.hex()
    if case["method"] == 0:
        target = _spawned(case, kind)
        try:
            unsigned = transactions.spawn(account, target, payload, genesis_id)
        except UsageError:
            # ours composes nothing that a template refuses; the recorded program does
            assert kind == "vault" and not _is_sound(target.arguments), "refused"
            return
    elif case["method"] == 16:
        destination = Address(_hex(arguments["Destination"]))
        unsigned = transactions.spend(account, destination, int(arguments["Amount"]), payload, genesis_id)
    else:
        vault, destination = Address(_hex(arguments["Vault"])), Address(_hex(arguments["Destination"]))
        unsigned = transactions.drain(account, vault, destination, int(arguments["Amount"]), payload, genesis_id)
    assert unsigned.data.hex() == case["node_unsigned"], unsigned.data.hex()
    partial = transactions.Partial(unsigned)
    for ref in case["signer_refs"] or [0]:
        partial = partial.sign(Secret(pairs[ref][1]))
    raw = partial.raw()
    assert raw.hex() == case["node_raw"], raw.hex()
    assert transactions.transaction_id(raw).hex() == case["tx_id"]
    again = transactions.Partial.parse(_text(partial), "sm", "file") if account.template != "wallet" else partial
    assert again == partial
    explained = explain.explain(raw, "sm", genesis_id, account)
    if "signatures_valid" in explained.facts:  # absent where the arguments are such as a template refuses
        assert explained.facts["signatures_valid"] is True
    else:
        assert kind == "vault", explained.problem


def _is_sound(arguments: object) -> bool:
    """Whether the ledger's template takes such a vault."""
    assert isinstance(arguments, VaultSpawnArguments)
    return (
        arguments.initial_unlock_amount <= arguments.total_amount and arguments.vesting_start <= arguments.vesting_end
    )


def _text(partial: transactions.Partial) -> str:
    import json

    return json.dumps(partial.document("sm"))


@vectors("types/client_transactions.json", variants=False)
def client_transactions(document: Any, context: Context) -> Iterator[Case]:
    if unknown := document.keys() - {"description", "reference", "transactions"}:
        raise NotUnderstood(f"lists named {', '.join(sorted(unknown))}")
    required: dict[str, int] = {}
    for position, case in enumerate(document["transactions"]):
        kind = case["name"].split("_")[0]
        if "Required" in case["arguments"]:  # the spends that follow are of the account spawned here
            required[kind] = case["arguments"]["Required"]
        needed = required.get(kind, 1)
        yield Case(f"transactions[{position}]/{case['name']}", lambda case=case, needed=needed: _check(case, needed))
