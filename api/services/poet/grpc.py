"""The PoET service over gRPC: one listener for clients, one for the operator, reflection on both.

Messages are taken apart here and not by the library, because what is answered to a malformed or too large one is
the reference's. Specified in protocol 02-poet, section 9.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, TypeVar

import grpc
import grpc.aio
from google.protobuf.message import DecodeError, Message

from api.grpc.reflection import REFLECTION_SERVICES, reflect
from api.services.poet.gateway import MAX_MESSAGE_SIZE, SECOND_NS, too_large
from api.services.poet.metrics import CONFIGURATION_SERVICE, POET_SERVICE, Metrics
from api.services.poet.service import PoetService
from protocol.pb.rpc.api.v1 import api_pb2, internal_api_pb2
from protocol.poet.registration import PowParams
from prover.errors import EnvironmentFault
from prover.poet.server.registration import Code, Refused, Registered, Submit

MINUTE_MS = 60_000
LARGEST_RECEIVED = 64 << 20
"""Bytes of a message that are read at all; the answer to one above 4 MiB has to name its size."""

OPTIONS = (
    ("grpc.so_reuseport", 0),
    ("grpc.max_receive_message_length", LARGEST_RECEIVED),
    ("grpc.max_send_message_length", -1),
    ("grpc.max_connection_idle_ms", 120 * MINUTE_MS),
    ("grpc.max_connection_age_ms", 180 * MINUTE_MS),
    ("grpc.max_connection_age_grace_ms", 10 * MINUTE_MS),
    ("grpc.keepalive_time_ms", MINUTE_MS),
    ("grpc.keepalive_timeout_ms", 3 * MINUTE_MS),
)

M = TypeVar("M", bound=Message)
Call = Callable[[bytes], Awaitable[Message]]


class Failed(Exception):
    """A call that ends with a status."""

    def __init__(self, refused: Refused) -> None:
        super().__init__(refused.message)
        self.refused = refused


class _Handlers(grpc.GenericRpcHandler):  # type: ignore[misc]
    """The methods of one listener; others are answered with the reference's words."""

    def __init__(self, services: dict[str, dict[str, Call]], metrics: Metrics | None) -> None:
        self._services = services
        self._metrics = metrics
        self._names = sorted({*services, *REFLECTION_SERVICES})

    def service(self, details: Any) -> Any:
        """grpc: the handler of a call, by its path."""
        _, service, method = (details.method.split("/") + ["", ""])[:3]
        if service in REFLECTION_SERVICES and method == "ServerReflectionInfo":
            return grpc.stream_stream_rpc_method_handler(self._reflect)
        methods = self._services.get(service)
        if methods is None and service not in REFLECTION_SERVICES:
            return _refusing(f"unknown service {service}")
        call = (methods or {}).get(method)
        if call is None:
            return _refusing(f"unknown method {method} for service {service}")
        return grpc.unary_unary_rpc_method_handler(self._answering(method, call))

    def _answering(self, method: str, call: Call) -> Callable[[bytes, Any], Awaitable[bytes]]:
        async def answer(data: bytes, context: Any) -> bytes:
            began = time.perf_counter()
            code = Code.CANCELED
            try:
                if len(data) > MAX_MESSAGE_SIZE:
                    raise Failed(too_large(len(data), MAX_MESSAGE_SIZE))
                answered: bytes = (await call(data)).SerializeToString()
                code = Code.OK
                return answered
            except Failed as error:
                code = error.refused.code
                await context.abort(_STATUS[code], error.refused.message)
                raise AssertionError("abort raises") from None
            finally:
                if self._metrics is not None:
                    self._metrics.count(method, code, time.perf_counter() - began)

        return answer

    async def _reflect(self, requests: AsyncIterator[bytes], context: Any) -> AsyncIterator[bytes]:
        async for data in requests:
            yield reflect(data, self._names)


_STATUS: dict[int, grpc.StatusCode] = {code.value[0]: code for code in grpc.StatusCode}


def _refusing(message: str) -> Any:
    async def refuse(data: bytes, context: Any) -> bytes:
        await context.abort(grpc.StatusCode.UNIMPLEMENTED, message)
        raise AssertionError("abort raises")

    return grpc.unary_unary_rpc_method_handler(refuse)


def parse(kind: type[M], data: bytes) -> M:
    """The message in `data`. Raises Failed as the reference's server does."""
    message: M = kind()
    try:
        message.ParseFromString(data)
    except DecodeError as error:
        utf8 = "utf" in str(error).lower() or _is_round_id(kind, data)
        text = "string field contains invalid UTF-8" if utf8 else "proto: cannot parse invalid wire-format data"
        raise Failed(Refused(Code.INTERNAL, f"grpc: error unmarshalling request: {text}")) from None
    return message


def _is_round_id(kind: type[Message], data: bytes) -> bool:
    """Whether the bytes are well formed but for their text: the same fields read as bytes."""
    if kind is not api_pb2.ProofRequest:
        return False
    try:
        api_pb2.MerkleProof().ParseFromString(data)  # field 1 is bytes there
    except DecodeError:
        return False
    return True


