"""Verification of ECVRF proofs, eight side by side: the compiled part of `ecvrf`.

U = [s]B - [c]Y and V = [s]H - [c]Gamma, with H from Elligator 2; all points are encoded with one inversion, hashed, and
the hash is compared with c. RFC 9381 with the suite ECVRF-EDWARDS25519-SHA512-ELL2; protocol 03-encoding-and-types,
section 9. Memory and places are as in `ed25519_lanes`.

More than 400 lines, because the steps of one verification share the places of its memory.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from kernels.signatures.ed25519_curve import EDWARDS_SCALE, MONTGOMERY_A, SQRT_MINUS_ONE, P
from kernels.signatures.ed25519_encoding import (
    decode_all,
    decode_two,
    encode,
    invert_all,
    read_keys,
    read_proof_challenge,
    read_proof_points,
)
from kernels.signatures.ed25519_layout import (
    BASE_HALF_DIGITS,
    BASE_TABLE,
    BYTES_ROW,
    CHALLENGE_DIGITS,
    DIGIT,
    KEY_DIGITS,
    POINT_FLAGS,
    RECORD,
    S_ADDEND,
    S_BASE_DIGITS,
    S_CHALLENGE_DIGITS,
    S_KEY_DIGITS,
    S_KNOWN_DIGITS,
    S_NOWHERE,
    S_POINT,
    S_ROOTS,
    S_SECOND_TABLE,
    S_TABLE,
    SCRATCH,
)
from kernels.signatures.ed25519_points import (
    add_affine,
    add_affine_for_addition,
    add_own,
    add_own_for_addition,
    double_times,
    fill_table,
    identity_sum_form,
    negate_affine,
    next_window,
    prefetch_affine,
    sum_form_of_affine,
    sum_form_of_projective,
)
from kernels.signatures.ed25519_scalars import (
    base_digits,
    challenge_digits,
    is_reduced_scalar,
    key_digits,
    known_challenge_digits,
)
from kernels.signatures.field25519 import (
    BIAS,
    ELEMENT,
    FOLD,
    LIMBS,
    PAIR,
    Field,
    copy_words,
    field_operation,
    raise_for_root,
)
from kernels.signatures.sha512 import BLOCK, STATE, digest_rows, hash_blocks, pad, padded_bytes, put_bytes
from kernels.vectors import target
from kernels.vectors.lanes import LANES

target.keep_code_of(__name__)

SUITE = 4
DOMAIN_TAG = b"ECVRF_edwards25519_XMD:SHA-512_ELL2_NU_" + bytes((SUITE,))
DOMAIN_TAG += bytes((len(DOMAIN_TAG),))
FIRST_END = np.frombuffer(b"\x00\x30\x00" + DOMAIN_TAG, dtype=np.uint8)
"""What ends the first hash of expand_message_xmd: the 48 bytes wanted, and the tag."""
SECOND_END = np.frombuffer(b"\x01" + DOMAIN_TAG, dtype=np.uint8)

G_KEY = 0
"""Affine -Y, or where the tables of known keys begin, a word a lane."""
G_GAMMA = G_KEY + PAIR
G_CHALLENGE = G_GAMMA + PAIR
G_S = G_CHALLENGE + ELEMENT
G_GAMMA_FLAGS = G_S + ELEMENT
G_KEY_FLAGS = G_GAMMA_FLAGS + POINT_FLAGS
G_SCALAR_FLAG = G_KEY_FLAGS + POINT_FLAGS
G_MATCH_FLAG = G_SCALAR_FLAG + LANES
GROUP = G_MATCH_FLAG + LANES

RECORD_H, RECORD_U, RECORD_V = 0, RECORD, 2 * RECORD
RECORDS = 3 * RECORD
"""The three points of a group, beside those of the other groups."""


def memory_words(groups: int) -> int:
    """Length of the array `memory`."""
    return SCRATCH + groups * (GROUP + RECORDS + 3 * ELEMENT) + PAIR


def input_bytes(longest: int) -> int:
    """Bytes that a lane's hash input takes with its padding, for inputs of at most `longest` bytes."""
    return padded_bytes(BLOCK + 32 + longest + len(FIRST_END))


