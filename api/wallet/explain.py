"""What a transaction says, in words: who, what, how much, at which price, and whether it could be valid.

The bytes alone do not say by which template a spend is to be read; that is the state of its principal. So a self-spawn
is judged whole, and everything else by the signatures that stand at its end, or by a description of its principal.
Protocol 07-vm-and-transactions, sections 2 and 3.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from node.ledger.errors import INVALID_ARGS, NOT_SPAWNED, ParseError
from node.ledger.parse import Parsed, TemplateOf, malformed, parse
from node.ledger.rules import PRECOMPILED
from node.ledger.templates.template import Template
from node.ledger.verify import verifier, verify
from protocol.crypto import signing
from protocol.numbers.issuance import SMESH, TOTAL_ISSUANCE
from protocol.types import address
from protocol.types.ids import NodeId
from protocol.types.templates import (
    MAX_KEYS,
    METHOD_DRAIN_VAULT,
    METHOD_SPAWN,
    METHOD_SPEND,
    DrainVaultArguments,
    MultisigSpawnArguments,
    SpendArguments,
    VaultSpawnArguments,
    WalletSpawnArguments,
)

from . import accounts, amounts
from .accounts import AccountDescription
from .transactions import transaction_id

METHODS = {METHOD_SPAWN: "spawn", METHOD_SPEND: "spend", METHOD_DRAIN_VAULT: "drain vault"}
BAD_SIGNATURES = "The signatures are not valid for this account on this network."
HIGH_GAS_PRICE = 1000
"""Smidge for a unit of gas; the network's wallets offer 1 to 3."""
HIGH_NONCE = 1_000_000
HIGH_FEE = 1 * SMESH
A_CENTURY = 100 * 105_120
"""Layers of five minutes."""
LARGE_PART = 1000
"""One part in so many of all coins that there will ever be."""
_PART_SIZE = 1 + signing.SIGNATURE_BYTES


@dataclass(frozen=True, slots=True)
class Explanation:
    """What the bytes mean."""

    facts: dict[str, Any]
    """For machines: names of fields with plain values; amounts in smidge."""
    lines: list[tuple[str, str]] = field(default_factory=list)
    """For people: a word and its value, in reading order."""
    problem: str | None = None
    """Why no node would take it; None where nothing speaks against it."""
    signatures_at: int | None = None
    """Where the signatures begin in the bytes; None where they could not be read."""


def concerns(facts: dict[str, Any]) -> list[str]:
    """Sentences about what hardly anybody can mean, though the network would take it."""
    found = []
    fee, amount, total = facts.get("fee", 0), facts.get("amount"), facts.get("total_amount")
    if amount is not None:
        if amount == 0:
            found.append("The amount is 0: nothing would be sent, and the fee is paid.")
        elif fee > amount:
            found.append(f"The fee of up to {amounts.shown(fee)} is more than the amount, {amounts.shown(amount)}.")
        if facts.get("destination") == facts.get("principal"):
            found.append("The destination is the sender itself.")
        if facts.get("destination_is_template"):
            found.append("The destination is the address of a template: nobody can ever spend from there.")
    for coins in (amount, total):
        if coins is not None and coins * LARGE_PART > TOTAL_ISSUANCE:
            found.append(f"{amounts.shown(coins)} is {100 * coins / TOTAL_ISSUANCE:.1f} % of all coins.")
    if total == 0:
        found.append("The vault holds nothing.")
    if facts.get("vesting_end", 0) > A_CENTURY:
        found.append(f"The vesting ends at layer {facts['vesting_end']}, more than a hundred years after the genesis.")
    if facts.get("gas_price", 0) > HIGH_GAS_PRICE:
        found.append(f"The gas price is {facts['gas_price']} smidge, where the network's wallets offer 1 to 3.")
    elif fee > HIGH_FEE:
        found.append(f"The fee is up to {amounts.shown(fee)}.")
    if facts.get("nonce", 0) > HIGH_NONCE:
        found.append(f"The nonce is {facts['nonce']}: an account that has sent fewer transactions waits for ever.")
    return found


def _account_of(template: Template | None) -> TemplateOf:
    """Every account is of this template, as the parser asks for it."""
    return lambda _: template


def explain(raw: bytes, hrp: str, genesis_id: bytes, principal: AccountDescription | None = None) -> Explanation:
    """The meaning of a raw transaction. `principal` is what the account is, where somebody knows."""
    facts: dict[str, Any] = {"id": transaction_id(raw).hex(), "size": len(raw)}
    try:
        parsed, known = _parsed(raw, principal)
    except ParseError as error:
        return Explanation(facts, [("id", facts["id"])], str(error))
    problem = None
    if principal is not None and principal.address != parsed.principal:
        problem = (
            f"The principal is {address.to_text(parsed.principal, hrp)}, not the account that was described "
            f"({address.to_text(principal.address, hrp)})."
        )
    valid = verify(parsed, verifier(genesis_id)) if known else None
    if problem is None and parsed.gas_price == 0:
        problem = "The gas price is 0: the network ignores such a transaction."
    if problem is None and parsed.max_gas * parsed.gas_price > TOTAL_ISSUANCE:
        problem = "The fee is above all coins that there will ever be."
    if problem is None and valid is False:  # last, so that it hides nothing where signatures are still missing
        problem = BAD_SIGNATURES
    _describe(parsed, hrp, facts)
    facts["signatures_valid"] = valid
    return Explanation(facts, _lines(parsed, facts, known, valid), problem, parsed.signatures_at)


