"""Request bodies, whole and bounded: by the server's limit for one, and by its budget for all of them together."""

from __future__ import annotations

import asyncio

from api.http.answers import Request
from api.http.connection import Connection
from api.http.limits import SMALL_BODY, Limits

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class TooLarge(Exception):
    """A body is above the limit; it was not read."""

    def __init__(self, size: int) -> None:
        super().__init__(f"a body of {size} bytes or more")
        self.size = size
        """Bytes that are known of."""


class Crowded(Exception):
    """All clients together send more than the server holds at once."""


async def read_body(request: Request, connection: Connection, limits: Limits) -> bytes:
    """The body of a request.

    Raises TooLarge, Crowded, and aiohttp's RequestPayloadError for a body that is cut off or malformed. A client that
    is slower than the server's deadline is dropped.
    """
    most = limits.body_bytes
    announced = request.content_length
    if announced is not None and announced > most:
        raise TooLarge(announced)
    if not request.body_exists:
        return b""
    if "expect" in request.headers and request.headers["expect"].lower() == "100-continue":
        await request.writer.write(CONTINUE)
        request.writer.output_size = 0  # it was no answer
    content = request.content
    first = content.read_nowait() if content.is_eof() else b""
    if content.at_eof() and len(first) <= min(most, SMALL_BODY):
        return first  # it came with its head, as nearly all do
    connection.due_in(limits.body_s)
    body, counted = bytearray(first), 0
    try:
        while True:
            if len(body) > most:
                raise TooLarge(len(body))
            if len(body) > SMALL_BODY:
                if not connection.hold(len(body) - counted):
                    raise Crowded
                counted = len(body)
            piece = await content.readany()
            if not piece:
                return bytes(body)
            body += piece
            await asyncio.sleep(0)  # what has come already is taken without a pause: others come first
    finally:
        connection.deadline = None
