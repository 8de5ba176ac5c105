"""AES-128, one block at a time, in plain integers with the usual four tables.

For the few dozen blocks of a verification, for key schedules, and to check the vector kernels against; it uses
no secrets. Known answers: FIPS 197, appendices A.1 and C.1.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from functools import cache

ROUNDS = 10


def _rotl8(value: int, count: int) -> int:
    return (value << count | value >> (8 - count)) & 0xFF


def _double(value: int) -> int:
    return (value << 1 ^ (0x11B if value & 0x80 else 0)) & 0xFF


@cache
def sbox() -> bytes:
    """The substitution table, from the inverses in GF(2^8)."""
    table = bytearray(256)
    power = inverse = 1
    for _ in range(255):
        power ^= _double(power)  # times 3
        inverse ^= inverse << 1 & 0xFF  # divided by 3
        inverse ^= inverse << 2 & 0xFF
        inverse ^= inverse << 4 & 0xFF
        inverse ^= 0x09 if inverse & 0x80 else 0
        mixed = inverse
        for count in range(1, 5):
            mixed ^= _rotl8(inverse, count)
        table[power] = mixed ^ 0x63
    table[0] = 0x63
    return bytes(table)


def expand_key(key: bytes) -> list[bytes]:
    """The 11 round keys of 16 bytes."""
    substitute, constant = sbox(), 1
    words = [key[at : at + 4] for at in range(0, 16, 4)]
    for number in range(4, 4 * (ROUNDS + 1)):
        last = words[-1]
        if number % 4 == 0:
            last = bytes(substitute[byte] for byte in last[1:] + last[:1])
            last = bytes([last[0] ^ constant]) + last[1:]
            constant = _double(constant)
        words.append(bytes(a ^ b for a, b in zip(words[-4], last, strict=True)))
    return [b"".join(words[at : at + 4]) for at in range(0, len(words), 4)]


def before_last_substitution(key: bytes, result: int) -> bytes:
    """The state before the last substitution of which byte j becomes `result`, wherever the last round moves it.

    The last round has no mixing: byte b of the result comes from byte 5 b (mod 16) of the state.
    """
    origin, last = {value: byte for byte, value in enumerate(sbox())}, expand_key(key)[ROUNDS]
    return bytes(origin[last[byte * 13 % 16] ^ result] for byte in range(16))


@cache
def tables() -> tuple[tuple[int, ...], ...]:
    """T0 … T3: substitution and column mixing of one byte as a 32-bit word, big-endian."""
    first = []
    for value in sbox():
        twice = _double(value)
        first.append(twice << 24 | value << 16 | value << 8 | (twice ^ value))
    turned = [first]
    for _ in range(3):
        turned.append([(word >> 8 | word << 24) & 0xFFFFFFFF for word in turned[-1]])
    return tuple(tuple(table) for table in turned)


def encryptor(key: bytes) -> Callable[[bytes], bytes]:
    """A function that encrypts one block of 16 bytes with a 16-byte key."""
    keys = [struct.unpack(">4I", one) for one in expand_key(key)]
    t0, t1, t2, t3 = tables()
    substitute = sbox()

    def encrypt(block: bytes) -> bytes:
        a, b, c, d = (word ^ key for word, key in zip(struct.unpack(">4I", block), keys[0], strict=True))
        for k0, k1, k2, k3 in keys[1:ROUNDS]:
            a, b, c, d = (
                t0[a >> 24] ^ t1[b >> 16 & 255] ^ t2[c >> 8 & 255] ^ t3[d & 255] ^ k0,
                t0[b >> 24] ^ t1[c >> 16 & 255] ^ t2[d >> 8 & 255] ^ t3[a & 255] ^ k1,
                t0[c >> 24] ^ t1[d >> 16 & 255] ^ t2[a >> 8 & 255] ^ t3[b & 255] ^ k2,
                t0[d >> 24] ^ t1[a >> 16 & 255] ^ t2[b >> 8 & 255] ^ t3[c & 255] ^ k3,
            )
        last = keys[ROUNDS]
        columns = ((a, b, c, d), (b, c, d, a), (c, d, a, b), (d, a, b, c))
        return struct.pack(
            ">4I",
            *(
                (
                    substitute[w >> 24] << 24
                    | substitute[x >> 16 & 255] << 16
                    | substitute[y >> 8 & 255] << 8
                    | substitute[z & 255]
                )
                ^ key
                for (w, x, y, z), key in zip(columns, last, strict=True)
            ),
        )

    return encrypt
