"""A second decoder, slow and plain, that walks over the declarations: what the generated one is compared with.

It shares no code with `protocol.codec.declare` but the declarations. Protocol 03-encoding-and-types, sections 1.1
to 1.3.
"""

from __future__ import annotations

from typing import Any

from protocol.codec.composites import Choice, Custom, Elements, Option, Struct
from protocol.codec.declare import Codec
from protocol.codec.primitives import Boolean, ByteString, Compact, Fixed, FixedInteger, Text


class Refused(Exception):
    """The reason is the first argument, in the words of `CodecError.reason`."""


class SlowDecoder:
    """Reads one message."""

    def __init__(self, data: bytes, nesting: int) -> None:
        self._left = data
        self._nesting = nesting

    def whole(self, codec: Codec[Any]) -> Any:
        """The value that is all of the data. Raises Refused."""
        value = self._value(codec)
        if self._left:
            raise Refused("trailing_bytes")
        return value

    def _take(self, count: int) -> bytes:
        if count > len(self._left):
            raise Refused("truncated")
        taken, self._left = self._left[:count], self._left[count:]
        return taken

    def _compact(self, bits: int) -> int:
        head = self._take(1)
        mode = head[0] % 4
        size = {0: 1, 1: 2, 2: 4, 3: 5 + head[0] // 4}[mode]
        widest = {8: 2, 16: 4, 32: 5, 64: 9}[bits]
        if size > widest:
            raise Refused("too_wide")
        rest = self._take(size - 1)
        value = int.from_bytes(rest, "little") if mode == 3 else int.from_bytes(head + rest, "little") // 4
        if not (0, 2**6, 2**14, 2**30)[mode] <= value < 2**bits:
            raise Refused("out_of_range")
        return value

    def _length(self, limit: int) -> int:
        length = self._compact(32)
        if length > limit:
            raise Refused("over_limit")
        return length

    def _value(self, codec: Codec[Any]) -> Any:
        deeper = isinstance(codec, Option | Elements) and isinstance(codec.inner, Struct)
        if deeper:
            if self._nesting == 0:
                raise Refused("nested_too_deep")
            self._nesting -= 1
        value = self._plain(codec)
        self._nesting += deeper
        return value

    def _plain(self, codec: Codec[Any]) -> Any:
        match codec:
            case Compact():
                return self._compact(codec.bits)
            case FixedInteger():
                return int.from_bytes(self._take(codec.size or 0), "little")
            case Boolean():
                return self._take(1) == b"\x01"
            case Fixed():
                return self._take(codec.size)
            case ByteString():
                return self._take(self._length(codec.limit))
            case Text():
                return self._take(self._length(codec.limit)).decode("utf-8", "surrogateescape")
            case Option():
                return self._value(codec.inner) if self._take(1) == b"\x01" else None
            case Elements():
                count = codec.count if codec.limit is None else self._length(codec.limit)
                return tuple(self._value(codec.inner) for _ in range(count or 0))
            case Struct():
                assert codec.owner is not None
                return codec.owner(*[self._value(member) for member in codec.members.values()])
            case Choice():
                option = codec.options.get(self._take(1)[0])
                if option is None:
                    raise Refused("unknown_type")
                return self._value(option)
            case Custom(name="CompactHash"):
                return self._key()
            case Custom(name="KeyCollection"):
                return self._keys()
        raise TypeError(f"{codec!r} is not known here")

    def _key(self) -> bytes | None:
        spec = self._take(1)[0]
        if spec >= 0x80 or spec > 0x60:
            raise Refused("invalid_compact_hash")
        return (self._take(spec - 0x40) + bytes(32))[:32] if spec >= 0x40 else None

    def _keys(self) -> tuple[bytes, ...]:
        count = self._length(10**8)
        if count and self._take(1) != b"\x01":
            raise Refused("invalid_compact_hash")
        return tuple(self._take(32) for _ in range(count))
