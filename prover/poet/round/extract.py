"""Drawing the proof of a finished round: the root from the kept layer, then the proven leaves made again.

The tree has three storeys. Blocks of 2^height leaves below the kept layer are regenerated from their labels, four side
by side and on all cores; chunks of nodes above it are read when they are needed; what is above the chunks fits in
memory. Every regenerated block must end in the node that was kept. Protocol 02-poet, sections 2.2, 3 and 13.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol, TypeVar

import numpy as np

from kernels.posw import sha256
from protocol.crypto.merkle import PADDING, proof_positions
from protocol.types.poet import NODE_SIZE, MerkleProof
from prover.errors import DataError, Interrupted
from prover.poet.round import fiat_shamir
from prover.poet.round.processors import usable_cores

BLOCKS = 4
"""Blocks that are regenerated side by side."""

CHUNK_HEIGHT = 12
"""Layers between the kept one and the part of the tree that is held in memory."""

CHUNKS_TOGETHER = 16
"""Chunks whose roots are made in one go: two megabytes of nodes."""

T = TypeVar("T")
R = TypeVar("R")


class KeptNodes(Protocol):
    """Where the nodes of the kept layer come from."""

    height: int
    statement: bytes

    def read(self, first: int, count: int) -> bytes:
        """Nodes first … first + count - 1."""


class DamagedNodes(DataError):
    """The kept nodes contradict the leaves that they stand for."""


class StopFlag:
    """Ends an extraction early, from any thread."""

    def __init__(self) -> None:
        self.word = np.zeros(1, np.int64)

    def set(self) -> None:
        """Makes the extraction end with `Interrupted` soon."""
        self.word[0] = 1

    def check(self) -> None:
        """Raises Interrupted once `set` was called."""
        if self.word[0]:
            raise Interrupted("The drawing of the proof was interrupted; resume the round to draw it.")


@dataclass(frozen=True, slots=True)
class _Block:
    """A block of leaves below the kept layer, and which of its nodes are wanted."""

    position: int
    count: int
    slots: sha256.Bytes
    wanted: tuple[tuple[int, int], ...]
    """(layer, position in that layer of the whole tree)."""


def extract(
    nodes: KeptNodes,
    num_leaves: int,
    security_param: int,
    threads: int | None = None,
    stop: StopFlag | None = None,
    slots: sha256.Bytes | None = None,
) -> MerkleProof:
    """The proof of a round of num_leaves >= 1 leaves whose complete blocks are in `nodes`.

    threads: default one a usable core. slots: what is parked behind the last leaf, where the caller knows it; then
    the nodes are held against it. Raises DamagedNodes, Interrupted, OSError.
    """
    extraction = Extraction(nodes, num_leaves, threads or usable_cores(), stop or StopFlag())
    return extraction.prove(security_param, slots)


def root_of_slots(statement: bytes, num_leaves: int, slots: sha256.Bytes) -> bytes:
    """The root of the leaves so far, from what is parked; num_leaves >= 1."""
    height = (num_leaves - 1).bit_length()
    if num_leaves == 1 << height:
        return _slot(slots, height)
    return _folded(statement, num_leaves, slots, height)


def _slot(slots: sha256.Bytes, layer: int) -> bytes:
    return bytes(slots[NODE_SIZE * layer : NODE_SIZE * (layer + 1)].tobytes())


def _folded(statement: bytes, leaves: int, slots: sha256.Bytes, height: int) -> bytes:
    """The padded node at `height` over the last leaves % 2^height leaves, at least one, from what is parked."""
    value = b""
    for layer in range(height):
        if leaves >> layer & 1:
            value = _join(statement, _slot(slots, layer), value or PADDING)
        elif value:
            value = _join(statement, value, PADDING)
    return value


def _join(statement: bytes, left: bytes, right: bytes) -> bytes:
    return bytes(sha256.parents(statement, np.frombuffer(left + right, np.uint8)).tobytes())


class Extraction:
    """One drawing. `extract` is what it is used through."""

    def __init__(self, nodes: KeptNodes, num_leaves: int, threads: int, stop: StopFlag) -> None:
        self._nodes = nodes
        self._statement = nodes.statement
        self._leaves = num_leaves
        self._threads = threads
        self._stop = stop
        self._tree_height = (num_leaves - 1).bit_length()
        # a tree lower than the kept layer is one block
        self._height = min(nodes.height, self._tree_height)
        self._complete = num_leaves >> nodes.height
        self._tail = num_leaves - (self._complete << nodes.height)
        self._chunk_height = min(CHUNK_HEIGHT, self._tree_height - self._height)
        self._reading = threading.Lock()
        """The nodes come from one file with one position."""
        self._last: bytes = b""
        """The node over the leaves behind the last complete block."""
        self._top: list[sha256.Bytes] = []
        self._chunks: dict[int, list[sha256.Bytes]] = {}
        self._below: dict[tuple[int, int], bytes] = {}

    def prove(self, security_param: int, slots: sha256.Bytes | None) -> MerkleProof:
        """As `extract`."""
        if self._tail:
            self._last = self._tail_again() if slots is None else self._tail_parked(slots)
        self._build_top()
        root = self._node(self._tree_height, 0)
        if slots is not None and root != root_of_slots(self._statement, self._leaves, slots):
            raise DamagedNodes("The kept layer gives another root than the leaves did; resume the round to mend it.")
        indices = fiat_shamir.draw(root, self._leaves, security_param)
        positions = proof_positions(indices, self._tree_height)
        leaves = [(0, index) for index in indices]
        self._load([*positions, *leaves])
        return MerkleProof(
            root,
            tuple(self._node(*place) for place in leaves),
            tuple(self._node(*place) for place in positions),
        )

    # ---- the storeys ----

    def _node(self, layer: int, position: int) -> bytes:
        """A node of the tree whose storey is at hand; padding beyond the last one."""
        if layer < self._height:
            return self._below.get((layer, position), PADDING)
        if layer >= self._height + self._chunk_height:
            nodes = self._top[layer - self._height - self._chunk_height]
        else:
            shift = self._height + self._chunk_height - layer
            chunk = self._chunks.get(position >> shift)
            if chunk is None:
                return PADDING
            nodes = chunk[layer - self._height]
            position &= (1 << shift) - 1
        place = nodes[NODE_SIZE * position : NODE_SIZE * (position + 1)]
        return bytes(place.tobytes()) if len(place) else PADDING

    def _chunk(self, number: int) -> list[sha256.Bytes]:
        """The layers of one chunk, padded up to its height."""
        first = number << self._chunk_height
        count = min(self._complete - first, 1 << self._chunk_height)
        data = self._nodes.read(first, count) if count > 0 else b""
        if self._last and count < 1 << self._chunk_height:
            data += self._last
        layers = [np.frombuffer(data, np.uint8)]
        for _ in range(self._chunk_height):
            layers.append(sha256.parents(self._statement, layers[-1]))
        return layers

    def _build_top(self) -> None:
        whole = self._complete >> self._chunk_height
        firsts = range(0, whole, CHUNKS_TOGETHER)
        roots = self._in_threads(self._roots, [(first, min(CHUNKS_TOGETHER, whole - first)) for first in firsts])
        if whole << self._chunk_height < self._complete + bool(self._last):
            roots.append(self._chunk(whole)[-1])
        self._top = [np.concatenate(roots)]
        while len(self._top[-1]) > NODE_SIZE:
            self._top.append(sha256.parents(self._statement, self._top[-1]))

    def _roots(self, chunks: tuple[int, int]) -> sha256.Bytes:
        """The roots of neighbouring chunks that need no padding: the first one's number, how many."""
        self._stop.check()
        first, count = (number << self._chunk_height for number in chunks)
        with self._reading:
            nodes = np.frombuffer(self._nodes.read(first, count), np.uint8)
        for _ in range(self._chunk_height):
            nodes = sha256.parents(self._statement, nodes)
        return nodes

    def _in_threads(self, work: Callable[[T], R], items: Sequence[T]) -> list[R]:
        """What `work` makes of each, on all cores."""
        if self._threads == 1 or len(items) < 2:
            return [work(item) for item in items]
        with ThreadPoolExecutor(self._threads, "poet-draw") as pool:
            return list(pool.map(work, items))

    def _slots_before(self, block: int) -> sha256.Bytes:
        """What was parked when the first leaf of a block was made; the block's chunk is at hand."""
        slots = sha256.new_slots()
        start = block << self._height
        for layer in range(self._height, start.bit_length()):
            if start >> layer & 1:
                node = self._node(layer, (start >> layer) - 1)
                slots[NODE_SIZE * layer : NODE_SIZE * (layer + 1)] = np.frombuffer(node, np.uint8)
        return slots

    def _tail_parked(self, slots: sha256.Bytes) -> bytes:
        """The node over the leaves behind the last complete block, from what is parked there."""
        if self._tail == 1 << self._height:
            return _slot(slots, self._height)
        return _folded(self._statement, self._leaves, slots, self._height)

    def _tail_again(self) -> bytes:
        """The same from the leaves, made once more."""
        slots = sha256.new_slots()
        piece = 1 << 15
        for first in range(0, self._complete, piece):
            self._stop.check()
            data = self._nodes.read(first, min(piece, self._complete - first))
            sha256.absorb_nodes(self._statement, slots, self._height, first, np.frombuffer(data, np.uint8))
        row = slots.reshape(1, -1)
        starts = np.array([self._complete << self._height], np.int64)
        counts = np.array([self._tail], np.int64)
        trees = sha256.regenerate(self._statement, self._height, starts, counts, row, self._stop.word)
        self._stop.check()
        if self._tail == 1 << self._height:
            return bytes(trees[0, -NODE_SIZE:].tobytes())
        return _folded(self._statement, self._leaves, row[0], self._height)

    def _load(self, places: Sequence[tuple[int, int]]) -> None:
        """Brings the chunks and blocks of these nodes to hand."""
        shift = self._height + self._chunk_height
        for layer, position in places:
            chunk = position >> (shift - layer) if layer < shift else None
            exists = chunk is not None and NODE_SIZE * chunk < len(self._top[0])
            if chunk is not None and exists and chunk not in self._chunks:
                self._stop.check()
                self._chunks[chunk] = self._chunk(chunk)
        wanted: dict[int, list[tuple[int, int]]] = {}
        for layer, position in places:
            if layer < self._height:
                wanted.setdefault(position >> (self._height - layer), []).append((layer, position))
        blocks = [
            _Block(
                number,
                min(self._leaves - (number << self._height), 1 << self._height),
                self._slots_before(number),
                tuple(places),
            )
            for number, places in sorted(wanted.items())
            if number << self._height < self._leaves
        ]
        groups = [blocks[at : at + BLOCKS] for at in range(0, len(blocks), BLOCKS)]
        for found in self._in_threads(self._regenerated, groups):
            self._below.update(found)

    def _regenerated(self, blocks: Sequence[_Block]) -> dict[tuple[int, int], bytes]:
        """The wanted nodes of some blocks."""
        self._stop.check()
        trees = sha256.regenerate(
            self._statement,
            self._height,
            np.array([block.position << self._height for block in blocks], np.int64),
            np.array([block.count for block in blocks], np.int64),
            np.stack([block.slots for block in blocks]),
            self._stop.word,
        )
        self._stop.check()
        found = {}
        for block, tree in zip(blocks, trees):
            layers = self._layers(tree, block.count)
            self._confirm(block.position, layers[-1].tobytes())
            for layer, position in block.wanted:
                at = position - (block.position << (self._height - layer))
                node = layers[layer][NODE_SIZE * at : NODE_SIZE * (at + 1)]
                found[layer, position] = bytes(node.tobytes()) if len(node) else PADDING
        return found

    def _confirm(self, block: int, root: bytes) -> None:
        if root != self._node(self._height, block):
            raise DamagedNodes(
                f"Node {block} of the kept layer is not what its leaves give; resume the round to mend it."
            )

    def _layers(self, tree: sha256.Bytes, count: int) -> list[sha256.Bytes]:
        """The layers of a block's tree, padded where its leaves are not complete."""
        starts = [sha256.tree_layer(self._height, layer) for layer in range(self._height + 1)]
        if count == 1 << self._height:
            ends = [*starts[1:], sha256.tree_places(self._height)]
            return [tree[NODE_SIZE * start : NODE_SIZE * end] for start, end in zip(starts, ends)]
        layers = [tree[: NODE_SIZE * count]]
        for _ in range(self._height):
            layers.append(sha256.parents(self._statement, layers[-1]))
        return layers
