"""The PoET service over gRPC: one listener for clients, one for the operator. Specified in protocol 02-poet, section
9.
"""

from __future__ import annotations

import asyncio
import logging

from api.edge.rpc import Count
from api.grpc.methods import methods
from api.grpc.server import GrpcServer
from api.services.poet.calls import CONFIGURATION_SERVICE, POET_SERVICE, PoetCalls

log = logging.getLogger("poet")


class GrpcApi:
    """Both listeners."""

    def __init__(self, calls: PoetCalls, count: Count = lambda method, status, seconds: None) -> None:
        self._calls, self._count = calls, count
        self._servers: list[GrpcServer] = []
        self.ports: dict[str, int] = {}
        """Listener (rpc, config) to the port that it got."""

    async def start(self, rpc: tuple[str, int], configuration: tuple[str, int]) -> None:
        """Opens both listeners. Raises EnvironmentFault where a port is taken."""
        for name, option, address, service, calls in (
            ("rpc", "rpclisten", rpc, POET_SERVICE, self._calls.poet()),
            ("config", "config-rpclisten", configuration, CONFIGURATION_SERVICE, self._calls.configuration()),
        ):
            server = GrpcServer(
                {service.full_name: methods(service, calls)}, described=[service.file], count=self._count, log=log
            )
            self.ports[name] = await server.start(*address, option)
            self._servers.append(server)

    async def stop(self, grace_s: float = 5.0) -> None:
        """Takes no new calls and ends when those in work are answered, at the latest after the grace."""
        await asyncio.gather(*(server.stop(grace_s) for server in self._servers))
