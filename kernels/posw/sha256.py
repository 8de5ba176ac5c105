"""SHA-256 as sequential work needs it: one long chain of dependent hashes, as fast as the silicon passes them on.

With the SHA extensions a hash of a hash costs the latency of its 32 dependent instructions and nothing else; elsewhere
the same functions are plain words. Everything from the label of one leaf to a whole round is one compiled call that
holds no interpreter lock. Protocol 02-poet, sections 2 to 3.1.

Bytes stay bytes: buffers are uint8 arrays, a digest is 32 of them. Each call says what its arrays are.

More than 400 lines, because the steps are inlined into one another and share the layout of their buffers.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit
from numba.core import types
from numba.extending import intrinsic

from kernels.vectors import target

target.keep_code_of(__name__)

if target.has_sha256():
    from kernels.posw import sha256_instructions as code
else:
    from kernels.posw import sha256_portable as code  # type: ignore[no-redef]

initial, absorb, store, load = code.initial, code.absorb, code.store, code.load
to_chain, from_chain, rehash = code.to_chain, code.from_chain, code.rehash

NESTING = 400
"""Hashes in a label: one of the message, 399 of the hash before. Protocol 02-poet, section 1."""

MAX_LAYERS = 64
"""A leaf index has 64 bits, so a tree has at most so many layers above its leaves."""

SLACK = 72
"""Bytes that must be free behind a message in its buffer: the padding of SHA-256."""

DONE, LIMIT, TAKEN = 0, 1, 2
"""Places in the control array of `advance`."""

Bytes = npt.NDArray[np.uint8]
Words = npt.NDArray[np.uint64]


def _pointer(context: Any, builder: Any, signature: Any, args: Any) -> Any:
    data = context.make_array(signature.args[0])(context, builder, args[0]).data
    return builder.gep(data, [args[1]])


@intrinsic
def _read_shared(_typing: Any, array: Any, position: Any) -> Any:
    """A word that another thread may write meanwhile; never kept in a register."""

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.load_atomic(_pointer(context, builder, signature, args), "acquire", 8)

    return array.dtype(array, position), code


@intrinsic
def _write_shared(_typing: Any, array: Any, position: Any, value: Any) -> Any:
    """Publishes a word to other threads after everything that was written before it."""

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        word = context.cast(builder, args[2], signature.args[2], types.int64)
        builder.store_atomic(word, _pointer(context, builder, signature, args), "release", 8)
        return context.get_dummy_value()

    return types.none(array, position, value), code


# ---- steps ----


@njit(nogil=True)
def _pad(buffer, offset, length):  # type: ignore[no-untyped-def]
    """Writes the padding behind a message of `length` bytes at `offset`; returns its number of blocks."""
    blocks = (length + 9 + 63) // 64
    end = offset + blocks * 64
    for position in range(offset + length, end):
        buffer[position] = 0
    buffer[offset + length] = 0x80
    bits = length * 8
    for position in range(8):
        buffer[end - 1 - position] = (bits >> (8 * position)) & 0xFF
    return blocks


@njit(nogil=True)
def _hash_padded(buffer, offset, blocks):  # type: ignore[no-untyped-def]
    state = initial()
    for block in range(blocks):
        state = absorb(state, buffer, offset + 64 * block)
    return state


@njit(nogil=True)
def _hash(buffer, offset, length):  # type: ignore[no-untyped-def]
    return _hash_padded(buffer, offset, _pad(buffer, offset, length))


@njit(nogil=True)
def _nest(state, times):  # type: ignore[no-untyped-def]
    link = to_chain(state)
    for _ in range(times):
        link = rehash(link)
    return from_chain(link)


if target.has_sha256():
    absorb_four, rehash_four = code.absorb_four, code.rehash_four

    @njit(nogil=True)
    def _nest_four(states, times):  # type: ignore[no-untyped-def]
        a, b, c, d = states
        a, b, c, d = to_chain(a), to_chain(b), to_chain(c), to_chain(d)
        for _ in range(times):
            a, b, c, d = rehash_four(a, b, c, d)
        return from_chain(a), from_chain(b), from_chain(c), from_chain(d)

    @njit(nogil=True)
    def _hash_four(buffer, offsets, blocks):  # type: ignore[no-untyped-def]
        """The hashes of four padded messages of one buffer; `blocks` long each."""
        a = b = c = d = initial()
        at_a, at_b, at_c, at_d = offsets[0], offsets[1], offsets[2], offsets[3]
        joint = min(blocks[0], blocks[1], blocks[2], blocks[3])
        for block in range(joint):
            step = 64 * block
            a, b, c, d = absorb_four(a, b, c, d, buffer, at_a + step, at_b + step, at_c + step, at_d + step)
        for block in range(joint, blocks[0]):
            a = absorb(a, buffer, at_a + 64 * block)
        for block in range(joint, blocks[1]):
            b = absorb(b, buffer, at_b + 64 * block)
        for block in range(joint, blocks[2]):
            c = absorb(c, buffer, at_c + 64 * block)
        for block in range(joint, blocks[3]):
            d = absorb(d, buffer, at_d + 64 * block)
        return a, b, c, d

else:
    # a single chain of plain words leaves no unit idle

    @njit(nogil=True)
    def _nest_four(states, times):  # type: ignore[no-untyped-def]
        a, b, c, d = states
        return _nest(a, times), _nest(b, times), _nest(c, times), _nest(d, times)

    @njit(nogil=True)
    def _hash_four(buffer, offsets, blocks):  # type: ignore[no-untyped-def]
        """The hashes of four padded messages of one buffer; `blocks` long each."""
        return (
            _hash_padded(buffer, offsets[0], blocks[0]),
            _hash_padded(buffer, offsets[1], blocks[1]),
            _hash_padded(buffer, offsets[2], blocks[2]),
            _hash_padded(buffer, offsets[3], blocks[3]),
        )


@njit(nogil=True)
def _store_four(states, buffer, offsets):  # type: ignore[no-untyped-def]
    a, b, c, d = states
    store(a, buffer, offsets[0])
    store(b, buffer, offsets[1])
    store(c, buffer, offsets[2])
    store(d, buffer, offsets[3])


@njit(nogil=True)
def _copy(target, at, source, start):  # type: ignore[no-untyped-def]
    for position in range(32):
        target[at + position] = source[start + position]


@njit(nogil=True)
def _put_index(buffer, at, index):  # type: ignore[no-untyped-def]
    word = np.uint64(index)
    for position in range(8):
        buffer[at + position] = np.uint8((word >> np.uint64(56 - 8 * position)) & np.uint64(0xFF))


@njit(nogil=True)
def _prepared(statement, room):  # type: ignore[no-untyped-def]
    """A buffer that begins with the statement and has room behind it."""
    buffer = np.zeros(len(statement) + room + SLACK, np.uint8)
    buffer[: len(statement)] = statement
    return buffer


@njit(nogil=True)
def _first_message(message, start, size, leaf, slots):  # type: ignore[no-untyped-def]
    """Writes behind the statement at `start` the leaf index and the parked nodes left of the leaf, the lowest first.

    Returns how many blocks the padded message has.
    """
    _put_index(message, start + size, leaf)
    end = start + size + 8
    rest = leaf
    layer = 0
    while rest:
        if rest & 1:
            _copy(message, end, slots, 32 * layer)
            end += 32
        rest >>= 1
        layer += 1
    return _pad(message, start, end - start)


@njit(nogil=True)
def _park(node, size, blocks, slots, index, layer, value):  # type: ignore[no-untyped-def]
    """One step up: parks `value` (32 bytes) or joins it to what is parked there. Returns whether it was joined.

    `index` is the position of the value within its layer; `node` is a buffer with the statement and padding.
    """
    if index & 1 == 0:
        _copy(slots, 32 * layer, value, 0)
        return False
    _copy(node, size, slots, 32 * layer)
    _copy(node, size + 32, value, 0)
    store(_hash_padded(node, 0, blocks), value, 0)
    return True


# ---- calls ----


@njit(nogil=True, cache=True)
def _chain(value, times):  # type: ignore[no-untyped-def]
    store(_nest(load(value, 0), times), value, 0)


@njit(nogil=True, cache=True)
def _peek(control, position):  # type: ignore[no-untyped-def]
    return _read_shared(control, position)


@njit(nogil=True, cache=True)
def _label(message, length, nesting):  # type: ignore[no-untyped-def]
    out = np.empty(32, np.uint8)
    store(_nest(_hash(message, 0, length), nesting - 1), out, 0)
    return out


@njit(nogil=True)
def _four_prepared(statement, room):  # type: ignore[no-untyped-def]
    """A buffer of four places that begin with the statement, and where they are."""
    stride = len(statement) + room + SLACK
    buffer = np.zeros(4 * stride, np.uint8)
    offsets = np.empty(4, np.int64)
    for lane in range(4):
        offsets[lane] = lane * stride
        buffer[lane * stride : lane * stride + len(statement)] = statement
    return buffer, offsets


@njit(nogil=True, cache=True)
def _parents(statement, nodes, out):  # type: ignore[no-untyped-def]
    """Every pair of nodes (uint8, 32 bytes each) joined; an odd last one is joined to zeros."""
    size = len(statement)
    buffer, offsets = _four_prepared(statement, 64)
    blocks = np.empty(4, np.int64)
    for lane in range(4):
        blocks[lane] = _pad(buffer, offsets[lane], size + 64)
    count = len(nodes) // 32
    pairs = (count + 1) // 2
    places = np.empty(4, np.int64)
    for first in range(0, pairs, 4):
        for lane in range(4):
            pair = min(first + lane, pairs - 1)
            places[lane] = 32 * pair
            at = offsets[lane] + size
            _copy(buffer, at, nodes, 64 * pair)
            if 2 * pair + 1 < count:
                _copy(buffer, at + 32, nodes, 64 * pair + 32)
            else:
                buffer[at + 32 : at + 64] = 0
        if pairs - first == 1:
            store(_hash_padded(buffer, 0, blocks[0]), out, places[0])
        else:
            _store_four(_hash_four(buffer, offsets, blocks), out, places)


@njit(nogil=True, cache=True)
def _absorb_nodes(statement, slots, layer, first, nodes):  # type: ignore[no-untyped-def]
    """Adds finished nodes of one layer, `first` being the position of the first one, to the parked nodes above."""
    size = len(statement)
    node = _prepared(statement, 64)
    blocks = _pad(node, 0, size + 64)
    value = np.empty(32, np.uint8)
    for number in range(len(nodes) // 32):
        _copy(value, 0, nodes, 32 * number)
        index = first + number
        at = layer
        while _park(node, size, blocks, slots, index, at, value):
            index >>= 1
            at += 1


@njit(nogil=True, cache=True)
def _advance(statement, slots, ring, kept_layer, control):  # type: ignore[no-untyped-def]
    size = len(statement)
    message = _prepared(statement, 8 + 32 * MAX_LAYERS)
    node = _prepared(statement, 64)
    blocks = _pad(node, 0, size + 64)
    value = np.empty(32, np.uint8)
    places = len(ring) // 32
    leaf = control[DONE]
    while leaf < _read_shared(control, LIMIT):
        if ((leaf + 1) >> kept_layer) - _read_shared(control, TAKEN) > places:
            break
        first = _hash_padded(message, 0, _first_message(message, 0, size, leaf, slots))
        store(_nest(first, NESTING - 1), value, 0)
        layer = 0
        while True:
            if layer == kept_layer:
                _copy(ring, 32 * ((leaf >> layer) % places), value, 0)
            if not _park(node, size, blocks, slots, leaf >> layer, layer, value):
                break
            layer += 1
        leaf += 1
        _write_shared(control, DONE, leaf)
    return leaf


@njit(nogil=True)
def _add_to_block(node, size, blocks, slots, tree, height, leaf, value):  # type: ignore[no-untyped-def]
    """Adds a leaf to the parked nodes, and writes what becomes known of its block's tree."""
    number = leaf & ((1 << height) - 1)
    layer = 0
    while layer <= height:
        place = (2 << height) - (2 << (height - layer)) + (number >> layer)
        _copy(tree, 32 * place, value, 0)
        if layer == height or not _park(node, size, blocks, slots, leaf >> layer, layer, value):
            break
        layer += 1


