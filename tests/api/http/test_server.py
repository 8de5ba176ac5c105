"""The server shell: what it refuses, what it waits for and for how long, what it holds, and how it ends."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Awaitable, Callable

import pytest

from api.http import server as server_module
from api.http.answers import PIECE, Answer, Request, text
from api.http.limits import SMALL_BODY, Budget, Limits
from api.http.server import HttpServer

LOG = logging.getLogger("tests.http")
WAIT_S = 30.0
GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
SHORT = Limits(head_s=0.05, body_s=0.05, write_s=0.05, idle_s=0.1)


@pytest.fixture(autouse=True)
def quick_sweep(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "SWEEP_S", 0.02)


def run(
    test: Callable[[HttpServer, int], Awaitable[None]],
    limits: Limits | None = None,
    handler: Callable[[Request, HttpServer], Awaitable[Answer]] | None = None,
) -> None:
    """A server of its own for a test. Its handler answers with the size of the body, or as the test says."""

    async def length(request: Request, server: HttpServer) -> Answer:
        return text(200, str(len(await server.body(request))))

    async def main() -> None:
        async def handle(request: Request) -> Answer:
            return await (handler or length)(request, server)

        server = HttpServer(handle, limits, log=LOG)
        port = await server.listen([socket.create_server(("127.0.0.1", 0))])
        try:
            async with asyncio.timeout(WAIT_S):
                await test(server, port)
        finally:
            await server.stop(1.0)
        assert server.budget.held == 0, "nothing is held for those who have gone"

    asyncio.run(main())


async def exchange(port: int, data: bytes) -> bytes:
    """What comes for these bytes until the server closes or half a second of silence."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(data)
        return await read_all(reader)
    finally:
        writer.close()


