"""The label engine: against hashlib.scrypt, by N, by CPU variant, and the way of labels to the disk.

All comparisons are in turns within one run; ratios are medians of ratios of neighbours.
"""

from __future__ import annotations

import json
import os
import statistics
import tempfile
import time
from pathlib import Path

from rich.table import Table

from api.cli.data import bench as measuring
from bench.settings import Settings, Show, smesher
from kernels.vectors import target
from prover.post.directory import Storage

LARGEST_N = 1 << 14
BY_N_ROUNDS = 3

WRITE_CHUNK = 1 << 20
WRITE_SYNC = 32 << 20
WRITE_BYTES_A_SECOND_OF_SETTINGS = 256 << 20
"""Bytes of one write measurement for each second of a measurement: a disk's figure needs more than an instant."""


def run(settings: Settings, show: Show) -> dict[str, object]:
    """Measures all and prints a table for each part."""
    comparison = measuring.compare(settings.scrypt_n, settings.threads, settings.seconds, rounds=settings.rounds)
    show(measuring.table([comparison]))
    return {
        "comparison": comparison.as_json(),
        "variants": variants(settings, show),
        "by_n": by_n(settings, show),
        "writing": writing(settings, show),
    }


def variants(settings: Settings, show: Show) -> list[dict[str, object]]:
    """One core with each variant that this processor can run, each in a process of its own."""
    rows = []
    table = Table(title=f"CPU variants, one core, N = {settings.scrypt_n}", title_justify="left")
    for heading in ("variant", "labels/s", "hashlib.scrypt", "ratio"):
        table.add_column(heading, justify="right")
    for name in target.supported_variants():
        words = ["bench", "--json", "--threads", "1", "--scrypt-n", str(settings.scrypt_n)]
        words += ["--seconds", str(settings.seconds * 2 * measuring.ROUNDS)]
        finished = smesher(words, {target.FORCE_VARIABLE: name})
        last = json.loads(finished.output.splitlines()[-1])
        if finished.code:
            raise RuntimeError(f"smesher bench with {name}: {last.get('message')}")
        pair = last["one_core"]
        rows.append({"variant": name, **pair})
        ratio = "-" if pair["ratio"] is None else f"{pair['ratio']:.2f}"
        hashlib_rate = "refused" if pair["hashlib"] is None else f"{pair['hashlib']:,.0f}"
        table.add_row(name, f"{pair['engine']:,.0f}", hashlib_rate, ratio)
    show(table)
    return rows


def by_n(settings: Settings, show: Show) -> list[dict[str, object]]:
    """One core for N = 2 … 2^14: what a label costs."""
    rows = []
    table = Table(title="cost by N, one core", title_justify="left")
    for heading in ("N", "labels/s", "µs a label", "ns a label and N", "hashlib.scrypt", "ratio"):
        table.add_column(heading, justify="right")
    n = 2
    while n <= LARGEST_N:
        pair = measuring.compare(n, 1, settings.seconds * 0.4, rounds=BY_N_ROUNDS).one
        cost = 1e6 / pair.engine_rate
        rows.append({"scrypt_n": n, "microseconds_a_label": round(cost, 3), **pair.as_json()})
        theirs = "refused" if pair.hashlib_rate is None else f"{pair.hashlib_rate:,.0f}"
        ratio = "-" if pair.ratio is None else f"{pair.ratio:.2f}"
        table.add_row(str(n), f"{pair.engine_rate:,.0f}", f"{cost:,.2f}", f"{cost * 1e3 / n:,.1f}", theirs, ratio)
        n *= 2
    show(table)
    return rows


def writing(settings: Settings, show: Show) -> dict[str, object]:
    """Bytes a second through `Storage.append` and `sync`, against plain sequential writes with one fsync."""
    size = max(WRITE_CHUNK, int(WRITE_BYTES_A_SECOND_OF_SETTINGS * settings.seconds) // WRITE_CHUNK * WRITE_CHUNK)
    data = os.urandom(WRITE_CHUNK)
    ours, plain = [], []
    with tempfile.TemporaryDirectory(prefix="bench-", dir=settings.directory) as folder:
        for _ in range(settings.rounds):
            ours.append(size / _through_storage(Path(folder), data, size))
            plain.append(size / _plainly(Path(folder), data, size))
    share = statistics.median(one / other for one, other in zip(ours, plain))
    figures = {"storage": statistics.median(ours), "plain": statistics.median(plain)}
    table = Table(title=f"writing {size >> 20} MiB, {settings.rounds} rounds", title_justify="left")
    for heading in ("append + sync", "plain + fsync", "share"):
        table.add_column(heading, justify="right")
    table.add_row(*(f"{value / 2**20:,.0f} MiB/s" for value in figures.values()), f"{100 * share:.1f} %")
    show(table)
    return {
        "bytes": size,
        "storage_bytes_per_second": round(figures["storage"]),
        "plain_bytes_per_second": round(figures["plain"]),
        "share": round(share, 4),
    }


def _through_storage(folder: Path, data: bytes, size: int) -> float:
    storage = Storage(folder)
    began = time.perf_counter()
    for position in range(0, size, len(data)):
        storage.append("postdata_0.bin", data)
        if (position + len(data)) % WRITE_SYNC == 0:
            storage.sync("postdata_0.bin")
    storage.finish("postdata_0.bin")
    seconds = time.perf_counter() - began
    storage.remove("postdata_0.bin")
    return seconds


def _plainly(folder: Path, data: bytes, size: int) -> float:
    path = folder / "plain"
    began = time.perf_counter()
    with open(path, "wb", buffering=0) as file:
        for _ in range(0, size, len(data)):
            file.write(data)
        os.fsync(file.fileno())
    seconds = time.perf_counter() - began
    path.unlink()
    return seconds
