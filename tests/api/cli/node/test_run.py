"""The command line of a node, up to what its composition is given."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from types import ModuleType

import pytest

from api.cli.node.run import configuration, help_text
from api.config.load import flags
from api.edge.errors import DataError
from api.node.start import Prepared
from tests.support.cli import smesher
from tests.support.node_data import NodeFolder

HERE = Path(__file__).resolve().parent
CONFIGS = sorted(
    path
    for folder in (HERE / "originals", HERE.parents[4] / "shared" / "devnet" / "configs")
    for path in folder.glob("*.json")
    if path.stem != "a-info"
)
"""Files by which original nodes were run; those beside the repository where they are there."""


@pytest.fixture
def at(tmp_path: Path) -> NodeFolder:
    return NodeFolder(tmp_path)


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> list[Prepared]:
    """What the composition was given; it ends well at once."""
    found: list[Prepared] = []
    runner = ModuleType("api.node.run")

    def run(prepared: Prepared) -> int:
        found.append(prepared)
        return 0

    vars(runner)["run"] = run
    monkeypatch.setitem(sys.modules, "api.node.run", runner)
    return found


def test_the_composition_gets_what_was_configured(at: NodeFolder, given: list[Prepared]) -> None:
    at.write({"main": {"metrics": True}})
    result = at.run("--metrics-port", "7", "--smeshing-mode=remote", "--json").ok()
    (one,) = given
    assert one.config.main.metrics_port == 7 and one.identities.mode == "remote"
    assert one.log is not None and one.log.tail()[0].message.startswith("smesher node")
    lines = [json.loads(line) for line in result.out.splitlines()]
    assert all(set(line) >= {"L", "T", "N", "M"} for line in lines)
    said = [line["M"] for line in lines]
    assert "main.metrics-port = 7" in said[1] and "smesher node has ended" in said[-1]
    assert said[2].startswith("Times in this log are UTC.")
    assert any(line["L"] == "WARN" and "A new identity was made" in line["M"] for line in lines)


def test_passwords_are_in_no_log(at: NodeFolder, given: list[Prepared]) -> None:
    at.write({"public-metrics": {"metrics-push-pass": "s3cret", "metrics-push-header": {"Authorization": "s3cret"}}})
    assert "s3cret" not in at.run().ok().text and len(given) == 1
    explained = smesher("config", "explain", "-c", at.file, "public-metrics").ok().text
    assert "s3cret" not in explained and "(not shown)" in explained


def test_a_preset_needs_nothing_else(tmp_path: Path, given: list[Prepared], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SMESHER_DATA_FOLDER", str(tmp_path / "data"))
    smesher("node", "--preset", "standalone").ok()
    smesher("node", "-p", "standalone").ok()
    first, second = given
    assert first.genesis == second.genesis and not first.genesis.time.is_zero
    assert first.config.main.filelock == str(tmp_path / "data" / "LOCK")
    assert first.config.smeshing.opts.datadir == str(tmp_path / "data")
    assert first.config.smeshing.start


def test_what_ends_with_an_error_ends_with_one(at: NodeFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    runner = ModuleType("api.node.run")

    def run(prepared: Prepared) -> int:
        raise DataError("The store is damaged.")

    vars(runner)["run"] = run
    monkeypatch.setitem(sys.modules, "api.node.run", runner)
    at.write()
    result = at.run().refused(1, "The store is damaged.")
    assert "ERROR\tnode\tsmesher node ends: The store is damaged." in result.out


def test_a_stop_before_it_runs_is_a_stop(at: NodeFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    runner = ModuleType("api.node.run")

    def run(prepared: Prepared) -> int:
        raise KeyboardInterrupt

    vars(runner)["run"] = run
    monkeypatch.setitem(sys.modules, "api.node.run", runner)
    at.write()
    result = at.run().ok()
    assert "stopped before it ran" in result.out and "ERROR" not in result.out
    at.run().ok()  # nothing is held any more


def test_the_log_goes_to_a_file(at: NodeFolder, given: list[Prepared]) -> None:
    at.write()
    result = at.run("--log-file", at.path / "node.log").ok()
    assert result.out == "" and "INFO\tnode\tsmesher node has ended" in (at.path / "node.log").read_text()
    at.run("--log-file", at.path / "no" / "node.log").refused(1, "node.log", "cannot be written")


@pytest.mark.parametrize(
    ("words", "facts"),
    [
        (("relay",), ("knows no 'relay'", "no relay for others")),
        (("foo", "bar"), ("knows no 'foo'",)),
        (("--preset", "standalone", "--tick-sise=1"), ("no flag --tick-sise", "--tick-size")),
        (("-c", "nowhere.json"), ("nowhere.json", "no such file")),
    ],
)
def test_words_that_mean_nothing_are_refused(words: tuple[str, ...], facts: tuple[str, ...]) -> None:
    smesher("node", *words).refused(1, *facts)


def test_toml_is_read_by_its_name(at: NodeFolder) -> None:
    path = at.path / "config.toml"
    path.write_text('preset = "standalone"\n[main]\ntick-size = 9\n')
    assert configuration(["-c", str(path)], {}).config.main.tick_size == 9


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.name)
def test_files_of_the_original_are_read_unchanged(path: Path, tmp_path: Path, given: list[Prepared]) -> None:
    at = NodeFolder(tmp_path)
    at.file.write_text(path.read_text().replace("<work>", str(tmp_path)))
    document = json.loads(at.file.read_text())
    at.run().ok()
    (one,) = given
    assert one.config.preset == document["preset"]
    assert one.config.main.data_folder == document["main"]["data-folder"]
    assert str(one.genesis.time) == document["genesis"]["genesis-time"]
    assert one.config.api.grpc_json_listener == document["api"]["grpc-json-listener"]
    assert os.path.isdir(document["main"]["data-folder"])
    without = "p2p.listen" if one.config.main.standalone else "tortoise.tortoise-enable-tracer"
    assert "have no effect" in one.warnings[0] and without in one.warnings[0]


def test_help_names_every_flag() -> None:
    text = smesher("node", "--help").ok().out
    assert text.rstrip("\n") == help_text()
    for one in flags():
        if one.kind.expected != "nothing":
            assert f"{one.shown_flag} " in text or f"{one.shown_flag}=" in text, one.flag
