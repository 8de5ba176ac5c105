"""The log of a node: its lines, its levels, who listens, and that nobody waits for it."""

from __future__ import annotations

import io
import json
import logging
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from api.edge import node_log
from api.edge.errors import EnvironmentFault, UsageError
from api.edge.node_log import ENCODERS, LEVELS, Line, NodeLog, fields, level_number, output_to

app, sync = logging.getLogger("node"), logging.getLogger("node.sync")


def logged(encoder: str, say: object, **levels: str) -> str:
    """What is written while `say` runs."""
    stream = io.StringIO()
    with NodeLog({"sync": "info", **levels}, output_to(stream, encoder=encoder)):
        say()  # type: ignore[operator]
    return stream.getvalue()


@pytest.fixture(autouse=True)
def nothing_is_left() -> Iterator[None]:
    root = logging.getLogger()
    before = (root.level, root.handlers[:], sync.level, app.level)
    yield
    assert (root.level, root.handlers[:], sync.level, app.level) == before


def test_a_line_for_people_is_the_originals() -> None:
    text = logged("console", lambda: sync.warning("behind by %d\n", 7, extra=fields(peer="a\tb", layer=9)))
    moment, level, logger, message, rest = text.removesuffix("\n").split("\t")
    assert datetime.strptime(moment, "%Y-%m-%dT%H:%M:%S.%fZ") and len(moment) == len("2026-11-23T03:01:11.297Z")
    assert (level, logger, message) == ("WARN", "node.sync", "behind by 7\\n")
    assert json.loads(rest) == {"peer": "a\tb", "layer": 9}


def test_a_line_for_machines_has_the_originals_keys() -> None:
    document = json.loads(logged("json", lambda: app.critical("ends", extra=fields(code=b"x"))))
    assert list(document) == ["L", "T", "N", "M", "code"]
    assert (document["L"], document["N"], document["M"], document["code"]) == ("FATAL", "node", "ends", "b'x'")


def test_whoever_speaks_it_is_the_node() -> None:
    def say() -> None:
        logging.getLogger("poet.worker").info("one")
        logging.getLogger("nodes").info("two")
        app.info("three")

    names = [json.loads(line)["N"] for line in logged("json", say).splitlines()]
    assert names == ["node.poet.worker", "node.nodes", "node"]


def test_the_trace_of_an_error_is_with_its_line() -> None:
    def fail() -> None:
        try:
            raise KeyError("gone")
        except KeyError:
            app.exception("a handler failed")

    assert "KeyError: 'gone'" in json.loads(logged("json", fail))["S"]
    assert logged("console", fail).splitlines()[-1] == "KeyError: 'gone'"


@pytest.mark.parametrize("encoder", ENCODERS)
def test_whatever_is_logged_becomes_a_line(encoder: str) -> None:
    def say() -> None:
        app.info("%d of %d", 1)
        app.info("half \ud800", extra=fields(half="\ud800", inner={1: object()}))
        app.info("%(missing)s", {"there": 1})

    lines = logged(encoder, say).splitlines()
    assert len(lines) == 3 and "%d of %d (1,)" in lines[0] and "ud800" in lines[1] and "missing" in lines[2]
    assert all(line.encode() for line in lines)


def test_levels_are_those_of_the_modules_and_change_while_it_runs() -> None:
    stream = io.StringIO()
    with NodeLog({"sync": "error", "mesh": "warn", "proposalStore": ""}, output_to(stream)) as log:
        sync.warning("one")
        app.info("two")
        logging.getLogger("node.mesh.executor").info("three")
        logging.getLogger("node.proposalStore").info("four")
        log.set_level("sync", "DEBUG")
        sync.debug("five")
        log.set_level("*", "error")
        app.warning("six")
        logging.getLogger("poet").warning("seven")
        with pytest.raises(ValueError, match=r"module 'snyc' is unknown\. Did you mean sync\?"):
            log.set_level("snyc", "info")
        with pytest.raises(ValueError, match="level 'loud' is unknown, expected one of debug, info"):
            log.set_level("sync", "loud")
    assert [line.split("\t")[3] for line in stream.getvalue().splitlines()] == ["two", "four", "five"]


