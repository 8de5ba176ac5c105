"""Messages that rows say must still be sent: signed and stored, but perhaps not sent when the node stopped.

The engine notes a `Publish` with `owed_until` in the unit that asks for it, and takes the note away in the unit that
learns that it was sent, or when it starts and the time of the message is over. A machine that starts asks for its notes
and returns them as effects.
"""

from __future__ import annotations

from typing import Annotated

from node.store.keys import KeyCodec, compound, fixed
from node.store.own import SIGNED, Slot
from node.store.table import Table
from node.store.view import Rows, Span, View
from protocol.codec.declare import Record, exactly, record, u64, up_to
from protocol.crypto.hashing import hash32

from .effects import Publish
from .instants import Instant

NAME_BYTES = 16
MAX_MESSAGE_BYTES = 1 << 26
"""Of one message that is owed: above everything that gossip carries."""


class NameKey(KeyCodec[str]):
    """A short ASCII name, padded with zeros."""

    size = NAME_BYTES

    def encode(self, key: str) -> bytes:
        """As KeyCodec says."""
        data = key.encode("ascii")
        if not 0 < len(data) <= NAME_BYTES:
            raise ValueError(f"the name {key!r} does not have 1 to {NAME_BYTES} characters")
        return data.ljust(NAME_BYTES, b"\0")

    def decode(self, data: bytes) -> str:
        """As KeyCodec says."""
        return data.rstrip(b"\0").decode("ascii")


@record
class Owed(Record):
    """A message to be sent, and until when it is worth sending."""

    topic: Annotated[str, up_to(256)]
    data: Annotated[bytes, up_to(MAX_MESSAGE_BYTES)]
    slot: Annotated[bytes, exactly(41)] | None
    """As a key of `SIGNED`."""
    until: Annotated[int, u64]


OWED: Table[tuple[str, bytes], Owed] = Table(b"ow", "owed messages", compound(NameKey(), fixed(32)), Owed.codec)
"""By machine and hash of topic and message."""


def owed_key(machine: str, publish: Publish) -> tuple[str, bytes]:
    """The key of the note of a message."""
    return machine, hash32(publish.topic.encode(), b"\0", publish.data)


def note(rows: Rows, machine: str, publish: Publish) -> None:
    """Note that a message with `owed_until` must still be sent."""
    if publish.owed_until is None:
        raise ValueError("a message without an end is not owed")
    slot = None if publish.slot is None else SIGNED.key.encode(publish.slot)
    rows.put(OWED, owed_key(machine, publish), Owed(publish.topic, publish.data, slot, publish.owed_until))


def clear(rows: Rows, machine: str, publish: Publish) -> None:
    """Forget a message that was sent, or is no longer to be sent."""
    rows.delete(OWED, owed_key(machine, publish))


def owed(view: View, machine: str, now: Instant) -> list[Publish]:
    """The messages of a machine that must still be sent, those whose time is over left out."""
    found = []
    for _, row in view.scan(OWED, Span(within=(machine,))):
        if row.until > now:
            slot: Slot | None = None if row.slot is None else SIGNED.key.decode(row.slot)
            found.append(Publish(row.topic, row.data, slot, Instant(row.until)))
    return found


def clear_expired(rows: Rows, now: Instant) -> None:
    """Forget the messages whose time is over."""
    for key, row in rows.scan(OWED):
        if row.until <= now:
            rows.delete(OWED, key)
