"""The k2pow service over HTTP: paths, statuses, headers and bodies of the reference's.

`GET /` says that it lives; `GET /job/{miner}/{group}/{challenge}/{difficulty}` starts a search or tells how it
stands. Specified in protocol 01-post-tools, section 5.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass

from api.edge import listen
from api.edge.listen import Address
from api.http.answers import TEXT, answer, too_large
from api.services.k2pow.jobs import BadJob, Job, JobManager, Outcome, Start, parse_job
from api.services.k2pow.worker import RandomX, Searcher, Worker
from api.services.poet.http1 import Connection, Request, Server

log = logging.getLogger("k2pow-service")

ROOT_BODY = b"{ 'message': 'ok' }"
METHODS = "GET,HEAD"


class HttpApi:
    """The application behind a `Server`. `worker` makes the searcher from the function that takes outcomes."""

    def __init__(
        self,
        worker: Callable[[Callable[[Job, Outcome], None]], Searcher],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.jobs = JobManager()
        self.server = Server(self.handle, too_large)
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        self.searcher = worker(self._emit)

    def handle(self, request: Request, connection: Connection) -> None:
        """Answers one request, at once."""
        path = request.target.partition("?")[0]
        segments = path.split("/")
        is_job = len(segments) == 6 and segments[1] == "job" and all(segments[2:])
        if path != "/" and not is_job:
            answer(request, connection, 404)
        elif request.method not in ("GET", "HEAD"):
            answer(request, connection, 405, allow=METHODS)
        elif not is_job:
            answer(request, connection, 200, ROOT_BODY, kind=TEXT)
        else:
            self._job(request, connection, segments[2:])

    def close(self) -> None:
        """Ends the search and the connections soon."""
        self.searcher.close()
        self.server.close()

    def _job(self, request: Request, connection: Connection, segments: list[str]) -> None:
        try:
            job = parse_job(segments)
        except BadJob as error:
            answer(request, connection, 400, str(error).encode(), kind=TEXT)
            return
        reply = self.jobs.ask(job, self._clock())
        for effect in reply.effects:
            if isinstance(effect, Start):
                self.searcher.start(effect.job)
            else:
                log.info("nobody asks any more for: %s", effect.job)
                self.searcher.stop(effect.job)
        answer(request, connection, reply.status, reply.body.encode(), kind=TEXT)

    def _emit(self, job: Job, outcome: Outcome) -> None:
        """From the worker's thread."""
        try:
            self._loop.call_soon_threadsafe(self._finished, job, outcome)
        except RuntimeError:
            return  # the loop has ended; nobody can ask any more

    def _finished(self, job: Job, outcome: Outcome) -> None:
        self.jobs.finished(job, outcome, self._clock())


@dataclass(frozen=True, slots=True)
class Config:
    """How a service is run."""

    address: Address
    threads: int
    mode: str | None
    """fast, light, or None: fast where it fits."""
    large_pages: bool = False


async def serve(config: Config, listener: socket.socket, ready: Callable[[int], None]) -> int:
    """Serves until SIGINT or SIGTERM; returns the signal."""
    stopping = listen.stop_signal()
    source = RandomX(config.mode, config.threads, large_pages=config.large_pages)
    api = HttpApi(lambda emit: Worker(source, config.threads, emit))
    try:
        server = await asyncio.get_running_loop().create_server(
            api.server.protocol, sock=listener, backlog=listen.BACKLOG
        )
        log.info("serving on port %d with %d threads", listen.port_of(listener), config.threads)
        ready(listen.port_of(listener))
        number = await stopping
        log.info("stopping")
        server.close()
    finally:
        api.close()
    await asyncio.sleep(0)
    return number


def run(config: Config, ready: Callable[[int], None] = lambda port: None) -> int:
    """Serves until told to stop; returns the exit code. Raises ProofError, KernelError for what keeps it from starting.

    `ready` is called with the port once clients are let in.
    """
    listen.set_up_logging("k2pow-service")
    listener = listen.bind(config.address, "--bind-address")
    try:
        RandomX(config.mode, config.threads).check()
        return listen.serve(lambda: serve(config, listener, ready))
    finally:
        listener.close()
