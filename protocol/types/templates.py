"""What stands in a transaction: payload, the arguments of each template's methods, its stored state, its signatures.

A transaction is `version c8 = 0, principal, method c8, [template, if the method is spawn], payload, arguments,
signatures`, nothing between them. The arguments of a spawn are the state that is stored.
Protocol 03-encoding-and-types, section 4.6, and 07-vm-and-transactions, section 2.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from protocol.codec.declare import Codec, Record, c8, c64, record, up_to
from protocol.crypto.hashing import hash32

from .ids import Address, EdSignature, LayerId, NodeId

WALLET = Address(bytes(23) + b"\x01")
MULTISIG = Address(bytes(23) + b"\x02")
VESTING = Address(bytes(23) + b"\x03")
VAULT = Address(bytes(23) + b"\x04")

METHOD_SPAWN = 0
METHOD_SPEND = 16
METHOD_DRAIN_VAULT = 17

VERSION = 0
"""The only version of a transaction."""
MAX_TX_SIZE = 1024
"""Bytes of a transaction that the virtual machine takes."""
MAX_KEYS = 10
"""Keys of a multisig."""


@record
class Payload(Record):
    """What stands before the arguments of every method."""

    nonce: Annotated[int, c64]
    """The principal's next unused number or a later one; each is used once."""
    gas_price: Annotated[int, c64]
    """Smidge for one unit of gas."""


@record
class WalletSpawnArguments(Record):
    """Arguments of a wallet's spawn, and its state."""

    public_key: NodeId
    """Whose signature it takes."""


WalletState = WalletSpawnArguments


@record
class MultisigSpawnArguments(Record):
    """Arguments of the spawn of a multisig or vesting account, and its state."""

    required: Annotated[int, c8]
    """Signatures that a transaction must carry."""
    public_keys: Annotated[Sequence[NodeId], up_to(MAX_KEYS)]
    """Whose signatures it takes."""


MultisigState = MultisigSpawnArguments


@record
class VaultSpawnArguments(Record):
    """Arguments of a vault's spawn, and its state."""

    owner: Address
    """The vesting account that may drain it."""
    total_amount: Annotated[int, c64]
    """Smidge."""
    initial_unlock_amount: Annotated[int, c64]
    """Smidge; kept but not used by the network."""
    vesting_start: LayerId
    """The layer up to which nothing is free."""
    vesting_end: LayerId
    """The layer from which all is free."""


VaultState = VaultSpawnArguments


@record
class SpendArguments(Record):
    """Arguments of a spend."""

    destination: Address
    """Who receives."""
    amount: Annotated[int, c64]
    """Smidge."""


@record
class DrainVaultArguments(Record):
    """Arguments of a drain: what the vesting account relays to the vault."""

    vault: Address
    """The vault."""
    spend: SpendArguments
    """What the vault is to do."""


@record
class MultisigPart(Record):
    """One of the signatures at the end of a multisig's transaction; there is no count before them."""

    ref: Annotated[int, c8]
    """Which of the keys."""
    signature: EdSignature
    """By that key over genesis id and transaction up to the first signature."""


SpawnArguments = WalletSpawnArguments | MultisigSpawnArguments | VaultSpawnArguments


def principal_address(template: Address, arguments: SpawnArguments) -> Address:
    """The address of the account that spawning a template with these arguments makes. Raises CodecError.

    Arguments that have no encoding are refused; the reference hashes what it wrote before it noticed.
    """
    codec: Codec[Any] = arguments.codec
    return Address(bytes(4) + hash32(template, codec.encode(arguments))[12:])
