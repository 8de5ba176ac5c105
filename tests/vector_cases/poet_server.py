"""poet/api_http.json, api_grpc.json, api_misc.json: the running server, held against recorded transcripts.

A server runs in a thread of this process with a clock that is set to the moment of every recorded request, the
recorded first challenge of the proof of work and the recorded number of leaves. Bodies are compared byte for
byte but for the time left (`roundEnd`, within the time that passed) and for messages whose text belongs to Go's
parsers. Where one request has several documented outcomes (a deadline of the caller) any of them passes.
"""

from __future__ import annotations

import asyncio
import base64
import json
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
from nacl.bindings import crypto_sign_seed_keypair
from nacl.signing import SigningKey

from api.poet_client.errors import InvalidProof
from api.poet_client.messages import RoundProof, read_proof
from api.poet_client.service import membership, verify_round
from api.poet_server.config import Config, load
from api.poet_server.gateway import decode_submit
from api.poet_server.grpc import GrpcApi, submit_of
from api.poet_server.http import HttpApi
from api.poet_server.service import PoetService
from api.poet_server.worker_link import NoWorker, ThreadWorker, WorkerLink
from protocol.pb.grpc.reflection.v1 import reflection_pb2
from protocol.pb.rpc.api.v1 import api_pb2
from protocol.xdr import Time
from prover.poet.execution import Settings
from prover.poet.records import ProofRecord
from prover.poet.registration import Refused, Registered, Submit
from prover.poet.worker import Worker, WorkerConfig
from tests.vector_cases.harness import Case, Context, Later, NotUnderstood, unknown_sections, vectors

GO_TEXTS = ("proto:", "invalid character", "unexpected EOF", "xdr:", "failed to deserialize")
"""Messages that begin so are compared by status and code only."""

ROUND_END = re.compile(r'"roundEnd":"(-?[\d.]+)s"')
ROUND_END_TOLERANCE_S = 4.0
"""A recorded answer left some time after its request was sent: a flush, or a wait in a queue."""

LARGE_BODY = re.compile(r"<JSON, challenge = (\d+) bytes ([0-9a-f]{2}), nonce (\d+)>")
COMPARED_HEADERS = ("content-type", "grpc-metadata-content-type", "www-authenticate", "content-length", "connection")
WAIT_S = 40.0