def _parsed(raw: bytes, principal: AccountDescription | None) -> tuple[Parsed, bool]:
    """The parsed transaction, and whether the keys of its principal are known."""
    if principal is not None:
        template = PRECOMPILED[accounts.TEMPLATES[principal.template]]
        code = template.load(principal.state)
        try:
            parsed = parse(raw, _account_of(None))
            if parsed.target == parsed.principal:  # it spawns itself, so nothing is there yet
                return parsed, True
        except ParseError:
            pass
        return parse(raw, _account_of(code)), True
    try:
        return parse(raw, _account_of(None)), True
    except ParseError as error:
        alone = error
    try:
        return _guessed(raw), False
    except ParseError as error:
        raise (error if alone.reason == NOT_SPAWNED or error.reason == INVALID_ARGS else alone) from None


def _guessed(raw: bytes) -> Parsed:
    """A transaction of an account that is not known, read as the one template to which its signatures fit."""
    failures: list[ParseError] = []
    keys = tuple(NodeId(bytes([number]) * 32) for number in range(MAX_KEYS))
    guesses = [AccountDescription("wallet", WalletSpawnArguments(keys[0]))]
    guesses += [
        AccountDescription("vesting", MultisigSpawnArguments(required, keys)) for required in range(1, MAX_KEYS + 1)
    ]
    for guess in guesses:
        code = PRECOMPILED[accounts.TEMPLATES[guess.template]].load(guess.state)
        try:
            parsed = parse(raw, _account_of(code))
        except ParseError as error:
            failures.append(error)
            continue
        one = signing.SIGNATURE_BYTES if guess.template == "wallet" else _PART_SIZE
        if len(raw) - parsed.signatures_at == guess.required * one:
            return parsed
    raise failures[0] if failures else malformed("no known template has such signatures at its end")


def _describe(parsed: Parsed, hrp: str, facts: dict[str, Any]) -> None:
    facts["principal"] = address.to_text(parsed.principal, hrp)
    facts["method"] = METHODS[parsed.method]
    facts["nonce"] = parsed.nonce
    facts["gas_price"] = parsed.gas_price
    facts["max_gas"] = parsed.max_gas
    facts["fee"] = parsed.max_gas * parsed.gas_price
    facts["max_spend"] = parsed.max_spend
    arguments = parsed.arguments
    if parsed.method == METHOD_SPAWN:
        facts["template"] = accounts.NAMES[parsed.template]
        facts["spawns"] = address.to_text(parsed.target, hrp)
    if isinstance(arguments, WalletSpawnArguments):
        facts["public_key"] = arguments.public_key.hex()
    elif isinstance(arguments, MultisigSpawnArguments):
        facts["required"] = arguments.required
        facts["public_keys"] = [key.hex() for key in arguments.public_keys]
    elif isinstance(arguments, VaultSpawnArguments):
        facts["owner"] = address.to_text(arguments.owner, hrp)
        facts["total_amount"] = arguments.total_amount
        facts["initial_unlock_amount"] = arguments.initial_unlock_amount
        facts["vesting_start"] = arguments.vesting_start
        facts["vesting_end"] = arguments.vesting_end
    elif isinstance(arguments, SpendArguments):
        facts["destination"] = address.to_text(arguments.destination, hrp)
        facts["destination_is_template"] = arguments.destination in accounts.NAMES
        facts["amount"] = arguments.amount
    elif isinstance(arguments, DrainVaultArguments):
        facts["vault"] = address.to_text(arguments.vault, hrp)
        facts["destination"] = address.to_text(arguments.spend.destination, hrp)
        facts["destination_is_template"] = arguments.spend.destination in accounts.NAMES
        facts["amount"] = arguments.spend.amount


_TITLES = {
    "id": "id",
    "principal": "from",
    "method": "method",
    "template": "template",
    "spawns": "spawns",
    "public_key": "key",
    "required": "signatures",
    "public_keys": "keys",
    "owner": "owner",
    "vault": "vault",
    "destination": "to",
    "amount": "amount",
    "total_amount": "total",
    "initial_unlock_amount": "unlocked at once",
    "vesting_start": "vesting from layer",
    "vesting_end": "vesting to layer",
    "nonce": "nonce",
}
_AMOUNTS = ("amount", "total_amount", "initial_unlock_amount")


def _lines(parsed: Parsed, facts: dict[str, Any], known: bool, valid: bool | None) -> list[tuple[str, str]]:
    lines = []
    for name, title in _TITLES.items():
        if name in facts:
            value = facts[name]
            if name in _AMOUNTS:
                value = amounts.shown(value)
            elif name == "public_keys":
                value = "\n".join(value)
            lines.append((title, str(value)))
    several = not known and parsed.payer.name != "wallet"
    about = " at most: it depends on how many keys the account has" if several else ""
    lines.append(
        ("gas", f"{parsed.max_gas} units at {parsed.gas_price} smidge, fee {amounts.shown(facts['fee'])}{about}")
    )
    lines.append(("size", f"{facts['size']} bytes"))
    unknown = "not checked: the keys of this account are not in the transaction"
    lines.append(("signatures", unknown if valid is None else "valid" if valid else "not valid"))
    return lines