# ---- Elligator 2 ----


@field_operation
def _element_of_digest(field: Field, target: Any, state: Any) -> None:
    """The first 48 bytes, big-endian, modulo p."""
    limbs = field.split_words([field.load(state, i * LANES) for i in range(5, -1, -1)], 8)
    wide = limbs[:LIMBS]
    for i in range(3):
        wide[i] = field.multiply_low(wide[i], limbs[LIMBS + i], field.constant(FOLD))
        wide[i + 1] = field.multiply_high(wide[i + 1], limbs[LIMBS + i], field.constant(FOLD))
    field.store_element(field.carry(wide), target)


@field_operation
def _prepare_map(field: Field, scratch: Any, element: Any) -> None:
    """For two elements u: with w = 1 + 2u^2 and x = -A/w, n and d = w^3 such that n/d = x^3 + Ax^2 + x.

    n, d, nd^3, nd^7 go into the first four pairs of scratch.
    """
    for i in range(2):
        u = field.element(element, i)
        uu = field.square_wide(u)
        w = field.carry(field.plus(field.plus(uu, uu), field.number(1)))
        ww = field.square(w)
        d = field.multiply(ww, w)
        # n = -A (A^2 - A^2 w + w^2)
        scaled = field.multiply_wide(field.negate(w), field.number(MONTGOMERY_A**2))
        total = field.plus(scaled, field.plus(field.exact(ww), field.number(MONTGOMERY_A**2)))
        n = field.multiply(field.carry(total), field.number(-MONTGOMERY_A % P))
        d3 = field.multiply(field.square(d), d)
        nd3 = field.multiply(n, d3)
        nd7 = field.multiply(nd3, field.multiply(d3, d))
        for place, value in enumerate((n, d, nd3, nd7)):
            field.store_element(value, scratch, 2 * place + i)


@field_operation
def _finish_map(field: Field, point: Any, scratch: Any, power: Any, element: Any) -> None:
    """power = (nd^7)^((p-5)/8): the point of the Edwards curve, projective, before the multiplication by 8."""
    n, d, nd3 = (field.element(scratch, 2 * place) for place in range(3))
    u = field.element(element)
    uu = field.square_wide(u)
    twice_uu = field.carry(field.plus(uu, uu))
    w = field.carry(field.plus(field.exact(twice_uu), field.number(1)))
    # y^2 d = n times a fourth root of one; for the two odd ones 2u^2 n/d, which belongs to the other x, is the square
    y = field.multiply(nd3, field.element(power))
    yyd = field.multiply_wide(d, field.square(y), BIAS)
    turned = field.exact(field.multiply(n, field.number(SQRT_MINUS_ONE)))
    n = field.exact(n)
    is_one, is_minus_one = field.vanishes(field.minus(yyd, n)), field.vanishes(field.plus(yyd, n))
    is_turned = field.vanishes(field.minus(yyd, turned))
    is_first = field.either(is_one, is_minus_one)
    factors = field.number((1 - SQRT_MINUS_ONE) % P), field.number((1 + SQRT_MINUS_ONE) % P)
    y_second = field.multiply(field.multiply(y, field.choose_element(is_turned, *factors)), u)
    y_first = field.choose_element(is_one, y, field.multiply(y, field.number(SQRT_MINUS_ONE)))
    y = field.reduce(field.choose_element(is_first, y_first, y_second))
    is_odd = field.is_equal(field.keep(y[0], 1), field.constant(1))
    y = field.choose_element(field.xor(is_odd, is_first), field.negate(y), y)
    # x/w on the Montgomery curve; on the Edwards curve X = c1 x/(wy), Y = (x - w)/(x + w)
    minus_a = field.number(-MONTGOMERY_A % P)
    x = field.exact(field.choose_element(is_first, minus_a, field.multiply(twice_uu, minus_a)))
    wy = field.multiply(w, y)
    w = field.exact(w)
    total, difference = field.carry(field.plus(x, w)), field.carry(field.minus(field.biased(x), w))
    z = field.multiply(wy, total)
    is_exception = field.vanishes(field.exact(z))
    scaled = field.multiply(field.multiply(x, field.number(EDWARDS_SCALE)), total)
    for i, (value, otherwise) in enumerate(((scaled, 0), (field.multiply(difference, wy), 1), (z, 1))):
        field.store_element(field.choose_element(is_exception, field.number(otherwise), value), point, i)