class PlayedServer:
    """A server whose clock stands where it is put. Use as a context manager."""

    def __init__(
        self,
        config: Config,
        *,
        now_ns: int,
        pow_challenge: bytes | None = None,
        leaves: dict[int, int] | None = None,
        as_reference: bool = True,
        with_grpc: bool = False,
    ) -> None:
        self.now_ns = now_ns
        self.with_grpc = with_grpc
        self.config = config
        self.leaves = leaves or {}
        link: WorkerLink = NoWorker() if config.disable_worker else ThreadWorker(self._worker)
        self.service = PoetService(
            config, link, clock=lambda: self.now_ns, pow_challenge=pow_challenge, as_reference=as_reference
        )
        self.http = HttpApi(self.service)
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
        listener = await self._loop.create_server(self.http.server.protocol, "127.0.0.1", 0)
        self.port = listener.sockets[0].getsockname()[1]
        await self.service.start()
        if self.with_grpc:
            self.grpc = GrpcApi(self.service)
            await self.grpc.start(("127.0.0.1", 0), ("127.0.0.1", 0))

    async def _stop(self) -> None:
        self.http.server.close()
        if self.grpc is not None:
            await self.grpc.stop(0)
        await self.service.stop()

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

    def exchange(self, request: bytes, *, until_close: bool = False) -> bytes:
        """One request on a connection of its own; the whole response."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=WAIT_S) as connection:
            connection.sendall(request)
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


# HTTP transcripts


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
    check_body(body, expected)
    wanted = {name.lower(): value for name, value in response["headers"]}
    exempt = any(f'"message":"{text}' in expected for text in GO_TEXTS)
    for name in COMPARED_HEADERS:
        if exempt and name == "content-length":
            continue
        if name == "content-length" and ROUND_END.search(expected):
            continue
        assert headers.get(name) == wanted.get(name), f"{name}: expected {wanted.get(name)}, got {headers.get(name)}"
    assert [one.lower() for one in order] == [name.lower() for name, _ in response["headers"]], f"order: {order}"


@vectors("poet/api_http.json", variants=False)
def http(document: Any, context: Context) -> Iterator[Case | Later]:
    yield from unknown_sections(document, ("reference", "configuration", "http"))
    fields, entries = document["configuration"], document["http"]
    first = next(int(entry["response"]["sent_unix_ns"]) for entry in entries if "response" in entry)
    server = PlayedServer(
        configuration(fields, context.temporary("poet")),
        now_ns=first,
        pow_challenge=bytes.fromhex(fields["initial_pow_challenge"]),
        leaves=leaves_in(entries),
    )
    template = next(e["request"]["body"] for e in entries if e["name"].startswith("submit: valid"))
    bodies = {e["name"]: e["response"]["body"] for e in entries if "response" in e}
    others = submits_of_grpc(context, fields)
    with server:
        for entry in entries:
            if "response" in entry and others and next_round(entry, server):
                # what came over the other interface before the round closed
                register_all(server, others, fields)
                others = []
            yield Case(entry["name"], lambda e=entry: play(server, e, bodies, template))


def next_round(entry: dict[str, Any], server: PlayedServer) -> bool:
    """Whether the round that is open now has closed when this entry was sent."""
    return int(entry["response"]["sent_unix_ns"]) >= server.service.machine.next_deadline()


def submits_of_grpc(context: Context, fields: dict[str, Any]) -> list[Submit]:
    """The submits of the other transcript, where it was recorded from the same server."""
    try:
        document = json.loads(context.path("poet/api_grpc.json").read_bytes())
    except FileNotFoundError:
        return []
    if document["configuration"] != fields:
        return []
    found = []
    for entry in document["grpc"]:
        if entry["method"].endswith("/Submit") and entry["response"]["code"] == 0:
            message = api_pb2.SubmitRequest()
            message.ParseFromString(bytes.fromhex(entry["request"]))
            found.append(submit_of(message))
    return found


def register_all(server: PlayedServer, requests: list[Submit], fields: dict[str, Any]) -> None:
    """Registers what another transcript has; its trusted keys changed on the way, so all of them count here."""
    machine = server.service.machine
    before = machine.trusted
    keys = [bytes.fromhex(fields[name]) for name in ("trusted_key", "other_key")]
    machine.trusted = replace(before, others=(*before.others, *keys))
    for request in requests:
        answer = server.register(request)
        assert isinstance(answer, Registered), f"a recorded registration is refused: {answer}"
    machine.trusted = before


def play(server: PlayedServer, entry: dict[str, Any], bodies: dict[str, str], template: str) -> None:
    if "request_raw" in entry:
        found = server.exchange(entry["request_raw"].encode(), until_close=True)
        hide = re.compile(rb"Date: [^\r]*")
        expected = hide.sub(b"Date:", entry["response_raw"].encode())
        assert hide.sub(b"Date:", found) == expected, f"expected {expected!r}, got {found!r}"
        return
    request, response = entry["request"], entry["response"]
    server.set_clock(int(response["sent_unix_ns"]))
    raw = large_request(request, template) or request_bytes(request)
    found = server.exchange(raw)
    timeout = request["headers"].get("Grpc-Timeout", "")
    if response["status"] in (500, 504) and re.fullmatch(r"\d+[mun]", timeout):
        # which of the two notices first is a race in the reference
        status = split(found)[0]
        assert re.match(r"HTTP/1.1 50[04] ", status), f"expected 500 or 504, got {status}"
        return
    check_response(found, response, bodies)


def large_request(request: dict[str, Any], template: str) -> bytes | None:
    """The request whose body the transcript only describes: signed by a key of ours."""
    large = LARGE_BODY.fullmatch(request["body"]) if isinstance(request["body"], str) else None
    if large is None:
        return None
    key = SigningKey(bytes(32))
    challenge = bytes.fromhex(large[2]) * int(large[1])
    fields = json.loads(template)
    fields |= {
        "challenge": base64.b64encode(challenge).decode(),
        "pubkey": base64.b64encode(bytes(key.verify_key)).decode(),
        "signature": base64.b64encode(key.sign(base64.b64decode(fields["prefix"]) + challenge).signature).decode(),
        "nonce": large[3],
    }
    return request_bytes({**request, "body": json.dumps(fields)})


def submits_of_http(context: Context, fields: dict[str, Any]) -> list[Submit]:
    """The submits that the HTTP transcript's first round took, where it was recorded from the same server."""
    try:
        document = json.loads(context.path("poet/api_http.json").read_bytes())
    except FileNotFoundError:
        return []
    if document["configuration"] != fields:
        return []
    found = {}
    for entry in document["http"]:
        if entry.get("request", {}).get("path") != "/v1/submit":
            continue
        body, answer = entry["request"]["body"], entry["response"]["body"]
        gave_up = "Grpc-Timeout" in entry["request"]["headers"]  # stored all the same
        if '"roundId":"0"' in answer or gave_up:
            request = decode_submit(body.encode())
            found[request.pubkey] = request
    return list(found.values())


