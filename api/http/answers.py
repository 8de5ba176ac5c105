"""Responses with the headers, their order and their texts as the network's small services send them.

Names are in lower case and `date` comes last. An answer without a kind of content has a length only. Recorded in
the vectors of protocol 01-post-tools, sections 4.3 and 5.
"""

from __future__ import annotations

import time
from email.utils import formatdate
from http import HTTPStatus

from api.services.poet.http1 import Connection, Request

TEXT = "text/plain; charset=utf-8"
JSON = "application/json"


def answer(
    request: Request, connection: Connection, status: int, body: bytes = b"", *, kind: str = "", allow: str = ""
) -> None:
    """Answers a request; a HEAD gets the head of what a GET would get."""
    content = b"" if request.method == "HEAD" else body
    connection.respond(head(status, len(body), kind=kind, allow=allow, keeps_open=connection.keeps_open) + content)


def head(status: int, length: int, *, kind: str = "", allow: str = "", keeps_open: bool = True) -> bytes:
    """Status line and headers."""
    length_line, close = f"content-length: {length}", [] if keeps_open else ["connection: close"]
    lines = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}"]
    if kind:
        lines += [f"content-type: {kind}", length_line, *close]
    else:
        lines += [*([f"allow: {allow}"] if allow else []), *close, length_line]
    lines.append(f"date: {formatdate(time.time(), usegmt=True)}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def too_large(size: int) -> bytes:
    """The whole answer to a body that is not read."""
    text = b"Failed to buffer the request body: length limit exceeded"
    return head(413, len(text), kind=TEXT, keeps_open=False) + text
