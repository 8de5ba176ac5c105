"""A gRPC listener: services by name, reflection beside them, and bounds that hold before anything is in memory.

The library refuses a message above its limit by its announced length, so nothing of it is kept. Messages below it are
read for so many calls at a time only, and for few of one client, so that those who send slowly neither fill the memory
nor take all places. Calls that wait longer for a place than a message may take are refused.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

import grpc.aio
from google.protobuf.descriptor import FileDescriptor

from api.edge.errors import EnvironmentFault
from api.edge.rpc import Count
from api.grpc.handlers import Handlers
from api.grpc.limits import GrpcLimits
from api.grpc.methods import Services
from api.grpc.reflection import reflection
from api.grpc.tls import TlsFiles

log = logging.getLogger("grpc")


class GrpcServer:
    """A listener. Made inside a running loop."""

    def __init__(
        self,
        services: Services,
        limits: GrpcLimits | None = None,
        *,
        described: Sequence[FileDescriptor] = (),
        count: Count = lambda method, status, seconds: None,
        log: logging.Logger = log,
    ) -> None:
        """described: the files of the services, for those who know a server only by asking it."""
        limits = limits or GrpcLimits()
        self._server = grpc.aio.server(options=limits.options(), maximum_concurrent_rpcs=limits.calls)
        self._handlers = Handlers({**services, **reflection(list(services), described)}, limits, count, log)
        self._server.add_generic_rpc_handlers((self._handlers,))

    @property
    def open_streams(self) -> int:
        """Streams that clients hold now."""
        return self._handlers.open_streams

    async def start(self, host: str, port: int, option: str, tls: TlsFiles | None = None) -> int:
        """Opens the port, 0 for any, and returns it.

        Raises EnvironmentFault, which names the option, where it is taken; what `TlsFiles.credentials` raises.
        """
        host = host or "[::]"
        where = f"[{host}]:{port}" if ":" in host and not host.startswith("[") else f"{host}:{port}"
        credentials = None if tls is None else tls.credentials()
        try:
            if credentials is None:
                bound: int = self._server.add_insecure_port(where)
            else:
                bound = self._server.add_secure_port(where, credentials)
        except RuntimeError:
            bound = 0
        if bound == 0:
            raise EnvironmentFault(
                f"failed to listen: {host}:{port}: address already in use, or not one of this machine. "
                f"Choose another with --{option}."
            )
        await self._server.start()
        return bound

    async def stop(self, grace_s: float = 5.0) -> None:
        """Takes no new calls, ends streams, and ends when those in work are answered, at the latest after the grace."""
        self._handlers.end_streams()
        await self._server.stop(grace_s)