# gRPC transcripts


@vectors("poet/api_grpc.json", variants=False)
def grpc_calls(document: Any, context: Context) -> Iterator[Case | Later]:
    yield from unknown_sections(document, ("reference", "configuration", "grpc"))
    fields, entries = document["configuration"], document["grpc"]
    directory = context.temporary("poet")
    config = configuration(fields, directory)
    schedule = config.schedule
    leaves = {}
    for entry in entries:
        if entry["method"].endswith("/Proof") and entry["response"]["code"] == 0:
            answer = api_pb2.ProofResponse()
            answer.ParseFromString(bytes.fromhex(entry["response"]["response_hex"]))
            leaves[int(bytes.fromhex(entry["request"])[2:])] = answer.proof.leaves
    server = PlayedServer(
        config,
        now_ns=schedule.genesis_ns,
        pow_challenge=bytes.fromhex(fields["initial_pow_challenge"]),
        leaves=leaves,
        with_grpc=True,
    )
    others = submits_of_http(context, fields)
    with server:
        for entry in entries:
            if entry["method"].endswith("/Proof") and entry["response"]["code"] == 0:
                register_all(server, others, fields)
                others = []
                server.set_clock(schedule.end(0) + 1)
            prepare_keys(entry, directory / "trusted", fields)
            yield Case(entry["name"], lambda e=entry: play_grpc(server, e, directory))


def prepare_keys(entry: dict[str, Any], directory: Path, fields: dict[str, Any]) -> None:
    """What lay in the directory of trusted keys before a reload, by what the reload answered."""
    if not entry["method"].endswith("/ReloadTrustedKeys") or entry["listener"] != "config":
        return
    path = directory / "o.key"
    if entry["response"]["code"] != 0:
        path.write_text("AAAA")
    elif path.read_text() == "AAAA":
        path.write_text(base64.b64encode(bytes.fromhex(fields["other_key"])).decode())


