"""The listeners of a node over stores, on free ports of loopback, in a thread of their own as in a running node."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from types import TracebackType
from typing import Any, TypeVar

from google.protobuf.descriptor import ServiceDescriptor

from api.edge.rpc import Failed, Status
from api.services.node.catalogue import GIVEN, Calls, Offer
from api.services.node.listeners import Listeners
from protocol.params.config.node import Config
from protocol.params.config.services import Api
from tests.support.node_backend import StoresBackend

T = TypeVar("T")
WAIT_S = 60.0
ANY = "127.0.0.1:0"


def refusing(service: ServiceDescriptor) -> Calls:
    """Methods of a service that no test asks."""

    def refuse() -> Failed:
        return Failed(Status.UNIMPLEMENTED, "not here")

    async def unary(request: Any) -> Any:
        raise refuse()

    async def stream(request: Any) -> Any:
        if request is not None:
            raise refuse()
        yield

    return {one.name: stream if one.server_streaming else unary for one in service.methods}


def everywhere(config: Config, **api: Any) -> Config:
    """A configuration whose listeners have free ports, JSON among them."""
    listeners = Api(grpc_public_listener=ANY, grpc_private_listener=ANY, grpc_post_listener=ANY, grpc_json_listener=ANY)
    return replace(config, api=replace(listeners, **api))


class ServedApi:
    """A node's API. Use as a context manager."""

    def __init__(
        self,
        make: Callable[[asyncio.AbstractEventLoop], StoresBackend],
        given: Mapping[str, Calls] | None = None,
        own: Sequence[Offer] = (),
    ) -> None:
        """make: the node, in the loop that serves. given: None: methods that refuse."""
        self._make, self._own = make, own
        self._given = {name: refusing(service) for name, service in GIVEN.items()} if given is None else given
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="served-api", daemon=True)
        self.backend: StoresBackend
        self.listeners: Listeners
        self.ports: dict[str, int] = {}

    def __enter__(self) -> ServedApi:
        self._thread.start()
        try:
            self.run(self._open())
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.run(self.listeners.stop(0.2))
        finally:
            self._end()

    def run(self, work: Any) -> Any:
        """Waits for something inside the loop."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(WAIT_S)

    async def _open(self) -> None:
        self.backend = self._make(self._loop)
        self.listeners = Listeners(self.backend, self._given, self._own)
        self.ports = dict(await self.listeners.open())
        self.listeners.serving()

    def _end(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
