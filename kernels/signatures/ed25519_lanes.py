"""Verification of Ed25519 signatures, eight side by side: the compiled part of `ed25519`.

Each signature is decided by its own equation; nothing is combined at random, so crafted torsion components cannot
change a verdict. First R is compared with the encoding of [S]B - [k]A. With an allowed A, that a node accepts too;
only where it fails is 8 ([S]B - [k]A - R) = 0 asked. Protocol 03-encoding-and-types, section 8.

All values lie in one array of 64-bit words, `memory`: scratch first, then a stretch for each group of eight signatures,
then the encodings of the keys. A place is an offset in it.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from kernels.signatures.ed25519_encoding import (
    compare_encoding,
    decode_all,
    decode_two,
    invert_all,
    read_keys,
    read_signature_halves,
)
from kernels.signatures.ed25519_layout import (
    AFFINE_TABLE,
    BASE_DIGITS,
    BASE_HALF_DIGITS,
    BASE_TABLE,
    DIGIT,
    HALF_DIGITS,
    POINT_FLAGS,
    RECORD,
    S_ADDEND,
    S_BASE_DIGITS,
    S_FLAGS,
    S_KEY_DIGITS,
    S_POINT,
    S_ROOTS,
    S_TABLE,
    SCRATCH,
)
from kernels.signatures.ed25519_points import (
    add,
    add_affine,
    add_affine_for_addition,
    add_own,
    add_own_for_addition,
    addend_of_sum_form,
    double_times,
    fill_table,
    identity_sum_form,
    is_identity,
    negate_affine,
    next_window,
    prefetch_affine,
    sum_form_of_affine,
    sum_form_of_projective,
)
from kernels.signatures.ed25519_scalars import (
    base_digits,
    digest_scalar,
    is_reduced_scalar,
    key_digits,
    known_key_digits,
)
from kernels.signatures.field25519 import ELEMENT, PAIR, copy_words
from kernels.signatures.sha512 import STATE, hash_blocks, pad, padded_bytes, put_bytes
from kernels.vectors import target
from kernels.vectors.lanes import LANES

target.keep_code_of(__name__)

NODE = 0
"""The rules of a node: cofactored, A and R canonical, A not of small order."""

GO_STANDARD_LIBRARY = 1
"""The rules of the PoET server: R is the encoding of [S]B - [k]A, and A any encoding of a point."""

G_KEY = 0
"""Affine -A, or where the tables of known keys begin, a word a lane."""
G_KEY_SCALAR = G_KEY + PAIR
G_SIGNATURE_SCALAR = G_KEY_SCALAR + ELEMENT
G_R = G_SIGNATURE_SCALAR + ELEMENT
"""The encoding of R, and beside it a place for that of A where both are decoded together."""
G_RESULT = G_R + PAIR
"""[S]B - [k]A."""
G_R_POINT = G_RESULT + RECORD
G_R_FLAGS = G_R_POINT + PAIR
G_KEY_FLAGS = G_R_FLAGS + POINT_FLAGS
G_SCALAR_FLAG = G_KEY_FLAGS + POINT_FLAGS
G_MATCH_FLAG = G_SCALAR_FLAG + LANES
GROUP = G_MATCH_FLAG + LANES

FEW_GROUPS = 2
"""Up to so many groups, decoding R costs less than inverting the z of the results."""


def memory_words(groups: int) -> int:
    """Length of the array `memory`."""
    return SCRATCH + groups * (GROUP + ELEMENT) + PAIR


def input_bytes(longest: int) -> int:
    """Bytes that a lane's hash input takes with its padding, for prefix and message of at most `longest` bytes."""
    return padded_bytes(64 + longest)


# ---- a group ----


@njit(nogil=True)
def _lay_out(blocks, stride, block_counts, keys, signatures, prefix, messages, offsets, first, count):  # type: ignore[no-untyped-def]
    """The padded SHA-512 input R, A, prefix, message of up to eight signatures."""
    for lane in range(LANES):
        end = lane * stride
        if lane < count:
            index = first + lane
            end = put_bytes(blocks, end, signatures, 64 * index, 32)
            end = put_bytes(blocks, end, keys, 32 * index, 32)
            end = put_bytes(blocks, end, prefix, 0, len(prefix))
            end = put_bytes(blocks, end, messages, offsets[index], offsets[index + 1] - offsets[index])
        block_counts[lane] = pad(blocks, lane * stride, end)


