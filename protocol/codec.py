"""SCALE as the network speaks it: compact integers, byte strings and lists with limits, nothing left over.

`Reader` takes a message apart field by field and names the field in every error; `Writer` puts one together. Two
laxities of the network are kept: a compact integer of the widest form may have leading zero bytes, and any option tag
but 01 means absent. Protocol 03-encoding-and-types, sections 1.1 to 1.3.
"""

from __future__ import annotations

from collections.abc import Sequence

from .errors import ProtocolError

DEFAULT_LIMIT = 1 << 20
"""Elements of a list without a limit of its own."""

_MODE_STARTS = (0, 1 << 6, 1 << 14, 1 << 30)
"""The smallest value of each of the four forms of a compact integer."""


class CodecError(ProtocolError):
    """Bytes that are no message of this kind, or a value that no message can hold.

    reason: truncated, over_limit, out_of_range, too_wide, trailing_bytes, length.
    """

    field: str
    """The field, with its path from the message's type: `PoetProof.MerkleProof.Root`."""

    def __init__(self, field: str, message: str, reason: str) -> None:
        super().__init__(f"{field}: {message}", reason)
        self.field = field


class Reader:
    """A cursor over one message. Every method takes the name of the field that it reads."""

    def __init__(self, data: bytes, message: str) -> None:
        self._data = data
        self._at = 0
        self._message = message

    @property
    def left(self) -> int:
        """Bytes that were not read yet."""
        return len(self._data) - self._at

    def _error(self, field: str, text: str, reason: str) -> CodecError:
        return CodecError(f"{self._message}.{field}", text, reason)

    def raw(self, field: str, size: int) -> bytes:
        """Exactly `size` bytes. Raises CodecError (truncated)."""
        if self.left < size:
            raise self._error(field, f"{size} bytes are needed, {self.left} are left.", "truncated")
        self._at += size
        return self._data[self._at - size : self._at]

    def compact(self, field: str, bits: int = 64) -> int:
        """A compact integer of 8, 16, 32 or 64 bits.

        Raises CodecError: too_wide (a form that the width does not have), out_of_range (a shorter form exists),
        truncated.
        """
        first = self.raw(field, 1)[0]
        mode = first & 3
        if mode == 0:
            return first >> 2
        if mode < 3:
            if mode == 2 and bits == 8:
                raise self._error(field, "a compact integer of 8 bits has no form of 4 bytes.", "too_wide")
            rest = self.raw(field, 1 if mode == 1 else 3)
            value = int.from_bytes(bytes((first,)) + rest, "little") >> 2
        else:
            size = (first >> 2) + 4
            if bits < 32 or size > bits // 8:
                raise self._error(field, f"a compact integer of {bits} bits cannot take {size} bytes.", "too_wide")
            value = int.from_bytes(self.raw(field, size), "little")
        if value < _MODE_STARTS[mode] or value >> bits:
            raise self._error(field, f"{value} is out of range for this form of a compact integer.", "out_of_range")
        return value

    def count(self, field: str, limit: int = DEFAULT_LIMIT) -> int:
        """The length of a byte string or list. Raises CodecError (over_limit, and as `compact`)."""
        length = self.compact(field, 32)
        if length > limit:
            raise self._error(field, f"{length} elements, at most {limit} are allowed.", "over_limit")
        return length

    def byte_string(self, field: str, limit: int = DEFAULT_LIMIT) -> bytes:
        """A byte string with its length before it. Raises CodecError as `count` and `raw`."""
        return self.raw(field, self.count(field, limit))

    def byte_strings(self, field: str, limit: int, element_limit: int) -> tuple[bytes, ...]:
        """A list of byte strings."""
        return tuple(
            self.byte_string(f"{field}[{position}]", element_limit) for position in range(self.count(field, limit))
        )

    def raw_list(self, field: str, limit: int, size: int) -> tuple[bytes, ...]:
        """A list of fixed arrays of `size` bytes."""
        return tuple(self.raw(f"{field}[{position}]", size) for position in range(self.count(field, limit)))

    def present(self, field: str) -> bool:
        """The tag of an option: 01 is present, any other byte absent."""
        return self.raw(field, 1) == b"\x01"

    def end(self) -> None:
        """The message must end here. Raises CodecError (trailing_bytes)."""
        if self.left:
            raise CodecError(self._message, f"{self.left} bytes follow the end of the message.", "trailing_bytes")


def compact(value: int) -> bytes:
    """A compact integer, 0 to 2^64 - 1, in its shortest form. Raises ProtocolError (reason out_of_range)."""
    if not 0 <= value < 1 << 64:
        raise ProtocolError(f"{value} is not an unsigned integer of 64 bits.", "out_of_range")
    if value < 1 << 6:
        return bytes((value << 2,))
    if value < 1 << 14:
        return (value << 2 | 1).to_bytes(2, "little")
    if value < 1 << 30:
        return (value << 2 | 2).to_bytes(4, "little")
    size = max(4, (value.bit_length() + 7) // 8)
    return bytes(((size - 4) << 2 | 3,)) + value.to_bytes(size, "little")


class Writer:
    """A message being put together. Raises CodecError where a value breaks a limit."""

    def __init__(self, message: str) -> None:
        self._parts: list[bytes] = []
        self._message = message

    def raw(self, field: str, data: bytes, size: int) -> Writer:
        """Bytes of a fixed size."""
        if len(data) != size:
            raise CodecError(f"{self._message}.{field}", f"{len(data)} bytes, expected {size}.", "length")
        self._parts.append(data)
        return self

    def compact(self, field: str, value: int, bits: int = 64) -> Writer:
        """A compact integer of `bits` bits."""
        if not 0 <= value < 1 << bits:
            raise CodecError(
                f"{self._message}.{field}", f"{value} is not an unsigned integer of {bits} bits.", "out_of_range"
            )
        self._parts.append(compact(value))
        return self

    def count(self, field: str, length: int, limit: int = DEFAULT_LIMIT) -> Writer:
        """The length before a byte string or list."""
        if length > limit:
            raise CodecError(
                f"{self._message}.{field}", f"{length} elements, at most {limit} are allowed.", "over_limit"
            )
        self._parts.append(compact(length))
        return self

    def byte_string(self, field: str, data: bytes, limit: int = DEFAULT_LIMIT) -> Writer:
        """A byte string with its length before it."""
        self.count(field, len(data), limit)
        self._parts.append(data)
        return self

    def byte_strings(self, field: str, items: Sequence[bytes], limit: int, element_limit: int) -> Writer:
        """A list of byte strings."""
        self.count(field, len(items), limit)
        for position, item in enumerate(items):
            self.byte_string(f"{field}[{position}]", item, element_limit)
        return self

    def raw_list(self, field: str, items: Sequence[bytes], limit: int, size: int) -> Writer:
        """A list of fixed arrays."""
        self.count(field, len(items), limit)
        for position, item in enumerate(items):
            self.raw(f"{field}[{position}]", item, size)
        return self

    def present(self, is_present: bool) -> Writer:
        """The tag of an option."""
        self._parts.append(b"\x01" if is_present else b"\x00")
        return self

    def bytes(self) -> bytes:
        """The message so far."""
        return b"".join(self._parts)
