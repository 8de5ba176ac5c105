"""A gRPC listener: unary methods by name, reflection beside them, and bounds that hold before anything is in memory.

The library refuses a message above its limit by its announced length, so nothing of it is kept. Messages below it are
read for so many calls at a time only, and for few of one client, so that those who send slowly neither fill the memory
nor take all places. Calls that wait longer for a place than a message may take are refused.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import grpc
import grpc.aio
from google.protobuf.message import DecodeError, Message

from api.edge.errors import EnvironmentFault
from api.edge.rpc import Count, Failed, Status
from api.grpc.reflection import REFLECTION_SERVICES, reflect

MINUTE_MS = 60_000
MALFORMED = "proto: cannot parse invalid wire-format data"

Call = Callable[[Any], Awaitable[Message]]
"""A method: request message -> answer. Raises Failed."""


@dataclass(frozen=True, slots=True)
class GrpcLimits:
    """Bounds of one listener."""

    message_bytes: int = 4 << 20
    """Of one message."""
    reading: int = 24
    """Calls whose message is being read at the same time; times the size of a message it bounds the memory."""
    reading_of_one: int = 6
    """Of them, of one client's address."""
    read_s: float = 10.0
    """For a message to arrive, and to wait for a place."""
    calls: int = 1024
    """In work at the same time; more are refused."""
    streams: int = 256
    """At the same time on one connection."""
    idle_ms: int = 120 * MINUTE_MS
    age_ms: int = 180 * MINUTE_MS
    grace_ms: int = 10 * MINUTE_MS
    ping_ms: int = MINUTE_MS
    """Without traffic, until the client is asked whether it is there."""
    ping_answer_ms: int = 3 * MINUTE_MS

    def options(self) -> tuple[tuple[str, int], ...]:
        """As the library takes them."""
        return (
            ("grpc.so_reuseport", 0),
            ("grpc.max_receive_message_length", self.message_bytes),
            ("grpc.max_send_message_length", -1),
            ("grpc.max_concurrent_streams", self.streams),
            ("grpc.max_metadata_size", 16 << 10),
            ("grpc.absolute_max_metadata_size", 32 << 10),
            # windows grow by what is measured of the way to a client: with many of them that is memory
            ("grpc.http2.bdp_probe", 0),
            ("grpc.http2.lookahead_bytes", 64 << 10),
            ("grpc.max_connection_idle_ms", self.idle_ms),
            ("grpc.max_connection_age_ms", self.age_ms),
            ("grpc.max_connection_age_grace_ms", self.grace_ms),
            ("grpc.keepalive_time_ms", self.ping_ms),
            ("grpc.keepalive_timeout_ms", self.ping_answer_ms),
            # the shorter one would not count
            ("grpc.http2.ping_timeout_ms", self.ping_answer_ms),
            ("grpc.http2.max_ping_strikes", 2),
        )


@dataclass(frozen=True, slots=True)
class Method:
    """A unary method."""

    request: type[Message]
    call: Call


Services = Mapping[str, Mapping[str, Method]]
"""Full name of a service -> name of a method -> it."""


def methods(service: Any, calls: Mapping[str, Call]) -> dict[str, Method]:
    """The methods of a service by its descriptor, those in `calls`."""
    from google.protobuf import message_factory

    return {
        one.name: Method(message_factory.GetMessageClass(one.input_type), calls[one.name]) for one in service.methods
    }


class Places:
    """Who may read a message at the moment: so many in all, and of one client."""

    def __init__(self, limits: GrpcLimits) -> None:
        self._limits = limits
        self._all = asyncio.Semaphore(limits.reading)
        self._of_one: Counter[str] = Counter()
        self._freed = asyncio.Condition()

    @asynccontextmanager
    async def place(self, client: str) -> AsyncIterator[None]:
        """Waits for a place and holds it."""
        if self._of_one[client] >= self._limits.reading_of_one:
            async with self._freed:
                await self._freed.wait_for(lambda: self._of_one[client] < self._limits.reading_of_one)
        self._of_one[client] += 1
        try:
            async with self._all:
                yield
        finally:
            self._of_one[client] -= 1
            if not self._of_one[client]:
                del self._of_one[client]
            async with self._freed:
                self._freed.notify_all()


