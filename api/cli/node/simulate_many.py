"""Many seeds of a simulation, each in a process of its own, on all processors."""

from __future__ import annotations

import argparse
import multiprocessing
import os
import signal
from collections.abc import Callable, Iterable, Iterator
from multiprocessing.connection import Connection, wait

from api.cli.output import Output, command
from api.edge.errors import EnvironmentFault
from node.sim.running import Outcome
from node.sim.scenario import Scenario
from node.sim.simulate import simulate

from .simulate_options import FIELDS
from .simulate_view import tell


def run_many(scenario_of: Callable[[int], Scenario], arguments: argparse.Namespace, output: Output) -> int:
    """Exit code 0: every invariant held with every seed; 1: one did not. Raises EnvironmentFault."""
    seeds = range(arguments.seed, arguments.seed + arguments.seeds)
    jobs = arguments.jobs or os.cpu_count() or 1
    failed: list[Outcome] = []
    with output.progress("simulating", len(seeds), unit="seeds") as bar:
        for outcome in outcomes(scenario_of, seeds, min(jobs, len(seeds))):
            output.event(
                "seed", seed=outcome.seed, scenario=outcome.scenario.name, holds=outcome.holds, layer=outcome.layer
            )
            if not outcome.holds:
                failed.append(outcome)
            bar.add(1)
    for outcome in sorted(failed, key=lambda one: one.seed):
        tell(outcome, output)
        output.say(f"[dim]again[/]  {again(arguments, outcome.seed)}")
    output.event("done", seeds=len(seeds), failed=[one.seed for one in failed])
    if not failed:
        output.say(f"[bold green]held[/]  every invariant, with {len(seeds)} seeds from {seeds[0]} on")
    return 1 if failed else 0


def again(arguments: argparse.Namespace, seed: int) -> str:
    """The words that simulate one of the seeds by itself."""
    given = {name: getattr(arguments, name) for name in FIELDS}
    words = [word for name, value in given.items() if value is not None for word in (f"--{name}", value)]
    return command("simulate", "--scenario", arguments.scenario, *words, "--seed", seed)


def outcomes(scenario_of: Callable[[int], Scenario], seeds: Iterable[int], jobs: int) -> Iterator[Outcome]:
    """What came of each, as they end. Whoever stops listening ends the processes.

    Raises EnvironmentFault where a process ends by itself.
    """
    context = multiprocessing.get_context("spawn")
    waiting = iter(seeds)
    busy: dict[Connection, int] = {}
    processes = []
    try:
        for seed in waiting:
            ours, theirs = context.Pipe()
            process = context.Process(target=_work, args=(theirs,), daemon=True)
            process.start()
            theirs.close()
            processes.append(process)
            ours.send((scenario_of(seed), seed))
            busy[ours] = seed
            if len(busy) == jobs:
                break
        while busy:
            for connection in wait(list(busy)):
                assert isinstance(connection, Connection), "nothing else was waited for"
                seed = busy.pop(connection)
                yield _received(connection, seed)
                for next_seed in waiting:
                    connection.send((scenario_of(next_seed), next_seed))
                    busy[connection] = next_seed
                    break
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            process.join()


def _received(connection: Connection, seed: int) -> Outcome:
    try:
        outcome: Outcome = connection.recv()
    except EOFError:
        raise EnvironmentFault(
            f"The process that simulated seed {seed} has ended by itself, perhaps for want of memory. "
            "Run fewer at once with --jobs."
        ) from None
    return outcome


def _work(connection: Connection) -> None:
    """One seed after another, until nobody asks any more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # whoever started this one ends it
    while True:
        try:
            scenario, seed = connection.recv()
        except EOFError:
            return
        connection.send(simulate(scenario, seed))