@njit(nogil=True)
def map_two(memory, first, second, elements):  # type: ignore[no-untyped-def]
    """[8] of the mapped points of two neighbouring elements."""
    scratch = S_ROOTS
    _prepare_map(memory, scratch, elements)
    raise_for_root(memory, scratch)
    result = scratch + 4 * PAIR
    for i in range(2):
        point = second if i else first
        _finish_map(memory, point, scratch + i * ELEMENT, result + i * ELEMENT, elements + i * ELEMENT)
        double_times(memory, point, 3)


@njit(nogil=True)
def hash_to_element(memory, target, keys, inputs, offsets, first, count, block_words, stride, block_counts):  # type: ignore[no-untyped-def]
    """expand_message_xmd of key and input, as a field element; up to eight."""
    blocks = block_words.view(np.uint8)
    state, scratch = S_ROOTS, S_ROOTS + STATE
    for lane in range(LANES):
        start = end = lane * stride
        for _ in range(BLOCK):
            blocks[end] = 0
            end += 1
        if lane < count:
            index = first + lane
            end = put_bytes(blocks, end, keys, 32 * index, 32)
            end = put_bytes(blocks, end, inputs, offsets[index], offsets[index + 1] - offsets[index])
        end = put_bytes(blocks, end, FIRST_END, 0, len(FIRST_END))
        block_counts[lane] = pad(blocks, start, end)
    hash_blocks(memory, state, scratch, block_words, stride, block_counts)
    digest_rows(memory, S_TABLE, state)
    digests = memory.view(np.uint8)
    for lane in range(LANES):
        start = lane * stride
        end = put_bytes(blocks, start, digests, 8 * S_TABLE + 64 * lane, 64)
        end = put_bytes(blocks, end, SECOND_END, 0, len(SECOND_END))
        block_counts[lane] = pad(blocks, start, end)
    hash_blocks(memory, state, scratch, block_words, stride, block_counts)
    _element_of_digest(memory, target, state)


# ---- the two equations ----


@njit(nogil=True)
def _add_base(memory, point, base_tables, digit):  # type: ignore[no-untyped-def]
    """The multiples of the base point for both halves of its digits; ends in projective form."""
    add_affine_for_addition(memory, point, point, base_tables, digit)
    add_affine(memory, point, point, base_tables[BASE_TABLE:], digit + BASE_HALF_DIGITS * DIGIT)


