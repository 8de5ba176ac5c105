"""The calls of one gRPC listener, from their path to their status.

Every call holds to the listener's bounds: its pace, the place in which its message is read, the streams that a client
may hold, the time of an answer, and of a message that the client does not take. A mistake of ours costs the call in
which it shows (INTERNAL; the log has the trace), never another one.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from contextlib import aclosing, nullcontext
from typing import Any, NoReturn

import grpc
import grpc.aio
from google.protobuf.message import Message

from api.edge.rates import Rates
from api.edge.rpc import Count, Failed, Headers, Status
from api.grpc.limits import GrpcLimits
from api.grpc.methods import Kind, Method, Services, parse
from api.grpc.places import Held, Places

REFUSED_S = 1.0
"""For the status of a client that takes nothing."""

_CODES: dict[int, grpc.StatusCode] = {code.value[0]: code for code in grpc.StatusCode}
FAILED = Failed(Status.INTERNAL, "internal error; the log of the node says more")
STOPPING = Failed(Status.UNAVAILABLE, "the server is stopping")

Work = Callable[[Any], Awaitable[bytes | None]]


class Handlers(grpc.GenericRpcHandler):  # type: ignore[misc]
    """The methods of one listener; others are answered with the reference's words."""

    def __init__(self, services: Services, limits: GrpcLimits, count: Count, log: logging.Logger) -> None:
        self._services, self._limits, self._count, self._log = services, limits, count, log
        self._places = Places(limits)
        self._rates = None if limits.calls_per_s is None else Rates(limits.calls_per_s, limits.burst)
        self._streams = Held(limits.streams_in_all, limits.streams_of_one)
        self._dialogues = Held(limits.dialogues, limits.dialogues_of_one)
        self._open: set[asyncio.Task[Any]] = set()
        self._is_stopping = False

    @property
    def open_streams(self) -> int:
        """Streams and dialogues that are held now."""
        return self._streams.count + self._dialogues.count

    def end_streams(self) -> None:
        """Ends every stream, since its client would never do so, and takes no more."""
        self._is_stopping = True
        for task in self._open:
            task.cancel()

    def service(self, details: Any) -> Any:
        """grpc: the handler of a call, by its path."""
        path = details.method
        _, service, name = (path.split("/") + ["", ""])[:3]
        methods = self._services.get(service)
        if methods is None:
            return self._refusing(f"unknown service {service}")
        method = methods.get(name)
        if method is None:
            return self._refusing(f"unknown method {name} for service {service}")
        # a single message is read as a stream too: so its place comes before its bytes
        if method.kind is Kind.UNARY:
            return grpc.stream_unary_rpc_method_handler(self._guarded(path, self._unary(method)))
        work = self._stream(method) if method.kind is Kind.STREAM else self._dialogue(method)
        return grpc.stream_stream_rpc_method_handler(self._guarded(path, work))

    # Kinds of calls

    def _unary(self, method: Method) -> Work:
        async def answer(context: Any) -> bytes:
            message = parse(method.request, await self._read(context))
            seconds = self._limits.answer_s
            try:
                async with nullcontext() if seconds is None else asyncio.timeout(seconds) as timeout:
                    answered = await method.call(message)
            except TimeoutError:
                if timeout is None or not timeout.expired():
                    raise
                raise Failed(
                    Status.DEADLINE_EXCEEDED, f"the call took longer than {seconds:g} s and was given up"
                ) from None
            return self._serialized(answered)

        return answer

    def _stream(self, method: Method) -> Work:
        async def answer(context: Any) -> None:
            with self._streams.hold(client_of(context.peer())):
                message = parse(method.request, await self._read(context))
                await self._write_all(context, method.call(message))

        return answer

    def _dialogue(self, method: Method) -> Work:
        async def answer(context: Any) -> None:
            with self._dialogues.hold(client_of(context.peer())):
                await self._write_all(context, method.call(_Messages(method, context)))

        return answer

    async def _write_all(self, context: Any, answers: Any) -> None:
        """What a stream says, a message when the one before it has been taken. Raises Failed."""
        self._open.add(task := _this_task())
        try:
            async with aclosing(answers):
                async for answer in answers:
                    if answer is Headers.NOW:
                        await context.send_initial_metadata(())
                        continue
                    data = self._serialized(answer)
                    try:
                        async with asyncio.timeout(self._limits.write_s):
                            await context.write(data)
                    except TimeoutError:
                        raise Failed(
                            Status.CANCELLED, f"a message was not taken within {self._limits.write_s:g} s"
                        ) from None
        finally:
            self._open.discard(task)

    def _serialized(self, message: Any) -> bytes:
        data: bytes = message.SerializeToString()
        most = self._limits.answer_bytes
        if most is not None and len(data) > most:
            raise Failed(
                Status.RESOURCE_EXHAUSTED, f"grpc: trying to send message larger than max ({len(data)} vs. {most})"
            )
        return data

    async def _read(self, context: Any) -> bytes:
        """The message of a call. Raises Failed."""
        client = client_of(context.peer())
        try:
            async with asyncio.timeout(self._limits.read_s):
                await self._places.take(client)
                try:
                    data = await context.read()
                finally:
                    self._places.give_back(client)
        except TimeoutError:
            raise Failed(Status.DEADLINE_EXCEEDED, "the request did not arrive in time") from None
        if data is grpc.aio.EOF:
            raise Failed(Status.INTERNAL, "the call has no request")
        assert isinstance(data, bytes), "no deserializer is given"
        return data

    # What all have in common

    def _guarded(self, path: str, work: Work) -> Callable[[Any, Any], Awaitable[bytes | None]]:
        async def answer(requests: Any, context: Any) -> bytes | None:
            began = time.perf_counter()
            status = Status.CANCELLED
            try:
                self._admit(context)
                answered = await work(context)
                status = Status.OK
                return answered
            except Failed as error:
                status = error.status
                await _end(context, error)
            except asyncio.CancelledError:
                if not self._is_stopping or context.cancelled():
                    raise
                status = STOPPING.status
                _this_task().uncancel()
                await _end(context, STOPPING)
            except grpc.aio.BaseError:  # the client has gone, or the server
                raise
            except Exception:  # a mistake of ours, whatever it is, ends one call
                status = FAILED.status
                self._log.exception("%s failed", path)
                await _end(context, FAILED)
            finally:
                self._count(path[1:], status, time.perf_counter() - began)

        return answer

    def _refusing(self, message: str) -> Any:
        """What is not served. It is not counted: whoever makes names up would fill the memory with them."""

        async def refuse(requests: Any, context: Any) -> bytes:
            try:
                self._admit(context)
            except Failed as error:
                await _end(context, error)
            await _end(context, Failed(Status.UNIMPLEMENTED, message))

        return grpc.stream_unary_rpc_method_handler(refuse)

    def _admit(self, context: Any) -> None:
        """Raises Failed for a client that asks too often."""
        if self._rates is not None and not self._rates.take(client_of(context.peer())):
            raise Failed(
                Status.RESOURCE_EXHAUSTED,
                f"this client asks more often than {self._limits.calls_per_s:g} times a second; wait, then ask again",
            )


class _Messages:
    """What the client of a dialogue says. Raises Failed for what is no message."""

    def __init__(self, method: Method, context: Any) -> None:
        self._method, self._context = method, context

    def __aiter__(self) -> _Messages:
        return self

    async def __anext__(self) -> Message:
        data = await self._context.read()
        if data is grpc.aio.EOF:
            raise StopAsyncIteration
        return parse(self._method.request, data)


async def _end(context: Any, failed: Failed) -> NoReturn:
    try:
        async with asyncio.timeout(REFUSED_S):
            await context.abort(_CODES[failed.status], failed.message)
    except TimeoutError:
        raise asyncio.CancelledError from None  # the library drops the call
    raise AssertionError("abort raises")


def _this_task() -> asyncio.Task[Any]:
    task = asyncio.current_task()
    assert task is not None, "calls run in tasks"
    return task


def client_of(peer: str) -> str:
    """The address of a client without its port, from how the library names it (`ipv4:127.0.0.1:5000`)."""
    return peer.rpartition(":")[0]
