"""The scan of a proving pass on AES instructions: of x86, with vectors of 128, 256 or 512 bits (VAES), or of Arm.

A block of labels is walked in short stretches that stay in the first-level cache. For each group the first pass
leaves one bit for every byte that equals the difficulty's top byte; it looks before the last substitution, whose
result need not be computed for that. The bits become a list of candidates, which go through their lazy ciphers,
several in flight. Specified in protocol 01-post, section 5.3.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from llvmlite import ir
from numba import njit
from numba.core import cgutils, types
from numba.extending import intrinsic

from kernels.scan.hits import add_hit, trailing_zeros
from kernels.scan.scalar import ROUNDS, before_last_substitution, expand_key
from kernels.vectors import arm, target

target.keep_code_of(__name__)


def _width() -> int:
    if target.family() == "arm" or not target.has_feature("vaes"):
        return 128
    return 512 if target.variant().name == "avx512" else 256


WIDTH = _width()
"""Bits of a vector."""

VECTORS = 8
"""Vectors in flight: enough to hide the latency of the AES instruction."""

LABELS_PER_VECTOR = WIDTH // 128
STEP = VECTORS * LABELS_PER_VECTOR
"""Labels of one step; blocks are read up to a multiple of it."""

STRETCH = 512
"""Labels of one stretch: 8 KiB."""

BROADCAST = 2 * LABELS_PER_VECTOR
"""64-bit words of one round key as the group ciphers read it."""

CIPHER_KEYS = ROUNDS + 2
"""Round keys of a group cipher, and what the state before the last substitution is compared with."""

_I8, _I32, _I64 = (ir.IntType(bits) for bits in (8, 32, 64))


def _pointer(context: Any, builder: Any, array_type: Any, array: Any, offset: Any) -> Any:
    return builder.gep(context.make_array(array_type)(context, builder, array).data, [offset])


def _load(builder: Any, pointer: Any, kind: Any) -> Any:
    value = builder.load(builder.bitcast(pointer, kind.as_pointer()))
    value.align = 8
    return value


def _aes(builder: Any, bits: int, last: bool, state: Any, key: Any) -> Any:
    if target.family() == "arm":
        return arm.aes_round(builder, last, state, key)
    kind = state.type
    suffix = "" if bits == 128 else f".{bits}"
    function = cgutils.get_or_insert_function(
        builder.module,
        ir.FunctionType(kind, [kind, kind]),
        f"llvm.x86.aesni.aesenc{'last' if last else ''}{suffix}",
    )
    return builder.call(function, [state, key])


def _masks(below: bool) -> Any:
    """An intrinsic that encrypts one step and writes one bit a byte of it."""

    @intrinsic
    def masks(_typing: Any, data: Any, at: Any, keys: Any, key_at: Any, limit: Any, out: Any, out_at: Any) -> Any:
        """Bits of bytes below `limit` in the result, or of those that become equal to it in the last substitution."""

        def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            kind = ir.VectorType(_I64, WIDTH // 64)
            labels = _pointer(context, builder, signature.args[0], args[0], args[1])
            cipher = _pointer(context, builder, signature.args[2], args[2], args[3])
            result = _pointer(context, builder, signature.args[5], args[5], args[6])

            def at_number(base: Any, number: int) -> Any:
                return _load(builder, builder.gep(base, [ir.Constant(_I64, number * BROADCAST)]), kind)

            key = at_number(cipher, 0)
            states = [builder.xor(at_number(labels, number), key) for number in range(VECTORS)]
            for number in range(1, ROUNDS + 1 if below else ROUNDS):
                key = at_number(cipher, number)
                states = [_aes(builder, WIDTH, number == ROUNDS, state, key) for state in states]
            as_bytes = ir.VectorType(_I8, WIDTH // 8)
            if below:
                byte = builder.insert_element(
                    ir.Constant(as_bytes, ir.Undefined), builder.trunc(args[4], _I8), ir.Constant(_I32, 0)
                )
                zeros = ir.Constant(ir.VectorType(_I32, WIDTH // 8), [0] * (WIDTH // 8))
                wanted = builder.shuffle_vector(byte, ir.Constant(as_bytes, ir.Undefined), zeros)
            else:
                wanted = builder.bitcast(at_number(cipher, ROUNDS + 1), as_bytes)
            words: list[Any] = [None] * (STEP // 4)
            for vector, state in enumerate(states):
                found = builder.icmp_unsigned("<" if below else "==", builder.bitcast(state, as_bytes), wanted)
                bits = builder.bitcast(found, ir.IntType(WIDTH // 8))
                bits = bits if WIDTH == 512 else builder.zext(bits, _I64)
                word, shift = divmod(vector * WIDTH // 8, 64)
                shifted = builder.shl(bits, ir.Constant(_I64, shift)) if shift else bits
                words[word] = shifted if words[word] is None else builder.or_(words[word], shifted)
            for number, word in enumerate(words):
                builder.store(word, builder.gep(result, [ir.Constant(_I64, number)]))
            return context.get_dummy_value()

        return types.none(data, at, keys, key_at, limit, out, out_at), code

    return masks


_below_masks, _equal_masks = _masks(True), _masks(False)


@intrinsic
def lazy_values(_typing: Any, data: Any, at: Any, candidates: Any, first: Any, keys: Any, key_at: Any, out: Any) -> Any:
    """The low words of the lazy ciphers of VECTORS candidates: (label << 4 | nonce in group) each."""

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        kind = ir.VectorType(_I64, 2)
        base = _pointer(context, builder, signature.args[0], args[0], args[1])
        key_base = _pointer(context, builder, signature.args[4], args[4], args[5])
        states, keys_of = [], []
        for number in range(VECTORS):
            place = builder.add(args[3], ir.Constant(_I64, number))
            candidate = builder.zext(builder.load(_pointer(context, builder, signature.args[2], args[2], place)), _I64)
            label = builder.lshr(candidate, ir.Constant(_I64, 4))
            nonce = builder.and_(candidate, ir.Constant(_I64, 15))
            word = builder.shl(label, ir.Constant(_I64, 1))
            states.append(_load(builder, builder.gep(base, [word]), kind))
            keys_of.append(builder.gep(key_base, [builder.mul(nonce, ir.Constant(_I64, 2 * (ROUNDS + 1)))]))

        def key(number: int, round_number: int) -> Any:
            return _load(builder, builder.gep(keys_of[number], [ir.Constant(_I64, 2 * round_number)]), kind)

        states = [builder.xor(state, key(number, 0)) for number, state in enumerate(states)]
        for round_number in range(1, ROUNDS + 1):
            states = [
                _aes(builder, 128, round_number == ROUNDS, state, key(number, round_number))
                for number, state in enumerate(states)
            ]
        result = _pointer(context, builder, signature.args[6], args[6], ir.Constant(_I64, 0))
        for number, state in enumerate(states):
            low = builder.extract_element(state, ir.Constant(_I32, 0))
            builder.store(low, builder.gep(result, [ir.Constant(_I64, number)]))
        return context.get_dummy_value()

    return types.none(data, at, candidates, first, keys, key_at, out), code


@njit(nogil=True)
def listed(masks, words, occupied, moved, candidates):  # type: ignore[no-untyped-def]
    """The set bits of masks as candidates (label << 4 | nonce in group); returns their number.

    `moved`: bit j of 16 stands for the nonce that the last round moves byte j of the state to. The first loop is
    without a branch that depends on data: most masks are empty.
    """
    full = 0
    for word in range(words):
        occupied[full] = word
        full += masks[word] != 0
    count = 0
    factor = 13 if moved else 1
    for number in range(full):
        word = occupied[number]
        mask = masks[word]
        while mask:
            bit = trailing_zeros(mask)
            candidates[count] = word << 6 | bit & 48 | bit * factor & 15
            count += 1
            mask &= mask - np.uint64(1)
    return count


LOW_56 = np.uint64((1 << 56) - 1)


@njit(nogil=True, cache=True)
def scan(data, start, count, group_keys, lazy_keys, groups, msb, lsb, hits, limits):  # type: ignore[no-untyped-def]
    """Good labels among labels start … count-1 of `data`.

    data: uint64[2 * n], n a multiple of STEP not below count; group_keys, lazy_keys: see `group_ciphers`,
    `lazy_ciphers`; msb, lsb: the difficulty; hits: uint64, at least STRETCH * 16 * groups elements; limits: int64[2],
    gets the next label to go on with and the number of hits. A hit is
    ((label // 8 * groups + group) * 8 + label % 8) * 16 + nonce within the group; they are in no order.
    """
    candidates = np.zeros(STRETCH * 16 + VECTORS, np.uint16)
    masks, occupied = np.empty(STRETCH // 4, np.uint64), np.empty(STRETCH // 4 + 1, np.int64)
    lazy = np.empty(VECTORS, np.uint64)
    position, found = start, 0
    while position < count and found + STRETCH * 16 * groups <= len(hits):
        size = min(STRETCH, count - position)
        words = (size + STEP - 1) // STEP * (STEP // 4)
        for group in range(groups):
            cipher = group * CIPHER_KEYS * BROADCAST
            if msb > 0:
                for step in range(0, size, STEP):
                    _below_masks(data, 2 * (position + step), group_keys, cipher, msb, masks, step >> 2)
                for number in range(listed(masks, words, occupied, False, candidates)):
                    candidate = np.int64(candidates[number])
                    if candidate >> 4 < size:
                        add_hit(hits, found, position + (candidate >> 4), candidate & 15, groups, group)
                        found += 1
            for step in range(0, size, STEP):
                _equal_masks(data, 2 * (position + step), group_keys, cipher, msb, masks, step >> 2)
            total = listed(masks, words, occupied, True, candidates)
            for number in range(total, total + VECTORS):
                candidates[number] = 0  # the last lazy ciphers run on whatever stands here
            for at in range(0, total, VECTORS):
                lazy_values(data, 2 * position, candidates, at, lazy_keys, group * 16 * 2 * (ROUNDS + 1), lazy)
                for number in range(min(VECTORS, total - at)):
                    candidate = np.int64(candidates[at + number])
                    if lazy[number] & LOW_56 < lsb and candidate >> 4 < size:
                        add_hit(hits, found, position + (candidate >> 4), candidate & 15, groups, group)
                        found += 1
        position += size
    limits[0] = position
    limits[1] = found


def group_ciphers(keys: Sequence[bytes], msb: int) -> npt.NDArray[np.uint64]:
    """Round keys of the group ciphers, each as wide as a vector, and the comparison with `msb` behind them."""
    blocks = [one for key in keys for one in (*expand_key(key), before_last_substitution(key, msb))]
    return np.frombuffer(b"".join(block * LABELS_PER_VECTOR for block in blocks), np.uint64).copy()


def lazy_ciphers(keys: Sequence[bytes]) -> npt.NDArray[np.uint64]:
    """Round keys of the lazy ciphers, sixteen for each group."""
    return np.frombuffer(b"".join(one for key in keys for one in expand_key(key)), np.uint64).copy()
