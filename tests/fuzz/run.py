"""The loop: damaged bytes into every decoder, and what must hold of what comes out.

Either the codec's own error, with a place inside the data; or a value that can be written again and read back, and
whose encoding is stable. A slow decoder gives the same value or the same reason. Memory stays within a small multiple
of the input, also where a length promises more.
"""

from __future__ import annotations

import time
import tracemalloc
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any

from protocol.codec.declare import NESTING, Codec, CodecError

from .declared import declared
from .mutate import mutated
from .samples import RandomSource, sample
from .slow import Refused, SlowDecoder

BYTES_FOR_BYTE = 64
"""Memory for one byte of input: lists of the smallest records that can be sent come to about 40."""

BYTES_ANYWAY = 16 << 10
MEASURED_EVERY = 64
"""Of so many cases one is watched for memory, which costs ten times the time."""

COMPARED_EVERY = 4
"""Of so many cases one is read by the slow decoder too."""

HEAVY = 12
HEAVY_SIZE = 64 << 10
"""Bytes behind a length, in so many cases of each type."""

LENGTHS = (
    b"\x02\x00\x01\x00",
    b"\x21\x03",
    b"\x41\x9c",
    b"\xfe\xff\xff\xff",
    b"\x03\xff\xff\xff\xff",
    b"\x01\x01",
    b"\x04",
    b"\x00",
)
"""16384, 200, 10000, the largest ones, 64, 1 and 0."""

BASES = 24
"""Values that are damaged, for each type."""


class Found(AssertionError):
    """A decoder does what it must not; the text holds the bytes."""


@dataclass(slots=True)
class Tally:
    """What happened."""

    cases: int = 0
    accepted: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    worst_factor: float = 0.0
    """The most memory for one byte of input, beyond what is allowed anyway."""


def bases(codec: Codec[Any], random: Random) -> list[bytes]:
    """Encodings that are right."""
    source = RandomSource(random)
    return [codec.encode(sample(codec, source)) for _ in range(BASES)]


def fuzz(cases: int, seed: int, report: Callable[[str], object] = lambda line: None, only: str = "") -> Tally:
    """At least so many cases over all decoders, or those with `only` in their name. Raises Found."""
    random = Random(seed)
    tally = Tally()
    chosen = {name: codec for name, codec in declared().items() if only in name}
    if not chosen:
        raise ValueError(f"there is no codec with {only!r} in its name, such as {next(iter(declared()))}")
    share = -(-cases // len(chosen))
    began = time.monotonic()
    for name, codec in chosen.items():
        right = bases(codec, random)
        for data in right:  # compiles the reader before memory is looked at
            check(name, codec, data, tally)
        _bombs(name, codec, right, random, tally)
        for number in range(share):
            data = mutated(random.choice(right), random)
            check(name, codec, data, tally, measured=number % MEASURED_EVERY == 0)
            if number % COMPARED_EVERY == 0:
                compare(name, codec, data)
        report(f"{name}: {share} cases, {tally.cases / (time.monotonic() - began):,.0f} a second so far")
    return tally


def check(name: str, codec: Codec[Any], data: bytes, tally: Tally, measured: bool = False) -> None:
    """One case. Raises Found."""
    tally.cases += 1
    if measured:
        tracemalloc.start()
    try:
        value = codec.decode(data)
    except CodecError as error:
        value = None
        tally.refused[error.reason] += 1
        if error.offset is None or not 0 <= error.offset <= len(data) or not error.field:
            raise Found(f"{name} refuses {data.hex()} without a place: {error}") from error
    except BaseException as error:
        raise Found(f"{name} on {data.hex()}: {type(error).__name__}: {error}") from error
    finally:
        if measured:
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
            factor = (peak - BYTES_ANYWAY) / max(len(data), 1)
            tally.worst_factor = max(tally.worst_factor, factor)
            if factor > BYTES_FOR_BYTE:
                raise Found(f"{name} takes {peak} bytes of memory for {len(data)}: {data[:200].hex()}")
    if value is None:
        return
    tally.accepted += 1
    encoded = codec.encode(value)
    if codec.decode(encoded) != value or codec.encode(codec.decode(encoded)) != encoded:
        raise Found(f"{name} reads {data.hex()} as another value than its own encoding {encoded.hex()}")
    hash(value)


def compare(name: str, codec: Codec[Any], data: bytes) -> None:
    """The generated decoder against the slow one. Raises Found."""
    fast: object
    slow: object
    try:
        fast = codec.decode(data)
    except CodecError as error:
        fast = error.reason
    try:
        slow = SlowDecoder(data, NESTING).whole(codec)
    except Refused as refused:
        slow = refused.args[0]
    if fast != slow:
        raise Found(f"{name} reads {data.hex()} as {fast!r}, the slow decoder as {slow!r}")


def _bombs(name: str, codec: Codec[Any], right: list[bytes], random: Random, tally: Tally) -> None:
    """Lengths that promise as much as they may, with little or much behind them."""
    for size in (0, 1, 31, 4096):
        for form in LENGTHS:
            for head in (b"", b"\x01", bytes(20), bytes(32), bytes(33)):
                check(name, codec, head + form + bytes(size), tally, measured=True)
                check(name, codec, head + form * (size // len(form)), tally, measured=True)
    for data in random.choices(right, k=HEAVY):
        at, form = random.randint(0, len(data)), random.choice(LENGTHS)
        filling = random.choice((b"\x00", b"\x04\x00", b"\xfd\xff", bytes(range(256))))
        check(name, codec, data[:at] + form + filling * (HEAVY_SIZE // len(filling)), tally, measured=True)
