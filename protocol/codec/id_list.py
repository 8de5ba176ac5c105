"""A list of ids of one size that is one buffer: taken from a message by a single slice, cut up only where it is used.

Lists of tens of thousands of ids travel in active sets, blocks and sync answers; most of them are hashed, compared
or stored as they came. Protocol 03-encoding-and-types, sections 4.4, 4.5 and 4.11.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, TypeVar, overload

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Id = TypeVar("Id", bound=bytes)


class IdList(Sequence[Id]):
    """Ids of one size. Equal to, and hashed as, the tuple of its items; immutable."""

    __slots__ = ("data", "size")

    data: bytes
    """All ids, one after another."""
    size: int
    """Bytes of an id."""

    def __init__(self, data: bytes, size: int) -> None:
        """Raises ValueError when the buffer is no whole number of ids."""
        if len(data) % size:
            raise ValueError(f"{len(data)} bytes are no whole number of ids of {size} bytes")
        object.__setattr__(self, "data", data)
        object.__setattr__(self, "size", size)

    @classmethod
    def of(cls, ids: Iterable[Id], size: int) -> IdList[Id]:
        """The list of the given ids. Raises ValueError for one of another size."""
        joined = list(ids)
        for one in joined:
            if len(one) != size:
                raise ValueError(f"an id of {len(one)} bytes in a list of ids of {size} bytes")
        return cls(b"".join(joined), size)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"an IdList cannot be changed ({name})")

    def __reduce__(self) -> tuple[Any, ...]:
        return IdList, (self.data, self.size)

    def __len__(self) -> int:
        return len(self.data) // self.size

    @overload
    def __getitem__(self, index: int) -> Id: ...
    @overload
    def __getitem__(self, index: slice) -> IdList[Id]: ...
    def __getitem__(self, index: int | slice) -> Id | IdList[Id]:
        size = self.size
        if isinstance(index, slice):
            start, stop, step = index.indices(len(self))
            if step == 1:
                return IdList(self.data[start * size : stop * size], size)
            return IdList(b"".join(self[at] for at in range(start, stop, step)), size)
        count = len(self)
        if index < 0:
            index += count
        if not 0 <= index < count:
            raise IndexError(f"there are {count} ids")
        return self.data[index * size : (index + 1) * size]  # type: ignore[return-value]

    def __iter__(self) -> Iterator[Id]:
        data, size = self.data, self.size
        for at in range(0, len(data), size):
            yield data[at : at + size]  # type: ignore[misc]

    def __contains__(self, wanted: object) -> bool:
        if not isinstance(wanted, bytes) or len(wanted) != self.size:
            return False
        at = self.data.find(wanted)
        while at >= 0 and at % self.size:
            at = self.data.find(wanted, at + 1)
        return at >= 0

    def __eq__(self, other: object) -> bool:
        if isinstance(other, IdList):
            return self.data == other.data and (self.size == other.size or not self.data)
        if isinstance(other, tuple):
            return tuple(self) == other
        return NotImplemented

    def __hash__(self) -> int:
        return hash(tuple(self))

    def __repr__(self) -> str:
        shown = ", ".join(one.hex() for one in self[:3])
        return f"IdList({len(self)} ids of {self.size} bytes: {shown}{', …' if len(self) > 3 else ''})"

    def sorted(self) -> IdList[Id]:
        """The same ids in ascending order of their bytes."""
        return IdList(b"".join(sorted(self)), self.size)

    @property
    def array(self) -> NDArray[np.uint8]:
        """The ids as the rows of a read-only array over the same memory."""
        import numpy as np

        return np.frombuffer(self.data, np.uint8).reshape(len(self), self.size)


def joined(ids: Iterable[bytes]) -> bytes:
    """Ids one after another: of an IdList its buffer, without a copy."""
    return ids.data if isinstance(ids, IdList) else b"".join(ids)
