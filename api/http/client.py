"""One HTTP client for everything that asks others: deadlines, bounded answers, redirects, on aiohttp.

`HttpClient` is for code in an event loop; `fetch` is for threads and commands. An answer that is shorter than it says,
or is cut off before its end, is never taken for a whole one. What a server says is for people only after
`api.edge.text.escaped`.
"""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from api.edge.text import escaped, shown
from api.http.status import words

if TYPE_CHECKING:
    import aiohttp  # loaded by the first request: a program that serves clients lets them in before

MAX_ANSWER = 64 << 20
"""Bytes of one answer; a proof with a million members has 45 MB."""
CONNECT_S = 10.0
SILENCE_S = 30.0
"""Between two pieces of an answer."""
TOTAL_S = 300.0
"""For one request with all its redirects."""
MAX_REDIRECTS = 10


class Unreachable(Exception):
    """No answer came; `retryable` says whether another try makes sense."""

    def __init__(self, message: str, *, retryable: bool = True) -> None:
        super().__init__(message)
        self.retryable = retryable


@dataclass(frozen=True, slots=True)
class Answer:
    """A response, whole."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    """Lower-case names."""

    @property
    def reason(self) -> str:
        """The status with its usual words."""
        return f"{self.status} {words(self.status)}"


@dataclass(frozen=True, slots=True)
class ClientLimits:
    """Deadlines in seconds, and the largest answer in bytes."""

    connect_s: float = CONNECT_S
    silence_s: float = SILENCE_S
    total_s: float = TOTAL_S
    answer_bytes: int = MAX_ANSWER


DEFAULT_LIMITS = ClientLimits()


class HttpClient:
    """Requests, each on a connection of its own."""

    def __init__(
        self,
        limits: ClientLimits = DEFAULT_LIMITS,
        headers: Mapping[str, str] | None = None,
        *,
        proxies: bool = False,
    ) -> None:
        """headers: sent with every request; proxies: whether those that the environment names are used."""
        self._limits, self._proxies = limits, proxies
        self._headers = dict(headers or {})

    async def send(self, method: str, url: str, body: bytes = b"") -> Answer:
        """One request; redirects are followed. Raises Unreachable."""
        import aiohttp

        check_url(url)
        limits = self._limits
        timeout = aiohttp.ClientTimeout(total=limits.total_s, sock_connect=limits.connect_s, sock_read=limits.silence_s)
        kind = {"Content-Type": "application/json"} if body else {}
        try:
            async with (
                aiohttp.ClientSession(
                    timeout=timeout,
                    trust_env=self._proxies,
                    auto_decompress=False,
                    connector=aiohttp.TCPConnector(force_close=True),
                    cookie_jar=aiohttp.DummyCookieJar(),
                    skip_auto_headers=("User-Agent", "Accept-Encoding"),
                    max_line_size=8190,
                    max_field_size=8190,
                ) as session,
                session.request(
                    method,
                    url,
                    data=body or None,
                    headers={**kind, **self._headers},
                    max_redirects=MAX_REDIRECTS,
                ) as response,
            ):
                return Answer(
                    response.status,
                    await self._read(url, response),
                    {name.lower(): value for name, value in response.headers.items()},
                )
        except aiohttp.TooManyRedirects:
            raise Unreachable(f"{url}: stopped after {MAX_REDIRECTS} redirects", retryable=False) from None
        except aiohttp.InvalidURL:  # of a redirect
            raise Unreachable(f"{url}: it redirects to what is no address", retryable=False) from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise Unreachable(f"{url}: {cause(error, limits)}", retryable=not _is_certificate(error)) from None

    async def _read(self, url: str, response: aiohttp.ClientResponse) -> bytes:
        """The body, bounded. Where it ends with the connection it is whole when the connection ended well."""
        most = self._limits.answer_bytes
        if (response.content_length or 0) > most:
            raise Unreachable(f"{url}: an answer of {response.content_length} bytes is above {most}", retryable=False)
        pieces = bytearray()
        async for piece in response.content.iter_any():
            pieces += piece
            if len(pieces) > most:
                raise Unreachable(f"{url}: its answer is above {most} bytes", retryable=False)
        return bytes(pieces)


def check_url(url: str) -> None:
    """Raises Unreachable for what is no address of a server."""
    try:
        parts = urlsplit(url)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        scheme = parts.scheme
    except ValueError as error:
        raise Unreachable(f"{escaped(url)}: {error}", retryable=False) from None
    if not good:
        raise Unreachable(f"{escaped(url)}: unsupported protocol scheme {shown(scheme)}", retryable=False)


def fetch(
    method: str,
    url: str,
    body: bytes = b"",
    *,
    limits: ClientLimits = DEFAULT_LIMITS,
    headers: Mapping[str, str] | None = None,
) -> Answer:
    """One request from a thread that has no event loop, through the environment's proxies. Raises Unreachable."""
    return asyncio.run(HttpClient(limits, headers, proxies=True).send(method, url, body))


def cause(error: BaseException, limits: ClientLimits) -> str:
    """What kept an answer from coming, in words."""
    import aiohttp

    if isinstance(error, TimeoutError):  # aiohttp's are too
        return f"no answer in {limits.silence_s:.0f} s"
    if isinstance(error, aiohttp.ClientConnectorError):
        error = error.os_error
    if isinstance(error, ssl.SSLError):
        return str(error.reason or error)
    if isinstance(error, (aiohttp.ClientPayloadError, aiohttp.ServerDisconnectedError)):
        return "it closed the connection before the end of its answer"
    if isinstance(error, aiohttp.ClientResponseError):
        return f"its answer is not HTTP ({escaped(error.message)})"
    if isinstance(error, OSError) and error.strerror:
        # the loop's own words ("Connect call failed ('::1', 80, 0, 0)") do not say why
        number = error.errno or 0
        return os.strerror(number) if number > 0 else escaped(error.strerror)
    return escaped(error) or type(error).__name__


def _is_certificate(error: BaseException) -> bool:
    """Whether the server's certificate was refused: another try meets the same."""
    import aiohttp

    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return True
    inner = getattr(error, "os_error", None)
    return isinstance(error, ssl.SSLCertVerificationError) or isinstance(inner, ssl.SSLCertVerificationError)
