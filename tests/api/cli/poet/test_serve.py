"""`smesher poet` as its operator starts it: what stands on the screen."""

from __future__ import annotations

import logging
import re
import signal
from pathlib import Path

import pytest

from api.services.poet.app import FEW_FILES, WANTED_FILES, tell_file_limit
from tests.support.cli import finish, smesher, start

LOG_LINE = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} (INFO|WARNING|ERROR) poet[ .]")


def test_every_line_of_a_server_is_one_of_its_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """gRPC wrote lines of its own when the worker was started."""
    monkeypatch.delenv("GRPC_VERBOSITY", raising=False)
    listeners = [f"--{name}=127.0.0.1:0" for name in ("restlisten", "rpclisten", "config-rpclisten")]
    child = start("poet", "--poetdir", tmp_path, "--genesis-time=2023-07-14T08:00:00Z", *listeners)
    assert child.stderr is not None
    lines = []
    while "goes to the worker" not in (line := child.stderr.readline()):
        assert line, lines
        lines.append(line)
    child.send_signal(signal.SIGINT)
    lines += finish(child).err.splitlines()
    assert [line for line in lines if not LOG_LINE.match(line)] == []
    assert "has ended" in lines[-1]


@pytest.mark.parametrize(("typed", "meant"), [("statsu", "status"), ("benhc", "bench"), ("verfy", "verify")])
def test_a_slip_in_the_name_of_a_tool_starts_no_server(typed: str, meant: str) -> None:
    smesher("poet", typed).refused(1, f"'{typed}' is no option of the server", f"Did you mean {meant}?")


@pytest.mark.parametrize(
    ("files", "level"),
    [(FEW_FILES - 1, logging.WARNING), (FEW_FILES, logging.INFO), (20_000, logging.INFO), (WANTED_FILES, None)],
)
def test_only_few_open_files_are_worth_a_warning(
    files: int, level: int | None, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "poet"):
        tell_file_limit(files)
    assert [one.levelno for one in caplog.records] == ([] if level is None else [level])