@njit(nogil=True)
def u_point(memory, target, group, base_tables):  # type: ignore[no-untyped-def]
    """[s]B - [c]Y, by the digits in the scratch."""
    point, table = S_POINT, S_TABLE
    negate_affine(memory, group + G_KEY, group + G_KEY)
    sum_form_of_affine(memory, point, group + G_KEY)
    fill_table(memory, table, point, S_ADDEND)
    identity_sum_form(memory, point)
    for i in range(CHALLENGE_DIGITS - 1, -1, -1):
        if i < CHALLENGE_DIGITS - 1:
            next_window(memory, point)
        digit = S_CHALLENGE_DIGITS + i * DIGIT
        if i % 2 == 1:
            add_own(memory, point, point, table, digit)
        else:
            add_own_for_addition(memory, point, point, table, digit)
            _add_base(memory, point, base_tables, S_BASE_DIGITS + i // 2 * DIGIT)
    copy_words(memory, target, point, 3 * ELEMENT)


@njit(nogil=True)
def _u_of_known(memory, target, group, base_tables, known):  # type: ignore[no-untyped-def]
    point = S_POINT
    known_challenge_digits(memory, S_KNOWN_DIGITS, group + G_CHALLENGE, group + G_KEY)
    identity_sum_form(memory, point)
    for i in range(CHALLENGE_DIGITS - 1, -1, -1):
        digit = S_KNOWN_DIGITS + i * DIGIT
        prefetch_affine(memory, known, digit)
        if i < CHALLENGE_DIGITS - 1:
            next_window(memory, point)
        if i % 2 == 1:
            add_affine(memory, point, point, known, digit)
        else:
            add_affine_for_addition(memory, point, point, known, digit)
            _add_base(memory, point, base_tables, S_BASE_DIGITS + i // 2 * DIGIT)
    copy_words(memory, target, point, 3 * ELEMENT)


@njit(nogil=True)
def v_point(memory, target, group, h):  # type: ignore[no-untyped-def]
    """[s]H - [c]Gamma, likewise."""
    point, table, second_table = S_POINT, S_TABLE, S_SECOND_TABLE
    negate_affine(memory, group + G_GAMMA, group + G_GAMMA)
    sum_form_of_projective(memory, point, h)
    fill_table(memory, table, point, S_ADDEND)
    sum_form_of_affine(memory, point, group + G_GAMMA)
    fill_table(memory, second_table, point, S_ADDEND)
    identity_sum_form(memory, point)
    for i in range(KEY_DIGITS - 2, -1, -1):
        if i < KEY_DIGITS - 2:
            next_window(memory, point)
        digit = S_KEY_DIGITS + i * DIGIT
        if i >= CHALLENGE_DIGITS:
            add_own(memory, point, point, table, digit)
        else:
            add_own_for_addition(memory, point, point, table, digit)
            add_own(memory, point, point, second_table, S_CHALLENGE_DIGITS + i * DIGIT)
    copy_words(memory, target, point, 3 * ELEMENT)


# ---- the challenge ----


@field_operation
def _compare_challenge(field: Field, flag: Any, state: Any, challenge: Any) -> None:
    words = [field.byte_swap(field.load(state, i * LANES)) for i in range(2)]
    field.store(field.flag(field.equals(field.split_words(words), field.element(challenge))), flag)


@njit(nogil=True)
def _check_challenge(memory, group, records, keys, proofs, first, count, block_words, stride, block_counts):  # type: ignore[no-untyped-def]
    blocks = block_words.view(np.uint8)
    state, scratch, rows = S_ROOTS, S_ROOTS + STATE, S_TABLE
    encoded = memory.view(np.uint8)
    for i in range(3):
        encode(memory, rows + i * LANES * BYTES_ROW, records + i * RECORD)
    for lane in range(LANES):
        start = end = lane * stride
        if lane < count:
            h, u, v = 8 * rows + 64 * lane, 8 * rows + 64 * (LANES + lane), 8 * rows + 64 * (2 * LANES + lane)
            blocks[start] = SUITE
            blocks[start + 1] = 2
            end = put_bytes(blocks, start + 2, keys, 32 * (first + lane), 32)
            end = put_bytes(blocks, end, encoded, h, 32)
            end = put_bytes(blocks, end, proofs, 80 * (first + lane), 32)
            end = put_bytes(blocks, end, encoded, u, 32)
            end = put_bytes(blocks, end, encoded, v, 32)
            blocks[end] = 0
            end += 1
        block_counts[lane] = pad(blocks, start, end)
    hash_blocks(memory, state, scratch, block_words, stride, block_counts)
    _compare_challenge(memory, group + G_MATCH_FLAG, state, group + G_CHALLENGE)


# ---- the batch ----


@njit(nogil=True)
def _is_valid(memory, group, lane):  # type: ignore[no-untyped-def]
    key, gamma = group + G_KEY_FLAGS + lane, group + G_GAMMA_FLAGS + lane
    key_allowed = memory[key] != 0 and memory[key + LANES] != 0 and memory[key + 2 * LANES] == 0
    gamma_allowed = memory[gamma] != 0 and memory[gamma + LANES] != 0
    scalar_allowed = memory[group + G_SCALAR_FLAG + lane] != 0
    return key_allowed and gamma_allowed and scalar_allowed and memory[group + G_MATCH_FLAG + lane] != 0


@njit(nogil=True, cache=True)
def verify_groups(  # type: ignore[no-untyped-def]
    memory,
    keys,
    proofs,
    inputs,
    offsets,
    count,
    block_words,
    stride,
    base_tables,
    known,
    starts,
    verdicts,
):
    """Verdicts on `count` proofs; the arguments are as for signatures, with proofs of 80 bytes."""
    groups = (count + LANES - 1) // LANES
    first_group = SCRATCH
    first_records = first_group + groups * GROUP
    elements = first_records + groups * RECORDS
    gamma_encodings = elements + groups * ELEMENT
    key_encodings = gamma_encodings + groups * ELEMENT
    block_counts = np.empty(LANES, np.int64)
    key_words, proof_words = keys.view(np.uint64), proofs.view(np.uint64)
    is_known = len(starts) > 0

    for i in range(groups):
        group, proof, first = first_group + i * GROUP, proof_words[10 * LANES * i :], i * LANES
        read_keys(memory, key_encodings + i * ELEMENT, key_words[4 * first :])
        read_proof_points(memory, gamma_encodings + i * ELEMENT, proof)
        read_proof_challenge(memory, group + G_CHALLENGE, proof[4:])
        read_proof_points(memory, group + G_S, proof[6:])
        is_reduced_scalar(memory, group + G_SCALAR_FLAG, group + G_S)
        lanes_used = min(LANES, count - first)
        element = elements + i * ELEMENT
        hash_to_element(memory, element, keys, inputs, offsets, first, lanes_used, block_words, stride, block_counts)
        for lane in range(LANES):
            if is_known:
                memory[group + G_KEY + lane] = starts[first + lane] if first + lane < count else starts[0]
                memory[group + G_KEY_FLAGS + lane] = memory[group + G_KEY_FLAGS + LANES + lane] = 1
                memory[group + G_KEY_FLAGS + 2 * LANES + lane] = 0
    gamma, key, flags = first_group + G_GAMMA, first_group + G_KEY, first_group + G_GAMMA_FLAGS
    if groups == 1 and not is_known:
        decode_two(memory, gamma, key, gamma_encodings, flags, S_ROOTS)
    else:
        decode_all(memory, gamma_encodings, groups, gamma, flags, GROUP)
        if not is_known:
            decode_all(memory, key_encodings, groups, key, first_group + G_KEY_FLAGS, GROUP)
    for i in range(0, groups, 2):
        h = first_records + i * RECORDS + RECORD_H
        map_two(memory, h, h + RECORDS if i + 1 < groups else S_NOWHERE, elements + i * ELEMENT)
    for i in range(groups):
        group, records = first_group + i * GROUP, first_records + i * RECORDS
        base_digits(memory, S_BASE_DIGITS, group + G_S)
        key_digits(memory, S_KEY_DIGITS, group + G_S)
        challenge_digits(memory, S_CHALLENGE_DIGITS, group + G_CHALLENGE)
        if is_known:
            _u_of_known(memory, records + RECORD_U, group, base_tables, known)
        else:
            u_point(memory, records + RECORD_U, group, base_tables)
        v_point(memory, records + RECORD_V, group, records + RECORD_H)
    z = first_records + 2 * ELEMENT
    invert_all(memory, z, z + ELEMENT, 3 * groups, RECORD, S_ROOTS)
    for i in range(groups):
        group, records, first = first_group + i * GROUP, first_records + i * RECORDS, i * LANES
        lanes_used = min(LANES, count - first)
        _check_challenge(memory, group, records, keys, proofs, first, lanes_used, block_words, stride, block_counts)
        for lane in range(lanes_used):
            verdicts[first + lane] = _is_valid(memory, group, lane)
