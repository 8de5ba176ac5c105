"""Stand-ins for mesh, tortoise and ledger: votes decide which block a layer has; what is applied follows them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from node.contract.effects import Effect, Emit
from node.contract.instants import Instant
from node.contract.machine import Machine
from node.contract.messages import Message
from node.contract.steps import Judged, Needs, Step
from node.contract.verdicts import ACCEPT, ignore
from node.store.keys import compound, fixed, tail, u8, u32
from node.store.table import RAW, Table
from node.store.view import Rows, Span, View
from protocol.codec.declare import c64
from protocol.codec.declare import u32 as row_u32

TOPIC = "votes"

VOTES: Table[tuple[int, bytes], bytes] = Table(b"vo", "votes", compound(u32, tail), RAW)
"""The block that a voter supports in a layer."""
APPLIED: Table[int, bytes] = Table(b"ap", "applied blocks", u32, RAW)
ACCOUNTS: Table[tuple[bytes, int], int] = Table(b"ac", "accounts", compound(fixed(1), u32), c64)
"""Balances by address and layer."""
BY_LAYER = ACCOUNTS.key_index(b"al", "accounts by layer", u32, lambda key: (key[1],))
LAST: Table[int, int] = Table(b"la", "last applied layer", u8, row_u32)
TABLES = (VOTES, APPLIED, ACCOUNTS, LAST)

START = 100
"""What every account has before the first layer."""


@dataclass(frozen=True, slots=True)
class LayerApplied:
    """An event."""

    layer: int
    block: bytes


@dataclass(frozen=True, slots=True)
class LayersReverted:
    """An event: all layers from this one on."""

    layer: int


class Tortoise:
    """Called, not messaged. Its memory follows from the votes."""

    def __init__(self) -> None:
        self.touches = 0
        self._votes: dict[int, dict[bytes, bytes]] = {}

    def rebuild(self, view: View) -> None:
        """As it was after all stored votes."""
        self._votes.clear()
        for (layer, voter), block in view.scan(VOTES):
            self._votes.setdefault(layer, {})[voter] = block

    def vote(self, layer: int, voter: bytes, block: bytes) -> None:
        """A voter's block in a layer; a later vote replaces an earlier one."""
        self.touches += 1
        self._votes.setdefault(layer, {})[voter] = block

    def blocks(self) -> list[tuple[int, bytes]]:
        """The block with most votes of each layer, up to the first layer without votes."""
        found = []
        for layer in range(1, max(self._votes, default=0) + 1):
            if layer not in self._votes:
                break
            votes = Counter(self._votes[layer].values())
            found.append((layer, min(votes, key=lambda block: (-votes[block], block))))
        return found


# ---- the ledger: a block is a list of transfers, two letters and a digit each, such as b"ab5" ----


class Overdrawn(Exception):
    """A transfer of more than there is."""


def balance(view: View, address: bytes) -> int:
    """The newest version of an account."""
    newest = view.first(ACCOUNTS, Span(within=(address,), reverse=True))
    return START if newest is None else newest[1]


def apply(rows: Rows, layer: int, block: bytes) -> None:
    """What a layer changes. Raises Overdrawn."""
    for at in range(0, len(block), 3):
        source, to, amount = block[at : at + 1], block[at + 1 : at + 2], int(block[at + 2 : at + 3])
        if balance(rows, source) < amount:
            raise Overdrawn(source)
        rows.put(ACCOUNTS, (source, layer), balance(rows, source) - amount)
        rows.put(ACCOUNTS, (to, layer), balance(rows, to) + amount)
    rows.put(APPLIED, layer, block)
    rows.put(LAST, 0, layer)


def revert(rows: Rows, layer: int) -> None:
    """As it was before a layer."""
    for _, key in list(rows.find(BY_LAYER, Span(start=layer))):
        rows.delete(ACCOUNTS, key)
    for above in list(rows.keys(APPLIED, Span(start=layer))):
        rows.delete(APPLIED, above)
    rows.put(LAST, 0, layer - 1)


class Mesh(Machine):
    """Applies what tortoise says; layers that it changes its mind about are reverted and applied anew in one unit."""

    name = "mesh"
    topics = (TOPIC,)

    def __init__(self, tortoise: Tortoise) -> None:
        self._tortoise = tortoise

    def start(self, view: View, now: Instant) -> Step:
        self._tortoise.rebuild(view)
        return Step()

    def admit(self, message: Message, view: View, now: Instant) -> Judged | Needs:
        layer_text, voter, block = message.data.split(b" ")
        layer = int(layer_text)
        if view.get(VOTES, (layer, voter)) == block:
            return Judged(ignore("known"))
        rows = Rows(view)
        rows.put(VOTES, (layer, voter), block)
        self._tortoise.vote(layer, voter, block)
        return Judged(ACCEPT, rows, self._follow(rows))

    def _follow(self, rows: Rows) -> list[Effect]:
        effects: list[Effect] = []
        for layer, block in self._tortoise.blocks():
            applied = rows.get(APPLIED, layer)
            if applied == block:
                continue
            if applied is not None:
                revert(rows, layer)
                effects.append(Emit(LayersReverted(layer)))
            apply(rows, layer, block)
            effects.append(Emit(LayerApplied(layer, block)))
        return effects
