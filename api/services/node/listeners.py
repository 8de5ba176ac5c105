"""The ports of a node: public, private, for PoST services, the same with TLS, and JSON, opened in this order.

Every gRPC listener has reflection and health. Health's empty name, and the names of services, are NOT_SERVING until
the node has started (`serving`) and once it stops; the name `synced` is SERVING as long as the node is in step with
the network, for those who send clients only to nodes that know the newest layers.
Specified in protocol 10-api, sections 1.1 to 1.4.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING

from api.edge.errors import UsageError
from api.edge.listen import Address, bind, parse_port
from api.edge.rates import Rates
from api.edge.rpc import Count
from api.edge.text import shown
from api.grpc import health
from api.grpc.health import Health
from api.grpc.limits import MINUTE_MS, NEVER_MS, GrpcLimits
from api.grpc.methods import methods
from api.grpc.server import GrpcServer
from api.grpc.tls import TlsFiles
from protocol.params.config.services import Api

from .backend import Backend
from .bus import TooSlow
from .catalogue import Calls, Catalogue, Offer
from .events import StatusChanged

if TYPE_CHECKING:
    from .gateway import NodeGateway

log = logging.getLogger("api")

SYNCED = "synced"
"""What health is asked by who wants to know whether the node is in step with the network."""
GRACE_S = 1.0
"""For calls in work when the node stops."""
STATUS_EVENTS = 64

PUBLIC_LIMITS = GrpcLimits(
    answer_s=30.0,
    calls=2048,
    calls_per_s=3000.0,
    burst=6000,
    streams_in_all=1024,
    streams_of_one=128,
    ping_answer_ms=10_000,
    client_ping_ms=MINUTE_MS,
)
PRIVATE_LIMITS = GrpcLimits(
    answer_s=120.0,
    idle_ms=NEVER_MS,
    age_ms=NEVER_MS,
    ping_ms=10 * MINUTE_MS,
    ping_answer_ms=10_000,
    client_ping_ms=MINUTE_MS,
)
POST_LIMITS = replace(PRIVATE_LIMITS, calls=4096, dialogues=1024, dialogues_of_one=1024)
"""A PoST service holds one dialogue for each of its identities."""


@dataclass(frozen=True, slots=True)
class _Port:
    """A gRPC listener as it is configured."""

    name: str
    option: str
    address: str
    services: Sequence[Offer]
    limits: GrpcLimits
    tls: TlsFiles | None = None


class Listeners:
    """All ports of one node. Made in the loop that serves clients."""

    def __init__(
        self,
        backend: Backend,
        given: Mapping[str, Calls],
        own: Sequence[Offer] = (),
        *,
        count: Count = lambda method, status, seconds: None,
    ) -> None:
        """given: as `Catalogue` takes them. own: services that no configuration names, for the private listener."""
        self._backend, self._own, self._count = backend, own, count
        self._catalogue = Catalogue(backend, given)
        self._health = Health([SYNCED])
        self._follows: asyncio.Task[None] | None = None
        self._grpc: list[GrpcServer] = []
        self._gateway: NodeGateway | None = None
        self.ports: dict[str, int] = {}
        """Those that are open: public, private, post, tls, json."""

    @property
    def open_streams(self) -> int:
        """Streams that clients hold now, on all gRPC listeners."""
        return sum(server.open_streams for server in self._grpc)

    async def open(self) -> Mapping[str, int]:
        """Opens all that is configured, or nothing; the ports by the names of the listeners.

        Raises UsageError for services, addresses and certificates that make no sense, EnvironmentFault for a port that
        is taken, DataError for a file that holds no certificate. All name the option.
        """
        api: Api = self._backend.config.api
        ports, json = self._configured(api)
        try:
            for port in ports:
                self.ports[port.name] = await self._open_grpc(port)
            if json is not None:
                self.ports["json"] = await self._open_json(api, json)
        except BaseException:
            await self.stop(0)
            raise
        self._follows = asyncio.create_task(self._follow())
        return self.ports

    def serving(self) -> None:
        """The node has started: it takes calls."""
        self._health.serves(True)

    async def stop(self, grace_s: float = GRACE_S) -> None:
        """Takes no new calls, ends streams, answers calls in work within the grace, all listeners at once."""
        self._health.serves(False)
        if self._follows is not None:
            self._follows.cancel()
        grpc, self._grpc = self._grpc, []
        gateway, self._gateway = self._gateway, None
        if gateway is not None:
            gateway.server.stop_listening()
        stopping = [server.stop(grace_s) for server in grpc]
        if gateway is not None:
            stopping.append(gateway.server.stop(grace_s))
        await asyncio.gather(*stopping)
        self.ports.clear()

    # What is configured

    def _configured(self, api: Api) -> tuple[list[_Port], Sequence[Offer] | None]:
        """What is to be opened; the services of the JSON listener, if there is one. Raises UsageError."""
        offers = self._catalogue.offers
        public = offers("api.PublicServices", api.public_services)
        private = [*offers("api.PrivateServices", api.private_services), *self._own]
        recv, send = api.grpc_recv_msg_size, api.grpc_send_msg_size
        ports = [
            _Port(name, option, address, services, replace(limits, message_bytes=recv, answer_bytes=send))
            for name, option, address, services, limits in (
                ("public", "grpc-public-listener", api.grpc_public_listener, public, PUBLIC_LIMITS),
                ("private", "grpc-private-listener", api.grpc_private_listener, private, PRIVATE_LIMITS),
                (
                    "post",
                    "grpc-post-listener",
                    api.grpc_post_listener,
                    offers("api.PostServices", api.post_services),
                    POST_LIMITS,
                ),
            )
            if services
        ]
        if api.grpc_tls_listener:
            services = offers("api.grpc-tls-services", api.grpc_tls_services)
            limits = replace(POST_LIMITS, message_bytes=recv, answer_bytes=send)
            ports.append(_Port("tls", "grpc-tls-listener", api.grpc_tls_listener, services, limits, _tls_of(api)))
        if not api.grpc_json_listener:
            return ports, None
        if not public:
            raise UsageError(
                f"api.grpc-json-listener is {shown(api.grpc_json_listener)}, but api.PublicServices names no service, "
                "and those are what it serves."
            )
        return ports, public

    # Opening

    async def _open_grpc(self, port: _Port) -> int:
        address = _address(port.address, port.option)
        names = [one.descriptor.full_name for one in port.services]
        checks = self._health.calls([*names, health.SERVICE.full_name])
        offered = [*port.services, Offer(health.SERVICE, checks)]
        server = GrpcServer(
            {one.descriptor.full_name: methods(one.descriptor, one.calls) for one in offered},
            port.limits,
            described=[one.descriptor.file for one in offered],
            count=self._count,
            log=log,
        )
        self._grpc.append(server)
        found = await server.start(address.host, address.port, port.option, port.tls)
        if port.tls is None:
            _warn(port.option, address)
        log.info("%s API on port %d: %s", port.name, found, ", ".join(names))
        return found

    async def _open_json(self, api: Api, services: Sequence[Offer]) -> int:
        from .gateway import NodeGateway  # most nodes have no such listener

        option = "grpc-json-listener"
        address = _address(api.grpc_json_listener, option)
        sockets: list[socket.socket] = [bind(address, f"--{option}")]
        rates = Rates(PUBLIC_LIMITS.calls_per_s or 1.0, PUBLIC_LIMITS.burst)
        self._gateway = NodeGateway(
            services, api.grpc_cors_allowed_origins, self._backend.version, rates, count=self._count, log=log
        )
        found = await self._gateway.server.listen(sockets)
        _warn(option, address)
        log.info("JSON API on port %d", found)
        return found

    async def _follow(self) -> None:
        """Keeps health in step with the node."""
        while True:
            with self._backend.bus.subscribe(StatusChanged, size=STATUS_EVENTS) as changes:
                self._health.holds(SYNCED, self._backend.facts.is_synced)
                try:
                    async for _ in changes:
                        self._health.holds(SYNCED, self._backend.facts.is_synced)
                except TooSlow:
                    continue  # what was missed is looked at now


def _tls_of(api: Api) -> TlsFiles:
    """The files of the TLS listener. Raises UsageError where one is not named."""
    options = ("grpc-tls-ca-cert", "grpc-tls-cert", "grpc-tls-key")
    paths = (api.grpc_tls_ca_cert, api.grpc_tls_cert, api.grpc_tls_key)
    missing = [f"api.{option}" for option, path in zip(options, paths) if not path]
    if missing:
        raise UsageError(
            f"api.grpc-tls-listener is {shown(api.grpc_tls_listener)}, but {' and '.join(missing)} "
            f"{'are' if len(missing) > 1 else 'is'} empty; TLS needs all three files."
        )
    return TlsFiles(Path(paths[0]), Path(paths[1]), Path(paths[2]), options)


def _address(text: str, option: str) -> Address:
    """Host and port of a listener; no host stands for all addresses of the machine. Raises UsageError."""
    host, colon, port = text.rpartition(":")
    number = parse_port(port)
    bracketed = host.startswith("[") and host.endswith("]")
    if not colon or number is None or (":" in host and not bracketed):
        raise UsageError(
            f"--{option} is {shown(text)}, expected an address and a port such as 127.0.0.1:9092 or [::1]:9092."
        )
    return Address(host[1:-1] if bracketed else host or "::", number)


def is_reachable(host: str) -> bool:
    """Whether a listener on this host can be reached from beyond private networks, as far as its name tells."""
    if host == "localhost":
        return False
    try:
        found = ip_address(host)
    except ValueError:
        return True
    return found.is_unspecified or not (found.is_private or found.is_loopback)


def _warn(option: str, address: Address) -> None:
    if is_reachable(address.host):
        log.warning(
            "--%s %s can be reached from other machines, and is neither encrypted nor protected by a password. If only "
            "this machine needs it, use 127.0.0.1; else let a proxy with TLS, or a firewall, stand before it.",
            option,
            address,
        )
