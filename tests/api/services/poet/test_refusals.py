"""Who is sent away leaves nothing behind, and is told so as by the reference; a server that cannot start says why."""

from __future__ import annotations

import base64
import json
import logging
import os
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from nacl.bindings import crypto_sign, crypto_sign_seed_keypair

from api.cli.main import main
from protocol.poet.registration import PowParams, encode_certificate, has_leading_zero_bits, pow_hash
from protocol.types.poet import PoetCertificate
from prover.poet.server.registration import Refused, Registered, Submit
from prover.poet.server.store import RoundStore
from tests.api.services.poet.test_ours import GENESIS_NS, make
from tests.vector_cases.poet_server import PlayedServer, request_bytes, split

__all__ = ["make"]

DIFFICULTY = 6
CERTIFIER = crypto_sign_seed_keypair(bytes([9]) * 32)
OTHER_CERTIFIER = crypto_sign_seed_keypair(bytes([8]) * 32)
PUBLIC, SECRET = crypto_sign_seed_keypair(bytes([1]) * 32)
NOW_S = GENESIS_NS // 10**9
CHALLENGE = bytes(range(32))


def text(value: bytes) -> str:
    return base64.b64encode(value).decode()


def signed(challenge: bytes = CHALLENGE, **other: Any) -> dict[str, Any]:
    """The fields of a request that is right but for its authorisation."""
    return {
        "prefix": text(b"prefix"),
        "challenge": text(challenge),
        "pubkey": text(PUBLIC),
        "signature": text(crypto_sign(b"prefix" + challenge, SECRET)[:64]),
        **other,
    }


def worked(params: PowParams, *, works: bool = True, challenge: bytes = CHALLENGE) -> dict[str, Any]:
    """A proof of work over these parameters that holds, or does not."""
    nonce = 0
    while has_leading_zero_bits(pow_hash(params.challenge, PUBLIC, challenge, nonce), params.difficulty) != works:
        nonce += 1
    told = {"difficulty": params.difficulty, "challenge": text(params.challenge)}
    return {"powParams": told, "nonce": str(nonce)}


def certified(
    by: tuple[bytes, bytes] = CERTIFIER, pubkey: bytes = PUBLIC, expires_s: int | None = None
) -> dict[str, Any]:
    """A certificate."""
    data = encode_certificate(PoetCertificate(pubkey, expires_s))
    return {"certificate": {"data": text(data), "signature": text(crypto_sign(data, by[1])[:64])}}


def refusals(params: PowParams) -> dict[str, tuple[dict[str, Any] | str, int, int, str]]:
    """Name to body, HTTP status, code, and how the message begins."""
    good = signed() | worked(params)
    late = "2027-01-15T08:00:01Z"
    return {
        "wrong proof of work": (signed() | worked(params, works=False), 400, 3, "invalid proof of work: "),
        "no proof of work": (signed(), 400, 3, "invalid proof of work parameters"),
        "stale challenge": (signed() | worked(PowParams(bytes(32), DIFFICULTY)), 400, 3, "invalid proof of work param"),
        "lower difficulty": (signed() | worked(replace(params, difficulty=1)), 400, 3, "invalid proof of work param"),
        "wrong signature": (good | {"signature": text(bytes(64))}, 400, 3, "invalid signature"),
        "short signature": (good | {"signature": text(bytes(63))}, 400, 3, "invalid signature"),
        "short key": (good | {"pubkey": text(PUBLIC[:31])}, 400, 3, "invalid public key"),
        "short challenge": (
            signed(CHALLENGE[:31]) | worked(params, challenge=CHALLENGE[:31]), 400, 3, "invalid challenge"
        ),
        "hint of three bytes": (good | {"certificatePubkeyHint": text(bytes(3))}, 400, 3, "invalid certificate public"),
        "certificate of another key": (good | certified(OTHER_CERTIFIER), 401, 16, "invalid certificate\nsignature"),
        "certificate of another node": (good | certified(pubkey=bytes(32)), 401, 16, "invalid certificate\npubkey"),
        "expired certificate": (good | certified(expires_s=NOW_S - 1), 401, 16, "invalid certificate\ncertificate exp"),
        "unknown certifier": (
            good | certified() | {"certificatePubkeyHint": text(OTHER_CERTIFIER[0][:4])},
            401, 16, "invalid certificate\nno matching cert",
        ),
        "no certificate": (good | {"certificate": {"data": text(b"\xff"), "signature": ""}}, 401, 16, "invalid cert"),
        "too late": (good | {"deadline": late}, 400, 9, "too late to register"),
        "bad JSON": ('{"challenge": "AA', 400, 3, "unexpected EOF"),
        "no JSON": ("challenge=1", 400, 3, "invalid character"),
        "no base64": (good | {"challenge": "***"}, 400, 3, "proto:"),
        "too large": (good | {"prefix": "A" * 6_000_000}, 429, 8, "grpc: received message larger than max"),
    }  # fmt: skip


