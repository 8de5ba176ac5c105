"""Base 58, in which peer ids are written, and base 32 of their other form. Protocol 09a, section 1.1."""

from __future__ import annotations

import base64
import binascii

from .errors import LIMIT, MALFORMED, WireError

ALPHABET = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_DIGITS = {character: value for value, character in enumerate(ALPHABET)}
LONGEST = 256
"""Characters that are read: the work grows with their square."""


def encode(data: bytes) -> str:
    """The text of some bytes."""
    number, digits = int.from_bytes(data, "big"), []
    while number:
        number, digit = divmod(number, 58)
        digits.append(ALPHABET[digit])
    return ALPHABET[0] * (len(data) - len(data.lstrip(b"\0"))) + "".join(reversed(digits))


def decode(text: str) -> bytes:
    """The bytes of a text. Raises WireError (malformed, limit)."""
    if len(text) > LONGEST:
        raise WireError(f"The name has {len(text)} characters, expected at most {LONGEST}.", LIMIT)
    number = 0
    for character in text:
        digit = _DIGITS.get(character)
        if digit is None:
            raise WireError(f"{character!r} is no character of base 58.", MALFORMED)
        number = number * 58 + digit
    zeros = len(text) - len(text.lstrip(ALPHABET[0]))
    return bytes(zeros) + number.to_bytes((number.bit_length() + 7) // 8, "big")


def decode32(text: str) -> bytes:
    """The bytes of a text in base 32, small letters and without padding. Raises WireError (malformed)."""
    if text != text.lower():
        raise WireError("A name in base 32 has capital letters.", MALFORMED)
    try:
        return base64.b32decode(text.upper() + "=" * (-len(text) % 8))
    except binascii.Error as error:
        raise WireError(f"A name is not written in base 32: {error}.", MALFORMED) from None
