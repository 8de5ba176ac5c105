"""The part of XDR that a PoET server writes its files and database rows with.

Integers are big-endian and at least 32 bits wide, byte strings and lists carry a 32-bit length, byte strings are
padded to four bytes, a pointer is a boolean and then the value. `xdr` derives this form from the same declaration that
gives a record's SCALE: limits of lists and bytes are the network's, and do not hold here. What follows a record is left
alone, as the reference does: read with `read`. Specified in protocol 02-poet, section 4.2.
"""

from __future__ import annotations

import struct as packing
from collections.abc import Callable
from typing import Any, TypeVar

from protocol.codec.base import Codec
from protocol.codec.compact import Fault, truncated
from protocol.codec.composites import Elements, Option, Struct
from protocol.codec.primitives import ByteString, Compact, FixedInteger, Text
from protocol.codec.record import Record
from protocol.codec.source import Source
from protocol.numbers.time import Time

R = TypeVar("R", bound=Record)

MAX_LENGTH = 0x7FFFFFFF
"""Bytes of a string or items of a list; a reader refuses more before it looks for them."""


_DERIVED: dict[type[Record], Codec[Any]] = {}


def xdr(kind: type[R]) -> Codec[R]:
    """The XDR form of a record. Raises TypeError for a field that has none."""
    derived = _DERIVED.get(kind)
    if derived is None:
        derived = _DERIVED[kind] = Struct(kind, {name: _form(codec) for name, codec in kind.codec.members.items()})
    return derived


def _form(codec: Codec[Any]) -> Codec[Any]:
    match codec:
        case Compact() | FixedInteger():
            bits = codec.bits if isinstance(codec, Compact) else 8 * (codec.size or 0)
            return Integer(4 if bits <= 32 else 8)
        case ByteString():
            return OPAQUE
        case Text():
            return STRING
        case Option():
            return Pointer(_form(codec.inner))
        case Elements() if codec.limit is not None:
            return Items(_form(codec.inner))
        case Struct():
            return xdr(codec.owner)
        case Time3339() | Pointer():
            return codec
    raise TypeError(f"{codec.name} has no form in XDR here")


class Integer(Codec[int]):
    """An unsigned integer, big-endian."""

    def __init__(self, size: int) -> None:
        super().__init__(f"uint{8 * size}")
        self.size = size

    def emit_read(self, source: Source, target: str) -> None:
        """By one call of struct."""
        unpack = source.bind(packing.Struct(">I" if self.size == 4 else ">Q").unpack_from, "unpack")
        source.line(f"({target},) = {unpack}(data, at); at += {self.size}", (("", self.size or 0),))

    def emit_write(self, source: Source, value: str) -> None:
        """Values that do not fit are refused."""
        source.line(f"put(({value}).to_bytes({self.size}, 'big'))")


class Opaque(Codec[Any]):
    """A byte string, or what functions make of one: length, data, zeros up to a multiple of four."""

    def __init__(self, name: str, read: Callable[[bytes], Any] = bytes, write: Callable[[Any], bytes] = bytes) -> None:
        super().__init__(name)
        self._read_one = read
        """Raises ValueError for bytes that are no such value."""
        self._write_one = write

    def emit_read(self, source: Source, target: str) -> None:
        """The padding is not looked at."""
        take = source.bind(self._take, "take")
        source.line(f"{target}, at = {take}(data, at)")

    def _take(self, data: bytes, at: int) -> tuple[Any, int]:
        length, start = _read_length(data, at)
        end = start + length + -length % 4
        if end > len(data):
            raise truncated(data, start, end - start)
        try:
            return self._read_one(data[start : start + length]), end
        except ValueError:
            raise Fault("out_of_range", f"{data[start : start + length]!r} is no {self.name}.", start) from None

    def emit_write(self, source: Source, value: str) -> None:
        """Length, data, padding."""
        source.line(f"put({source.bind(self._give, 'give')}({value}))")

    def _give(self, value: Any) -> bytes:
        data = self._write_one(value)
        return len(data).to_bytes(4, "big") + data + bytes(-len(data) % 4)


