"""A PoET server under attack, as a process of its own: a good client is answered meanwhile, and memory stays bounded.

Each attack goes on until the good client has had its answers, so what is shown is that they come, and at the end what
the server held at most. How fast they come is asked by `make timing`.
"""

from __future__ import annotations

import asyncio
import http.client
import re
import resource
import socket
import statistics
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from bench import poet_server as load

MOST_MB = 250
ANSWERS = 20
"""Of the good client during an attack."""
WAIT_S = 60.0
POST = b"POST /v1/submit HTTP/1.1\r\nHost: x\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"
GET = b"GET /v1/info HTTP/1.1\r\nHost: x\r\n\r\n"


class Target:
    """A server, and what is asked of it."""

    def __init__(self, pid: int, http_port: int, grpc_port: int) -> None:
        self.pid, self.port, self.grpc_port = pid, http_port, grpc_port

    @property
    def most_mb(self) -> float:
        """What it held at most, since it began."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        found = re.search(r"VmHWM:\s+(\d+) kB", status)
        assert found is not None
        return int(found[1]) / 1024

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=WAIT_S)

    def info(self) -> float:
        """GET /v1/info on a new connection; the seconds it took."""
        began = time.perf_counter()
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=WAIT_S)
        try:
            connection.request("GET", "/v1/info")
            answer = connection.getresponse()
            assert answer.status == 200 and b"servicePubkey" in answer.read()
        finally:
            connection.close()
        return time.perf_counter() - began


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    with attacked(tmp_path_factory.mktemp("poet")) as one:
        yield one


@contextmanager
def attacked(directory: Path) -> Iterator[Target]:
    """A server of its own."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(6000, hard)), hard))
    process, ports = load.start_listening(str(directory), 0, [])
    try:
        yield Target(process.pid, ports["http"], ports["grpc"])
    finally:
        process.kill()
        process.wait()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


Attack = Callable[[Target, threading.Event], None]
"""Goes on until the event is set."""


def chunks(target: Target, over: threading.Event) -> None:
    """Hundreds of thousands of one-byte chunks, then one now and then: each once made the server read all of them
    again.
    """
    with target.connect() as one:
        one.sendall(CHUNKED + b"1\r\nx\r\n" * 400_000)
        while not over.wait(0.01):
            one.sendall(b"1\r\nx\r\n")


