"""The HTTP server that all services share: a listener, its bounds and deadlines, and an end that answers who waits.

A handler takes a request and returns an answer. Requests of one connection are answered one after another; what a
client sends beyond that waits in its socket. A mistake in a handler costs its request (500), never the server.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import HttpVersion11, web
from aiohttp.http_parser import RawRequestMessage
from aiohttp.streams import StreamReader

from api.edge.logging import Quiet
from api.http.answers import PIECE, Answer, Request, text
from api.http.bodies import Crowded, TooLarge, read_body
from api.http.connection import LINGER_S, Connection
from api.http.limits import Budget, Limits
from api.http.owner import Client
from api.http.status import words
from api.http.turns import Newcomer, Turns

BACKLOG = 4096
SWEEP_S = 1.0
LOOKED_AT = 64
"""Connections that are looked at for one to close when there are too many."""

Handler = Callable[[Request], Awaitable[Answer]]


class HttpServer(web.Server):
    """The connections of one application, on one listener or several. Made inside a running loop."""

    def __init__(
        self,
        handler: Handler,
        limits: Limits | None = None,
        *,
        log: logging.Logger,
        too_large: Callable[[int], Answer] = lambda size: text(413, "413 Content Too Large"),
    ) -> None:
        """too_large: the answer to a body of so many bytes, which is not read."""
        self.limits = limits or Limits()
        self.budget = Budget(self.limits.buffered_bytes)
        self.log = log
        self._handle, self._too_large = handler, too_large
        self._open: dict[Client, None] = {}
        """From the oldest to the newest."""
        self._most = self.limits.most_connections()
        self._listeners: list[asyncio.Server] = []
        self._sweeper: asyncio.TimerHandle | None = None
        # what a client has asked for is left off when it goes; what it has submitted is stored all the same
        super().__init__(self._serve, request_factory=self._begin, handler_cancellation=True)
        self.turns = Turns(self._loop)
        self.now = self._loop.time

    def newcomer(self) -> Newcomer:
        """asyncio: the protocol of a new connection."""
        return Newcomer(self)

    def make_connection(self, deadline: float | None) -> Connection:
        """The protocol of a connection that has sent something; its head has to be there by the deadline."""
        return Connection(
            self,
            self,
            deadline,
            loop=self._loop,
            keepalive_timeout=self.limits.idle_s,
            max_line_size=self.limits.line_bytes,
            max_field_size=self.limits.line_bytes,
            max_headers=self.limits.headers,
            lingering_time=LINGER_S,
            read_bufsize=PIECE,
            auto_decompress=False,
            access_log=None,
        )

    async def listen(self, sockets: list[socket.socket]) -> int:
        """Serves on bound sockets; the port of the first one."""
        for one in sockets:
            self._listeners.append(await self._loop.create_server(self.newcomer, sock=one, backlog=BACKLOG))
        port: int = sockets[0].getsockname()[1]
        return port

    def stop_listening(self) -> None:
        """Lets nobody in any more; who is in is served."""
        for listener in self._listeners:
            listener.close()
        self._listeners.clear()

    async def stop(self, grace_s: float = 5.0) -> None:
        """Answers what is in work, at most so long, and closes every connection."""
        self.stop_listening()
        self.pre_shutdown()
        await self.shutdown(grace_s)
        for connection in list(self._open):  # those that never asked for anything
            connection.drop()
        if self._sweeper is not None:
            self._sweeper.cancel()
            self._sweeper = None

    # Connections

    @property
    def clients(self) -> int:
        """How many are connected."""
        return len(self._open)

    def opened(self, connection: Client) -> None:
        """A client is there."""
        self._open[connection] = None
        if self._sweeper is None:
            self._sweeper = self._loop.call_later(SWEEP_S, self._sweep)
        if len(self._open) > self._most:
            self._make_room(connection)

    def closed(self, connection: Client) -> None:
        """A client has gone."""
        self._open.pop(connection, None)

    def _make_room(self, newest: Client) -> None:
        """Closes the oldest of those that nothing is in work for."""
        waiting = (one for one, _ in zip(self._open, range(LOOKED_AT)) if not one.busy)
        Quiet.of(self.log).warning("more than %d clients are connected; those that wait longest are closed", self._most)
        next(waiting, newest).drop()

    def _sweep(self) -> None:
        now = self._loop.time()
        for connection in [one for one in self._open if one.deadline is not None and one.deadline < now]:
            connection.drop()
        self._sweeper = self._loop.call_later(SWEEP_S, self._sweep) if self._open else None

    @staticmethod
    def connection_of(request: web.BaseRequest) -> Connection:
        """Where a request came from."""
        connection = request.protocol
        assert isinstance(connection, Connection), "made by make_connection"
        return connection

    # Requests

    def _begin(
        self, message: RawRequestMessage, payload: StreamReader, protocol: Any, writer: Any, task: asyncio.Task[None]
    ) -> Request:
        """aiohttp: a head is complete."""
        protocol.request_begins()
        return Request(message, payload, protocol, writer, task, self._loop)

    async def body(self, request: Request) -> bytes:
        """The body of a request; see `bodies.read_body`."""
        return await read_body(request, self.connection_of(request), self.limits)

    async def _serve(self, request: web.BaseRequest) -> web.StreamResponse:
        """Handles one request and writes its answer."""
        assert isinstance(request, Request), "made by _begin"
        connection = self.connection_of(request)
        try:
            answer = refused(400) if _is_ambiguous(request) else await self._handle(request)
        except TooLarge as error:
            answer = self._too_large(error.size)
            answer.force_close()
        except Crowded:
            answer = text(503, "503 Service Unavailable: others send too much at the moment")
            answer.force_close()
        except (web.RequestPayloadError, ConnectionError):  # malformed, or cut off
            answer = refused(400)
        connection.due_in(self.limits.write_s)
        try:
            return await self._write(request, connection, answer)
        except ConnectionError:
            return answer  # the client has gone
        finally:
            connection.request_ended(is_read=request.content.is_eof())

    async def _write(self, request: Request, connection: Connection, answer: Answer) -> web.StreamResponse:
        body = answer.content
        if len(body) <= PIECE or request.method == "HEAD":
            await answer.prepare(request)
            await answer.write_eof()
            return answer
        # piece by piece, so that a client that does not read holds a piece of it and not all
        response = web.StreamResponse(status=answer.status, reason=answer.reason, headers=answer.headers)
        response.content_length = len(body)
        if not answer.keep_alive and answer.keep_alive is not None:
            response.force_close()
        await response.prepare(request)
        view = memoryview(body)
        for at in range(0, len(body), PIECE):
            connection.due_in(self.limits.write_s)
            await response.write(view[at : at + PIECE])
        await response.write_eof()
        return response


def refused(status: int) -> Answer:
    """An answer to what is not handled; the connection ends with it."""
    answer = text(status, f"{status} {words(status)}")
    answer.force_close()
    return answer


def _is_ambiguous(request: Request) -> bool:
    """Whether others on the way may see another end of it: HTTP/1.0 has no chunks. RFC 9112, section 6.1."""
    return request.version < HttpVersion11 and "transfer-encoding" in request.headers