class Time3339(Opaque):
    """A moment, as text."""

    values = Time

    def __init__(self) -> None:
        super().__init__("time in the form of RFC 3339", lambda data: Time.parse(data.decode()), _time_text)


class Items(Codec[Any]):
    """A list."""

    def __init__(self, inner: Codec[Any]) -> None:
        super().__init__(f"{inner.name}<>")
        self.inner = inner

    def emit_read(self, source: Source, target: str) -> None:
        """One by one."""
        count, position, item = source.local("count"), source.local("i"), source.local("item")
        items = source.local("items")
        source.line(f"{count}, at = {source.bind(_read_length, 'read_length')}(data, at); {items} = []")
        with source.block(f"for {position} in range({count}):"), source.at(f"[{position}]"):
            self.inner.emit_read(source, item)
            source.line(f"{items}.append({item})")
        source.line(f"{target} = tuple({items})")

    def emit_write(self, source: Source, value: str) -> None:
        """Number and items."""
        items, position, item = source.local("items"), source.local("i"), source.local("item")
        source.line(f"{items} = {value}")
        source.line(f"put(len({items}).to_bytes(4, 'big'))")
        with source.block(f"for {position}, {item} in enumerate({items}):"), source.at(f"[{position}]"):
            self.inner.emit_write(source, item)


class Pointer(Codec[Any]):
    """A boolean, and the value where it is 1."""

    def __init__(self, inner: Codec[Any], required: bool = False) -> None:
        super().__init__(f"*{inner.name}")
        self.inner = inner
        self.values = inner.owner if isinstance(inner, Struct) else None
        self.required = required
        """Whether the value has to be there."""

    def emit_read(self, source: Source, target: str) -> None:
        """0 or 1, and nothing else."""
        flag = source.local("flag")
        Integer(4).emit_read(source, flag)
        with source.block(f"if {flag} > 1:"):
            source.line(f"raise {source.bind(_no_boolean, 'no_boolean')}({flag}, at - 4)")
        with source.block(f"if {flag}:"):
            self.inner.emit_read(source, target)
        with source.block("else:"):
            if self.required:
                source.line(f"raise {source.bind(_absent, 'absent')}(at - 4)")
            else:
                source.line(f"{target} = None")

    def emit_write(self, source: Source, value: str) -> None:
        """Boolean and value."""
        inside = source.local("inside")
        source.line(f"{inside} = {value}")
        with source.block(f"if {inside} is None:"):
            source.line("put(bytes(4))")
        with source.block("else:"):
            source.line("put(b'\\0\\0\\0\\1')")
            self.inner.emit_write(source, inside)


def _time_text(value: Time) -> bytes:
    return str(value).encode()


def _read_length(data: bytes, at: int) -> tuple[int, int]:
    if at + 4 > len(data):
        raise truncated(data, at, 4)
    length = int.from_bytes(data[at : at + 4], "big")
    if length > MAX_LENGTH:
        raise Fault("over_limit", f"the length is {length}, more than {MAX_LENGTH}.", at, length)
    return length, at + 4


def _no_boolean(value: int, offset: int) -> Fault:
    return Fault("out_of_range", f"{value} is no boolean, expected 0 or 1.", offset, value)


def _absent(offset: int) -> Fault:
    return Fault("absent", "it is absent, but has to be there.", offset)


OPAQUE = Opaque("opaque")
STRING = Opaque("text in UTF-8", bytes.decode, str.encode)
TIME = Time3339()
"""For a field of the type `Time`, which only records that are written in XDR have."""


def required(kind: type[R]) -> Codec[R]:
    """For a field that is a pointer in the file and may not be absent."""
    return Pointer(xdr(kind), required=True)