def play_grpc(server: PlayedServer, entry: dict[str, Any], directory: Path) -> None:
    assert server.grpc is not None
    response = entry["response"]
    with grpc.insecure_channel(f"127.0.0.1:{server.grpc.ports[entry['listener']]}") as channel:
        if entry["method"] == "reflection.list":
            found = listed_services(channel)
            assert found == response["services"], f"expected {response['services']}, got {found}"
            return
        request = entry["request"]
        described = re.fullmatch(r"<(\d+) bytes>", request)
        data = large_message(int(described[1])) if described else bytes.fromhex(request)
        expected = api_pb2.SubmitResponse()
        if response["code"] == 0 and entry["method"].endswith("/Submit"):
            expected.ParseFromString(bytes.fromhex(response["response_hex"]))
            left = expected.round_end.seconds * 10**9 + expected.round_end.nanos
            server.set_clock(server.config.schedule.end(int(expected.round_id)) - left)
        call = channel.unary_unary(entry["method"])
        try:
            answer, code, message = call(data, timeout=WAIT_S), 0, ""
        except grpc.RpcError as error:
            answer, code, message = b"", error.code().value[0], error.details()
    wanted = response["message"].replace("<dir>", str(directory))
    assert code == response["code"], f"expected {response['code']}, got {code} {message}"
    if not any(text in wanted for text in GO_TEXTS):
        assert message == wanted, f"expected {wanted!r}, got {message!r}"
    assert answer.hex() == response["response_hex"], f"expected {response['response_hex']}, got {answer.hex()}"


def large_message(size: int) -> bytes:
    """A submit of exactly so many bytes."""
    message = api_pb2.SubmitRequest(challenge=bytes(size - 5))
    while message.ByteSize() != size:
        message.challenge = bytes(len(message.challenge) + size - message.ByteSize())
    return message.SerializeToString()


def listed_services(channel: Any) -> list[str]:
    call = channel.stream_stream("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo")
    request = reflection_pb2.ServerReflectionRequest(list_services="")
    for data in call(iter([request.SerializeToString()]), timeout=WAIT_S):
        response = reflection_pb2.ServerReflectionResponse()
        response.ParseFromString(data)
        return [service.name for service in response.list_services_response.service]
    raise AssertionError("no answer")


# Scenarios


@vectors("poet/api_misc.json", variants=False)
def scenarios(document: Any, context: Context) -> Iterator[Case | Later]:
    yield from unknown_sections(document, ("reference", "scenarios"))
    for scenario in document["scenarios"]:
        yield Case(scenario["name"], lambda s=scenario: play_scenario(s, context.temporary("poet")))


def play_scenario(scenario: dict[str, Any], directory: Path) -> None:
    entries = scenario["transcript"]
    config = configuration(scenario["configuration"], directory)
    stored = dict(scenario.get("proofs_db", []))
    first = initial_challenge(entries)
    if first is None and POW_KEY in stored:
        first = bytes.fromhex(stored[POW_KEY])
    if first is None:
        first = pow_challenge_in(entries)
    leaves = leaves_in(entries)
    for entry in entries:  # a proof that is too large to be recorded: any number of leaves with that size will do
        if "received message larger than max" in str(entry["response"].get("body")):
            leaves.setdefault(int(entry["request"]["path"].rpartition("/")[2]), LEAVES_OF_LARGE_PROOF)
    starts = [int(e["response"]["sent_unix_ns"]) for e in entries if e["response"].get("sent_unix_ns")]
    server = PlayedServer(config, now_ns=starts[0], pow_challenge=first, leaves=leaves)
    server.__enter__()
    try:
        for entry in entries:
            if went_back(entry, server):
                # the challenge of the proof of work is the first one again: the recorded server was started anew
                server.__exit__()
                server = PlayedServer(config, now_ns=server.now_ns, leaves=leaves)
                server.__enter__()
            try:
                play_step(server, entry, entries)
            except AssertionError as error:
                raise AssertionError(f"{entry['name']}: {error}") from None
        for key, value in stored.items():
            found = server.service.proofs.raw(bytes.fromhex(key))
            assert found is not None and found.hex() == value, f"row {key}: expected {value}, got {found!r}"
    finally:
        server.__exit__()


