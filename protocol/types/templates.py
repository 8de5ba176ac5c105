"""What stands in a transaction: payload, the arguments of each template's methods, its stored state, its signatures.

A transaction is `version c8 = 0, principal, method c8, [template, if the method is spawn], payload, arguments,
signatures`, nothing between them. The arguments of a spawn are the state that is stored.
Protocol 03-encoding-and-types, section 4.6, and 07-vm-and-transactions, section 2.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from protocol.codec.declare import Codec, c8, c32, c64, struct, vector
from protocol.crypto.hashing import hash32

from .ids import ADDRESS, ED_SIGNATURE, NODE_ID, Address, EdSignature, LayerId, NodeId

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


@dataclass(frozen=True, slots=True)
class Payload:
    """What stands before the arguments of every method."""

    nonce: int
    gas_price: int
    """Smidge for one unit of gas."""

    codec = struct(nonce=c64, gas_price=c64)


@dataclass(frozen=True, slots=True)
class WalletSpawnArguments:
    """Arguments of a wallet's spawn, and its state."""

    public_key: NodeId

    codec = struct(public_key=NODE_ID)


WalletState = WalletSpawnArguments


@dataclass(frozen=True, slots=True)
class MultisigSpawnArguments:
    """Arguments of the spawn of a multisig or vesting account, and its state."""

    required: int
    """Signatures that a transaction must carry."""
    public_keys: Sequence[NodeId]

    codec = struct(required=c8, public_keys=vector(NODE_ID, MAX_KEYS))


MultisigState = MultisigSpawnArguments


@dataclass(frozen=True, slots=True)
class VaultSpawnArguments:
    """Arguments of a vault's spawn, and its state."""

    owner: Address
    """The vesting account that may drain it."""
    total_amount: int
    """Smidge."""
    initial_unlock_amount: int
    """Smidge; kept but not used by the network."""
    vesting_start: LayerId
    vesting_end: LayerId

    codec = struct(owner=ADDRESS, total_amount=c64, initial_unlock_amount=c64, vesting_start=c32, vesting_end=c32)


VaultState = VaultSpawnArguments


@dataclass(frozen=True, slots=True)
class SpendArguments:
    """Arguments of a spend."""

    destination: Address
    amount: int
    """Smidge."""

    codec = struct(destination=ADDRESS, amount=c64)


@dataclass(frozen=True, slots=True)
class DrainVaultArguments:
    """Arguments of a drain: what the vesting account relays to the vault."""

    vault: Address
    spend: SpendArguments

    codec = struct(vault=ADDRESS, spend=SpendArguments.codec)


@dataclass(frozen=True, slots=True)
class MultisigPart:
    """One of the signatures at the end of a multisig's transaction; there is no count before them."""

    ref: int
    """Which of the keys."""
    signature: EdSignature

    codec = struct(ref=c8, signature=ED_SIGNATURE)


SpawnArguments = WalletSpawnArguments | MultisigSpawnArguments | VaultSpawnArguments


def principal_address(template: Address, arguments: SpawnArguments) -> Address:
    """The address of the account that spawning a template with these arguments makes. Raises CodecError."""
    codec: Codec[Any] = arguments.codec
    return Address(bytes(4) + hash32(template, codec.encode(arguments))[12:])