@njit(nogil=True, cache=True)
def _regenerate(statement, height, starts, counts, slots, trees, stop):  # type: ignore[no-untyped-def]
    size = len(statement)
    message, offsets = _four_prepared(statement, 8 + 32 * MAX_LAYERS)
    node = _prepared(statement, 64)
    node_blocks = _pad(node, 0, size + 64)
    values = np.empty((4, 32), np.uint8)
    places = np.array([0, 32, 64, 96])
    blocks = np.empty(4, np.int64)
    for first in range(0, len(starts), 4):
        lanes = min(4, len(starts) - first)
        longest = 0
        for lane in range(lanes):
            longest = max(longest, counts[first + lane])
        for number in range(longest):
            if _read_shared(stop, 0):
                return
            at_work = 0
            for lane in range(4):
                # a lane without a leaf of its own does the work of another one once more
                block = first + min(lane, lanes - 1)
                has_leaf = number < counts[block]
                at_work += lane < lanes and has_leaf
                leaf = starts[block] + (number if has_leaf else 0)
                blocks[lane] = _first_message(message, offsets[lane], size, leaf, slots[block])
            if at_work == 1 and lanes == 1:
                store(_nest(_hash_padded(message, 0, blocks[0]), NESTING - 1), values[0], 0)
            else:
                states = _nest_four(_hash_four(message, offsets, blocks), NESTING - 1)
                _store_four(states, values.reshape(128), places)
            for lane in range(lanes):
                block = first + lane
                if number < counts[block]:
                    leaf = starts[block] + number
                    _add_to_block(node, size, node_blocks, slots[block], trees[block], height, leaf, values[lane])


