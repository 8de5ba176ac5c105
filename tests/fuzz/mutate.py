"""How bytes are damaged: as a broken link, a careless programmer or an attacker would."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

FORMS = (b"\x00", b"\x01", b"\x02", b"\xff", b"\x03", b"\x13", b"\x01\x00", b"\x02\x00\x00\x00", b"\xfe\xff\xff\xff")
LONG_FORMS = (b"\x03\x00\x00\x00\x40", b"\x03\xff\xff\xff\xff", b"\x07\x00\x00\x00\x00\x01", b"\x13" + b"\xff" * 8)
"""Beginnings of lengths and integers: small, not canonical, and as large as they can be."""


def mutated(data: bytes, random: Random) -> bytes:
    """The bytes after one to four changes."""
    for _ in range(random.choice((1, 1, 1, 2, 4))):
        data = random.choice(CHANGES)(data, random)
    return data


def _place(data: bytes, random: Random) -> int:
    # most of the structure is at the beginning
    end = len(data) if random.random() < 0.5 else min(len(data), 80)
    return random.randint(0, end)


def _flip(data: bytes, random: Random) -> bytes:
    if not data:
        return data
    at = min(_place(data, random), len(data) - 1)
    return data[:at] + bytes((data[at] ^ 1 << random.randint(0, 7),)) + data[at + 1 :]


def _set(data: bytes, random: Random) -> bytes:
    at = _place(data, random)
    return data[:at] + random.randbytes(1) + data[at + 1 :]


def _cut(data: bytes, random: Random) -> bytes:
    return data[: _place(data, random)]


def _remove(data: bytes, random: Random) -> bytes:
    at = _place(data, random)
    return data[:at] + data[at + random.randint(1, 40) :]


def _insert(data: bytes, random: Random) -> bytes:
    at = _place(data, random)
    return data[:at] + random.randbytes(random.choice((1, 2, 4, 32))) + data[at:]


def _form(data: bytes, random: Random) -> bytes:
    at, form = _place(data, random), random.choice(FORMS + LONG_FORMS)
    return data[:at] + form + data[at + random.choice((0, 1, len(form))) :]


def _repeat(data: bytes, random: Random) -> bytes:
    at = _place(data, random)
    return data[:at] + data[at : at + random.randint(1, 200)] * random.randint(1, 8) + data[at:]


def _anything(data: bytes, random: Random) -> bytes:
    return random.randbytes(random.choice((0, 1, 3, 40, 300)))


CHANGES: tuple[Callable[[bytes, Random], bytes], ...] = (
    _flip, _flip, _set, _set, _cut, _remove, _insert, _form, _form, _repeat, _anything,
)  # fmt: skip
