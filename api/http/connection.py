"""One client's connection: the library's, with deadlines that no drip of bytes puts off.

The library bounds lines, headers and pipelined requests and refuses what is ambiguous; it has no deadline for a head,
and counts no bytes over all connections. Both are added here, through its public hooks only: what arrives, when a
request begins, when an answer is out. One sweep a second of the server drops who is late.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from aiohttp import web
from aiohttp.http_exceptions import LineTooLong
from aiohttp.web_protocol import RequestHandler

from api.edge.logging import Quiet
from api.edge.text import escaped
from api.http.answers import TEXT, Answer
from api.http.limits import SMALL_BODY
from api.http.status import words

if TYPE_CHECKING:
    from aiohttp import web

    from api.http.owner import Owner

LINGER_S = 2.0
"""For what a client still sends after it was refused: cut off at once, it would not see why."""


class Connection(RequestHandler):
    """A client."""

    __slots__ = ("_head_bytes", "_held", "_owner", "busy", "deadline", "gone", "refuses")

    def __init__(self, owner: Owner, manager: web.Server, deadline: float | None, **options: Any) -> None:
        """manager: what aiohttp keeps its connections in; the same object."""
        super().__init__(manager, **options)
        self._owner = owner
        self._held = 0
        """Bytes of a head, or of the body in work, that count in the server's budget."""
        self._head_bytes = 0
        self.busy = False
        """Whether a request is in work."""
        self.refuses = False
        """Whether what comes is thrown away, until the client has seen why."""
        self.gone: asyncio.Future[None] = self._loop.create_future()
        self.deadline = deadline
        """On the loop's clock; None: the client owes nothing but its next request."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """asyncio: the client is there."""
        super().connection_made(transport)
        self._owner.opened(self)

    def connection_lost(self, error: BaseException | None) -> None:
        """asyncio: the client has gone."""
        self._give_back()
        self._owner.closed(self)
        if not self.gone.done():
            self.gone.set_result(None)
        self._owner.turns.wait(lambda: self._clean_up(error))

    def _clean_up(self, error: BaseException | None) -> None:
        super().connection_lost(error)

    def data_received(self, data: bytes) -> None:
        """asyncio: bytes from the client."""
        if self.refuses:
            return
        if data and not self.busy and not self._takes_head(len(data)):
            self.drop()
            return
        super().data_received(data)

    def resume_reading(self, resume_parser: bool = True) -> None:
        """aiohttp: what was read has been taken. It says so after every piece, also where nothing had been paused."""
        if self._reading_paused:
            super().resume_reading(resume_parser)

    def _takes_head(self, size: int) -> bool:
        """Counts bytes before a request is in work. The last ones may be of a body, which `bodies` counts."""
        limits = self._owner.limits
        if self.deadline is None:
            self.deadline = self._loop.time() + limits.head_s
        if self._head_bytes > limits.head_bytes:
            return False
        if self._head_bytes > SMALL_BODY and not self.hold(size):
            return False
        self._head_bytes += size
        return True

    def hold(self, size: int) -> bool:
        """Counts bytes of a body in the server's budget, until its request has ended; False where there is no room."""
        if not self._owner.budget.take(size):
            return False
        self._held += size
        return True

    def _give_back(self) -> None:
        self._owner.budget.give_back(self._held)
        self._held = self._head_bytes = 0

    def request_begins(self) -> None:
        """A head is complete, and its request is in work."""
        self._give_back()
        self.busy, self.deadline = True, None

    def request_ended(self, *, is_read: bool) -> None:
        """Its answer is out; `is_read`: and its body was read, or else the library reads it away for a while."""
        self._give_back()
        self.busy, self.deadline = not is_read, None

    def due_in(self, seconds: float) -> None:
        """The client owes us something within this time."""
        self.deadline = self._loop.time() + seconds

    def drop(self) -> None:
        """Closes at once: what a client does not read is not kept for it."""
        if self.transport is not None:
            self.transport.abort()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """aiohttp: the answer to what is no HTTP (400), or to a mistake of ours (500). Closes the connection."""
        if status >= 500:
            self._owner.log.error("%s %s failed", escaped(request.method), escaped(request.path), exc_info=exc)
        else:
            why = (message or str(exc)).partition("\n")[0]
            Quiet.of(self._owner.log).info("what %s sends is no HTTP: %s", self.peer, escaped(why, 80))
        status = 431 if isinstance(exc, LineTooLong) else status
        text = f"{status} {words(status)}"
        self.refuses = True
        return _LastAnswer(self, status, text.encode(), kind=TEXT)

    @property
    def peer(self) -> str:
        """The client's address without its port, for logs and shares."""
        name = self.peername
        return str(name[0]) if isinstance(name, tuple) else "a local client"


class _LastAnswer(Answer):
    """An answer after which nothing is taken: our side is closed, and what the client still sends is thrown away."""

    def __init__(self, connection: Connection, status: int, body: bytes, *, kind: str) -> None:
        super().__init__(status, body, kind=kind)
        self.force_close()
        self._connection = connection

    async def write_eof(self, data: bytes = b"") -> None:
        """aiohttp: the end of the answer."""
        connection = self._connection
        connection.due_in(LINGER_S)
        await super().write_eof(data)
        if connection.transport is not None and connection.transport.can_write_eof():
            connection.transport.write_eof()
            await connection.gone
