"""Streams and dialogues of a gRPC server of ours: order, headers, back-pressure, bounds, failures, and its end."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import grpc
import grpc.aio
import pytest
from google.protobuf.message import Message

from api.edge.rpc import Failed, Headers, Status
from api.grpc.limits import GrpcLimits
from api.grpc.methods import kind_of, methods
from api.grpc.server import GrpcServer
from protocol.pb.grpc.reflection.v1 import reflection_pb2
from protocol.pb.rpc.api.v1 import api_pb2
from protocol.pb.spacemesh.v1 import node_pb2, node_types_pb2, post_pb2, post_types_pb2, types_pb2

NODE = node_pb2.DESCRIPTOR.services_by_name["NodeService"]
POST = post_pb2.DESCRIPTOR.services_by_name["PostService"]
STREAM = "/spacemesh.v1.NodeService/StatusStream"
ECHO = "/spacemesh.v1.NodeService/Echo"
REGISTER = "/spacemesh.v1.PostService/Register"
WAIT_S = 60.0


def status(number: int, padding: int = 0) -> Message:
    return (
        node_types_pb2.StatusStreamResponse(status=node_types_pb2.NodeStatus(connected_peers=number))
        if not padding
        else (node_types_pb2.ErrorStreamResponse(error=node_types_pb2.NodeError(msg="x" * padding)))
    )


class Calls:
    """A node's status as a stream, an echo, and a dialogue, which do what a test says."""

    def __init__(self) -> None:
        self.told = 0
        self.closed: list[str] = []
        self.go = asyncio.Event()
        self.ending: Exception | None = None
        self.most = 3
        self.padding = 0
        self.heard: list[Any] = []
        self.counted: list[tuple[str, Status]] = []

    async def echo(self, request: node_types_pb2.EchoRequest) -> Message:
        if self.ending is not None:
            raise self.ending
        if request.msg.value == "wait":
            self.told += 1
            await self.go.wait()
        return node_types_pb2.EchoResponse(msg=types_pb2.SimpleString(value=request.msg.value))

    async def status_stream(self, request: Message) -> AsyncIterator[Message | Headers]:
        try:
            yield Headers.NOW
            await self.go.wait()
            for number in range(self.most):
                self.told += 1
                yield status(number, self.padding)
            if self.ending is not None:
                raise self.ending
        finally:
            self.closed.append("stream")

    async def register(self, said: AsyncIterator[post_types_pb2.ServiceResponse]) -> AsyncIterator[Message | Headers]:
        try:
            yield post_types_pb2.NodeRequest(metadata=post_types_pb2.MetadataRequest())
            async for one in said:
                self.heard.append(one)
                if one.WhichOneof("kind") != "metadata":
                    raise Failed(Status.UNKNOWN, "expected metadata")
                yield post_types_pb2.NodeRequest(
                    gen_proof=post_types_pb2.GenProofRequest(challenge=one.metadata.meta.node_id)
                )
        finally:
            self.closed.append("dialogue")

    async def nothing(self, request: Message) -> Message:
        raise AssertionError("not asked")

    def node(self) -> dict[str, Callable[..., Any]]:
        calls: dict[str, Callable[..., Any]] = {one.name: self.nothing for one in NODE.methods}
        return {**calls, "Echo": self.echo, "StatusStream": self.status_stream}

    def count(self, method: str, status: Status, seconds: float) -> None:
        self.counted.append((method, status))


class Served:
    """A listener with these calls, and a channel to it."""

    def __init__(self, limits: GrpcLimits | None = None) -> None:
        self.calls = Calls()
        self.server = GrpcServer(
            {
                NODE.full_name: methods(NODE, self.calls.node()),
                POST.full_name: methods(POST, {"Register": self.calls.register}),
            },
            limits,
            described=[node_pb2.DESCRIPTOR, post_pb2.DESCRIPTOR],
            count=self.calls.count,
            log=logging.getLogger("tests.grpc"),
        )

    async def __aenter__(self) -> Served:
        self.port = await self.server.start("127.0.0.1", 0, "grpc-public-listener")
        self.channel = self.another()
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.channel.close()
        await self.server.stop(0)

    def another(self) -> Any:
        options = [("grpc.use_local_subchannel_pool", 1), ("grpc.http2.lookahead_bytes", 1024)]
        return grpc.aio.insecure_channel(f"127.0.0.1:{self.port}", options)

    def stream(self) -> Any:
        return self.channel.unary_stream(STREAM)(b"")

    def dialogue(self) -> Any:
        return self.channel.stream_stream(REGISTER)()

    async def echo(self, text: str) -> str:
        request = node_types_pb2.EchoRequest(msg=types_pb2.SimpleString(value=text))
        answer = await self.channel.unary_unary(ECHO)(request.SerializeToString())
        return node_types_pb2.EchoResponse.FromString(answer).msg.value