def went_back(entry: dict[str, Any], server: PlayedServer) -> bool:
    """Whether the recorded server told a challenge of the proof of work that it had told before, after another."""
    body = str(entry["response"].get("body"))
    if not body.startswith('{"powParams"'):
        return False
    told = base64.b64decode(json.loads(body)["powParams"]["challenge"])
    previous = server.service.machine.pow.previous
    return previous is not None and told == previous


LEAVES_OF_LARGE_PROOF = 20_000
POW_KEY = b"pow_challenge".hex()
"""The key of a row in the recorded databases."""


def initial_challenge(entries: list[dict[str, Any]]) -> bytes | None:
    """The first challenge of the proof of work that the server told."""
    for entry in entries:
        body = entry["response"].get("body") or ""
        if isinstance(body, str) and body.startswith('{"powParams"'):
            challenge = json.loads(body)["powParams"]["challenge"]
            return base64.b64decode(challenge) or None
    return None


def pow_challenge_in(entries: list[dict[str, Any]]) -> bytes | None:
    """The challenge that the first accepted submit names."""
    for entry in entries:
        body = entry["request"]["body"]
        if body and entry["response"].get("status") in (0, 200):
            return decode_submit(body.encode()).pow_params.challenge or None
    return None


def play_step(server: PlayedServer, entry: dict[str, Any], entries: list[dict[str, Any]]) -> None:
    request, response = entry["request"], entry["response"]
    if response.get("status") == 0:
        # a client that does not wait: it sends and goes
        with socket.create_connection(("127.0.0.1", server.port), timeout=WAIT_S) as connection:
            connection.sendall(request_bytes(request))
            time.sleep(0.05)
        return
    sent = int(response["sent_unix_ns"])
    if request["path"].startswith("/v1/proofs/") or request["path"] == "/v1/pow_params":
        server.set_clock(sent)
    else:
        server.set_clock(min(sent, server.service.machine.next_deadline() - 1) if first_round(entry) else sent)
    found = server.exchange(request_bytes(request))
    message = str(response.get("body"))
    if "received message larger than max" in message:
        # how large depends on the number of leaves, which was not recorded
        found = re.sub(rb"\(\d+ vs", b"(N vs", found)
        expected = re.sub(r"\(\d+ vs", "(N vs", message)
        check_body(split(found)[3], expected)
        assert split(found)[0] == f"HTTP/1.1 {response['status']} {response['reason']}"
        return
    if request["path"] == "/v1/pow_params" and not is_known_challenge(message, entries):
        # the root of a proof that was not recorded: ours must be the root of our proof
        record = server.service.proof("0")
        assert isinstance(record, ProofRecord), f"there is no proof: {record}"
        told = json.loads(split(found)[3])["powParams"]["challenge"]
        assert told == base64.b64encode(record.nip.root).decode(), f"got {told}"
        return
    check_response(found, response, {})


def is_known_challenge(body: str, entries: list[dict[str, Any]]) -> bool:
    """Whether a recorded challenge is the first one, or the root of a recorded proof (none: of an empty one)."""
    challenge = base64.b64decode(json.loads(body)["powParams"]["challenge"])
    first = initial_challenge(entries)
    if first is None or challenge in (b"", first):
        return True
    text = base64.b64encode(challenge).decode()
    return any(f'"root":"{text}"' in str(entry["response"].get("body")) for entry in entries)


def first_round(entry: dict[str, Any]) -> bool:
    return '"roundId":"0"' in str(entry["response"].get("body"))


# Whole rounds


