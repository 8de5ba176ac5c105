"""Codecs of single values: integers, booleans, raw arrays, byte strings and texts.

Protocol 03-encoding-and-types, sections 1.1 to 1.3.
"""

from __future__ import annotations

import struct as packing
from typing import cast

from protocol.codec.base import Codec
from protocol.codec.compact import ONE_BYTE, Fault, read_compact, truncated, write_compact
from protocol.codec.source import Source

UNPACK = {1: "B", 2: "H", 4: "I", 8: "Q"}
"""Letters of the struct module for unsigned integers of so many bytes."""


class Compact(Codec[int]):
    """A compact unsigned integer."""

    values = int

    def __init__(self, bits: int) -> None:
        super().__init__(f"c{bits}")
        self.bits = bits

    def emit_read(self, source: Source, target: str) -> None:
        """One byte at once, the other forms by the rules of `protocol.codec.compact`."""
        wide = source.bind(read_compact, "read_compact")
        source.line(f"{target} = data[at]")
        with source.block(f"if {target} & 3:"):
            source.line(f"{target}, at = {wide}(data, at, {self.bits})")
        with source.block("else:"):
            source.line(f"{target} >>= 2; at += 1")

    def emit_write(self, source: Source, value: str) -> None:
        """Small values from a table."""
        table, wide = source.bind(ONE_BYTE, "one_byte"), source.bind(write_compact, "write_compact")
        source.line(f"number = {value}")
        source.line(f"put({table}[number] if 0 <= number < 64 else {wide}(number, {self.bits}))")


class FixedInteger(Codec[int]):
    """An unsigned integer of a fixed number of bytes, little-endian."""

    values = int

    def __init__(self, name: str, size: int) -> None:
        super().__init__(name)
        self.size = size

    def emit_read(self, source: Source, target: str) -> None:
        """By one call of struct."""
        unpack = source.bind(packing.Struct(f"<{UNPACK[cast(int, self.size)]}").unpack_from, "unpack")
        source.line(f"({target},) = {unpack}(data, at); at += {self.size}", (("", cast(int, self.size)),))

    def emit_write(self, source: Source, value: str) -> None:
        """Values that do not fit are refused, as those of compact integers."""
        bits = 8 * cast(int, self.size)
        fault = source.bind(_not_unsigned, "not_unsigned")
        source.line(f"number = {value}")
        with source.block(f"if not 0 <= number < {1 << bits}:"):
            source.line(f"raise {fault}(number, {bits})")
        source.line(f"put(number.to_bytes({self.size}, 'little'))")


class Boolean(Codec[bool]):
    """01 is true; any other byte is read as false."""

    size = 1
    values = bool

    def emit_read(self, source: Source, target: str) -> None:
        """No byte is refused."""
        source.line(f"{target} = data[at] == 1; at += 1")

    def emit_write(self, source: Source, value: str) -> None:
        """01 or 00."""
        source.line(f"put(b'\\1' if {value} else b'\\0')")


class Fixed(Codec[bytes]):
    """A raw array of bytes, without a prefix."""

    values = bytes

    def __init__(self, size: int) -> None:
        super().__init__(f"b{size}")
        self.size: int = size

    def emit_read(self, source: Source, target: str) -> None:
        """A slice."""
        short = source.bind(truncated, "truncated")
        with source.block(f"if at + {self.size} > len(data):"):
            source.line(f"raise {short}(data, at, {self.size})")
        source.line(f"{target} = data[at : at + {self.size}]; at += {self.size}")

    def emit_write(self, source: Source, value: str) -> None:
        """As it is."""
        fault = source.bind(_wrong_length, "wrong_length")
        source.line(f"raw = {value}")
        with source.block(f"if len(raw) != {self.size}:"):
            source.line(f"raise {fault}(raw, {self.size})")
        source.line("put(raw)")


class ByteString(Codec[bytes]):
    """Bytes with their number before them."""

    values = bytes

    def __init__(self, limit: int) -> None:
        super().__init__(f"bytes<={limit}")
        self.limit = limit

    def emit_read(self, source: Source, target: str) -> None:
        """A slice."""
        emit_count_read(source, "count", self.limit)
        short = source.bind(truncated, "truncated")
        with source.block("if at + count > len(data):"):
            source.line(f"raise {short}(data, at, count)")
        source.line(f"{target} = data[at : at + count]; at += count")

    def emit_write(self, source: Source, value: str) -> None:
        """Number and bytes."""
        source.line(f"raw = {value}")
        emit_count_write(source, "raw", self.limit)
        source.line("put(raw)")


class Text(Codec[str]):
    """A text with the number of its bytes before it. Bytes that are no UTF-8 survive as lone surrogates."""

    values = str

    def __init__(self, limit: int) -> None:
        super().__init__(f"str<={limit}")
        self.limit = limit
        """Bytes, not characters."""

    def emit_read(self, source: Source, target: str) -> None:
        """A byte string, made a text."""
        ByteString(self.limit).emit_read(source, target)
        source.line(f"{target} = {target}.decode('utf-8', 'surrogateescape')")

    def emit_write(self, source: Source, value: str) -> None:
        """A text, made a byte string."""
        ByteString(self.limit).emit_write(source, f"{value}.encode('utf-8', 'surrogateescape')")


# The number before a list, byte string or text

_LENGTH = Compact(32)


def emit_count_read(source: Source, target: str, limit: int) -> None:
    """Statements that read a number of elements into a variable and refuse too many."""
    too_many = source.bind(_too_many, "too_many")
    start = source.local("start")
    source.line(f"{start} = at")
    _LENGTH.emit_read(source, target)
    with source.block(f"if {target} > {limit}:"):
        source.line(f"raise {too_many}({target}, {limit}, {start})")


def emit_count_write(source: Source, items: str, limit: int) -> None:
    """Statements that `put` the number of elements of a variable and refuse too many."""
    too_many = source.bind(_too_many, "too_many")
    with source.block(f"if len({items}) > {limit}:"):
        source.line(f"raise {too_many}(len({items}), {limit}, None)")
    _LENGTH.emit_write(source, f"len({items})")


def _too_many(count: int, limit: int, offset: int | None) -> Fault:
    return Fault("over_limit", f"{count} elements, at most {limit} are allowed.", offset, count)


def _not_unsigned(value: int, bits: int) -> Fault:
    return Fault("out_of_range", f"{value} is not an unsigned integer of {bits} bits.", None, value)


def _wrong_length(data: bytes, size: int) -> Fault:
    return Fault("length", f"{len(data)} bytes, expected {size}.", None, len(data))