@njit(nogil=True)
def _combine(memory, group, base_tables):  # type: ignore[no-untyped-def]
    """The result of a group, with a table of -A of its own; two key digits to each base digit."""
    point = S_POINT
    sum_form_of_affine(memory, point, group + G_KEY)
    fill_table(memory, S_TABLE, point, S_ADDEND)
    key_digits(memory, S_KEY_DIGITS, group + G_KEY_SCALAR)
    base_digits(memory, S_BASE_DIGITS, group + G_SIGNATURE_SCALAR)
    identity_sum_form(memory, point)
    for i in range(BASE_DIGITS - 1, -1, -1):
        digit = S_KEY_DIGITS + 2 * i * DIGIT
        if i < BASE_DIGITS - 1:
            # the highest key digit is 0
            next_window(memory, point)
            add_own(memory, point, point, S_TABLE, digit + DIGIT)
            next_window(memory, point)
        add_own_for_addition(memory, point, point, S_TABLE, digit)
        add_affine(memory, point, point, base_tables, S_BASE_DIGITS + i * DIGIT)
    copy_words(memory, group + G_RESULT, point, 3 * ELEMENT)


@njit(nogil=True)
def _combine_known(memory, group, base_tables, known):  # type: ignore[no-untyped-def]
    """The result of a group of known keys: both halves of the digits between the same doublings."""
    point = S_POINT
    known_key_digits(memory, S_KEY_DIGITS, group + G_KEY_SCALAR, group + G_KEY)
    base_digits(memory, S_BASE_DIGITS, group + G_SIGNATURE_SCALAR)
    identity_sum_form(memory, point)
    upper_known, upper_base = known[AFFINE_TABLE:], base_tables[BASE_TABLE:]
    for i in range(HALF_DIGITS - 1, -1, -1):
        lower, upper = S_KEY_DIGITS + i * DIGIT, S_KEY_DIGITS + (HALF_DIGITS + i) * DIGIT
        prefetch_affine(memory, known, lower)
        prefetch_affine(memory, upper_known, upper)
        if i < HALF_DIGITS - 1:
            next_window(memory, point)
        add_affine_for_addition(memory, point, point, known, lower)
        if i % 2 == 1:
            add_affine(memory, point, point, upper_known, upper)
        else:
            add_affine_for_addition(memory, point, point, upper_known, upper)
            digit = S_BASE_DIGITS + i // 2 * DIGIT
            add_affine_for_addition(memory, point, point, base_tables, digit)
            add_affine(memory, point, point, upper_base, digit + BASE_HALF_DIGITS * DIGIT)
    copy_words(memory, group + G_RESULT, point, 3 * ELEMENT)


@njit(nogil=True)
def _decode_key_and_r(memory, group, encoding):  # type: ignore[no-untyped-def]
    copy_words(memory, group + G_R + ELEMENT, encoding, ELEMENT)
    decode_two(memory, group + G_R_POINT, group + G_KEY, group + G_R, group + G_R_FLAGS, S_ROOTS)


@njit(nogil=True)
def _match_up_to_torsion(memory, group):  # type: ignore[no-untyped-def]
    """Sets the match flags: whether R decodes, is canonical, and 8 (result - R) = 0."""
    point, r = S_POINT, group + G_R_POINT
    negate_affine(memory, r, r)
    sum_form_of_affine(memory, S_ROOTS, r)
    addend_of_sum_form(memory, S_ADDEND, S_ROOTS)
    sum_form_of_projective(memory, point, group + G_RESULT)
    add(memory, point, point, S_ADDEND)
    double_times(memory, point, 3)
    is_identity(memory, S_FLAGS, point)
    for lane in range(LANES):
        flags = group + G_R_FLAGS + lane
        memory[group + G_MATCH_FLAG + lane] = memory[flags] & memory[flags + LANES] & memory[S_FLAGS + lane]


# ---- the batch ----


@njit(nogil=True)
def _match_encodings(memory, first_group, groups):  # type: ignore[no-untyped-def]
    """Sets the match flags: whether R is the encoding of the result."""
    result = first_group + G_RESULT
    invert_all(memory, result + 2 * ELEMENT, result + 3 * ELEMENT, groups, GROUP, S_ROOTS)
    for group in range(first_group, first_group + groups * GROUP, GROUP):
        compare_encoding(memory, group + G_MATCH_FLAG, group + G_RESULT, group + G_R)


