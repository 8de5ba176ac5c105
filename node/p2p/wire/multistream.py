"""Which protocol a connection or a stream speaks: multistream-select 1.0. Protocol 09a, section 1.3.

    each line: its length as LEB128, the text, a newline; first the header, then one protocol after another until one
    is taken, which is answered with its own name; others with `na`

Both sides are machines: what comes is fed, what leaves is taken. Bytes behind the agreement are left over for what was
agreed on.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

from . import varint
from .errors import LIMIT, MALFORMED, UNSUPPORTED, WireError

HEADER = "/multistream/1.0.0"
REFUSED = "na"
LONGEST = 1024
"""Bytes of a line with its newline."""
MOST_ATTEMPTS = 64
"""Protocols that a listener refuses before it gives up."""


def line(text: str) -> bytes:
    """A line as it is sent."""
    return varint.delimited(text.encode() + b"\n")


_HELLO = line(HEADER)


class Negotiation(ABC):
    """What both sides share."""

    def __init__(self, greeting: bytes) -> None:
        self._buffer = bytearray()
        self._out = [greeting]
        self._greeted = False
        self.agreed: str | None = None
        """The protocol, once there is one."""

    def take(self) -> bytes:
        """What is to be sent now."""
        data = b"".join(self._out)
        self._out.clear()
        return data

    def feed(self, data: bytes) -> None:
        """Bytes of the other side. Raises WireError where it does not keep to the rules, or nothing can be agreed."""
        self._buffer += data
        while self.agreed is None:
            text = self._line()
            if text is None:
                return
            if self._greeted:
                self._answer(text)
            elif text != HEADER:
                raise WireError(f"The peer begins with {text[:80]!r}, expected {HEADER}.", UNSUPPORTED)
            self._greeted = True

    def rest(self) -> bytes:
        """What came behind the agreement; once."""
        data = bytes(self._buffer)
        self._buffer.clear()
        return data

    def _line(self) -> str | None:
        found = varint.decode(self._buffer)
        if found is None:
            return None
        size, at = found
        if not 0 < size <= LONGEST:
            raise WireError(f"The peer sends a line of {size} bytes, expected 1 to {LONGEST}.", LIMIT)
        if len(self._buffer) < at + size:
            return None
        raw = bytes(self._buffer[at : at + size])
        del self._buffer[: at + size]
        if not raw.endswith(b"\n"):
            raise WireError("The peer sends a line without a newline.", MALFORMED)
        return raw[:-1].decode("utf-8", "replace")

    @abstractmethod
    def _answer(self, text: str) -> None:
        """A line behind the header. Raises WireError."""


class Dialler(Negotiation):
    """The side that proposes."""

    def __init__(self, protocols: Sequence[str]) -> None:
        """protocols: at least one, the one that is wanted most first."""
        super().__init__(_HELLO + line(protocols[0]))
        self._protocols = list(protocols)

    def _answer(self, text: str) -> None:
        proposed = self._protocols[0]
        if text == proposed:
            self.agreed = proposed
        elif text == REFUSED:
            del self._protocols[0]
            if not self._protocols:
                raise WireError(f"The peer does not speak {proposed}.", UNSUPPORTED)
            self._out.append(line(self._protocols[0]))
        else:
            raise WireError(f"The peer answers {proposed} with {text[:80]!r}.", MALFORMED)


class Listener(Negotiation):
    """The side that chooses."""

    def __init__(self, is_spoken: Callable[[str], bool]) -> None:
        super().__init__(_HELLO)
        self._is_spoken = is_spoken
        self._attempts = 0

    def _answer(self, text: str) -> None:
        if self._is_spoken(text):
            self.agreed = text
            self._out.append(line(text))
            return
        self._attempts += 1
        if self._attempts > MOST_ATTEMPTS:
            raise WireError(f"The peer proposes more than {MOST_ATTEMPTS} protocols that are not spoken here.", LIMIT)
        self._out.append(line(REFUSED))
