"""An epoch of a million activations: read from the store at start, then asked what a layer and a smesher ask.

Columns loaded, median height, the highest candidates for a positioning activation, the own active set, its weight, the
state of a beacon. One activation of 33 came too late to be good, and one smesher of a thousand is convicted.

Processor time of the thread that does it: LevelDB puts rows that were just written into order in another. Memory as the
growth of what is resident, its peak included, up to the own active set; in a process of its own, because a peak is for
ever. Baselines in the same run: the same rows read from the database and nothing done with them; the weight by a
dictionary.
"""

from __future__ import annotations

import json
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median

import numpy as np

from bench.settings import Settings, Show, beside, child
from node.activation.columns import ID_BYTES, AtxColumns, AtxRow
from node.activation.memory import Memory
from node.activation.smeshing.positioning import AT_ONCE
from node.activation.tables import COLUMNS
from node.assembly.atxs import KnownAtxs
from node.assembly.parameters import parameters_of
from node.beacon.epochs import EpochState
from node.contract.instants import Instant
from node.malfeasance.tables import PROOFS, StoredProof
from node.malfeasance.tables import TABLES as MALFEASANCE
from node.proposals.own_sets import MadeSet, make_active_set
from node.store.level import open_store
from node.store.table import Schema
from node.store.view import Rows, View
from protocol.numbers.durations import MINUTE, SECOND
from protocol.numbers.layers import NetworkTime
from protocol.params.config.networks import MAINNET
from protocol.types.ids import Address, AtxId, EpochId, LayerId, NodeId

ACTIVATIONS = 1_000_000
BATCH = 50_000
LATE_FROM = 970_000
"""Activations that came in time to be good."""
CONVICTED_EACH = 1000
"""Of so many smeshers the first is convicted."""
EPOCH = EpochId(7)
TIME = NetworkTime(0, 300 * SECOND, 4032)
START = TIME.start_ns(TIME.first_layer(EPOCH))
GRADE_DELAY = 30 * MINUTE
GOOD_PERCENT = 90
BEACON = replace(parameters_of(MAINNET).beacon, rounds=300)
"""That of the main network, if it voted on one."""
SCHEMA = Schema("bench", 1, (COLUMNS, *MALFEASANCE))
MIB = 1 << 20

ASKED_S = 5.0
"""From the store to the own active set."""
ASKED_MIB = 400 * 10**6 / MIB
ASKED_WEIGHT_MS = 60.0
ASKED_BEACON_S = 1.0


def run(settings: Settings, show: Show) -> dict[str, object]:
    """Seconds and MiB; `show` prints them."""
    with tempfile.TemporaryDirectory(prefix="bench-", dir=settings.directory.absolute()) as folder:
        _write(Path(folder))
        figures = child("bench.epoch", [folder, str(settings.rounds)])
    parts = ("load", "median", "positioning", "own active set")
    seconds = ", ".join(f"{name} {figures[name]:.2f} s" for name in parts)
    whole = sum(figures[name] for name in parts)
    show(f"{ACTIVATIONS:,} activations of an epoch: {seconds}; {beside(whole, ASKED_S, 's')}")
    show(f"memory: {beside(figures['mib'], ASKED_MIB, 'MiB')}")
    bare = figures["bare"]
    show(f"the same rows read and nothing done with them: {bare:.2f} s; loading is {figures['load'] / bare:.2f} × that")
    by_dictionary = figures["dictionary"] * 1e3
    for name in ("weight", "weight of all"):
        show(f"{name}: {beside(figures[name] * 1e3, ASKED_WEIGHT_MS, 'ms')}; by a dictionary {by_dictionary:.0f} ms")
    show(f"state of a beacon: {beside(figures['beacon'], ASKED_BEACON_S, 's')}")
    return figures


