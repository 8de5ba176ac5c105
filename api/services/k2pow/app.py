"""The k2pow service over HTTP: paths, statuses, headers and bodies of the reference's.

`GET /` says that it lives; `GET /job/{miner}/{group}/{challenge}/{difficulty}` starts a search or tells how it stands.
A GET that costs hours is no matter for web pages: what a browser sends on their behalf is refused. Where the service
listens for other machines, a token says who may ask. Specified in protocol 01-post-tools, section 5.
"""

from __future__ import annotations

import asyncio
import hmac
import ipaddress
import logging
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from api.edge import listen
from api.edge import logging as edge_logging
from api.edge.listen import Address
from api.http import answers
from api.http.answers import TEXT, Answer, Request
from api.http.limits import Limits
from api.http.server import HttpServer
from api.services.k2pow.jobs import BadJob, Job, JobManager, Outcome, Start, parse_job
from api.services.k2pow.worker import RandomX, Searcher, Worker

log = logging.getLogger("k2pow-service")

ROOT_BODY = b"{ 'message': 'ok' }"
METHODS = ("GET", "HEAD")
BROWSER_HEADERS = ("origin", "sec-fetch-site")
"""What a browser adds when a page asks."""
LIMITS = Limits(body_bytes=4096, buffered_bytes=8 << 20, connections=512)


class HttpApi:
    """The application. `worker` makes the searcher from the function that takes outcomes. Made inside a running
    loop."""

    def __init__(
        self,
        worker: Callable[[Callable[[Job, Outcome], None]], Searcher],
        *,
        token: str = "",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """token: what clients have to know; empty for none."""
        self.jobs = JobManager()
        self.server = HttpServer(self.handle, LIMITS, log=log)
        self._token = token.encode()
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        self.searcher = worker(self._emit)

    async def handle(self, request: Request) -> Answer:
        """Answers one request, at once."""
        path = request.route
        segments = path.split("/")
        is_job = len(segments) == 6 and segments[1] == "job" and all(segments[2:])
        if path != "/" and not is_job:
            return answers.not_found()
        if request.method not in METHODS:
            return answers.wrong_method(*METHODS)
        if not is_job:
            return Answer(200, ROOT_BODY, kind=TEXT)
        return self._refusal(request) or self._job(segments[2:], self.server.connection_of(request).peer)

    def _refusal(self, request: Request) -> Answer | None:
        if any(header in request.headers for header in BROWSER_HEADERS):
            return answers.text(403, "A web page may not ask for proofs of work.")
        if self._token and not hmac.compare_digest(_bearer(request), self._token):
            return answers.text(401, "The token is missing or wrong: send Authorization: Bearer TOKEN.")
        return None

    def close(self) -> None:
        """Ends the search soon."""
        self.searcher.close()

    def _job(self, segments: list[str], client: str) -> Answer:
        try:
            job = parse_job(segments)
        except BadJob as error:
            return answers.text(400, str(error))
        reply = self.jobs.ask(job, self._clock(), client)
        for effect in reply.effects:
            if isinstance(effect, Start):
                self.searcher.start(effect.job)
            else:
                log.info("rests, for others wait or nobody asks any more: %s", effect.job)
                self.searcher.stop(effect.job)
        return Answer(reply.status, reply.body.encode(), kind=TEXT)

    def _emit(self, job: Job, outcome: Outcome) -> None:
        """From the worker's thread."""
        try:
            self._loop.call_soon_threadsafe(self._finished, job, outcome)
        except RuntimeError:
            return  # the loop has ended; nobody can ask any more

    def _finished(self, job: Job, outcome: Outcome) -> None:
        self.jobs.finished(job, outcome, self._clock())


def _bearer(request: Request) -> bytes:
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    return token.strip().encode("utf-8", "surrogateescape") if scheme.lower() == "bearer" else b""


@dataclass(frozen=True, slots=True)
class Config:
    """How a service is run."""

    address: Address
    threads: int
    mode: str | None
    """fast, light, or None: fast where it fits."""
    large_pages: bool = False
    token: str = field(default="", repr=False)
    """What clients have to know; empty for none."""


async def serve(config: Config, listener: socket.socket, ready: Callable[[int], None]) -> int:
    """Serves until SIGINT or SIGTERM; returns the signal."""
    stopping = listen.stop_signal()
    source = RandomX(config.mode, config.threads, large_pages=config.large_pages)
    api = HttpApi(lambda emit: Worker(source, config.threads, emit), token=config.token)
    try:
        port = await api.server.listen([listener])
        log.info("serving on %s, port %d, with %d threads", config.address.host, port, config.threads)
        if not config.token and not is_loopback(config.address.host):
            log.warning(
                "whoever reaches %s can have proofs of work searched here; --token-file keeps others out",
                config.address,
            )
        ready(port)
        number = await stopping
        log.info("stopping")
    finally:
        api.close()
        await api.server.stop(1.0)
    return number


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches an address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def run(config: Config, ready: Callable[[int], None] = lambda port: None) -> int:
    """Serves until told to stop; returns the exit code.

    Raises Failure, ProofError, KernelError for what keeps it from starting. `ready` is called with the
    port once clients are let in.
    """
    edge_logging.set_up("k2pow-service")
    listener = listen.bind(config.address, "--bind-address")
    try:
        RandomX(config.mode, config.threads, large_pages=config.large_pages).check()
        return listen.serve(lambda: serve(config, listener, ready))
    finally:
        listener.close()
