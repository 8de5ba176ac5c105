"""HTTP/1.1 on asyncio, no more than the PoET's gateway needs, with the bytes of Go's server on errors.

A connection is a state machine over what arrives: head, then body (by length or chunked), then the application,
one request at a time. Two deadlines keep idle and dripping clients from holding anything: a head must be there
5 seconds after its connection or first byte, a body after 60; one sweep a second closes what is late.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass

HEAD_TIMEOUT_S = 5.0
BODY_TIMEOUT_S = 60.0
IDLE_TIMEOUT_S = 120.0
SWEEP_INTERVAL_S = 1.0
MAX_HEAD = 64 * 1024
MAX_BODY = 16 * 1024 * 1024
"""Bytes of one body; the application refuses well below this."""
MAX_BUFFERED = 256 * 1024 * 1024
"""Bytes of incomplete requests in all connections together; above, connections with a long body are closed."""
MAX_PIPELINED = 256 * 1024
"""Bytes that may wait behind a request in work before reading pauses."""


@dataclass(slots=True)
class Request:
    """One request, complete."""

    method: str
    target: str
    version: str
    headers: dict[str, str]
    """Lower-case names; the first of several values."""
    body: bytes


class Malformed(Exception):
    """The request breaks HTTP. The text is the status line's end and the body."""


class TooLarge(Exception):
    """The body is above the server's `max_body`. The argument is how many bytes are known of."""


class Connection(asyncio.Protocol):
    """One client."""

    __slots__ = (
        "_advancing",
        "_body_needed",
        "_buffer",
        "_busy",
        "_close",
        "_head",
        "_paused",
        "_server",
        "deadline",
        "transport",
    )

    def __init__(self, server: Server) -> None:
        self._server = server
        self.transport: asyncio.Transport | None = None
        self._buffer = bytearray()
        self._head: Request | None = None
        self._body_needed: int | None = None
        self._busy = False
        self._close = False
        self._advancing = False
        self._paused = False
        self.deadline: float | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """asyncio: the client is there."""
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self._server.connections.add(self)
        self.deadline = time.monotonic() + HEAD_TIMEOUT_S

    def connection_lost(self, error: Exception | None) -> None:
        """asyncio: the client has gone. What it submitted is stored all the same."""
        self._server.connections.discard(self)
        self._server.buffered -= len(self._buffer)
        self._buffer = bytearray()
        self.transport = None

    def data_received(self, data: bytes) -> None:
        """asyncio: bytes from the client."""
        if not self._buffer and not self._busy and self._head is None:
            self.deadline = time.monotonic() + HEAD_TIMEOUT_S
        self._buffer += data
        self._server.buffered += len(data)
        if self._busy:
            if len(self._buffer) > MAX_PIPELINED and self.transport is not None:
                self.transport.pause_reading()
            return
        self._advance()

    def eof_received(self) -> bool:
        """asyncio: the client sends no more; an answer that is on its way is still given."""
        if not self._busy:
            return False
        self._close = True
        return True

    def pause_writing(self) -> None:
        """asyncio: the client does not read; nothing more is made for it until it does."""
        self._paused = True

    def resume_writing(self) -> None:
        """asyncio: the client reads again."""
        self._paused = False
        self._advance()

    def _advance(self) -> None:
        if self._advancing:
            return  # the loop below goes on when the application returns
        self._advancing = True
        try:
            while not self._busy and not self._paused and self.transport is not None and self._step():
                pass
        except Malformed as error:
            self._fail(str(error))
        except TooLarge as error:
            self._write(self._server.too_large(error.args[0]))
            self.abandon()
        finally:
            self._advancing = False

    def _step(self) -> bool:
        """Takes one request from the buffer and starts it; False if it is not complete."""
        if self._head is None and not self._read_head():
            return False
        assert self._head is not None
        if self._body_needed is None:
            body = self._read_chunks()
            if body is None:
                return False
        else:
            if len(self._buffer) < self._body_needed:
                return False
            body = self._take(self._body_needed)
        request, self._head = self._head, None
        request.body = body
        self._busy = True
        self.deadline = None
        self._server.application(request, self)
        return True

    def _take(self, count: int) -> bytes:
        piece = bytes(self._buffer[:count])
        del self._buffer[:count]
        self._server.buffered -= count
        return piece

    def _read_head(self) -> bool:
        while self._buffer[:2] == b"\r\n":
            self._take(2)  # an empty line before a request is allowed
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            if len(self._buffer) > MAX_HEAD:
                raise Malformed("431 Request Header Fields Too Large")
            return False
        if end > MAX_HEAD:
            raise Malformed("431 Request Header Fields Too Large")
        head = parse_head(self._take(end + 4)[:-4])
        self._head = head
        self._body_needed = body_length(head)
        self._close = wants_close(head)
        if self._body_needed != 0:
            self.deadline = time.monotonic() + BODY_TIMEOUT_S
            if (self._body_needed or 0) > self._server.max_body:
                raise TooLarge(self._body_needed)
            if head.headers.get("expect", "").lower() == "100-continue":
                self._write(b"HTTP/1.1 100 Continue\r\n\r\n")
        return True

    def _read_chunks(self) -> bytes | None:
        """The body of a chunked request, None while it is incomplete (the buffer is left as it is)."""
        parts: list[bytes] = []
        at = total = 0
        while True:
            end = self._buffer.find(b"\r\n", at)
            if end < 0:
                break
            size_text = bytes(self._buffer[at:end]).split(b";")[0].strip()
            try:
                size = int(size_text, 16) if size_text and size_text[:1] not in b"+-" else -1
            except ValueError:
                size = -1
            total += size
            if size < 0:
                raise Malformed("400 Bad Request")
            if total > self._server.max_body:
                raise TooLarge(total)
            if size == 0:
                finish = end if self._buffer[end : end + 4] == b"\r\n\r\n" else -1
                if finish < 0:
                    finish = self._buffer.find(b"\r\n\r\n", end)  # trailers
                if finish < 0:
                    break
                self._take(finish + 4)
                return b"".join(parts)
            start = end + 2
            if len(self._buffer) < start + size + 2:
                break
            parts.append(bytes(self._buffer[start : start + size]))
            at = start + size + 2
        if len(self._buffer) > self._server.max_body + MAX_HEAD:
            raise TooLarge(len(self._buffer))
        return None

    def respond(self, response: bytes) -> None:
        """The answer to the request in work; then the next one, if the client sent it already."""
        self._busy = False
        if self.transport is None:
            return
        self._write(response)
        if self._close:
            self.transport.close()
            return
        self.deadline = time.monotonic() + (HEAD_TIMEOUT_S if self._buffer else IDLE_TIMEOUT_S)
        if self._buffer:
            self.transport.resume_reading()
            self._advance()

    @property
    def keeps_open(self) -> bool:
        """Whether the connection stays open after the request in work."""
        return not self._close

    def _write(self, data: bytes) -> None:
        if self.transport is not None:
            self.transport.write(data)

    def _fail(self, text: str) -> None:
        """Answers as Go's server does and closes."""
        self._write(
            f"HTTP/1.1 {text}\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\n{text}".encode()
        )
        self.abandon()

    def abandon(self) -> None:
        """Closes after what was written, dropped where the client does not take it; nothing more is read."""
        self.deadline = time.monotonic() + HEAD_TIMEOUT_S
        if self.transport is not None:
            self.transport.close()

    def drop(self) -> None:
        """Closes at once: what a client does not read is not kept for it."""
        if self.transport is not None:
            self.transport.abort()