def _write(folder: Path) -> None:
    dice = np.random.default_rng(1)
    store = open_store(folder / "state", SCHEMA)
    for begin in range(0, ACTIVATIONS, BATCH):
        rows = Rows(store.view())
        made = list(_activations(dice, begin))
        rows.put_many(COLUMNS, made)
        for _, atx in made[::CONVICTED_EACH]:
            rows.put(PROOFS, atx.node, StoredProof(b"", START - SECOND))
        store.write(rows)
    store.close()


def _activations(dice: np.random.Generator, begin: int) -> Iterator[tuple[tuple[int, AtxId], AtxRow]]:
    heights = dice.integers(1 << 20, 1 << 21, BATCH)
    for position in range(BATCH):
        id, node = AtxId(dice.bytes(ID_BYTES)), NodeId(dice.bytes(ID_BYTES))
        height = int(heights[position])
        received = START - 4 * GRADE_DELAY + (begin + position - LATE_FROM) * 10**6
        yield (EPOCH, id), AtxRow(id, node, Address(bytes(24)), 1 << 20, height - 9, height, 1, received)


def main(arguments: Sequence[str]) -> None:
    """In the process of its own: the figures as JSON. arguments: the folder, and how often what is short is done."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    store = open_store(Path(arguments[0]) / "state", SCHEMA)
    rounds = int(arguments[1])
    columns, view = AtxColumns(), store.view()
    figures: dict[str, float] = {}

    def measured(name: str, work: Callable[[], object], times: int = 1) -> None:
        taken = []
        for _ in range(times):
            start = time.thread_time()
            work()
            taken.append(time.thread_time() - start)
        figures[name] = round(median(taken), 4)

    sets: list[MadeSet] = []
    measured("load", lambda: Memory(columns, _Nobody()).load(view, EPOCH))
    measured("median", lambda: columns.median_height(EPOCH))
    measured("positioning", lambda: columns.epoch(EPOCH).highest(AT_ONCE))
    measured("own active set", lambda: sets.append(_own_set(view, columns)))
    figures["mib"] = round((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024 / MIB)
    made = sets.pop()
    good = LATE_FROM - LATE_FROM // CONVICTED_EACH
    assert len(made.active.set) == good, "neither those that came late nor those of convicted smeshers"
    ids = b"".join(made.active.set)
    whole = columns.epoch(EPOCH).column("id").astype(">u8").tobytes()
    measured("weight", lambda: columns.weight_of(EPOCH, ids), rounds)
    measured("weight of all", lambda: columns.weight_of(EPOCH, whole), rounds)
    assert columns.weight_of(EPOCH, ids) == made.own.weight
    known = KnownAtxs(columns, TIME)
    measured("beacon", lambda: EpochState(BEACON, known.atxs(EPOCH), Instant(START)), rounds)
    measured("bare", lambda: sum(1 for _ in store.snapshot().scan(COLUMNS.prefix, None, False)))
    weights = columns.epoch(EPOCH).column("weight").tolist()
    by_id = dict(zip(_pieces(whole), weights, strict=True))
    measured("dictionary", lambda: sum(by_id[id] for id in _pieces(ids)), rounds)
    store.close()
    print(json.dumps(figures))


def _own_set(view: View, columns: AtxColumns) -> MadeSet:
    """As the machine makes it in the last layer of the epoch before."""
    current = LayerId(TIME.first_layer(EPOCH) - 1)
    return make_active_set(view, TIME, columns, _nothing_published, EPOCH, current, GRADE_DELAY, GOOD_PERCENT)


def _nothing_published(view: View, epoch: EpochId) -> Sequence[AtxId] | None:
    return None


def _pieces(ids: bytes) -> Iterator[bytes]:
    return (ids[at : at + ID_BYTES] for at in range(0, len(ids), ID_BYTES))


class _Nobody:
    """Followers who are told nothing: what is loaded at start is not told."""

    def on_atx(self, epoch: EpochId, atx: AtxRow, *, is_new: bool) -> None:
        """As Followers says."""

    def on_malicious(self, node: NodeId) -> None:
        """As Followers says."""


if __name__ == "__main__":
    main(sys.argv[1:])
