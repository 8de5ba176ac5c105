"""What every codec is: values of one type become bytes and come back, and a fault says where in a message it is.

A codec writes statements into a function that is generated once, at its first use. What the kinds of codecs write is
in `primitives` and `composites`. Protocol 03-encoding-and-types, sections 1.1 to 1.3.
"""

from __future__ import annotations

from typing import Generic, TypeVar

from protocol.codec import sharing
from protocol.codec.compact import Fault
from protocol.codec.source import DATA_END, WRONG_TYPES, Reader, Source, Writer, explain
from protocol.errors import ProtocolError

T = TypeVar("T")

NESTING = 6
"""Levels of lists and options of structs in a message."""


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
    values: type | None = None
    """The type of the values, where it is one of Python's own."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._reader: Reader | None = None
        self._writer: Writer | None = None

    def __repr__(self) -> str:
        return f"<codec {self.name}>"

    def encode(self, value: T, nesting: int = NESTING) -> bytes:
        """The one encoding of a value. Raises CodecError."""
        if sharing.shared is not None and self.is_struct and nesting == NESTING:
            return self._written(value, sharing.shared.written)
        return self._encode(value, nesting)

    def _written(self, value: T, written: sharing.Recent) -> bytes:
        key = self, id(value)
        found = written.get(key)
        if found is None:
            found = value, self._encode(value, NESTING)
            written.put(key, found)
        data: bytes = found[1]
        return data

    def _encode(self, value: T, nesting: int) -> bytes:
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
        if sharing.shared is not None and self.is_struct and nesting == NESTING and type(data) is bytes:
            return self._known(data, sharing.shared.values)
        return self._decode(data, nesting)

    def _known(self, data: bytes, values: sharing.Recent) -> T:
        found: T | None = values.get((self, data))
        if found is None:
            found = self._decode(data, NESTING)
            values.put((self, data), found)
        return found

    def _decode(self, data: bytes, nesting: int) -> T:
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
