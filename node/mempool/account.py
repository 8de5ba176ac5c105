"""One account's waiting transactions: the best one of each nonce, as far as the balance reaches.

Conservative: what an account may receive before its transactions are applied is not counted on.
Protocol 07-vm-and-transactions, sections 7.2 to 7.4.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import groupby

from node.mempool.errors import MempoolError
from node.mempool.transaction import PoolTransaction
from protocol.numbers.u64 import MASK
from protocol.types.ids import LayerId

MAX_NONCES = 100
"""Nonces of one account that are held."""
MAX_PER_NONCE = 100
"""Transactions of one nonce that are considered when an account is filled."""
UNTAGGED = LayerId(0)


class TooManyNonces(MempoolError):
    """The account holds as many nonces as it may; the transaction waits in the store."""


@dataclass(slots=True)
class Candidate:
    """The best transaction of one nonce. Mutable."""

    transaction: PoolTransaction
    layer: LayerId
    """The lowest layer of a proposal or block that holds it; 0: none."""
    post_balance: int
    """Smidge that are left behind it."""

    @property
    def nonce(self) -> int:
        """Of the transaction."""
        return self.transaction.nonce


Tagged = tuple[PoolTransaction, LayerId]
"""A transaction and its layer tag."""


@dataclass(slots=True)
class AccountCache:
    """The candidates of one account, nonces ascending. Gaps between nonces are allowed. Mutable."""

    start_nonce: int
    start_balance: int
    candidates: list[Candidate] = field(default_factory=list)
    more_in_store: bool = False
    """Whether the store holds transactions that may have their turn after the next layer."""

    @property
    def next_nonce(self) -> int:
        """The nonce after all candidates."""
        return self.candidates[-1].nonce + 1 if self.candidates else self.start_nonce

    @property
    def balance(self) -> int:
        """Smidge that are left behind all candidates."""
        return self.candidates[-1].post_balance if self.candidates else self.start_balance

    @property
    def is_idle(self) -> bool:
        """Whether the account need not be held."""
        return not self.candidates and not self.more_in_store

    def waiting(self) -> list[Candidate]:
        """The candidates from the first one on that is in no proposal or block yet."""
        for place, candidate in enumerate(self.candidates):
            if candidate.layer == UNTAGGED:
                return self.candidates[place:]
        return []

    def check(self, transaction: PoolTransaction) -> None:
        """Raises MempoolError (insufficient_balance) where `add` would; nothing is changed."""
        if len(self.candidates) < MAX_NONCES:
            self._room_for(transaction)

    def add(self, transaction: PoolTransaction, layer: LayerId, seed: bytes | None = None) -> bool:
        """Whether the transaction is a candidate now; not where its nonce has a better one.

        Later candidates that no longer fit the balance are dropped. Raises MempoolError (insufficient_balance),
        TooManyNonces.
        """
        place, available = self._room_for(transaction)
        candidate = Candidate(transaction, layer, available - transaction.spending)
        if place < len(self.candidates) and self.candidates[place].nonce == transaction.nonce:
            if not transaction.is_better_than(self.candidates[place].transaction, seed):
                return False
            self.candidates[place] = candidate
        else:
            self.candidates.insert(place, candidate)
        self._settle_behind(place)
        return True

    def fill(self, pending: Iterable[Tagged], seed: bytes | None = None) -> None:
        """Add the best transactions of an account, whose pending ones come by nonce, from the start nonce on."""
        considered = added = 0
        for _, group in groupby(pending, key=lambda tagged: tagged[0].nonce):
            considered += 1
            if len(self.candidates) >= MAX_NONCES:
                continue
            best = self._best(list(group)[:MAX_PER_NONCE], seed)
            if best is not None:
                self.add(*best, seed)
                added += 1
        self.more_in_store = considered > added

    def _best(self, tagged: Sequence[Tagged], seed: bytes | None) -> Tagged | None:
        best: Tagged | None = None
        for one in tagged:
            if one[0].spending <= self.balance and (best is None or one[0].is_better_than(best[0], seed)):
                best = one
        return best

    def _room_for(self, transaction: PoolTransaction) -> tuple[int, int]:
        """Where the transaction would stand, and the smidge that are left for it there."""
        if len(self.candidates) >= MAX_NONCES:
            self.more_in_store = True
            raise TooManyNonces(f"The account has {MAX_NONCES} nonces in the mempool already.", "too_many_nonces")
        place = bisect_left(self.candidates, transaction.nonce, key=lambda candidate: candidate.nonce)
        if place < len(self.candidates) and self.candidates[place].nonce == transaction.nonce:
            same = self.candidates[place]
            available = same.post_balance + same.transaction.spending & MASK
        else:
            available = self.candidates[place - 1].post_balance if place else self.start_balance
        if available < transaction.spending:
            raise MempoolError(
                f"The transaction may spend {transaction.spending} smidge, but at nonce {transaction.nonce} only "
                f"{available} are left of the account's balance and its other transactions.",
                "insufficient_balance",
            )
        return place, available

    def _settle_behind(self, place: int) -> None:
        balance = self.candidates[place].post_balance
        kept = []
        for candidate in self.candidates[place + 1 :]:
            if candidate.transaction.spending > balance:
                self.more_in_store = True
                continue
            balance -= candidate.transaction.spending
            candidate.post_balance = balance
            kept.append(candidate)
        self.candidates[place + 1 :] = kept
