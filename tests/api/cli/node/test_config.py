"""`smesher config`: what settings are for, which values they have and whence, and whether a file can be used."""

from __future__ import annotations

from pathlib import Path

import pytest

from api.config.node import settings_of
from api.config.own import SETTINGS
from protocol.params.config.node import Config
from tests.support.cli import smesher
from tests.support.node_data import NodeFolder


def explained(*words: object) -> dict[str, dict[str, object]]:
    events = smesher("config", "explain", *words, "--json").ok().events
    assert events[-1] == {"event": "done"}
    return {str(one["path"]): one for one in events[:-1]}


def test_all_settings_are_explained() -> None:
    found = explained()
    assert set(found) == {one.path for one, _ in settings_of(Config)} | {one.path for one in SETTINGS}
    assert all(one["meaning"] and one["expected"] and one["source"] == "main network" for one in found.values())
    assert found["main.layer-duration"]["defaults"] == {
        "mainnet": "5m0s",
        "testnet": "5m0s",
        "fastnet": "15s",
        "standalone": "6s",
    }


def test_the_value_in_force_and_its_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "c.json"
    file.write_text('{"preset": "fastnet", "main": {"tick-size": 7}, "p2p": {"enable-quic-transport": true}}')
    monkeypatch.setenv("SMESHER_METRICS_PORT", "99")
    found = explained("-c", file, "main", "p2p.enable-quic-transport")
    told = {path: (one["value"], one["source"]) for path, one in found.items()}
    assert told["main.tick-size"] == (7, "file")
    assert told["main.metrics-port"] == (99, "SMESHER_METRICS_PORT")
    assert told["main.layer-duration"] == ("15s", "preset fastnet")
    assert "preset" not in told and "api.grpc-json-listener" not in told
    assert found["p2p.enable-quic-transport"]["without"].startswith("QUIC, relays")
    assert found["main.tick-size"]["without"] == ""
    preset = explained("-p", "testnet", "layers-per-epoch")
    assert preset["main.layers-per-epoch"]["value"] == 288


@pytest.mark.parametrize(
    ("key", "path"),
    [
        ("main.tick-size", "main.tick-size"),
        ("Tick-Size", "main.tick-size"),
        ("--peersync-disable", "time.peersync.disable"),
        ("gprc-tls-ca-cert", "api.grpc-tls-ca-cert"),
        ("smeshing-mode", "smesher.smeshing-mode"),
    ],
)
def test_a_setting_is_found_by_any_of_its_names(key: str, path: str) -> None:
    # a word that begins with dashes stands behind --
    events = smesher("config", "explain", "--json", "--", key).ok().events
    assert [one["path"] for one in events[:-1]] == [path]


def test_what_is_no_setting_is_refused_with_the_nearest() -> None:
    smesher("config", "explain", "tick-sise").refused(2, "no setting 'tick-sise'", "Did you mean tick-size?")


def test_people_are_told_the_same() -> None:
    text = smesher("config", "explain", "layer-duration").ok().out
    for words in (
        "main.layer-duration",
        "Length of a layer.",
        "5m0s   (from the main network)",
        "5m0s (fastnet 15s, standalone 6s)",
        "--layer-duration, or the environment variable SMESHER_LAYER_DURATION",
    ):
        assert words in text


def test_a_good_file_and_its_warnings(tmp_path: Path) -> None:
    at = NodeFolder(tmp_path)
    at.write({"main": {"pprof-server": True}, "genesis": {"genesis-time": None}})
    result = smesher("config", "check", at.file).ok()
    assert "a node takes" in result.out and "main.pprof-server" in result.out and "kept in genesis.json" in result.out
    done = smesher("config", "check", at.file, "--json").ok().last
    assert (done["usable"], done["problems"], done["warnings"]) == (True, 0, 2)
    assert not at.data.exists()


@pytest.mark.parametrize(
    ("text", "facts"),
    [
        ('{"main": {"aa": 1, "tick-size": -1}, "bb": 2}', ("main.aa", "bb is no setting", "main.tick-size is -1")),
        ('{"preset": "fastnet"}', ("genesis.genesis-time is not set",)),
        ('{"logging": {"hare": "x"}, "smeshing": {"smeshing-coinbase": "y"}}', ("logging.hare", "smeshing-coinbase")),
        ("{", ("JSON",)),
        ('{"api": {"grpc-tls-services": ["post", "pst", "post"]}}', ("'pst' is no service", "'post' is named twice")),
        ('{"p2p": {"bootnodes": ["/ip4/1.2.3.4/tcp/1"]}}', ("p2p.bootnodes",)),
    ],
)
def test_a_bad_file_has_all_its_problems_told(tmp_path: Path, text: str, facts: tuple[str, ...]) -> None:
    file = tmp_path / "c.json"
    file.write_text(text)
    result = smesher("config", "check", file)
    assert result.code == 2
    assert all(fact in result.out for fact in facts), result.out
    events = smesher("config", "check", file, "--json").events
    assert sum(one["event"] == "problem" for one in events) == events[-1]["problems"] >= len(facts)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    smesher("config", "check", tmp_path / "c.json").refused(2, "no such file")
