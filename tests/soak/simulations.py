"""`python -m tests.soak.simulations`: drawn scenarios, seed after seed, on all processors, until the time is over.

Which seed comes next and which have failed stands in a file, so that the next call goes on where this one stopped. A
seed that failed is made smaller and printed as a test. Exit code 0: nothing found, 1: found, 130: interrupted.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from api.cli.node.simulate_many import outcomes
from node.sim.minimise import as_test, minimise
from node.sim.scenario import Scenario
from node.sim.scenarios import drawn
from node.sim.simulate import simulate
from prover import durable

NODES, LAYERS, EPOCH = 8, 40, 8
"""Five epochs of eight layers."""


def scenario_of(seed: int) -> Scenario:
    """The scenario of a seed."""
    return drawn(seed, NODES, LAYERS, EPOCH)


def main(argv: Sequence[str] | None = None) -> int:
    """Exit code 0: nothing found, 1: found, 130: interrupted."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak.simulations", description=__doc__)
    parser.add_argument("--minutes", type=float, default=60.0, metavar="M", help="how long (default 60)")
    parser.add_argument("--seeds", type=int, default=1000, metavar="N", help="up to this seed (default 1000)")
    parser.add_argument("--state", type=Path, default=Path(".soak-simulations.json"), help="where it goes on")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="seeds at once")
    options = parser.parse_args(argv)
    state = json.loads(options.state.read_text()) if options.state.exists() else {"done": [], "failed": []}
    known = set(state["done"])
    left = (seed for seed in range(1, options.seeds + 1) if seed not in known)
    until = time.monotonic() + 60 * options.minutes
    try:
        for outcome in outcomes(scenario_of, _until(left, until), options.jobs):
            state["done"] = sorted({*state["done"], outcome.seed})
            if not outcome.holds:
                state["failed"] = sorted({*state["failed"], outcome.seed})
                print(f"seed {outcome.seed}: {outcome.violations[0]}", flush=True)
                print(as_test(minimise(outcome, simulate, most=20).outcome), flush=True)
            durable.replace(options.state, json.dumps(state).encode())
    except KeyboardInterrupt:
        return 130
    print(f"{len(state['done'])} of {options.seeds} seeds, failed: {state['failed'] or 'none'}")
    return 1 if state["failed"] else 0


def _until(seeds: Iterator[int], end: float) -> Iterator[int]:
    """The seeds, as long as there is time."""
    for seed in seeds:
        if time.monotonic() > end:
            return
        yield seed


if __name__ == "__main__":
    sys.exit(main())
