"""What every gRPC server of ours holds to: bounds on messages, places to read them, and the reference's words."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
from google.protobuf.message import Message

from api.edge.errors import EnvironmentFault
from api.edge.rpc import Failed, Status
from api.grpc.handlers import client_of
from api.grpc.limits import GrpcLimits
from api.grpc.methods import methods
from api.grpc.places import Places
from api.grpc.server import GrpcServer
from protocol.pb.grpc.reflection.v1 import reflection_pb2
from protocol.pb.rpc.api.v1 import api_pb2

SERVICE = api_pb2.DESCRIPTOR.services_by_name["PoetService"]
SUBMIT = "/rpc.api.v1.PoetService/Submit"
WAIT_S = 60.0


class Calls:
    """Methods that answer with the size of what came, or fail."""

    def __init__(self) -> None:
        self.largest = 0
        self.failure: Failed | None = None

    async def submit(self, request: api_pb2.SubmitRequest) -> Message:
        if self.failure is not None:
            raise self.failure
        self.largest = max(self.largest, request.ByteSize())
        return api_pb2.SubmitResponse(round_id=str(request.ByteSize()))

    async def other(self, request: Message) -> Message:
        return api_pb2.InfoResponse()

    def all(self) -> dict[str, Callable[[Any], Awaitable[Message]]]:
        return {"Submit": self.submit, "Info": self.other, "PowParams": self.other, "Proof": self.other}


def run(test: Callable[[int, Calls], Awaitable[None]], limits: GrpcLimits | None = None) -> None:
    async def main() -> None:
        calls = Calls()
        server = GrpcServer({SERVICE.full_name: methods(SERVICE, calls.all())}, limits)
        port = await server.start("127.0.0.1", 0, "rpclisten")
        try:
            async with asyncio.timeout(WAIT_S):
                await test(port, calls)
        finally:
            await server.stop(0)

    asyncio.run(main())


async def call(port: int, data: bytes, path: str = SUBMIT) -> tuple[grpc.StatusCode, str]:
    """Code, and the answer or the words of the failure."""
    options = [("grpc.max_send_message_length", -1), ("grpc.use_local_subchannel_pool", 1)]
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}", options) as channel:
        try:
            answer = await channel.unary_unary(path)(data)
        except grpc.aio.AioRpcError as error:
            return error.code(), error.details() or ""
        return grpc.StatusCode.OK, api_pb2.SubmitResponse.FromString(answer).round_id


def resident_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / 2**20


def large(size: int) -> bytes:
    return api_pb2.SubmitRequest(challenge=bytes(size)).SerializeToString()


def test_calls_are_answered_and_failures_keep_their_words() -> None:
    async def test(port: int, calls: Calls) -> None:
        assert await call(port, large(100)) == (grpc.StatusCode.OK, "102")
        calls.failure = Failed(Status.ALREADY_EXISTS, "conflicting registration")
        assert await call(port, b"") == (grpc.StatusCode.ALREADY_EXISTS, "conflicting registration")

    run(test)


@pytest.mark.parametrize(
    ("path", "data", "code", "words"),
    [
        (SUBMIT, b"\xff\xff\xff", "INTERNAL", "grpc: error unmarshalling request: proto: cannot parse invalid wire"),
        ("/rpc.api.v1.PoetService/Proof", b"\x0a\x02\xff\xfe", "INTERNAL", "string field contains invalid UTF-8"),
        ("/rpc.api.v1.PoetService/Nope", b"", "UNIMPLEMENTED", "unknown method Nope for service rpc.api.v1.Poet"),
        ("/rpc.api.v1.Other/X", b"", "UNIMPLEMENTED", "unknown service rpc.api.v1.Other"),
        ("/x", b"", "UNIMPLEMENTED", "unknown service x"),
    ],
)
def test_what_is_no_call(path: str, data: bytes, code: str, words: str) -> None:
    async def test(port: int, calls: Calls) -> None:
        found, said = await call(port, data, path)
        assert (found.name, words in said) == (code, True), said

    run(test)


def test_a_message_above_the_limit_is_refused_by_its_length_and_not_held() -> None:
    async def test(port: int, calls: Calls) -> None:
        assert (await call(port, large((4 << 20) - 10)))[0] is grpc.StatusCode.OK
        code, words = await call(port, large(4 << 20))
        assert code is grpc.StatusCode.RESOURCE_EXHAUSTED and "eceived message larger than max" in words
        assert calls.largest < 4 << 20

    run(test)


def announcing(stream: int, size: int, sent: int) -> bytes:
    """HTTP/2 frames of a call whose message has so many bytes, and the first of them."""

    def frame(kind: int, flags: int, data: bytes) -> bytes:
        return struct.pack(">I", len(data))[1:] + bytes((kind, flags)) + struct.pack(">I", stream) + data

    def literal(name: bytes, value: bytes) -> bytes:
        return b"\x00" + bytes((len(name),)) + name + bytes((len(value),)) + value

    head = b"\x83\x86" + literal(b":path", SUBMIT.encode()) + literal(b":authority", b"x")
    head += literal(b"content-type", b"application/grpc") + literal(b"te", b"trailers")
    return frame(1, 4, head) + frame(0, 0, b"\0" + struct.pack(">I", size) + bytes(sent))


def test_many_calls_that_announce_much_hold_little_and_stop_nobody() -> None:
    """200 calls on connections of their own that announce 4 MiB each and send 16 KB; others are answered meanwhile."""

    async def test(port: int, calls: Calls) -> None:
        await call(port, large(10))
        before = resident_mb()
        held = []
        for _ in range(200):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes.fromhex("000000040000000000"))
            writer.write(announcing(1, (4 << 20) - 1, 16_000))
            held.append(writer)
        code, _ = await call(port, large(10))
        assert code in (grpc.StatusCode.OK, grpc.StatusCode.DEADLINE_EXCEEDED)
        assert resident_mb() - before < 64, "what is announced is not held"
        for writer in held:
            writer.close()
        while (await call(port, large(10)))[0] is not grpc.StatusCode.OK:
            await asyncio.sleep(0.05)

    run(test, GrpcLimits(read_s=0.5))


def test_places_are_bounded_in_all_and_for_one_client() -> None:
    async def main() -> None:
        places = Places(GrpcLimits(reading=3, reading_of_one=2))
        reading: list[str] = []
        most = 0
        go = asyncio.Event()

        async def read(client: str) -> None:
            nonlocal most
            await places.take(client)
            try:
                reading.append(client)
                most = max(most, len(reading))
                assert reading.count(client) <= 2
                await go.wait()
                reading.remove(client)
            finally:
                places.give_back(client)

        tasks = [asyncio.create_task(read("a")) for _ in range(4)]
        await asyncio.sleep(0)
        tasks += [asyncio.create_task(read("b")) for _ in range(2)]
        for _ in range(5):
            await asyncio.sleep(0)
        assert sorted(reading) == ["a", "a", "b"], "another client has a place although the first wants all"
        tasks[3].cancel()
        go.set()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert reading == [] and most == 3
        async with asyncio.timeout(WAIT_S):
            for client in ("a", "a", "c"):
                await places.take(client)

    asyncio.run(main())


def test_a_place_that_is_handed_over_to_one_who_goes_is_not_lost() -> None:
    async def main() -> None:
        places = Places(GrpcLimits(reading=1, reading_of_one=1))
        await places.take("a")
        waits = [asyncio.create_task(places.take(client)) for client in "bc"]
        await asyncio.sleep(0)
        places.give_back("a")
        waits[0].cancel()  # it has the place, and does not know it yet
        async with asyncio.timeout(WAIT_S):
            await waits[1]
        assert waits[0].cancelled()
        gone = asyncio.create_task(places.take("d"))
        await asyncio.sleep(0)
        gone.cancel()
        await asyncio.wait([gone])
        places.give_back("c")
        async with asyncio.timeout(WAIT_S):
            await places.take("e")

    asyncio.run(main())


def test_a_call_that_never_sends_its_message_is_ended() -> None:
    async def test(port: int, calls: Calls) -> None:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            silent = channel.stream_unary(SUBMIT)()
            assert await silent.code() is grpc.StatusCode.DEADLINE_EXCEEDED
            empty = channel.stream_unary(SUBMIT)()
            await empty.done_writing()
            assert await empty.code() is grpc.StatusCode.INTERNAL

    run(test, GrpcLimits(read_s=0.2))


@pytest.mark.parametrize("version", ["v1", "v1alpha"])
def test_reflection_tells_the_services_and_refuses_what_is_no_question(version: str) -> None:
    path = f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo"

    async def test(port: int, calls: Calls) -> None:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            stream = channel.stream_stream(path)()
            await stream.write(reflection_pb2.ServerReflectionRequest(list_services="").SerializeToString())
            found = reflection_pb2.ServerReflectionResponse.FromString(await stream.read())
            names = [one.name for one in found.list_services_response.service]
            assert SERVICE.full_name in names and f"grpc.reflection.{version}.ServerReflection" in names
            await stream.write(b"\xff")
            with pytest.raises(grpc.aio.AioRpcError, match="cannot parse"):
                await stream.read()
            assert await stream.code() is grpc.StatusCode.INTERNAL

    run(test)


def test_a_port_in_use_is_named() -> None:
    async def test(port: int, calls: Calls) -> None:
        second = GrpcServer({})
        with pytest.raises(EnvironmentFault, match=rf"127.0.0.1:{port}.*--config-rpclisten"):
            await second.start("127.0.0.1", port, "config-rpclisten")
        await second.stop(0)

    run(test)


def test_clients_by_address() -> None:
    assert client_of("ipv4:127.0.0.1:5000") == client_of("ipv4:127.0.0.1:5001") == "ipv4:127.0.0.1"
    assert client_of("ipv6:[::1]:5000") == "ipv6:[::1]"
