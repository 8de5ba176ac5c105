"""The gRPC connection to the node: this service is the client, yet the node asks and we answer.

One `Link` an identity, with a channel of its own: one stream, one request at a time. A half-open connection is
found by HTTP/2 pings. Specified in protocol 01-post-tools, sections 4.1 and 4.2.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import grpc
import grpc.aio
from google.protobuf.message import DecodeError

from api.edge.text import escaped
from api.services.post.options import Address, Tls
from api.services.post.reconnect import Reconnect, Wait
from protocol.pb.spacemesh.v1 import post_types_pb2 as pb

LARGEST_REQUEST = 64 << 10
"""Bytes of a message of the node: a challenge of 32 bytes, and room for what may come."""
REGISTER = "/spacemesh.v1.PostService/Register"

Answer = Callable[[pb.NodeRequest], pb.ServiceResponse]
Say = Callable[[str, str], None]
"""(level, sentence) for the log."""


@dataclass(frozen=True, slots=True)
class KeepAlive:
    """Pings on the connection. A server of the network allows one a minute."""

    interval_s: float = 600.0
    timeout_s: float = 20.0
    """Without an answer for so long the connection is dead."""


class Link:
    """Keeps one identity registered with the node."""

    def __init__(
        self,
        address: Address,
        tls: Tls | None,
        policy: Reconnect,
        answer: Answer,
        say: Say,
        *,
        keep_alive: KeepAlive | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.policy = policy
        self._address, self._tls = address, tls
        self._answer, self._say = answer, say
        self._keep_alive = keep_alive or KeepAlive()
        self._clock = clock

    async def run(self) -> None:
        """Connects, serves, and connects again; ends only when cancelled. Raises GivingUp."""
        while True:
            async with self._channel() as channel:
                wait = await self._connection(channel)
            if wait.say is not None:
                self._say("warning", wait.say)
            await asyncio.sleep(wait.seconds)

    async def _connection(self, channel: Any) -> Wait:
        if not await _is_ready(channel):
            return self.policy.failed(await self._why(channel), self._clock())
        said = self.policy.connected(self._clock())
        if said is not None:
            self._say("info", said)
        return self.policy.ended(await self._serve(self._register(channel)), self._clock())

    def _register(self, channel: Any) -> Any:
        # the node's messages are taken apart in `_serve`: of one that is malformed the library would make None
        return channel.stream_stream(REGISTER, request_serializer=pb.ServiceResponse.SerializeToString)()

    async def _serve(self, call: Any) -> str:
        """Answers until the stream ends; why it did."""
        try:
            while (data := await call.read()) is not grpc.aio.EOF:
                await call.write(self._answer(pb.NodeRequest.FromString(data)))
            code, details = await call.code(), await call.details()
        except DecodeError:
            return "the node sent a message that is not understood"
        except grpc.aio.AioRpcError as error:
            code, details = error.code(), error.details()
        except asyncio.InvalidStateError:  # the stream ended while the answer was on its way
            code, details = await call.code(), await call.details()
        finally:
            call.cancel()
        return described(code, details)

    async def _why(self, channel: Any) -> str:
        """Why there is no connection: only a call is told."""
        call = self._register(channel)
        try:
            await call.wait_for_connection()
        except grpc.aio.AioRpcError as error:
            return described(error.code(), error.details())
        finally:
            call.cancel()
        return "it was there for a moment only"

    def _channel(self) -> Any:
        keep_alive = self._keep_alive
        options: list[tuple[str, object]] = [
            ("grpc.primary_user_agent", "smesher"),
            ("grpc.max_receive_message_length", LARGEST_REQUEST),
            ("grpc.max_metadata_size", 16 << 10),
            ("grpc.enable_http_proxy", 0),
            # every attempt is one of its own: the pool would make them wait for each other
            ("grpc.use_local_subchannel_pool", 1),
            ("grpc.keepalive_time_ms", int(keep_alive.interval_s * 1000)),
            ("grpc.keepalive_timeout_ms", int(keep_alive.timeout_s * 1000)),
            ("grpc.http2.ping_timeout_ms", int(keep_alive.timeout_s * 1000)),  # the shorter one would not count
            ("grpc.keepalive_permit_without_calls", 1),
            ("grpc.http2.max_pings_without_data", 0),
        ]
        if self._tls is None or not self._address.secure:
            return grpc.aio.insecure_channel(self._address.target, options)
        if self._tls.domain is not None:
            options.append(("grpc.ssl_target_name_override", self._tls.domain))
        credentials = grpc.ssl_channel_credentials(self._tls.ca_cert, self._tls.key, self._tls.cert)
        return grpc.aio.secure_channel(self._address.target, credentials, options)


async def _is_ready(channel: Any) -> bool:
    state = channel.get_state(try_to_connect=True)
    while state is not grpc.ChannelConnectivity.READY:
        if state in (grpc.ChannelConnectivity.TRANSIENT_FAILURE, grpc.ChannelConnectivity.SHUTDOWN):
            return False
        await channel.wait_for_state_change(state)
        state = channel.get_state(try_to_connect=True)
    return True


HINTS = (
    ("Hostname Verification", "the node's certificate is for another name; give its name with --domain"),
    ("CERTIFICATE_VERIFY_FAILED", "the node's certificate is not of the authority in --ca-cert, or has expired"),
    ("WRONG_VERSION_NUMBER", "what listens there does not speak TLS; use http://, or the node's TLS listener"),
    ("HTTP/2", "what listens there does not speak gRPC"),
    ("Socket closed", "it closes connections at once: it may want https, or refuse this service's certificate"),
    ("ping timeout", "it does not answer pings any more; it was half-open (the node or the way to it has gone)"),
    ("Connection refused", "nothing listens there (connection refused)"),
)
"""Part of what the library says -> what it means to the operator."""

PREFIX = re.compile(r"^(?:[A-Z_]+: )?(?:ipv[46]:\S+: )?")


def described(code: Any, details: str | None) -> str:
    """The end of a call in words: the node's own text where it gave one."""
    if code is grpc.StatusCode.OK:
        return "the node closed the stream"
    text = escaped((details or "").rpartition("last error: ")[2].strip())
    if code is grpc.StatusCode.UNIMPLEMENTED:
        return f"what listens there is no node with a PoST service ({text or code.name})"
    if code is not grpc.StatusCode.UNAVAILABLE:
        return f"{text} ({code.name})" if text else code.name
    for part, meaning in HINTS:
        if part in text:
            return meaning
    return PREFIX.sub("", text).rstrip(".") or "it is not available"
