"""A whole proof of sequential work judged in one compiled call: indices drawn, root rebuilt, labels made again.

The walk is the partial-tree validation of protocol 02-poet, section 2.3, with its recursion unrolled into a stack. It
writes the parked nodes of each leaf straight into the message that the leaf's label is the hash of; then the labels
are made two by two. Protocol 02-poet, sections 3 and 5.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from numba import njit

from . import sha256
from .sha256 import (
    MAX_LAYERS,
    NESTING,
    SLACK,
    Bytes,
    _copy,
    _hash,
    _hash_padded,
    _nest,
    _nest_two,
    _pad,
    _prepared,
    _put_index,
    as_array,
)

VALID = -1
"""The proof holds."""

ROOT_MISMATCH = -2
"""Leaves and nodes give another root."""

SNAPSHOT_COUNT = -3
"""The walk did not reach every leaf."""

store = sha256.store
_ONE = np.uint64(1)
_STACK = MAX_LAYERS + 2


@njit(nogil=True)
def _draw(root, count, num_leaves, indices):  # type: ignore[no-untyped-def]
    """Fills `indices` with `count` distinct indices below num_leaves (at least count), ascending."""
    size = len(root)
    message = np.zeros(size + 4 + SLACK, np.uint8)
    message[:size] = root
    digest = np.empty(32, np.uint8)
    drawn = 0
    counter = 0
    while drawn < count:
        for position in range(4):
            message[size + position] = (counter >> (24 - 8 * position)) & 0xFF
        store(_hash(message, 0, size + 4), digest, 0)
        counter += 1
        word = np.uint64(0)
        for position in range(8):
            word = (word << np.uint64(8)) | np.uint64(digest[position])
        index = word % num_leaves
        low, high = 0, drawn
        while low < high:
            middle = (low + high) // 2
            if indices[middle] < index:
                low = middle + 1
            else:
                high = middle
        if low < drawn and indices[low] == index:
            continue
        for position in range(drawn, low, -1):
            indices[position] = indices[position - 1]
        indices[low] = index
        drawn += 1


@njit(nogil=True)
def _walk(statement, indices, leaves, nodes, messages, ends, root):  # type: ignore[no-untyped-def]
    """Rebuilds the root from leaves and proof nodes and appends to each leaf's message its left siblings.

    Returns how many leaves were reached. A frame of the stack is a subtree on its way up, from its first leaf on.
    """
    size = len(statement)
    node = _prepared(statement, 64)
    blocks = _pad(node, 0, size + 64)
    index = np.empty(_STACK, np.uint64)
    layer = np.empty(_STACK, np.int64)
    stop = np.empty(_STACK, np.int64)
    first = np.empty(_STACK, np.int64)
    values = np.empty((_STACK, 32), np.uint8)
    reached, used, top = 1, 0, 0
    index[0], layer[0], stop[0], first[0] = indices[0], 0, -1, 0
    _copy(values[0], 0, leaves, 0)
    node_count = len(nodes) // 32
    while True:
        sibling_first = -1
        if layer[top] != stop[top]:
            at = layer[top]
            wanted = index[top] ^ _ONE
            following = np.uint64(0)
            if reached < len(indices) and at < 64:
                following = indices[reached] >> np.uint64(at)
            if reached < len(indices) and following == wanted:
                top += 1
                index[top], layer[top], stop[top], first[top] = indices[reached], 0, at, reached
                _copy(values[top], 0, leaves, 32 * reached)
                reached += 1
                continue
            if used < node_count:
                sibling_first = reached  # no leaf of its own
                sibling, start = nodes, 32 * used
                used += 1
        if sibling_first < 0:
            # this subtree is complete, or the nodes ran out: it is the sibling of the one below it on the stack
            if top == 0:
                break
            sibling_first = first[top]
            sibling, start = values[top], 0
            top -= 1
        value = values[top]
        if index[top] & _ONE:
            for leaf in range(first[top], sibling_first):
                _copy(messages[leaf], ends[leaf], sibling, start)
                ends[leaf] += 32
            _copy(node, size, sibling, start)
            _copy(node, size + 32, value, 0)
        else:
            for leaf in range(sibling_first, reached):
                _copy(messages[leaf], ends[leaf], value, 0)
                ends[leaf] += 32
            _copy(node, size, value, 0)
            _copy(node, size + 32, sibling, start)
        store(_hash_padded(node, 0, blocks), value, 0)
        layer[top] += 1
        index[top] = index[top] >> _ONE
    root[:] = values[0]
    return reached


@njit(nogil=True)
def _same(digest, leaves, start):  # type: ignore[no-untyped-def]
    for position in range(32):  # noqa: SIM110 - a generator is no compiled code
        if digest[position] != leaves[start + position]:
            return False
    return True


@njit(nogil=True, cache=True)
def _verify(statement, root, num_leaves, leaves, nodes, actual):  # type: ignore[no-untyped-def]
    count = len(leaves) // 32
    size = len(statement)
    indices = np.empty(count, np.uint64)
    _draw(root, count, num_leaves, indices)
    messages = np.empty((count, size + 8 + 32 * MAX_LAYERS + SLACK), np.uint8)
    ends = np.empty(count, np.int64)
    for leaf in range(count):
        messages[leaf, :size] = statement
        _put_index(messages[leaf], size, indices[leaf])
        ends[leaf] = size + 8
    found = np.empty(32, np.uint8)
    reached = _walk(statement, indices, leaves, nodes, messages, ends, found)
    if not _same(found, root, 0):
        return ROOT_MISMATCH
    if reached != count:
        return SNAPSHOT_COUNT
    for a in range(0, count - 1, 2):
        state_a = _hash(messages[a], 0, ends[a])
        state_b = _hash(messages[a + 1], 0, ends[a + 1])
        state_a, state_b = _nest_two(state_a, state_b, NESTING - 1)
        store(state_a, actual, 0)
        if not _same(actual, leaves, 32 * a):
            return a
        store(state_b, actual, 0)
        if not _same(actual, leaves, 32 * a + 32):
            return a + 1
    if count & 1:
        store(_nest(_hash(messages[count - 1], 0, ends[count - 1]), NESTING - 1), actual, 0)
        if not _same(actual, leaves, 32 * count - 32):
            return count - 1
    return VALID


@njit(nogil=True, cache=True)
def _draw_all(root, count, num_leaves):  # type: ignore[no-untyped-def]
    indices = np.empty(count, np.uint64)
    _draw(root, count, num_leaves, indices)
    return indices


def draw(root: bytes, count: int, num_leaves: int) -> npt.NDArray[np.uint64]:
    """The indices of the leaves to prove, ascending; num_leaves is at least count and below 2^64."""
    found: npt.NDArray[np.uint64] = _draw_all(as_array(root), count, np.uint64(num_leaves))
    return found


def verify(statement: bytes, root: bytes, num_leaves: int, leaves: bytes, nodes: bytes) -> tuple[int, bytes]:
    """VALID, ROOT_MISMATCH, SNAPSHOT_COUNT or the position of the first wrong label; and the label that it should be.

    root is 32 bytes, leaves and nodes are concatenated; there is at least one leaf, and num_leaves is not smaller than
    their number. Holds no interpreter lock.
    """
    actual = np.zeros(32, np.uint8)
    arrays: list[Bytes] = [as_array(data) for data in (statement, root, leaves, nodes)]
    code = _verify(arrays[0], arrays[1], np.uint64(num_leaves), arrays[2], arrays[3], actual)
    return int(code), actual.tobytes()
