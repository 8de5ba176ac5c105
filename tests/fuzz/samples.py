"""Values of any declared type, made from its codec: by a random generator for fuzzing, by hypothesis for properties.

Integers spread over all widths, so that every form of a compact integer occurs; lists are short.
"""

from __future__ import annotations

from random import Random
from typing import Any, Protocol

from protocol.codec.composites import Choice, Custom, Elements, Option, Struct
from protocol.codec.declare import Codec
from protocol.codec.primitives import Boolean, ByteString, Compact, Fixed, FixedInteger, Text

MAX_LENGTH = 4
"""Elements of a list, words of a byte string."""

TEXTS = ("", "a", "ballotDB", "é世界🚀", "\udcff\udc80", "x" * 70)
"""Texts; lone surrogates stand for bytes that are no UTF-8."""


class Source(Protocol):
    """Where values come from."""

    def integer(self, low: int, high: int) -> int:
        """Between low and high, both of them included."""

    def raw(self, size: int) -> bytes:
        """So many bytes."""


class RandomSource:
    """From a seeded generator."""

    def __init__(self, random: Random) -> None:
        self._random = random

    def integer(self, low: int, high: int) -> int:
        return self._random.randint(low, high)

    def raw(self, size: int) -> bytes:
        if self._random.random() < 0.2:  # trailing zeros matter to the keys of set reconciliation
            given = self._random.randint(0, size)
            return self._random.randbytes(given) + bytes(size - given)
        return self._random.randbytes(size)


def sample(codec: Codec[Any], source: Source) -> Any:
    """A value that the codec can write."""
    match codec:
        case Compact():
            return _integer(codec.bits, source)
        case FixedInteger():
            assert codec.size is not None
            return _integer(8 * codec.size, source)
        case Boolean():
            return bool(source.integer(0, 1))
        case Fixed():
            return source.raw(codec.size)
        case ByteString():
            return source.raw(source.integer(0, min(codec.limit, 16 * MAX_LENGTH + 8)))
        case Text():
            fitting = [text for text in TEXTS if len(text.encode("utf-8", "surrogateescape")) <= codec.limit]
            return fitting[source.integer(0, len(fitting) - 1)]
        case Option():
            return sample(codec.inner, source) if source.integer(0, 1) else None
        case Elements():
            count = codec.count
            if count is None:
                assert codec.limit is not None
                count = source.integer(0, min(codec.limit, MAX_LENGTH))
            return tuple(sample(codec.inner, source) for _ in range(count))
        case Struct():
            assert codec.owner is not None
            return codec.owner(*(sample(member, source) for member in codec.members.values()))
        case Choice():
            options = list(codec.options.values())
            return sample(options[source.integer(0, len(options) - 1)], source)
        case Custom():
            return sample(codec.like, source)
    raise TypeError(f"no values are known for {codec!r}")


def _integer(bits: int, source: Source) -> int:
    width = source.integer(0, bits)
    return source.integer((1 << width) >> 1, (1 << width) - 1)
