"""The methods of a service by its descriptor, and the messages that they take."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from google.protobuf import empty_pb2, message_factory
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from google.protobuf.message import DecodeError, Message

from api.edge.rpc import Failed, Status

MALFORMED = "proto: cannot parse invalid wire-format data"


class Kind(Enum):
    """Who says how much."""

    UNARY = "unary"
    """A request, an answer: `api.edge.rpc.Unary`."""
    STREAM = "stream"
    """A request, many answers: `api.edge.rpc.Stream`."""
    DIALOGUE = "dialogue"
    """Many of both: `api.edge.rpc.Dialogue`."""


@dataclass(frozen=True, slots=True)
class Method:
    """A method."""

    request: type[Message]
    call: Callable[..., Any]
    """`Unary`, `Stream` or `Dialogue` of `api.edge.rpc`, by its kind."""
    kind: Kind = Kind.UNARY


Services = Mapping[str, Mapping[str, Method]]
"""Full name of a service -> name of a method -> it."""


def kind_of(method: MethodDescriptor) -> Kind:
    """The kind of a method. Raises ValueError for one that takes many messages and answers with one."""
    if not method.client_streaming:
        return Kind.STREAM if method.server_streaming else Kind.UNARY
    if not method.server_streaming:
        raise ValueError(f"{method.full_name} takes a stream and answers once, which no service of the network does")
    return Kind.DIALOGUE


def methods(service: ServiceDescriptor, calls: Mapping[str, Callable[..., Any]]) -> dict[str, Method]:
    """The methods of a service, each with its call. Raises KeyError where one is missing."""
    return {
        one.name: Method(message_factory.GetMessageClass(one.input_type), calls[one.name], kind_of(one))
        for one in service.methods
    }


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
    if not any(field.type == field.TYPE_STRING for field in kind.DESCRIPTOR.fields):
        return False
    try:
        empty_pb2.Empty().ParseFromString(data)
    except DecodeError:
        return False
    return True
