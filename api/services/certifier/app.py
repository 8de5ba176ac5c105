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
from api.http.answers import JSON, TEXT, answer, too_large
from api.services.certifier.certify import Certifier, NotARequest, NotJson, Verifier, read_request
from api.services.certifier.config import Config, Limits
from api.services.certifier.metrics import CONTENT_TYPE, Metrics
from api.services.poet.http1 import Connection, Request, Server
from kernels.devices.types import Stopped
from kernels.errors import KernelError, MemoryShortage
from protocol.post.proof import Proof, ProofMetadata
from prover.errors import EnvironmentFault

log = logging.getLogger("certifier")

PATH = "/certify"
TAKEN_BODY = 64 * 1024
"""Bytes of a body that are read before it is refused, where the limit is below: a client that is cut off while it
sends does not see why."""

DRAIN_S = 1.0


class Checks(Protocol):
    """What the service needs of a verifier."""

    def refusal(self, proof: Proof, metadata: ProofMetadata) -> str | None:
        """Why a proof is not valid; None when it is."""


@dataclass(frozen=True, slots=True)
class _Waiting:
    """A request with a proof to check."""

    request: Request
    connection: Connection
    proof: Proof
    metadata: ProofMetadata
    since: float


class HttpApi:
    """The application behind a `Server`. Nothing is checked before `open`."""

    def __init__(self, certifier: Certifier, verifier: Checks, limits: Limits) -> None:
        self.server = Server(self.handle, too_large, max_body=max(limits.max_body_size, TAKEN_BODY))
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
        self._queue.clear()
        until = time.monotonic() + DRAIN_S
        while self._running and time.monotonic() < until:
            await asyncio.sleep(0.01)

    def close(self) -> None:
        """Ends threads and connections."""
        self._open = False
        self._queue.clear()
        self._threads.shutdown(wait=False, cancel_futures=True)
        self.server.close()

    def handle(self, request: Request, connection: Connection) -> None:
        """Answers one request, or puts it into the queue."""
        began = time.monotonic()
        if request.target.partition("?")[0] != PATH:
            self._answer(request, connection, began, 404)
        elif request.method != "POST":
            self._answer(request, connection, began, 405, allow="POST")
        elif len(self._queue) >= self._limits.max_pending_requests:
            self._answer(request, connection, began, 429)
        elif not _is_json(request.headers.get("content-type", "")):
            self._refuse(request, connection, began, 415, "Expected request with `Content-Type: application/json`")
        elif len(request.body) > self._limits.max_body_size:
            self._refuse(request, connection, began, 413, "Failed to buffer the request body: length limit exceeded")
        else:
            self._certify(request, connection, began)

    def _certify(self, request: Request, connection: Connection, began: float) -> None:
        try:
            proof, metadata = read_request(request.body)
        except NotJson as error:
            self._refuse(request, connection, began, 400, f"Failed to parse the request body as JSON: {error}")
            return
        except NotARequest as error:
            text = f"Failed to deserialize the JSON body into the target type: {error}"
            self._refuse(request, connection, began, 422, text)
            return
        self.metrics.pending += 1
        self._queue.append(_Waiting(request, connection, proof, metadata, began))
        self._pump()

    def _pump(self) -> None:
        """Gives the threads what they can take."""
        while self._open and self._queue and self._running < self._limits.max_concurrent_requests:
            one = self._queue.popleft()
            if one.connection.transport is None:
                self.metrics.pending -= 1  # the client has gone
                continue
            self._running += 1
            checked = self._loop.run_in_executor(self._threads, self._verifier.refusal, one.proof, one.metadata)
            checked.add_done_callback(partial(self._checked, one))

    def _checked(self, one: _Waiting, future: asyncio.Future[str | None]) -> None:
        self._running -= 1
        self.metrics.pending -= 1
        node = one.metadata.node_id.hex()
        error = None if future.cancelled() else future.exception()
        if future.cancelled() or isinstance(error, Stopped):
            self._answer(one.request, one.connection, one.since, 500)
        elif error is not None:
            log.error("the proof of %s could not be checked: %s", node, error, exc_info=not _known(error))
            self._refuse(one.request, one.connection, one.since, 500, "error verifying proof")
        elif (refusal := future.result()) is not None:
            log.info("refused %s: %s", node, refusal)
            self._refuse(one.request, one.connection, one.since, 403, f"invalid proof: {refusal}")
        else:
            log.info("certified %s", node)
            body = self._certifier.certify(one.metadata.node_id).to_json()
            self._answer(one.request, one.connection, one.since, 200, body, kind=JSON)
        self._pump()

    def _refuse(self, request: Request, connection: Connection, began: float, status: int, text: str) -> None:
        self._answer(request, connection, began, status, text.encode(), kind=TEXT)

    def _answer(
        self,
        request: Request,
        connection: Connection,
        began: float,
        status: int,
        body: bytes = b"",
        *,
        kind: str = "",
        allow: str = "",
    ) -> None:
        endpoint = PATH if request.target.partition("?")[0] == PATH else ""
        self.metrics.count(request.method, endpoint, status, time.monotonic() - began)
        answer(request, connection, status, body, kind=kind, allow=allow)


def _is_json(kind: str) -> bool:
    """application/json, or a kind that is written in JSON."""
    name = kind.partition(";")[0].strip().lower()
    return name == "application/json" or (name.startswith("application/") and name.endswith("+json"))


def _known(error: BaseException) -> bool:
    return isinstance(error, (KernelError, OSError, MemoryError))


def exposition(metrics: Metrics) -> Server:
    """The listener for Prometheus."""

    def handle(request: Request, connection: Connection) -> None:
        if request.target.partition("?")[0] != "/metrics":
            answer(request, connection, 404)
        elif request.method not in ("GET", "HEAD"):
            answer(request, connection, 405, allow="GET,HEAD")
        else:
            answer(request, connection, 200, metrics.text(), kind=CONTENT_TYPE)

    return Server(handle, too_large, max_body=TAKEN_BODY)


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
    listening = [
        await loop.create_server(server.protocol, sock=one, backlog=listen.BACKLOG)
        for server, one in zip(servers, listeners)
    ]
    ports = [listen.port_of(one) for one in listeners]
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
        for one in listening:
            one.close()
        await api.drain()
        verifier.close()
        await asyncio.gather(opening, return_exceptions=True)
        await api.drain()
        api.close()
        await asyncio.sleep(0)


def run(config: Config, ready: Callable[[Ready], None] = lambda ready: None) -> int:
    """Serves until told to stop; returns the exit code. Raises ProofError, KernelError for what keeps it from starting.

    `ready` is called once clients are let in.
    """
    listen.set_up_logging("certifier")
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
