"""The kinds of codecs, each with the source by which it reads and writes. `protocol.codec.declare` declares them.

A codec writes statements into a function that is generated once: a struct is one function with its fields in a row,
raw arrays side by side are one unpacking, a list is a loop around its element's statements.
Protocol 03-encoding-and-types, sections 1.1 to 1.3.
"""

from __future__ import annotations

import struct as packing
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import fields
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

from protocol.codec.compact import ONE_BYTE, Fault, read_compact, truncated, write_compact
from protocol.codec.id_list import IdList
from protocol.codec.source import DATA_END, WRONG_TYPES, Reader, Source, Writer, explain
from protocol.errors import ProtocolError

T = TypeVar("T")
U = TypeVar("U")

NESTING = 6
"""Levels of lists and options of structs in a message."""

_UNPACK = {1: "B", 2: "H", 4: "I", 8: "Q"}


class CodecError(ProtocolError):
    """Bytes that are no message of this kind, or a value that no message can hold.

    reason: truncated, over_limit, out_of_range, too_wide, trailing_bytes, nested_too_deep; while writing also length,
    wrong_type; and what single types add: unknown_type, invalid_compact_hash.
    """

    def __init__(self, type_name: str, path: str, fault: Fault) -> None:
        place = "" if fault.offset is None else f" (at byte {fault.offset})"
        super().__init__(f"{type_name}{path}: {fault.text.removesuffix('.')}{place}.", fault.reason)
        self.type_name = type_name
        """The type that was being read or written."""
        self.field = type_name + path
        """The field, with its path from the type: `PoetProof.merkle_proof.root`."""
        self.offset = fault.offset
        """Where in the data the fault is; None while writing."""
        self.found = fault.found
        """The number that is wrong, where there is one."""


