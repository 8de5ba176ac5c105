"""A running PoET server: the two roles, their listeners, signals and the way out, put together.

Everything that can refuse (configuration, directories, keys, ports) does so before the first client is let in.
Exit codes: 0 told to stop, 1 configuration or data, 3 a port or the machine. Specified in protocol 02-poet,
sections 7 to 9.
"""

from __future__ import annotations

import resource
import socket
import time
from collections.abc import Callable
from logging import DEBUG, INFO, WARNING, getLogger

from api.edge import logging
from api.edge.errors import EnvironmentFault
from api.edge.listen import stop_signal
from api.edge.loop import run_loop
from api.http.answers import TEXT, Answer, Request
from api.http.server import HttpServer
from api.services.poet.calls import PoetCalls
from api.services.poet.clock import Now, SteadyClock, settling_ns, since_boot
from api.services.poet.config import Config, ConfigError, split_address
from api.services.poet.http import HttpApi
from api.services.poet.metrics import CONTENT_TYPE, Metrics
from api.services.poet.service import PoetService
from api.services.poet.worker_link import NoWorker, ThreadWorker, WorkerLink
from api.services.poet.worker_process import ProcessWorker
from prover.poet.round import processors
from prover.poet.round.execution import Settings
from prover.poet.server.worker import Worker, WorkerConfig

log = getLogger("poet")

WANTED_FILES = 65_536
"""Open files asked of the system; every waiting client is one."""
FEW_FILES = 4096
"""Below this the smeshers of a network, who come within minutes of each other, may have to wait."""


def worker_config(config: Config) -> WorkerConfig:
    """The part of a configuration that the worker needs."""
    return WorkerConfig(config.datadir, config.schedule, Settings(config.lps, cpu=config.cpu, realtime=config.realtime))


def worker_link(config: Config) -> WorkerLink:
    """The worker that a configuration asks for, not started."""
    if config.disable_worker:
        return NoWorker()
    if config.one_process:
        clock = SteadyClock(settling_ns(config.schedule.cycle_gap_ns))
        return ThreadWorker(lambda emit: Worker(worker_config(config), emit, clock=clock))
    return ProcessWorker(worker_config(config))


class App:
    """One server. `start`, then `stop`; or `serve`, which does both."""

    def __init__(
        self,
        config: Config,
        *,
        wall: Now = time.time_ns,
        monotonic: Now = since_boot,
        worker: WorkerLink | None = None,
    ) -> None:
        """worker: another one than the configuration asks for."""
        self.config = config
        self.service = PoetService(config, worker or worker_link(config), wall=wall, monotonic=monotonic)
        self.rest_port = 0
        self.metrics_port = 0
        self.grpc_ports: dict[str, int] = {}
        self._servers: list[HttpServer] = []
        self._sockets: list[socket.socket] = []

    async def start(self) -> None:
        """Takes ports, directories and databases and lets clients in. Raises ProofError, Failure."""
        config = self.config
        addresses = [split_address(one) for one in (config.rpclisten, config.config_rpclisten, config.restlisten)]
        rest = bind(addresses[2], "restlisten")
        self._sockets += rest
        try:
            self.service.open()
            self.metrics = Metrics(self.service)
            calls = PoetCalls(self.service)
            # half of the start's time and memory, which a port that is taken does not need
            from api.services.poet.grpc import GrpcApi

            self.grpc = GrpcApi(calls, self.metrics.count)
            await self.grpc.start(addresses[0], addresses[1])
            self.grpc_ports = self.grpc.ports
            await self.service.start()
            self.http = HttpApi(self.service, calls, self.metrics.count)
            self.rest_port = await self._listen(rest, self.http.server)
            if config.metrics_port is not None:
                sockets = bind(("", config.metrics_port), "metrics-port")
                self.metrics_port = await self._listen(sockets, HttpServer(self._expose, log=log))
        except BaseException:
            await self.stop()
            raise
        log.info(
            "serving: HTTP on port %d, gRPC on %d, operator's gRPC on %d",
            self.rest_port,
            self.grpc_ports["rpc"],
            self.grpc_ports["config"],
        )

    async def _listen(self, sockets: list[socket.socket], server: HttpServer) -> int:
        self._servers.append(server)
        return await server.listen(sockets)

    async def _expose(self, request: Request) -> Answer:
        if request.method != "GET" or request.route != "/metrics":
            return Answer(404, b"404 page not found\n", kind=TEXT)
        return Answer(200, self.metrics.text(), kind=CONTENT_TYPE)

    async def stop(self) -> None:
        """Lets nobody in any more, answers those who wait, saves the round in work."""
        for server in self._servers:
            server.stop_listening()
        for one in self._sockets:
            one.close()
        if hasattr(self, "grpc"):
            await self.grpc.stop()
        await self.service.stop()
        for server in self._servers:
            await server.stop()

    async def serve(self, ready: Callable[[App], None] = lambda app: None) -> None:
        """Serves until SIGINT or SIGTERM. Raises ProofError, Failure for what keeps it from starting."""
        stopping = stop_signal()
        await self.start()
        ready(self)
        await stopping
        log.info("stopping")
        await self.stop()


