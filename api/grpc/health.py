"""Whether a server takes calls, as load balancers and probes ask: `grpc.health.v1.Health`.

The empty name stands for the server, the name of a service for that service: NOT_SERVING while the program starts and
once it stops, SERVING between. A program may have further names, each of which is told by itself: a node has `synced`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable

from google.protobuf.message import Message

from api.edge.rpc import Failed, Headers, Method, Status
from protocol.pb.grpc.health.v1 import health_pb2

SERVICE = health_pb2.DESCRIPTOR.services_by_name["Health"]

_Status = health_pb2.HealthCheckResponse
Request = health_pb2.HealthCheckRequest


class Health:
    """What is told of a program; one for all of its listeners. Made and changed in the loop that serves clients."""

    def __init__(self, further: Iterable[str] = ()) -> None:
        """further: names beside those of services, none of which holds yet."""
        self._serves = False
        self._further = dict.fromkeys(further, False)
        self._changed = asyncio.Event()

    def serves(self, yes: bool) -> None:
        """Whether calls are taken."""
        if yes != self._serves:
            self._serves = yes
            self._tell()

    def holds(self, name: str, yes: bool) -> None:
        """Whether what a further name stands for is so. Raises KeyError for one that was not given."""
        if self._further[name] != yes:
            self._further[name] = yes
            self._tell()

    def _tell(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    def calls(self, services: Iterable[str]) -> dict[str, Method]:
        """The methods for a listener with these services."""
        known = frozenset(("", *services))

        def status(name: str) -> _Status.ServingStatus:
            if name in known:
                return _Status.SERVING if self._serves else _Status.NOT_SERVING
            if name in self._further:
                return _Status.SERVING if self._serves and self._further[name] else _Status.NOT_SERVING
            return _Status.SERVICE_UNKNOWN

        async def check(request: Request) -> Message:
            found = status(request.service)
            if found == _Status.SERVICE_UNKNOWN:
                raise Failed(Status.NOT_FOUND, f"unknown service {request.service}")
            return _Status(status=found)

        async def watch(request: Request) -> AsyncIterator[Message | Headers]:
            told = None
            while True:
                changed = self._changed  # before the look, so that no change is missed
                found = status(request.service)
                if found != told:
                    yield _Status(status=found)
                    told = found
                else:
                    await changed.wait()

        return {"Check": check, "Watch": watch}
