"""Where ours does better than the recorded answers of the reference, and what it does with bad clients."""

from __future__ import annotations

import base64
import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from nacl.bindings import crypto_sign, crypto_sign_seed_keypair

from api.edge.errors import DataError
from api.http.limits import Limits
from api.services.poet.config import load
from prover.poet.server.registration import Code, PowParams, Refused, Registered, Submit
from tests.vector_cases.poet_server import PlayedServer, request_bytes, split

REPOSITORY = Path(__file__).resolve().parents[4]

GENESIS_NS = 1_800_000_000 * 10**9
FLAGS = (
    "--genesis-time=2027-01-15T08:00:00Z",
    "--epoch-duration=100s",
    "--phase-shift=50s",
    "--cycle-gap=20s",
    "--lps=1000",
)


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., PlayedServer]:
    """A server on an empty directory; a second one on the same goes on where the first stopped."""

    def server(
        *flags: str,
        leaves: dict[int, int] | None = None,
        now_ns: int = GENESIS_NS,
        limits: Limits | None = None,
    ) -> PlayedServer:
        config = load([f"--poetdir={tmp_path}", *FLAGS, *flags], {})
        return PlayedServer(config, now_ns=now_ns, leaves=leaves, limits=limits)

    return server


def member(server: PlayedServer, index: int, challenge: bytes = bytes(range(32))) -> Submit:
    """A valid registration of the key with this number."""
    public, secret = crypto_sign_seed_keypair(index.to_bytes(32, "big"))
    signature = crypto_sign(b"prefix" + challenge, secret)[:64]
    return Submit(b"prefix", challenge, public, signature, 0, server.service.pow_params())


def body_of(request: Submit) -> bytes:
    """The registration as a client's HTTP request."""
    fields: dict[str, Any] = {
        "prefix": text(request.prefix),
        "challenge": text(request.challenge),
        "pubkey": text(request.pubkey),
        "signature": text(request.signature),
        "powParams": {
            "difficulty": request.pow_params.difficulty,
            "challenge": text(request.pow_params.challenge),
        },
    }
    return request_bytes({"method": "POST", "path": "/v1/submit", "headers": {}, "body": json.dumps(fields)})


def text(value: bytes) -> str:
    return base64.b64encode(value).decode()


def get(server: PlayedServer, path: str) -> tuple[str, str]:
    raw = request_bytes({"method": "GET", "path": path, "headers": {}, "body": None})
    status, _, _, body = split(server.exchange(raw))
    return status, body


@pytest.mark.parametrize("length", [0, 1, 31, 33, 1000])
def test_a_challenge_that_would_spoil_the_round_is_refused(make: Callable[..., PlayedServer], length: int) -> None:
    with make() as server:
        answer = server.register(member(server, 1, bytes(length)))
        assert isinstance(answer, Refused) and answer.code == Code.INVALID_ARGUMENT
        assert server.service.machine.members == 0


def test_an_accepted_registration_stays_accepted_when_the_round_is_full(
    make: Callable[..., PlayedServer],
) -> None:
    with make("--max-round-members=1") as server:
        first = member(server, 1)
        assert isinstance(server.register(first), Registered)
        assert isinstance(server.register(first), Registered)
        refused = server.register(member(server, 2))
        assert isinstance(refused, Refused) and refused.code == Code.RESOURCE_EXHAUSTED


def test_only_numbers_name_proofs(make: Callable[..., PlayedServer]) -> None:
    with make() as server:
        assert get(server, "/v1/proofs/pow_challenge")[0] == "HTTP/1.1 404 Not Found"
        assert json.loads(get(server, "/v1/info")[1])["certifier"] is None


def test_the_status_page_shows_the_open_round(make: Callable[..., PlayedServer]) -> None:
    with make() as server:
        server.register(member(server, 1))
        state = json.loads(get(server, "/status.json")[1])
        assert state["open_round"]["id"] == 0 and state["open_round"]["members"] == 1
        assert "PoET server" in get(server, "/status")[1]
        assert get(server, "/")[0] == "HTTP/1.1 404 Not Found"


def test_the_proof_of_works_challenge_survives_a_restart(make: Callable[..., PlayedServer]) -> None:
    with make("--pow-difficulty=0", leaves={0: 200}) as server:
        first = server.service.pow_params().challenge
        server.register(member(server, 1))
        server.set_clock(GENESIS_NS + 131 * 10**9)
        rotated = server.service.pow_params().challenge
        assert rotated != first
        stopped_at = server.now_ns
    with make("--pow-difficulty=0", now_ns=stopped_at) as server:
        assert server.service.machine.pow.allowed() == (PowParams(rotated, 0), PowParams(first, 0))


def test_a_clock_that_was_set_back_reopens_no_round(make: Callable[..., PlayedServer]) -> None:
    with make(leaves={0: 200, 1: 200}) as server:
        server.set_clock(GENESIS_NS + 60 * 10**9)
        assert server.service.machine.open_round == 1
        server.now_ns = GENESIS_NS
        answer = server.register(member(server, 1))
        assert isinstance(answer, Registered) and answer.round_id == 1
    with make(now_ns=GENESIS_NS) as server:
        assert server.service.machine.open_round == 1


def test_registrations_are_there_after_a_restart(make: Callable[..., PlayedServer]) -> None:
    with make() as server:
        requests = [member(server, index, os.urandom(32)) for index in range(50)]
        assert all(isinstance(server.register(one), Registered) for one in requests)
    with make() as server:
        assert server.service.machine.members == 50
        assert all(isinstance(server.register(one), Registered) for one in requests)
        assert server.service.machine.members == 50


def test_two_servers_on_one_directory(make: Callable[..., PlayedServer]) -> None:
    with make(), pytest.raises(DataError, match=f"process {os.getpid()}"), make():
        pass


def test_requests_behind_each_other_on_one_connection(make: Callable[..., PlayedServer]) -> None:
    with make() as server:
        both = body_of(member(server, 1)) + body_of(member(server, 2))
        with socket.create_connection(("127.0.0.1", server.port), timeout=10) as connection:
            connection.sendall(both)
            received = b""
            while received.count(b"roundEnd") < 2:
                piece = connection.recv(1 << 16)
                assert piece, received
                received += piece
        assert received.count(b"HTTP/1.1 200 OK") == 2


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        (b"POST /v1/submit HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999\r\n\r\n", b"429"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"x" * 70_000, b"431"),
        (b"GET / HTTP/1.1\r\nHost : a\r\n\r\n", b"400"),
        (b"POST /v1/submit HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n", b"400"),
    ],
)
def test_broken_requests(make: Callable[..., PlayedServer], raw: bytes, status: bytes) -> None:
    with make() as server:
        assert server.exchange(raw, until_close=True).split(b" ")[1] == status
        assert get(server, "/v1/info")[0] == "HTTP/1.1 200 OK"


def test_thousands_of_requests_in_one_go(make: Callable[..., PlayedServer]) -> None:
    one = request_bytes({"method": "GET", "path": "/v1/info", "headers": {}, "body": None})
    with make() as server, socket.create_connection(("127.0.0.1", server.port), timeout=20) as connection:
        connection.sendall(one * 3000)
        received = 0
        while received < 3000:
            piece = connection.recv(1 << 20)
            assert piece
            received += piece.count(b"servicePubkey")


def test_a_port_that_is_taken_costs_no_grpc() -> None:
    code = "import sys, api.services.poet.app; print(sorted({'grpc', 'numba', 'llvmlite'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout) == (0, "[]\n"), done.stderr