class Codec(Generic[T]):
    """How values of one type are written and read."""

    is_struct = False
    """Whether a list or option of it is a level of nesting."""
    size: int | None = None
    """Bytes of every encoding; None where they differ."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._reader: Reader | None = None
        self._writer: Writer | None = None

    def __repr__(self) -> str:
        return f"<codec {self.name}>"

    def encode(self, value: T, nesting: int = NESTING) -> bytes:
        """The one encoding of a value. Raises CodecError."""
        write = self._writer or self.writer()
        pieces: list[bytes] = []
        try:
            write(value, pieces.append, nesting)
            return b"".join(pieces)
        except (Fault, *WRONG_TYPES) as error:
            found = explain(error, None)
            raise CodecError(self.name, found.path, found.fault) from None

    def decode(self, data: bytes, nesting: int = NESTING) -> T:
        """The value that is all of the data. Raises CodecError."""
        value, end = self.read(data, 0, nesting)
        if end != len(data):
            over = len(data) - end
            text = f"{'1 byte follows' if over == 1 else f'{over} bytes follow'} the end of the message"
            raise CodecError(self.name, "", Fault("trailing_bytes", text, end))
        return value

    def read(self, data: bytes, at: int = 0, nesting: int = NESTING) -> tuple[T, int]:
        """The value at an offset of the data, and the offset after it; what follows is ignored. Raises CodecError."""
        read = self._reader or self.reader()
        if type(data) is not bytes:
            data = bytes(data)
        try:
            return read(data, at, nesting)
        except (Fault, *DATA_END) as error:
            found = explain(error, data)
            raise CodecError(self.name, found.path, found.fault) from None

    def reader(self) -> Reader:
        """The generated function that reads; raises Fault and what reading behind the end raises."""
        if self._reader is None:
            source = Source("data, at, left")
            self._emit_body_read(source)
            self._reader = source.compiled()
        return self._reader

    def writer(self) -> Writer:
        """The generated function that writes; raises Fault and TypeError."""
        if self._writer is None:
            source = Source("value, put, left")
            self._emit_body_write(source)
            self._writer = source.compiled()
        return self._writer

    def emit_read(self, source: Source, target: str) -> None:
        """Statements that read at `at` into a variable, and move `at` on."""
        function = source.bind(self.reader(), "read")
        source.line(f"{target}, at = {function}(data, at, left)")

    def emit_write(self, source: Source, value: str) -> None:
        """Statements that `put` the bytes of an expression."""
        source.line(f"{source.bind(self.writer(), 'write')}({value}, put, left)")

    def _emit_body_read(self, source: Source) -> None:
        self.emit_read(source, "value")
        source.line("return value, at")

    def _emit_body_write(self, source: Source) -> None:
        self.emit_write(source, "value")


class Compact(Codec[int]):
    """A compact unsigned integer."""

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

    def __init__(self, name: str, size: int) -> None:
        super().__init__(name)
        self.size = size

    def emit_read(self, source: Source, target: str) -> None:
        """By one call of struct."""
        unpack = source.bind(packing.Struct(f"<{_UNPACK[cast(int, self.size)]}").unpack_from, "unpack")
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

    def emit_read(self, source: Source, target: str) -> None:
        """No byte is refused."""
        source.line(f"{target} = data[at] == 1; at += 1")

    def emit_write(self, source: Source, value: str) -> None:
        """01 or 00."""
        source.line(f"put(b'\\1' if {value} else b'\\0')")


class Fixed(Codec[bytes]):
    """A raw array of bytes, without a prefix."""

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

    def __init__(self, limit: int) -> None:
        super().__init__(f"bytes<={limit}")
        self.limit = limit

    def emit_read(self, source: Source, target: str) -> None:
        """A slice."""
        _emit_count_read(source, "count", self.limit)
        short = source.bind(truncated, "truncated")
        with source.block("if at + count > len(data):"):
            source.line(f"raise {short}(data, at, count)")
        source.line(f"{target} = data[at : at + count]; at += count")

    def emit_write(self, source: Source, value: str) -> None:
        """Number and bytes."""
        source.line(f"raw = {value}")
        _emit_count_write(source, "raw", self.limit)
        source.line("put(raw)")


class Text(Codec[str]):
    """A text with the number of its bytes before it. Bytes that are no UTF-8 survive as lone surrogates."""

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


class Option(Codec[Any]):
    """A value or None, by a tag of one byte."""

    def __init__(self, inner: Codec[Any]) -> None:
        super().__init__(f"?{inner.name}")
        self.inner = inner

    def emit_read(self, source: Source, target: str) -> None:
        """The level is entered before the tag is looked at."""
        with _level(source, self.inner.is_struct, "at"):
            with source.block("if data[at] == 1:"):
                source.line("at += 1")
                self.inner.emit_read(source, target)
            with source.block("else:"):
                source.line(f"{target} = None; at += 1")

    def emit_write(self, source: Source, value: str) -> None:
        """Tag and value."""
        with _level(source, self.inner.is_struct, "None"):
            inside = source.local("inside")
            source.line(f"{inside} = {value}")
            with source.block(f"if {inside} is None:"):
                source.line("put(b'\\0')")
            with source.block("else:"):
                source.line("put(b'\\1')")
                self.inner.emit_write(source, inside)


class Elements(Codec[Any]):
    """Values of one type one after another: a fixed number of them, or as many as a number before them says."""

    def __init__(self, inner: Codec[Any], limit: int | None = None, count: int | None = None) -> None:
        super().__init__(f"[{inner.name};{count}]" if limit is None else f"[{inner.name}]<={limit}")
        self.inner = inner
        self.limit = limit
        """At most so many elements; None: exactly `count`."""
        self.count = count

    def emit_read(self, source: Source, target: str) -> None:
        """Raw arrays and plain integers by one slice, everything else one by one."""
        with _level(source, self.inner.is_struct, "at"):
            count = source.local("count")
            if self.limit is None:
                source.line(f"{count} = {self.count}")
            else:
                _emit_count_read(source, count, self.limit)
            if isinstance(self.inner, Fixed | FixedInteger):
                self._emit_slice(source, target, count)
                return
            items, position, item = source.local("items"), source.local("i"), source.local("item")
            source.line(f"{items} = []")
            with source.block(f"for {position} in range({count}):"), source.at(f"[{position}]"):
                self.inner.emit_read(source, item)
                source.line(f"{items}.append({item})")
            source.line(f"{target} = tuple({items})")

    def _emit_slice(self, source: Source, target: str, count: str) -> None:
        size = cast(int, self.inner.size)
        end, short = source.local("end"), source.bind(_list_truncated, "truncated")
        source.line(f"{end} = at + {count} * {size}")
        with source.block(f"if {end} > len(data):"), source.at("[position]"):
            source.line(f"position = (len(data) - at) // {size}")
            source.line(f"raise {short}(data, at, position, {size})")
        if isinstance(self.inner, Fixed):
            source.line(f"{target} = {source.bind(IdList, 'IdList')}(data[at:{end}], {size}); at = {end}")
        else:
            unpack = source.bind(packing.unpack_from, "unpack")
            source.line(f"{target} = {unpack}(f'<{{{count}}}{_UNPACK[size]}', data, at); at = {end}")

    def emit_write(self, source: Source, value: str) -> None:
        """A list that is one buffer is written at once."""
        with _level(source, self.inner.is_struct, "None"):
            items, position, item = source.local("items"), source.local("i"), source.local("item")
            source.line(f"{items} = {value}")
            if self.limit is None:
                fault = source.bind(_wrong_count, "wrong_count")
                with source.block(f"if len({items}) != {self.count}:"):
                    source.line(f"raise {fault}({items}, {self.count})")
            else:
                _emit_count_write(source, items, self.limit)
            if isinstance(self.inner, Fixed):
                whole = source.bind(IdList, "IdList")
                with source.block(f"if type({items}) is {whole} and {items}.size == {self.inner.size}:"):
                    source.line(f"put({items}.data); {items} = ()")
            with source.block(f"for {position}, {item} in enumerate({items}):"), source.at(f"[{position}]"):
                self.inner.emit_write(source, item)


class Struct(Codec[T]):
    """The fields of a dataclass one after another. As a class attribute it takes the class that it stands in."""

    is_struct = True

    def __init__(self, members: Mapping[str, Codec[Any]]) -> None:
        super().__init__("struct")
        self.members = dict(members)
        """The codec of each field, in the order of the encoding."""
        self.owner: type[Any] | None = None
        """The dataclass."""

    def __set_name__(self, owner: type[Any], name: str) -> None:
        self.owner = owner
        self.name = owner.__name__

    if TYPE_CHECKING:

        def __get__(self, instance: object, owner: type[U]) -> Struct[U]: ...

    def _class(self) -> type[Any]:
        if self.owner is None:
            raise TypeError("a struct codec is declared as an attribute of its dataclass")
        named = [field.name for field in fields(self.owner)]
        if named != list(self.members):
            raise TypeError(f"the codec of {self.name} names {list(self.members)}, its fields are {named}")
        if hasattr(self.owner, "__post_init__") or not hasattr(self.owner, "__slots__"):
            raise TypeError(f"{self.name} has to be a dataclass with slots and without __post_init__, which is not run")
        return self.owner

    def _emit_body_read(self, source: Source) -> None:
        owner = self._class()
        # A frozen dataclass sets each field through object.__setattr__. A bare class with the same slots is filled
        # in a third of the time and then becomes the dataclass, which Python allows since the layouts are the same.
        twin = type(self.name, (), {"__slots__": tuple(self.members)})
        source.line(f"value = {source.bind(twin, 'blank')}()")
        for run in _runs(self.members):
            if len(run) > 1:
                form = "<" + "".join(f"{self.members[name].size}s" for name in run)
                sizes = tuple((name, cast(int, self.members[name].size)) for name in run)
                targets = ", ".join(f"value.{name}" for name in run)
                unpack = source.bind(packing.Struct(form).unpack_from, "unpack")
                source.line(f"{targets} = {unpack}(data, at); at += {packing.calcsize(form)}", sizes)
                continue
            with source.at(run[0]):
                member = source.local("member")
                self.members[run[0]].emit_read(source, member)
                source.line(f"value.{run[0]} = {member}")
        source.line(f"value.__class__ = {source.bind(owner, 'owner')}")
        source.line("return value, at")

    def _emit_body_write(self, source: Source) -> None:
        owner = self._class()
        wrong = source.bind(_wrong_type, "wrong_type")
        with source.block(f"if value.__class__ is not {source.bind(owner, 'owner')}:"):
            source.line(f"raise {wrong}(value, {self.name!r})")
        for name, member in self.members.items():
            with source.at(name):
                member.emit_write(source, f"value.{name}")


class Choice(Codec[Any]):
    """One of several structs, told apart by a raw byte before it; the class of the value says which."""

    def __init__(self, options: Mapping[int, Struct[Any]]) -> None:
        super().__init__(f"one of {', '.join(option.name for option in options.values())}")
        self.options = dict(options)
        """The struct after each byte."""

    def _emit_body_read(self, source: Source) -> None:
        readers = {tag: option.reader() for tag, option in self.options.items()}
        unknown = source.bind(_unknown_type, "unknown_type")
        source.line(f"reader = {source.bind(readers, 'readers')}.get(data[at])")
        with source.block("if reader is None:"):
            source.line(f"raise {unknown}(data, at)")
        source.line("return reader(data, at + 1, left)")

    def _emit_body_write(self, source: Source) -> None:
        writers = {option.owner: (bytes((tag,)), option.writer()) for tag, option in self.options.items()}
        wrong = source.bind(_wrong_type, "wrong_type")
        source.line(f"entry = {source.bind(writers, 'writers')}.get(value.__class__)")
        with source.block("if entry is None:"):
            source.line(f"raise {wrong}(value, {self.name!r})")
        source.line("put(entry[0]); entry[1](value, put, left)")


class Custom(Codec[T]):
    """A form of a single type's own."""

    def __init__(
        self, name: str, read: Callable[[bytes, int], tuple[T, int]], write: Callable[[T], bytes], like: Codec[T]
    ) -> None:
        super().__init__(name)
        self._read_one = read
        self._write_one = write
        self.like = like
        """Another codec of the same values: it says what they are."""

    def emit_read(self, source: Source, target: str) -> None:
        """By the type's own function."""
        source.line(f"{target}, at = {source.bind(self._read_one, 'read')}(data, at)")

    def emit_write(self, source: Source, value: str) -> None:
        """By the type's own function."""
        source.line(f"put({source.bind(self._write_one, 'write')}({value}))")


