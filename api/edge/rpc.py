"""Status codes of gRPC, and the exception that a call ends with. Knows no gRPC library: the JSON gateway uses it
too."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from enum import Enum, IntEnum
from typing import Any

from google.protobuf.message import Message


class Status(IntEnum):
    """The codes, by their numbers on the wire."""

    OK = 0
    CANCELLED = 1
    UNKNOWN = 2
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    ALREADY_EXISTS = 6
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    ABORTED = 10
    OUT_OF_RANGE = 11
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14
    DATA_LOSS = 15
    UNAUTHENTICATED = 16


Count = Callable[[str, Status, float], None]
"""(`package.Service/Method`, status, seconds) of an answered call."""


class Failed(Exception):
    """A call that ends with a status other than OK."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = Status(status)
        self.message = message


def too_large(size: int, limit: int) -> Failed:
    """What the network's servers say to a message above their limit."""
    return Failed(Status.RESOURCE_EXHAUSTED, f"grpc: received message larger than max ({size} vs. {limit})")


class Headers(Enum):
    """What a stream yields to let its headers go before the first message."""

    NOW = "now"


Unary = Callable[[Any], Awaitable[Message]]
"""A method: request -> answer. Raises Failed."""
Stream = Callable[[Any], AsyncIterator[Message | Headers]]
"""A method that answers with many messages. Raises Failed, also after some of them."""
Dialogue = Callable[[AsyncIterator[Any]], AsyncIterator[Message | Headers]]
"""A method in which both sides speak. Raises Failed."""
Method = Unary | Stream | Dialogue
