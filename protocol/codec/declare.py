"""SCALE as the network speaks it, declared next to the fields of a record. Protocol 03-encoding-and-types, section 1.

    @dataclass(frozen=True, slots=True)
    class Reward:
        layer: LayerId
        total: int
        coinbase: Address
        tx_ids: Sequence[TransactionId] = ()

        codec = struct(layer=c32, total=c64, coinbase=fixed(24), tx_ids=vector(fixed(32), 1000))

    Reward.codec.encode(reward)             bytes; CodecError names the type, the field and what is wrong with it
    Reward.codec.decode(data)               all of the data is one Reward, or CodecError with the offset as well
    Reward.codec.read(data, at)             (reward, the offset after it): what follows is ignored
    Reward.codec.decode(data, nesting=4)    as the virtual machine and the helpers for lists do

`struct` takes the fields in their order; any codec can stand in any place: `option(Vote.codec)`, `vector(c32, 10)`,
`array(AtxProof.codec, 2)`, `text(32)`. A list of raw arrays is decoded into an `IdList`, every other list into a tuple.
Kept laxities: an option tag or boolean other than 01 is absent or false; see `protocol.codec.compact` for the other.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from protocol.codec.compact import Fault, compact
from protocol.codec.id_list import IdList
from protocol.codec.kinds import (
    NESTING,
    Boolean,
    ByteString,
    Choice,
    Codec,
    CodecError,
    Compact,
    Custom,
    Elements,
    Fixed,
    FixedInteger,
    Option,
    Struct,
    Text,
)

__all__ = [
    "array", "boolean", "byte", "byte_string", "c8", "c16", "c32", "c64", "choice", "compact", "custom", "fixed",
    "option", "struct", "text", "u16", "u32", "u64", "vector",
    "Codec", "CodecError", "Fault", "IdList", "DEFAULT_LIMIT", "LIST_NESTING", "NESTING",
    "Boolean", "ByteString", "Choice", "Compact", "Custom", "Elements", "Fixed", "FixedInteger", "Option", "Struct",
    "Text",
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


def struct(**members: Codec[Any]) -> Struct[Any]:
    """The fields of the dataclass whose attribute this becomes: all of them, in their order."""
    return Struct(members)


def choice(options: Mapping[int, Struct[Any]]) -> Codec[Any]:
    """One of several structs by the raw byte before it. Raises CodecError (unknown_type) for other bytes."""
    return Choice(options)


def custom(
    name: str, read: Callable[[bytes, int], tuple[T, int]], write: Callable[[T], bytes], like: Codec[T]
) -> Codec[T]:
    """A form of one type's own: functions that read at an offset, and write; both raise Fault.

    like: the values that it is for, as the plain codec that could write them too.
    """
    return Custom(name, read, write, like)