# What generated code is made of and calls

_LENGTH = Compact(32)
"""The number before a list or byte string."""


def _emit_count_read(source: Source, target: str, limit: int) -> None:
    too_many = source.bind(_too_many, "too_many")
    start = source.local("start")
    source.line(f"{start} = at")
    _LENGTH.emit_read(source, target)
    with source.block(f"if {target} > {limit}:"):
        source.line(f"raise {too_many}({target}, {limit}, {start})")


def _emit_count_write(source: Source, items: str, limit: int) -> None:
    too_many = source.bind(_too_many, "too_many")
    with source.block(f"if len({items}) > {limit}:"):
        source.line(f"raise {too_many}(len({items}), {limit}, None)")
    _LENGTH.emit_write(source, f"len({items})")


@contextmanager
def _level(source: Source, enters: bool, offset: str) -> Iterator[None]:
    """Statements inside a level of nesting, where there is one. offset: the expression for an error's place."""
    if enters:
        deep = source.bind(_too_deep, "too_deep")
        with source.block("if left <= 0:"):
            source.line(f"raise {deep}({offset})")
        source.line("left -= 1")
    yield
    if enters:
        source.line("left += 1")


def _runs(members: Mapping[str, Codec[Any]]) -> list[list[str]]:
    """The fields in order, with neighbours that are raw arrays put together."""
    runs: list[list[str]] = []
    previous_is_raw = False
    for name, member in members.items():
        is_raw = isinstance(member, Fixed)
        if is_raw and previous_is_raw:
            runs[-1].append(name)
        else:
            runs.append([name])
        previous_is_raw = is_raw
    return runs


def _too_many(count: int, limit: int, offset: int | None) -> Fault:
    return Fault("over_limit", f"{count} elements, at most {limit} are allowed.", offset, count)


def _too_deep(offset: int | None) -> Fault:
    return Fault("nested_too_deep", "lists and options of structs are nested too deep.", offset)


def _list_truncated(data: bytes, at: int, position: int, size: int) -> Fault:
    return truncated(data, at + position * size, size)


def _unknown_type(data: bytes, at: int) -> Fault:
    return Fault("unknown_type", f"the type is {data[at]}, which is not known.", at, data[at])


def _not_unsigned(value: int, bits: int) -> Fault:
    return Fault("out_of_range", f"{value} is not an unsigned integer of {bits} bits.", None, value)


def _wrong_length(data: bytes, size: int) -> Fault:
    return Fault("length", f"{len(data)} bytes, expected {size}.", None, len(data))


def _wrong_count(items: Sequence[object], count: int) -> Fault:
    return Fault("length", f"{len(items)} elements, expected {count}.", None, len(items))


def _wrong_type(value: object, name: str) -> Fault:
    return Fault("wrong_type", f"the value is of type {type(value).__name__}, expected {name}.")
