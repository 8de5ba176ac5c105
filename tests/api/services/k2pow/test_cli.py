"""`smesher k2pow-service` and `smesher prove --remote-k2pow` as their users meet them."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from api.cli.main import main
from prover.post.proof.prove import STATE_NAME
from tests.api.services.k2pow.test_service import HARD, path
from tests.support.cli import Job, finish, smesher, start, wait_for
from tests.support.proving import has_memory
from tests.support.served import ask

DATA = Job(units=2, labels_per_unit=128)
FASTNET = ("--network", "fastnet", "--randomx-mode", "light")


@pytest.fixture
def service() -> Iterator[Callable[..., tuple[subprocess.Popen[str], int]]]:
    """Starts services on free ports; those that are left are killed."""
    started: list[subprocess.Popen[str]] = []

    def begin(*words: object, port: int = 0) -> tuple[subprocess.Popen[str], int]:
        child = start("k2pow-service", "-b", f"127.0.0.1:{port}", "--randomx-mode", "light", *words, "--json")
        started.append(child)
        assert child.stdout is not None
        event = json.loads(child.stdout.readline())
        assert event["event"] == "serving"
        return child, event["port"]

    yield begin
    for child in started:
        if child.poll() is None:
            child.kill()
        child.communicate()


@pytest.mark.parametrize("number, code", [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
@pytest.mark.parametrize("busy", [False, True])
def test_a_signal_ends_it_soon(
    service: Callable[..., tuple[subprocess.Popen[str], int]], number: int, code: int, busy: bool
) -> None:
    child, port = service("--cores", 1)
    if busy:
        assert ask(port, "GET", path(difficulty=HARD)).status == 201
        time.sleep(0.2)  # within the preparation of RandomX, mostly
    began = time.monotonic()
    child.send_signal(number)
    result = finish(child, timeout=30)
    assert time.monotonic() - began < 5, "2 s, and some for a busy machine"
    assert result.code == code
    assert "stopping" in result.err and "Traceback" not in result.err


def test_a_search_ends_at_a_signal(service: Callable[..., tuple[subprocess.Popen[str], int]]) -> None:
    child, port = service("--cores", 2)
    assert ask(port, "GET", path()).status == 201
    wait_for(lambda: ask(port, "GET", path()).status == 200, child)
    assert ask(port, "GET", path()).text == "0"
    assert ask(port, "GET", path(difficulty=HARD)).status == 201
    began = time.monotonic()
    child.terminate()
    assert finish(child, timeout=30).code == 143
    assert time.monotonic() - began < 5


def test_a_taken_port(service: Callable[..., tuple[subprocess.Popen[str], int]]) -> None:
    _, port = service()
    again = smesher("k2pow-service", "--bind-address", f"127.0.0.1:{port}", "--randomx-mode", "light")
    again.refused(3, f"--bind-address 127.0.0.1:{port}", "in use", "choose another address")


@pytest.mark.parametrize(
    "words, facts",
    [
        (("-b", "x"), ("--bind-address is 'x'", "expected")),
        (("-b", ""), ("--bind-address is ''",)),
        (("-b", "127.0.0.1:65536"), ("the port is '65536'",)),
        (("-b", "::1:3000"), ("[::1]:3000",)),
        (("-b", "no-such-host.invalid:3000"), ("no such host",)),
        (("--cores", "256"), ("--cores is 256", "expected")),
        (("--cores", "-1"), ("--cores",)),
        (("--randomx-mode", "slow"), ("--randomx-mode", "fast")),
        (("--foo",), ("--foo",)),
    ],
)
def test_bad_options(words: tuple[str, ...], facts: tuple[str, ...]) -> None:
    smesher("k2pow-service", *words).refused(2, *facts)


def test_fast_that_does_not_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    has_memory(monkeypatch, 1 << 30)
    refused = smesher("k2pow-service", "-b", "127.0.0.1:0", "--randomx-mode", "fast")
    refused.refused(3, "2336 MiB", "1024 MiB", "--randomx-mode light")


def test_the_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["k2pow-service", "-b", "127.0.0.1:21095", "--version"]) == 0
    assert capsys.readouterr().out.startswith("smesher ")


# -- prove ---------------------------------------------------------------------------------------------------


def prove(data: Path, out: Path, *words: object) -> tuple[int, str, int]:
    """The proof that a command line makes."""
    smesher("prove", data, "--challenge", "05" * 32, *FASTNET, "--nonces", 64, "--out", out, *words).ok()
    proof = json.loads((out / "proof.json").read_text())
    return proof["nonce"], proof["indices"], proof["pow"]


def test_prove_with_a_service_gives_the_same_proof(
    service: Callable[..., tuple[subprocess.Popen[str], int]], tmp_path: Path
) -> None:
    data = DATA.make(tmp_path / "data")
    difficulty = ("--pow-difficulty", "7f" + "ff" * 31)
    here = prove(data, tmp_path / "here", *difficulty)
    _, port = service("--cores", 1)
    remote = ("--remote-k2pow", f"http://127.0.0.1:{port}", "--remote-k2pow-backoff", 0)
    assert prove(data, tmp_path / "there", *difficulty, *remote, "--remote-k2pow-parallelism", 3) == here
    log = ask(port, "GET", path(0))  # another job than those of the proof: the service is free again
    assert log.status == 201


def test_prove_waits_for_a_service_and_stops_when_told(tmp_path: Path) -> None:
    data = DATA.make(tmp_path / "data")
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    child = start("prove", data, "--challenge", "05" * 32, *FASTNET, "--remote-k2pow", url, "--json")
    assert child.stdout is not None
    lines = iter(child.stdout.readline, "")
    assert any("cannot be reached" in line and "Connection refused" in line for line in lines)
    began = time.monotonic()
    child.terminate()
    result = finish(child, timeout=30)
    assert time.monotonic() - began < 5
    assert result.code == 130 and "Traceback" not in result.err
    assert not (data / STATE_NAME).exists() or os.path.getsize(data / STATE_NAME) > 0


@pytest.mark.parametrize(
    "words, facts",
    [
        (("--remote-k2pow", "127.0.0.1:3000"), ("127.0.0.1:3000", "expected http://HOST:PORT")),
        (
            ("--remote-k2pow", "http://x", "--remote-k2pow-parallelism", "0"),
            ("--remote-k2pow-parallelism", "found '0'"),
        ),
        (("--remote-k2pow", "http://x", "--remote-k2pow-backoff", "1.5"), ("--remote-k2pow-backoff",)),
    ],
)
def test_bad_remote_options(tmp_path: Path, words: tuple[str, ...], facts: tuple[str, ...]) -> None:
    data = DATA.make(tmp_path / "data")
    smesher("prove", data, "--challenge", "05" * 32, *FASTNET, *words).refused(2, *facts)
