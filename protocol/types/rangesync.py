"""Messages by which two nodes find the difference of two sets of keys: a type byte and a body.

A range goes from key X up to key Y, which it does not contain; keys lose their trailing zero bytes on the wire.
Protocol 03-encoding-and-types, section 4.11; the algorithm is in 09a-p2p-fetch-sync, section 6.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from protocol.codec.compact import read_compact, truncated, write_compact
from protocol.codec.declare import Fault, IdList, c32, c64, choice, custom, fixed, option, struct, u32, vector

from .ids import HASH32, Hash32

KEY_SIZE = 32
FINGERPRINT_SIZE = 12
MAX_KEYS = 100_000_000
MAX_SAMPLE = 1000

_NIL, _KEY = 0, 1


def _read_compact_hash(data: bytes, at: int) -> tuple[Hash32 | None, int]:
    if at >= len(data):
        raise truncated(data, at, 1)
    kind, length = data[at] >> 6, data[at] & 0x3F
    if kind == _NIL:
        return None, at + 1
    if kind != _KEY or length > KEY_SIZE:
        what = f"a kind {kind}" if kind != _KEY else f"{length} bytes"
        raise Fault("invalid_compact_hash", f"a key of {what} is not known, only of at most {KEY_SIZE} bytes.", at)
    end = at + 1 + length
    if end > len(data):
        raise truncated(data, at + 1, length)
    return Hash32(data[at + 1 : end].ljust(KEY_SIZE, b"\0")), end


def _write_compact_hash(key: Hash32 | None) -> bytes:
    if key is None:
        return bytes((_NIL << 6,))
    if len(key) != KEY_SIZE:
        raise Fault("length", f"{len(key)} bytes, expected {KEY_SIZE}.", None, len(key))
    given = key.rstrip(b"\0")
    return bytes((_KEY << 6 | len(given),)) + given


def _read_keys(data: bytes, at: int) -> tuple[Sequence[bytes], int]:
    if at >= len(data):
        raise truncated(data, at, 1)
    start = at
    count, at = read_compact(data, at, 32)
    if count > MAX_KEYS:
        raise Fault("over_limit", f"{count} elements, at most {MAX_KEYS} are allowed.", start, count)
    if count == 0:
        return IdList(b"", KEY_SIZE), at
    if at >= len(data):
        raise truncated(data, at, 1)
    if data[at] != _KEY:
        raise Fault("invalid_compact_hash", f"keys of the kind {data[at]} are not known, only of kind {_KEY}.", at)
    end = at + 1 + count * KEY_SIZE
    if end > len(data):
        position = (len(data) - at - 1) // KEY_SIZE
        raise truncated(data, at + 1 + position * KEY_SIZE, KEY_SIZE)
    return IdList(data[at + 1 : end], KEY_SIZE), end


def _write_keys(keys: Sequence[bytes]) -> bytes:
    if not keys:
        return write_compact(0, 32)
    if len(keys) > MAX_KEYS:
        raise Fault("over_limit", f"{len(keys)} elements, at most {MAX_KEYS} are allowed.", None, len(keys))
    try:
        joined = keys if isinstance(keys, IdList) and keys.size == KEY_SIZE else IdList.of(keys, KEY_SIZE)
    except ValueError as error:
        raise Fault("length", f"{error}.") from None
    return write_compact(len(keys), 32) + bytes((_KEY,)) + joined.data


COMPACT_HASH = custom("CompactHash", _read_compact_hash, _write_compact_hash, like=option(HASH32))
"""A key without its trailing zero bytes, or None."""

KEY_COLLECTION = custom("KeyCollection", _read_keys, _write_keys, like=vector(fixed(KEY_SIZE), MAX_KEYS))
"""Keys of one size, as one buffer."""

FINGERPRINT = fixed(FINGERPRINT_SIZE)
"""XOR of the first bytes of the keys of a range."""


@dataclass(frozen=True, slots=True)
class Done:
    """The sender has everything that the receiver has."""

    codec = struct()


@dataclass(frozen=True, slots=True)
class EndRound:
    """The receiver's turn."""

    codec = struct()


@dataclass(frozen=True, slots=True)
class EmptySet:
    """The sender has no keys at all."""

    codec = struct()


@dataclass(frozen=True, slots=True)
class EmptyRange:
    """The sender has no keys in the range."""

    x: Hash32 | None
    y: Hash32 | None

    codec = struct(x=COMPACT_HASH, y=COMPACT_HASH)


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """What the sender has in the range, in short."""

    x: Hash32 | None
    y: Hash32 | None
    fingerprint: bytes
    num_items: int

    codec = struct(x=COMPACT_HASH, y=COMPACT_HASH, fingerprint=FINGERPRINT, num_items=c32)


@dataclass(frozen=True, slots=True)
class RangeContents:
    """All keys of the range were sent before this."""

    x: Hash32 | None
    y: Hash32 | None
    num_items: int

    codec = struct(x=COMPACT_HASH, y=COMPACT_HASH, num_items=c32)


@dataclass(frozen=True, slots=True)
class ItemBatch:
    """Some keys."""

    keys: Sequence[bytes]

    codec = struct(keys=KEY_COLLECTION)


@dataclass(frozen=True, slots=True)
class Probe:
    """Asks for a sample of the range."""

    x: Hash32 | None
    y: Hash32 | None
    fingerprint: bytes
    sample_size: int

    codec = struct(x=COMPACT_HASH, y=COMPACT_HASH, fingerprint=FINGERPRINT, sample_size=c32)


@dataclass(frozen=True, slots=True)
class Sample:
    """Some keys of the range in short, by which the size of the difference is guessed."""

    x: Hash32 | None
    y: Hash32 | None
    fingerprint: bytes
    num_items: int
    sample: Sequence[int]
    """The last four bytes of each key as a big-endian number; the numbers are sent little-endian."""

    codec = struct(
        x=COMPACT_HASH, y=COMPACT_HASH, fingerprint=FINGERPRINT, num_items=c32, sample=vector(u32, MAX_SAMPLE)
    )


@dataclass(frozen=True, slots=True)
class Recent:
    """The keys that came to the sender since a moment were sent before this."""

    since_time: int
    """Unix nanoseconds."""

    codec = struct(since_time=c64)


MESSAGE = choice(
    {
        0: Done.codec,
        1: EndRound.codec,
        2: EmptySet.codec,
        3: EmptyRange.codec,
        4: Fingerprint.codec,
        5: RangeContents.codec,
        6: ItemBatch.codec,
        7: Probe.codec,
        8: Sample.codec,
        9: Recent.codec,
    }
)
"""Any message, with its type byte. `MESSAGE.read` takes one from a stream of them."""
