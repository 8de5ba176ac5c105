"""The conservative state: every account's waiting transactions, kept in step with the layers that are applied.

Protocol 07-vm-and-transactions, sections 7.2 to 7.5.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from node.mempool.account import UNTAGGED, AccountCache, Candidate, TooManyNonces
from node.mempool.errors import MempoolError
from node.mempool.store import Store
from node.mempool.transaction import PoolTransaction
from protocol.types.ids import Address, BlockId, LayerId, ProposalId, TransactionId

StateOf = Callable[[Address], tuple[int, int]]
"""Next nonce and balance of an account in the ledger."""


class Mempool:
    """The waiting transactions of all accounts."""

    def __init__(self, store: Store, state_of: StateOf) -> None:
        """Begins empty; `rebuild` takes up what the store holds."""
        self._store = store
        self._state_of = state_of
        self._accounts: dict[Address, AccountCache] = {}
        self._candidates: dict[TransactionId, Candidate] = {}

    def has(self, id: TransactionId) -> bool:
        """Whether the transaction is a candidate."""
        return id in self._candidates

    def account(self, principal: Address) -> AccountCache | None:
        """What is held of an account; not to be changed."""
        return self._accounts.get(principal)

    def projection(self, principal: Address) -> tuple[int, int]:
        """The nonce to use next, and the smidge that are left, behind everything that waits."""
        account = self._accounts.get(principal)
        return self._state_of(principal) if account is None else (account.next_nonce, account.balance)

    def waiting(self) -> dict[Address, list[PoolTransaction]]:
        """What can go into a proposal: of each account in the order of nonces, none that is packed already."""
        found = {}
        for principal, account in self._accounts.items():
            if candidates := account.waiting():
                found[principal] = [candidate.transaction for candidate in candidates]
        return found

    def add(self, transaction: PoolTransaction) -> bool:
        """Take a verified transaction; whether it is a candidate now, or only stored.

        Stored only are those whose nonce has a better one, and those beyond the number of nonces of an account.
        Raises MempoolError: bad_nonce, insufficient_balance.
        """
        principal = transaction.principal
        account = self._accounts.get(principal) or AccountCache(*self._state_of(principal))
        if transaction.nonce < account.start_nonce:
            raise MempoolError(
                f"The transaction has the nonce {transaction.nonce}, but the next one of its account is "
                f"{account.start_nonce}.",
                "bad_nonce",
            )
        before = account.candidates[:]
        try:
            is_candidate = account.add(transaction, UNTAGGED)
        except TooManyNonces:
            is_candidate = False
        self._store.add((transaction,))
        self._keep(principal, account, before)
        return is_candidate

    def link_proposal(
        self, layer: LayerId, proposal: ProposalId, ids: Sequence[TransactionId], *, as_reference: bool = False
    ) -> None:
        """A proposal holds these transactions. as_reference: tags stop at the first one that is no candidate."""
        self._store.link_proposal(layer, proposal, ids)
        self._tag(layer, ids, as_reference)

    def link_block(
        self, layer: LayerId, block: BlockId, ids: Sequence[TransactionId], *, as_reference: bool = False
    ) -> None:
        """A block holds these transactions. as_reference: as in `link_proposal`."""
        self._store.link_block(layer, block, ids)
        self._tag(layer, ids, as_reference)

    def apply_empty_layer(self, layer: LayerId) -> None:
        """A layer without a block was applied. Raises MempoolError (layer_not_in_order)."""
        self._check_order(layer)
        self._store.set_applied(layer, ())
        for candidate in self._candidates.values():
            if candidate.layer == layer:
                candidate.layer = self._store.next_layer(candidate.transaction.id, layer)

    def apply_layer(
        self, layer: LayerId, executed: Sequence[PoolTransaction], ineffective: Sequence[PoolTransaction] = ()
    ) -> None:
        """A layer's block was applied, and the ledger answers its state.

        executed: transactions with a result; ineffective: those without, where they have a header: they are pending.
        Raises MempoolError (layer_not_in_order).
        """
        self._check_order(layer)
        self._store.add((*executed, *ineffective))
        self._store.set_applied(layer, [transaction.id for transaction in executed])
        principals = {transaction.principal for transaction in executed}
        principals |= {one.principal for one in ineffective if one.principal in self._accounts}
        principals |= {principal for principal, account in self._accounts.items() if account.more_in_store}
        for principal in principals:
            self._reset(principal, layer)

    def rebuild(self) -> None:
        """Forget everything and take up what the store holds as pending."""
        self._accounts.clear()
        self._candidates.clear()
        for principal in self._store.principals():
            self._reset(principal, self._store.last_applied())

    def revert(self, layer: LayerId, *, as_reference: bool = False) -> None:
        """Make `layer` the last one that was applied; the ledger answers its state already.

        as_reference: tags are those after the layer that was the last one before, so those of reverted layers are lost.
        """
        before = self._store.last_applied()
        self._store.revert(layer)
        self._accounts.clear()
        self._candidates.clear()
        for principal in self._store.principals():
            self._reset(principal, before if as_reference else self._store.last_applied())

    def _check_order(self, layer: LayerId) -> None:
        expected = self._store.last_applied() + 1
        if layer != expected:
            raise MempoolError(
                f"Layer {layer} was applied, but layer {expected} is the next one.", "layer_not_in_order"
            )

    def _tag(self, layer: LayerId, ids: Sequence[TransactionId], as_reference: bool) -> None:
        for id in ids:
            candidate = self._candidates.get(id)
            if candidate is None:
                if as_reference:
                    return
                continue
            if candidate.layer == UNTAGGED or layer < candidate.layer:
                candidate.layer = layer

    def _reset(self, principal: Address, applied: LayerId) -> None:
        """Take nonce and balance from the ledger and the transactions from the store."""
        known = self._accounts.get(principal)
        account = AccountCache(*self._state_of(principal))
        pending = self._store.pending(principal, account.start_nonce)
        account.fill((one, self._store.next_layer(one.id, applied)) for one in pending)
        self._keep(principal, account, known.candidates if known else ())

    def _keep(self, principal: Address, account: AccountCache, before: Iterable[Candidate]) -> None:
        """Hold the account, or not if it is idle, and bring the index of ids up to date."""
        for candidate in before:
            self._candidates.pop(candidate.transaction.id, None)
        for candidate in account.candidates:
            self._candidates[candidate.transaction.id] = candidate
        if account.is_idle:
            self._accounts.pop(principal, None)
        else:
            self._accounts[principal] = account
