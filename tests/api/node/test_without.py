"""Settings without effect are named in one warning, never passed over in silence."""

from __future__ import annotations

from api.config.load import parse_flags, read
from api.config.node import settings_of
from api.node import without
from protocol.params.config.node import Config


def test_all_of_them_are_in_one_warning_by_what_they_are_for() -> None:
    text = '{"main": {"pprof-server": true, "db-connections": 3, "tick-size": 7}, "p2p": {"enable-quic-transport": 1}}'
    warning = without.warning(read(text, parse_flags(["--tortoise-enable-tracer"])))
    assert warning is not None and warning.count("no effect") == 1
    for words in (
        "profiles of a Go program (main.pprof-server)",
        "an SQL database (main.db-connections)",
        "connections to nodes on other machines (p2p.enable-quic-transport)",
        "the trace of tortoise (tortoise.tortoise-enable-tracer)",
    ):
        assert words in warning
    assert "tick-size" not in warning


def test_what_is_set_to_the_default_is_not_told() -> None:
    assert without.warning(read('{"main": {"pprof-listener": "localhost:6060"}, "cache": {"atx-size": 1000}}')) is None


def test_every_entry_names_a_setting() -> None:
    paths = [setting.path for setting, _ in settings_of(Config)]
    for starts in without.PARTS.values():
        for start in starts:
            assert any(path.startswith(start) for path in paths), start
    assert without.part_of("main.tick-size") is None
