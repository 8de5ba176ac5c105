"""Merkle trees as the PoET builds them: zero padding in every layer, proofs for many leaves in one.

Pure functions over a hash of two nodes; with `member_node` they are the tree of a round's members. The partial-tree
validation is the network's, with all that it accepts: it decides which activations are valid. Protocol 02-poet,
section 2, and 02-poet-client, section 8.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from blake3 import blake3

from protocol.errors import ProtocolError

Join = Callable[[bytes, bytes], bytes]
"""A node from its left and its right child."""

PADDING = bytes(32)
"""What stands for a missing node, whatever its layer."""


class InvalidPartialTree(ProtocolError):
    """Leaves and indices that are no question at all.

    reason: indices_count, no_leaves, indices_not_sorted, indices_duplicate.
    """


def member_node(left: bytes, right: bytes) -> bytes:
    """A node of the membership tree. Protocol 02-poet, section 2.1."""
    return blake3(b"\x01" + left + right).digest()


class StreamTree:
    """The tree that grows leaf by leaf; holds one parked node a layer. Protocol 02-poet, section 2.

    A leaf of no bytes takes the place of nothing, as in the reference: it leaves its place empty.
    """

    def __init__(self, join: Join) -> None:
        self._join = join
        self._slots: list[bytes] = [b""]

    def add(self, leaf: bytes) -> None:
        """One more leaf on the right."""
        value = leaf
        layer = 0
        while self._slots[layer]:
            value = self._join(self._slots[layer], value)
            self._slots[layer] = b""
            layer += 1
            if layer == len(self._slots):
                self._slots.append(b"")
        self._slots[layer] = value

    def root(self) -> bytes:
        """The root so far; empty without leaves."""
        value = b""
        for slot in self._slots[:-1]:
            if slot:
                value = self._join(slot, value or PADDING)
            elif value:
                value = self._join(value, PADDING)
        top = self._slots[-1]
        if not value:
            return top
        return self._join(top, value) if top else self._join(value, PADDING)


def root_of(leaves: Sequence[bytes], join: Join = member_node) -> bytes:
    """The root of a tree: empty without leaves, a single leaf is its own root."""
    if b"" in leaves or not leaves:  # an empty leaf may move those behind it
        tree = StreamTree(join)
        for leaf in leaves:
            tree.add(leaf)
        return tree.root()
    layer = list(leaves)
    while len(layer) > 1:
        if len(layer) & 1:
            layer.append(PADDING)
        layer = [join(layer[at], layer[at + 1]) for at in range(0, len(layer), 2)]
    return layer[0]


def _roots_of_padding(height: int) -> tuple[bytes, ...]:
    roots = [PADDING]
    for _ in range(height):
        roots.append(member_node(roots[-1], roots[-1]))
    return tuple(roots)


_PADDED = _roots_of_padding(8)
"""The root of a membership tree of 2^i leaves that are all padding, for each i."""


def filled_root(leaves: Sequence[bytes], height: int) -> bytes:
    """The root of a membership tree of 2^height leaves (height at most 8): the given ones, then padding.

    The same as `root_of` with the padding written out. Protocol 03-encoding-and-types, section 6.2.
    """
    if b"" in leaves:
        return root_of([*leaves, *[PADDING] * ((1 << height) - len(leaves))])
    layer = list(leaves)
    for padding in _PADDED[:height]:
        if len(layer) & 1:
            layer.append(padding)
        layer = [member_node(layer[at], layer[at + 1]) for at in range(0, len(layer), 2)]
    return layer[0] if layer else _PADDED[height]


def layers_of(leaves: Sequence[bytes], join: Join = member_node) -> list[list[bytes]]:
    """All layers of the padded tree over at least one leaf, the leaves first; the last one holds the root."""
    layers = [list(leaves)]
    while len(layers[-1]) > 1:
        below = layers[-1]
        layers.append(
            [
                join(below[position], below[position + 1] if position + 1 < len(below) else PADDING)
                for position in range(0, len(below), 2)
            ]
        )
    return layers


def proof_positions(indices: Sequence[int], height: int) -> list[tuple[int, int]]:
    """The (layer, position) of every node of a proof for ascending leaf indices, in post-order.

    height is the layer of the root. Positions beyond the tree stand for padding. Protocol 02-poet, section 2.2.
    """
    found: list[tuple[int, int]] = []

    def walk(layer: int, position: int, start: int, end: int) -> None:
        if layer == 0:
            return
        layer -= 1
        left, right = 2 * position, 2 * position + 1
        middle = bisect_left(indices, right << layer, start, end)
        if start < middle:
            walk(layer, left, start, middle)
        if middle < end:
            walk(layer, right, middle, end)
        if middle == start:
            found.append((layer, left))
        elif middle == end:
            found.append((layer, right))

    if indices:
        walk(height, 0, 0, len(indices))
    return found


def prove(leaves: Sequence[bytes], indices: Sequence[int], join: Join = member_node) -> tuple[bytes, ...]:
    """The proof nodes for ascending leaf indices. Raises ProtocolError (no_leaves) for an index beyond the leaves."""
    if any(index >= len(leaves) for index in indices):
        raise ProtocolError(f"There are {len(leaves)} leaves, not all of {list(indices)}.", "no_leaves")
    return prove_in(layers_of(leaves, join), indices) if leaves else ()


def prove_in(layers: Sequence[Sequence[bytes]], indices: Sequence[int]) -> tuple[bytes, ...]:
    """The same for a tree whose layers are at hand, as `layers_of` gives them."""
    return tuple(
        layers[layer][position] if position < len(layers[layer]) else PADDING
        for layer, position in proof_positions(indices, len(layers) - 1)
    )


@dataclass(frozen=True, slots=True)
class PartialTree:
    """What a walk over some leaves and proof nodes gives."""

    root: bytes
    left_siblings: tuple[tuple[bytes, ...], ...]
    """For each leaf that the walk reached: the nodes parked when it was added, the lowest first, empty where none."""


def check_indices(indices: Sequence[int], num_leaves: int) -> None:
    """The checks before the walk, in their order. Raises InvalidPartialTree."""
    if len(indices) != num_leaves:
        raise InvalidPartialTree(
            f"number of leaves ({num_leaves}) must equal number of indices ({len(indices)})", "indices_count"
        )
    if not indices:
        raise InvalidPartialTree("at least one leaf is required for validation", "no_leaves")
    if any(later < earlier for earlier, later in pairwise(indices)):
        raise InvalidPartialTree("leafIndices are not sorted", "indices_not_sorted")
    if len(set(indices)) != len(indices):
        raise InvalidPartialTree("leafIndices contain duplicates", "indices_duplicate")


def partial_tree(indices: Sequence[int], leaves: Sequence[bytes], nodes: Sequence[bytes], join: Join) -> PartialTree:
    """The root that leaves and proof nodes give. Raises InvalidPartialTree. Protocol 02-poet, section 2.3.

    The height follows from the nodes: the walk ends when they run out. Leaves that it does not reach are ignored,
    and so are bits of an index above the height. Nothing here may be tightened without the network.
    """
    check_indices(indices, len(leaves))
    reached = 0
    used = 0

    def calculate(stop: int | None) -> tuple[bytes, list[list[bytes]]]:
        nonlocal reached, used
        index, value = indices[reached], leaves[reached]
        reached += 1
        layer = 0
        parked: list[list[bytes]] = [[]]
        while layer != stop:
            beside: list[list[bytes]] = []
            if reached < len(indices) and indices[reached] >> layer == index ^ 1:
                sibling, beside = calculate(layer)
            elif used < len(nodes):
                sibling = nodes[used]
                used += 1
            else:
                break
            if index & 1:
                for siblings in parked:
                    siblings.append(sibling)
                value = join(sibling, value)
            else:
                for siblings in parked:
                    siblings.append(b"")
                for siblings in beside:
                    siblings.append(value)
                parked += beside
                value = join(value, sibling)
            layer += 1
            index >>= 1
        return value, parked

    root, parked = calculate(None)
    return PartialTree(root, tuple(tuple(siblings) for siblings in parked))


def validate(
    indices: Sequence[int], leaves: Sequence[bytes], nodes: Sequence[bytes], root: bytes, join: Join = member_node
) -> bool:
    """Whether leaves and proof nodes give the root. Raises InvalidPartialTree where that is no question.

    Says nothing about leaves that the walk does not reach (see `partial_tree`).
    """
    return partial_tree(indices, leaves, nodes, join).root == root


def membership_nodes(members: Sequence[bytes], index: int) -> tuple[bytes, ...]:
    """The proof that a node puts into its activation: siblings from the bottom up, padding included."""
    return prove(members, [index])
