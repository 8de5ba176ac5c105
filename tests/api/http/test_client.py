"""The HTTP client: whole answers or none, with deadlines, bounds and redirects."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from api.http.client import Answer, ClientLimits, HttpClient, Unreachable, fetch

QUICK = ClientLimits(connect_s=0.5, silence_s=0.2, total_s=5.0, answer_bytes=1000)


@asynccontextmanager
async def answering(*answers: bytes, hold: bool = False) -> AsyncIterator[tuple[str, list[bytes]]]:
    """A server that sends these bytes, one answer a connection, and closes; `hold`: it does not close."""
    asked: list[bytes] = []
    left = list(answers)
    writers: list[asyncio.StreamWriter] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0] or 0)
        asked.append(head + await reader.readexactly(length))
        writer.write(left.pop(0) if left else b"")
        await writer.drain()
        writers.append(writer)
        if not hold:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", asked
    finally:
        server.close()
        for writer in writers:
            writer.close()


def run(test: Callable[[], Awaitable[None]]) -> None:
    async def main() -> None:
        async with asyncio.timeout(30):
            await test()

    asyncio.run(main())


def ask(answer: bytes, *, hold: bool = False, limits: ClientLimits = QUICK) -> Answer:
    async def main() -> Answer:
        async with asyncio.timeout(30), answering(answer, hold=hold) as (url, _):
            return await HttpClient(limits).send("GET", url + "/a")

    return asyncio.run(main())


@pytest.mark.parametrize(
    ("answer", "body"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc", b"abc"),
        (b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 900, b"x" * 900),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n", b"abc"),
        (b"HTTP/1.1 204 No Content\r\n\r\n", b""),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na", b"a"),
    ],
)
def test_whole_answers(answer: bytes, body: bytes) -> None:
    assert ask(answer).body == body


def test_an_answer_that_ends_with_its_connection_comes_whole_in_however_many_pieces() -> None:
    async def test() -> None:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
            for _ in range(50):
                writer.write(bytes(100_000))
                await writer.drain()
                await asyncio.sleep(0)
            writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        answer = await HttpClient().send("GET", f"http://127.0.0.1:{port}/")
        assert len(answer.body) == 5_000_000
        server.close()

    run(test)


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 30\r\n\r\nabc", "before the end of its answer"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabc", "before the end of its answer"),
        (b"HTTP/1.1 200 OK\r\nContent-Len", "before the end of its answer"),
        (b"", "before the end of its answer"),
        (b"no HTTP\r\n\r\n", "not HTTP"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0x3\r\n\r\nabc", "not HTTP"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabc", "not HTTP"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: " + b"9" * 5000 + b"\r\n\r\nabc", "not HTTP"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1001\r\n\r\n", "above 1000"),
        (b"HTTP/1.1 200 OK\r\n\r\n" + bytes(1001), "above 1000"),
    ],
)
def test_no_whole_answer_is_no_answer(answer: bytes, why: str) -> None:
    with pytest.raises(Unreachable, match=why):
        ask(answer)


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\na"])
def test_silence_ends_a_request(answer: bytes) -> None:
    with pytest.raises(Unreachable, match="no answer in 0 s"):
        ask(answer, hold=True)


def test_redirects_are_followed_and_counted() -> None:
    async def test() -> None:
        moved = b"HTTP/1.1 301 Moved\r\nLocation: /b\r\nContent-Length: 0\r\n\r\n"
        async with answering(moved, b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na") as (url, asked):
            answer = await HttpClient(QUICK).send("POST", url + "/a", b"{}")
            assert answer.body == b"a"
            assert [one.split(b" ")[:2] for one in asked] == [[b"POST", b"/a"], [b"GET", b"/b"]]
        async with answering(*[moved] * 20) as (url, _):
            with pytest.raises(Unreachable, match="10 redirects") as caught:
                await HttpClient(QUICK).send("GET", url)
            assert not caught.value.retryable

    run(test)


def test_what_is_sent() -> None:
    async def test() -> None:
        async with answering(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX-A: b\r\n\r\n") as (url, asked):
            answer = await HttpClient(QUICK, {"Authorization": "Bearer t"}).send("POST", url + "/a?b=c", b"{}")
            assert answer == Answer(200, b"", {"content-length": "0", "x-a": "b"})
            head, _, body = asked[0].partition(b"\r\n\r\n")
            assert head.startswith(b"POST /a?b=c HTTP/1.1\r\n") and body == b"{}"
            assert b"Content-Type: application/json" in head and b"Authorization: Bearer t" in head
            assert b"User-Agent" not in head

    run(test)


@pytest.mark.parametrize("url", ["", "poet", "ftp://a/", "http://", "http://a:0/", "http://a:x/", "http://[::1/"])
def test_addresses_that_are_none(url: str) -> None:
    with pytest.raises(Unreachable) as caught:
        fetch("GET", url)
    assert not caught.value.retryable


def test_nobody_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(Unreachable, match="Connection refused") as caught:
        fetch("GET", f"http://127.0.0.1:{port}/", limits=QUICK)
    assert caught.value.retryable


def test_the_words_of_a_status() -> None:
    assert Answer(404).reason == "404 Not Found"
    assert Answer(599).reason == "599 status code 599"
