"""Layers of spends applied, transactions parsed and verified, accounts hashed, against `pynacl` in the same run.

The baseline is one `crypto_sign_open` a signature, which is what a Python node would do before it looks at anything
else. Processor time, in turns, medians; what runs on several threads by the wall clock. Every round has keys that were
never seen, and a ledger of its own. Protocol 07-vm-and-transactions.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from nacl.bindings import crypto_sign, crypto_sign_open, crypto_sign_seed_keypair
from rich.table import Table

from bench.settings import Settings, Show
from kernels.signatures import ed25519
from node.ledger import state
from node.ledger.layer import execute
from node.ledger.parameters import VmParameters
from node.ledger.parse import Parsed, parse
from node.ledger.rules import NETWORK, load
from node.ledger.state_hash import state_hash
from node.ledger.verify import verifier, verify_all
from node.ledger.vm import Vm
from node.schema import STATE
from node.store.level import open_store
from node.store.store import Store
from node.store.view import Rows
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
VM = Vm(PARAMETERS)


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
    after: Callable[[], object] = lambda: None
    """Not measured."""


def run(settings: Settings, show: Show) -> dict[str, object]:
    """All figures; `show` prints the table."""
    if ed25519.is_fast():
        show("loading the code for eight signatures at a time …")
        signing.prepare()
    work = Work(settings.directory)
    figures = work.figures()
    times: dict[str, list[float]] = {figure.key: [] for figure in figures}
    for _ in range(TURNS * max(1, settings.rounds // 5)):
        for figure in figures:
            figure.before()
            began = time.process_time()
            figure.run()
            times[figure.key].append((time.process_time() - began) / figure.count)
            figure.after()
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


@dataclass(frozen=True, slots=True)
class Round:
    """Accounts with keys that nothing has seen before, and one spend of each."""

    keys: list[bytes]
    accounts: list[Account]
    spends: list[bytes]
    to_verify: list[Transaction]
    verified: list[Transaction]

    @classmethod
    def of_wallets(cls, first: int) -> Round:
        """Every second spend goes to an account that does not exist yet. first: the number of the first key."""
        pairs = [_key_pair(first + place) for place in range(SPENDS)]
        accounts = [_account(WALLET, WalletSpawnArguments(NodeId(public))) for public, _ in pairs]
        spends = []
        for place, (_, secret) in enumerate(pairs):
            to = _unknown(place) if place % 2 else accounts[(7 * place + 1) % SPENDS].address
            unsigned = _spend(accounts[place].address, to, 1_000 + 12_345_678 * place)
            spends.append(unsigned + crypto_sign(GENESIS_ID + unsigned, secret)[:64])
        return cls._of([public for public, _ in pairs], accounts, spends)

    @classmethod
    def of_multisigs(cls, first: int) -> Round:
        """10 of 10 keys each."""
        accounts, spends = [], []
        for number in range(MULTISIGS):
            pairs = [_key_pair(first + KEYS * number + place) for place in range(KEYS)]
            state = MultisigSpawnArguments(KEYS, tuple(NodeId(public) for public, _ in pairs))
            accounts.append(_account(MULTISIG, state))
            unsigned = _spend(accounts[-1].address, _unknown(number), 10**6)
            parts = (
                c8.encode(ref) + crypto_sign(GENESIS_ID + unsigned, secret)[:64]
                for ref, (_, secret) in enumerate(pairs)
            )
            spends.append(unsigned + b"".join(parts))
        return cls._of([], accounts, spends)

    @classmethod
    def _of(cls, keys: list[bytes], accounts: list[Account], spends: list[bytes]) -> Round:
        to_verify = [Transaction(RawTx.of(raw)) for raw in spends]
        templates = {one.address: NETWORK.load(one.template, one.state) for one in accounts if one.template is not None}
        headers = [parse(raw, templates.get).header for raw in spends]
        verified = [Transaction(one.raw, header) for one, header in zip(to_verify, headers)]
        load.cache_clear()
        return cls(keys, accounts, spends, to_verify, verified)


class Work:
    """What is measured. Every round begins with keys, accounts and a ledger of its own."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._next_key = 0
        self._kept: Store | None = None
        self._folder: TemporaryDirectory[str] | None = None
        self.hashed = [
            Account(LAYER, _unknown(place % SPENDS), place % 90, 10**12 + place, WALLET, bytes(32))
            if place % 2
            else Account(LAYER, _unknown(place % SPENDS), 0, 10**9 + place)
            for place in range(HASHED)
        ]
        self.new_wallets()

    def figures(self) -> list[Figure]:
        """All lines, in the order of the table."""
        return [
            Figure("pynacl", "pynacl, a signature", SPENDS, self._pynacl, self.new_wallets, signatures=1),
            Figure(
                "signed_layer",
                "layer of signed spends",
                SPENDS,
                lambda: self._execute(self.round.to_verify),
                self.new_wallets,
                14_000,
                30_000,
                14_000,
                1,
            ),
            Figure(
                "verified_layer",
                "verified before",
                SPENDS,
                lambda: self._execute(self.round.verified),
                self.new_wallets,
                40_000,
                45_000,
                45_000,
            ),
            Figure(
                "stored_layer",
                "verified, in LevelDB",
                SPENDS,
                self._apply,
                self._new_store,
                asked=25_000,
                asked_elsewhere=25_000,
                after=self._close_store,
            ),
            Figure("wallet", "wallet, verified", SPENDS, self._check, self.new_wallets, 17_600, 50_000, signatures=1),
            Figure(
                "multisig",
                "10-of-10, verified",
                MULTISIGS,
                self._check,
                self.new_multisigs,
                1_900,
                12_000,
                signatures=KEYS,
            ),
            Figure(
                "wallet_known",
                "wallet, key known",
                SPENDS,
                self._check,
                lambda: self._remember(self.new_wallets),
                signatures=1,
            ),
            Figure(
                "multisig_known",
                "10-of-10, keys known",
                MULTISIGS,
                self._check,
                lambda: self._remember(self.new_multisigs),
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
            self.new_wallets()
            began = time.perf_counter()
            self._execute(self.round.to_verify, threads)
            found.append(SPENDS / (time.perf_counter() - began))
        return statistics.median(found)

    def new_wallets(self) -> None:
        """Wallets that nothing knows anything of."""
        self._begin(Round.of_wallets(self._next_key))

    def new_multisigs(self) -> None:
        """The same, of multisigs."""
        self._begin(Round.of_multisigs(self._next_key))

    def _begin(self, round: Round) -> None:
        self._next_key += SPENDS
        self.round = round
        self._accounts = {account.address: account for account in round.accounts}

    def _remember(self, begin: Callable[[], None]) -> None:
        """Accounts whose keys have signed before: from the second time on their tables are kept."""
        begin()
        for _ in range(2):
            self._check()

    def _new_store(self) -> None:
        """A database that holds the accounts, in a folder that goes with it."""
        self.new_wallets()
        self._folder = TemporaryDirectory(dir=self._directory)
        self._kept = open_store(Path(self._folder.name) / "state", STATE)
        view = self._kept.view()
        rows = Rows(view)
        state.put_accounts(rows, self.round.accounts)
        self._kept.write(rows)
        view.close()

    def _close_store(self) -> None:
        assert self._kept is not None and self._folder is not None, "the figure has just used them"
        self._kept.close()
        self._folder.cleanup()

    def _execute(self, transactions: list[Transaction], threads: int = 1) -> None:
        """What a layer changes, from accounts in memory."""
        judge = verifier(GENESIS_ID, threads)
        changes = execute(PARAMETERS, self._accounts.get, LAYER, transactions, (), judge)
        assert len(changes.executed) == len(transactions), "every spend is executed"

    def _apply(self) -> None:
        """The accounts read, the layer executed, all its rows written in one batch that is not waited for."""
        assert self._kept is not None, "opened before"
        view = self._kept.view()
        rows = Rows(view)
        changes = VM.apply(rows, LAYER, self.round.verified)
        self._kept.write(rows)
        view.close()
        assert len(changes.executed) == SPENDS, "every spend is executed"

    def _check(self) -> None:
        templates = {
            one.address: NETWORK.load(one.template, one.state)
            for one in self.round.accounts
            if one.template is not None
        }
        parsed: list[Parsed] = [parse(raw, templates.get) for raw in self.round.spends]
        assert all(verify_all(parsed, verifier(GENESIS_ID))), "every transaction is signed"

    def _pynacl(self) -> None:
        for raw, public in zip(self.round.spends, self.round.keys):
            crypto_sign_open(raw[-64:] + GENESIS_ID + raw[:-64], public)


def _key_pair(number: int) -> tuple[bytes, bytes]:
    return crypto_sign_seed_keypair(number.to_bytes(32, "little"))


def _unknown(number: int) -> Address:
    """An account that no ledger here has."""
    return Address(bytes(4) + (number + 1).to_bytes(20, "big"))


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