# ---- the interface for Python ----


def as_array(data: bytes) -> Bytes:
    """The bytes as an array that compiled code may read."""
    return np.frombuffer(data, np.uint8).copy()


def new_slots() -> Bytes:
    """No parked node in any layer: uint8[2048], 32 bytes a layer."""
    return np.zeros(32 * (MAX_LAYERS + 1), np.uint8)


def chain(value: bytes, times: int) -> bytes:
    """t = SHA-256(t), `times` times, from a value of 32 bytes."""
    buffer = as_array(value)
    _chain(buffer, times)
    return buffer.tobytes()


def label(message: bytes, nesting: int = NESTING) -> bytes:
    """SHA-256 applied `nesting` times to a message that begins with the statement."""
    buffer = np.zeros(len(message) + SLACK, np.uint8)
    buffer[: len(message)] = np.frombuffer(message, np.uint8)
    return bytes(_label(buffer, len(message), nesting).tobytes())


def parents(statement: bytes, nodes: Bytes) -> Bytes:
    """The layer above `nodes` (uint8[32 * n], n >= 1): SHA-256(statement ‖ left ‖ right), zeros for a missing right."""
    count = len(nodes) // 32
    out = np.empty(32 * ((count + 1) // 2), np.uint8)
    _parents(as_array(statement), nodes, out)
    return out


def absorb_nodes(statement: bytes, slots: Bytes, layer: int, first: int, nodes: Bytes) -> None:
    """Adds nodes of one layer (uint8[32 * n]), `first` their position in it, to the parked nodes above."""
    _absorb_nodes(as_array(statement), slots, layer, first, nodes)


def advance(statement: Bytes, slots: Bytes, ring: Bytes, kept_layer: int, control: npt.NDArray[np.int64]) -> int:
    """Makes leaves one after another, without the interpreter lock, until told to stop; returns how many there are.

    slots: parked nodes of the `control[DONE]` leaves that are there, updated. ring: uint8[32 * places]; node p of layer
    `kept_layer` is written to place p % places. control: int64[3], shared with other threads: DONE leaves (written
    after their nodes are in the ring), LIMIT of leaves (return as soon as it is reached; may be lowered at any time),
    TAKEN nodes that the reader no longer needs in the ring (returns early when no place is free).
    """
    return int(_advance(statement, slots, ring, kept_layer, control))


def tree_places(height: int) -> int:
    """Nodes in the tree of a block of 2^height leaves; layer k of it begins at `tree_layer(height, k)`."""
    return (2 << height) - 1


def tree_layer(height: int, layer: int) -> int:
    """The place of the first node of a layer in a block's tree."""
    return (2 << height) - (2 << (height - layer))


def regenerate(
    statement: bytes,
    height: int,
    starts: npt.NDArray[np.int64],
    counts: npt.NDArray[np.int64],
    slots: Bytes,
    stop: npt.NDArray[np.int64] | None = None,
) -> Bytes:
    """The trees of independent blocks of 2^height leaves, four blocks side by side, without the interpreter lock.

    starts: first leaf of each block (a multiple of 2^height); counts: how many of its leaves exist; slots:
    uint8[n, 2080], the nodes parked before the block (altered). Returns uint8[n, 32 * tree_places(height)]; nodes
    above missing leaves are not set. Another thread may end the call early by writing to stop[0].
    """
    trees = np.zeros((len(starts), 32 * tree_places(height)), np.uint8)
    flag = np.zeros(1, np.int64) if stop is None else stop
    _regenerate(as_array(statement), height, starts, counts, slots, trees, flag)
    return trees


def leaves_done(control: npt.NDArray[np.int64]) -> int:
    """The leaves that `advance`, running in another thread, has published; their nodes can be read in the ring."""
    return int(_peek(control, DONE))
