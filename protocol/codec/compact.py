"""Compact integers: the one variable form in SCALE, and the rules by which the network takes or refuses it.

The low two bits of the first byte choose among four forms. All but the widest must be the shortest form of their
value; the widest only has to hold a value above 2^30 - 1, so it may carry leading zero bytes: a laxity of the network
that is kept. Protocol 03-encoding-and-types, section 1.2.
"""

from __future__ import annotations

from protocol.errors import ProtocolError

MODE_STARTS = (0, 1 << 6, 1 << 14, 1 << 30)
"""The smallest value of each of the four forms."""

ONE_BYTE = tuple(bytes((value << 2,)) for value in range(MODE_STARTS[1]))
"""The encodings of the values of the first form."""


class Fault(Exception):
    """Why one primitive cannot be read or written, before anybody knows in which field of which message it is.

    `protocol.codec.declare` turns it into a CodecError; only codecs raise it.
    """

    def __init__(self, reason: str, text: str, offset: int | None = None, found: int | None = None) -> None:
        super().__init__(text)
        self.reason = reason
        self.text = text
        self.offset = offset
        """Where in the data; None while writing."""
        self.found = found
        """The number that is wrong: a value, or the bytes that a form takes."""


def truncated(data: bytes, at: int, needed: int) -> Fault:
    """The fault of data that end within the `needed` bytes from `at`."""
    left = max(len(data) - at, 0)
    wanted = "1 byte is" if needed == 1 else f"{needed} bytes are"
    return Fault("truncated", f"{wanted} needed, {left} {'is' if left == 1 else 'are'} left.", at)


_from_bytes = int.from_bytes


def read_compact(data: bytes, at: int, bits: int) -> tuple[int, int]:
    """A compact integer of 8, 16, 32 or 64 bits at an offset of the data, and the offset after it.

    Raises Fault: too_wide (a form that the width does not have), out_of_range (a shorter form exists, or the width
    cannot hold the value), truncated; IndexError when there is not even a first byte.
    """
    first = data[at]
    mode = first & 3
    if mode == 3:
        end = at + 5 + (first >> 2)
        if bits < 32 or end - at > 1 + (bits >> 3):
            size = end - at - 1
            raise Fault("too_wide", f"a compact integer of {bits} bits cannot take {size} bytes.", at, size)
        value = _from_bytes(data[at + 1 : end], "little")
    elif mode:
        if mode == 2 and bits == 8:
            raise Fault("too_wide", "a compact integer of 8 bits has no form of 4 bytes.", at, 4)
        end = at + (mode << 1)
        value = _from_bytes(data[at:end], "little") >> 2
    else:
        return first >> 2, at + 1
    if end > len(data):
        raise truncated(data, at + 1, end - at - 1)
    if value < MODE_STARTS[mode] or value >> bits:
        raise Fault("out_of_range", f"{value} is out of range for this form of a compact integer.", at, value)
    return value, end


def write_compact(value: int, bits: int) -> bytes:
    """A compact integer of so many bits in its shortest form. Raises Fault (out_of_range)."""
    if value < 0 or value >> bits:
        raise Fault("out_of_range", f"{value} is not an unsigned integer of {bits} bits.", None, value)
    if value < 1 << 6:
        return ONE_BYTE[value]
    if value < 1 << 14:
        return (value << 2 | 1).to_bytes(2, "little")
    if value < 1 << 30:
        return (value << 2 | 2).to_bytes(4, "little")
    size = max(4, (value.bit_length() + 7) >> 3)
    return bytes(((size - 4) << 2 | 3,)) + value.to_bytes(size, "little")


def compact(value: int) -> bytes:
    """A compact integer, 0 to 2^64 - 1, in its shortest form. Raises ProtocolError (reason out_of_range)."""
    try:
        return write_compact(value, 64)
    except Fault as fault:
        raise ProtocolError(fault.text, fault.reason) from None