def run(test: Callable[[Served], Awaitable[None]], limits: GrpcLimits | None = None) -> None:
    async def main() -> None:
        async with asyncio.timeout(WAIT_S), Served(limits) as served:
            await test(served)

    asyncio.run(main())


async def until(condition: Callable[[], bool]) -> None:
    while not condition():
        await asyncio.sleep(0)


def test_a_stream_sends_its_headers_first_then_messages_in_order_then_its_end() -> None:
    async def test(served: Served) -> None:
        call = served.stream()
        await call.initial_metadata()  # before anything is told
        assert served.calls.told == 0
        served.calls.go.set()
        told = [node_types_pb2.StatusStreamResponse.FromString(one).status.connected_peers async for one in call]
        assert told == [0, 1, 2] and await call.code() is grpc.StatusCode.OK
        await until(lambda: served.calls.counted == [("spacemesh.v1.NodeService/StatusStream", Status.OK)])

    run(test)


def test_a_stream_may_fail_after_some_messages_and_keeps_its_words() -> None:
    async def test(served: Served) -> None:
        served.calls.go.set()
        served.calls.ending = Failed(Status.CANCELLED, "tx buffer is full")
        call = served.stream()
        told = []
        with pytest.raises(grpc.aio.AioRpcError):
            async for one in call:
                told.append(one)
        assert len(told) == 3
        assert (await call.code(), await call.details()) == (grpc.StatusCode.CANCELLED, "tx buffer is full")

    run(test)


