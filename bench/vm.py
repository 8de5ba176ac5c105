"""Layers of spends applied, transactions parsed and verified, accounts hashed, against `pynacl` in the same run.

The baseline is one `crypto_sign_open` a signature, which is what a Python node would do before it looks at anything
else. CPU time of the thread, in turns, medians; what runs on several threads by the wall clock. Every layer meets a
ledger that it has not seen. Protocol 07-vm-and-transactions.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

from nacl.bindings import crypto_sign, crypto_sign_open, crypto_sign_seed_keypair
from rich.table import Table

from bench.settings import Settings, Show
from kernels.signatures import ed25519
from node.ledger import templates
from node.ledger.layer import VmParameters
from node.ledger.machine import Vm
from node.ledger.parse import Parsed
from node.ledger.state import MemoryStore
from node.ledger.state_hash import state_hash
from node.ledger.verify import verifier, verify_all
from protocol.codec.declare import c8
from protocol.crypto import signing
from protocol.types.ids import Address, LayerId, NodeId
from protocol.types.templates import (
    METHOD_SPEND,
    MULTISIG,
    WALLET,
    MultisigSpawnArguments,
    Payload,
    SpendArguments,
    WalletSpawnArguments,
    principal_address,
)
from protocol.types.transactions import Account, RawTx, Transaction

SPENDS = 700
"""Transactions of one layer, each of another wallet; every second one to an account that does not exist yet."""
MULTISIGS = 70
KEYS = 10
HASHED = 20_000
TURNS = 9
"""Measurements of each figure, of which the median is taken."""

LAYER = LayerId(8064)
GENESIS_ID = bytes(range(20))
PARAMETERS = VmParameters(GENESIS_ID, "sm", LayerId(8063))


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the table."""

    key: str
    name: str
    count: int
    run: Callable[[], object]
    before: Callable[[], object] = lambda: None
    """Not measured."""
    reference: float | None = None
    """Of the reference on one core of the same kind, a second."""
    asked: float | None = None
    """What was asked of ours, a second, with IFMA where there are signatures."""
    asked_elsewhere: float | None = None
    """The same without IFMA."""
    signatures: int = 0
    """That `pynacl` would have to verify for one of these."""


