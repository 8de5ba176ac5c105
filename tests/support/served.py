"""HTTP services of this repository inside a test: served from a thread of this process, asked over real sockets."""

from __future__ import annotations

import asyncio
import http.client
import socket
import threading
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

from api.http.server import HttpServer

WAIT_S = 30.0


@dataclass(frozen=True)
class Reply:
    """What a service answered."""

    status: int
    body: bytes
    headers: list[tuple[str, str]] = field(default_factory=list)
    """As they came, in order."""

    def header(self, name: str) -> str | None:
        """The value of a header."""
        return next((value for key, value in self.headers if key.lower() == name.lower()), None)

    @property
    def text(self) -> str:
        """The body."""
        return self.body.decode()


def ask(port: int, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None) -> Reply:
    """One request on a connection of its own."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=WAIT_S)
    try:
        connection.request(method, path, body=body, headers={"Connection": "close", **(headers or {})})
        response = connection.getresponse()
        return Reply(response.status, response.read(), response.getheaders())
    finally:
        connection.close()


class Served:
    """A service on a port of its own. `make` is called inside the loop and returns an object with a `server`.

    Use as a context manager; `close` of the object, where it has one, is called at the end.
    """

    def __init__(self, make: Callable[[], Any]) -> None:
        self._make = make
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="served")
        self.api: Any = None
        self.port = 0

    def __enter__(self) -> Served:
        self._thread.start()
        try:
            self.run(self._start())
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.run(self._stop())
        self._end()

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self.port}"

    def ask(self, method: str, path: str, body: bytes | None = None, **headers: str) -> Reply:
        """One request; names of headers with underscores."""
        return ask(self.port, method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})

    def run(self, awaitable: Awaitable[Any]) -> Any:
        """Waits for something inside the loop."""

        async def wait() -> Any:
            return await awaitable

        return asyncio.run_coroutine_threadsafe(wait(), self._loop).result(WAIT_S)

    def call(self, function: Callable[[], Any]) -> Any:
        """Calls something inside the loop."""

        async def work() -> Any:
            return function()

        return self.run(work())

    async def _start(self) -> None:
        self.api = self._make()
        server: HttpServer = self.api.server
        self.port = await server.listen([socket.create_server(("127.0.0.1", 0))])

    async def _stop(self) -> None:
        self.api.close()
        await self.api.server.stop(0.5)

    def _end(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
