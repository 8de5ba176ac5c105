"""The order of a block's transactions, as all nodes have to find it, against CPython's own sorting and shuffling.

The baseline sorts the same transactions by their ids and lets `random.shuffle` put them into an order, which is in C:
no rule about accounts, nonces or balances. Protocol 07-vm-and-transactions, section 8.2.
"""

from __future__ import annotations

import random
import time
from statistics import median

from bench.settings import Settings, Show, beside
from node.mempool.account import UNTAGGED, Tagged
from node.mempool.selection import for_block
from node.mempool.transaction import PoolTransaction
from protocol.types.ids import Address, TransactionId
from protocol.types.templates import METHOD_SPEND, WALLET
from protocol.types.transactions import LayerLimits, TxHeader

ASKED_MS = {700: 10.2, 35_000: 891.0}
"""Transactions of a block, those of one proposal and those of 50: half as much again as the reference takes."""
GAS = 36_218
"""Of a spend."""


def run(settings: Settings, show: Show) -> dict[str, object]:
    """Milliseconds of processor time a block; `show` prints them as they come."""
    figures: dict[str, object] = {}
    for count, asked in ASKED_MS.items():
        dice = random.Random(1)
        tagged = [_spend(dice) for _ in range(count)]
        seed = dice.randbytes(32)
        ours, plain = [], []
        for _ in range(settings.rounds * 2):
            start = time.process_time()
            ordered = for_block(tagged, seed)
            ours.append((time.process_time() - start) * 1e3)
            assert len(ordered) == count, "nobody spends more than there can be"
            start = time.process_time()
            by_id = sorted((transaction for transaction, _ in tagged), key=lambda transaction: transaction.id)
            dice.shuffle(by_id)
            plain.append((time.process_time() - start) * 1e3)
        ratio = median(one / other for one, other in zip(ours, plain, strict=True))
        show(
            f"order of {count:,} transactions: {beside(median(ours), asked, 'ms')}; sorted by id and shuffled by "
            f"CPython: {median(plain):.2f} ms, ours {ratio:.1f} × that"
        )
        figures[str(count)] = {"ms": median(ours), "asked_ms": asked, "ratio": ratio}
    return figures


def _spend(dice: random.Random) -> Tagged:
    """A spend of an account of its own: nothing is dearer to put into order."""
    principal = Address(bytes(4) + dice.randbytes(20))
    price, amount = dice.randrange(1, 10), dice.randrange(1 << 40)
    header = TxHeader(principal, WALLET, METHOD_SPEND, dice.randrange(9), LayerLimits(0, 0), GAS, price, amount)
    return PoolTransaction.of_header(TransactionId(dice.randbytes(32)), b"", header, 0), UNTAGGED