def ask(server: PlayedServer, body: dict[str, Any] | str) -> tuple[int, dict[str, Any]]:
    raw = body if isinstance(body, str) else json.dumps(body)
    request = request_bytes({"method": "POST", "path": "/v1/submit", "headers": {}, "body": raw})
    status, _, _, answer = split(server.exchange(request))
    return int(status.split()[1]), json.loads(answer)


def test_every_refusal_has_its_status_and_stores_nothing(make: Callable[..., PlayedServer], tmp_path: Path) -> None:
    with make(f"--certifier-pubkey={text(CERTIFIER[0])}", f"--pow-difficulty={DIFFICULTY}") as server:
        params = server.service.pow_params()
        for name, (body, status, code, begins) in refusals(params).items():
            found = ask(server, body)
            assert found[0] == status and found[1]["code"] == code, f"{name}: {found}"
            assert found[1]["message"].startswith(begins), f"{name}: {found}"
            assert server.service.machine.members == server.service.machine.pending == 0, name
        assert ask(server, signed() | worked(params))[0] == 200
        assert ask(server, signed() | certified())[0] == 200, "a duplicate is told the same"
        other = ask(server, signed(bytes(32)) | certified())
        assert (other[0], other[1]["message"]) == (409, "conflicting registration")
    store = RoundStore.open(tmp_path / "db" / "rounds" / "0")
    assert store.challenges() == [CHALLENGE]
    store.close()


# ---- clocks ----


def submit(index: int) -> Submit:
    public, secret = crypto_sign_seed_keypair(index.to_bytes(32, "big"))
    return Submit(b"", CHALLENGE, public, crypto_sign(CHALLENGE, secret)[:64])


def register(server: PlayedServer, index: int) -> Refused | Registered:
    return server.register(replace(submit(index), pow_params=server.service.pow_params()))


def test_a_clock_that_jumps_over_rounds_opens_the_one_that_it_shows(make: Callable[..., PlayedServer]) -> None:
    """The round that had members is over by the new clock, so it has no proof; the next ones are as ever."""
    epoch_ns = 100 * 10**9
    with make(leaves={3: 200, 4: 200}) as server:
        assert register(server, 1) == Registered(0, server.config.schedule.end(0))
        server.now_ns = server.config.schedule.start(3) - 10**9
        answer = register(server, 2)
        assert isinstance(answer, Registered) and answer.round_id == 3
        deadline = time.monotonic() + 120
        while server.service.machine.open_round != 3 and time.monotonic() < deadline:
            time.sleep(0.01)
        server.now_ns += 2 * 10**9
        answer = register(server, 3)
        assert isinstance(answer, Registered) and answer.round_id == 4
        # taken up before its time is over, or it would be skipped like the first one
        while server.service.progress.round_id != 3 and time.monotonic() < deadline:
            time.sleep(0.01)
        server.now_ns += epoch_ns
        assert register(server, 4).round_id == 5  # type: ignore[union-attr]
        while not server.service.proofs.has(3) and time.monotonic() < deadline:
            time.sleep(0.01)
        record = server.service.proof("3")
        assert not isinstance(record, Refused) and record.members == (CHALLENGE,)
        assert isinstance(server.service.proof("0"), Refused)


# ---- a server that cannot start ----


@pytest.fixture(autouse=True)
def logger_as_before() -> Iterator[None]:
    """A server's command takes over the log of the whole process."""
    logger = logging.getLogger("poet")
    before = (logger.handlers, logger.propagate, logger.level)
    yield
    for handler in logger.handlers:
        if handler not in before[0]:
            handler.close()
    logger.handlers, logger.propagate, logger.level = before


PORTS = ("restlisten", "rpclisten", "config-rpclisten")


def start(directory: Path, **listeners: str) -> int:
    addresses = dict.fromkeys(PORTS, "127.0.0.1:0") | {k.replace("_", "-"): v for k, v in listeners.items()}
    return main(["poet", f"--poetdir={directory}", *(f"--{name}={value}" for name, value in addresses.items())])


def test_the_second_server_on_a_directory_names_the_first(
    make: Callable[..., PlayedServer], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with make():
        assert start(tmp_path) == 1
    assert f"in use by PoET server, process {os.getpid()}" in capsys.readouterr().err.replace("\n", " ")


@pytest.mark.parametrize("listener", PORTS)
def test_a_port_in_use(listener: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        assert start(tmp_path, **{listener.replace("-", "_"): address}) == 3
    said = capsys.readouterr().err.replace("\n", " ")
    assert address in said and "address already in use" in said
    assert f"--{listener}" in said


def test_a_file_where_a_directory_should_be(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "data").write_text("")
    assert start(tmp_path) == 3
    assert "data cannot be used as a directory" in capsys.readouterr().err.replace("\n", " ")
