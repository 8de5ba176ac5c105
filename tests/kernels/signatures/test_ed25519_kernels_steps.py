"""The steps below the verification in lanes, each against plain integers or the standard library."""

from __future__ import annotations

import hashlib
import random
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from numba import njit

from kernels.signatures import field25519, sha512
from kernels.signatures.ed25519_batch import aligned_words
from kernels.signatures.ed25519_curve import ORDER, P
from kernels.signatures.ed25519_scalars import digest_scalar, is_reduced_scalar
from kernels.signatures.field25519 import ELEMENT, LIMB_BITS, LIMBS, PAIR
from kernels.vectors import lanes as simd_lanes
from kernels.vectors.lanes import LANES, LOW_52, Lanes, lane_operation

EDGES = [0, 1, 2, 18, 19, 20, P - 1, P - 19, P // 2, 2**254, 2**208 - 1, 2**52 - 1, 2**104, 2**255 - 20]


def put(memory: npt.NDArray[np.uint64], place: int, values: list[int]) -> None:
    """Eight numbers as one element."""
    for lane, value in enumerate(values):
        for limb in range(LIMBS):
            memory[place + limb * LANES + lane] = value >> (LIMB_BITS * limb) & LOW_52


def get(memory: npt.NDArray[np.uint64], place: int) -> list[int]:
    """Eight numbers of carried limbs: above bit 52 the lower ones keep what was carried on."""
    limbs = memory[place : place + ELEMENT].reshape(LIMBS, LANES)
    return [
        sum(
            (int(limbs[i, lane]) & LOW_52 if i < LIMBS - 1 else int(limbs[i, lane])) << (LIMB_BITS * i)
            for i in range(LIMBS)
        )
        for lane in range(LANES)
    ]


def samples(seed: int, bound: int = P, edges: list[int] = EDGES) -> list[list[int]]:
    source = random.Random(seed)
    numbers = [source.choice([*edges, source.randrange(bound)]) for _ in range(20 * LANES)]
    return [numbers[first : first + LANES] for first in range(0, len(numbers), LANES)]


@lane_operation
def _twin_low(lanes: Lanes, target: Any, total: Any, a: Any, b: Any) -> None:
    twin = simd_lanes._portable_multiply_add(lanes.builder.module, is_high=False)
    lanes.store(lanes.builder.call(twin, (lanes.load(total), lanes.load(a), lanes.load(b))), target)


@lane_operation
def _twin_high(lanes: Lanes, target: Any, total: Any, a: Any, b: Any) -> None:
    twin = simd_lanes._portable_multiply_add(lanes.builder.module, is_high=True)
    lanes.store(lanes.builder.call(twin, (lanes.load(total), lanes.load(a), lanes.load(b))), target)


@lane_operation
def _primitive_low(lanes: Lanes, target: Any, total: Any, a: Any, b: Any) -> None:
    lanes.store(lanes.multiply_low(lanes.load(total), lanes.load(a), lanes.load(b)), target)


@lane_operation
def _primitive_high(lanes: Lanes, target: Any, total: Any, a: Any, b: Any) -> None:
    lanes.store(lanes.multiply_high(lanes.load(total), lanes.load(a), lanes.load(b)), target)


@pytest.mark.parametrize(
    ("operation", "shift"),
    [(_twin_low, 0), (_primitive_low, 0), (_twin_high, 52), (_primitive_high, 52)],
    ids=["twin low", "chosen low", "twin high", "chosen high"],
)
def test_multiply_add_is_that_of_52_bits(operation: Any, shift: int) -> None:
    edges = [0, 1, 2**26 - 1, 2**26, 2**52 - 1, 2**52, 2**64 - 1, 2**63, 2**51 + 2**25]
    memory = aligned_words(4 * LANES)
    for seed in range(5):
        for rows in zip(
            samples(seed, 2**64, edges), samples(seed + 50, 2**64, edges), samples(seed + 90, 2**64, edges)
        ):
            memory[: 3 * LANES] = np.array([value for row in rows for value in row], np.uint64)
            operation(memory, 3 * LANES, 0, LANES, 2 * LANES)
            expected = [(total + ((a & LOW_52) * (b & LOW_52) >> shift & LOW_52)) % 2**64 for total, a, b in zip(*rows)]
            assert memory[3 * LANES :].tolist() == expected


def test_products_and_squares_of_field_elements() -> None:
    memory = aligned_words(3 * PAIR)
    for left, right in zip(samples(1), samples(2)):
        put(memory, 0, left)
        put(memory, ELEMENT, right)
        put(memory, PAIR, right)
        put(memory, PAIR + ELEMENT, right)
        field25519.multiply_two(memory, 2 * PAIR, 0, PAIR)
        for place, values in ((0, left), (ELEMENT, right)):
            found = get(memory, 2 * PAIR + place)
            assert [value % P for value in found] == [x * y % P for x, y in zip(values, right)]
            assert max(found) < 2**255 + 2**216
        field25519.square_two(memory, 2 * PAIR, 0)
        for place, values in ((0, left), (ELEMENT, right)):
            assert [value % P for value in get(memory, 2 * PAIR + place)] == [x * x % P for x in values]


@field25519.field_operation
def _reduce(field: field25519.Field, target: Any, source: Any) -> None:
    field.store_element(field.reduce(field.element(source)), target)


@field25519.field_operation
def _negate(field: field25519.Field, target: Any, source: Any) -> None:
    field.store_element(field.negate(field.element(source)), target)


def test_reduction_and_negation() -> None:
    memory = aligned_words(PAIR)
    beyond = [P, P + 1, P + 18, 2**255 - 1, 2**255, 2**255 + 2**215]
    for values in samples(3, 2**255, [*EDGES, *beyond]):
        put(memory, 0, values)
        _reduce(memory, ELEMENT, 0)
        assert get(memory, ELEMENT) == [value % P for value in values]
        _negate(memory, ELEMENT, 0)
        assert [value % P for value in get(memory, ELEMENT)] == [-value % P for value in values]


def test_inverses_and_roots() -> None:
    memory = aligned_words(10 * PAIR)
    for first, second in zip(samples(4), samples(5)):
        put(memory, 0, first)
        put(memory, ELEMENT, second)
        field25519.invert_two(memory, PAIR, 0, 2 * PAIR)
        for place, values in ((PAIR, first), (PAIR + ELEMENT, second)):
            assert [value % P for value in get(memory, place)] == [pow(value, P - 2, P) for value in values]
        put(memory, 3 * PAIR, first)
        put(memory, 3 * PAIR + ELEMENT, second)
        field25519.raise_for_root(memory, 0)
        for place, values in ((4 * PAIR, first), (4 * PAIR + ELEMENT, second)):
            assert [value % P for value in get(memory, place)] == [pow(value, (P - 5) // 8, P) for value in values]


@njit
def _hash(memory, block_words, stride, messages, lengths, block_counts):  # type: ignore[no-untyped-def]
    blocks = block_words.view(np.uint8)
    start = 0
    for lane in range(LANES):
        end = sha512.put_bytes(blocks, lane * stride, messages, start, lengths[lane])
        start += lengths[lane]
        block_counts[lane] = sha512.pad(blocks, lane * stride, end)
    sha512.hash_blocks(memory, 0, sha512.STATE, block_words, stride, block_counts)


@pytest.mark.parametrize("first", [0, 52, 104, 108, 120, 232, 236, 240])
def test_hashes_of_eight_messages_of_eight_lengths(first: int) -> None:
    messages = [random.Random(first + i).randbytes(first + i) for i in range(LANES)]
    random.Random(first).shuffle(messages)
    stride = sha512.padded_bytes(first + LANES)
    memory = aligned_words(sha512.STATE + sha512.HASH_SCRATCH)
    joined = np.frombuffer(b"".join(messages), np.uint8)
    lengths = np.array([len(message) for message in messages])
    _hash(memory, aligned_words(stride), stride, joined, lengths, np.zeros(LANES, np.int64))
    state = memory[: sha512.STATE].reshape(8, LANES)
    digests = [b"".join(int(word).to_bytes(8, "big") for word in state[:, lane]) for lane in range(LANES)]
    assert digests == [hashlib.sha512(message).digest() for message in messages]


def test_digests_modulo_the_group_order() -> None:
    edges = [0, 1, ORDER - 1, ORDER, ORDER + 1, 2**252, 2**260 - 1, 2**260, 2**512 - 1, 2**512 // ORDER * ORDER]
    edges += [edge - 1 for edge in edges[3:]] + [ORDER * factor for factor in (2, 255, 256, 2**200)]
    memory = aligned_words(8 * LANES + ELEMENT)
    for values in samples(6, 2**512, edges):
        for lane, value in enumerate(values):
            for word in range(8):
                chunk = value.to_bytes(64, "little")[8 * word : 8 * word + 8]
                memory[word * LANES + lane] = int.from_bytes(chunk, "big")
        digest_scalar(memory, 8 * LANES, 0)
        assert get(memory, 8 * LANES) == [value % ORDER for value in values]


def test_scalars_below_the_group_order() -> None:
    memory = aligned_words(ELEMENT + LANES)
    for values in samples(7, 2**256, [0, 1, ORDER - 1, ORDER, ORDER + 1, 2**252, 2**253, 2**256 - 1]):
        put(memory, 0, values)
        memory[4 * LANES : 5 * LANES] = [value >> 208 for value in values]
        is_reduced_scalar(memory, ELEMENT, 0)
        assert [bool(flag) for flag in memory[ELEMENT:]] == [value < ORDER for value in values]
