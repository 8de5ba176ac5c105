"""What kind of transaction some bytes are, and what they say, whatever the template of their principal is.

Protocol 10-api, section 4.8; 07-vm-and-transactions, section 2.
"""

from __future__ import annotations

from api.services.node.addresses import Addresses
from node.ledger.rules import PRECOMPILED
from node.ledger.templates.multisig import Multisig
from node.ledger.templates.template import Template
from node.ledger.templates.vault import Vault
from node.ledger.templates.vesting import Vesting
from node.ledger.templates.wallet import Wallet
from protocol.codec.compact import Fault, read_compact
from protocol.codec.declare import LIST_NESTING, CodecError
from protocol.pb.spacemesh.v2alpha1.tx_pb2 import Transaction
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
_SPAWNS: dict[type[Template], Transaction.TransactionType] = {
    Wallet: Transaction.TRANSACTION_TYPE_SINGLE_SIG_SPAWN,
    Multisig: Transaction.TRANSACTION_TYPE_MULTI_SIG_SPAWN,
    Vesting: Transaction.TRANSACTION_TYPE_VESTING_SPAWN,
    Vault: Transaction.TRANSACTION_TYPE_VAULT_SPAWN,
}


def show_contents(shown: Transaction, raw: bytes, addresses: Addresses) -> None:
    """Set type and contents of a transaction by its signed bytes; neither where they are no call that the network
    knows."""
    try:
        method, at = read_compact(raw, _PRINCIPAL_END, 8)
        if method == METHOD_SPAWN:
            _spawn(shown, raw, at, addresses)
        elif method == METHOD_SPEND:
            _spend(shown, raw, _payload_end(raw, at), addresses)
        elif method == METHOD_DRAIN_VAULT:
            _drain(shown, raw, _payload_end(raw, at), addresses)
    except (CodecError, Fault, IndexError):
        return


def _payload_end(raw: bytes, at: int) -> int:
    """Behind nonce and gas price."""
    for _ in range(2):
        _, at = read_compact(raw, at, 64)
    return at


def _spawn(shown: Transaction, raw: bytes, at: int, addresses: Addresses) -> None:
    template = PRECOMPILED.get(Address(raw[at : at + ADDRESS_SIZE]))
    if template is None:
        return
    at = _payload_end(raw, at + ADDRESS_SIZE)
    arguments, _ = template.arguments[METHOD_SPAWN].read(raw, at, LIST_NESTING)
    contents = shown.contents
    if template is Wallet:
        contents.single_sig_spawn.pubkey = arguments.public_key.hex()
    elif template is Vault:
        _vault(shown, arguments, addresses)
    else:
        multi = contents.vesting_spawn if template is Vesting else contents.multi_sig_spawn
        multi.SetInParent()
        multi.required = arguments.required
        multi.pubkey.extend(bytes(key).hex() for key in arguments.public_keys)
    shown.type = _SPAWNS[template]


def _vault(shown: Transaction, arguments: VaultSpawnArguments, addresses: Addresses) -> None:
    vault = shown.contents.vault_spawn
    vault.owner = addresses.text(arguments.owner)
    vault.total_amount = arguments.total_amount
    vault.initial_unlock_amount = arguments.initial_unlock_amount
    vault.vesting_start = arguments.vesting_start
    vault.vesting_end = arguments.vesting_end


def _spend(shown: Transaction, raw: bytes, at: int, addresses: Addresses) -> None:
    """One signature behind the arguments: of a single key; more: of several."""
    arguments, end = SpendArguments.codec.read(raw, at, LIST_NESTING)
    is_single = len(raw) - end <= ED_SIGNATURE_SIZE
    shown.type = (
        Transaction.TRANSACTION_TYPE_SINGLE_SIG_SEND if is_single else Transaction.TRANSACTION_TYPE_MULTI_SIG_SEND
    )
    send = shown.contents.send
    send.destination = addresses.text(arguments.destination)
    send.amount = arguments.amount


def _drain(shown: Transaction, raw: bytes, at: int, addresses: Addresses) -> None:
    arguments, _ = DrainVaultArguments.codec.read(raw, at, LIST_NESTING)
    shown.type = Transaction.TRANSACTION_TYPE_DRAIN_VAULT
    drain = shown.contents.drain_vault
    drain.vault = addresses.text(arguments.vault)
    drain.destination = addresses.text(arguments.spend.destination)
    drain.amount = arguments.spend.amount
