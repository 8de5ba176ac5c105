"""What is wrong with a file of a database."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Finding:
    """One fault."""

    file: str
    """Name of the file, in the directory."""
    offset: int | None
    """Byte in the file; None: the file as a whole."""
    text: str
    """What was found and what was expected: a sentence's rest behind the file's name, without a full stop."""

    def __str__(self) -> str:
        place = "" if self.offset is None else f" at byte {self.offset}"
        return f"{self.file}{place}: {self.text}"


def number(data: bytes, at: int) -> tuple[int, int]:
    """The variable-length integer at an offset, and the offset after it. Raises ValueError."""
    value = shift = 0
    while True:
        if at >= len(data) or shift > 63:
            raise ValueError("a number is cut short or too long")
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7


def text(data: bytes, at: int, what: str) -> tuple[bytes, int]:
    """The bytes behind their length at an offset, and the offset after them. Raises ValueError that names `what`."""
    size, at = number(data, at)
    if at + size > len(data):
        raise ValueError(f"{what} is cut short")
    return data[at : at + size], at + size


def unmasked(checksum: int) -> int:
    """The checksum that a stored one stands for: LevelDB turns and shifts it, so that none covers one of its kind."""
    turned = (checksum - 0xA282EAD8) & 0xFFFFFFFF
    return (turned >> 17 | turned << 15) & 0xFFFFFFFF
