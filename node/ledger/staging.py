"""Accounts while a layer runs: loaded once, changed in place, remembered in the order of their first change.

A journal holds what every change has replaced, so that a call, or a call within a call, can be undone.
Protocol 07-vm-and-transactions, sections 4.2 to 4.4.
"""

from __future__ import annotations

from collections.abc import Callable

from node.ledger.rules import Rules
from node.ledger.templates.template import Template
from protocol.numbers.u64 import MASK
from protocol.types.ids import Address, LayerId
from protocol.types.transactions import Account

Load = Callable[[Address], Account | None]
"""The newest state of an account; None where there is none. Raises StoreFault, which ends the layer."""


class StagedAccount:
    """One account. Mutable; what a call changes goes through the cache, which can take it back."""

    __slots__ = ("address", "balance", "is_changed", "loaded", "next_nonce", "state", "stored", "template")

    def __init__(self, address: Address, stored: Account | None) -> None:
        self.address = address
        self.stored = stored
        """As it was before the layer."""
        self.is_changed = False
        self.loaded: Template | None = None
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


_Moved = tuple[StagedAccount, StagedAccount, int]
"""From whom, to whom, smidge."""
_Assigned = tuple[StagedAccount, Address | None, bytes, Template | None]
"""Whose template was changed, and what it was before."""


class StagedCache:
    """The accounts of one layer."""

    __slots__ = ("_accounts", "_journal", "_load", "_rules", "changed", "hrp", "layer")

    def __init__(self, rules: Rules, hrp: str, load: Load, layer: LayerId) -> None:
        self._rules = rules
        self.hrp = hrp
        self._load = load
        self._accounts: dict[bytes, StagedAccount] = {}
        self._journal: list[_Moved | _Assigned] = []
        self.layer = layer
        self.changed: list[StagedAccount] = []
        """In the order of the first change."""

    def account(self, address: Address) -> StagedAccount:
        """The account as it stands now; an empty one where there is none."""
        staged = self._accounts.get(address)
        if staged is None:
            staged = self._accounts[address] = StagedAccount(address, self._load(address))
        return staged

    def template_of(self, address: Address) -> Template | None:
        """The template with the state, None where nothing was spawned. Raises ParseError (malformed, internal)."""
        account = self._accounts.get(address) or self.account(address)
        if account.loaded is None and account.template is not None:
            account.loaded = self._rules.load(account.template, account.state)
        return account.loaded

    def mark(self, account: StagedAccount) -> None:
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

    # ---- what calls change ----

    def move(self, source: StagedAccount, target: StagedAccount, amount: int) -> None:
        """Move smidge, no more than the source has, to another account."""
        self._journal.append((source, target, amount))
        source.balance -= amount
        target.balance = target.balance + amount & MASK

    def assign(self, account: StagedAccount, template: Template) -> None:
        """Make the account one of this template."""
        self._journal.append((account, account.template, account.state, account.loaded))
        account.loaded = template
        account.template = template.address
        account.state = template.state

    def position(self) -> int:
        """Where the journal stands, for `undo`."""
        return len(self._journal)

    def undo(self, position: int) -> None:
        """Take back everything since a position, the last change first."""
        journal = self._journal
        while len(journal) > position:
            change = journal.pop()
            if len(change) == 3:
                source, target, amount = change
                target.balance = target.balance - amount & MASK
                source.balance += amount
            else:
                assigned, template, state, loaded = change
                assigned.template = template
                assigned.state = state
                assigned.loaded = loaded

    def settle(self) -> None:
        """Nothing that was done so far will be undone."""
        self._journal.clear()