def submit_of(message: api_pb2.SubmitRequest) -> Submit:
    """The request of a message."""
    deadline = None
    if message.HasField("deadline"):
        deadline = message.deadline.seconds * SECOND_NS + message.deadline.nanos
        if message.deadline.seconds == -62_135_596_800 and message.deadline.nanos == 0:
            deadline = None  # the zero time
    certificate = None
    if message.HasField("certificate"):
        certificate = (message.certificate.data, message.certificate.signature)
    return Submit(
        message.prefix,
        message.challenge,
        message.pubkey,
        message.signature,
        message.nonce,
        PowParams(message.pow_params.challenge, message.pow_params.difficulty),
        deadline,
        certificate,
        message.certificate_pubkey_hint,
    )


class PoetCalls:
    """The methods of PoetService and ConfigurationService over one service."""

    def __init__(self, service: PoetService) -> None:
        self._service = service

    def poet(self) -> dict[str, Call]:
        """For clients."""
        return {"Info": self.info, "PowParams": self.pow_params, "Proof": self.proof, "Submit": self.submit}

    def configuration(self) -> dict[str, Call]:
        """For the operator."""
        return {"ReloadTrustedKeys": self.reload_trusted_keys}

    async def info(self, data: bytes) -> Message:
        """What a client has to know."""
        parse(api_pb2.InfoRequest, data)
        schedule = self._service.config.schedule
        answer = api_pb2.InfoResponse(service_pubkey=self._service.pubkey)
        _set_duration(answer.phase_shift, schedule.phase_shift_ns)
        _set_duration(answer.cycle_gap, schedule.cycle_gap_ns)
        certifier = self._service.certifier()
        if certifier is not None:
            answer.certifier.SetInParent()
            answer.certifier.url, answer.certifier.pubkey = certifier
        return answer

    async def pow_params(self, data: bytes) -> Message:
        """The parameters of the proof of work."""
        parse(api_pb2.PowParamsRequest, data)
        params = self._service.pow_params()
        return api_pb2.PowParamsResponse(
            pow_params=api_pb2.PowParams(difficulty=params.difficulty, challenge=params.challenge)
        )

    async def proof(self, data: bytes) -> Message:
        """The proof of a round."""
        record = self._service.proof(parse(api_pb2.ProofRequest, data).round_id)
        if isinstance(record, Refused):
            raise Failed(record)
        nip = record.nip
        return api_pb2.ProofResponse(
            proof=api_pb2.PoetProof(
                proof=api_pb2.MerkleProof(root=nip.root, proven_leaves=nip.proven_leaves, proof_nodes=nip.proof_nodes),
                members=record.members,
                leaves=record.num_leaves,
            ),
            pubkey=record.service_pubkey,
        )

    async def submit(self, data: bytes) -> Message:
        """Registers a challenge; answers once it is on stable storage."""
        request = submit_of(parse(api_pb2.SubmitRequest, data))
        answered: asyncio.Future[Refused | Registered] = asyncio.get_running_loop().create_future()

        def answer(verdict: Refused | Registered) -> None:
            if not answered.done():  # the caller may have gone
                answered.set_result(verdict)

        self._service.submit(request, answer)
        verdict = await answered
        if isinstance(verdict, Refused):
            raise Failed(verdict)
        response = api_pb2.SubmitResponse(round_id=str(verdict.round_id))
        _set_duration(response.round_end, verdict.end_ns - self._service.clock())
        return response

    async def reload_trusted_keys(self, data: bytes) -> Message:
        """Reads the trusted keys anew."""
        parse(internal_api_pb2.ReloadTrustedKeysRequest, data)
        refused = self._service.reload_trusted_keys()
        if refused is not None:
            raise Failed(refused)
        return internal_api_pb2.ReloadTrustedKeysResponse()


def _set_duration(field: Any, nanoseconds: int) -> None:
    sign = -1 if nanoseconds < 0 else 1
    seconds, nanos = divmod(abs(nanoseconds), SECOND_NS)
    field.seconds, field.nanos = sign * seconds, sign * nanos


class GrpcApi:
    """Both listeners."""

    def __init__(self, service: PoetService, metrics: Metrics | None = None) -> None:
        self._calls = PoetCalls(service)
        self._metrics = metrics
        self._servers: list[Any] = []
        self.ports: dict[str, int] = {}
        """Listener (rpc, config) to the port that it got."""

    async def start(self, rpc: tuple[str, int], configuration: tuple[str, int]) -> None:
        """Opens both listeners. Raises EnvironmentFault where a port is taken."""
        for name, address, services in (
            ("rpc", rpc, {POET_SERVICE: self._calls.poet()}),
            ("config", configuration, {CONFIGURATION_SERVICE: self._calls.configuration()}),
        ):
            server = grpc.aio.server(options=OPTIONS)
            server.add_generic_rpc_handlers((_Handlers(services, self._metrics),))
            host, port = address[0] or "[::]", address[1]
            where = f"[{host}]:{port}" if ":" in host and not host.startswith("[") else f"{host}:{port}"
            try:
                bound = server.add_insecure_port(where)
            except RuntimeError:
                bound = 0
            if bound == 0:
                raise EnvironmentFault(
                    f"failed to listen: {host}:{port}: address already in use, or not one of this machine. "
                    f"Choose another with --{'rpclisten' if name == 'rpc' else 'config-rpclisten'}."
                )
            self.ports[name] = bound
            self._servers.append(server)
            await server.start()

    async def stop(self, grace_s: float = 5.0) -> None:
        """Takes no new calls and ends when those in work are answered, at the latest after the grace."""
        await asyncio.gather(*(server.stop(grace_s) for server in self._servers))