class _Handlers(grpc.GenericRpcHandler):  # type: ignore[misc]
    """The methods of one listener; others are answered with the reference's words."""

    def __init__(self, services: Services, limits: GrpcLimits, count: Count) -> None:
        self._services, self._limits, self._count = services, limits, count
        self._names = sorted({*services, *REFLECTION_SERVICES})
        self._places = Places(limits)

    def service(self, details: Any) -> Any:
        """grpc: the handler of a call, by its path."""
        _, service, name = (details.method.split("/") + ["", ""])[:3]
        if service in REFLECTION_SERVICES and name == "ServerReflectionInfo":
            return grpc.stream_stream_rpc_method_handler(self._reflect)
        methods = self._services.get(service)
        if methods is None and service not in REFLECTION_SERVICES:
            return _refusing(f"unknown service {service}")
        method = (methods or {}).get(name)
        if method is None:
            return _refusing(f"unknown method {name} for service {service}")
        # one message, yet read as a stream: so its place comes before its bytes
        return grpc.stream_unary_rpc_method_handler(self._answering(name, method))

    def _answering(self, name: str, method: Method) -> Callable[[Any, Any], Awaitable[bytes]]:
        async def answer(requests: Any, context: Any) -> bytes:
            began = time.perf_counter()
            status = Status.CANCELLED
            try:
                message = parse(method.request, await self._read(context))
                answered: bytes = (await method.call(message)).SerializeToString()
                status = Status.OK
                return answered
            except Failed as error:
                status = error.status
                await context.abort(_CODES[status], error.message)
                raise AssertionError("abort raises") from None
            finally:
                self._count(name, status, time.perf_counter() - began)

        return answer

    async def _read(self, context: Any) -> bytes:
        """The message of a call. Raises Failed."""
        try:
            async with asyncio.timeout(self._limits.read_s), self._places.place(client_of(context.peer())):
                data = await context.read()
        except TimeoutError:
            raise Failed(Status.DEADLINE_EXCEEDED, "the request did not arrive in time") from None
        if data is grpc.aio.EOF:
            raise Failed(Status.INTERNAL, "the call has no request")
        assert isinstance(data, bytes), "no deserializer is given"
        return data

    async def _reflect(self, requests: AsyncIterator[bytes], context: Any) -> AsyncIterator[bytes]:
        async for data in requests:
            try:
                yield reflect(data, self._names)
            except DecodeError:
                await context.abort(grpc.StatusCode.INTERNAL, f"grpc: error unmarshalling request: {MALFORMED}")


_CODES: dict[int, grpc.StatusCode] = {code.value[0]: code for code in grpc.StatusCode}


def _refusing(message: str) -> Any:
    async def refuse(requests: Any, context: Any) -> bytes:
        await context.abort(grpc.StatusCode.UNIMPLEMENTED, message)
        raise AssertionError("abort raises")

    return grpc.stream_unary_rpc_method_handler(refuse)


def client_of(peer: str) -> str:
    """The address of a client without its port, from how the library names it (`ipv4:127.0.0.1:5000`)."""
    return peer.rpartition(":")[0]


def parse(kind: type[Message], data: bytes) -> Message:
    """The message in `data`. Raises Failed as the reference's server does."""
    message = kind()
    try:
        message.ParseFromString(data)
    except DecodeError as error:
        utf8 = "utf" in str(error).lower() or _is_well_formed(kind, data)
        text = "string field contains invalid UTF-8" if utf8 else MALFORMED
        raise Failed(Status.INTERNAL, f"grpc: error unmarshalling request: {text}") from None
    return message


def _is_well_formed(kind: type[Message], data: bytes) -> bool:
    """Whether the bytes are well formed but for a text: the same fields read as ones that nobody knows."""
    from google.protobuf import empty_pb2

    if not any(field.type == field.TYPE_STRING for field in kind.DESCRIPTOR.fields):
        return False
    try:
        empty_pb2.Empty().ParseFromString(data)
    except DecodeError:
        return False
    return True


class GrpcServer:
    """A listener. Made inside a running loop."""

    def __init__(
        self,
        services: Services,
        limits: GrpcLimits | None = None,
        *,
        count: Count = lambda method, status, seconds: None,
    ) -> None:
        limits = limits or GrpcLimits()
        self._server = grpc.aio.server(options=limits.options(), maximum_concurrent_rpcs=limits.calls)
        self._server.add_generic_rpc_handlers((_Handlers(services, limits, count),))

    async def start(self, host: str, port: int, option: str) -> int:
        """Opens the port, 0 for any, and returns it. Raises EnvironmentFault, which names the option, where it is
        taken.
        """
        host = host or "[::]"
        where = f"[{host}]:{port}" if ":" in host and not host.startswith("[") else f"{host}:{port}"
        try:
            bound: int = self._server.add_insecure_port(where)
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
        """Takes no new calls and ends when those in work are answered, at the latest after the grace."""
        await self._server.stop(grace_s)
