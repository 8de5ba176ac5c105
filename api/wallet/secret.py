"""Bytes that must not be shown: they have no readable form and can be wiped.

Python copies strings and bytes as it likes, so wiping covers what this process still holds here, not every copy that
a library made. Protocol 11-user-tools, section 1.
"""

from __future__ import annotations

from typing import NoReturn, Self


class Secret:
    """Secret bytes in one buffer. `reveal` gives a copy; `wipe`, or the end of a with block, overwrites the buffer."""

    __slots__ = ("_data",)

    def __init__(self, data: bytes | bytearray | str) -> None:
        self._data = bytearray(data.encode() if isinstance(data, str) else data)

    def reveal(self) -> bytes:
        """The bytes."""
        return bytes(self._data)

    def text(self) -> str:
        """The bytes as UTF-8 text."""
        return self._data.decode()

    def wipe(self) -> None:
        """Overwrite the bytes with zeros; the secret is empty then."""
        for position in range(len(self._data)):
            self._data[position] = 0
        del self._data[:]

    def __bool__(self) -> bool:
        return bool(self._data)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and self._data == other._data

    __hash__ = None  # type: ignore[assignment]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.wipe()

    def __repr__(self) -> str:
        return "Secret(…)"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret is not written into pickles")