def bind(address: tuple[str, int], option: str) -> list[socket.socket]:
    """Sockets for a listener, one for each address of the host. Raises EnvironmentFault, ConfigError."""
    host, port = address
    try:
        found = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except socket.gaierror:
        raise ConfigError(f"failed to create server: lookup {host}: no such host") from None
    sockets: list[socket.socket] = []
    for family, kind, protocol, _, where in dict.fromkeys(found):
        try:
            one = socket.socket(family, kind, protocol)
        except OSError:
            continue  # the machine does not have this family
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        try:
            if sockets and port == 0:  # the same port on every address
                where = (where[0], sockets[0].getsockname()[1], *where[2:])
            one.bind(where)
        except OSError as error:
            one.close()
            if family == socket.AF_INET6 and sockets:
                continue  # a name that stands for both, on a machine without IPv6
            for taken in sockets:
                taken.close()
            raise EnvironmentFault(
                f"failed to listen: {host}:{port}: {(error.strerror or str(error)).lower()}. "
                f"Choose another address with --{option}."
            ) from None
        one.setblocking(False)
        sockets.append(one)
    if not sockets:
        raise EnvironmentFault(f"failed to listen: {host}:{port} is no address of this machine.")
    return sockets


def raise_file_limit() -> int:
    """Asks for as many open files as the system allows, up to WANTED_FILES; returns how many there are."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = WANTED_FILES if hard == resource.RLIM_INFINITY else min(WANTED_FILES, hard)
    if soft < wanted:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        except (OSError, ValueError):
            return soft
    return max(soft, wanted)


def tell_file_limit(files: int) -> None:
    """Says for how many clients the open files suffice, where they are fewer than asked; few are worth a warning."""
    if files < WANTED_FILES:
        level = WARNING if files < FEW_FILES else INFO
        log.log(level, "%d files may be open, so about %d clients are served at once", files, files - 100)


def set_up_logging(config: Config) -> None:
    """Log to standard error and to poet.log. Raises ConfigError where the folder cannot be used."""
    try:
        config.logdir.mkdir(parents=True, exist_ok=True)
        logging.set_up(
            "poet",
            level=DEBUG if config.debuglog else INFO,
            as_json=config.jsonlog,
            file=config.logdir / "poet.log",
        )
    except OSError as error:
        raise ConfigError(f"{error.filename} cannot be used for logs: {error.strerror}") from None


def run(config: Config, ready: Callable[[App], None] = lambda app: None) -> int:
    """Serves until told to stop; returns the exit code. Raises ProofError."""
    set_up_logging(config)
    tell_file_limit(raise_file_limit())
    with processors.without(config.cpu):
        run_loop(lambda: App(config).serve(ready))
    return 0
