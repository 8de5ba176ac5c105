"""`smesher init` from end to end: its rate against the engine's own in the same run, and its memory.

A round is the engine, a whole `smesher init` in a process of its own, and the engine again; its figure is the
rate that init reports (labels / seconds from the start of work to the last fsync) as a share of the mean of
the two. Peak memory is that of the init process as the system counts it.
"""

from __future__ import annotations

import json
import statistics
import tempfile
import threading
from pathlib import Path

from rich.table import Table

from api.cli.data import bench as measuring
from bench.settings import Settings, Show, smesher

INIT_MEASUREMENTS = 20
"""An init takes so many times the length of one measurement: start and end cost it once, not each second."""

ROUNDS = 3
MEMORY_THREADS = 2
"""The memory limit is promised for two threads."""

COMMITMENT_ATX_ID = "22" * 32


def run(settings: Settings, show: Show) -> dict[str, object]:
    """Measures and prints the table."""
    engine_rates, init_rates, shares, peaks = [], [], [], []
    engines = measuring.open_engines(settings.scrypt_n, settings.threads)
    try:
        works = [measuring.engine_work(engine) for engine in engines]
        never = threading.Event()
        long = 4 * settings.seconds
        labels = max(1024, int(measuring.rate(works, long, never) * settings.seconds * INIT_MEASUREMENTS))
        before = measuring.rate(works, long, never)
        for _ in range(ROUNDS):
            init_rate, peak = init(settings, labels, settings.threads)
            after = measuring.rate(works, long, never)
            engine_rates.append((before + after) / 2)
            init_rates.append(init_rate)
            shares.append(2 * init_rate / (before + after))
            peaks.append(peak)
            before = after
    finally:
        for engine in engines:
            engine.close()
    peak_bytes = max(peaks) if settings.threads == MEMORY_THREADS else init(settings, labels, MEMORY_THREADS)[1]
    share = statistics.median(shares)
    table = Table(title=f"smesher init, {labels:,} labels, N = {settings.scrypt_n}", title_justify="left")
    for heading in ("threads", "engine labels/s", "init labels/s", "share", f"peak memory, {MEMORY_THREADS} threads"):
        table.add_column(heading, justify="right")
    table.add_row(
        str(settings.threads),
        f"{statistics.median(engine_rates):,.0f}",
        f"{statistics.median(init_rates):,.0f}",
        f"{100 * share:.1f} %",
        f"{peak_bytes / 1e6:,.0f} MB",
    )
    show(table)
    return {
        "labels": labels,
        "threads": settings.threads,
        "engine_labels_per_second": round(statistics.median(engine_rates), 1),
        "init_labels_per_second": round(statistics.median(init_rates), 1),
        "share": round(share, 4),
        "share_rounds": [round(value, 4) for value in shares],
        "memory_threads": MEMORY_THREADS,
        "peak_memory_bytes": peak_bytes,
    }


def init(settings: Settings, labels: int, threads: int) -> tuple[float, int]:
    """One initialisation of a new directory: labels a second as it reports them, and its peak memory in bytes."""
    with tempfile.TemporaryDirectory(prefix="bench-", dir=settings.directory) as folder:
        words = ["init", "--json", "--cpu", "--data-dir", str(Path(folder).resolve() / "data")]
        words += ["--num-units", "1", "--labels-per-unit", str(labels), "--scrypt-n", str(settings.scrypt_n)]
        words += ["--commitment-atx-id", COMMITMENT_ATX_ID, "--threads", str(threads)]
        finished = smesher(words)
    last = json.loads(finished.output.splitlines()[-1])
    if finished.code or last["labels"] != labels:
        raise RuntimeError(f"smesher init ended with {finished.code}: {last}")
    return float(last["labels_per_second"]), finished.peak_bytes
