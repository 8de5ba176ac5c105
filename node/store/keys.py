"""Keys as bytes that sort as their values do: big-endian integers, fixed bytes, compounds of them.

Every codec but the ones for a tail has a fixed size, so that a compound needs no separators; a tail, of any length,
stands last. A value that does not fit raises ValueError: that is a fault of the caller, never of a peer's message.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, Generic, TypeVar, cast, overload

from protocol.types.ids import EpochId, LayerId

K = TypeVar("K")
A = TypeVar("A")
B = TypeVar("B")
C = TypeVar("C")
D = TypeVar("D")


class KeyCodec(ABC, Generic[K]):
    """How keys of one type are written so that their bytes sort as they do."""

    size: int | None
    """Bytes of every key; None where they differ."""

    @abstractmethod
    def encode(self, key: K) -> bytes:
        """The bytes of a key. Raises ValueError."""

    @abstractmethod
    def decode(self, data: bytes) -> K:
        """The key of the bytes. Raises ValueError."""

    def encode_part(self, key: Any) -> bytes:
        """The bytes with which every key begins that begins with `key`; of a compound, a tuple of its first parts."""
        return self.encode(key)


class Unsigned(KeyCodec[int]):
    """An integer from 0, big-endian."""

    def __init__(self, size: int) -> None:
        self.size: int = size

    def encode(self, key: int) -> bytes:
        """As KeyCodec says."""
        try:
            return key.to_bytes(self.size, "big")
        except OverflowError:
            raise ValueError(f"a key is {key}, expected 0 to {(1 << 8 * self.size) - 1}") from None

    def decode(self, data: bytes) -> int:
        """As KeyCodec says."""
        if len(data) != self.size:
            raise ValueError(f"a key has {len(data)} bytes, expected {self.size}")
        return int.from_bytes(data, "big")


class Descending(Unsigned):
    """An integer from 0, the greatest first."""

    def __init__(self, size: int) -> None:
        super().__init__(size)
        self._last = (1 << 8 * size) - 1

    def encode(self, key: int) -> bytes:
        """As KeyCodec says."""
        return super().encode(self._last - key)

    def decode(self, data: bytes) -> int:
        """As KeyCodec says."""
        return self._last - super().decode(data)


class Fixed(KeyCodec[bytes]):
    """So many bytes."""

    def __init__(self, size: int) -> None:
        self.size: int = size

    def encode(self, key: bytes) -> bytes:
        """As KeyCodec says."""
        if len(key) != self.size:
            raise ValueError(f"a key has {len(key)} bytes, expected {self.size}")
        return key

    def decode(self, data: bytes) -> bytes:
        """As KeyCodec says."""
        return self.encode(data)


class Tail(KeyCodec[bytes]):
    """Bytes of any length, only as a whole key or at the end of one."""

    size = None

    def encode(self, key: bytes) -> bytes:
        """As KeyCodec says."""
        return key

    def decode(self, data: bytes) -> bytes:
        """As KeyCodec says."""
        return data


class TextTail(KeyCodec[str]):
    """A text of any length in UTF-8, only as a whole key or at the end of one."""

    size = None

    def encode(self, key: str) -> bytes:
        """As KeyCodec says."""
        return key.encode()

    def decode(self, data: bytes) -> str:
        """As KeyCodec says."""
        return data.decode()


class Compound(KeyCodec[tuple[Any, ...]]):
    """Several keys one after another, as a tuple."""

    def __init__(self, parts: Sequence[KeyCodec[Any]]) -> None:
        """Raises ValueError where a part without a fixed size is not the last one."""
        if any(part.size is None for part in parts[:-1]):
            raise ValueError("only the last part of a key may be of any length")
        self._parts = tuple(parts)
        self._encoders = [part.encode for part in parts]
        self._sizes = [part.size for part in parts]
        last = self._sizes[-1]
        self.size: int | None = None if last is None else sum(cast(list[int], self._sizes))

    def encode(self, key: tuple[Any, ...]) -> bytes:
        """As KeyCodec says."""
        if len(key) != len(self._encoders):
            raise ValueError(f"a key has {len(key)} parts, expected {len(self._encoders)}")
        if len(key) == 2:  # most keys, and the quickest way for them
            first, second = self._encoders
            return first(key[0]) + second(key[1])
        return b"".join([encode(value) for encode, value in zip(self._encoders, key)])

    def encode_part(self, key: Any) -> bytes:
        """As KeyCodec says."""
        if len(key) > len(self._encoders):
            raise ValueError(f"a key has {len(key)} parts, expected at most {len(self._encoders)}")
        return b"".join([encode(value) for encode, value in zip(self._encoders, key)])

    def decode(self, data: bytes) -> tuple[Any, ...]:
        """As KeyCodec says."""
        values, at = [], 0
        for part, size in zip(self._parts, self._sizes):
            end = len(data) if size is None else at + size
            values.append(part.decode(data[at:end]))
            at = end
        if at != len(data):
            raise ValueError(f"a key has {len(data)} bytes, expected {at}")
        return tuple(values)


u8, u16, u32, u64 = Unsigned(1), Unsigned(2), Unsigned(4), Unsigned(8)
u32_descending = Descending(4)
tail, text_tail = Tail(), TextTail()

LAYER = cast(KeyCodec[LayerId], u32)
"""Layers as keys."""
EPOCH = cast(KeyCodec[EpochId], u32)
"""Epochs as keys."""
ONLY = b""
"""The key of a table of one row; its codec is `fixed(0)`."""


def fixed(size: int) -> KeyCodec[Any]:
    """So many bytes; Any, because ids are types of their own."""
    return Fixed(size)


@overload
def compound(a: KeyCodec[A], b: KeyCodec[B], /) -> KeyCodec[tuple[A, B]]: ...
@overload
def compound(a: KeyCodec[A], b: KeyCodec[B], c: KeyCodec[C], /) -> KeyCodec[tuple[A, B, C]]: ...
@overload
def compound(a: KeyCodec[A], b: KeyCodec[B], c: KeyCodec[C], d: KeyCodec[D], /) -> KeyCodec[tuple[A, B, C, D]]: ...
def compound(*parts: KeyCodec[Any]) -> KeyCodec[Any]:
    """Two to four keys one after another, sorted by the first, then by the second, and so on."""
    return cast(KeyCodec[Any], Compound(parts))


def successor(prefix: bytes) -> bytes | None:
    """The smallest bytes above everything that begins with `prefix`; None where nothing is above."""
    cut = prefix.rstrip(b"\xff")
    return cut[:-1] + bytes((cut[-1] + 1,)) if cut else None
