"""What ECVRF proofs are made of, eight side by side: H of a key and an input, multiples of H and of the base point.

The compiled part of `ecvrf_proving`. Memory, places and steps are those of `ecvrf_lanes`, with a challenge of 0.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from kernels.signatures.ecvrf_lanes import (
    G_CHALLENGE,
    G_GAMMA,
    G_KEY,
    G_S,
    GROUP,
    RECORD_H,
    RECORD_U,
    RECORD_V,
    RECORDS,
    hash_to_element,
    input_bytes,
    map_two,
    memory_words,
    u_point,
    v_point,
)
from kernels.signatures.ed25519_encoding import encode, invert_all, read_keys
from kernels.signatures.ed25519_layout import (
    BYTES_ROW,
    RECORD,
    S_BASE_DIGITS,
    S_CHALLENGE_DIGITS,
    S_KEY_DIGITS,
    S_NOWHERE,
    S_ROOTS,
    S_TABLE,
    SCRATCH,
)
from kernels.signatures.ed25519_scalars import base_digits, challenge_digits, key_digits
from kernels.signatures.field25519 import ELEMENT, PAIR
from kernels.vectors import target
from kernels.vectors.lanes import LANES

target.keep_code_of(__name__)

__all__ = ["input_bytes", "memory_words", "multiply_groups"]


@njit(nogil=True, cache=True)
def multiply_groups(  # type: ignore[no-untyped-def]
    memory, keys, scalars, inputs, offsets, count, block_words, stride, base_tables, points
):
    """H, [s] B and [s] H of `count` keys, scalars and inputs into `points`: three rows of encodings, padded to whole
    groups. Keys and scalars have 32 bytes, scalars are below the order; the other arguments are as for `verify_groups`.
    """
    groups = (count + LANES - 1) // LANES
    first_group = SCRATCH
    first_records = first_group + groups * GROUP
    elements = first_records + groups * RECORDS
    block_counts = np.empty(LANES, np.int64)
    scalar_words = scalars.view(np.uint64)

    for i in range(groups):
        group, first = first_group + i * GROUP, i * LANES
        read_keys(memory, group + G_S, scalar_words[4 * first :])
        for word in range(PAIR):
            memory[group + G_KEY + word] = memory[group + G_GAMMA + word] = 0
        for word in range(ELEMENT):
            memory[group + G_CHALLENGE + word] = 0
        lanes_used = min(LANES, count - first)
        element = elements + i * ELEMENT
        hash_to_element(memory, element, keys, inputs, offsets, first, lanes_used, block_words, stride, block_counts)
    for i in range(0, groups, 2):
        h = first_records + i * RECORDS + RECORD_H
        map_two(memory, h, h + RECORDS if i + 1 < groups else S_NOWHERE, elements + i * ELEMENT)
    for i in range(groups):
        group, records = first_group + i * GROUP, first_records + i * RECORDS
        base_digits(memory, S_BASE_DIGITS, group + G_S)
        key_digits(memory, S_KEY_DIGITS, group + G_S)
        challenge_digits(memory, S_CHALLENGE_DIGITS, group + G_CHALLENGE)
        u_point(memory, records + RECORD_U, group, base_tables)
        v_point(memory, records + RECORD_V, group, records + RECORD_H)
    z = first_records + 2 * ELEMENT
    invert_all(memory, z, z + ELEMENT, 3 * groups, RECORD, S_ROOTS)
    encoded = memory.view(np.uint8)
    for i in range(groups):
        records = first_records + i * RECORDS
        for which in range(3):
            encode(memory, S_TABLE, records + which * RECORD)
            for lane in range(LANES):
                for byte in range(32):
                    points[which, i * LANES + lane, byte] = encoded[8 * (S_TABLE + lane * BYTES_ROW) + byte]
