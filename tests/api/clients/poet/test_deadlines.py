"""A PoET that is silent, lies about lengths or says too much costs its node a bounded time and a bounded log line."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest

from api.clients.poet import transport
from api.clients.poet.client import PoetClient
from api.clients.poet.errors import BadBody, GivingUp, PoetClientError, Unreachable
from api.clients.poet.messages import read_info, read_pow_params
from api.clients.poet.service import RemotePoet, ServiceConfig
from api.clients.poet.transport import RetryPolicy, request, send_http
from api.http.client import Answer, ClientLimits, HttpClient

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
QUICK = ClientLimits(connect_s=1.0, silence_s=0.2, total_s=5.0)


def run(serve: Serve, test: Callable[[str], Awaitable[None]]) -> None:
    async def main() -> None:
        open_: list[asyncio.StreamWriter] = []

        async def keep(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            open_.append(writer)
            await serve(reader, writer)

        server = await asyncio.start_server(keep, "127.0.0.1", 0)
        async with asyncio.timeout(30):
            await test(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
        server.close()
        for writer in open_:
            writer.close()

    asyncio.run(main())


async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(1 << 16)


def test_a_silent_server_costs_all_identities_together_one_limit() -> None:
    async def test(url: str) -> None:
        poet = RemotePoet(PoetClient(url, retry_delay_s=0.01), ServiceConfig(0, request_timeout_s=0.3))
        loop = asyncio.get_running_loop()
        began = loop.time()
        found = await asyncio.gather(*(poet.info() for _ in range(20)), return_exceptions=True)
        assert all(isinstance(one, GivingUp) for one in found)
        assert loop.time() - began < 5, "twenty waits after each other would be six seconds"

    run(silent, test)


def test_a_client_without_a_limit_of_its_own_ends_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "CLIENT", HttpClient(QUICK))

    async def test(url: str) -> None:
        poet = RemotePoet(PoetClient(url, retry_delay_s=0.001, retry_max=1), ServiceConfig(0))
        with pytest.raises(GivingUp, match="no answer"):
            await poet.info()

    run(silent, test)


def test_an_answer_that_comes_in_pieces_and_ends_with_its_connection_is_read_whole() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 1000)
        await writer.drain()
        await asyncio.sleep(0.02)
        writer.write(b"y" * 9000)
        await writer.drain()
        writer.close()

    async def test(url: str) -> None:
        assert (await send_http("GET", url, b"")).body == b"x" * 1000 + b"y" * 9000

    run(serve, test)


def test_half_an_answer_is_none_and_is_tried_again() -> None:
    asked: list[int] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        asked.append(1)
        body = b"{}" if len(asked) > 2 else b""
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n" + body)
        writer.close()

    async def test(url: str) -> None:
        policy = RetryPolicy(5, lambda attempt: 0.0)
        assert (await request(send_http, policy, "GET", url, b"")).body == b"{}"
        assert len(asked) == 3

    run(serve, test)


def test_what_a_server_says_is_one_bounded_line() -> None:
    async def send(method: str, url: str, body: bytes) -> Answer:
        return Answer(400, b"\x1b[2J\nERROR forged\n" + b"x" * 1_000_000)

    async def main() -> None:
        with pytest.raises(PoetClientError) as caught:
            await PoetClient("http://a", send=send).pow_params()
        said = str(caught.value)
        assert "\n" not in said and "\x1b" not in said and len(said) < 3000

    asyncio.run(main())


@pytest.mark.parametrize("wait", ["9" * 400, "9" * 5000, "1e9", "-1", "٣"])
def test_a_retry_after_of_any_length_is_bounded(wait: str) -> None:
    answer = Answer(429, b"", {"retry-after": wait})
    assert transport._retry_after(answer, 1.5) == 1.5
    assert transport._retry_after(replace(answer, headers={"retry-after": "99999999"}), 1.5) == 3600


@pytest.mark.parametrize("number", ["9" * 5000, '"' + "9" * 5000 + '"', "1e999", "-1", "true", "[]"])
def test_numbers_of_any_length_are_bad_bodies(number: str) -> None:
    with pytest.raises(BadBody):
        read_pow_params(f'{{"powParams":{{"difficulty":{number}}}}}'.encode())


@pytest.mark.parametrize("body", [b"[" * 100_000, b'{"a":' * 100_000, b"[" + b"[]," * 5_000_000 + b"1]"])
def test_documents_that_cost_much_are_bad_bodies(body: bytes) -> None:
    with pytest.raises(BadBody):
        read_info(body)


def test_a_server_without_tls_at_an_https_address_is_no_server() -> None:
    async def test(url: str) -> None:
        with pytest.raises(Unreachable):
            await send_http("GET", url.replace("http", "https"), b"")

    async def plain(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    run(plain, test)
