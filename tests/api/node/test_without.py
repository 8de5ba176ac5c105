"""Settings without effect are named in one warning, never passed over in silence."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

from api.config.load import parse_flags, read
from api.config.node import settings_of
from api.node import without
from protocol.params.config import derived
from protocol.params.config.logs import Logging
from protocol.params.config.node import Config
from tests.support.cli import ROOT


def test_all_of_them_are_in_one_warning_by_what_they_are_for() -> None:
    text = '{"main": {"pprof-server": true, "db-connections": 3, "tick-size": 7}, "p2p": {"enable-quic-transport": 1}}'
    warning = without.warning(read(text, parse_flags(["--tortoise-enable-tracer"])))
    assert warning is not None and warning.count("no effect") == 1
    for words in (
        "profiles of a Go program (main.pprof-server)",
        "an SQL database (main.db-connections)",
        "QUIC, relays, and ways through a router that opens no port (p2p.enable-quic-transport)",
        "the trace of tortoise (tortoise.tortoise-enable-tracer)",
    ):
        assert words in warning
    assert "tick-size" not in warning


def test_what_is_set_to_the_default_is_not_told() -> None:
    assert without.warning(read('{"main": {"pprof-listener": "localhost:6060"}, "cache": {"atx-size": 1000}}')) is None


def test_a_network_of_one_has_no_use_for_settings_of_peers() -> None:
    text = '{"preset": "%s", "p2p": {"listen": "/ip4/127.0.0.1/tcp/1"}}'
    assert without.warning(read(text % "fastnet")) is None
    warning = without.warning(read(text % "standalone"))
    assert warning is not None and f"{without.ALONE} (p2p.listen)" in warning


def test_every_entry_names_a_setting() -> None:
    paths = [setting.path for setting, _ in settings_of(Config)]
    for starts in without.PARTS.values():
        for start in starts:
            assert any(path.startswith(start) for path in paths), start
    assert without.part_of("main.tick-size") is None


SILENT = {
    "main.poet-server": "refused wherever it stands",
    "preset": "read before all others",
}
"""Settings of which no part of the node asks, and why."""


def test_a_setting_that_no_part_of_the_node_asks_for_is_in_the_warning() -> None:
    """What is asked for is found by the name of its attribute: a setting that shares its name with others may be "
    "missed."""
    readers = [
        path
        for room in ("api", "node")
        for path in (ROOT / room).rglob("*.py")
        if not path.is_relative_to(ROOT / "api" / "config") and path.name not in ("checks.py", "without.py")
    ]
    source = "\n".join(path.read_text() for path in (*readers, Path(derived.__file__)))
    asked = set(re.findall(r"\.([a-z_0-9]+)\b", source))
    levels = {f"logging.{item.metadata['key']}" for item in fields(Logging)}  # read as a whole
    for setting, attributes in settings_of(Config):
        path = setting.path
        if attributes[-1] not in asked and path not in SILENT and path not in levels:
            assert without.part_of(path), f"{path} has no effect, and nobody is told"
