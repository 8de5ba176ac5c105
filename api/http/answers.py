"""What handlers return: a response with exactly the headers that it names.

The library adds a date, a length and `Connection` where they are missing; its own name is left out.
"""

from __future__ import annotations

from collections.abc import Mapping

from aiohttp import hdrs, web

TEXT = "text/plain; charset=utf-8"
JSON = "application/json"
HTML = "text/html; charset=utf-8"

PIECE = 64 << 10
"""Bytes of a long body that are written at once."""


class Answer(web.Response):
    """A complete response. `headers` come in their order; `kind` is put before them as Content-Type."""

    def __init__(
        self,
        status: int,
        body: bytes = b"",
        *,
        kind: str = "",
        headers: Mapping[str, str] | None = None,
        reason: str | None = None,
    ) -> None:
        named: dict[str, str] = {hdrs.CONTENT_TYPE: kind} if kind else {}
        super().__init__(status=status, body=body, headers={**named, **(headers or {})}, reason=reason)

    @property
    def content(self) -> bytes:
        """The body."""
        return self.body if isinstance(self.body, bytes) else b""


class Request(web.BaseRequest):
    """A request; what the handler gets."""

    async def _prepare_hook(self, response: web.StreamResponse) -> None:
        """aiohttp: the headers are complete, and not sent yet."""
        response.headers.popall(hdrs.SERVER, None)

    @property
    def target(self) -> str:
        """Path and query as they came, also where a client names the whole address as if to a proxy."""
        raw = self.raw_path
        if raw[:1] == "/" or "://" not in raw:
            return raw
        return "/" + raw.partition("://")[2].partition("/")[2]

    @property
    def route(self) -> str:
        """The path as it came, percent-encoded."""
        return self.target.partition("?")[0]


def not_found() -> Answer:
    """An empty 404."""
    return Answer(404)


def wrong_method(*allowed: str) -> Answer:
    """An empty 405 that names what is allowed."""
    return Answer(405, headers={hdrs.ALLOW: ",".join(allowed)})


def text(status: int, words: str) -> Answer:
    """Plain text."""
    return Answer(status, words.encode(), kind=TEXT)
