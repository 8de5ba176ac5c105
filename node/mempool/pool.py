"""The conservative state: every account's waiting transactions, kept in step with the layers that are applied.

What is in memory follows from rows: `start` makes it anew, and every method that changes it first puts the rows from
which it would be made again into the unit of its caller. Protocol 07-vm-and-transactions, sections 7.2 to 7.5.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from node.ledger import state
from node.mempool import transactions
from node.mempool.account import UNTAGGED, AccountCache, Candidate, TooManyNonces
from node.mempool.errors import MempoolError
from node.mempool.transaction import PoolTransaction
from node.store.view import Rows, View
from protocol.types.ids import NO_LAYER, Address, BlockId, LayerId, ProposalId, TransactionId
from protocol.types.transactions import RawTx, Transaction


class Mempool:
    """The waiting transactions of all accounts."""

    def __init__(self) -> None:
        """Empty; `start` takes up what the store holds."""
        self._accounts: dict[Address, AccountCache] = {}
        self._candidates: dict[TransactionId, Candidate] = {}
        self.touches = 0
        """Grows with every change of the memory, so that the engine knows when a unit that failed has left its mark."""

    def start(self, view: View) -> None:
        """Forget everything and take up what the store holds as pending."""
        applied = state.last_applied(view) or NO_LAYER
        caches = {}
        for principal, waiting in transactions.by_principal(view):
            account = caches[principal] = AccountCache(*state.nonce_and_balance(view, principal))
            first = account.start_nonce
            _fill(account, view, (transactions.pooled(view, id) for nonce, id in waiting if nonce >= first), applied)
        self.touches += 1
        self._accounts.clear()
        self._candidates.clear()
        for principal, account in caches.items():
            self._keep(principal, account)

    def has(self, id: TransactionId) -> bool:
        """Whether the transaction is a candidate."""
        return id in self._candidates

    def account(self, principal: Address) -> AccountCache | None:
        """What is held of an account; not to be changed."""
        return self._accounts.get(principal)

    def projection(self, view: View, principal: Address) -> tuple[int, int]:
        """The nonce to use next, and the smidge that are left, behind everything that waits."""
        account = self._accounts.get(principal)
        return state.nonce_and_balance(view, principal) if account is None else (account.next_nonce, account.balance)

    def waiting(self) -> dict[Address, list[PoolTransaction]]:
        """What can go into a proposal: of each account in the order of nonces, none that is packed already."""
        found = {}
        for principal, account in self._accounts.items():
            if candidates := account.waiting():
                found[principal] = [candidate.transaction for candidate in candidates]
        return found

    def add(self, rows: Rows, transaction: Transaction, received: int) -> bool:
        """Take a verified transaction; whether it is a candidate now, or only stored.

        Stored only are those whose nonce has a better one, and those beyond the number of nonces of an account.
        Raises MempoolError (bad_nonce, insufficient_balance), with nothing put, and StoreFault.
        """
        pooled = PoolTransaction.of(transaction, received)
        principal = pooled.principal
        account = self._accounts.get(principal) or AccountCache(*state.nonce_and_balance(rows, principal))
        if pooled.nonce < account.start_nonce:
            raise MempoolError(
                f"The transaction has the nonce {pooled.nonce}, but the next one of its account is "
                f"{account.start_nonce}.",
                "bad_nonce",
            )
        account.check(pooled)
        transactions.put(rows, transaction, received)
        self.touches += 1
        before = account.candidates[:]
        try:
            is_candidate = account.add(pooled, UNTAGGED)
        except TooManyNonces:
            is_candidate = False
        self._keep(principal, account, before)
        return is_candidate

    def link_proposal(self, rows: Rows, layer: LayerId, proposal: ProposalId, ids: Sequence[TransactionId]) -> None:
        """A proposal holds these transactions."""
        transactions.link_proposal(rows, layer, proposal, ids)
        self._tag(layer, ids)

    def link_block(self, rows: Rows, layer: LayerId, block: BlockId, ids: Sequence[TransactionId]) -> None:
        """A block holds these transactions."""
        transactions.link_block(rows, layer, block, ids)
        self._tag(layer, ids)

    def apply_empty_layer(self, view: View, layer: LayerId) -> None:
        """A layer without a block was applied. Nothing is put: the tags in memory follow from rows that are there."""
        tagged = [candidate for candidate in self._candidates.values() if candidate.layer == layer]
        later = [transactions.next_layer(view, candidate.transaction.id, layer) for candidate in tagged]
        self.touches += 1
        for candidate, tag in zip(tagged, later):
            candidate.layer = tag

    def apply_layer(
        self,
        rows: Rows,
        layer: LayerId,
        executed: Sequence[PoolTransaction],
        ineffective: Sequence[PoolTransaction] = (),
    ) -> None:
        """A layer's block was applied, and `rows` show what it has changed in the ledger.

        executed: transactions with a result; ineffective: those without, where they have a header: they are pending.
        Raises StoreFault.
        """
        for one in (*executed, *ineffective):
            if one.id in self._candidates:  # those are stored with their headers
                continue
            transactions.put(rows, Transaction(RawTx(one.id, one.raw), one.header), one.received)
        transactions.set_applied(rows, executed)
        principals = {one.principal: None for one in executed}
        principals |= {one.principal: None for one in ineffective if one.principal in self._accounts}
        principals |= {principal: None for principal, account in self._accounts.items() if account.more_in_store}
        filled = [(principal, _filled(rows, principal, layer)) for principal in principals]
        self.touches += 1
        for principal, account in filled:
            known = self._accounts.get(principal)
            self._keep(principal, account, known.candidates if known else ())

    def revert(self, rows: Rows, ids: Iterable[TransactionId]) -> None:
        """Layers were reverted that had executed these transactions, and `rows` show it. Raises StoreFault."""
        transactions.set_pending(rows, ids)
        self.start(rows)

    def _tag(self, layer: LayerId, ids: Sequence[TransactionId]) -> None:
        self.touches += 1
        for id in ids:
            candidate = self._candidates.get(id)
            if candidate is not None and (candidate.layer == UNTAGGED or layer < candidate.layer):
                candidate.layer = layer

    def _keep(self, principal: Address, account: AccountCache, before: Iterable[Candidate] = ()) -> None:
        """Hold the account, or not if it is idle, and bring the index of ids up to date."""
        for candidate in before:
            self._candidates.pop(candidate.transaction.id, None)
        for candidate in account.candidates:
            self._candidates[candidate.transaction.id] = candidate
        if account.is_idle:
            self._accounts.pop(principal, None)
        else:
            self._accounts[principal] = account


def projection_of(view: View, principal: Address) -> tuple[int, int]:
    """The nonce to use next and the smidge that are left, as `Mempool.projection` has them after `start`."""
    account = _filled(view, principal, state.last_applied(view) or NO_LAYER)
    return account.next_nonce, account.balance


def _filled(view: View, principal: Address, applied: LayerId) -> AccountCache:
    """Nonce and balance of the ledger, and the transactions of the store, tagged as they are after a layer."""
    account = AccountCache(*state.nonce_and_balance(view, principal))
    _fill(account, view, transactions.pending(view, principal, account.start_nonce), applied)
    return account


def _fill(account: AccountCache, view: View, pending: Iterable[PoolTransaction], applied: LayerId) -> None:
    account.fill((one, transactions.next_layer(view, one.id, applied)) for one in pending)
