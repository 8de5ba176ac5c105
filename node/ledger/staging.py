"""Accounts while a layer runs: loaded once, changed in place, remembered in the order of their first change.

`Staged` is one account, `Ledger` all that a layer has looked at, `Call` what a template may do on behalf of the
principal that pays. A call checks everything before it changes anything, so a failure needs no undoing. All amounts
are unsigned integers of 64 bits that wrap around. Protocol 07-vm-and-transactions, sections 4.2 to 4.4.
"""

from __future__ import annotations

from collections.abc import Callable

from node.ledger.errors import Failure
from node.ledger.templates import Template, code_of
from node.ledger.templates.vault import Vault
from protocol.numbers.u64 import MASK
from protocol.types import address as addresses
from protocol.types.ids import Address, LayerId
from protocol.types.templates import SpendArguments
from protocol.types.transactions import Account

Load = Callable[[Address], Account | None]
"""The newest state of an account; None where there is none."""


class Staged:
    """One account. Mutable."""

    __slots__ = ("address", "balance", "code", "is_changed", "next_nonce", "state", "template")

    def __init__(self, address: Address, stored: Account | None) -> None:
        self.address = address
        self.is_changed = False
        self.code: Template | None = None
        """The template with the state; None also while it was not needed yet."""
        if stored is None:
            self.next_nonce = 0
            self.balance = 0
            self.template: Address | None = None
            self.state = b""
        else:
            self.next_nonce = stored.next_nonce
            self.balance = stored.balance
            self.template = stored.template
            self.state = stored.state

    def loaded_code(self) -> Template | None:
        """The template with the state, None where nothing was spawned. Raises ParseError (malformed, internal)."""
        if self.code is None and self.template is not None:
            self.code = code_of(self.template, self.state)
        return self.code

    def assign(self, code: Template) -> None:
        """Make the account one of this template."""
        self.code = code
        self.template = code.address
        self.state = code.state


class Ledger:
    """The accounts of one layer."""

    __slots__ = ("_accounts", "_load", "changed", "layer")

    def __init__(self, load: Load, layer: LayerId) -> None:
        self._load = load
        self._accounts: dict[bytes, Staged] = {}
        self.layer = layer
        self.changed: list[Staged] = []
        """In the order of the first change."""

    def account(self, address: Address) -> Staged:
        """The account as it stands now; an empty one where there is none."""
        staged = self._accounts.get(address)
        if staged is None:
            staged = self._accounts[address] = Staged(address, self._load(address))
        return staged

    def mark(self, account: Staged) -> None:
        """The account has changed in this layer."""
        if not account.is_changed:
            account.is_changed = True
            self.changed.append(account)

    def accounts(self) -> list[Account]:
        """What has changed, as it stands now, in the order of the first change."""
        layer = self.layer
        return [
            Account(layer, staged.address, staged.next_nonce, staged.balance, staged.template, staged.state)
            for staged in self.changed
        ]


class Call:
    """One transaction's doings in the name of its principal."""

    __slots__ = ("_hrp", "_ledger", "_transferred", "principal", "touched")

    def __init__(self, ledger: Ledger, principal: Staged, hrp: str) -> None:
        self._ledger = ledger
        self._hrp = hrp
        self._transferred: dict[Staged, int] = {}
        self.principal = principal
        self.touched: list[Staged] = []
        """What has changed beside the principal, each once, in the order of the first change."""

    @property
    def layer(self) -> LayerId:
        """The layer that is being applied."""
        return self._ledger.layer

    def spawn(self, target: Address, code: Template) -> None:
        """Give an account its template; nonce and coins stay. Raises Failure."""
        account = self._ledger.account(target)
        if account.template is not None:
            raise Failure("account already spawned")
        account.assign(code)
        self._touch(account)

    def transfer(self, source: Staged, destination: Address, amount: int, most: int) -> None:
        """Move smidge, not more than `most` from one source in all. Raises Failure."""
        target = self._ledger.account(destination)
        if amount > source.balance:
            raise Failure("no balance")
        transferred = self._transferred.get(source, 0) + amount & MASK
        if transferred > most:
            raise Failure(f"max spend: {most}")
        if target is source:
            return
        self._transferred[source] = transferred
        source.balance -= amount
        target.balance = target.balance + amount & MASK
        self._touch(target)

    def relay(self, template: type[Vault], vault: Address, arguments: SpendArguments) -> None:
        """Have a vault spend. It counts as touched after the destination. Raises Failure."""
        account = self._ledger.account(vault)
        if account.template is None:
            raise Failure("account is not spawned")
        if account.template != template.address:
            expected, found = (addresses.to_text(it, self._hrp) for it in (template.address, account.template))
            raise Failure(f"relay template mismatch: {expected} != {found}")
        code = account.loaded_code()
        assert isinstance(code, template), "the registry knows the template by this address"
        code.spend(self, account, arguments)
        account.assign(code)
        self._touch(account)

    def _touch(self, account: Staged) -> None:
        if account is not self.principal and account not in self.touched:
            self.touched.append(account)
