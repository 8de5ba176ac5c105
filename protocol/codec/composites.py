"""Codecs of values that hold others: options, lists, records, one of several records.

A record is one function with its fields in a row, raw arrays side by side are one unpacking, a list is a loop around
its element's statements. Protocol 03-encoding-and-types, sections 1.1 to 1.3.
"""

from __future__ import annotations

import struct as packing
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar, cast

from protocol.codec.base import Codec
from protocol.codec.compact import Fault, truncated
from protocol.codec.id_list import IdList
from protocol.codec.primitives import UNPACK, Fixed, FixedInteger, emit_count_read, emit_count_write
from protocol.codec.source import Source

T = TypeVar("T")
U = TypeVar("U")


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
                emit_count_read(source, count, self.limit)
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
            source.line(f"{target} = {unpack}(f'<{{{count}}}{UNPACK[size]}', data, at); at = {end}")

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
                emit_count_write(source, items, self.limit)
            if isinstance(self.inner, Fixed):
                whole = source.bind(IdList, "IdList")
                with source.block(f"if type({items}) is {whole} and {items}.size == {self.inner.size}:"):
                    source.line(f"put({items}.data); {items} = ()")
            with source.block(f"for {position}, {item} in enumerate({items}):"), source.at(f"[{position}]"):
                self.inner.emit_write(source, item)


class Struct(Codec[T]):
    """The fields of a record one after another."""

    is_struct = True

    def __init__(self, owner: type[T], members: Mapping[str, Codec[Any]]) -> None:
        """owner: a dataclass with slots and without `__post_init__`; members: a codec for each of its fields."""
        super().__init__(owner.__name__)
        self.owner = owner
        self.members = dict(members)
        """In the order of the encoding."""

    if TYPE_CHECKING:

        def __get__(self, instance: object, owner: type[U]) -> Struct[U]: ...

    def _emit_body_read(self, source: Source) -> None:
        # A frozen dataclass sets each field through object.__setattr__. A bare class with the same slots is filled
        # in a third of the time and then becomes the dataclass, which Python allows since the layouts are the same.
        twin = type(self.name, self.owner.__bases__, {"__slots__": tuple(self.members)})
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
        source.line(f"value.__class__ = {source.bind(self.owner, 'owner')}")
        source.line("return value, at")

    def _emit_body_write(self, source: Source) -> None:
        wrong = source.bind(_wrong_type, "wrong_type")
        with source.block(f"if value.__class__ is not {source.bind(self.owner, 'owner')}:"):
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


def _too_deep(offset: int | None) -> Fault:
    return Fault("nested_too_deep", "lists and options of structs are nested too deep.", offset)


def _list_truncated(data: bytes, at: int, position: int, size: int) -> Fault:
    return truncated(data, at + position * size, size)


def _unknown_type(data: bytes, at: int) -> Fault:
    return Fault("unknown_type", f"the type is {data[at]}, which is not known.", at, data[at])


def _wrong_count(items: Sequence[object], count: int) -> Fault:
    return Fault("length", f"{len(items)} elements, expected {count}.", None, len(items))


def _wrong_type(value: object, name: str) -> Fault:
    return Fault("wrong_type", f"the value is of type {type(value).__name__}, expected {name}.")
