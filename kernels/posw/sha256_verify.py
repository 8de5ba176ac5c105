"""A whole proof of sequential work judged in one compiled call: indices drawn, root rebuilt, labels made again.

The walk is the partial-tree validation of protocol 02-poet, section 2.3, with its recursion unrolled into a stack. It
only notes what is to be joined with what; the joins are then made layer by layer, four at a time, and what is parked
left of a leaf goes straight into the message that its label is the hash of. Protocol 02-poet, sections 3 and 5.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from kernels.posw import sha256
from kernels.posw.sha256 import (
    MAX_LAYERS,
    NESTING,
    SLACK,
    Bytes,
    _copy,
    _four_prepared,
    _hash,
    _hash_four,
    _hash_padded,
    _nest_four,
    _pad,
    _put_index,
    _store_four,
    as_array,
)
from kernels.vectors import target

target.keep_code_of(__name__)

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
def _walk(indices, node_count, joins, layers):  # type: ignore[no-untyped-def]
    """The walk over leaves and proof nodes, without their values. Returns (leaves reached, joins made, the root).

    A value has a number: first the leaves, then the proof nodes, then the joins. joins[k] is (left, right, value to
    append, first leaf, last leaf + 1): which two values are joined, and which of them is parked for which leaves;
    layers[k] is the layer of what is joined. A frame of the stack is a subtree on its way up, from its first leaf on.
    """
    index = np.empty(_STACK, np.uint64)
    layer = np.empty(_STACK, np.int64)
    stop = np.empty(_STACK, np.int64)
    first = np.empty(_STACK, np.int64)
    value = np.empty(_STACK, np.int64)
    count = len(indices)
    reached, used, made, top = 1, 0, 0, 0
    index[0], layer[0], stop[0], first[0], value[0] = indices[0], 0, -1, 0, 0
    while True:
        sibling = -1
        sibling_first = reached
        if layer[top] != stop[top]:
            at = layer[top]
            following = np.uint64(0)
            if reached < count and at < 64:
                following = indices[reached] >> np.uint64(at)
            if reached < count and following == index[top] ^ _ONE:
                top += 1
                index[top], layer[top], stop[top] = indices[reached], 0, at
                first[top], value[top] = reached, reached
                reached += 1
                continue
            if used < node_count:
                sibling = count + used
                used += 1
        if sibling < 0:
            # this subtree is complete, or the nodes ran out: it is the sibling of the one below it on the stack
            if top == 0:
                break
            sibling, sibling_first = value[top], first[top]
            top -= 1
        layers[made] = layer[top]
        if index[top] & _ONE:
            joins[made, 0], joins[made, 1], joins[made, 2] = sibling, value[top], sibling
            joins[made, 3], joins[made, 4] = first[top], sibling_first
        else:
            joins[made, 0], joins[made, 1], joins[made, 2] = value[top], sibling, value[top]
            joins[made, 3], joins[made, 4] = sibling_first, reached
        value[top] = count + node_count + made
        made += 1
        layer[top] += 1
        index[top] = index[top] >> _ONE
    return reached, made, value[0]


@njit(nogil=True)
def _by_layer(layers, made):  # type: ignore[no-untyped-def]
    """The joins in the order of their layers: those of one layer do not depend on each other."""
    highest = 0
    for join in range(made):
        highest = max(highest, layers[join])
    ends = np.zeros(highest + 2, np.int64)
    for join in range(made):
        ends[layers[join] + 1] += 1
    for layer in range(highest + 1):
        ends[layer + 1] += ends[layer]
    order = np.empty(made, np.int64)
    for join in range(made):
        order[ends[layers[join]]] = join
        ends[layers[join]] += 1
    return order


@njit(nogil=True)
def _join_all(statement, joins, layers, order, values, base, messages, stride, ends):  # type: ignore[no-untyped-def]
    """Makes the joins, four at a time, and appends to each leaf's message what was parked left of it."""
    size = len(statement)
    buffer, offsets = _four_prepared(statement, 64)
    blocks = np.empty(4, np.int64)
    places = np.empty(4, np.int64)
    for lane in range(4):
        blocks[lane] = _pad(buffer, offsets[lane], size + 64)
    position = 0
    while position < len(order):
        layer = layers[order[position]]
        lanes = 1
        while lanes < 4 and position + lanes < len(order) and layers[order[position + lanes]] == layer:
            lanes += 1
        for lane in range(lanes):
            join = order[position + lane]
            places[lane] = 32 * (base + join)
            _copy(buffer, offsets[lane] + size, values, 32 * joins[join, 0])
            _copy(buffer, offsets[lane] + size + 32, values, 32 * joins[join, 1])
            for leaf in range(joins[join, 3], joins[join, 4]):
                _copy(messages, leaf * stride + ends[leaf], values, 32 * joins[join, 2])
                ends[leaf] += 32
        if lanes == 1:
            store(_hash_padded(buffer, 0, blocks[0]), values, places[0])
        else:
            for lane in range(lanes, 4):
                places[lane] = 32 * (base + len(order))  # beyond the last value: nobody looks
            _store_four(_hash_four(buffer, offsets, blocks), values, places)
        position += lanes