def test_a_bad_level_or_encoder_is_refused_by_name() -> None:
    with pytest.raises(UsageError, match=r"logging\.hare: level 'loud' is unknown"):
        NodeLog({"hare": "loud"}, output_to())
    with pytest.raises(UsageError, match=r"logging\.log-encoder is 'xml', expected console or json"):
        output_to(encoder="xml")


def test_every_name_of_a_level_is_known() -> None:
    assert [level_number(name) for name in ("debug", "Info", "WARN", "error", "")] == [10, 20, 30, 40, 20]
    assert all(level_number(name) == logging.CRITICAL for name in ("dpanic", "panic", "fatal"))
    assert set(LEVELS) == {"debug", "info", "warn", "error", "dpanic", "panic", "fatal"}


def test_the_tail_is_kept_and_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(node_log, "TAIL_LINES", 3)
    with NodeLog({}, output_to(io.StringIO())) as log:
        for number in range(10):
            app.info("line %d %s", number, "x" * 100_000, extra=fields(big="y" * 100_000))
        assert [line.message[:6] for line in log.tail()] == ["line 7", "line 8", "line 9"]
        assert [line.message[:6] for line in log.tail(1)] == ["line 9"] and log.tail(contains="LINE 8 X")[
            0
        ] == log.tail()[1]
        assert log.tail(level=logging.WARNING) == []
        assert all(len(line.message) + len(line.fields) <= 2 * node_log.LONGEST for line in log.tail())


def test_errors_are_told_to_listeners_who_may_log_themselves() -> None:
    heard: list[Line] = []

    def hear(line: Line) -> None:
        heard.append(line)
        app.error("heard")

    with NodeLog({}, output_to(io.StringIO())) as log:
        log.on_error(hear)
        app.warning("no")
        sync.error("yes %s", 1)
    assert [(line.message, line.level, line.logger) for line in heard] == [("yes 1", logging.ERROR, "node.sync")]


def test_who_logs_waits_for_no_reader(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(node_log, "WAITING_LINES", 4)
    goes_on, entered = threading.Event(), threading.Event()

    class Slow(io.StringIO):
        def write(self, text: str) -> int:
            entered.set()
            goes_on.wait(60)
            return super().write(text)

    stream = Slow()
    with NodeLog({}, output_to(stream)):
        app.info("first")
        assert entered.wait(60)
        for number in range(100):
            app.info("line %d", number)
        goes_on.set()
    text = stream.getvalue()
    assert "line 3" in text and "line 4" not in text
    assert "96 lines were left out here" in text


def test_a_reader_that_goes_away_ends_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    class Gone(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError

    with NodeLog({}, output_to(Gone())) as log:
        app.info("said")
    assert log.tail()[-1].message == "said" and "Traceback" not in capsys.readouterr().err


@pytest.mark.parametrize("encoder", ENCODERS)
def test_a_file_is_rotated(tmp_path: Path, encoder: str) -> None:
    file = tmp_path / "node.log"
    with NodeLog({}, output_to(encoder=encoder, file=file, size=300, files=2)):
        for number in range(20):
            app.info("line %d", number)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["node.log", "node.log.1", "node.log.2"]
    assert "line 19" in file.read_text()
    with pytest.raises(EnvironmentFault, match="cannot be written"):
        output_to(file=tmp_path / "nowhere" / "node.log")


def test_the_clock_of_the_machine_is_said_beside_utc(monkeypatch: pytest.MonkeyPatch) -> None:
    sentence = node_log.clock_sentence(datetime(2026, 11, 30, 18, 0, 5, tzinfo=UTC))
    here = datetime(2026, 11, 30, 18, 0, 5, tzinfo=UTC).astimezone()
    assert sentence.startswith("Times in this log are UTC.") and f"{here:%H:%M:%S} now, UTC{here:%z}" in sentence
