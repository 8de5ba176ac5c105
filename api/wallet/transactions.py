"""Transactions made without a node: composed, shown, signed by one key or by several people one after another.

What several people sign travels as a partial transaction: a JSON file with the unsigned bytes, the account, and the
signatures so far. Whoever signs sees what the bytes mean, not what the file says of them. Protocol
07-vm-and-transactions, section 2.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from api.edge.errors import DataError, UsageError
from api.edge.text import is_whole, shown
from protocol.codec.declare import c8
from protocol.crypto import signing
from protocol.crypto.hashing import hash32
from protocol.params.genesis import GENESIS_ID_SIZE
from protocol.types import templates
from protocol.types.ids import Address, EdSignature
from protocol.types.templates import (
    METHOD_DRAIN_VAULT,
    METHOD_SPAWN,
    METHOD_SPEND,
    VERSION,
    DrainVaultArguments,
    MultisigPart,
    Payload,
    SpendArguments,
)

from .accounts import TEMPLATES, AccountDescription
from .secret import Secret

MAX_U64 = (1 << 64) - 1
KIND = "smesher-partial-transaction"


@dataclass(frozen=True, slots=True)
class Unsigned:
    """A transaction without its signatures, and the account that must sign it."""

    account: AccountDescription
    """The principal."""
    data: bytes
    """Everything before the signatures."""
    genesis_id: bytes
    """20 bytes: the network on which the signatures count."""

    @property
    def message(self) -> bytes:
        """What is signed, without a hash."""
        return self.genesis_id + self.data


def spawn(account: AccountDescription, target: AccountDescription, payload: Payload, genesis_id: bytes) -> Unsigned:
    """Bring an account into being: the principal itself, or another one that it pays for. Raises UsageError."""
    _check_principal(account)
    target.check()
    arguments = TEMPLATES[target.template] + payload.codec.encode(payload) + target.state
    return _unsigned(account, METHOD_SPAWN, arguments, genesis_id)


def spend(
    account: AccountDescription, destination: Address, amount: int, payload: Payload, genesis_id: bytes
) -> Unsigned:
    """Send coins (smidge). Raises UsageError."""
    _check_principal(account)
    arguments = SpendArguments(destination, _u64(amount, "amount"))
    return _unsigned(
        account, METHOD_SPEND, payload.codec.encode(payload) + SpendArguments.codec.encode(arguments), genesis_id
    )


def drain(
    account: AccountDescription, vault: Address, destination: Address, amount: int, payload: Payload, genesis_id: bytes
) -> Unsigned:
    """Take vested coins (smidge) out of a vault. Raises UsageError unless the principal is a vesting account."""
    _check_principal(account)
    if account.template != "vesting":
        raise UsageError(f"Only a vesting account can drain a vault, this principal is a {account.template}.")
    arguments = DrainVaultArguments(vault, SpendArguments(destination, _u64(amount, "amount")))
    return _unsigned(
        account,
        METHOD_DRAIN_VAULT,
        payload.codec.encode(payload) + DrainVaultArguments.codec.encode(arguments),
        genesis_id,
    )


def payload(nonce: int, gas_price: int) -> Payload:
    """Raises UsageError where a number does not fit, or the price is one that the network never takes."""
    if gas_price == 0:
        raise UsageError("The gas price is 0, expected at least 1 smidge: the network ignores such transactions.")
    return Payload(_u64(nonce, "nonce"), _u64(gas_price, "gas price"))


def _u64(value: int, what: str) -> int:
    if not 0 <= value <= MAX_U64:
        raise UsageError(f"The {what} is {value}, expected 0 to {MAX_U64}.")
    return value


def _check_principal(account: AccountDescription) -> None:
    if account.template == "vault":
        raise UsageError("A vault signs nothing; its owner, a vesting account, drains it.")


def _unsigned(account: AccountDescription, method: int, rest: bytes, genesis_id: bytes) -> Unsigned:
    data = c8.encode(VERSION) + account.address + c8.encode(method) + rest
    size = len(data) + _signature_size(account)
    if size > templates.MAX_TX_SIZE:
        raise UsageError(
            f"The transaction would have {size} bytes, the network takes at most {templates.MAX_TX_SIZE}. A smaller "
            "nonce or gas price makes it shorter."
        )
    return Unsigned(account, data, genesis_id)


def _signature_size(account: AccountDescription) -> int:
    one = signing.SIGNATURE_BYTES
    return one if account.template == "wallet" else account.required * (1 + one)


# Signatures


@dataclass(frozen=True, slots=True)
class Partial:
    """A transaction with the signatures that it has so far."""

    unsigned: Unsigned
    signatures: Mapping[int, bytes] = field(default_factory=dict)
    """By the place of the key in the account."""

    @property
    def missing(self) -> int:
        """Signatures that are still needed."""
        return max(0, self.unsigned.account.required - len(self.signatures))

    def sign(self, secret: Secret) -> Partial:
        """With the signature of a key, 64 bytes (seed and public key). Raises UsageError for a key of nobody here."""
        signer = signing.Signer(secret.reveal()[: signing.SEED_BYTES])
        keys = self.unsigned.account.public_keys
        if signer.public_key not in keys:
            raise UsageError(
                f"The key {signer.public_key.hex()} is not one of this {self.unsigned.account.template}'s keys; "
                "choose another account of the wallet."
            )
        signature = signer.sign(signing.NO_DOMAIN, self.unsigned.message)
        return replace(self, signatures={**self.signatures, keys.index(signer.public_key): signature})

    def merged(self, other: Partial) -> Partial:
        """With the signatures of another copy. Raises DataError where the copies differ in what is signed."""
        if other.unsigned != self.unsigned:
            raise DataError("The partial transactions are not copies of the same one; sign one of them anew.")
        return replace(self, signatures={**self.signatures, **other.signatures})

    def raw(self) -> bytes:
        """The whole transaction. Raises DataError while signatures are missing."""
        account = self.unsigned.account
        if self.missing:
            raise DataError(
                f"{self.missing} more signature{'s are' if self.missing > 1 else ' is'} needed: {len(self.signatures)} "
                f"of {account.required} are there."
            )
        if account.template == "wallet":
            return self.unsigned.data + self.signatures[0]
        chosen = sorted(self.signatures)[: account.required]
        parts = (MultisigPart(ref, EdSignature(self.signatures[ref])) for ref in chosen)
        return self.unsigned.data + b"".join(MultisigPart.codec.encode(part) for part in parts)

    def document(self, hrp: str) -> dict[str, Any]:
        """The JSON object of a partial transaction."""
        return {
            "kind": KIND,
            "genesis_id": self.unsigned.genesis_id.hex(),
            "account": self.unsigned.account.document(hrp),
            "unsigned": self.unsigned.data.hex(),
            "signatures": {str(ref): signature.hex() for ref, signature in sorted(self.signatures.items())},
        }

    @classmethod
    def parse(cls, text: str | bytes, hrp: str, name: str) -> Partial:
        """Read a partial transaction and check every signature in it. Raises UsageError, DataError, AddressError."""
        try:
            document = json.loads(text)
        except (ValueError, RecursionError):
            raise UsageError(f"{name} is no JSON.") from None
        if not isinstance(document, dict) or document.get("kind") != KIND:
            raise UsageError(f"{name} is no partial transaction: expected a file that `smesher tx` wrote.")
        account = AccountDescription.parse(json.dumps(document.get("account")), hrp, name)
        data = _hex(document.get("unsigned"), f"{name}: unsigned")
        genesis_id = _hex(document.get("genesis_id"), f"{name}: genesis_id")
        if len(genesis_id) != GENESIS_ID_SIZE:
            raise UsageError(
                f"{name}: genesis_id has {len(genesis_id)} bytes, expected {GENESIS_ID_SIZE}: what is signed begins "
                "with it, so with another length it could mean something else."
            )
        if data[1:25] != account.address:
            raise DataError(f"{name}: the bytes to sign are of another account than the file says.")
        found = cls(Unsigned(account, data, genesis_id))
        given = document.get("signatures", {})
        if not isinstance(given, dict):
            raise UsageError(f"{name}: signatures is no object.")
        return replace(found, signatures=_checked(found.unsigned, given, name))


def _hex(value: object, what: str) -> bytes:
    if not isinstance(value, str) or not re.fullmatch("([0-9a-fA-F]{2})*", value):
        raise UsageError(f"{what} is no text of hex digits.")
    return bytes.fromhex(value)


def _checked(unsigned: Unsigned, given: Mapping[str, Any], name: str) -> dict[int, bytes]:
    keys = unsigned.account.public_keys
    signatures = {}
    for ref_text, signature_text in given.items():
        ref = int(ref_text) if is_whole(ref_text) else len(keys)
        if ref >= len(keys):
            raise UsageError(
                f"{name}: signatures has {shown(ref_text)}, expected the place of a key, 0 to {len(keys) - 1}."
            )
        signature = _hex(signature_text, f"{name}: signature {ref}")
        if not signing.verify(signing.NO_DOMAIN, keys[ref], unsigned.message, signature):
            raise DataError(
                f"{name}: the signature of key {ref} ({keys[ref].hex()}) is not valid for this transaction on this "
                "network. Ask its owner to sign again."
            )
        signatures[ref] = signature
    return signatures


def combined(partials: Sequence[Partial]) -> Partial:
    """All signatures of several copies. Raises DataError."""
    first, *rest = partials
    for partial in rest:
        first = first.merged(partial)
    return first


def transaction_id(raw: bytes) -> bytes:
    """32 bytes."""
    return hash32(raw)
