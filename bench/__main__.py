"""Runs the benchmarks, prints their tables, and writes all figures into one JSON file.

python -m bench                      everything, some minutes
python -m bench labels --seconds 0.2
"""

from __future__ import annotations

import argparse
import importlib
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from api.cli.data import bench as measuring
from bench.settings import Settings
from kernels.labels import cpu

BENCHES = (
    "labels",
    "init",
    "prove",
    "poet",
    "types",
    "signatures",
    "eligibility",
    "vm",
    "store",
    "queries",
    "blocks",
    "tortoise",
    "epoch",
    "hare",
    "peers",
    "node_load",
    "gpu_static",
    "gpu_pocl",
)
"""Modules of this package; each has `run(settings, show) -> dict` (figures for the JSON file)."""

FILE_NAME = "bench-results.json"


def main(argv: Sequence[str] | None = None) -> int:
    """Exit code 0, whatever the figures are."""
    parser = argparse.ArgumentParser(prog="python -m bench", description="Measure what the documentation claims.")
    parser.add_argument("benches", nargs="*", metavar="BENCH", help=f"of {', '.join(BENCHES)} (default: all)")
    parser.add_argument("--json", type=Path, default=Path(FILE_NAME), metavar="FILE", help=f"default {FILE_NAME}")
    parser.add_argument("--seconds", type=float, default=0.5, metavar="S", help="one measurement (default 0.5)")
    parser.add_argument("--rounds", type=int, default=5, metavar="R", help="rounds of measurements (default 5)")
    parser.add_argument("--threads", type=int, default=cpu.usable_cores(), metavar="T", help="default: all processors")
    parser.add_argument("--scrypt-n", type=int, default=measuring.DEFAULT_N, metavar="N")
    parser.add_argument(
        "--directory", type=Path, default=Path(), metavar="D", help="where temporary data is written (default: here)"
    )
    options = parser.parse_args(argv)
    unknown = [name for name in options.benches if name not in BENCHES]
    if unknown or options.seconds <= 0 or min(options.rounds, options.threads) < 1:
        wrong = f"unknown: {', '.join(unknown)}" if unknown else "--seconds, --rounds and --threads must be above 0"
        parser.error(f"{wrong}; the benchmarks are {', '.join(BENCHES)}")

    console = Console()
    if not cpu.is_compiled():
        console.print("compiling the label kernels for this processor …")
        cpu.compile_kernels()
    here = measuring.machine()
    if busy := measuring.busy_note(here):
        console.print(f"[yellow]{busy}[/]")
    settings = Settings(options.threads, options.seconds, options.rounds, options.scrypt_n, options.directory)
    results: dict[str, object] = {"machine": here, "rounds": settings.rounds}
    for name in options.benches or BENCHES:
        console.rule(name, align="left")
        results[name] = importlib.import_module(f"bench.{name}").run(settings, console.print)
    results["load_average_after"] = measuring.machine()["load_average"]
    console.print(", ".join(f"{name} {value}" for name, value in here.items()), style="dim")
    options.json.write_text(json.dumps(results, indent=2) + "\n")
    console.print(f"written: {options.json}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
