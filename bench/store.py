"""Rows written, read and scanned through typed tables, against the same bytes through the bare database.

Accounts in batches, with an index over keys and one over rows; CPU time of the process, in turns, medians. Synced
batches by the wall clock: they measure the disk.
"""

from __future__ import annotations

import random
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

from bench.settings import Settings
from node.store.keys import compound, fixed, u32, u64
from node.store.level import open_store
from node.store.store import Store
from node.store.table import Schema, Table
from node.store.view import Rows
from protocol.types.ids import Address, LayerId
from protocol.types.transactions import Account
from prover import leveldb

ROWS, BATCH = 20_000, 1_000
SYNCED = 40
"""Batches of ten rows that are waited for."""

VERSIONS: Table[tuple[Address, int], Account] = Table(b"av", "versions", compound(fixed(24), u32), Account.codec)
BY_LAYER = VERSIONS.key_index(b"al", "versions by layer", u32, lambda key: (key[1],))
BALANCES: Table[Address, Account] = Table(b"ac", "accounts", fixed(24), Account.codec)
BY_BALANCE = BALANCES.index(b"ab", "accounts by balance", u64, lambda address, account: (account.balance,))
SCHEMA = Schema("bench", 1, (VERSIONS, BALANCES))


def run(settings: Settings, show: Callable[[object], None]) -> dict[str, object]:
    """Thousands of rows a second; `show` prints them as they come."""
    dice = random.Random(1)
    accounts = [
        Account(LayerId(9), Address(bytes(4) + dice.randbytes(20)), dice.randrange(100), dice.randrange(1 << 50))
        for _ in range(ROWS)
    ]
    figures: dict[str, list[float]] = {}
    for _ in range(settings.rounds):
        with _folder(settings.directory) as folder:
            _bare(folder, accounts, figures)
            _typed("leveldb", open_store(folder / "typed", SCHEMA), accounts, figures)
            _typed("memory", Store.in_memory(SCHEMA), accounts, figures)
    result: dict[str, object] = {name: round(median(values), 1) for name, values in figures.items()}
    for name, value in result.items():
        unit = "batches/s (wall)" if "synced" in name else "thousand/s"
        show(f"{name:34} {value:>10,} {unit}")
    return result


def _typed(name: str, store: Store, accounts: list[Account], figures: dict[str, list[float]]) -> None:
    def note(what: str, count: int) -> None:
        figures.setdefault(f"{name}, {what}", []).append(count / (time.process_time() - began) / 1e3)

    for what, put in (
        ("rows with an index over keys", lambda rows, one: rows.put(VERSIONS, (one.address, one.layer), one)),
        ("rows with an index over rows", lambda rows, one: rows.put(BALANCES, one.address, one)),
    ):
        began = time.process_time()
        for first in range(0, len(accounts), BATCH):
            view = store.view()
            rows = Rows(view)
            for one in accounts[first : first + BATCH]:
                put(rows, one)
            store.write(rows)
            view.close()
        note(f"written {what}", len(accounts))
    view = store.view()
    began = time.process_time()
    for one in accounts:
        view.get(BALANCES, one.address)
    note("rows read one by one", len(accounts))
    began = time.process_time()
    count = sum(1 for _ in view.scan(BALANCES))
    note("rows scanned", count)
    view.close()
    if name == "leveldb":
        start = time.perf_counter()
        for first in range(0, 10 * SYNCED, 10):
            view = store.view()
            rows = Rows(view)
            for one in accounts[first : first + 10]:
                rows.put(VERSIONS, (one.address, 10), one)
            store.write(rows, sync=True)
            view.close()
        figures.setdefault(f"{name}, synced", []).append(SYNCED / (time.perf_counter() - start))
    store.close()


def _bare(folder: Path, accounts: list[Account], figures: dict[str, list[float]]) -> None:
    database = leveldb.DB(str(folder / "bare"), create_if_missing=True, paranoid_checks=True, bloom_filter_bits=10)
    codec = Account.codec
    began = time.process_time()
    for first in range(0, len(accounts), BATCH):
        with database.write_batch() as batch:
            for one in accounts[first : first + BATCH]:
                batch.put(b"av" + one.address + one.layer.to_bytes(4, "big"), codec.encode(one))
                batch.put(b"al" + one.layer.to_bytes(4, "big") + one.address, b"")
    figures.setdefault("bare, rows with their entries", []).append(len(accounts) / (time.process_time() - began) / 1e3)
    began = time.process_time()
    for one in accounts:
        codec.decode(database.get(b"av" + one.address + one.layer.to_bytes(4, "big"), verify_checksums=True))
    figures.setdefault("bare, rows read one by one", []).append(len(accounts) / (time.process_time() - began) / 1e3)
    began = time.process_time()
    for _, data in database.iterator(prefix=b"av", verify_checksums=True):
        codec.decode(data)
    figures.setdefault("bare, rows scanned", []).append(len(accounts) / (time.process_time() - began) / 1e3)
    database.close()


@contextmanager
def _folder(below: Path) -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="bench-store-", dir=below))
    try:
        yield folder
    finally:
        shutil.rmtree(folder)