@pytest.mark.parametrize("path", [STREAM, ECHO])
def test_a_mistake_of_ours_ends_one_call_and_leaves_its_trace_in_the_log(
    path: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def test(served: Served) -> None:
        served.calls.go.set()
        served.calls.ending = KeyError("secret")
        other = served.dialogue()
        await other.read()
        with pytest.raises(grpc.aio.AioRpcError) as found:
            if path == STREAM:
                async for _ in served.stream():
                    pass
            else:
                await served.echo("x")
        assert found.value.code() is grpc.StatusCode.INTERNAL and "secret" not in (found.value.details() or "")
        served.calls.ending = None
        assert await served.echo("still there") == "still there"
        await other.write(
            post_types_pb2.ServiceResponse(metadata=post_types_pb2.MetadataResponse()).SerializeToString()
        )
        assert await other.read()

    with caplog.at_level(logging.ERROR, "tests.grpc"):
        run(test)
    assert [path in one.message and one.exc_info is not None for one in caplog.records] == [True]
    assert "KeyError: 'secret'" in caplog.text


def test_a_client_that_goes_ends_its_stream() -> None:
    async def test(served: Served) -> None:
        call = served.stream()
        await call.initial_metadata()
        call.cancel()
        await until(lambda: served.calls.closed == ["stream"])
        await until(lambda: served.server.open_streams == 0)

    run(test)


def test_nothing_is_told_to_a_client_that_does_not_read_and_after_a_while_it_is_left() -> None:
    async def test(served: Served) -> None:
        served.calls.go.set()
        served.calls.most, served.calls.padding = 1000, 64 << 10
        call = served.stream()
        await call.initial_metadata()
        await until(lambda: served.calls.closed == ["stream"])
        assert 0 < served.calls.told < 200, "what does not fit between the two waits here"
        await until(lambda: bool(served.calls.counted))
        assert served.calls.counted == [("spacemesh.v1.NodeService/StatusStream", Status.CANCELLED)]
        assert await served.echo("others") == "others"
        call.cancel()

    run(test, GrpcLimits(write_s=0.3))


def test_a_dialogue_speaks_and_hears_in_turn() -> None:
    async def test(served: Served) -> None:
        call = served.dialogue()
        assert post_types_pb2.NodeRequest.FromString(await call.read()).WhichOneof("kind") == "metadata"
        for id in (b"a", b"b"):
            answer = post_types_pb2.ServiceResponse(
                metadata=post_types_pb2.MetadataResponse(meta=post_types_pb2.Metadata(node_id=id))
            )
            await call.write(answer.SerializeToString())
            assert post_types_pb2.NodeRequest.FromString(await call.read()).gen_proof.challenge == id
        await call.done_writing()
        assert await call.read() is grpc.aio.EOF and await call.code() is grpc.StatusCode.OK
        assert served.calls.closed == ["dialogue"]

    run(test)


@pytest.mark.parametrize(
    ("data", "code"),
    [(b"\xff\xff", grpc.StatusCode.INTERNAL), (b"", grpc.StatusCode.UNKNOWN)],
    ids=["no message", "refused"],
)
def test_a_dialogue_ends_with_what_it_does_not_take(data: bytes, code: grpc.StatusCode) -> None:
    async def test(served: Served) -> None:
        call = served.dialogue()
        await call.read()
        await call.write(data)
        with pytest.raises(grpc.aio.AioRpcError):
            await call.read()
        assert await call.code() is code
        assert served.calls.closed == ["dialogue"]

    run(test)


def test_streams_are_bounded_for_one_client_and_in_all() -> None:
    async def test(served: Served) -> None:
        first = [served.stream() for _ in range(2)]
        for call in first:
            await call.initial_metadata()
        third = served.stream()
        with pytest.raises(grpc.aio.AioRpcError, match=r"2 streams of this kind open.*close some"):
            await third.read()
        assert await third.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert await served.echo("calls go on") == "calls go on"
        dialogue = served.dialogue()
        assert await dialogue.read(), "dialogues are counted by themselves"
        with pytest.raises(grpc.aio.AioRpcError, match="all clients together have 1 streams"):
            await served.dialogue().read()
        dialogue.cancel()
        first[0].cancel()
        await until(lambda: served.server.open_streams == 1)
        again = served.stream()
        await again.initial_metadata()
        again.cancel()

    run(test, GrpcLimits(streams_of_one=2, dialogues=1, dialogues_of_one=5))


def test_a_client_that_asks_too_often_is_told_so() -> None:
    async def test(served: Served) -> None:
        for _ in range(3):
            await served.echo("x")
        for path in (ECHO, STREAM, "/no.such/Method"):
            with pytest.raises(grpc.aio.AioRpcError, match=r"more often than 0\.001 times a second") as found:
                await served.channel.unary_unary(path)(b"")
            assert found.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED

    run(test, GrpcLimits(calls_per_s=0.001, burst=3))


def test_a_call_that_takes_too_long_is_given_up() -> None:
    async def test(served: Served) -> None:
        with pytest.raises(grpc.aio.AioRpcError, match=r"longer than 0\.05 s") as found:
            await served.echo("wait")
        assert found.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        served.calls.ending = TimeoutError("of something inside")
        with pytest.raises(grpc.aio.AioRpcError) as found:
            await served.echo("x")
        assert found.value.code() is grpc.StatusCode.INTERNAL, "its own timeout is another matter"

    run(test, GrpcLimits(answer_s=0.05))


def test_an_answer_above_the_limit_is_not_sent() -> None:
    async def test(served: Served) -> None:
        assert len(await served.echo("x" * 90)) == 90
        with pytest.raises(
            grpc.aio.AioRpcError, match=r"trying to send message larger than max \(\d+ vs. 100\)"
        ) as found:
            await served.echo("x" * 200)
        assert found.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED

    run(test, GrpcLimits(answer_bytes=100))


def test_streams_end_at_once_when_the_server_stops() -> None:
    async def test(served: Served) -> None:
        stream, dialogue = served.stream(), served.dialogue()
        await stream.initial_metadata()
        await dialogue.read()
        waiting = asyncio.create_task(served.echo("wait"))
        await until(lambda: served.server.open_streams == 2 and served.calls.told == 1)
        stopping = asyncio.create_task(served.server.stop(WAIT_S))
        assert await stream.code() is await dialogue.code() is grpc.StatusCode.UNAVAILABLE
        assert await stream.details() == "the server is stopping"
        served.calls.go.set()
        assert await waiting == "wait", "a call in work is answered"
        await stopping
        assert sorted(served.calls.closed) == ["dialogue", "stream"]

    run(test)


@pytest.mark.parametrize("version", ["v1", "v1alpha"])
def test_reflection_describes_what_the_listener_serves_and_nothing_else(version: str) -> None:
    path = f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo"

    async def test(served: Served) -> None:
        call = served.channel.stream_stream(path)()

        async def ask(**question: Any) -> Any:
            await call.write(reflection_pb2.ServerReflectionRequest(**question).SerializeToString())
            return reflection_pb2.ServerReflectionResponse.FromString(await call.read())

        for symbol in (NODE.full_name, "spacemesh.v1.NodeService.Echo", f"grpc.reflection.{version}.ServerReflection"):
            found = await ask(file_containing_symbol=symbol)
            assert found.file_descriptor_response.file_descriptor_proto, found
        assert (await ask(file_by_filename="spacemesh/v1/node.proto")).HasField("file_descriptor_response")
        assert api_pb2.DESCRIPTOR.name, "it is loaded"
        for question in (
            {"file_containing_symbol": "rpc.api.v1.PoetService"},
            {"file_by_filename": api_pb2.DESCRIPTOR.name},
            {"file_containing_symbol": "no.such"},
            {"all_extension_numbers_of_type": "rpc.api.v1.PoetProof"},
            {},
        ):
            found = await ask(**question)
            assert found.error_response.error_code == 5 and found.error_response.error_message, question
        await call.done_writing()
        assert await call.code() is grpc.StatusCode.OK

    run(test)


def test_a_method_that_takes_many_and_answers_once_is_no_kind_of_ours() -> None:
    class Taking:
        client_streaming, server_streaming, full_name = True, False, "a.B.C"

    with pytest.raises(ValueError, match=r"a\.B\.C takes a stream"):
        kind_of(Taking())  # type: ignore[arg-type]
