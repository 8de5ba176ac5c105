"""Applying a layer: its transactions in order, then its rewards, then the hash of what changed.

A pure function from the state before to what one layer changes; `node.ledger.state` keeps it. Protocol
07-vm-and-transactions, sections 4.1 to 4.4.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from node.ledger import rewards as paying
from node.ledger.context import Context
from node.ledger.errors import Failure, LayerRefused, ParseError
from node.ledger.parameters import VmParameters
from node.ledger.parse import Parsed, parse
from node.ledger.rewards import CoinbaseReward
from node.ledger.rules import Rules
from node.ledger.staging import Load, StagedAccount, StagedCache
from node.ledger.state_hash import state_hash
from node.ledger.templates.template import Template
from node.ledger.verify import VerifyMany, verify, verify_all
from protocol.numbers.issuance import subsidy
from protocol.numbers.u64 import MASK
from protocol.types.ids import EMPTY_BLOCK_ID, Address, BlockId, Hash32, LayerId, TransactionId
from protocol.types.templates import METHOD_SPAWN
from protocol.types.transactions import (
    Account,
    Reward,
    Transaction,
    TransactionResult,
    TransactionStatus,
    TxHeader,
)


@dataclass(frozen=True, slots=True)
class Executed:
    """A transaction that was applied, whether its call succeeded or not."""

    id: TransactionId
    parsed: Parsed
    failure: str
    """Why the call failed; empty where it did not."""
    gas_used: int
    """Up to the header's `max_gas`, which is what it could have used."""
    fee: int
    """Smidge."""
    addresses: tuple[Address, ...]
    """The principal, then what else was changed, in the order of the first change."""

    @property
    def header(self) -> TxHeader:
        """The header by which it was applied."""
        return self.parsed.header

    def result(self, layer: LayerId, block: BlockId) -> TransactionResult:
        """The row for the store and the interfaces."""
        status = TransactionStatus.FAILURE if self.failure else TransactionStatus.SUCCESS
        return TransactionResult(status, self.failure, self.gas_used, self.fee, block, layer, self.addresses)


@dataclass(frozen=True, slots=True)
class Ineffective:
    """A transaction that left no trace: no fee, no nonce, no row of a result."""

    id: TransactionId
    header: TxHeader | None
    """Only where nothing but the nonce was wrong."""
    reason: str
    """For a person; the network does not tell it."""


@dataclass(frozen=True, slots=True)
class LayerChanges:
    """Everything that one layer changes: to be written at once or not at all."""

    layer: LayerId
    accounts: tuple[Account, ...]
    """In the order of the state hash and of the events."""
    before: tuple[Account | None, ...]
    """The versions that these accounts had, in the same order; None: there was none."""
    executed: tuple[Executed, ...]
    ineffective: tuple[Ineffective, ...]
    rewards: tuple[Reward, ...]
    state_hash: Hash32
    subsidy: int
    """Smidge that the layer could pay out beside the fees."""
    block: BlockId = EMPTY_BLOCK_ID
    """The block that was applied; of an optimistic execution it is known only afterwards."""

    @property
    def fees(self) -> int:
        """Smidge that principals paid."""
        return sum(executed.fee for executed in self.executed)

    @property
    def burnt(self) -> int:
        """Smidge of subsidy and fees that nobody got."""
        return self.subsidy + self.fees - sum(reward.total_reward for reward in self.rewards)

    def of_block(self, block: BlockId) -> LayerChanges:
        """The same changes, made by a block."""
        return replace(self, block=block)

    def results(self) -> list[tuple[TransactionId, TransactionResult]]:
        """The row of each executed transaction, in their order."""
        return [(executed.id, executed.result(self.layer, self.block)) for executed in self.executed]


def execute(
    parameters: VmParameters,
    load: Load,
    layer: LayerId,
    transactions: Sequence[Transaction],
    rewards: Sequence[CoinbaseReward],
    verify_many: VerifyMany,
    block: BlockId = EMPTY_BLOCK_ID,
) -> LayerChanges:
    """What applying a layer changes. Nothing is written.

    A transaction with a header was verified before, and its signatures are not looked at again.
    Raises LayerRefused: before_genesis, no_weight, duplicate_row, overflow, internal; StoreFault as `load` does.
    """
    if layer < parameters.first_layer:
        raise LayerRefused(
            f"Layer {layer} lies before layer {parameters.first_layer}, the first one that can be applied.",
            "before_genesis",
        )
    cache = StagedCache(parameters.rules, parameters.hrp, load, layer)
    executed, ineffective = _Transactions(parameters, cache, verify_many).run(transactions)
    paid_out = subsidy(layer - parameters.first_effective_genesis)
    fees = sum(one.fee for one in executed) & MASK
    rows = paying.distribute(layer, paying.in_order(rewards), paid_out, fees) if rewards else []
    for row in rows:
        coinbase = cache.account(row.coinbase)
        coinbase.balance = coinbase.balance + row.total_reward & MASK
        cache.mark(coinbase)
    accounts = cache.accounts()
    return LayerChanges(
        layer=layer,
        accounts=tuple(accounts),
        before=tuple(staged.stored for staged in cache.changed),
        executed=tuple(executed),
        ineffective=tuple(ineffective),
        rewards=tuple(rows),
        state_hash=state_hash(layer, accounts),
        subsidy=paid_out,
        block=block,
    )


class _Ineffective(Exception):
    """Why a transaction leaves no trace."""