def run(settings: Settings, show: Show) -> dict[str, object]:
    """All figures; `show` prints the table."""
    if ed25519.is_fast():
        show("loading the code for eight signatures at a time …")
        signing.prepare()
    work = Work()
    figures = work.figures()
    times: dict[str, list[float]] = {figure.key: [] for figure in figures}
    for _ in range(TURNS * max(1, settings.rounds // 5)):
        for figure in figures:
            figure.before()
            began = time.thread_time()
            figure.run()
            times[figure.key].append((time.thread_time() - began) / figure.count)
    seconds = {key: statistics.median(found) for key, found in times.items()}
    show(_table(figures, seconds))
    threads = {count: work.on_threads(count) for count in sorted({1, settings.threads})}
    show(
        "700 signed spends by the wall clock: "
        + ", ".join(f"{rate:,.0f}/s on {count} thread{'s'[: count > 1]}" for count, rate in threads.items())
    )
    return {
        "per_second": {key: round(1 / value) for key, value in seconds.items()},
        "has_ifma": ed25519.is_fast(),
        "signed_layer_per_second_on_threads": {str(count): round(rate) for count, rate in threads.items()},
    }


class Work:
    """What is measured: accounts, and transactions signed by their keys."""

    def __init__(self) -> None:
        wallets = [_key_pair(number) for number in range(SPENDS)]
        self.accounts = [_account(WALLET, WalletSpawnArguments(NodeId(public))) for public, _ in wallets]
        unknown = [Address(bytes(4) + number.to_bytes(20, "big")) for number in range(1, SPENDS + 1)]
        self.spends = []
        for place, (_, secret) in enumerate(wallets):
            to = unknown[place] if place % 2 else self.accounts[(7 * place + 1) % SPENDS].address
            unsigned = _spend(self.accounts[place].address, to, 1_000 + 12_345_678 * place)
            self.spends.append(unsigned + crypto_sign(GENESIS_ID + unsigned, secret)[:64])
        self.multisigs = []
        for number in range(MULTISIGS):
            keys = [_key_pair(1_000 + KEYS * number + place) for place in range(KEYS)]
            state = MultisigSpawnArguments(KEYS, tuple(NodeId(public) for public, _ in keys))
            account = _account(MULTISIG, state)
            self.accounts.append(account)
            unsigned = _spend(account.address, unknown[number], 10**6)
            parts = (
                c8.encode(ref) + crypto_sign(GENESIS_ID + unsigned, secret)[:64] for ref, (_, secret) in enumerate(keys)
            )
            self.multisigs.append(unsigned + b"".join(parts))
        self.unverified = [Transaction(RawTx.of(raw)) for raw in self.spends]
        vm = self._vm()
        self.verified = [Transaction(one.raw, vm.parse(one.raw.raw).header) for one in self.unverified]
        self.hashed = [
            Account(LAYER, unknown[place % SPENDS], place % 90, 10**12 + place, WALLET, bytes(32))
            if place % 2
            else Account(LAYER, unknown[place % SPENDS], 0, 10**9 + place)
            for place in range(HASHED)
        ]
        self.signed = [(raw[-64:] + GENESIS_ID + raw[:-64], public) for raw, (public, _) in zip(self.spends, wallets)]
        self.current = vm

    def figures(self) -> list[Figure]:
        """All lines, in the order of the table."""
        return [
            Figure("pynacl", "pynacl, a signature", SPENDS, self._pynacl, signatures=1),
            Figure(
                "signed_layer",
                "layer of signed spends",
                SPENDS,
                lambda: self._apply(self.unverified),
                self._forget,
                14_000,
                30_000,
                14_000,
                1,
            ),
            Figure(
                "verified_layer",
                "verified before",
                SPENDS,
                lambda: self._apply(self.verified),
                self._forget,
                40_000,
                45_000,
                45_000,
            ),
            Figure(
                "wallet",
                "wallet, verified",
                SPENDS,
                lambda: self._check(self.spends),
                self._forget,
                17_600,
                50_000,
                signatures=1,
            ),
            Figure(
                "multisig",
                "10-of-10, verified",
                MULTISIGS,
                lambda: self._check(self.multisigs),
                self._forget,
                1_900,
                12_000,
                signatures=KEYS,
            ),
            Figure(
                "wallet_known",
                "wallet, key known",
                SPENDS,
                lambda: self._check(self.spends),
                lambda: self._remember(self.spends),
                signatures=1,
            ),
            Figure(
                "multisig_known",
                "10-of-10, keys known",
                MULTISIGS,
                lambda: self._check(self.multisigs),
                lambda: self._remember(self.multisigs),
                signatures=KEYS,
            ),
            Figure(
                "state_hash",
                "account, hashed",
                HASHED,
                lambda: state_hash(LAYER, self.hashed),
                reference=6_000_000,
                asked=1_000_000,
                asked_elsewhere=1_000_000,
            ),
        ]

    def on_threads(self, threads: int) -> float:
        """Signed spends a second by the wall clock, signatures on so many threads."""
        found = []
        for _ in range(TURNS):
            vm = self._vm(threads)
            ed25519.KNOWN = ed25519.KnownKeys()
            began = time.perf_counter()
            vm.apply(LAYER, self.unverified)
            found.append(SPENDS / (time.perf_counter() - began))
        return statistics.median(found)

    def _vm(self, threads: int = 1) -> Vm:
        store = MemoryStore()
        store.write_accounts(self.accounts)
        return Vm(PARAMETERS, store, verifier(GENESIS_ID, threads))

    def _forget(self) -> None:
        """A ledger without the layer, and nothing known of its accounts."""
        self.current = self._vm()
        templates.code_of.cache_clear()
        ed25519.KNOWN = ed25519.KnownKeys()

    def _remember(self, raws: list[bytes]) -> None:
        """Accounts whose keys have signed before: from the second time on their tables are kept."""
        self._forget()
        for _ in range(2):
            self._check(raws)

    def _apply(self, transactions: list[Transaction]) -> None:
        changes = self.current.apply(LAYER, transactions)
        assert len(changes.executed) == len(transactions), "every spend is executed"

    def _check(self, raws: list[bytes]) -> None:
        parsed: list[Parsed] = [self.current.parse(raw) for raw in raws]
        assert all(verify_all(parsed, verifier(GENESIS_ID))), "every transaction is signed"

    def _pynacl(self) -> None:
        for signed, public in self.signed:
            crypto_sign_open(signed, public)


def _key_pair(number: int) -> tuple[bytes, bytes]:
    return crypto_sign_seed_keypair(number.to_bytes(32, "little"))


def _account(template: Address, arguments: WalletSpawnArguments | MultisigSpawnArguments) -> Account:
    state = (
        WalletSpawnArguments.codec.encode(arguments)
        if isinstance(arguments, WalletSpawnArguments)
        else MultisigSpawnArguments.codec.encode(arguments)
    )
    return Account(LayerId(0), principal_address(template, arguments), 1, 10**12, template, state)


def _spend(principal: Address, to: Address, amount: int) -> bytes:
    arguments = SpendArguments.codec.encode(SpendArguments(to, amount))
    return b"".join((c8.encode(0), principal, c8.encode(METHOD_SPEND), Payload.codec.encode(Payload(1, 1)), arguments))


def _table(figures: list[Figure], seconds: dict[str, float]) -> Table:
    table = Table("what", "µs each", "a second", "reference", "asked", "× pynacl", title="The ledger, on one core")
    for column in table.columns[1:]:
        column.justify = "right"
    for figure in figures:
        one = seconds[figure.key]
        asked = figure.asked if ed25519.is_fast() else figure.asked_elsewhere
        table.add_row(
            figure.name,
            f"{1e6 * one:.2f}",
            f"{1 / one:,.0f}",
            f"{figure.reference:,.0f}" if figure.reference else "·",
            f"{asked:,.0f}" if asked else "·",
            f"{figure.signatures * seconds['pynacl'] / one:.2f}" if figure.signatures else "·",
        )
    return table
