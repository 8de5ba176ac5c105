"""The words of strangers in a log: escaped, shortened, and the same line not a thousand times."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from api.edge import logging as edge_logging
from api.edge.logging import Quiet
from api.edge.repeats import KINDS_KEPT, REPEAT_S
from api.edge.text import escaped


@pytest.mark.parametrize(
    ("said", "written"),
    [
        ("plain words", "plain words"),
        ("a\nb\r\n2026-11-30 12:00:00 ERROR forged", "a\\nb\\r\\n2026-11-30 12:00:00 ERROR forged"),
        ("\x1b[2Jgone", "\\x1b[2Jgone"),
        ("\u202eevil", "\\u202eevil"),
        ("\ud800", "\\ud800"),
        (b"\xff\x00a", "\\xff\\x00a"),
        (ValueError("a\tb"), "a\\tb"),
        ("grün", "grün"),
    ],
)
def test_what_a_peer_said_is_one_line(said: object, written: str) -> None:
    assert escaped(said) == written


def test_what_a_peer_said_is_cut() -> None:
    assert len(escaped("x" * 10_000)) < 300
    assert len(escaped(b"\xff" * 10_000_000, 50)) < 300
    assert escaped("x" * 30, 20).startswith("x" * 20)


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def quiet(clock: Clock) -> tuple[Quiet, list[str]]:
    logger = logging.Logger("tests.quiet")
    lines: list[str] = []

    class Kept(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(record.getMessage())

    logger.addHandler(Kept())
    return Quiet(logger, clock), lines


def test_the_same_line_is_written_once_a_minute_with_how_often_it_came() -> None:
    clock = Clock()
    log, lines = quiet(clock)
    for _ in range(1000):
        log.warning("%s sends no HTTP: %s", "10.0.0.1", "garbage 100%")
    log.warning("%s sends no HTTP: %s", "10.0.0.2", "garbage")
    assert lines == ["10.0.0.1 sends no HTTP: garbage 100%", "10.0.0.2 sends no HTTP: garbage"]
    clock.now = REPEAT_S
    log.warning("%s sends no HTTP: %s", "10.0.0.1", "other")
    assert lines[-1] == "10.0.0.1 sends no HTTP: other (999 more like it in the last 60 s)"


def test_what_is_remembered_is_bounded() -> None:
    log, lines = quiet(Clock())
    for number in range(3 * KINDS_KEPT):
        log.info("%s goes", number)
    assert len(lines) == 3 * KINDS_KEPT and len(log._said) == KINDS_KEPT


def test_a_log_goes_to_a_file_as_lines_of_json(tmp_path: Path) -> None:
    file = tmp_path / "a.log"
    logger = edge_logging.set_up("tests.set_up", as_json=True, file=file)
    try:
        logger.info("a %s", "line")
    finally:
        for handler in logger.handlers:
            handler.close()
        logger.handlers = []
    assert '"L": "INFO"' in file.read_text() and '"M": "a line"' in file.read_text()
