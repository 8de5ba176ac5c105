"""`smesher poet status` and the status page: of a running server, of a directory, and where there is neither."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from api.cli.main import main
from api.cli.poet import status as poet_status
from prover.poet.server.messages import Progress
from tests.api.services.poet.test_ours import GENESIS_NS, get, make, member
from tests.vector_cases.poet_server import PlayedServer

__all__ = ["make"]

WORKING = Progress("working", 3, 120_000, 60_000.0, 61_000.0, GENESIS_NS + 90 * 10**9, 4 << 20)
FULL = "The round is not saved: No space left on device ([red]/data[/]); 7 nodes wait in memory."


def status(*words: str) -> int:
    return main(["poet", "status", *words])


def last_event(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(capsys.readouterr().out.splitlines()[-1])
    return found


def test_a_running_server(make: Callable[..., PlayedServer], capsys: pytest.CaptureFixture[str]) -> None:
    with make("--disable-worker") as server:
        server.register(member(server, 1))
        server.service.progress = WORKING
        assert status("--url", f"127.0.0.1:{server.port}") == 0
        shown = capsys.readouterr().out
        assert "0, 1 members" in shown
        assert "round 3, 120,000 leaves, ends in 1 min 30 s" in shown
        assert "60,000 leaves/s, drift -1.64% of its mean" in shown
        assert "5,520,000 leaves, 55,200 ticks expected" in shown
        assert "4.00 MiB" in shown
        assert status("--json", "--url", f"http://127.0.0.1:{server.port}/") == 0
        event = last_event(capsys)
        assert event["event"] == "status" and event["open_round"]["members"] == 1
        assert event["worker"]["expected_ticks"] == 55_200 and event["fault"] == ""


@pytest.mark.parametrize(
    "progress",
    [Progress("working", 3, problem=FULL), Progress("working", 3, 7, 1.0, 1.0, GENESIS_NS, 5, FULL)],
    ids=["at its beginning", "in the middle"],
)
def test_a_fault_is_shown_as_it_is(
    progress: Progress, make: Callable[..., PlayedServer], capsys: pytest.CaptureFixture[str]
) -> None:
    """With brackets that are no markup; also before the round has its first leaf."""
    with make("--disable-worker") as server:
        server.service.progress = progress
        assert status("--url", f"127.0.0.1:{server.port}") == 0
        assert FULL.replace(" ", "") in "".join(capsys.readouterr().out.split())
        page = get(server, "/status")[1]
        assert "No space left on device" in page and "[red]" in page
        assert json.loads(get(server, "/status.json")[1])["fault"] == FULL


@contextmanager
def another_program(body: bytes) -> Iterator[int]:
    """Something that answers every request alike; its port."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *words: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("body", [b"<html>", b"[1]", b"{}", b"\xff", b'{"open_round": {}}', b'{"open_round": 5}'])
def test_an_answer_that_is_no_status(body: bytes, capsys: pytest.CaptureFixture[str]) -> None:
    with another_program(body) as port:
        assert status("--url", f"127.0.0.1:{port}") == 1
        assert "something else than a status" in " ".join(capsys.readouterr().err.split())
        assert status("--json", "--url", f"127.0.0.1:{port}") == 1
        assert last_event(capsys)["code"] == 1


def test_nobody_answers(capsys: pytest.CaptureFixture[str]) -> None:
    assert status("--url", "127.0.0.1:1") == 3
    assert "name its address with --url" in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize("url", ["", "http://", "http://[", "ftp://127.0.0.1", "http://a:port", "a:0", "a:70000"])
def test_an_address_that_is_none(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert status("--url", url or "http://:1") == 2
    assert "--url is" in " ".join(capsys.readouterr().err.split())


def test_a_directory(make: Callable[..., PlayedServer], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with make(leaves={0: 400}) as server:
        server.register(member(server, 1))
        server.set_clock(server.config.schedule.start(0) + 1)
        directory = tmp_path / "data" / "rounds" / "0"
        while not (directory / "checkpoints.bin").exists():
            pass
        assert status("--poetdir", str(tmp_path)) == 0
        assert "Round 0, begun 2027-01-15T08:00:50" in capsys.readouterr().out
        assert status("--json", "--poetdir", str(tmp_path)) == 0
        event = last_event(capsys)
        assert [one["round_id"] for one in event["rounds_in_work"]] == [0]
        assert event["rounds_with_members"] == [0, 1]
    assert status("--poetdir", str(tmp_path / "none")) == 1
    assert "holds no PoET server's data" in " ".join(capsys.readouterr().err.split())
    (directory / "state.bin").write_bytes(os.urandom(20))
    assert status("--poetdir", str(tmp_path)) == 1
    assert str(directory / "state.bin") in "".join(capsys.readouterr().err.split())


def test_that_there_are_more_rounds_than_are_named_is_said() -> None:
    assert poet_status.newest([], 0) == "none"
    assert poet_status.newest([3, 4], 2) == "3, 4"
    assert poet_status.newest(list(range(50)), 50) == "40, 41, 42, 43, 44, 45, 46, 47, 48, 49 (and 40 older)"