Application = Callable[[Request, Connection], None]


class Server:
    """The connections of one listener, or of several with the same application."""

    def __init__(
        self, application: Application, too_large: Callable[[int], bytes], *, max_body: int = MAX_BODY
    ) -> None:
        self.application = application
        self.max_body = max_body
        self.too_large = too_large
        """The whole response to a body that is not even read."""
        self.connections: set[Connection] = set()
        self.buffered = 0
        self._sweeper: asyncio.TimerHandle | None = None

    def protocol(self) -> Connection:
        """For loop.create_server."""
        if self._sweeper is None:
            self._sweeper = asyncio.get_running_loop().call_later(SWEEP_INTERVAL_S, self._sweep)
        return Connection(self)

    def _sweep(self) -> None:
        now = time.monotonic()
        crowded = self.buffered > MAX_BUFFERED
        for connection in list(self.connections):
            late = connection.deadline is not None and connection.deadline < now
            if late or (crowded and connection.deadline is not None):
                connection.drop()
        self._sweeper = asyncio.get_running_loop().call_later(SWEEP_INTERVAL_S, self._sweep)

    def close(self) -> None:
        """Closes every connection that is waiting for a request."""
        if self._sweeper is not None:
            self._sweeper.cancel()
        for connection in list(self.connections):
            connection.abandon()


def parse_head(head: bytes) -> Request:
    """Request line and headers. Raises Malformed with the texts of Go's server."""
    try:
        lines = head.decode("latin-1").split("\r\n")
        method, target, version = lines[0].split(" ")
    except ValueError:
        raise Malformed("400 Bad Request") from None
    if not method or not all(c.isalnum() or c in "!#$%&'*+-.^_`|~" for c in method):
        raise Malformed("400 Bad Request")
    if not (len(version) == 8 and version.startswith("HTTP/") and version[5].isdigit() and version[6] == "."):
        raise Malformed("400 Bad Request")
    if version not in ("HTTP/1.1", "HTTP/1.0"):
        raise Malformed("505 HTTP Version Not Supported: unsupported protocol version")
    headers: dict[str, str] = {}
    for line in lines[1:]:
        name, colon, value = line.partition(":")
        if not colon or not name or name != name.strip():
            raise Malformed("400 Bad Request")
        headers.setdefault(name.lower(), value.strip())
    if version == "HTTP/1.1" and "host" not in headers:
        raise Malformed("400 Bad Request: missing required Host header")
    if not target.startswith("/") and not (target == "*" and method == "OPTIONS"):
        raise Malformed("400 Bad Request")
    return Request(method, target, version, headers, b"")


def body_length(head: Request) -> int | None:
    """Bytes of the body; None for a chunked one. Raises Malformed."""
    coding = head.headers.get("transfer-encoding")
    if coding is not None:
        if coding.lower() != "chunked":
            raise Malformed("501 Not Implemented: unsupported transfer encoding")
        return None
    length = head.headers.get("content-length")
    if length is None:
        return 0
    if not (length.isascii() and length.isdigit()) or len(length) > 18:
        raise Malformed("400 Bad Request")
    return int(length)


def wants_close(head: Request) -> bool:
    """Whether the connection ends after this request."""
    words = [word.strip().lower() for word in head.headers.get("connection", "").split(",")]
    return "close" in words or (head.version == "HTTP/1.0" and "keep-alive" not in words)