async def read_all(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.read()
    except ConnectionError:
        return b""


def status_of(answer: bytes) -> bytes:
    return answer.split(b" ")[1] if answer else b"none"


POST = b"POST / HTTP/1.1\r\nHost: a\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"
SMUGGLED = {
    "two lengths, the first 0": POST + b"Content-Length: 0\r\nContent-Length: 27\r\n\r\n" + GET,
    "two lengths, the second 0": POST + b"Content-Length: 27\r\nContent-Length: 0\r\n\r\n" + GET,
    "two equal lengths": POST + b"Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc",
    "a list of lengths": POST + b"Content-Length: 3, 3\r\n\r\nabc",
    "length and chunks": POST + b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunks and length": POST + b"Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n",
    "two codings": POST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n",
    "an unknown coding": POST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "chunks over HTTP/1.0": b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "a length with a sign": POST + b"Content-Length: +3\r\n\r\nabc",
    "a negative length": POST + b"Content-Length: -3\r\n\r\nabc",
    "a length beyond 64 bits": POST + b"Content-Length: 99999999999999999999999\r\n\r\n",
    "a size with 0x": CHUNKED + b"0x3\r\nabc\r\n0\r\n\r\n",
    "a size with an underscore": CHUNKED + b"1_0\r\n" + bytes(16) + b"\r\n0\r\n\r\n",
    "a size with a sign": CHUNKED + b"+3\r\nabc\r\n0\r\n\r\n",
    "a negative size": CHUNKED + b"-1\r\n",
    "a size of thousands of digits": CHUNKED + b"f" * 5000 + b"\r\n",
    "a chunk without its end": CHUNKED + b"2\r\n{}XX0\r\n\r\n",
    "a bare line feed in an extension": CHUNKED + b"2;\nxx\r\n{}\r\n0\r\n\r\n",
    "a bare line feed in a header": POST + b"X: a\nContent-Length: 2\r\n\r\n{}",
    "a bare carriage return in a header": POST + b"X: a\rb\r\n\r\n",
    "NUL in a header": POST + b"X: a\0b\r\n\r\n",
    "a blank before a colon": POST + b"Content-Length : 2\r\n\r\n{}",
    "a blank in a name": POST + b"X Y: 2\r\n\r\n",
    "a folded header": POST + b"X: a\r\n Content-Length: 2\r\n\r\n{}",
    "two hosts": b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    "no host": b"GET / HTTP/1.1\r\n\r\n",
    "a version that is none": b"GET / HTTP/9.9\r\nHost: a\r\n\r\n",
    "another protocol": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "TLS": bytes.fromhex("16030100a5010000a10303") + bytes(160),
    "no HTTP": b"garbage\r\n\r\n",
    "too many headers": GET[:-2] + b"a: b\r\n" * 200 + b"\r\n",
    "a header without end": GET[:-2] + b"X: " + b"x" * 60_000,
    "a path without end": b"GET /" + b"x" * 60_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n",
}


@pytest.mark.parametrize("name", SMUGGLED)
def test_what_two_parsers_might_read_differently_is_refused(name: str) -> None:
    handled: list[str] = []

    async def handle(request: Request, server: HttpServer) -> Answer:
        body = await server.body(request)
        handled.append(request.target)
        return text(200, str(len(body)))

    async def test(server: HttpServer, port: int) -> None:
        answer = await exchange(port, SMUGGLED[name])
        assert status_of(answer) in (b"400", b"431"), answer
        assert answer.count(b"HTTP/1.") == 1, "nothing behind it was taken for a request"
        assert handled == []
        assert status_of(await exchange(port, GET[:-2] + b"Connection: close\r\n\r\n")) == b"200"

    run(test, handler=handle)


@pytest.mark.parametrize(
    ("data", "size"),
    [
        (POST + b"Content-Length: 3\r\nConnection: close\r\n\r\nabc", b"3"),
        (POST + b"Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n3;x=y\r\nabc\r\n0\r\nT: v\r\n\r\n", b"3"),
        (POST + b"Connection: close\r\n\r\n", b"0"),
        (b"\r\n\r\n" + POST + b"Connection: close\r\n\r\n", b"0"),
        (POST + b"Content-Encoding: gzip\r\nContent-Length: 3\r\nConnection: close\r\n\r\nabc", b"3"),
        (b"POST http://a/ HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", b"0"),
    ],
)
def test_what_is_right_is_answered(data: bytes, size: bytes) -> None:
    async def test(server: HttpServer, port: int) -> None:
        answer = await exchange(port, data)
        assert status_of(answer) == b"200" and answer.endswith(b"\r\n\r\n" + size)
        assert b"Server:" not in answer

    run(test)


async def drip(writer: asyncio.StreamWriter, data: bytes) -> None:
    try:
        while True:
            writer.write(data)
            await writer.drain()
            await asyncio.sleep(0.01)
    except ConnectionError:
        pass


@pytest.mark.parametrize(
    ("first", "dripped"),
    [
        (b"", b""),
        (b"", b"\r\n"),
        (b"GET / HTTP/1.1\r\n", b"X: y\r\n"),
        (POST + b"Content-Length: 100000\r\n\r\n", b"x"),
        (CHUNKED, b"1\r\nx\r\n"),
    ],
    ids=["silent", "line ends", "headers", "a body", "chunks"],
)
def test_a_byte_now_and_then_puts_no_deadline_off(first: bytes, dripped: bytes) -> None:
    async def test(server: HttpServer, port: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(first)
        dripping = asyncio.create_task(drip(writer, dripped)) if dripped else None
        assert await read_all(reader) == b"", "it is closed without a word"
        if dripping is not None:
            await dripping
        writer.close()

    run(test, SHORT)


def test_a_client_that_does_not_read_is_dropped_and_little_is_kept_for_it() -> None:
    async def handle(request: Request, server: HttpServer) -> Answer:
        return Answer(200, bytes(64 << 20))

    async def test(server: HttpServer, port: int) -> None:
        client = socket.create_connection(("127.0.0.1", port))
        client.sendall(GET)
        while not server.clients:
            await asyncio.sleep(0.001)
        most = 0
        while server.clients:
            most = max([most, *(one.transport.get_write_buffer_size() for one in server.connections if one.transport)])
            await asyncio.sleep(0.001)
        assert 0 < most <= 4 * PIECE, f"{most} bytes were kept"
        client.close()

    run(test, SHORT, handle)


def test_pipelining_without_reading_stops_the_sender() -> None:
    async def handle(request: Request, server: HttpServer) -> Answer:
        return Answer(200, bytes(PIECE))

    async def test(server: HttpServer, port: int) -> None:
        client = socket.create_connection(("127.0.0.1", port))
        client.setblocking(False)
        sent, idle = 0, 0
        while idle < 50:  # until nothing is taken any more
            try:
                sent += client.send(GET * 1000)
                idle = 0
            except BlockingIOError:
                idle += 1
            except ConnectionError:
                break
            await asyncio.sleep(0.001)
        assert sent < 64 << 20, "the socket fills up, not the server"
        assert server.budget.held <= server.limits.head_bytes + PIECE
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(GET)
        assert status_of(await reader.readuntil(b"\r\n")) == b"200"
        writer.close()
        client.close()

    run(test, handler=handle)


def test_an_idle_connection_is_closed_after_a_while() -> None:
    async def test(server: HttpServer, port: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(GET)
        assert status_of(await read_all(reader)) == b"200"
        writer.close()

    run(test, Limits(idle_s=0.05))


def test_a_body_above_the_limit_is_answered_without_being_read() -> None:
    async def test(server: HttpServer, port: int) -> None:
        announced = await exchange(port, POST + b"Content-Length: 1001\r\n\r\n")
        assert status_of(announced) == b"413" and server.budget.held == 0
        sent = await exchange(port, POST + b"Content-Length: 200000\r\n\r\n" + bytes(200_000))
        assert status_of(sent) == b"413", "a client that is cut off while it sends would not see why"
        chunks = b"".join(b"64\r\n" + bytes(100) + b"\r\n" for _ in range(20))
        assert status_of(await exchange(port, CHUNKED + chunks)) == b"413"
        right = await exchange(port, POST + b"Content-Length: 1000\r\nConnection: close\r\n\r\n" + bytes(1000))
        assert right.endswith(b"1000")

    run(test, Limits(body_bytes=1000, body_s=1.0))


def test_all_bodies_together_are_bounded_and_small_ones_always_fit() -> None:
    async def test(server: HttpServer, port: int) -> None:
        held = []
        for _ in range(4):  # what they hold together is nearly all there is
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(POST + b"Content-Length: 100000\r\n\r\n" + bytes(24_000))
            held.append(writer)
        while server.budget.held < 4 * 24_000:
            await asyncio.sleep(0.001)
        large = await exchange(port, POST + b"Content-Length: 50000\r\n\r\n" + bytes(50_000))
        assert status_of(large) == b"503"
        small = POST + b"Content-Length: 1000\r\nConnection: close\r\n\r\n" + bytes(1000)
        assert (await exchange(port, small)).endswith(b"1000")
        for writer in held:
            writer.close()
        while server.clients:
            await asyncio.sleep(0.001)
        assert server.budget.held == 0
        again = POST + b"Content-Length: 50000\r\nConnection: close\r\n\r\n" + bytes(50_000)
        assert (await exchange(port, again)).endswith(b"50000")

    run(test, Limits(buffered_bytes=100_000))


def test_a_budget_is_never_overdrawn() -> None:
    budget = Budget(10)
    assert budget.take(7) and not budget.take(4) and budget.take(3)
    assert budget.held == 10
    budget.give_back(10)
    assert budget.held == 0


def test_where_too_many_are_connected_the_oldest_that_waits_goes() -> None:
    async def test(server: HttpServer, port: int) -> None:
        clients = [await asyncio.open_connection("127.0.0.1", port) for _ in range(3)]
        while server.clients < 3:
            await asyncio.sleep(0.001)
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(GET)
        assert status_of(await reader.readuntil(b"\r\n")) == b"200", "the newest is served"
        assert await read_all(clients[0][0]) == b""
        for _, one in (*clients, (reader, writer)):
            one.close()

    run(test, Limits(connections=3))


def test_thousands_that_come_at_once_do_not_stop_a_client_that_is_served() -> None:
    """A client's request is answered within as many turns of the loop as it takes, not after all the others."""

    async def test(server: HttpServer, port: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(GET)
        await reader.readuntil(b"\r\n\r\n0")
        crowd = [socket.create_connection(("127.0.0.1", port)) for _ in range(300)]
        for one in crowd:
            one.sendall(POST + b"Content-Length: 100\r\n\r\n")
        writer.write(GET)
        await reader.readuntil(b"\r\n\r\n0")
        begun = sum(1 for one in server.connections if one is not None)
        assert server.clients == 301 and begun <= 301
        for one in crowd:
            one.close()
        writer.close()

    run(test)


def test_a_mistake_in_a_handler_costs_its_request(caplog: pytest.LogCaptureFixture) -> None:
    async def handle(request: Request, server: HttpServer) -> Answer:
        if request.target == "/wrong":
            raise RuntimeError("a mistake")
        return text(200, "")

    async def test(server: HttpServer, port: int) -> None:
        assert status_of(await exchange(port, GET.replace(b"/ ", b"/wrong "))) == b"500"
        assert status_of(await exchange(port, GET[:-2] + b"Connection: close\r\n\r\n")) == b"200"

    with caplog.at_level(logging.ERROR, "tests.http"):
        run(test, handler=handle)
    assert [record.getMessage() for record in caplog.records] == ["GET /wrong failed"]


def test_the_end_answers_what_is_in_work_and_lets_nobody_in() -> None:
    going = asyncio.Event()

    async def handle(request: Request, server: HttpServer) -> Answer:
        await going.wait()
        return text(200, "at last")

    async def test(server: HttpServer, port: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(GET)
        while not any(one.busy for one in server.connections):  # type: ignore[attr-defined]
            await asyncio.sleep(0.001)
        ending = asyncio.create_task(server.stop(WAIT_S))
        await asyncio.sleep(0)
        with pytest.raises(OSError):
            await asyncio.open_connection("127.0.0.1", port)
        going.set()
        assert (await read_all(reader)).endswith(b"at last")
        await ending
        writer.close()

    run(test, handler=handle)


def test_an_expecting_client_is_told_to_go_on() -> None:
    async def test(server: HttpServer, port: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(POST + b"Content-Length: 3\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n")
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(b"abc")
        assert (await read_all(reader)).endswith(b"3")
        writer.close()

    run(test)


def test_small_and_large_bodies_come_whole() -> None:
    async def test(server: HttpServer, port: int) -> None:
        for size in (0, 1, SMALL_BODY, SMALL_BODY + 1, 1 << 20):
            head = POST + b"Content-Length: %d\r\nConnection: close\r\n\r\n" % size
            assert (await exchange(port, head + bytes(size))).endswith(b"\r\n\r\n%d" % size)

    run(test)
