"""The own store: what may never be lost or contradicted, synced at every write.

Its first table holds everything that an identity of ours has signed, by what it was signed for: once there, the bytes
stay, and whoever signs for the same slot again is given them. The rooms add tables of their own, with `is_own`.
`docs/contract.md`, "What is signed stands".
"""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple

from protocol.types.ids import NodeId

from .errors import StoreFault
from .keys import KeyCodec, compound, fixed, u8, u32
from .store import Backend, Store
from .table import RAW, Schema, Table
from .view import Rows


class Kind(IntEnum):
    """What a signature is for. The numbers are stored."""

    ATX = 1
    """Slot: publish epoch."""
    BALLOT = 2
    """Slot: layer. A proposal is signed together with its ballot, in a slot of its own."""
    PROPOSAL = 3
    """Slot: layer."""
    CERTIFY = 4
    """Slot: layer."""
    HARE = 5
    """Slot: layer and absolute round."""
    BEACON_FIRST = 6
    """Slot: epoch."""
    BEACON_FOLLOWING = 7
    """Slot: epoch and round."""


class Slot(NamedTuple):
    """What may be signed once."""

    identity: NodeId
    kind: Kind
    number: int
    """Epoch or layer."""
    round: int = 0


class SlotKey(KeyCodec[Slot]):
    """Slots as keys, sorted by identity, kind, number, round."""

    size = 41

    def __init__(self) -> None:
        self._parts = compound(fixed(32), u8, u32, u32)

    def encode(self, key: Slot) -> bytes:
        """As KeyCodec says."""
        return self._parts.encode(key)

    def encode_part(self, key: tuple[object, ...]) -> bytes:
        """As KeyCodec says."""
        return self._parts.encode_part(key)

    def decode(self, data: bytes) -> Slot:
        """As KeyCodec says."""
        identity, kind, number, round = self._parts.decode(data)
        return Slot(identity, Kind(kind), number, round)


SIGNED: Table[Slot, bytes] = Table(b"sg", "own signatures", SlotKey(), RAW, is_own=True)
"""The bytes of a signed message, as they were or may have been sent, by slot."""


class Contradiction(StoreFault):
    """Another message was to be written over one that is signed, or a signed one to be removed. Nothing was written."""


class OwnStore(Store):
    """The store of `SIGNED` and the own tables of the rooms."""

    def __init__(self, schema: Schema, backend: Backend) -> None:
        """Raises StoreFault; ValueError for a schema without SIGNED or with a table that is not an own one."""
        if SIGNED not in schema.tables or not all(table.is_own for table in schema.tables):
            raise ValueError(f"{schema.name}: the own store has SIGNED and own tables only")
        super().__init__(schema, backend)

    def write(self, rows: Rows, sync: bool = True) -> None:
        """As Store says, always synced. Raises Contradiction, with nothing written, where a signed message would
        change."""
        for slot, signed in rows.changes(SIGNED):
            stored = self.signed(slot)
            if stored is not None and stored != signed:
                raise Contradiction(
                    f"Identity {slot.identity.hex()} has signed another message for {slot.kind.name} {slot.number}, "
                    f"round {slot.round}, already. Nothing was sent; the stored message stands."
                )
        super().write(rows, sync=True)

    def signed(self, slot: Slot) -> bytes | None:
        """The message that was signed for a slot. Raises StoreFault."""
        self._require_sound()
        return self._backend.get(SIGNED.prefix + SIGNED.key.encode(slot))


def sign_once(rows: Rows, slot: Slot, signed: bytes) -> bytes:
    """The message to send for a slot: the stored one, whatever was signed now, else this one, which is put."""
    stored = rows.get(SIGNED, slot)
    if stored is not None:
        return stored
    rows.put(SIGNED, slot, signed)
    return signed
