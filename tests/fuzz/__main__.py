"""`python -m tests.fuzz`: a million damaged messages and more; prints what came of them, exit code 1 on a find."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence

from .run import Found, fuzz


def main(argv: Sequence[str] | None = None) -> int:
    """Exit code 0: nothing found, 1: found, 2: usage."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description="Damaged bytes for every decoder.")
    parser.add_argument("--cases", type=int, default=1_000_000, metavar="N", help="at least so many (default 10^6)")
    parser.add_argument("--seed", type=int, default=None, metavar="S", help="the same cases again (default: the time)")
    parser.add_argument("--only", default="", metavar="WORD", help="decoders with this in their name: ballots.Ballot")
    options = parser.parse_args(argv)
    if options.cases < 1:
        parser.error(f"--cases is {options.cases}, expected 1 or more")
    seed = time.time_ns() if options.seed is None else options.seed
    print(f"seed {seed}")
    began = time.process_time()
    try:
        tally = fuzz(options.cases, seed, print, options.only)
    except ValueError as error:
        parser.error(str(error))
    except Found as found:
        print(f"found, with --seed {seed}: {found}", file=sys.stderr)
        return 1
    seconds = time.process_time() - began
    print(f"{tally.cases:,} cases in {seconds:.0f} s: {tally.accepted:,} accepted and the same again when written")
    print("refused: " + ", ".join(f"{reason} {count:,}" for reason, count in tally.refused.most_common()))
    print(f"memory for a byte of input at most {tally.worst_factor:.1f} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
