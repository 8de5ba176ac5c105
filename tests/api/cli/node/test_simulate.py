"""`smesher simulate`: what it says, what it writes, how it ends."""

from __future__ import annotations

import errno
import io
import os
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from api.cli.node import simulate_many
from api.cli.node.simulate_view import View
from api.cli.output import Output
from node.contract.instants import Instant
from node.sim import simulate as simulation
from node.sim.invariants.base import Invariant
from node.sim.report.record import Recorder
from node.sim.running import Outcome
from node.sim.scenario import CrashOf
from node.sim.scenarios import QUIET
from node.sim.simulate import begin
from node.sim.watch import Violation
from node.sim.world import World
from prover import durable
from tests.support.cli import finish, smesher, start, wait_for

SMALL = ["--nodes", "3", "--layers", "12", "--epoch", "4"]


class NothingEverHappens(Invariant):
    """Is violated by every layer after the tenth."""

    name = "nothing ever happens"

    def layer_began(self, layer: Any) -> None:
        if layer > 10:
            self.violated(f"layer {layer} began")


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every run fails in layer 11."""
    monkeypatch.setattr(simulation, "invariants_of", lambda *given: [NothingEverHappens()])


def test_a_run_is_told_layer_by_layer_and_leaves_a_report(tmp_path: Path) -> None:
    report = tmp_path / "new" / "report.html"
    result = smesher("simulate", *SMALL, "--seed", "7", "--report", str(report), "--json")
    assert result.code == 0, result.text
    start, *rest, done = result.events
    assert start["event"] == "start" and (start["nodes"], start["layers"], start["seed"]) == (3, 12, 7)
    layers = [one for one in rest if one["event"] == "layer"]
    assert [one["layer"] for one in layers] == list(range(12))
    assert layers[10]["verified"][0] >= 8 and layers[10]["messages"] > 0 and layers[9]["proposers"]
    assert done["holds"] and done["layer"] == 12
    assert "seed 7" in report.read_text()
    again = smesher("simulate", *SMALL, "--seed", "7")
    assert again.code == 0 and done["fingerprint"] in again.out


def test_a_run_that_fails_ends_with_1_and_is_made_smaller(failing: None) -> None:
    result = smesher("simulate", *SMALL, "--scenario", "equivocator", "--minimise", "--json")
    assert result.code == 1
    ((violation,), (done,), (smallest,)) = (result.named(name) for name in ("violation", "done", "smallest"))
    assert violation["text"] == "layer 11 began"
    assert done["holds"] is False and done["layer"] == 11
    assert smallest["nodes"] == 2 and "events=()" in smallest["test"] and "simulate(scenario, 1)" in smallest["test"]
    said = smesher("simulate", *SMALL)
    assert said.code == 1 and "violated" in said.out and "nothing ever happens" in said.out


def test_several_seeds_run_beside_each_other() -> None:
    result = smesher(
        "simulate", "--nodes", "2", "--layers", "9", "--epoch", "4", "--seed", "3", "--seeds", "3", "--json"
    )
    assert result.code == 0, result.text
    seeds = [one for one in result.events if one["event"] == "seed"]
    assert sorted(one["seed"] for one in seeds) == [3, 4, 5] and all(one["holds"] for one in seeds)
    assert result.events[-1] == {"event": "done", "seeds": 3, "failed": []}


def test_of_a_seed_that_fails_the_words_are_told_that_simulate_it_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    violation = Violation("rule", Instant(0), None, "something happened")
    failed = Outcome(QUIET, 4, (violation,), 1, "", 0, 0)
    monkeypatch.setattr(simulate_many, "outcomes", lambda *given: iter([failed]))
    sizes = ("--nodes", "2", "--layers", "9", "--epoch", "4", "--transactions", "0", "--degree", "4", "--mode", "full")
    result = smesher("simulate", "--scenario", "drawn", *sizes, "--seed", "3", "--seeds", "2")
    assert result.code == 1
    assert f"smesher simulate --scenario drawn {' '.join(sizes)} --seed 4\n" in result.out


def test_scenarios_and_roles_are_listed() -> None:
    result = smesher("simulate", "--list")
    assert result.code == 0 and "partition" in result.out and "equivocator" in result.out


def test_a_scenario_of_ones_own_is_read_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text('nodes = 2\nlayers = 6\nevents = [{ kind = "crash", at = 2.5, node = 1 }]\n')
    result = smesher("simulate", "--scenario", str(file), "--json")
    assert result.code == 0, result.text
    assert result.events[0]["scenario"] == "mine" and result.events[0]["nodes"] == 2


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--scenario", "storm"], "--scenario is storm, expected one of quiet, partition"),
        (["--scenario", "{tmp}/none.toml"], "none.toml cannot be read"),
        (["--scenario", "{tmp}/bad.toml"], "bad.toml is no TOML"),
        (["--scenario", "{tmp}/odd.toml"], "has no field 'colour'"),
        (["--nodes", "0"], "--nodes is 0, expected 1 to 10000"),
        (["--epoch", "1"], "--epoch is 1, expected 3 to 100000"),
        (["--degree", "1000000000"], "--degree is 1000000000, expected 0 to 1000"),
        (["--transactions", "1000000000"], "--transactions is 1000000000, expected 0 to 10000"),
        (["--jobs", "1000000000"], "--jobs is 1000000000, expected 0 to 1000"),
        (["--scenario", "{tmp}/fifo.toml"], "fifo.toml: it is a FIFO, expected a file"),
        (["--scenario", "/dev/zero"], "/dev/zero: it is a device, expected a file"),
        (["--scenario", "{tmp}/directory.toml"], "directory.toml: it is a directory, expected a file"),
        (["--scenario", "{tmp}/latin.toml"], "latin.toml is no UTF-8 text"),
        (["--scenario", "{tmp}/deep.toml"], "deep.toml is nested too deeply"),
        (["--scenario", "{tmp}/digits.toml"], "digits.toml is no TOML"),
        (["--report", "{tmp}"], "is a directory, expected the name of a file"),
        (["--report", "."], "--report . is a directory, expected the name of a file"),
        (["--report", "{tmp}/fifo.toml"], "fifo.toml is a FIFO, expected the name of a file"),
        (["--seeds", "2", "--report", "x.html"], "--report is about one run"),
    ],
)
def test_what_cannot_be_run_is_refused_by_name(words: list[str], message: str, tmp_path: Path) -> None:
    (tmp_path / "bad.toml").write_text("nodes = [")
    (tmp_path / "odd.toml").write_text("colour = 3\n")
    (tmp_path / "latin.toml").write_bytes(b'name = "\xff"')
    (tmp_path / "deep.toml").write_text("nodes = " + "[" * 5000)
    (tmp_path / "digits.toml").write_text("nodes = " + "9" * 5000)
    (tmp_path / "directory.toml").mkdir()
    os.mkfifo(tmp_path / "fifo.toml")
    result = smesher("simulate", *(word.replace("{tmp}", str(tmp_path)) for word in words))
    assert result.code == 2 and message in result.err, result.text


def test_a_report_that_cannot_be_written_is_told_with_3(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    result = smesher("simulate", "--nodes", "2", "--layers", "2", "--report", str(tmp_path / "file" / "report.html"))
    assert result.code == 3 and "cannot be written" in result.err


def test_where_no_report_can_be_written_nothing_is_run(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for report in (tmp_path / "file" / "report.html", tmp_path / ("x" * 300)):
        result = smesher("simulate", "--nodes", "2", "--layers", "2", "--report", str(report), "--json")
        assert result.code == 3 and [one["event"] for one in result.events] == ["error"], result.text


def test_what_came_of_a_run_is_told_even_if_its_report_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, data: bytes) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(durable, "replace", full)
    report = tmp_path / "report.html"
    result = smesher("simulate", "--nodes", "2", "--layers", "2", "--report", str(report), "--json")
    assert result.code == 3
    assert [one["event"] for one in result.events][-2:] == ["done", "error"], result.text


def test_what_a_small_run_leaves_out_is_said() -> None:
    result = smesher("simulate", "--nodes", "1", "--layers", "1", "--scenario", "equivocator")
    assert result.code == 0 and "left out" in result.err and "node 1 is dishonest: equivocator" in result.err


@pytest.mark.parametrize("width", [60, 150])
def test_on_a_terminal_one_sees_where_the_nodes_are(width: int) -> None:
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, width=width, color_system=None)
    output = Output(json=False)
    output.__dict__["errors"] = console
    scenario = replace(QUIET, nodes=3, layers=12, layers_per_epoch=4, events=(CrashOf(10.5, 2, downtime_s=600.0),))
    recorder = Recorder()
    shown: list[str] = []
    with View(scenario, 7, recorder, output) as view:

        def on_layer(world: World) -> None:
            view.on_layer(world)
            assert view.live is not None
            with console.capture() as capture:
                console.print(view.live.get_renderable())
            shown.append(capture.get())

        assert begin(scenario, 7, recorder, on_layer).finish().violations == ()
    assert len(shown) == 12
    assert any("3 nodes, seed 7, layer 1 of 12" in line for line in shown[0].splitlines()), shown[0]
    assert "nothing goes wrong" in shown[0]
    assert "×" in shown[11] and "proposers" in shown[11]
    assert "node 2 crashes (kill)" in shown[9] or "node 2 crashes (kill)" in shown[10]


@pytest.mark.parametrize("many", [[], ["--seeds", "1000", "--jobs", "2"]], ids=["one seed", "many"])
def test_an_interrupt_ends_it_with_130_and_leaves_no_process(many: list[str]) -> None:
    layers = "9" if many else "100000"
    child = start("simulate", "--nodes", "2", "--layers", layers, "--json", *many, start_new_session=True)
    assert child.stdout is not None
    assert "event" in child.stdout.readline()  # it has begun, or one seed has ended
    os.killpg(child.pid, signal.SIGINT)
    result = finish(child)
    assert result.code == 130 and "Traceback" not in result.err, result.err
    wait_for(lambda: not _is_there(child.pid))


def _is_there(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True