def bombs(target: Target, over: threading.Event) -> None:
    """JSON whose objects are a hundred times as large as its text."""
    for unit in (b"[],", b"{},", b'{"":0},', b"1,", b'"",'):
        body = b'{"x":[' + unit * (7_900_000 // len(unit)) + b"0]}"
        with target.connect() as one:
            one.sendall(POST + b"Connection: close\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
            answer = one.makefile("rb").read()
        assert answer.startswith(b"HTTP/1.1 400"), answer[:200]
    over.wait()


def pipelining(target: Target, over: threading.Event) -> None:
    """Clients that ask and ask and read nothing."""
    clients = [target.connect() for _ in range(6)]
    for one in clients:
        one.setblocking(False)
    while not over.wait(0.005):
        for one in clients:
            try:
                one.send(GET * 3000)
            except BlockingIOError:
                continue
            except ConnectionError:
                return
    for one in clients:
        one.close()


def large_bodies(target: Target, over: threading.Event) -> None:
    """Bodies as large as allowed that lack their last byte."""
    clients = []
    for _ in range(20):
        one = target.connect()
        one.settimeout(1.0)
        clients.append(one)
        try:
            one.sendall(POST + b"Content-Length: 8000000\r\n\r\n" + bytes(7_999_999))
        except OSError:  # what is above the budget is refused
            pass
    over.wait()
    for one in clients:
        one.close()


def crowd(first: bytes) -> Attack:
    def attack(target: Target, over: threading.Event) -> None:
        clients = []
        for _ in range(2000):
            one = target.connect()
            if first:
                one.sendall(first)
            clients.append(one)
        while not over.wait(0.2):
            for one in clients if first else ():
                try:
                    one.send(b"x" if first is not GET else b"")
                except OSError:
                    pass
        for one in clients:
            one.close()

    return attack


def frame(kind: int, flags: int, stream: int, data: bytes) -> bytes:
    return struct.pack(">I", len(data))[1:] + bytes((kind, flags)) + struct.pack(">I", stream) + data


def announced_messages(target: Target, over: threading.Event) -> None:
    """gRPC calls that announce 60 MiB each, on many streams of some connections."""

    def literal(name: bytes, value: bytes) -> bytes:
        return b"\x00" + bytes((len(name),)) + name + bytes((len(value),)) + value

    path = literal(b":path", b"/rpc.api.v1.PoetService/Submit") + literal(b":authority", b"x")
    head = b"\x83\x86" + path + literal(b"content-type", b"application/grpc") + literal(b"te", b"trailers")
    clients = []
    for _ in range(8):
        one = socket.create_connection(("127.0.0.1", target.grpc_port), timeout=WAIT_S)
        one.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(4, 0, 0, b""))
        for stream in range(1, 25, 2):
            data = b"\0" + struct.pack(">I", 60 << 20) + bytes(16_000)
            try:
                one.sendall(frame(1, 4, stream, head) + frame(0, 0, stream, data))
            except OSError:
                break
        clients.append(one)
    over.wait()
    for one in clients:
        one.close()


def large_messages(target: Target, over: threading.Event) -> None:
    """Whole messages of 63 MiB."""
    import grpc

    options = (("grpc.max_send_message_length", -1), ("grpc.use_local_subchannel_pool", 1))
    data = b"\x2a\xf0\xff\xff\x1d" + bytes((63 << 20) - 21)
    for _ in range(4):
        with grpc.insecure_channel(f"127.0.0.1:{target.grpc_port}", options) as channel:
            call = channel.unary_unary("/rpc.api.v1.PoetService/Submit")
            for _ in range(3):
                with pytest.raises(grpc.RpcError) as caught:
                    call(data, timeout=WAIT_S)
                assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    over.wait()


ATTACKS: dict[str, Attack] = {
    "one-byte chunks": chunks,
    "JSON bombs": bombs,
    "pipelining without reading": pipelining,
    "large bodies that never end": large_bodies,
    "clients that send nothing": crowd(b""),
    "dripping heads": crowd(b"POST /v1/submit HTTP/1.1\r\nX: "),
    "dripping bodies": crowd(POST + b"Content-Length: 100000\r\n\r\n"),
    "clients that stay": crowd(GET),
    "announced messages": announced_messages,
    "large messages": large_messages,
}


def under(attack: Attack, target: Target, answers: int = ANSWERS) -> list[float]:
    """What a good client waits for its answers meanwhile."""
    over = threading.Event()
    failures: list[BaseException] = []

    def work() -> None:
        try:
            attack(target, over)
        except (OSError, AssertionError) as error:
            failures.append(error)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        waits = [target.info() for _ in range(answers) if not over.wait(0.02)]
    finally:
        over.set()
        thread.join(WAIT_S)
    assert not thread.is_alive()
    assert not [one for one in failures if isinstance(one, AssertionError)], failures
    return waits


@pytest.mark.parametrize("name", ATTACKS)
def test_a_good_client_is_answered_and_memory_is_bounded(name: str, target: Target) -> None:
    assert len(under(ATTACKS[name], target)) == ANSWERS
    assert target.most_mb < MOST_MB
    assert target.info() < WAIT_S


def test_registrations_go_on_under_all_of_it(target: Target) -> None:
    """What is registered while others attack is answered with 200, all of it."""
    over = threading.Event()
    attacks = [
        threading.Thread(target=lambda one=one: one(target, over), daemon=True)
        for one in (chunks, pipelining, crowd(POST + b"Content-Length: 100000\r\n\r\n"))
    ]
    for one in attacks:
        one.start()
    try:
        requests = load.requests(300, 0, load.told_challenge(target.port))
        run = asyncio.run(load.drive(target.port, requests, 16))
    finally:
        over.set()
        for one in attacks:
            one.join(WAIT_S)
    assert (len(run.latencies), run.failed) == (300, 0)
    assert target.most_mb < MOST_MB


def test_the_log_holds_no_line_a_thousand_times(tmp_path: Path) -> None:
    process, port = load.start_server(str(tmp_path), 0, [])
    try:
        for _ in range(200):
            with socket.create_connection(("127.0.0.1", port), timeout=WAIT_S) as one:
                one.sendall(b"\x1b[2J garbage\r\n\r\n")
                one.makefile("rb").read()
    finally:
        process.kill()
        process.wait()
    log = (tmp_path / "logs" / "poet.log").read_text()
    assert log.count("is no HTTP") == 1 and "\x1b" not in log


@pytest.mark.timing
@pytest.mark.parametrize("name", ATTACKS)
def test_a_good_client_waits_little(name: str, target: Target) -> None:
    waits = sorted(under(ATTACKS[name], target, 200))
    p99 = waits[int(len(waits) * 0.99) - 1]
    assert p99 < 0.1, f"median {statistics.median(waits) * 1e3:.1f} ms, p99 {p99 * 1e3:.0f} ms"
