"""A server in a thread of this process whose clock is put where a transcript wants it, and how answers are compared.

It has the recorded first challenge of the proof of work and the recorded number of leaves. Bodies are compared byte
for byte but for the time left (`roundEnd`, within the time that passed) and for messages whose text belongs to Go's
parsers. The transcripts are in `poet_api_http`, `poet_api_grpc`, `poet_scenarios` and `poet_rounds`.
"""

from __future__ import annotations

import asyncio
import base64
import json
import re
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from nacl.bindings import crypto_sign_seed_keypair

from api.http.limits import Limits
from api.services.poet.calls import PoetCalls
from api.services.poet.config import Config, load
from api.services.poet.grpc import GrpcApi
from api.services.poet.http import HttpApi
from api.services.poet.service import PoetService
from api.services.poet.worker_link import NoWorker, ThreadWorker, WorkerLink
from prover.poet.round.execution import Settings
from prover.poet.server.registration import INVALID_CHALLENGE, Refused, Registered, Submit
from prover.poet.server.worker import Worker, WorkerConfig
from tests.vector_cases.harness import NotUnderstood
from tests.vector_cases.poet_ours import check_without_odd_members, has_odd_members, is_odd

GO_TEXTS = ("proto:", "invalid character", "unexpected EOF", "xdr:", "failed to deserialize")
"""Messages that begin so are compared by status and code only."""

ROUND_END = re.compile(r'"roundEnd":"(-?[\d.]+)s"')
ROUND_END_TOLERANCE_S = 4.0
"""A recorded answer left some time after its request was sent: a flush, or a wait in a queue."""

COMPARED_HEADERS = ("content-type", "grpc-metadata-content-type", "www-authenticate", "content-length", "connection")
WAIT_S = 120.0
"""Upper bound of every wait; kernels may have to be compiled on a machine that does other things."""


