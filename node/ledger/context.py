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


class Context:
    """The Host of one call: in the name of one account, within what the call may spend.

    The context of the principal is that of the whole transaction; those of calls within lead back to it.
    """

    __slots__ = ("_account", "_cache", "_max_spend", "_principal", "_root", "_transferred", "gas_left", "touched")

    def __init__(self, cache: StagedCache, principal: StagedAccount, max_spend: int, gas_limit: int) -> None:
        self._root: Context | None = None
        """The context of the principal; None in that itself, so that it goes away without the garbage collector."""
        self._cache = cache
        self._principal = self._account = principal
        self._max_spend = max_spend
        self._transferred = 0
        self.gas_left = gas_limit
        """What the transaction may still use beyond its fixed price. Only that of the root counts."""
        self.touched: list[StagedAccount] = []
        """What has changed beside the principal, each once, in the order of the first change."""

    @property
    def principal(self) -> Address:
        """As Host says."""
        return self._principal.address

    @property
    def layer(self) -> LayerId:
        """As Host says."""
        return self._cache.layer

    @property
    def balance(self) -> int:
        """As Host says."""
        return self._account.balance

    def consume(self, gas: int) -> None:
        """As Host says."""
        root = self._root or self
        if gas > root.gas_left:
            root.gas_left = 0
            raise Failure(MAX_GAS)
        root.gas_left -= gas

    def spawn(self, target: Address, template: Template) -> None:
        """As Host says."""
        account = self._cache.account(target)
        if account.template is not None:
            raise Failure("account already spawned")
        self._cache.assign(account, template)
        self._touch(account)

    def transfer(self, destination: Address, amount: int) -> None:
        """As Host says."""
        source = self._account
        target = self._cache.account(destination)
        if amount > source.balance:
            raise Failure("no balance")
        transferred = self._transferred + amount & MASK
        if transferred > self._max_spend:
            raise Failure(f"max spend: {self._max_spend}")
        if target is source:
            return
        self._transferred = transferred
        self._cache.move(source, target, amount)
        if target is not self._principal and target not in self.touched:
            self.touched.append(target)

    def relay(
        self, expected: Address, account: Address, max_spend: int, call: Callable[[Template, Context], None]
    ) -> None:
        """As Host says."""
        callee = self._cache.account(account)
        if callee.template is None:
            raise Failure("account is not spawned")
        if callee.template != expected:
            wanted, found = (addresses.to_text(it, self._cache.hrp) for it in (expected, callee.template))
            raise Failure(f"relay template mismatch: {wanted} != {found}")
        template = self._cache.template_of(account)
        assert template is not None, "an account with the address of a template has one"
        call(template, self._of(callee, max_spend))
        self._cache.assign(callee, template)
        self._touch(callee)

    def attempt(self, call: Callable[[], None]) -> str:
        """As Host says."""
        touched = self.touched
        position, known, transferred = self._cache.position(), len(touched), self._transferred
        try:
            call()
        except Failure as failure:
            self._cache.undo(position)
            del touched[known:]
            self._transferred = transferred
            return str(failure)
        return ""

    def _of(self, account: StagedAccount, max_spend: int) -> Context:
        """The context of a call within this one."""
        inner = Context(self._cache, self._principal, max_spend, 0)
        inner._root = self._root or self
        inner._account = account
        inner.touched = self.touched
        return inner

    def _touch(self, account: StagedAccount) -> None:
        if account is not self._principal and account not in self.touched:
            self.touched.append(account)