@vectors("poet/round_e2e.json", variants=False)
def whole_rounds(document: Any, context: Context) -> Iterator[Case | Later]:
    yield from unknown_sections(
        document,
        (
            "reference",
            "poet_version",
            "configuration",
            "info",
            "rounds",
            "proofs_db",
            "round_dbs",
            "exit_code",
            "rounds_dir_after",
        ),
    )
    fields, rounds = document["configuration"], document["rounds"]
    config = configuration(fields, context.temporary("poet"))
    leaves = {int(one["round_id"]): int(one["node_side"]["leaf_count"]) for one in rounds}
    first = base64.b64decode(rounds[0]["pow_params"]["challenge"])
    before = config.schedule.genesis_ns - 10**11
    server = PlayedServer(config, now_ns=before, pow_challenge=first, leaves=leaves)
    schedule = config.schedule
    events: list[tuple[int, str, Callable[[], None]]] = []
    for one in rounds:
        round_id = int(one["round_id"])
        for position, member in enumerate(one["members"]):
            left = float(member["response"]["roundEnd"].removesuffix("s"))
            sent = schedule.end(round_id) - int(left * 1e9)
            name = f"round {round_id}, member {position}"
            events.append((sent, name, lambda m=member, t=sent: play_member(server, m, t)))
        name = f"round {round_id}, proof"
        events.append((schedule.end(round_id), name, lambda r=one: play_proof(server, r)))
    with server:
        for _, name, check in sorted(events, key=lambda event: event[0]):
            yield Case(name, check)
        yield Case("databases", lambda: check_databases(server, document))


def play_member(server: PlayedServer, member: dict[str, Any], sent_ns: int) -> None:
    server.set_clock(max(server.now_ns, sent_ns))
    raw = request_bytes({"method": "POST", "path": "/v1/submit", "headers": {}, "body": json.dumps(member["request"])})
    status, _, _, found = split(server.exchange(raw))
    assert status == "HTTP/1.1 200 OK", f"{status}: {found}"
    check_body(found, json.dumps(member["response"], separators=(",", ":")))


def play_proof(server: PlayedServer, one: dict[str, Any]) -> None:
    round_id = int(one["round_id"])
    schedule = server.config.schedule
    for key, moment in (("start", schedule.start(round_id)), ("end", schedule.end(round_id))):
        assert Time.parse(one[key]).unix_ns == moment, f"{key}: expected {one[key]}"
    server.set_clock(schedule.end(round_id))
    raw = request_bytes({"method": "GET", "path": f"/v1/proofs/{round_id}", "headers": {}, "body": None})
    status, _, _, found = split(server.exchange(raw))
    assert status == f"HTTP/1.1 {one['proof_status']} OK", status
    expected = one["proof_body"]
    same = found == expected if isinstance(expected, str) else json.loads(found) == expected
    assert same, f"expected {str(expected)[:200]}, got {found[:200]}"
    check_node_side(read_proof(found.encode(), one["round_id"]), one["node_side"])


def check_node_side(found: RoundProof, side: dict[str, Any]) -> None:
    """What a node makes of the answer: statement, message, reference, verdict, membership proofs."""
    message = found.message
    assert message.statement.hex() == side["statement"], message.statement.hex()
    assert message.encode().hex() == side["poet_proof_message_scale"], "the message differs"
    assert message.ref().hex() == side["ref"], message.ref().hex()
    try:
        verify_round(found)
    except InvalidProof as error:
        assert side["validate_error"], f"expected the proof to be valid, got {error}"
    else:
        assert not side["validate_error"], f"expected the refusal {side['validate_error']}"
    for member in side["members"] or ():
        proof = membership(found, bytes.fromhex(member["challenge"]))
        assert proof is not None, f"{member['challenge']} is no member"
        assert proof.leaf_index == int(member["leaf_index"])
        encoded = proof.encode().hex()
        assert encoded == member["merkle_proof_scale"], f"expected {member['merkle_proof_scale']}, got {encoded}"


def check_databases(server: PlayedServer, document: dict[str, Any]) -> None:
    for key, value in document["proofs_db"]:
        found = server.service.proofs.raw(bytes.fromhex(key))
        assert found is not None and found.hex() == value, f"proofs, row {key}: expected {value[:80]}"