class PlayedServer:
    """A server whose clock stands where it is put. Use as a context manager."""

    def __init__(
        self,
        config: Config,
        *,
        now_ns: int,
        pow_challenge: bytes | None = None,
        leaves: dict[int, int] | None = None,
        with_grpc: bool = False,
        limits: Limits | None = None,
    ) -> None:
        self.now_ns = now_ns
        self.with_grpc = with_grpc
        self.config = config
        self.leaves = leaves or {}
        link: WorkerLink = NoWorker() if config.disable_worker else ThreadWorker(self._worker)
        self.service = PoetService(
            config,
            link,
            wall=lambda: self.now_ns,
            monotonic=lambda: self.now_ns,
            pow_challenge=pow_challenge,
        )
        self.limits = limits or Limits()
        self.grpc: GrpcApi | None = None
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="played-server")
        self._started = threading.Event()
        self._failed: BaseException | None = None
        self.port = 0

    def _worker(self, emit: Callable[[Any], None]) -> Worker:
        return Worker(
            WorkerConfig(self.config.datadir, self.config.schedule, Settings(self.config.lps)),
            emit,
            clock=lambda: self.now_ns,
            leaves=self.leaves.get,
        )

    def __enter__(self) -> PlayedServer:
        self._thread.start()
        self._started.wait()
        if self._failed is not None:
            self._thread.join()
            raise self._failed
        return self

    def __exit__(self, *error: object) -> None:
        asyncio.run_coroutine_threadsafe(self._stop(), self._loop).result(WAIT_S)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_until_complete(self._start())
        except BaseException as error:
            self._failed = error
            self._started.set()
            return
        self._started.set()
        self._loop.run_forever()

    async def _start(self) -> None:
        self.service.open()
        calls = PoetCalls(self.service)
        self.http = HttpApi(self.service, calls, limits=self.limits)
        self.port = await self.http.server.listen([socket.create_server(("127.0.0.1", 0))])
        await self.service.start()
        if self.with_grpc:
            self.grpc = GrpcApi(calls)
            await self.grpc.start(("127.0.0.1", 0), ("127.0.0.1", 0))

    async def _stop(self) -> None:
        self.http.server.stop_listening()
        if self.grpc is not None:
            await self.grpc.stop(0)
        await self.service.stop()
        await self.http.server.stop(0.5)

    def register(self, request: Submit) -> Refused | Registered:
        """A registration past both interfaces, as another client would have made it."""
        answered: list[Refused | Registered] = []

        async def submit() -> None:
            self.service.submit(request, answered.append)
            while not answered:
                await asyncio.sleep(0.001)

        asyncio.run_coroutine_threadsafe(submit(), self._loop).result(WAIT_S)
        return answered[0]

    def set_clock(self, now_ns: int) -> None:
        """Moves the clock on, round by round, and waits for what is due by then: work begun, proofs stored."""
        while self.service.machine.next_deadline() <= now_ns:
            closed = self.service.machine.open_round
            self._set(self.service.machine.next_deadline())
            state = self.config.rounds_dir / str(closed) / "state.bin"
            self._wait(lambda path=state: self.config.disable_worker or path.exists())
        self._set(now_ns)
        due = [
            round_id
            for round_id in range(self.service.machine.open_round)
            if self.config.disable_worker or self.config.schedule.end(round_id) <= self.now_ns
        ]
        self._wait(lambda: all(map(self.service.proofs.has, due)))

    def _set(self, now_ns: int) -> None:
        self.now_ns = max(self.now_ns, now_ns)

        async def look() -> None:
            self.service.tick()

        asyncio.run_coroutine_threadsafe(look(), self._loop).result(WAIT_S)

    def _wait(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + WAIT_S
        while not condition() and time.monotonic() < deadline:
            time.sleep(0.005)
        time.sleep(0.02)

    def exchange(self, request: bytes, *, until_close: bool = False, half_close: bool = False) -> bytes:
        """One request on a connection of its own; the whole response. half_close: it is all that will be sent."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=WAIT_S) as connection:
            connection.sendall(request)
            if half_close:
                connection.shutdown(socket.SHUT_WR)
            received = b""
            while until_close or not complete(received, request):
                piece = connection.recv(1 << 16)
                if not piece:
                    break
                received += piece
            return received


def complete(response: bytes, request: bytes) -> bool:
    """Whether a response with a Content-Length is all there."""
    head, found, body = response.partition(b"\r\n\r\n")
    length = re.search(rb"(?i)content-length: (\d+)", head)
    return bool(found) and length is not None and (request.startswith(b"HEAD") or len(body) >= int(length[1]))


# What transcripts have in common


def configuration(fields: dict[str, Any], directory: Path, *flags: str) -> Config:
    """A configuration as the recording server had it, in a directory of ours."""
    words = [f"--poetdir={directory}"]
    for key, value in fields.items():
        if key in FLAGS:
            words.append(f"--{key.replace('_', '-')}={value}")
        elif key == "certifier_pubkey":
            words.append(f"--certifier-pubkey={base64.b64encode(bytes.fromhex(value)).decode()}")
        elif key == "trusted_key":
            keys = directory / "trusted"
            keys.mkdir(parents=True, exist_ok=True)
            (keys / "o.key").write_text(base64.b64encode(bytes.fromhex(value)).decode())
            words.append(f"--trusted-pub-keys-dir-path={keys}")
        elif key == "flags":
            words += value
        elif key not in KNOWN_FIELDS:
            raise NotUnderstood(f"a configuration has the field {key!r}")
    environment = {}
    if "service_key_seed" in fields:
        key = crypto_sign_seed_keypair(bytes.fromhex(fields["service_key_seed"]))[1]
        environment["POET_PRIVATE_KEY"] = base64.b64encode(key).decode()
    return load([*words, *flags], environment)


FLAGS = (
    "genesis_time",
    "epoch_duration",
    "phase_shift",
    "cycle_gap",
    "pow_difficulty",
    "lps",
    "memory",
    "certifier_url",
    "submit_flush_interval",
    "max_grpc_resp_size",
)
"""Fields of a recorded configuration that are flags of the same name."""

KNOWN_FIELDS = (
    "service_key_seed",
    "service_pubkey",
    "initial_pow_challenge",
    "certifier_seed",
    "trusted_seed",
    "other_key",
    "other_seed",
)


def leaves_in(entries: list[dict[str, Any]]) -> dict[int, int]:
    """Round to number of leaves, from the recorded proofs."""
    found: dict[int, int] = {}
    for entry in entries:
        body = entry.get("response", {}).get("body")
        if isinstance(body, str) and body.startswith('{"proof":'):
            round_id = int(entry["request"]["path"].rpartition("/")[2].replace("%30", "0"))
            found[round_id] = int(json.loads(body)["proof"]["leaves"])
    return found


def request_bytes(request: dict[str, Any]) -> bytes:
    """The request as a client sends it."""
    body = request["body"]
    headers = {"Host": "localhost", **request["headers"]}
    if body is not None:
        headers["Content-Length"] = str(len(body.encode()))
    lines = [f"{request['method']} {request['path']} HTTP/1.1", *(f"{k}: {v}" for k, v in headers.items())]
    return ("\r\n".join(lines) + "\r\n\r\n" + (body or "")).encode()


def split(response: bytes) -> tuple[str, dict[str, str], list[str], str]:
    """Status line, headers, their order, body."""
    head, _, body = response.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    pairs = [line.partition(": ")[::2] for line in lines]
    return first, {name.lower(): value for name, value in pairs}, [name for name, _ in pairs], body.decode()


def check_body(found: str, expected: str) -> None:
    """Byte for byte but for the time left and Go's texts."""
    if expected.startswith("{") and '"message":' in expected[:40]:
        wanted, got = json.loads(expected), json.loads(found)
        if any(wanted["message"].startswith(text) for text in GO_TEXTS):
            assert got["code"] == wanted["code"], f"expected {expected}, got {found}"
            assert list(got) == list(wanted), f"expected {expected}, got {found}"
            return
    left, ours = ROUND_END.search(expected), ROUND_END.search(found)
    if left and ours:
        difference = float(ours[1]) - float(left[1])
        assert 0 <= difference < ROUND_END_TOLERANCE_S, f"expected {expected}, got {found}"
        found = ROUND_END.sub('"roundEnd":""', found)
        expected = ROUND_END.sub('"roundEnd":""', expected)
    assert found == expected, f"expected {expected[:400]}, got {found[:400]}"


def check_response(raw: bytes, response: dict[str, Any], bodies: dict[str, str]) -> None:
    first, headers, order, body = split(raw)
    status = f"{response['status']} {response['reason']}"
    assert first == f"HTTP/1.1 {status}", f"expected {status}, got {first} {body[:300]}"
    expected = response["body"]
    if isinstance(expected, dict):
        expected = bodies[expected["same_body_as"]]
    if has_odd_members(expected):
        check_without_odd_members(body, expected)
        return
    check_body(body, expected)
    if "headers" not in response:
        return
    wanted = {name.lower(): value for name, value in response["headers"]}
    exempt = any(f'"message":"{text}' in expected for text in GO_TEXTS)
    for name in COMPARED_HEADERS:
        if exempt and name == "content-length":
            continue
        if name == "content-length" and ROUND_END.search(expected):
            continue
        assert headers.get(name) == wanted.get(name), f"{name}: expected {wanted.get(name)}, got {headers.get(name)}"
    assert [one.lower() for one in order] == [name.lower() for name, _ in response["headers"]], f"order: {order}"


def register_all(server: PlayedServer, requests: list[Submit], fields: dict[str, Any]) -> None:
    """Registers what another transcript has; its trusted keys changed on the way, so all of them count here."""
    machine = server.service.machine
    before = machine.trusted
    keys = [bytes.fromhex(fields[name]) for name in ("trusted_key", "other_key")]
    machine.trusted = replace(before, others=(*before.others, *keys))
    for request in requests:
        answer = server.register(request)
        if is_odd(request.challenge):
            assert answer == INVALID_CHALLENGE, f"an odd challenge is answered with {answer}"
            continue
        assert isinstance(answer, Registered), f"a recorded registration is refused: {answer}"
    machine.trusted = before
