"""Messages by which two nodes find the difference of two sets of keys: a type byte and a body.

A range goes from key X up to key Y, which it does not contain; keys lose their trailing zero bytes on the wire.
Protocol 03-encoding-and-types, section 4.11; the algorithm is in 09a-p2p-fetch-sync, section 6.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from protocol.codec.compact import read_compact, truncated, write_compact
from protocol.codec.declare import (
    Fault,
    IdList,
    Record,
    c32,
    c64,
    choice,
    codec_of,
    custom,
    exactly,
    fixed,
    option,
    record,
    u32,
    up_to,
    vector,
)

from .ids import Hash32

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


COMPACT_HASH = custom("CompactHash", _read_compact_hash, _write_compact_hash, like=option(codec_of(Hash32)))
"""A key without its trailing zero bytes, or None."""

KEY_COLLECTION = custom("KeyCollection", _read_keys, _write_keys, like=vector(fixed(KEY_SIZE), MAX_KEYS))
"""Keys of one size, as one buffer."""

Key = Annotated[Hash32 | None, COMPACT_HASH]
"""An end of a range; None where there is none."""

RangeFingerprint = Annotated[bytes, exactly(FINGERPRINT_SIZE)]
"""XOR of the first bytes of the keys of a range."""


@record
class Done(Record):
    """The sender has everything that the receiver has."""


@record
class EndRound(Record):
    """The receiver's turn."""


@record
class EmptySet(Record):
    """The sender has no keys at all."""


@record
class EmptyRange(Record):
    """The sender has no keys in the range."""

    x: Key
    """First key of the range."""
    y: Key
    """First key behind the range."""


@record
class Fingerprint(Record):
    """What the sender has in the range, in short."""

    x: Key
    """First key of the range."""
    y: Key
    """First key behind the range."""
    fingerprint: RangeFingerprint
    """Over the sender's keys in the range."""
    num_items: Annotated[int, c32]
    """The sender's keys in the range."""


@record
class RangeContents(Record):
    """All keys of the range were sent before this."""

    x: Key
    """First key of the range."""
    y: Key
    """First key behind the range."""
    num_items: Annotated[int, c32]
    """The sender's keys in the range."""


@record
class ItemBatch(Record):
    """Some keys."""

    keys: Annotated[Sequence[bytes], KEY_COLLECTION]
    """In ascending order."""


@record
class Probe(Record):
    """Asks for a sample of the range."""

    x: Key
    """First key of the range."""
    y: Key
    """First key behind the range."""
    fingerprint: RangeFingerprint
    """Over the sender's keys in the range."""
    sample_size: Annotated[int, c32]
    """Keys that are asked for."""


@record
class Sample(Record):
    """Some keys of the range in short, by which the size of the difference is guessed."""

    x: Key
    """First key of the range."""
    y: Key
    """First key behind the range."""
    fingerprint: RangeFingerprint
    """Over the sender's keys in the range."""
    num_items: Annotated[int, c32]
    """The sender's keys in the range."""
    sample: Annotated[Sequence[Annotated[int, u32]], up_to(MAX_SAMPLE)]
    """The last four bytes of each key as a big-endian number; the numbers are sent little-endian."""


@record
class Recent(Record):
    """The keys that came to the sender since a moment were sent before this."""

    since_time: Annotated[int, c64]
    """Unix nanoseconds."""


MESSAGE = choice(
    {
        0: Done,
        1: EndRound,
        2: EmptySet,
        3: EmptyRange,
        4: Fingerprint,
        5: RangeContents,
        6: ItemBatch,
        7: Probe,
        8: Sample,
        9: Recent,
    }
)
"""Any message, with its type byte. `MESSAGE.read` takes one from a stream of them."""
