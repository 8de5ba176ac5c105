"""A small world for tests of the ledger: keys, accounts of every template, transactions built and signed by hand."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from nacl.bindings import crypto_sign, crypto_sign_seed_keypair

from node.ledger import state
from node.ledger.layer import LayerChanges
from node.ledger.parameters import VmParameters
from node.ledger.parse import Parsed
from node.ledger.rewards import CoinbaseReward
from node.ledger.rules import NETWORK, Rules
from node.ledger.vm import Vm
from node.store.store import Backend
from protocol.codec.compact import compact
from protocol.types.ids import EMPTY_ADDRESS, Address, Hash32, LayerId, TransactionId
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
from protocol.types.transactions import (
    Account,
    LayerLimits,
    RawTx,
    Reward,
    Transaction,
    TransactionResult,
    TxHeader,
)
from tests.support.node_stores import Kept

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


class Machine:
    """A virtual machine with the rows that it works on; everything that changes them is one unit."""

    def __init__(self, vm: Vm, kept: Kept) -> None:
        self.vm = vm
        self.kept = kept

    def parse(self, raw: bytes) -> Parsed:
        return self.kept.read(lambda view: self.vm.parse(view, raw))

    def verify(self, parsed: Parsed) -> bool:
        return self.vm.verify(parsed)

    def execute(
        self, layer: LayerId, transactions: Sequence[Transaction], rewards: Sequence[CoinbaseReward] = ()
    ) -> LayerChanges:
        return self.kept.read(lambda view: self.vm.execute(view, layer, transactions, rewards))

    def apply(
        self, layer: LayerId, transactions: Sequence[Transaction], rewards: Sequence[CoinbaseReward] = ()
    ) -> LayerChanges:
        return self.kept.unit(lambda rows: self.vm.apply(rows, layer, transactions, rewards))

    def revert(self, layer: LayerId) -> list[TransactionId]:
        return self.kept.unit(lambda rows: self.vm.revert(rows, layer))

    def account(self, address: Address, layer: LayerId | None = None) -> Account | None:
        return self.kept.read(lambda view: state.account(view, address, layer))

    def accounts(self, layer: LayerId | None = None) -> list[Account]:
        return self.kept.read(lambda view: list(state.accounts(view, layer)))

    def rewards(self) -> list[Reward]:
        return self.kept.read(state.rewards)

    def result(self, id: TransactionId) -> TransactionResult | None:
        return self.kept.read(lambda view: state.result(view, id))

    def state_hash(self) -> Hash32:
        return self.kept.read(state.current_state_hash)

    def last_applied(self) -> LayerId | None:
        return self.kept.read(state.last_applied)


def machine(
    accounts: Iterable[Account],
    gas_limit: int = (1 << 64) - 1,
    backend: Backend | None = None,
    rules: Rules = NETWORK,
) -> Machine:
    """A machine whose ledger holds these accounts."""
    kept = Kept(backend)
    kept.unit(lambda rows: state.put_accounts(rows, accounts))
    return Machine(Vm(VmParameters(GENESIS_ID, HRP, FIRST_GENESIS, gas_limit, rules=rules)), kept)
