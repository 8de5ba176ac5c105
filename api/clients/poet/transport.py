"""When a request that failed is tried again, and how it is sent.

The two retry policies of the network are data. Specified in protocol 02-poet-client, section 3.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from api.clients.poet.errors import GivingUp, Unreachable
from api.http import client as http_client
from api.http.client import Answer, HttpClient

CLIENT = HttpClient()
MOST_RETRY_AFTER_S = 3600.0
"""What a server may ask us to wait."""

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
    if text.isascii() and text.isdigit() and len(text) <= 9:
        return min(float(text), MOST_RETRY_AFTER_S)
    return otherwise


async def send_http(method: str, url: str, body: bytes) -> Answer:
    """Sends one request and follows redirects. Raises Unreachable."""
    try:
        return await CLIENT.send(method, url, body)
    except http_client.Unreachable as error:
        raise Unreachable(str(error), retryable=error.retryable) from None