@njit(nogil=True)
def _same(a, start_a, b, start_b):  # type: ignore[no-untyped-def]
    for position in range(32):  # noqa: SIM110 - a generator is no compiled code
        if a[start_a + position] != b[start_b + position]:
            return False
    return True


@njit(nogil=True, cache=True)
def _verify(statement, root, num_leaves, leaves, nodes, actual):  # type: ignore[no-untyped-def]
    count, node_count, size = len(leaves) // 32, len(nodes) // 32, len(statement)
    indices = np.empty(count, np.uint64)
    _draw(root, count, num_leaves, indices)
    most = count + node_count
    joins = np.empty((most, 5), np.int64)
    layers = np.empty(most, np.int64)
    reached, made, top = _walk(indices, node_count, joins, layers)
    values = np.empty(32 * (most + made + 1), np.uint8)
    values[: len(leaves)] = leaves
    values[len(leaves) : 32 * most] = nodes
    stride = size + 8 + 32 * MAX_LAYERS + SLACK
    messages = np.empty((count + 3) * stride, np.uint8)
    ends = np.empty(count, np.int64)
    for leaf in range(count):
        messages[leaf * stride : leaf * stride + size] = statement
        _put_index(messages, leaf * stride + size, indices[leaf])
        ends[leaf] = size + 8
    _join_all(statement, joins, layers, _by_layer(layers, made), values, most, messages, stride, ends)
    if not _same(values, 32 * top, root, 0):
        return ROOT_MISMATCH
    if reached != count:
        return SNAPSHOT_COUNT
    found = np.empty(128, np.uint8)
    places = np.array([0, 32, 64, 96])
    offsets = np.empty(4, np.int64)
    blocks = np.empty(4, np.int64)
    for first in range(0, count, 4):
        for lane in range(4):
            # the last lanes may repeat the last leaf
            leaf = min(first + lane, count - 1)
            offsets[lane] = leaf * stride
            blocks[lane] = _pad(messages, offsets[lane], ends[leaf])
        _store_four(_nest_four(_hash_four(messages, offsets, blocks), NESTING - 1), found, places)
        for lane in range(min(4, count - first)):
            if not _same(found, 32 * lane, leaves, 32 * (first + lane)):
                _copy(actual, 0, found, 32 * lane)
                return first + lane
    return VALID


def verify(statement: bytes, root: bytes, num_leaves: int, leaves: bytes, nodes: bytes) -> tuple[int, bytes]:
    """VALID, ROOT_MISMATCH, SNAPSHOT_COUNT or the position of the first wrong label; and the label that it should be.

    root is 32 bytes, leaves and nodes are concatenated; there is at least one leaf, and num_leaves is not smaller than
    their number. Holds no interpreter lock.
    """
    actual = np.zeros(32, np.uint8)
    arrays: list[Bytes] = [as_array(data) for data in (statement, root, leaves, nodes)]
    code = _verify(arrays[0], arrays[1], np.uint64(num_leaves), arrays[2], arrays[3], actual)
    return int(code), actual.tobytes()
