"""`smesher simulate`: what it says, what it writes, how it ends."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from api.cli.node.simulate_view import View
from api.cli.output import Output
from node.sim import simulate as simulation
from node.sim.invariants.base import Invariant
from node.sim.report.record import Recorder
from node.sim.scenario import CrashOf
from node.sim.scenarios import QUIET
from node.sim.simulate import begin
from node.sim.world import World
from tests.support.cli import smesher

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
        (["--epoch", "1"], "layers_per_epoch is 1, expected at least 3"),
        (["--seeds", "2", "--report", "x.html"], "--report is about one run"),
    ],
)
def test_what_cannot_be_run_is_refused_by_name(words: list[str], message: str, tmp_path: Path) -> None:
    (tmp_path / "bad.toml").write_text("nodes = [")
    (tmp_path / "odd.toml").write_text("colour = 3\n")
    result = smesher("simulate", *(word.replace("{tmp}", str(tmp_path)) for word in words))
    assert result.code == 2 and message in result.err, result.text


def test_a_report_that_cannot_be_written_is_told_with_3(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    result = smesher("simulate", "--nodes", "2", "--layers", "2", "--report", str(tmp_path / "file" / "report.html"))
    assert result.code == 3 and "cannot be written" in result.err


def test_on_a_terminal_one_sees_where_the_nodes_are() -> None:
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, width=150, color_system=None)
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
    assert "3 nodes, seed 7" in shown[0] and "layer 1 of 12" in shown[0] and "nothing goes wrong" in shown[0]
    assert "×" in shown[11] and "proposers" in shown[11]
    assert "node 2 crashes (kill)" in shown[9] or "node 2 crashes (kill)" in shown[10]
