"""Whether a server takes calls, as probes are told."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import grpc
import grpc.aio
import pytest

from api.grpc.health import SERVICE, Health
from api.grpc.methods import methods
from api.grpc.server import GrpcServer
from protocol.pb.grpc.health.v1 import health_pb2

WAIT_S = 60.0
SERVING, NOT_SERVING, UNKNOWN = 1, 2, 3


def run(test: Callable[[Health, grpc.aio.Channel], Awaitable[None]]) -> None:
    async def main() -> None:
        health = Health(["synced"])
        server = GrpcServer({SERVICE.full_name: methods(SERVICE, health.calls(["a.B", SERVICE.full_name]))})
        port = await server.start("127.0.0.1", 0, "grpc-public-listener")
        try:
            async with asyncio.timeout(WAIT_S), grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
                await test(health, channel)
        finally:
            await server.stop(0)

    asyncio.run(main())


async def check(channel: grpc.aio.Channel, name: str) -> int:
    request = health_pb2.HealthCheckRequest(service=name).SerializeToString()
    answer = await channel.unary_unary("/grpc.health.v1.Health/Check")(request)
    return health_pb2.HealthCheckResponse.FromString(answer).status


def test_nothing_serves_while_the_program_starts_and_a_further_name_only_when_it_holds() -> None:
    async def test(health: Health, channel: grpc.aio.Channel) -> None:
        names = ("", "a.B", "grpc.health.v1.Health", "synced")
        health.holds("synced", True)
        assert [await check(channel, name) for name in names] == [NOT_SERVING] * 4
        health.serves(True)
        assert [await check(channel, name) for name in names] == [SERVING] * 4
        health.holds("synced", False)
        assert [await check(channel, name) for name in names] == [SERVING] * 3 + [NOT_SERVING]
        with pytest.raises(grpc.aio.AioRpcError, match="unknown service a") as found:
            await check(channel, "a")
        assert found.value.code() is grpc.StatusCode.NOT_FOUND

    run(test)


def test_who_watches_is_told_of_every_change_once() -> None:
    async def test(health: Health, channel: grpc.aio.Channel) -> None:
        def watch(name: str) -> grpc.aio.UnaryStreamCall:
            request = health_pb2.HealthCheckRequest(service=name).SerializeToString()
            return channel.unary_stream("/grpc.health.v1.Health/Watch")(request)

        async def told(call: grpc.aio.UnaryStreamCall) -> int:
            return health_pb2.HealthCheckResponse.FromString(await call.read()).status

        service, synced, unknown = watch("a.B"), watch("synced"), watch("nope")
        assert [await told(one) for one in (service, synced, unknown)] == [NOT_SERVING, NOT_SERVING, UNKNOWN]
        health.serves(True)
        assert await told(service) == SERVING
        health.serves(True)
        health.holds("synced", True)
        assert await told(synced) == SERVING
        health.serves(False)
        assert [await told(one) for one in (service, synced)] == [NOT_SERVING, NOT_SERVING]

    run(test)
