"""An account described by what it is made of: a template and the arguments with which it is spawned.

From that follow its address, before it exists, and the keys that must sign for it. Descriptions of accounts of several
people are passed around as small JSON files, which hold nothing secret. Protocol 07-vm-and-transactions, sections 1.3
and 2.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from api.edge.errors import UsageError
from api.edge.text import escaped, from_hex, shown, typed
from protocol.codec.declare import Codec
from protocol.types import address, templates
from protocol.types.ids import Address, LayerId, NodeId
from protocol.types.templates import (
    MultisigSpawnArguments,
    VaultSpawnArguments,
    WalletSpawnArguments,
    principal_address,
)

TEMPLATES = {
    "wallet": templates.WALLET,
    "multisig": templates.MULTISIG,
    "vesting": templates.VESTING,
    "vault": templates.VAULT,
}
NAMES = {template: name for name, template in TEMPLATES.items()}
_FIELDS = {
    "wallet": ("public_key",),
    "multisig": ("required", "public_keys"),
    "vesting": ("required", "public_keys"),
    "vault": ("owner", "total_amount", "initial_unlock_amount", "vesting_start", "vesting_end"),
}


@dataclass(frozen=True, slots=True)
class AccountDescription:
    """One account. Nothing is judged before `check`."""

    template: str
    """wallet, multisig, vesting or vault."""
    arguments: WalletSpawnArguments | MultisigSpawnArguments | VaultSpawnArguments

    def check(self) -> None:
        """Raises UsageError where the template would refuse the arguments, or nobody could mean them."""
        arguments = self.arguments
        if isinstance(arguments, MultisigSpawnArguments):
            keys = len(arguments.public_keys)
            if not 1 <= keys <= templates.MAX_KEYS:
                raise UsageError(f"The {self.template} has {keys} keys, expected 1 to {templates.MAX_KEYS}.")
            if not 1 <= arguments.required <= keys:
                raise UsageError(f"{arguments.required} signatures are required of {keys} keys, expected 1 to {keys}.")
            if len(set(arguments.public_keys)) != keys:
                raise UsageError(
                    f"A key stands twice in this {self.template}: its owner would count twice. Give every key once."
                )
        if isinstance(arguments, VaultSpawnArguments):
            if arguments.initial_unlock_amount > arguments.total_amount:
                raise UsageError(
                    f"The vault's initial unlock, {arguments.initial_unlock_amount} smidge, is above its total, "
                    f"{arguments.total_amount} smidge."
                )
            if arguments.vesting_end < arguments.vesting_start:
                raise UsageError(
                    f"The vault's vesting ends at layer {arguments.vesting_end}, before its start at layer "
                    f"{arguments.vesting_start}."
                )

    @property
    def address(self) -> Address:
        """24 bytes."""
        return principal_address(TEMPLATES[self.template], self.arguments)

    @property
    def state(self) -> bytes:
        """The encoded arguments, which are what is stored with the account."""
        codec: Codec[Any] = self.arguments.codec
        return codec.encode(self.arguments)

    @property
    def public_keys(self) -> tuple[bytes, ...]:
        """The keys that may sign, in their order; none for a vault."""
        if isinstance(self.arguments, WalletSpawnArguments):
            return (self.arguments.public_key,)
        return tuple(self.arguments.public_keys) if isinstance(self.arguments, MultisigSpawnArguments) else ()

    @property
    def required(self) -> int:
        """How many of them must."""
        return self.arguments.required if isinstance(self.arguments, MultisigSpawnArguments) else 1

    def document(self, hrp: str) -> dict[str, Any]:
        """The JSON object of a description."""
        arguments: dict[str, Any] = {}
        for name in _FIELDS[self.template]:
            value = getattr(self.arguments, name)
            if name == "public_keys":
                value = [key.hex() for key in value]
            elif name == "owner":
                value = address.to_text(value, hrp)
            elif isinstance(value, bytes):
                value = value.hex()
            arguments[name] = value
        return {"address": address.to_text(self.address, hrp), "template": self.template, "arguments": arguments}

    @classmethod
    def parse(cls, text: str | bytes, hrp: str, name: str) -> AccountDescription:
        """Read a description; `name` is what the person calls the file. Raises UsageError, AddressError."""
        document = _object(text, name)
        template = document.get("template")
        if not isinstance(template, str) or template not in TEMPLATES:
            raise UsageError(f"{name}: template is {shown(template)}, expected one of {', '.join(TEMPLATES)}.")
        given = document.get("arguments")
        if not isinstance(given, dict) or sorted(given) != sorted(_FIELDS[template]):
            raise UsageError(f"{name}: arguments of a {template} are {', '.join(_FIELDS[template])}.")
        found = cls(template, _arguments(template, given, hrp, name))
        found.check()
        stated = document.get("address")
        if stated is not None and not isinstance(stated, str):
            raise UsageError(f"{name}: address is {shown(stated)}, expected a text.")
        if stated is not None and stated != address.to_text(found.address, hrp):
            raise UsageError(
                f"{name}: the address is stated as {escaped(stated)}, but these arguments make "
                f"{address.to_text(found.address, hrp)}. Ask whoever sent the file."
            )
        return found


def wallet_account(public_key: bytes) -> AccountDescription:
    """The account of one key."""
    return AccountDescription("wallet", WalletSpawnArguments(NodeId(public_key)))


def public_key(text: object, what: str) -> NodeId:
    """A public key of 64 hex digits. Raises UsageError."""
    try:
        return NodeId(from_hex(text, 32))
    except ValueError as error:
        hint = f" ({error})" if str(error) else ""
        raise UsageError(f"{what} is {shown(text, 80)}, expected 64 hex digits{hint}.") from None


def parse_address(text: str, hrp: str) -> Address:
    """An address as people paste it. Raises AddressError."""
    return address.from_text(typed(text), hrp)


def _object(text: str | bytes, name: str) -> dict[str, Any]:
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        raise UsageError(f"{name} is no JSON.") from None
    if not isinstance(document, dict):
        raise UsageError(f"{name} is no JSON object.")
    return document


def _arguments(
    template: str, given: dict[str, Any], hrp: str, name: str
) -> WalletSpawnArguments | MultisigSpawnArguments | VaultSpawnArguments:
    def number(field: str, bits: int) -> int:
        value = given[field]
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 1 << bits:
            raise UsageError(f"{name}: {field} is {shown(value)}, expected a whole number below 2^{bits}.")
        return value

    if template == "wallet":
        return WalletSpawnArguments(public_key(given["public_key"], f"{name}: public_key"))
    if template == "vault":
        owner = given["owner"]
        if not isinstance(owner, str):
            raise UsageError(f"{name}: owner is {shown(owner)}, expected an address.")
        return VaultSpawnArguments(
            owner=parse_address(owner, hrp),
            total_amount=number("total_amount", 64),
            initial_unlock_amount=number("initial_unlock_amount", 64),
            vesting_start=LayerId(number("vesting_start", 32)),
            vesting_end=LayerId(number("vesting_end", 32)),
        )
    keys = given["public_keys"]
    if not isinstance(keys, list):
        raise UsageError(f"{name}: public_keys is no list.")
    return MultisigSpawnArguments(number("required", 8), tuple(public_key(key, f"{name}: public_keys") for key in keys))
