"""A small world for tests of the ledger: keys, accounts of every template, transactions built and signed by hand."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from nacl.bindings import crypto_sign, crypto_sign_seed_keypair

from node.ledger.layer import VmParameters
from node.ledger.machine import Vm
from node.ledger.state import MemoryStore
from protocol.codec.compact import compact
from protocol.types.ids import EMPTY_ADDRESS, Address, LayerId
from protocol.types.templates import (
    METHOD_DRAIN_VAULT,
    METHOD_SPAWN,
    METHOD_SPEND,
    MULTISIG,
    VAULT,
    VESTING,
    WALLET,
    MultisigSpawnArguments,
    SpawnArguments,
    VaultSpawnArguments,
    WalletSpawnArguments,
    principal_address,
)
from protocol.types.transactions import Account, LayerLimits, RawTx, Transaction, TxHeader

GENESIS_ID = bytes.fromhex("9eebff023abb17ccb775c602daade8ed708f0a50")
FIRST_GENESIS = LayerId(8063)
FIRST = LayerId(8064)
"""The first layer with a block."""
HRP = "sm"

VERIFIED = TxHeader(EMPTY_ADDRESS, EMPTY_ADDRESS, 0, 0, LayerLimits(), 0, 0, 0)
"""A header whose content nobody looks at: it says that the transaction was verified."""


@dataclass(frozen=True, slots=True)
class Owner:
    """An account that may be, with what is needed to sign for it. A vault signs nothing."""

    template: Address
    arguments: SpawnArguments
    secret_keys: tuple[bytes, ...]
    refs: tuple[int, ...] = ()
    """Of a multisig: the keys that sign."""

    @property
    def address(self) -> Address:
        return principal_address(self.template, self.arguments)

    @property
    def state(self) -> bytes:
        return self.arguments.codec.encode(self.arguments)  # type: ignore[arg-type]

    def spawned(self, balance: int, next_nonce: int = 0, layer: int = 0) -> Account:
        return Account(LayerId(layer), self.address, next_nonce, balance, self.template, self.state)

    def unspawned(self, balance: int) -> Account:
        return Account(LayerId(0), self.address, 0, balance)

    def sign(self, unsigned: bytes) -> bytes:
        """The whole transaction."""
        if not self.refs:
            return unsigned + b"".join(_signature(key, GENESIS_ID + unsigned) for key in self.secret_keys)
        parts = (compact(ref) + _signature(self.secret_keys[ref], GENESIS_ID + unsigned) for ref in self.refs)
        return unsigned + b"".join(parts)

    def spawn(self, target: Owner | None = None, nonce: int = 0, price: int = 1) -> bytes:
        """A spawn of itself or of another account."""
        made = target or self
        return self.sign(self.head(METHOD_SPAWN) + made.template + compact(nonce) + compact(price) + made.state)

    def spend(self, to: bytes, amount: int, nonce: int, price: int = 1) -> bytes:
        return self.sign(self.head(METHOD_SPEND) + compact(nonce) + compact(price) + to + compact(amount))

    def drain(self, vault: bytes, to: bytes, amount: int, nonce: int, price: int = 1) -> bytes:
        head = self.head(METHOD_DRAIN_VAULT) + compact(nonce) + compact(price)
        return self.sign(head + vault + to + compact(amount))

    def head(self, method: int) -> bytes:
        return b"\0" + self.address + compact(method)


def _signature(secret_key: bytes, message: bytes) -> bytes:
    return crypto_sign(message, secret_key)[:64]


def key_pair(number: int) -> tuple[bytes, bytes]:
    """Public and secret key of the seed that is this number, 1 to 255, 32 times."""
    return crypto_sign_seed_keypair(bytes((number,)) * 32)


def wallet(number: int) -> Owner:
    public, secret = key_pair(number)
    return Owner(WALLET, WalletSpawnArguments(public), (secret,))  # type: ignore[arg-type]


def multisig(numbers: Sequence[int], refs: Sequence[int], template: Address = MULTISIG) -> Owner:
    """As many signatures are required as keys are referred to."""
    pairs = [key_pair(number) for number in numbers]
    arguments = MultisigSpawnArguments(len(refs), tuple(public for public, _ in pairs))  # type: ignore[misc]
    return Owner(template, arguments, tuple(secret for _, secret in pairs), tuple(refs))


def vesting(numbers: Sequence[int], refs: Sequence[int]) -> Owner:
    return multisig(numbers, refs, VESTING)


def vault(owner: Owner, total: int, start: int, end: int) -> Owner:
    arguments = VaultSpawnArguments(owner.address, total, 0, LayerId(start), LayerId(end))
    return Owner(VAULT, arguments, ())


def transaction(raw: bytes, *, is_verified: bool = False) -> Transaction:
    return Transaction(RawTx.of(raw), VERIFIED if is_verified else None)


def transactions(raws: Iterable[bytes], *, is_verified: bool = False) -> list[Transaction]:
    return [transaction(raw, is_verified=is_verified) for raw in raws]


def machine(accounts: Iterable[Account], gas_limit: int = (1 << 64) - 1) -> tuple[Vm, MemoryStore]:
    """A machine whose ledger holds these accounts."""
    store = MemoryStore()
    store.write_accounts(accounts)
    return Vm(VmParameters(GENESIS_ID, HRP, FIRST_GENESIS, gas_limit), store), store
