"""What kind of transaction some bytes are, and what they say, whatever the template of their principal is.

Protocol 10-api, section 4.8; 07-vm-and-transactions, section 2.
"""

from __future__ import annotations

from typing import NamedTuple

from api.services.node.addresses import Addresses
from node.ledger.rules import PRECOMPILED
from node.ledger.templates.multisig import Multisig
from node.ledger.templates.template import Template
from node.ledger.templates.vault import Vault
from node.ledger.templates.vesting import Vesting
from node.ledger.templates.wallet import Wallet
from protocol.codec.compact import Fault, read_compact
from protocol.codec.declare import LIST_NESTING, CodecError
from protocol.pb.spacemesh.v2alpha1.tx_pb2 import (
    ContentsDrainVault,
    ContentsMultiSigSpawn,
    ContentsSend,
    ContentsSingleSigSpawn,
    ContentsVaultSpawn,
    Transaction,
    TransactionContents,
)
from protocol.types.ids import ADDRESS_SIZE, ED_SIGNATURE_SIZE, Address
from protocol.types.templates import (
    METHOD_DRAIN_VAULT,
    METHOD_SPAWN,
    METHOD_SPEND,
    DrainVaultArguments,
    SpendArguments,
    VaultSpawnArguments,
)

_PRINCIPAL_END = 1 + ADDRESS_SIZE
_SPAWNS: dict[type[Template], tuple[Transaction.TransactionType, str]] = {
    Wallet: (Transaction.TRANSACTION_TYPE_SINGLE_SIG_SPAWN, "single_sig_spawn"),
    Multisig: (Transaction.TRANSACTION_TYPE_MULTI_SIG_SPAWN, "multi_sig_spawn"),
    Vesting: (Transaction.TRANSACTION_TYPE_VESTING_SPAWN, "vesting_spawn"),
    Vault: (Transaction.TRANSACTION_TYPE_VAULT_SPAWN, "vault_spawn"),
}


class Contents(NamedTuple):
    """What a transaction is."""

    type: Transaction.TransactionType
    contents: TransactionContents


def contents_of(raw: bytes, addresses: Addresses) -> Contents | None:
    """What signed bytes say; None where they are no call that the network knows."""
    try:
        method, at = read_compact(raw, _PRINCIPAL_END, 8)
        if method == METHOD_SPAWN:
            return _spawn(raw, at, addresses)
        at = _payload_end(raw, at)
        if method == METHOD_SPEND:
            return _spend(raw, at, addresses)
        if method == METHOD_DRAIN_VAULT:
            return _drain(raw, at, addresses)
    except (CodecError, Fault, IndexError):
        return None
    return None


def _payload_end(raw: bytes, at: int) -> int:
    """Behind nonce and gas price."""
    for _ in range(2):
        _, at = read_compact(raw, at, 64)
    return at


def _spawn(raw: bytes, at: int, addresses: Addresses) -> Contents | None:
    template = PRECOMPILED.get(Address(raw[at : at + ADDRESS_SIZE]))
    if template is None:
        return None
    at = _payload_end(raw, at + ADDRESS_SIZE)
    arguments, _ = template.arguments[METHOD_SPAWN].read(raw, at, LIST_NESTING)
    type, field = _SPAWNS[template]
    shown: ContentsSingleSigSpawn | ContentsMultiSigSpawn | ContentsVaultSpawn
    if template is Wallet:
        shown = ContentsSingleSigSpawn(pubkey=arguments.public_key.hex())
    elif template is Vault:
        shown = _vault(arguments, addresses)
    else:
        shown = ContentsMultiSigSpawn(
            required=arguments.required, pubkey=[bytes(key).hex() for key in arguments.public_keys]
        )
    contents = TransactionContents()
    getattr(contents, field).CopyFrom(shown)
    return Contents(type, contents)


def _vault(arguments: VaultSpawnArguments, addresses: Addresses) -> ContentsVaultSpawn:
    return ContentsVaultSpawn(
        owner=addresses.text(arguments.owner),
        total_amount=arguments.total_amount,
        initial_unlock_amount=arguments.initial_unlock_amount,
        vesting_start=arguments.vesting_start,
        vesting_end=arguments.vesting_end,
    )


def _spend(raw: bytes, at: int, addresses: Addresses) -> Contents:
    """One signature behind the arguments: of a single key; more: of several."""
    arguments, end = SpendArguments.codec.read(raw, at, LIST_NESTING)
    is_single = len(raw) - end <= ED_SIGNATURE_SIZE
    type = Transaction.TRANSACTION_TYPE_SINGLE_SIG_SEND if is_single else Transaction.TRANSACTION_TYPE_MULTI_SIG_SEND
    send = ContentsSend(destination=addresses.text(arguments.destination), amount=arguments.amount)
    return Contents(type, TransactionContents(send=send))


def _drain(raw: bytes, at: int, addresses: Addresses) -> Contents:
    arguments, _ = DrainVaultArguments.codec.read(raw, at, LIST_NESTING)
    drain = ContentsDrainVault(
        vault=addresses.text(arguments.vault),
        destination=addresses.text(arguments.spend.destination),
        amount=arguments.spend.amount,
    )
    return Contents(Transaction.TRANSACTION_TYPE_DRAIN_VAULT, TransactionContents(drain_vault=drain))