@njit(nogil=True)
def _is_allowed(memory, group, lane, rules):  # type: ignore[no-untyped-def]
    """Whether key and S of a lane are allowed."""
    flags = group + G_KEY_FLAGS + lane
    allowed = memory[flags] != 0 and memory[group + G_SCALAR_FLAG + lane] != 0
    if rules == NODE:
        allowed = allowed and memory[flags + LANES] != 0 and memory[flags + 2 * LANES] == 0
    return allowed


@njit(nogil=True, cache=True)
def verify_groups(  # type: ignore[no-untyped-def]
    memory,
    keys,
    signatures,
    prefix,
    messages,
    offsets,
    count,
    block_words,
    stride,
    base_tables,
    known,
    starts,
    rules,
    verdicts,
):
    """Verdicts on `count` signatures.

    keys, signatures and messages are bytes one behind the other, the first two padded to whole groups; message i is
    messages[offsets[i] : offsets[i + 1]]. block_words has room for eight inputs of `stride` bytes. Where `starts` is
    not empty, every key is known and allowed, and starts[i] is where its tables begin in `known`.
    """
    groups = (count + LANES - 1) // LANES
    first_group = SCRATCH
    encodings = first_group + groups * GROUP
    block_counts = np.empty(LANES, np.int64)
    blocks, key_words, signature_words = block_words.view(np.uint8), keys.view(np.uint64), signatures.view(np.uint64)
    is_known = len(starts) > 0
    is_small = groups <= FEW_GROUPS and rules == NODE and not is_known

    for i in range(groups):
        first, group = i * LANES, first_group + i * GROUP
        read_keys(memory, encodings + i * ELEMENT, key_words[4 * first :])
        read_signature_halves(memory, group + G_R, signature_words[8 * first :])
        read_signature_halves(memory, group + G_SIGNATURE_SCALAR, signature_words[8 * first + 4 :])
        is_reduced_scalar(memory, group + G_SCALAR_FLAG, group + G_SIGNATURE_SCALAR)
        lanes_used = min(LANES, count - first)
        _lay_out(blocks, stride, block_counts, keys, signatures, prefix, messages, offsets, first, lanes_used)
        hash_blocks(memory, S_ROOTS, S_ROOTS + STATE, block_words, stride, block_counts)
        digest_scalar(memory, group + G_KEY_SCALAR, S_ROOTS)

    if is_known:
        for i in range(groups):
            group = first_group + i * GROUP
            for lane in range(LANES):
                index = i * LANES + lane
                memory[group + G_KEY + lane] = starts[index] if index < count else starts[0]
                memory[group + G_KEY_FLAGS + lane] = memory[group + G_KEY_FLAGS + LANES + lane] = 1
                memory[group + G_KEY_FLAGS + 2 * LANES + lane] = 0
            _combine_known(memory, group, base_tables, known)
    else:
        if is_small:
            for i in range(groups):
                _decode_key_and_r(memory, first_group + i * GROUP, encodings + i * ELEMENT)
        else:
            decode_all(memory, encodings, groups, first_group + G_KEY, first_group + G_KEY_FLAGS, GROUP)
        for group in range(first_group, encodings, GROUP):
            negate_affine(memory, group + G_KEY, group + G_KEY)
            _combine(memory, group, base_tables)
    if not is_small:
        _match_encodings(memory, first_group, groups)

    for i in range(groups):
        group = first_group + i * GROUP
        lanes_used = min(LANES, count - i * LANES)
        is_undecided = is_small
        for lane in range(lanes_used):
            is_undecided |= memory[group + G_MATCH_FLAG + lane] == 0 and _is_allowed(memory, group, lane, rules)
        if is_undecided and rules == NODE:
            # lanes that matched exactly match up to torsion too
            if not is_small:
                _decode_key_and_r(memory, group, encodings + i * ELEMENT)
            _match_up_to_torsion(memory, group)
        for lane in range(lanes_used):
            is_match = memory[group + G_MATCH_FLAG + lane] != 0
            verdicts[i * LANES + lane] = is_match and _is_allowed(memory, group, lane, rules)
