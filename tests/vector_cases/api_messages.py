"""Every message that a node's services sent or took, decoded and encoded again (`*_hex` of the api vectors).

A message must survive with all its bytes and no field unknown, and where the JSON form is recorded beside it, ours must
be the same. Also the services and methods that reflection showed. Protocol 10a-api-messages.
"""

from __future__ import annotations

import importlib
import json
import pkgutil
from collections.abc import Iterator
from functools import cache
from typing import Any

from google.protobuf import descriptor_pool, json_format, message_factory, unknown_fields
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import DecodeError

import protocol.pb
from tests.vector_cases.harness import Case, Context, NotUnderstood, vectors

_UNIMPLEMENTED, _INTERNAL = 12, 13
"""gRPC status codes."""


@cache
def _methods() -> dict[tuple[str, str], MethodDescriptor]:
    """(service, method) → its descriptor, for every service of this repository."""
    for module in pkgutil.walk_packages(protocol.pb.__path__, "protocol.pb."):
        if module.name.endswith("_pb2"):
            importlib.import_module(module.name)
    pool = descriptor_pool.Default()
    found = {}
    for module in pkgutil.walk_packages(protocol.pb.__path__, "protocol.pb."):
        if not module.name.endswith("_pb2"):
            continue
        file = pool.FindFileByName(importlib.import_module(module.name).DESCRIPTOR.name)
        for service in file.services_by_name.values():
            for method in service.methods:
                found[service.full_name, method.name] = method
    return found


def _has_unknown(message: Any) -> bool:
    if len(unknown_fields.UnknownFieldSet(message)):
        return True
    for field, value in message.ListFields():
        if field.message_type is None or field.message_type.GetOptions().map_entry:
            continue
        repeated = field.is_repeated
        if any(_has_unknown(item) for item in (value if repeated else (value,))):
            return True
    return False


def _check(kind: Any, encoded: str, shown: Any) -> None:
    data = bytes.fromhex(encoded)
    message = message_factory.GetMessageClass(kind)()
    message.ParseFromString(data)
    assert not _has_unknown(message), f"{kind.full_name} has fields that are not known here"
    again = message.SerializeToString(deterministic=True)
    assert again == data, f"{kind.full_name}: {again.hex()}, expected {encoded}"
    if shown is not None:
        ours = json_format.MessageToDict(message, always_print_fields_with_no_presence=True)
        assert ours == shown, f"{kind.full_name} as JSON: {json.dumps(ours)[:300]}, expected {json.dumps(shown)[:300]}"


def _check_request(kind: Any, call: dict[str, Any]) -> None:
    _check(kind, call["request_hex"], None)


def _check_raw_request(kind: Any, call: dict[str, Any]) -> None:
    """Bytes that a client sent past its own encoder: unknown fields are kept, damage is refused."""
    data = bytes.fromhex(call["request_hex"])
    message = message_factory.GetMessageClass(kind)()
    try:
        message.ParseFromString(data)
    except DecodeError:
        assert call["code"] == _INTERNAL, f"refused, but the node answered {call['code_name']}"
        return
    assert call["code"] != _INTERNAL, "accepted, but the node could not read it"
    assert message.SerializeToString(deterministic=True) == data


def _check_unknown(name: str, call: dict[str, Any]) -> None:
    assert call["code"] == _UNIMPLEMENTED, f"{name} is not known here, but the node answered {call['code_name']}"


def _cases(name: str, call: dict[str, Any]) -> Iterator[Case]:
    service, method = call.get("service"), call.get("method")
    if service is None:
        _, service, method = call["path"].split("/")
    descriptor = _methods().get((service, method))
    is_raw = call.get("kind") == "raw"
    if descriptor is None:
        yield Case(f"{name}/unknown", lambda: _check_unknown(f"{service}/{method}", call))
        return
    if call.get("request_hex") is not None:
        check = _check_raw_request if is_raw else _check_request
        yield Case(f"{name}/request", lambda: check(descriptor.input_type, call))
    output = descriptor.output_type
    if call.get("response_hex") is not None:
        yield Case(f"{name}/response", lambda: _check(output, call["response_hex"], call.get("response")))
    for position, entry in enumerate([*call.get("responses", ()), *call.get("messages", ())]):
        if entry.get("response_hex") is not None:
            yield Case(
                f"{name}/responses[{position}]",
                lambda entry=entry: _check(output, entry["response_hex"], entry.get("response")),
            )


def _check_service(service: str, methods: list[dict[str, Any]]) -> None:
    for method in methods:
        descriptor = _methods().get((service, method["name"]))
        assert descriptor is not None, f"{service}/{method['name']} is missing"
        found = (
            descriptor.input_type.full_name,
            descriptor.output_type.full_name,
            descriptor.client_streaming,
            descriptor.server_streaming,
        )
        expected = tuple(method[key] for key in ("input", "output", "client_streaming", "server_streaming"))
        assert found == expected, f"{service}/{method['name']}: {found}, expected {expected}"


@vectors(
    "api/grpc_*.json",
    "api/streams_*.json",
    "api/transaction_submits.json",
    variants=False,
)
def messages(document: Any, context: Context) -> Iterator[Case]:
    known = {"meta", "services", "transcripts", "http", "register"}
    streams = {
        name: entry
        for name, entry in document.items()
        if name not in known and isinstance(entry, dict) and "service" in entry
    }
    if unknown := document.keys() - known - streams.keys():
        raise NotUnderstood(f"parts named {', '.join(sorted(unknown))}")
    for listener, services in document.get("services", {}).items():
        for service, methods in services.items():
            yield Case(
                f"services/{listener}/{service}",
                lambda service=service, methods=methods: _check_service(service, methods),
            )
    for position, call in enumerate(document.get("transcripts", ())):
        yield from _cases(f"transcripts[{position}]", call)
    for name, call in streams.items():
        yield from _cases(name, call)
    for position, dialogue in enumerate(document.get("register", ())):
        register = _methods()["spacemesh.v1.PostService", "Register"]
        for turn, entry in enumerate(dialogue["log"]):
            if entry.get("hex") is not None:
                kind = register.output_type if entry["dir"] == "node->service" else register.input_type
                yield Case(
                    f"register[{position}]/log[{turn}]",
                    lambda kind=kind, entry=entry: _check(kind, entry["hex"], None),
                )
