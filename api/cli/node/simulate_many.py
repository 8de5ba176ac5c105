"""Many seeds of a simulation, each in a process of its own, on all processors."""

from __future__ import annotations

import argparse
import multiprocessing
import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool

from api.cli.output import Output
from api.edge.errors import EnvironmentFault
from node.sim.running import Outcome
from node.sim.scenario import Scenario
from node.sim.simulate import simulate

from .simulate import tell


def run_many(scenario_of: Callable[[int], Scenario], arguments: argparse.Namespace, output: Output) -> int:
    """Exit code 0: every invariant held with every seed; 1: one did not. Raises EnvironmentFault."""
    seeds = range(arguments.seed, arguments.seed + arguments.seeds)
    jobs = arguments.jobs or os.cpu_count() or 1
    failed: list[Outcome] = []
    with output.progress("simulating", len(seeds), unit="seeds") as bar:
        for outcome in outcomes(scenario_of, seeds, jobs):
            output.event(
                "seed", seed=outcome.seed, scenario=outcome.scenario.name, holds=outcome.holds, layer=outcome.layer
            )
            if not outcome.holds:
                failed.append(outcome)
            bar.add(1)
    for outcome in sorted(failed, key=lambda one: one.seed):
        tell(outcome, output)
        output.say(f"[dim]again[/]  smesher simulate --scenario {arguments.scenario} --seed {outcome.seed}")
    output.event("done", seeds=len(seeds), failed=[one.seed for one in failed])
    if not failed:
        output.say(f"[bold green]held[/]  every invariant, with {len(seeds)} seeds from {seeds[0]} on")
    return 1 if failed else 0


def outcomes(scenario_of: Callable[[int], Scenario], seeds: Iterable[int], jobs: int) -> Iterator[Outcome]:
    """What came of each, as they end. Raises EnvironmentFault where a process is killed."""
    context = multiprocessing.get_context("spawn")
    waiting = iter(seeds)
    running: set[Future[Outcome]] = set()
    with ProcessPoolExecutor(jobs, mp_context=context) as pool:
        try:
            for seed in waiting:
                running.add(pool.submit(simulate, scenario_of(seed), seed))
                if len(running) == 2 * jobs:
                    break
            while running:
                done, running = wait(running, return_when=FIRST_COMPLETED)
                for one in done:
                    yield one.result()
                    for seed in waiting:
                        running.add(pool.submit(simulate, scenario_of(seed), seed))
                        break
        except BrokenProcessPool:
            raise EnvironmentFault("A process of the simulation was killed, perhaps for want of memory.") from None
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
