"""`python -m tests.soak`: the parts in turns until the time is over, then what was done; exit code 1 on a find.

Turn n of a part has the seed S + n, so a find comes again with `--seed` and `--only` as they are printed with it.
"""

from __future__ import annotations

import argparse
import itertools
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from .parts import PARTS


def main(argv: Sequence[str] | None = None) -> int:
    """Exit code 0: nothing found, 1: found, 2: usage, 130: interrupted."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--seconds", type=float, default=600.0, metavar="S", help="how long (default 600)")
    parser.add_argument("--seed", type=int, default=None, metavar="N", help="the same dice again (default: the time)")
    parser.add_argument("--only", default="", choices=["", *PARTS], metavar="PART", help=", ".join(PARTS))
    options = parser.parse_args(argv)
    seed = int(time.time()) if options.seed is None else options.seed
    chosen = {name: part for name, part in PARTS.items() if options.only in ("", name)}
    print(f"seed {seed}", flush=True)
    done: dict[str, Counter[str]] = {name: Counter() for name in chosen}
    turns: Counter[str] = Counter()
    seconds: Counter[str] = Counter()
    code, until = 0, time.monotonic() + options.seconds
    try:
        for turn, name in itertools.product(itertools.count(), chosen):
            if time.monotonic() > until:
                break
            began = time.monotonic()
            with tempfile.TemporaryDirectory(prefix="soak") as directory:
                told = chosen[name](seed + turn, Path(directory))
            done[name] += told
            turns[name] += 1
            seconds[name] += round(time.monotonic() - began)
            counts = ", ".join(f"{count:,} {what}" for what, count in told.items())
            print(f"{name}, turn {turn + 1}: {counts}; {time.monotonic() - began:.0f} s", flush=True)
    except KeyboardInterrupt:
        code = 130
    except Exception:
        traceback.print_exc()
        print(f"found: make soak-faults SOAK='--seed {seed + turn} --only {name} --seconds 1'", file=sys.stderr)
        code = 1
    table = Table("part", "turns", "seconds", "what was done")
    for name, counter in done.items():
        what = ", ".join(f"{count:,} {what}" for what, count in counter.items())
        table.add_row(name, str(turns[name]), str(seconds[name]), what)
    Console().print(table)
    if code == 0:
        print("nothing lost, nothing wrong, everybody answered")
    return code


if __name__ == "__main__":
    sys.exit(main())
