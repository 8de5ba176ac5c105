"""The scan of a proving pass: AES-128 of every label for every nonce group, and the good labels that come out.

One AES block serves the 16 nonces of a group: nonce o of the group is decided by byte o. A byte below the
difficulty's top byte is good; an equal one is decided by a second, "lazy" cipher of that nonce. A block of
labels is walked in short stretches that stay in the first-level cache: for each group first all bytes are
compared and the candidates collected, then the candidates go through their lazy ciphers.

Paths: 512-bit vectors (VAES, VBMI2), 256-bit (VAES), 128-bit (AES-NI), and tables in plain integers.
Specified in protocol 01-post, section 5.3.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from llvmlite import ir
from numba import njit
from numba.core import cgutils, types
from numba.extending import intrinsic

from . import target
from .aes_scalar import expand_key, sbox, tables

VARIANT = target.variant()
ROUND_KEYS = 11
VECTORS = 8
"""Vectors in flight: enough to hide the latency of the AES instruction."""

STRETCH = 512
"""Labels of one stretch: 8 KiB."""

_I8, _I16, _I32, _I64 = (ir.IntType(bits) for bits in (8, 16, 32, 64))


def _path() -> int:
    """Bits of a vector of the path in use; 0: tables in plain integers."""
    if not target.has_feature("aes"):
        return 0
    vaes = target.has_feature("vaes")
    if vaes and VARIANT.name == "avx512" and target.has_feature("avx512vbmi2"):
        return 512
    return 256 if vaes and target.has_feature("avx2") else 128


PATH = _path()
LABELS_PER_VECTOR = max(1, PATH // 128)
STEP = VECTORS * LABELS_PER_VECTOR
"""Labels of one step; blocks are read up to a multiple of it."""

BROADCAST = 2 * LABELS_PER_VECTOR
"""64-bit words of one round key as the group ciphers read it."""


def name() -> str:
    """The path in use, for people."""
    return {512: "VAES, 512 bits", 256: "VAES, 256 bits", 128: "AES-NI"}.get(PATH, "tables")


def _pointer(context: Any, builder: Any, array_type: Any, array: Any, offset: Any) -> Any:
    return builder.gep(context.make_array(array_type)(context, builder, array).data, [offset])


def _load(builder: Any, pointer: Any, kind: Any, align: int = 8) -> Any:
    value = builder.load(builder.bitcast(pointer, kind.as_pointer()))
    value.align = align
    return value


def _aes(builder: Any, bits: int, last: bool, state: Any, key: Any) -> Any:
    kind = state.type
    suffix = "" if bits == 128 else f".{bits}"
    function = cgutils.get_or_insert_function(
        builder.module,
        ir.FunctionType(kind, [kind, kind]),
        f"llvm.x86.aesni.aesenc{'last' if last else ''}{suffix}",
    )
    return builder.call(function, [state, key])


def _encrypted(context: Any, builder: Any, signature: Any, args: Any) -> list[Any]:
    """LLVM code: the AES of VECTORS vectors of `data` from word `offset`, under the key at word `key_offset`."""
    kind = ir.VectorType(_I64, PATH // 64)
    data = _pointer(context, builder, signature.args[0], args[0], args[1])
    keys = _pointer(context, builder, signature.args[2], args[2], args[3])

    def at(base: Any, number: int) -> Any:
        return _load(builder, builder.gep(base, [ir.Constant(_I64, number * BROADCAST)]), kind)

    key = at(keys, 0)
    states = [builder.xor(at(data, number), key) for number in range(VECTORS)]
    for number in range(1, ROUND_KEYS):
        key = at(keys, number)
        states = [_aes(builder, PATH, number == ROUND_KEYS - 1, state, key) for state in states]
    return states


def _compared(builder: Any, state: Any, limit: Any, below: bool) -> Any:
    """LLVM code: one bit for every byte that is below `limit`, or equal to it."""
    width = PATH // 8
    kind = ir.VectorType(_I8, width)
    byte = builder.insert_element(ir.Constant(kind, ir.Undefined), builder.trunc(limit, _I8), ir.Constant(_I32, 0))
    zeros = ir.Constant(ir.VectorType(_I32, width), [0] * width)
    splat = builder.shuffle_vector(byte, ir.Constant(kind, ir.Undefined), zeros)
    return builder.icmp_unsigned("<" if below else "==", builder.bitcast(state, kind), splat)


def _compress_step(below: bool) -> Any:
    @intrinsic
    def step(
        _typing: Any, data: Any, offset: Any, keys: Any, key_offset: Any, limit: Any, base: Any, out: Any, count: Any
    ) -> Any:
        """Appends to `out` (uint16) the numbers base + position of the bytes that match; returns the new count."""

        def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            half = ir.VectorType(_I16, 32)
            bits = ir.VectorType(ir.IntType(1), 32)
            compress = cgutils.get_or_insert_function(
                builder.module,
                ir.FunctionType(half, [half, half, bits]),
                "llvm.x86.avx512.mask.compress.v32i16",
            )
            popcount = cgutils.get_or_insert_function(builder.module, ir.FunctionType(_I32, [_I32]), "llvm.ctpop.i32")
            number = builder.trunc(args[5], _I16)
            first = builder.insert_element(ir.Constant(half, ir.Undefined), number, ir.Constant(_I32, 0))
            zeros = ir.Constant(ir.VectorType(_I32, 32), [0] * 32)
            start = builder.shuffle_vector(first, ir.Constant(half, ir.Undefined), zeros)
            total = args[7]
            for vector, state in enumerate(_encrypted(context, builder, signature, args)):
                mask = _compared(builder, state, args[4], below)
                for part in range(2):
                    lanes = list(range(32 * part, 32 * part + 32))
                    chosen = builder.shuffle_vector(
                        mask,
                        ir.Constant(mask.type, ir.Undefined),
                        ir.Constant(ir.VectorType(_I32, 32), lanes),
                    )
                    numbers = builder.add(
                        start, ir.Constant(half, [64 * vector + 32 * part + lane for lane in range(32)])
                    )
                    packed = builder.call(compress, [numbers, ir.Constant(half, [0] * 32), chosen])
                    place = _pointer(context, builder, signature.args[6], args[6], total)
                    builder.store(packed, builder.bitcast(place, half.as_pointer())).align = 2
                    found = builder.call(popcount, [builder.bitcast(chosen, _I32)])
                    total = builder.add(total, builder.zext(found, _I64))
            return total

        return types.int64(data, offset, keys, key_offset, limit, base, out, count), code

    return step


def _mask_step(below: bool) -> Any:
    words = STEP * 16 // 64

    @intrinsic
    def step(_typing: Any, data: Any, offset: Any, keys: Any, key_offset: Any, limit: Any) -> Any:
        """One bit a byte of the step, as a tuple of 64-bit words, for bytes that match."""

        def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            width = PATH // 8
            joined = [ir.Constant(_I64, 0)] * words
            for vector, state in enumerate(_encrypted(context, builder, signature, args)):
                mask = builder.bitcast(_compared(builder, state, args[4], below), ir.IntType(width))
                wide = mask if width == 64 else builder.zext(mask, _I64)
                word, shift = divmod(vector * width, 64)
                joined[word] = builder.or_(joined[word], builder.shl(wide, ir.Constant(_I64, shift)))
            return context.make_tuple(builder, signature.return_type, joined)

        return types.UniTuple(types.uint64, words)(data, offset, keys, key_offset, limit), code

    return step


@intrinsic
def trailing_zeros(_typing: Any, value: Any) -> Any:
    """Zero bits below the lowest one bit."""

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        function = cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(_I64, [_I64, ir.IntType(1)]), "llvm.cttz.i64"
        )
        return builder.call(function, [args[0], ir.Constant(ir.IntType(1), 0)])

    return types.int64(types.uint64), code


@intrinsic
def lazy_low(_typing: Any, data: Any, offset: Any, candidates: Any, first: Any, keys: Any, key_offset: Any) -> Any:
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
            keys_of.append(builder.gep(key_base, [builder.mul(nonce, ir.Constant(_I64, 2 * ROUND_KEYS))]))

        def key(number: int, round_number: int) -> Any:
            return _load(builder, builder.gep(keys_of[number], [ir.Constant(_I64, 2 * round_number)]), kind)

        states = [builder.xor(state, key(number, 0)) for number, state in enumerate(states)]
        for round_number in range(1, ROUND_KEYS):
            states = [
                _aes(builder, 128, round_number == ROUND_KEYS - 1, state, key(number, round_number))
                for number, state in enumerate(states)
            ]
        low = [builder.extract_element(state, ir.Constant(_I32, 0)) for state in states]
        return context.make_tuple(builder, signature.return_type, low)

    result = types.UniTuple(types.uint64, VECTORS)
    return result(data, offset, candidates, first, keys, key_offset), code


T0, T1, T2, T3 = (np.array(table, dtype=np.uint32) for table in tables())
SBOX = np.frombuffer(sbox(), dtype=np.uint8)


@njit(nogil=True)
def encrypt_block(data, at, keys, key_at, out):  # type: ignore[no-untyped-def]
    """AES of 16 bytes by tables; words of state and keys are big-endian, keys uint32[44] from `key_at`."""
    a, b, c, d = np.uint32(0), np.uint32(0), np.uint32(0), np.uint32(0)
    for byte in range(4):
        a = a << np.uint32(8) | data[at + byte]
        b = b << np.uint32(8) | data[at + 4 + byte]
        c = c << np.uint32(8) | data[at + 8 + byte]
        d = d << np.uint32(8) | data[at + 12 + byte]
    a, b, c, d = a ^ keys[key_at], b ^ keys[key_at + 1], c ^ keys[key_at + 2], d ^ keys[key_at + 3]
    for number in range(1, ROUND_KEYS - 1):
        k = key_at + 4 * number
        w = T0[a >> 24] ^ T1[b >> 16 & 255] ^ T2[c >> 8 & 255] ^ T3[d & 255] ^ keys[k]
        x = T0[b >> 24] ^ T1[c >> 16 & 255] ^ T2[d >> 8 & 255] ^ T3[a & 255] ^ keys[k + 1]
        y = T0[c >> 24] ^ T1[d >> 16 & 255] ^ T2[a >> 8 & 255] ^ T3[b & 255] ^ keys[k + 2]
        z = T0[d >> 24] ^ T1[a >> 16 & 255] ^ T2[b >> 8 & 255] ^ T3[c & 255] ^ keys[k + 3]
        a, b, c, d = w, x, y, z
    k = key_at + 4 * (ROUND_KEYS - 1)
    for column in range(4):
        key = keys[k + column]
        out[4 * column] = SBOX[a >> 24] ^ (key >> 24)
        out[4 * column + 1] = SBOX[b >> 16 & 255] ^ (key >> 16 & 255)
        out[4 * column + 2] = SBOX[c >> 8 & 255] ^ (key >> 8 & 255)
        out[4 * column + 3] = SBOX[d & 255] ^ (key & 255)
        a, b, c, d = b, c, d, a


if PATH == 512:
    _below_step, _equal_step = _compress_step(True), _compress_step(False)

    @njit(nogil=True)
    def collect(data, first, size, keys, group, limit, below, out):  # type: ignore[no-untyped-def]
        """Candidates (label << 4 | nonce in group) of labels first … first+size-1; `out` needs 32 elements to spare."""
        count = 0
        for start in range(0, size, STEP):
            offset = (first + start) * 2
            if below:
                count = _below_step(data, offset, keys, group * ROUND_KEYS * BROADCAST, limit, start * 16, out, count)
            else:
                count = _equal_step(data, offset, keys, group * ROUND_KEYS * BROADCAST, limit, start * 16, out, count)
        return count

elif PATH:
    _below_step, _equal_step = _mask_step(True), _mask_step(False)

    @njit(nogil=True)
    def collect(data, first, size, keys, group, limit, below, out):  # type: ignore[no-untyped-def]
        """Candidates (label << 4 | nonce in group) of labels first … first+size-1."""
        count = 0
        for start in range(0, size, STEP):
            offset = (first + start) * 2
            if below:
                words = _below_step(data, offset, keys, group * ROUND_KEYS * BROADCAST, limit)
            else:
                words = _equal_step(data, offset, keys, group * ROUND_KEYS * BROADCAST, limit)
            base = start * 16
            for word in words:
                while word:
                    out[count] = base + trailing_zeros(word)
                    count += 1
                    word &= word - np.uint64(1)
                base += 64
        return count

else:

    @njit(nogil=True)
    def collect(data, first, size, keys, group, limit, below, out):  # type: ignore[no-untyped-def]
        """Candidates (label << 4 | nonce in group) of labels first … first+size-1."""
        labels = data.view(np.uint8)
        block = np.empty(16, np.uint8)
        words = keys.view(np.uint32)
        count = 0
        for label in range(size):
            encrypt_block(labels, (first + label) * 16, words, group * 4 * ROUND_KEYS, block)
            for nonce in range(16):
                if block[nonce] < limit if below else block[nonce] == limit:
                    out[count] = label * 16 + nonce
                    count += 1
        return count


if PATH:

    @njit(nogil=True)
    def lazy_values(data, first, candidates, at, keys, group, out):  # type: ignore[no-untyped-def]
        """The low words of the lazy ciphers of candidates at … at+VECTORS-1."""
        values = lazy_low(data, first * 2, candidates, at, keys, group * 16 * ROUND_KEYS * 2)
        for number, value in enumerate(values):
            out[number] = value

else:

    @njit(nogil=True)
    def lazy_values(data, first, candidates, at, keys, group, out):  # type: ignore[no-untyped-def]
        """The low words of the lazy ciphers of candidates at … at+VECTORS-1."""
        labels = data.view(np.uint8)
        block = np.empty(16, np.uint8)
        low = block.view(np.uint64)
        words = keys.view(np.uint32)
        for number in range(VECTORS):
            candidate = np.int64(candidates[at + number])
            key = (group * 16 + (candidate & 15)) * 4 * ROUND_KEYS
            encrypt_block(labels, (first + (candidate >> 4)) * 16, words, key, block)
            out[number] = low[0]


LOW_56 = np.uint64((1 << 56) - 1)


@njit(nogil=True)
def add_hit(hits, count, label, candidate, groups, group):  # type: ignore[no-untyped-def]
    """Good labels are numbered so that their numbers ascend in the order (chunk of 8, group, label, nonce)."""
    chunk, within = label >> 3, label & 7
    hits[count] = ((chunk * groups + group) * 8 + within) * 16 + (candidate & 15)


@njit(nogil=True, cache=True)
def scan(data, start, count, group_keys, lazy_keys, groups, msb, lsb, candidates, hits, limits):  # type: ignore[no-untyped-def]
    """Good labels among labels start … count-1 of `data`.

    data: uint64[2 * n], n a multiple of STEP not below count; group_keys, lazy_keys: see `keys`; msb, lsb:
    the difficulty; candidates: uint16[STRETCH * 16 + 32]; hits: uint64, at least STRETCH * 16 * groups
    elements; limits: int64[2], gets the next label to go on with and the number of hits. A hit is
    ((label // 8 * groups + group) * 8 + label % 8) * 16 + nonce within the group; they are in no order.
    """
    lazy = np.empty(VECTORS, np.uint64)
    position, found = start, 0
    while position < count and found + STRETCH * 16 * groups <= len(hits):
        size = min(STRETCH, count - position)
        for group in range(groups):
            if msb > 0:
                total = collect(data, position, size, group_keys, group, msb, True, candidates)
                for number in range(total):
                    candidate = np.int64(candidates[number])
                    if candidate >> 4 < size:
                        add_hit(hits, found, position + (candidate >> 4), candidate, groups, group)
                        found += 1
            total = collect(data, position, size, group_keys, group, msb, False, candidates)
            for number in range(total, total + VECTORS):
                candidates[number] = 0  # the last lazy ciphers run on whatever stands here
            for at in range(0, total, VECTORS):
                lazy_values(data, position, candidates, at, lazy_keys, group, lazy)
                for number in range(min(VECTORS, total - at)):
                    candidate = np.int64(candidates[at + number])
                    if lazy[number] & LOW_56 < lsb and candidate >> 4 < size:
                        add_hit(hits, found, position + (candidate >> 4), candidate, groups, group)
                        found += 1
        position += size
    limits[0] = position
    limits[1] = found


def keys(group_keys: list[bytes], lazy_keys: list[bytes]) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.uint64]]:
    """Round keys as `scan` reads them: one cipher for each group, sixteen lazy ones for each group."""
    return _layout(group_keys, LABELS_PER_VECTOR if PATH else 0), _layout(lazy_keys, 1 if PATH else 0)


def _layout(ciphers: list[bytes], repeat: int) -> npt.NDArray[np.uint64]:
    schedules = [expand_key(key) for key in ciphers]
    if not repeat:  # big-endian words, for the tables
        words = b"".join(b"".join(schedule) for schedule in schedules)
        return np.frombuffer(words, ">u4").astype(np.uint32).view(np.uint64)
    return np.frombuffer(b"".join(one * repeat for schedule in schedules for one in schedule), np.uint64).copy()
