"""The certifier over HTTP: `POST /certify`, a bounded queue before the verification, and metrics.

Who comes when the queue is full is told so at once (429); a certifier that is still preparing RandomX already takes
requests. Statuses and bodies are the reference's. Specified in protocol 01-post-tools, section 6.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

from api.edge import listen
from api.edge import logging as edge_logging
from api.edge.errors import EnvironmentFault
from api.edge.metrics import PLAIN
from api.http.answers import JSON, Answer, Request, not_found, text, wrong_method
from api.http.bodies import TooLarge
from api.http.bounded_json import parsed
from api.http.connection import Connection
from api.http.limits import Limits as HttpLimits
from api.http.server import HttpServer
from api.services.certifier.certify import Certifier, NotARequest, NotJson, Verifier, read_request
from api.services.certifier.config import Config, Limits
from api.services.certifier.metrics import Metrics
from kernels.devices.types import Stopped
from kernels.errors import KernelError, MemoryShortage
from protocol.post.proof import Proof, ProofMetadata

log = logging.getLogger("certifier")

PATH = "/certify"
TAKEN_BODY = 64 * 1024
"""Bytes of a body that are read before it is refused, where the limit is below: a client that is cut off while it
sends does not see why."""

BUFFERED = 16 << 20
TOO_LARGE = "Failed to buffer the request body: length limit exceeded"
DRAIN_S = 1.0


class Checks(Protocol):
    """What the service needs of a verifier."""

    def refusal(self, proof: Proof, metadata: ProofMetadata) -> str | None:
        """Why a proof is not valid; None when it is."""


@dataclass(frozen=True, slots=True)
class _Waiting:
    """A request with a proof to check."""

    connection: Connection
    answered: asyncio.Future[Answer]
    proof: Proof
    metadata: ProofMetadata


class HttpApi:
    """The application. Nothing is checked before `open`. Made inside a running loop."""

    def __init__(self, certifier: Certifier, verifier: Checks, limits: Limits) -> None:
        bounds = HttpLimits(body_bytes=max(limits.max_body_size, TAKEN_BODY), buffered_bytes=BUFFERED)
        self.server = HttpServer(self.handle, bounds, log=log, too_large=lambda size: text(413, TOO_LARGE))
        self.metrics = Metrics()
        self._certifier, self._verifier, self._limits = certifier, verifier, limits
        self._loop = asyncio.get_running_loop()
        self._threads = ThreadPoolExecutor(limits.max_concurrent_requests, "certify")
        self._queue: deque[_Waiting] = deque()
        self._running = 0
        self._open = False

    def open(self) -> None:
        """The verifier is ready: begins with what waits."""
        self._open = True
        self._pump()

    async def drain(self) -> None:
        """Drops what waits; what is being checked has a second to be answered."""
        self._open = False
        self._drop_queue()
        until = time.monotonic() + DRAIN_S
        while self._running and time.monotonic() < until:
            await asyncio.sleep(0.01)

    def _drop_queue(self) -> None:
        for one in self._queue:
            one.connection.drop()
            one.answered.cancel()
        self._queue.clear()

    def close(self) -> None:
        """Ends the threads."""
        self._open = False
        self._drop_queue()
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def handle(self, request: Request) -> Answer:
        """Answers one request, where it has a proof to check once that is done."""
        began = time.monotonic()
        endpoint = PATH if request.route == PATH else ""
        answer = await self._answer(request)
        self.metrics.count(request.method, endpoint, answer.status, time.monotonic() - began)
        return answer

    async def _answer(self, request: Request) -> Answer:
        if request.route != PATH:
            return not_found()
        if request.method != "POST":
            return wrong_method("POST")
        if len(self._queue) >= self._limits.max_pending_requests:
            return Answer(429)
        if not _is_json(request.headers.get("content-type", "")):
            return text(415, "Expected request with `Content-Type: application/json`")
        try:
            body = await self.server.body(request)
        except TooLarge:
            answer = text(413, TOO_LARGE)
            answer.force_close()
            return answer
        if len(body) > self._limits.max_body_size:
            return text(413, TOO_LARGE)
        try:
            proof, metadata = await parsed(read_request, body)
        except NotJson as error:
            return text(400, f"Failed to parse the request body as JSON: {error}")
        except NotARequest as error:
            return text(422, f"Failed to deserialize the JSON body into the target type: {error}")
        if len(self._queue) >= self._limits.max_pending_requests:  # others came while the body did
            return Answer(429)
        waiting = _Waiting(self.server.connection_of(request), self._loop.create_future(), proof, metadata)
        self.metrics.pending.inc()
        self._queue.append(waiting)
        self._pump()
        return await waiting.answered

    def _pump(self) -> None:
        """Gives the threads what they can take."""
        while self._open and self._queue and self._running < self._limits.max_concurrent_requests:
            one = self._queue.popleft()
            if one.connection.transport is None:
                self.metrics.pending.dec()  # the client has gone
                one.answered.cancel()
                continue
            self._running += 1
            checked = self._loop.run_in_executor(self._threads, self._verifier.refusal, one.proof, one.metadata)
            checked.add_done_callback(partial(self._checked, one))

    def _checked(self, one: _Waiting, future: asyncio.Future[str | None]) -> None:
        self._running -= 1
        self.metrics.pending.dec()
        if not one.answered.done():
            one.answered.set_result(self._verdict(one.metadata.node_id, future))
        self._pump()

    def _verdict(self, node_id: bytes, future: asyncio.Future[str | None]) -> Answer:
        error = None if future.cancelled() else future.exception()
        if future.cancelled() or isinstance(error, Stopped):
            return Answer(500)
        if error is not None:
            log.error("the proof of %s could not be checked: %s", node_id.hex(), error, exc_info=not _known(error))
            return text(500, "error verifying proof")
        if (refusal := future.result()) is not None:
            log.info("refused %s: %s", node_id.hex(), refusal)
            return text(403, f"invalid proof: {refusal}")
        log.info("certified %s", node_id.hex())
        return Answer(200, self._certifier.certify(node_id).to_json(), kind=JSON)


def _is_json(kind: str) -> bool:
    """application/json, or a kind that is written in JSON."""
    name = kind.partition(";")[0].strip().lower()
    return name == "application/json" or (name.startswith("application/") and name.endswith("+json"))


def _known(error: BaseException) -> bool:
    return isinstance(error, (KernelError, OSError, MemoryError))


def exposition(metrics: Metrics) -> HttpServer:
    """The listener for Prometheus. Made inside a running loop."""

    async def handle(request: Request) -> Answer:
        if request.route != "/metrics":
            return not_found()
        if request.method not in ("GET", "HEAD"):
            return wrong_method("GET", "HEAD")
        return Answer(200, metrics.text(), kind=PLAIN)

    return HttpServer(handle, log=log)


@dataclass(frozen=True, slots=True)
class Ready:
    """What a certifier that lets clients in can tell."""

    port: int
    metrics_port: int | None
    public_key: bytes


async def serve(
    config: Config, listeners: list[socket.socket], verifier: Verifier, ready: Callable[[Ready], None]
) -> int:
    """Serves until SIGINT or SIGTERM; returns the signal. Raises EnvironmentFault where memory is short."""
    stopping = listen.stop_signal()
    loop = asyncio.get_running_loop()
    certifier = Certifier(config.signing_key, config.expiration_s)
    api = HttpApi(certifier, verifier, config.limits)
    servers = [api.server, exposition(api.metrics)][: len(listeners)]
    ports = [await server.listen([one]) for server, one in zip(servers, listeners)]
    log.info("serving on port %d%s", ports[0], f", metrics on {ports[1]}" if ports[1:] else "")
    ready(Ready(ports[0], ports[1] if ports[1:] else None, certifier.public_key))
    opening = loop.run_in_executor(None, verifier.open)
    try:
        waiting: set[asyncio.Future[Any]] = {stopping, opening}
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        if opening.done():
            opening.result()
            log.info("ready to verify")
            api.open()
        number = await stopping
        log.info("stopping")
        return number
    except MemoryShortage as error:
        raise EnvironmentFault(f"{error}. Set randomx_mode to Light where it is Fast.") from None
    finally:
        for server in servers:
            server.stop_listening()
        await api.drain()
        verifier.close()
        await asyncio.gather(opening, return_exceptions=True)
        await api.drain()
        api.close()
        for server in servers:
            await server.stop(DRAIN_S)


def run(config: Config, ready: Callable[[Ready], None] = lambda ready: None) -> int:
    """Serves until told to stop; returns the exit code. Raises ProofError, KernelError for what keeps it from starting.

    `ready` is called once clients are let in.
    """
    edge_logging.set_up("certifier")
    for note in config.notes:
        log.warning("%s", note)
    listeners = [listen.bind(config.listen, "listen")]
    try:
        if config.metrics is not None:
            listeners.append(listen.bind(config.metrics, "metrics"))
        verifier = Verifier(config.params, full=config.full_randomx, threads=config.limits.max_concurrent_requests)
        verifier.check()
        return listen.serve(lambda: serve(config, listeners, verifier, ready))
    finally:
        for one in listeners:
            one.close()
