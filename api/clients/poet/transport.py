"""One HTTP request at a time on asyncio streams, and when a failed one is tried again.

The two retry policies of the network are data. Specified in protocol 02-poet-client, section 3.
"""

from __future__ import annotations

import asyncio
import random
import ssl
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from urllib.parse import urljoin, urlsplit

from api.clients.poet.errors import GivingUp, PoetClientError, Unreachable

MAX_REDIRECTS = 10
MAX_ANSWER = 64 << 20
"""Bytes of one answer; a proof with a million members has 45 MB."""
REDIRECTS = (301, 302, 303, 307, 308)


@dataclass(frozen=True, slots=True)
class Answer:
    """A response."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    """Lower-case names."""

    @property
    def reason(self) -> str:
        """The status with its usual words."""
        try:
            return f"{self.status} {HTTPStatus(self.status).phrase}"
        except ValueError:
            return f"{self.status} status code {self.status}"


Send = Callable[[str, str, bytes], Awaitable[Answer]]
"""(method, url, body) -> response; raises Unreachable."""


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """When to try again and how long to wait before."""

    retries: int | None
    """After the first try; None: until the caller's time is up."""
    wait_s: Callable[[int], float]
    """Before retry i, counted from 0."""
    also: frozenset[int] = frozenset()
    """Statuses that are tried again beside those that always are."""

    def tries_again(self, status: int) -> bool:
        """The default policy and what was added to it."""
        return status in self.also or status == 429 or status == 0 or (status >= 500 and status != 501)


def general_policy(retry_delay_s: float, retry_max: int) -> RetryPolicy:
    """For info, parameters and proofs: a linear back-off; a missing proof is polled for."""
    return RetryPolicy(
        retry_max, lambda i: (i + 1) * random.uniform(retry_delay_s, 2 * retry_delay_s), frozenset({404})
    )


def submit_policy(retry_delay_s: float) -> RetryPolicy:
    """For registrations: without end, at even intervals."""
    return RetryPolicy(None, lambda i: random.uniform(retry_delay_s, 2 * retry_delay_s))


def exponential_policy(retry_delay_s: float, max_delay_s: float, retries: int) -> RetryPolicy:
    """For certifiers."""
    return RetryPolicy(retries, lambda i: min(max_delay_s, retry_delay_s * 2.0**i))


async def request(
    send: Send, policy: RetryPolicy, method: str, url: str, body: bytes, *, honour_retry_after: bool = False
) -> Answer:
    """One request, tried again as the policy says. Raises GivingUp, PoetClientError."""
    attempt = 0
    while True:
        wait = policy.wait_s(attempt)
        try:
            answer = await send(method, url, body)
            if not policy.tries_again(answer.status):
                return answer
            cause = answer.reason
            if honour_retry_after and answer.status in (429, 503):
                wait = _retry_after(answer, wait)
        except Unreachable as error:
            if not error.retryable:
                raise
            cause = str(error)
        attempt += 1
        if policy.retries is not None and attempt > policy.retries:
            raise GivingUp(f"{method} {url} giving up after {attempt} attempt(s): {cause}")
        await asyncio.sleep(wait)


def _retry_after(answer: Answer, otherwise: float) -> float:
    text = answer.headers.get("retry-after", "")
    return float(text) if text.isascii() and text.isdigit() else otherwise


async def send_http(method: str, url: str, body: bytes) -> Answer:
    """Sends one request on a connection of its own and follows redirects. Raises Unreachable."""
    for _ in range(MAX_REDIRECTS + 1):
        answer = await _send_once(method, url, body)
        location = answer.headers.get("location")
        if answer.status not in REDIRECTS or not location:
            return answer
        url = urljoin(url, location)
        if answer.status in (301, 302, 303) and method != "GET":
            method, body = "GET", b""
    raise Unreachable(f"{url}: stopped after {MAX_REDIRECTS} redirects", retryable=False)


async def _send_once(method: str, url: str, body: bytes) -> Answer:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise Unreachable(f"{url}: {error}", retryable=False) from None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise Unreachable(f"{url}: unsupported protocol scheme {parts.scheme!r}", retryable=False)
    secure = ssl.create_default_context() if parts.scheme == "https" else None
    try:
        reader, writer = await asyncio.open_connection(
            parts.hostname, port or (443 if secure else 80), ssl=secure, limit=MAX_ANSWER
        )
    except ssl.SSLCertVerificationError as error:
        raise Unreachable(f"{url}: {error}", retryable=False) from None
    except OSError as error:
        raise Unreachable(f"{url}: {error.strerror or error}") from None
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    head = (
        f"{method} {target} HTTP/1.1\r\nHost: {parts.netloc.rpartition('@')[2]}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    )
    try:
        writer.write(head.encode() + body)
        await writer.drain()
        return await _read_answer(reader, url)
    except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError) as error:
        raise Unreachable(f"{url}: {error}") from None
    finally:
        writer.close()


async def _read_answer(reader: asyncio.StreamReader, url: str) -> Answer:
    while True:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        first, *lines = head[:-4].split("\r\n")
        words = first.split(" ", 2)
        if len(words) < 2 or not words[0].startswith("HTTP/1.") or not words[1].isdigit():
            raise Unreachable(f"{url}: the answer {first[:100]!r} is not HTTP")
        status = int(words[1])
        if status >= 200:
            break
    headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    if headers.get("transfer-encoding", "").lower() == "chunked":
        return Answer(status, await _read_chunks(reader), headers)
    length = headers.get("content-length", "")
    if length.isascii() and length.isdigit():
        if int(length) > MAX_ANSWER:
            raise Unreachable(f"{url}: an answer of {length} bytes is above {MAX_ANSWER}", retryable=False)
        return Answer(status, await reader.readexactly(int(length)), headers)
    return Answer(status, await reader.read(MAX_ANSWER), headers)


async def _read_chunks(reader: asyncio.StreamReader) -> bytes:
    parts: list[bytes] = []
    total = 0
    while True:
        line = (await reader.readuntil(b"\r\n")).split(b";")[0].strip()
        try:
            size = int(line, 16)
        except ValueError:
            raise PoetClientError(f"the size of a chunk is {line!r}", "bad_body") from None
        total += size
        if size < 0 or total > MAX_ANSWER:
            raise PoetClientError(f"the answer is above {MAX_ANSWER} bytes", "bad_body")
        if size == 0:
            while (await reader.readuntil(b"\r\n")) != b"\r\n":
                pass
            return b"".join(parts)
        parts.append(await reader.readexactly(size))
        await reader.readexactly(2)