class _Transactions:
    """The transactions of one layer, one after another."""

    def __init__(self, parameters: VmParameters, cache: StagedCache, verify_many: VerifyMany) -> None:
        self._rules = parameters.rules
        self._cache = cache
        self._gas_left = parameters.block_gas_limit
        self._verify_many = verify_many

    def run(self, transactions: Sequence[Transaction]) -> tuple[list[Executed], list[Ineffective]]:
        """What was executed, and what left no trace."""
        cache = self._cache
        executed, ineffective = [], []
        for transaction, (parsed, verdict) in zip(transactions, self._look_ahead(transactions)):
            id = transaction.raw.id
            try:
                # what was guessed stands if the principal is what it was taken for
                if parsed is None or cache.template_of(parsed.principal) is not parsed.principal_template:
                    parsed, verdict = parse(transaction.raw.raw, cache.template_of, self._rules), None
                principal = cache.account(parsed.principal)
                self._check(principal, parsed, transaction.header is not None or verdict)
            except (ParseError, _Ineffective) as error:
                ineffective.append(Ineffective(id, None, str(error)))
                continue
            if principal.next_nonce > parsed.nonce:
                reason = f"The nonce {parsed.nonce} is used up, the next one is {principal.next_nonce}."
                ineffective.append(Ineffective(id, parsed.header, reason))
                continue
            executed.append(self._execute(id, principal, parsed))
        return executed, ineffective

    def _look_ahead(self, transactions: Sequence[Transaction]) -> list[tuple[Parsed | None, bool | None]]:
        """Each transaction as it will most likely parse, and whether it is signed; all signatures in one batch."""
        ahead = _Ahead(self._rules, self._cache)
        guesses = [ahead.parse(transaction.raw.raw) for transaction in transactions]
        unknown = [
            (place, parsed)
            for place, (parsed, transaction) in enumerate(zip(guesses, transactions))
            if parsed is not None and transaction.header is None
        ]
        verdicts: list[bool | None] = [None] * len(guesses)
        if unknown:
            found = verify_all((parsed for _, parsed in unknown), self._verify_many)
            for (place, _), verdict in zip(unknown, found):
                verdicts[place] = verdict
        return list(zip(guesses, verdicts))

    def _check(self, principal: StagedAccount, parsed: Parsed, verdict: bool | None) -> None:
        """All that makes a transaction ineffective, but the nonce. Raises _Ineffective."""
        if parsed.gas_price == 0:
            raise _Ineffective("The gas price is 0.")
        # smidge are compared with gas, whatever the price: kept, because the network does so
        if principal.balance < parsed.intrinsic_gas:
            raise _Ineffective(
                f"The principal has {principal.balance} smidge, fewer than the intrinsic gas of {parsed.intrinsic_gas}."
            )
        if self._gas_left < parsed.max_gas:
            raise _Ineffective(f"Of the block's gas {self._gas_left} are left, {parsed.max_gas} are needed.")
        if verdict is None:
            verdict = verify(parsed, self._verify_many)
        if not verdict:
            raise _Ineffective("A signature is missing or not valid.")

    def _execute(self, id: TransactionId, principal: StagedAccount, parsed: Parsed) -> Executed:
        """All gas that may be used is paid for at first; what was not used is given back."""
        cache = self._cache
        fee, gas_used, failure = parsed.fee, parsed.max_gas, ""
        touched: Sequence[StagedAccount] = ()
        if fee > principal.balance:
            fee = principal.balance
            principal.balance = 0
            failure = "out of gas"
        else:
            principal.balance -= fee
            host = Context(cache, principal, parsed.max_spend, parsed.gas_limit)
            try:
                if parsed.method == METHOD_SPAWN:
                    assert parsed.spawned is not None, "a spawn makes something"
                    host.spawn(parsed.target, parsed.spawned)
                else:
                    parsed.payer.run(host, parsed.method, parsed.arguments)
                touched = host.touched
                cache.settle()
            except Failure as error:
                cache.undo(0)
                failure = str(error)
            except ParseError as error:
                raise LayerRefused(
                    f"Transaction {id.hex()} calls an account that cannot be run: {error}", "internal"
                ) from error
            if host.gas_left:
                gas_used -= host.gas_left
                fee -= host.gas_left * parsed.gas_price
                principal.balance += host.gas_left * parsed.gas_price
        principal.next_nonce = parsed.nonce + 1 & MASK
        cache.mark(principal)
        for account in touched:
            cache.mark(account)
        self._gas_left -= gas_used
        addresses = (parsed.principal, *[account.address for account in touched])
        return Executed(id, parsed, failure, gas_used, fee, addresses)


class _Ahead:
    """The accounts as they will most likely be when a transaction's turn comes: with what is spawned before it."""

    def __init__(self, rules: Rules, cache: StagedCache) -> None:
        self._rules = rules
        self._cache = cache
        self._spawned: dict[bytes, Template] = {}

    def parse(self, raw: bytes) -> Parsed | None:
        """A guess; None where the transaction does not parse."""
        try:
            parsed = parse(raw, self._template_of, self._rules)
        except ParseError:
            return None
        if parsed.spawned is not None and self._cache.account(parsed.target).template is None:
            self._spawned.setdefault(parsed.target, parsed.spawned)
        return parsed

    def _template_of(self, address: Address) -> Template | None:
        return self._spawned.get(address) or self._cache.template_of(address)
