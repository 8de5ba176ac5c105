"""`smesher simulate`: a network of nodes on this machine, from one seed, with everything that may go wrong.

Virtual time, network and disk; the machines are those of a node. Exit code 0: every invariant held; 1: one did not, and
the run can be had again with the same words.
"""

from __future__ import annotations

import argparse
import errno
import os
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from api.cli import common
from api.cli.output import Output
from api.edge.errors import EnvironmentFault, UsageError
from api.edge.text import read_text
from prover import durable

from .simulate_options import FIELDS

if TYPE_CHECKING:
    from node.sim.running import Outcome
    from node.sim.scenario import Scenario

DRAWN = "drawn"
"""The name of scenarios that are drawn from their seed."""
MOST_BYTES = 1 << 20
"""Of a scenario's file."""
MOST_SEEDS, MOST_JOBS = 1_000_000, 1_000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the command."""
    parser.add_argument(
        "--scenario",
        default="quiet",
        metavar="NAME",
        help="what goes wrong: a name (--list), a TOML file, or 'drawn', anything by the seed (default: quiet)",
    )
    parser.add_argument("--list", action="store_true", help="list the scenarios that have a name, and the roles")
    parser.add_argument("--nodes", type=common.whole_number, help="nodes (default: the scenario's)")
    parser.add_argument("--layers", type=common.whole_number, help="layers until the end (default: the scenario's)")
    parser.add_argument("--epoch", type=common.whole_number, metavar="LAYERS", help="layers of an epoch")
    parser.add_argument("--transactions", type=common.whole_number, help="coin transfers in a layer")
    parser.add_argument("--degree", type=common.whole_number, help="neighbours that relay gossip; 0: it goes directly")
    parser.add_argument("--mode", choices=("shared", "full"), help="judge signatures once for all nodes, or in each")
    parser.add_argument("--seed", type=common.whole_number, default=1, help="the seed, or the first one (default: 1)")
    parser.add_argument("--seeds", type=common.whole_number, default=1, metavar="COUNT", help="so many seeds in a row")
    parser.add_argument("--jobs", type=common.whole_number, default=0, help="seeds at once (default: a processor each)")
    parser.add_argument("--report", type=common.path, metavar="FILE", help="write what happened as one HTML file")
    parser.add_argument(
        "--minimise", action="store_true", help="make a run that fails as small as possible, and print it as a test"
    )


def run(arguments: argparse.Namespace, output: Output) -> int:
    """Exit code 0: every invariant held; 1: one did not; 2: there is no such scenario."""
    if arguments.list:
        return _list(output)
    _check(arguments)
    scenario = None if arguments.scenario == DRAWN else _scenario(arguments, output)
    if arguments.seeds > 1:
        from .simulate_many import run_many

        return run_many(lambda seed: scenario or _drawn(arguments, seed), arguments, output)
    return _run_one(scenario or _drawn(arguments, arguments.seed), arguments, output)


def _check(arguments: argparse.Namespace) -> None:
    from node.sim.scenario import LIMITS

    limits = {name: LIMITS[field] for name, field in FIELDS.items() if field in LIMITS}
    for name, (least, most) in {**limits, "seeds": (1, MOST_SEEDS), "jobs": (0, MOST_JOBS)}.items():
        found = getattr(arguments, name)
        if found is not None and not least <= found <= most:
            raise UsageError(f"--{name} is {found}, expected {least} to {most}.")
    if arguments.report is None:
        return
    if arguments.seeds > 1:
        raise UsageError("--report is about one run, and --seeds asks for several. Leave one of them out.")
    if (kind := durable.kind_of(arguments.report)) not in (None, "a file"):
        raise UsageError(f"--report {arguments.report} is {kind}, expected the name of a file.")
    _check_place(arguments.report)


def _check_place(report: Path) -> None:
    """Whether a report can be written there, as far as can be told before the run. Raises EnvironmentFault."""
    try:
        durable.make_directory(report.parent)
        if not os.access(report.parent, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        os.lstat(report)
    except FileNotFoundError:
        return
    except OSError as error:
        raise EnvironmentFault(f"--report {report} cannot be written: {durable.reason(error)}.") from None


def _list(output: Output) -> int:
    from node.sim.report.page import describe
    from node.sim.roles import ROLES
    from node.sim.scenarios import SCENARIOS

    for name, scenario in SCENARIOS.items():
        output.event("scenario", name=name, events=[describe(event) for event in scenario.events])
        output.say(
            f"[bold]{name}[/]  {'; '.join(describe(event) for event in scenario.events) or 'nothing goes wrong'}"
        )
    output.event("roles", names=list(ROLES))
    output.say(f"[bold]roles[/]  {', '.join(ROLES)}")
    return 0


def _scenario(arguments: argparse.Namespace, output: Output) -> Scenario:
    """Raises UsageError."""
    from node.sim.report.page import describe
    from node.sim.scenarios import SCENARIOS

    name = arguments.scenario
    found = SCENARIOS.get(name) or _from_file(Path(name), list(SCENARIOS))
    changed = _changed(found, arguments)
    for event in found.events:
        if event not in changed.events:
            output.note(f"left out, for this run is too small for it: {describe(event)}")
    return changed


def _drawn(arguments: argparse.Namespace, seed: int) -> Scenario:
    from node.sim.scenarios import drawn

    size = {"nodes": arguments.nodes, "layers": arguments.layers, "layers_per_epoch": arguments.epoch}
    return _changed(drawn(seed, **{name: value for name, value in size.items() if value is not None}), arguments)


def _from_file(path: Path, names: list[str]) -> Scenario:
    from node.sim.scenario import BadScenario, from_mapping, is_name

    if not path.suffix and durable.kind_of(path) is None:
        raise UsageError(f"--scenario is {path}, expected one of {', '.join(names)}, {DRAWN}, or the name of a file.")
    text = read_text(path, "--scenario", MOST_BYTES)
    try:
        document: dict[str, Any] = tomllib.loads(text)
        return from_mapping({"name": path.stem if is_name(path.stem) else "unnamed", **document})
    except BadScenario as error:
        raise UsageError(f"--scenario {path}: {error}") from None
    except ValueError as error:
        raise UsageError(f"--scenario {path} is no TOML: {error}.") from None
    except RecursionError:
        raise UsageError(f"--scenario {path} is nested too deeply, which no scenario needs.") from None


def _changed(scenario: Scenario, arguments: argparse.Namespace) -> Scenario:
    """With what the command line says. Raises UsageError."""
    from node.sim.scenario import BadScenario

    given = {field: getattr(arguments, name) for name, field in FIELDS.items()}
    changed = replace(scenario, **{field: value for field, value in given.items() if value is not None})
    try:
        return changed.with_size(changed.nodes, changed.layers).check()
    except BadScenario as error:
        raise UsageError(str(error)) from None


# ---- one run ----


def _run_one(scenario: Scenario, arguments: argparse.Namespace, output: Output) -> int:
    from node.sim.report.page import page
    from node.sim.report.record import Recorder
    from node.sim.simulate import begin

    from .simulate_view import View, tell

    recorder = Recorder()
    output.event("start", scenario=scenario.name, nodes=scenario.nodes, layers=scenario.layers, seed=arguments.seed)
    with View(scenario, arguments.seed, recorder, output) as view:
        outcome = begin(scenario, arguments.seed, recorder, view.on_layer).finish()
    layers = recorder.finish()
    tell(outcome, output)
    if arguments.report is not None:
        _write(arguments.report, page(outcome, layers))
        output.say(f"[dim]report[/]  {arguments.report}")
    if not outcome.holds and arguments.minimise:
        _minimise(outcome, output)
    return 0 if outcome.holds else 1


def _minimise(outcome: Outcome, output: Output) -> None:
    from node.sim.minimise import as_test, minimise
    from node.sim.simulate import simulate

    output.note("making the run smaller, as long as it fails in the same way")
    found = minimise(outcome, simulate)
    text = as_test(found.outcome)
    output.event("smallest", runs=found.tried, nodes=found.outcome.scenario.nodes, test=text)
    output.say(f"[bold]after {found.tried} runs[/]\n")
    for line in text.splitlines():
        output.say(line)


def _write(path: Path, text: str) -> None:
    """A report, in place of an earlier one. Raises EnvironmentFault."""
    try:
        durable.make_directory(path.parent)
        durable.replace(path, text.encode())
    except OSError as error:
        raise EnvironmentFault(f"{path} cannot be written: {durable.reason(error)}.") from None
