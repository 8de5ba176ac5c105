"""Pages of a hundred as clients ask for them, from a LevelDB of fifty thousand transactions, and what an offset costs.

Processor time, medians. What a service spends on its messages is not in these figures.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from bench.settings import Settings
from node.ledger.tables import ACCOUNTS, LAYERS, RESULTS, REWARDS, AppliedLayer
from node.mempool.tables import TRANSACTIONS, StoredTransaction
from node.queries import accounts, rewards, transactions
from node.queries.pages import Page
from node.schema import STATE
from node.store.level import open_store
from node.store.store import Store
from node.store.view import Rows, View
from protocol.types.ids import ED_SIGNATURE_SIZE, Address, BlockId, Hash32, LayerId, NodeId, TransactionId
from protocol.types.templates import METHOD_SPEND, VERSION, WALLET, Payload, SpendArguments
from protocol.types.transactions import Account, LayerLimits, Reward, TransactionResult, TxHeader

LAYER_COUNT, SPENDS = 103, 500
SMESHERS = 50
"""Rewards of a layer."""
FAR = 40_000
"""Entries that are passed over."""
PAGE = 100
BUSY = Address(bytes(4) + b"\7" * 20)
"""An account that is touched by every transaction."""
SPEND = SpendArguments(BUSY, 1_000)
SMESHER = NodeId(bytes(32))


def run(settings: Settings, show: Callable[[object], None]) -> dict[str, object]:
    """Milliseconds of a page, and entries passed over in a second; `show` prints them as they come."""
    found: dict[str, object] = {}
    with _filled(settings.directory) as store:
        view = store.view()
        for name, ask in _questions(view).items():
            times = []
            for _ in range(4 * settings.rounds):
                began = time.process_time()
                assert len(ask(Page(3, PAGE))) == PAGE, "there are that many"
                times.append(time.process_time() - began)
            began = time.process_time()
            ask(Page(FAR, 1))
            passed = FAR / (time.process_time() - began)
            found[name] = {"page_ms": round(1e3 * median(times), 3), "passed_over_per_second": round(passed)}
            show(f"{name:32} {1e3 * median(times):8.2f} ms a page of {PAGE}, {passed:>12,.0f} passed over in a second")
        view.close()
    return found


def _questions(view: View) -> dict[str, Callable[[Page], list[object]]]:
    return {
        "transactions": lambda page: list(transactions.page(view, page=page)),
        "transactions, the last first": lambda page: list(transactions.page(view, is_descending=True, page=page)),
        "transactions of an account": lambda page: list(transactions.page(view, address=BUSY, page=page)),
        "accounts": lambda page: list(accounts.page(view, page=page)),
        "rewards of a smesher": lambda page: list(rewards.page(view, smesher=SMESHER, page=page)),
    }


@contextmanager
def _filled(directory: Path) -> Iterator[Store]:
    dice = random.Random(1)
    with TemporaryDirectory(dir=directory) as folder:
        store = open_store(Path(folder) / "state", STATE)
        for number in range(1, LAYER_COUNT + 1):
            view = store.view()
            rows = Rows(view)
            put_layer(rows, LayerId(number), dice)
            store.write(rows)
            view.close()
        yield store
        store.close()


def put_layer(rows: Rows, layer: LayerId, dice: random.Random) -> None:
    """A layer of spends to one account, with the rewards of its smeshers."""
    block = BlockId(dice.randbytes(20))
    ids = [TransactionId(dice.randbytes(32)) for _ in range(SPENDS)]
    payers = [Address(bytes(4) + dice.randbytes(20)) for _ in range(SPENDS)]
    for id, payer in zip(ids, payers):
        header = TxHeader(payer, WALLET, METHOD_SPEND, layer, LayerLimits(), 36_218, 1, 1_000)
        call = Payload.codec.encode(Payload(layer, 1)) + SpendArguments.codec.encode(SPEND)
        raw = bytes((VERSION,)) + payer + bytes((METHOD_SPEND << 2,)) + call + dice.randbytes(ED_SIGNATURE_SIZE)
        rows.put(TRANSACTIONS, id, StoredTransaction(raw, header, layer))
    results = [TransactionResult(0, "", 36_218, 36_218, block, layer, (payer, BUSY)) for payer in payers]
    rows.put_many(RESULTS, zip(ids, results), {})
    rows.put_many(ACCOUNTS, [(payer, Account(layer, payer, layer, 10**12, WALLET, bytes(32))) for payer in payers], {})
    for place in range(SMESHERS):
        smesher = SMESHER if place == 0 else NodeId(dice.randbytes(32))
        rows.put(REWARDS, (layer, smesher), Reward(layer, 10**9, 10**9, payers[0], smesher))
    rows.put(LAYERS, layer, AppliedLayer(Hash32(dice.randbytes(32)), block, tuple(payers), tuple(ids)))
