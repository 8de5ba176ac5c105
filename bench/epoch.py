"""An epoch of a million activations: read from the store at start, then asked what a layer and a smesher ask.

Columns loaded, median height, the highest candidates for a positioning activation, the weight of an active set of all.
CPU time of the process; memory as the growth of what is resident, its peak while loading included. In a process of its
own, because a peak is for ever.
"""

from __future__ import annotations

import json
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bench.settings import Settings
from node.activation.columns import AtxColumns, AtxRow
from node.activation.memory import Memory
from node.activation.smeshing.positioning import AT_ONCE
from node.activation.tables import COLUMNS
from node.malfeasance.tables import TABLES as MALFEASANCE
from node.store.level import open_store
from node.store.table import Schema
from node.store.view import Rows
from protocol.types.ids import Address, AtxId, EpochId, NodeId

ACTIVATIONS = 1_000_000
BATCH = 50_000
EPOCH = EpochId(7)
SCHEMA = Schema("bench", 1, (COLUMNS, *MALFEASANCE))
MIB = 1 << 20


def run(settings: Settings, show: Callable[[object], None]) -> dict[str, object]:
    """Seconds and MiB; `show` prints them."""
    folder = Path(tempfile.mkdtemp(prefix="bench-epoch-", dir=settings.directory))
    try:
        _write(folder)
        found = subprocess.run(
            [sys.executable, "-m", "bench.epoch", str(folder)], check=True, capture_output=True, text=True
        )
    finally:
        shutil.rmtree(folder)
    figures: dict[str, Any] = json.loads(found.stdout)
    seconds = ", ".join(f"{name} {value:.2f} s" for name, value in figures.items() if name != "mib")
    show(f"{ACTIVATIONS:,} activations of an epoch: {seconds}; {figures['mib']:.0f} MiB")
    return figures


def _write(folder: Path) -> None:
    dice = np.random.default_rng(1)
    store = open_store(folder / "state", SCHEMA)
    for begin in range(0, ACTIVATIONS, BATCH):
        rows = Rows(store.view())
        rows.put_many(COLUMNS, _activations(dice, begin))
        store.write(rows)
    store.close()


def _activations(dice: np.random.Generator, begin: int) -> Iterator[tuple[tuple[int, AtxId], AtxRow]]:
    heights = dice.integers(1 << 20, 1 << 21, BATCH)
    for position in range(BATCH):
        id, node = AtxId(dice.bytes(32)), NodeId(dice.bytes(32))
        height = int(heights[position])
        yield (EPOCH, id), AtxRow(id, node, Address(bytes(24)), 1 << 20, height - 9, height, 1, begin + position)


def main(arguments: Sequence[str]) -> None:
    """In the process of its own: the figures as JSON."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    store = open_store(Path(arguments[0]) / "state", SCHEMA)
    columns = AtxColumns()
    figures: dict[str, float] = {}

    def measured(name: str, work: Callable[[], object]) -> None:
        start = time.process_time()
        work()
        figures[name] = round(time.process_time() - start, 3)

    measured("load", lambda: Memory(columns, _Nobody()).load(store.view(), EPOCH))
    measured("median", lambda: columns.median_height(EPOCH))
    measured("positioning", lambda: columns.epoch(EPOCH).highest(AT_ONCE))
    ids = columns.epoch(EPOCH).column("id").astype(">u8").tobytes()
    measured("active set", lambda: columns.weight_of(EPOCH, ids))
    figures["mib"] = round((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024 / MIB)
    store.close()
    print(json.dumps(figures))


class _Nobody:
    """Followers who are told nothing: what is loaded at start is not told."""

    def on_atx(self, epoch: EpochId, atx: AtxRow, *, is_new: bool) -> None:
        """As Followers says."""

    def on_malicious(self, node: NodeId) -> None:
        """As Followers says."""


if __name__ == "__main__":
    main(sys.argv[1:])
