"""api/grpc_*.json: which services each listener has, as reflection shows them, and calls to names that none has.

| where we differ on purpose | rule |
|---|---|
| v2beta1, health, `Highest` of v2alpha1 | served here; recorded as unknown |
| methods that the network has given up | among those of their services, and refused as recorded |
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from functools import cache
from typing import Any

import grpc
from google.protobuf import descriptor_pb2

from protocol.params.config.networks import BY_NAME
from protocol.pb.grpc.reflection.v1 import reflection_pb2
from tests.support.node_backend import StoresBackend
from tests.support.served_api import ServedApi, everywhere
from tests.vector_cases.harness import Case, Context, vectors

WAIT_S = 30.0
REFLECTION = "grpc.reflection.v1.ServerReflection"
OURS = ("spacemesh.v2beta1.", "grpc.health.v1.Health")
OUR_METHODS = {"spacemesh.v2alpha1.ActivationService": {"Highest"}}
GIVEN = ("spacemesh.v1.SmesherService", "spacemesh.v1.PostService", "spacemesh.v1.PostInfoService")
"""Services whose methods only refuse here."""


@vectors("api/grpc_static_chain_a.json", "api/grpc_live_*.json", "api/grpc_before_genesis*.json", variants=False)
def listeners(document: Any, context: Context) -> Iterator[Case]:
    with ExitStack() as stack:

        @cache
        def ports() -> dict[str, int]:
            config = everywhere(BY_NAME["fastnet"])
            return stack.enter_context(ServedApi(lambda loop: StoresBackend(config, loop=loop))).ports

        for listener, services in document["services"].items():
            yield Case(f"services of {listener}", lambda one=listener, services=services: _same(ports()[one], services))
        for place, one in enumerate(document["transcripts"]):
            if "path" in one and not one["path"].startswith(tuple(f"/{name}/" for name in GIVEN)):
                service = one["path"].split("/")[1]
                here = "unknown service" not in one.get("message", "") or service not in document["services"]["public"]
                on = "public" if here else "private"  # a public service was asked of another listener
                yield Case(f"[{place}] {one['path']}: {one['name']}", lambda one=one, on=on: _raw(ports()[on], one))


def _same(port: int, services: dict[str, Any]) -> None:
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        names = {one.name for one in _ask(channel, list_services="").list_services_response.service}
        ours = {name for name in names if name.startswith(OURS)}
        assert names - ours == set(services) and "grpc.health.v1.Health" in ours
        for name in names:
            methods = _methods(channel, name)
            if name in services:
                kept = [one for one in methods if one["name"] not in OUR_METHODS.get(name, ())]
                assert sorted(kept, key=str) == sorted(services[name], key=str), f"{name}: {kept}"


def _ask(channel: grpc.Channel, **question: Any) -> Any:
    ask = channel.stream_stream(
        f"/{REFLECTION}/ServerReflectionInfo",
        request_serializer=reflection_pb2.ServerReflectionRequest.SerializeToString,
        response_deserializer=reflection_pb2.ServerReflectionResponse.FromString,
    )
    (answer,) = ask(iter([reflection_pb2.ServerReflectionRequest(**question)]), timeout=WAIT_S)
    return answer


def _methods(channel: grpc.Channel, service: str) -> list[dict[str, Any]]:
    """As the record has them, from the files that reflection tells of."""
    answer = _ask(channel, file_containing_symbol=service)
    files = map(descriptor_pb2.FileDescriptorProto.FromString, answer.file_descriptor_response.file_descriptor_proto)
    (found,) = [one for file in files for one in file.service if f"{file.package}.{one.name}" == service]
    return [
        {
            "name": one.name,
            "input": one.input_type.lstrip("."),
            "output": one.output_type.lstrip("."),
            "client_streaming": one.client_streaming,
            "server_streaming": one.server_streaming,
        }
        for one in found.method
    ]


def _raw(port: int, one: dict[str, Any]) -> None:
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        code, said, answer = 0, "", b""
        try:
            answer = channel.unary_unary(one["path"])(bytes.fromhex(one["request_hex"]), timeout=WAIT_S)
        except grpc.RpcError as error:
            code, said = error.code().value[0], error.details()
    if one["path"].startswith(tuple(f"/{name}" for name in OURS)) or one["path"].endswith("ActivationService/Highest"):
        assert code != 12, f"{code} {said}"
        return
    assert (code, said.replace("\xa0", " ")) == (one["code"], one.get("message", "").replace("\xa0", " ")), said
    if not code:
        assert answer.hex() == one["response_hex"]
