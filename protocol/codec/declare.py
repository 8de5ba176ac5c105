"""SCALE as the network speaks it. Protocol 03-encoding-and-types, section 1.

    @record
    class Reward(Record):
        layer: LayerId
        total: Annotated[int, c64]
        coinbase: Address
        tx_ids: Annotated[Sequence[TransactionId], up_to(1000)] = ()

    Reward.codec.encode(reward)             bytes; CodecError names the type, the field and what is wrong with it
    Reward.codec.decode(data)               all of the data is one Reward, or CodecError with the offset as well
    Reward.codec.read(data, at)             (reward, the offset after it): what follows is ignored
    Reward.codec.decode(data, nesting=4)    as the virtual machine and the helpers for lists do

`protocol.codec.record` says what a field may be. The functions here make codecs that stand outside a record, such as
`vector(Vote.codec, 10)`. A list of raw arrays is decoded into an `IdList`, every other list into a tuple.
Kept laxities: an option tag or boolean other than 01 is absent or false; see `protocol.codec.compact` for the other.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from protocol.codec.base import NESTING, Codec, CodecError
from protocol.codec.compact import Fault
from protocol.codec.composites import Choice, Custom, Elements, Option
from protocol.codec.id_list import IdList
from protocol.codec.primitives import Boolean, ByteString, Compact, Fixed, FixedInteger, Text
from protocol.codec.record import Record, codec_of, encoded_as, exactly, record, up_to

__all__ = [
    "Record", "record", "up_to", "exactly", "encoded_as", "codec_of",
    "array", "boolean", "byte", "byte_string", "c8", "c16", "c32", "c64", "choice", "custom", "fixed",
    "option", "text", "u16", "u32", "u64", "vector",
    "Codec", "CodecError", "Fault", "IdList", "DEFAULT_LIMIT", "LIST_NESTING", "NESTING",
]  # fmt: skip

T = TypeVar("T")

DEFAULT_LIMIT = 1 << 20
"""Elements of a list without a limit of its own."""

LIST_NESTING = 4
"""Levels of nesting in a bare list and in the virtual machine."""

c8, c16, c32, c64 = Compact(8), Compact(16), Compact(32), Compact(64)
byte = FixedInteger("byte", 1)
u16, u32, u64 = FixedInteger("u16", 2), FixedInteger("u32", 4), FixedInteger("u64", 8)
boolean = Boolean("bool")


def fixed(size: int) -> Codec[bytes]:
    """A raw array of so many bytes, without a prefix."""
    return Fixed(size)


def byte_string(limit: int = DEFAULT_LIMIT) -> Codec[bytes]:
    """At most so many bytes, with their number before them."""
    return ByteString(limit)


def text(limit: int = DEFAULT_LIMIT) -> Codec[str]:
    """A text of at most so many bytes in UTF-8, which is not checked: other bytes become lone surrogates."""
    return Text(limit)


def option(inner: Codec[T]) -> Codec[T | None]:
    """A value or None."""
    return Option(inner)


def vector(inner: Codec[T], limit: int = DEFAULT_LIMIT) -> Codec[Sequence[T]]:
    """At most so many values, with their number before them."""
    return Elements(inner, limit=limit)


def array(inner: Codec[T], count: int) -> Codec[Sequence[T]]:
    """Exactly so many values, without a prefix."""
    return Elements(inner, count=count)


def choice(options: Mapping[int, type[Record]]) -> Codec[Any]:
    """One of several records by the raw byte before it. Raises CodecError (unknown_type) for other bytes."""
    return Choice({tag: kind.codec for tag, kind in options.items()})


def custom(
    name: str, read: Callable[[bytes, int], tuple[T, int]], write: Callable[[T], bytes], like: Codec[T]
) -> Codec[T]:
    """A form of one type's own: functions that read at an offset, and write; both raise Fault.

    like: the values that it is for, as the plain codec that could write them too.
    """
    return Custom(name, read, write, like)
