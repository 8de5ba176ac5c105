"""The host of a running transaction: what its methods do to the accounts of the layer, and what can be undone.

All amounts are unsigned integers of 64 bits that wrap around. Protocol 07-vm-and-transactions, section 4.3.
"""

from __future__ import annotations

from collections.abc import Callable

from node.ledger.errors import Failure
from node.ledger.staging import StagedAccount, StagedCache
from node.ledger.templates.template import Template
from protocol.numbers.u64 import MASK
from protocol.types import address as addresses
from protocol.types.ids import Address, LayerId

MAX_GAS = "max gas"
"""Why a call fails that uses more gas than its transaction allows."""


class RunningTransaction:
    """What all calls of one transaction share: who pays, the gas beyond the fixed price, what was touched."""

    __slots__ = ("cache", "gas_limit", "gas_used", "hrp", "principal", "touched")

    def __init__(self, cache: StagedCache, principal: StagedAccount, gas_limit: int, hrp: str) -> None:
        self.cache = cache
        self.principal = principal
        self.gas_limit = gas_limit
        self.gas_used = 0
        self.hrp = hrp
        self.touched: list[StagedAccount] = []
        """What has changed beside the principal, each once, in the order of the first change."""

    def touch(self, account: StagedAccount) -> None:
        """The account has changed; its call may still be undone."""
        if account is not self.principal and account not in self.touched:
            self.touched.append(account)


class Context:
    """The Host of one call: in the name of one account, within what the call may spend."""

    __slots__ = ("_account", "_max_spend", "_transaction", "_transferred")

    def __init__(self, transaction: RunningTransaction, account: StagedAccount, max_spend: int) -> None:
        self._transaction = transaction
        self._account = account
        self._max_spend = max_spend
        self._transferred = 0

    @property
    def principal(self) -> Address:
        """As Host says."""
        return self._transaction.principal.address

    @property
    def layer(self) -> LayerId:
        """As Host says."""
        return self._transaction.cache.layer

    @property
    def balance(self) -> int:
        """As Host says."""
        return self._account.balance

    def consume(self, gas: int) -> None:
        """As Host says."""
        transaction = self._transaction
        used = transaction.gas_used + gas
        if used > transaction.gas_limit:
            transaction.gas_used = transaction.gas_limit
            raise Failure(MAX_GAS)
        transaction.gas_used = used

    def spawn(self, target: Address, template: Template) -> None:
        """As Host says."""
        cache = self._transaction.cache
        account = cache.account(target)
        if account.template is not None:
            raise Failure("account already spawned")
        cache.remember(account)
        account.assign(template)
        self._transaction.touch(account)

    def transfer(self, destination: Address, amount: int) -> None:
        """As Host says."""
        transaction, source = self._transaction, self._account
        cache = transaction.cache
        target = cache.account(destination)
        if amount > source.balance:
            raise Failure("no balance")
        transferred = self._transferred + amount & MASK
        if transferred > self._max_spend:
            raise Failure(f"max spend: {self._max_spend}")
        if target is source:
            return
        self._transferred = transferred
        cache.remember(source)
        cache.remember(target)
        source.balance -= amount
        target.balance = target.balance + amount & MASK
        if target is not transaction.principal:
            transaction.touch(target)

    def relay(
        self, expected: Address, account: Address, max_spend: int, call: Callable[[Template, Context], None]
    ) -> None:
        """As Host says."""
        transaction = self._transaction
        cache = transaction.cache
        callee = cache.account(account)
        if callee.template is None:
            raise Failure("account is not spawned")
        if callee.template != expected:
            wanted, found = (addresses.to_text(it, transaction.hrp) for it in (expected, callee.template))
            raise Failure(f"relay template mismatch: {wanted} != {found}")
        template = cache.template_of(account)
        assert template is not None, "an account with the address of a template has one"
        call(template, Context(transaction, callee, max_spend))
        cache.remember(callee)
        callee.assign(template)
        transaction.touch(callee)

    def attempt(self, call: Callable[[], None]) -> str:
        """As Host says."""
        transaction = self._transaction
        cache = transaction.cache
        position, touched, transferred = cache.position(), len(transaction.touched), self._transferred
        try:
            call()
        except Failure as failure:
            cache.undo(position)
            del transaction.touched[touched:]
            self._transferred = transferred
            return str(failure)
        return ""
