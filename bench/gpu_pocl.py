"""The OpenCL kernel on the CPU, through PoCL, against hashlib.scrypt: labels of one core, with the autotune's layout.

In turns within one run; rates are labels a second of processor time, which other programs on the same cores do not
change much, and the ratio is the median of ratios of neighbours. Alone: `python -m bench.gpu_pocl`.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import numpy as np
from rich.console import Console
from rich.table import Table

from api.cli.data import bench as measuring
from bench.settings import Settings, Show
from kernels.devices import find, opening
from kernels.devices.types import Device
from kernels.gpu import engine as gpu_engine

COMMITMENT = bytes(32)
TUNE_SECONDS = 20.0


def run(settings: Settings, show: Show) -> dict[str, object]:
    """Tunes the device, measures, and prints one line."""
    one = next((one for one in find.devices() if "pocl" in one.aliases), None)
    if one is None:
        show("[yellow]not measured: no PoCL (make install brings it); smesher providers says why[/]")
        return {"skipped": "no PoCL"}
    if not measuring.hashlib_accepts(settings.scrypt_n):
        show(f"[yellow]not measured: this Python's hashlib has no scrypt with N = {settings.scrypt_n}[/]")
        return {"skipped": "hashlib.scrypt refuses"}
    best, trials = opening.tuned(one, settings.scrypt_n, TUNE_SECONDS)
    engine = gpu_engine.LabelEngine(gpu_engine.Card(one, settings.scrypt_n, tuning=best))
    theirs = measuring.hashlib_work(settings.scrypt_n)
    count = max(engine.granularity, min(1 << 14, int(best.labels_per_second * settings.seconds / 2)))
    count -= count % engine.granularity
    out = np.empty((count, 16), np.uint8)

    def ours() -> int:
        engine.labels(COMMITMENT, 0, count, out)
        return count

    ours()
    pairs = [(_rate(ours, settings.seconds), _rate(theirs, settings.seconds)) for _ in range(settings.rounds)]
    engine.close()
    ratio = statistics.median(mine / other for mine, other in pairs)
    figures: dict[str, object] = {
        "device": one.name,
        "driver": _version(one),
        "layout": best.layout.describe(),
        "layouts_tried": len(trials),
        "labels_per_core_second": round(statistics.median(mine for mine, _ in pairs), 1),
        "hashlib_per_core_second": round(statistics.median(other for _, other in pairs), 1),
        "ratio": round(ratio, 2),
    }
    table = Table(title=f"OpenCL on the CPU, N = {settings.scrypt_n}, {settings.rounds} rounds", title_justify="left")
    for heading in ("driver", "layout of the autotune", "labels a core and second", "hashlib.scrypt", "ratio"):
        table.add_column(heading)
    table.add_row(*(str(figures[name]) for name in ("driver", "layout", "labels_per_core_second")), *_text(figures))
    show(table)
    return figures


def _text(figures: dict[str, object]) -> tuple[str, str]:
    return str(figures["hashlib_per_core_second"]), f"{figures['ratio']:.2f}"


def _version(one: Device) -> str:
    return f"PoCL {one.driver}"


def _rate(work: Callable[[], int], seconds: float) -> float:
    """Labels a second of processor time, of all threads of this process."""
    began, used, done = time.monotonic(), time.process_time(), 0
    while time.monotonic() - began < seconds:
        done += work()
    return done / (time.process_time() - used)


if __name__ == "__main__":
    run(Settings(threads=1), Console().print)
