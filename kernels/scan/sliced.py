"""The scan of a proving pass without AES instructions: bit-sliced AES-128, many labels side by side.

Plane b holds bit b of the 16 bytes of all labels of a slice, one label a bit, in plain vectors that LLVM lowers to
whatever the processor has. A substitution is then a circuit of 115 gates (J. Boyar, R. Peralta, "A new combinational
logic minimization technique with applications to cryptology", 2010), and moving bytes costs nothing. The last
substitution of the group ciphers is never computed: that a byte of the result equals the difficulty's top byte is seen
before it. Candidates are put aside for each nonce until there is a slice of them for their lazy cipher.
Specified in protocol 01-post, section 5.3.

More than 400 lines, most of them one circuit and what moves its bits.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from llvmlite import ir
from numba import njit
from numba.core import types
from numba.extending import intrinsic

from kernels.scan.hits import add_hit, trailing_zeros
from kernels.scan.scalar import ROUNDS, before_last_substitution, expand_key
from kernels.vectors import target

target.keep_code_of(__name__)

_I64 = ir.IntType(64)
_I32 = ir.IntType(32)

LANES = max(2, target.variant().registers // 64)
"""64-bit words of a plane: one vector register."""

SLICE = 64 * LANES
"""Labels of a slice."""

PLANES = 128
STATE = PLANES * LANES
"""Words of all planes of a slice."""

KEY = 2 * PLANES
"""Words of one round key: every bit as two words of ones or zeros."""

CIPHER = KEY * (ROUNDS + 2)
"""Words of one cipher: 11 round keys, then what the state before the last substitution is compared with."""

LAZY_BYTES = 7
"""Bytes of the lazy cipher's result that are compared: 56 bits."""

FIRST = np.array([0], np.int64)
"""Position 0 that the compiler does not take for a constant: it would compile a second version."""

_PLANE = ir.VectorType(_I64, LANES)
_ONES = ir.Constant(_PLANE, [(1 << 64) - 1] * LANES)


# -- pieces of LLVM code --------------------------------------------------------------------------------------


class _Place:
    """A position in an array of 64-bit words, from which planes and bits of keys are read."""

    def __init__(self, context: Any, builder: Any, array_type: Any, array: Any, offset: Any) -> None:
        self._builder = builder
        self._base = builder.gep(context.make_array(array_type)(context, builder, array).data, [offset])

    def _at(self, word: Any, kind: Any) -> Any:
        if isinstance(word, int):
            word = ir.Constant(_I64, word)
        return self._builder.bitcast(self._builder.gep(self._base, [word]), kind.as_pointer())

    def plane(self, number: int, stride: int = LANES) -> Any:
        """Plane `number` from here."""
        value = self._builder.load(self._at(number * stride, _PLANE))
        value.align = 8
        return value

    def store(self, number: int, value: Any) -> None:
        """Writes plane `number` from here."""
        self._builder.store(value, self._at(number * LANES, _PLANE)).align = 8

    def bit(self, number: int) -> Any:
        """Bit `number` of a round key, in all lanes."""
        pair = self._builder.load(self._at(2 * number, ir.VectorType(_I64, 2)))
        pair.align = 8
        mask = ir.Constant(ir.VectorType(_I32, LANES), [lane % 2 for lane in range(LANES)])
        return self._builder.shuffle_vector(pair, ir.Constant(pair.type, ir.Undefined), mask)


def _substitute(builder: Any, bits: list[Any]) -> list[Any]:
    """The substitution of one byte, lowest bit first, without the constant 0x63 (it is part of the round keys)."""

    def xor(*values: Any) -> Any:
        total = values[0]
        for value in values[1:]:
            total = builder.xor(total, value)
        return total

    both = builder.and_
    x7, x6, x5, x4, x3, x2, x1, x0 = bits
    # linear, into the tower of fields
    y14, y13, y9, y8, t0 = xor(x3, x5), xor(x0, x6), xor(x0, x3), xor(x0, x5), xor(x1, x2)
    y1 = xor(t0, x7)
    y4, y12, y2, y5 = xor(y1, x3), xor(y13, y14), xor(y1, x0), xor(y1, x6)
    y3, t1 = xor(y5, y8), xor(x4, y12)
    y15, y20 = xor(t1, x5), xor(t1, x1)
    y6, y10, y11 = xor(y15, x7), xor(y15, t0), xor(y20, y9)
    y7, y17, y19, y16 = xor(x7, y11), xor(y10, y11), xor(y10, y8), xor(t0, y11)
    y21, y18 = xor(y13, y16), xor(x0, y16)
    # the inverse
    t2, t7, t12 = both(y12, y15), both(y13, y16), both(y9, y11)
    t14, t16 = xor(both(y14, y17), t12), xor(both(y8, y10), t12)
    t21 = xor(both(y3, y6), t2, t14, y20)
    t22 = xor(both(y4, x7), t2, t16, y19)
    t23 = xor(both(y5, y1), t7, t14, y21)
    t24 = xor(both(y2, y7), t7, t16, y18)
    t25, t26 = xor(t21, t22), both(t21, t23)
    t27 = xor(t24, t26)
    t29 = xor(both(t25, t27), t22)
    t33 = xor(both(xor(t22, t26), xor(t23, t24)), t24)
    t36 = both(t24, xor(t27, t33))
    t37 = xor(t36, t23, t33)
    t40 = xor(t25, both(t29, xor(t27, t36)))
    t41, t42, t43, t44 = xor(t40, t37), xor(t29, t33), xor(t29, t40), xor(t33, t37)
    t45 = xor(t42, t41)
    z0, z1, z2, z3, z4, z5 = both(t44, y15), both(t37, y6), both(t33, x7), both(t43, y16), both(t40, y1), both(t29, y7)
    z6, z7, z8, z9, z10, z11 = (
        both(t42, y11),
        both(t45, y17),
        both(t41, y10),
        both(t44, y12),
        both(t37, y3),
        both(t33, y4),
    )
    z12, z13, z14, z15, z16, z17 = (
        both(t43, y13),
        both(t40, y5),
        both(t29, y2),
        both(t42, y9),
        both(t45, y14),
        both(t41, y8),
    )
    # linear, back, with the matrix of the substitution
    t46, t48, t49, t53 = xor(z15, z16), xor(z5, z13), xor(z9, z10), xor(z0, z3)
    t57 = xor(z2, z12, t53)
    t58, t59 = xor(z4, t46), xor(z3, z6, z7)
    t61, t62, t63, t64 = xor(z14, t57), xor(z7, z8, t58), xor(t49, t58), xor(z4, t59)
    t65, t66 = xor(t61, t62), xor(z1, t63)
    s3 = xor(t53, t66)
    return [
        xor(t48, t46, t57),
        xor(z12, t48, t62),
        xor(z10, z11, t65),
        xor(z2, z5, t66),
        s3,
        xor(z16, z17, t64, t65),
        xor(t64, s3),
        xor(t59, t63),
    ]


def _mix(builder: Any, column: list[list[Any]]) -> list[list[Any]]:
    """The mixing of one column: twice the first, three times the second, and the other two bytes."""
    neighbours = [
        [builder.xor(a, b) for a, b in zip(column[row], column[(row + 1) % 4], strict=True)] for row in range(4)
    ]
    mixed = []
    for row in range(4):
        pair = neighbours[row]
        twice = [pair[7], *pair[:7]]
        for bit in (1, 3, 4):  # x^8 = x^4 + x^3 + x + 1
            twice[bit] = builder.xor(twice[bit], pair[7])
        mixed.append(
            [
                builder.xor(builder.xor(twice[bit], column[(row + 1) % 4][bit]), neighbours[(row + 2) % 4][bit])
                for bit in range(8)
            ]
        )
    return mixed


# -- steps ----------------------------------------------------------------------------------------------------


@intrinsic
def whiten(_typing: Any, source: Any, at: Any, keys: Any, key_at: Any, out: Any, out_at: Any) -> Any:
    """Adds one byte of a round key to its 8 planes."""

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        planes, key, result = (_Place(context, builder, signature.args[n], args[n], args[n + 1]) for n in (0, 2, 4))
        for bit in range(8):
            result.store(bit, builder.xor(planes.plane(bit), key.bit(bit)))
        return context.get_dummy_value()

    return types.none(source, at, keys, key_at, out, out_at), code


@intrinsic
def round_column(_typing: Any, source: Any, at: Any, keys: Any, key_at: Any, out: Any, out_at: Any, column: Any) -> Any:
    """One column of a round: its bytes collected from the columns of `source`, substituted, mixed, key added."""

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        def at_word(number: int, offset: Any) -> _Place:
            return _Place(context, builder, signature.args[number], args[number], builder.add(args[number + 1], offset))

        bytes_in = []
        for row in range(4):
            other = builder.and_(builder.add(args[6], ir.Constant(_I64, row)), ir.Constant(_I64, 3))
            byte = builder.add(builder.shl(other, ir.Constant(_I64, 2)), ir.Constant(_I64, row))
            place = at_word(0, builder.mul(byte, ir.Constant(_I64, 8 * LANES)))
            bytes_in.append(_substitute(builder, [place.plane(bit) for bit in range(8)]))
        first_bit = builder.mul(args[6], ir.Constant(_I64, 32))
        key = at_word(2, builder.mul(first_bit, ir.Constant(_I64, 2)))
        result = at_word(4, builder.mul(first_bit, ir.Constant(_I64, LANES)))
        for row, bits in enumerate(_mix(builder, bytes_in)):
            for bit, value in enumerate(bits):
                result.store(8 * row + bit, builder.xor(value, key.bit(8 * row + bit)))
        return context.get_dummy_value()

    return types.none(source, at, keys, key_at, out, out_at, column), code


@intrinsic
def last_byte(_typing: Any, source: Any, at: Any, keys: Any, key_at: Any, out: Any, out_at: Any) -> Any:
    """The last round of one byte: substituted, key added."""

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        planes, key, result = (_Place(context, builder, signature.args[n], args[n], args[n + 1]) for n in (0, 2, 4))
        for bit, value in enumerate(_substitute(builder, [planes.plane(bit) for bit in range(8)])):
            result.store(bit, builder.xor(value, key.bit(bit)))
        return context.get_dummy_value()

    return types.none(source, at, keys, key_at, out, out_at), code


@intrinsic
def equal_byte(_typing: Any, source: Any, at: Any, keys: Any, key_at: Any, out: Any, out_at: Any) -> Any:
    """One bit a label: whether all 8 bits of a byte are the opposite of those at `key_at`."""

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        planes, key, result = (_Place(context, builder, signature.args[n], args[n], args[n + 1]) for n in (0, 2, 4))
        total = _ONES
        for bit in range(8):
            total = builder.and_(total, builder.xor(planes.plane(bit), key.bit(bit)))
        result.store(0, total)
        return context.get_dummy_value()

    return types.none(source, at, keys, key_at, out, out_at), code


@intrinsic
def below_byte(_typing: Any, source: Any, at: Any, limit: Any, limit_at: Any, out: Any, out_at: Any) -> Any:
    """One bit a label: whether a number with this byte in front is below the limit; `out` holds that of the rest."""

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        planes, bits, result = (_Place(context, builder, signature.args[n], args[n], args[n + 1]) for n in (0, 2, 4))
        below = result.plane(0)
        for bit in range(8):
            value, wanted = planes.plane(bit), bits.bit(bit)
            differs = builder.xor(value, wanted)
            # where they differ, the limit's bit decides; else what the lower bits said
            below = builder.xor(below, builder.and_(differs, builder.xor(below, wanted)))
        result.store(0, below)
        return context.get_dummy_value()

    return types.none(source, at, limit, limit_at, out, out_at), code


@intrinsic
def load_halves(_typing: Any, labels: Any, first: Any, second: Any, out: Any, low_at: Any, high_at: Any) -> Any:
    """LANES labels, half of them from word `first` and half from `second`: their low words and their high words."""

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        a, b = (_Place(context, builder, signature.args[0], args[0], args[n]).plane(0) for n in (1, 2))
        for start, place in ((0, 4), (1, 5)):
            mask = ir.Constant(ir.VectorType(_I32, LANES), list(range(start, 2 * LANES, 2)))
            _Place(context, builder, signature.args[3], args[3], args[place]).store(
                0, builder.shuffle_vector(a, b, mask)
            )
        return context.get_dummy_value()

    return types.none(labels, first, second, out, low_at, high_at), code


def _exchange(shift: int) -> Any:
    mask = sum(((1 << shift) - 1) << at for at in range(0, 64, 2 * shift))

    @intrinsic
    def exchange(_typing: Any, rows: Any, upper: Any, lower: Any) -> Any:
        """Exchanges the high half of every group of bits of one row with the low half of another's."""

        def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            one, other = (_Place(context, builder, signature.args[0], args[0], args[n]) for n in (1, 2))
            count, chosen = ir.Constant(_PLANE, [shift] * LANES), ir.Constant(_PLANE, [mask] * LANES)
            a, b = one.plane(0), other.plane(0)
            moved = builder.and_(builder.xor(builder.lshr(a, count), b), chosen)
            one.store(0, builder.xor(a, builder.shl(moved, count)))
            other.store(0, builder.xor(b, moved))
            return context.get_dummy_value()

        return types.none(rows, upper, lower), code

    return exchange


_exchange32, _exchange16, _exchange8 = _exchange(32), _exchange(16), _exchange(8)
_exchange4, _exchange2, _exchange1 = _exchange(4), _exchange(2), _exchange(1)


# -- the ciphers ----------------------------------------------------------------------------------------------


@njit(nogil=True)
def to_planes(labels, first, out):  # type: ignore[no-untyped-def]
    """SLICE labels from word `first` as planes; see `label_of` for their order."""
    for row in range(64):
        start = first + row * LANES
        load_halves(labels, start, start + SLICE, out, row * LANES, (64 + row) * LANES)
    for half in range(0, 128, 64):
        for row in range(64):
            if not row & 32:
                _exchange32(out, (half + row) * LANES, (half + row + 32) * LANES)
        for row in range(64):
            if not row & 16:
                _exchange16(out, (half + row) * LANES, (half + row + 16) * LANES)
        for row in range(64):
            if not row & 8:
                _exchange8(out, (half + row) * LANES, (half + row + 8) * LANES)
        for row in range(64):
            if not row & 4:
                _exchange4(out, (half + row) * LANES, (half + row + 4) * LANES)
        for row in range(64):
            if not row & 2:
                _exchange2(out, (half + row) * LANES, (half + row + 2) * LANES)
        for row in range(64):
            if not row & 1:
                _exchange1(out, (half + row) * LANES, (half + row + 1) * LANES)


@njit(nogil=True)
def label_of(lane, bit):  # type: ignore[no-untyped-def]
    """Which label of a slice is bit `bit` of word `lane` of a plane."""
    half = LANES // 2
    return bit * half + lane + (SLICE // 2 - half if lane >= half else 0)


@njit(nogil=True)
def nine_rounds(planes, keys, at, states):  # type: ignore[no-untyped-def]
    """The state before the last substitution; returns where it stands in `states`, two slices long."""
    for byte in range(16):
        whiten(planes, byte * 8 * LANES, keys, at + byte * 16, states, byte * 8 * LANES)
    here, there = 0, STATE
    for number in range(1, ROUNDS):
        for column in range(4):
            round_column(states, here, keys, at + number * KEY, states, there, column)
        here, there = there, here
    return here


@njit(nogil=True)
def moved_from(byte):  # type: ignore[no-untyped-def]
    """From which byte of the state the last round takes byte `byte` of the result."""
    return byte * 5 & 15


@njit(nogil=True)
def equal_masks(states, here, keys, at, masks):  # type: ignore[no-untyped-def]
    """For each nonce of a group one bit a label: its byte equals the difficulty's top byte."""
    for nonce in range(16):
        byte = moved_from(nonce)
        place = here + byte * 8 * LANES
        equal_byte(states, place, keys, at + (ROUNDS + 1) * KEY + byte * 16, masks, nonce * LANES)


@njit(nogil=True)
def below_masks(states, here, keys, at, limit, scratch, masks):  # type: ignore[no-untyped-def]
    """One bit a label: a number of as many bytes as the limit is below it; for all such numbers that `masks` holds.

    The numbers stand side by side in the result of the cipher: the lazy one's first, or the single bytes of a group's.
    """
    size = len(limit) // 16
    masks[:] = 0
    for byte in range(len(masks) // LANES * size):
        place = here + moved_from(byte) * 8 * LANES
        last_byte(states, place, keys, at + ROUNDS * KEY + byte * 16, scratch, 0)
        below_byte(scratch, 0, limit, byte % size * 16, masks, byte // size * LANES)


# -- the scan -------------------------------------------------------------------------------------------------


@njit(nogil=True)
def lazy_hits(data, waiting, column, size, keys, groups, lsb, work, hits, count):  # type: ignore[no-untyped-def]
    """Up to SLICE candidates of one nonce through its lazy cipher; returns the new number of hits."""
    gathered, planes, states, scratch, masks = work
    for number in range(SLICE):
        label = waiting[column, number] if number < size else 0
        gathered[2 * number] = data[2 * label]
        gathered[2 * number + 1] = data[2 * label + 1]
    to_planes(gathered, FIRST[0], planes)
    here = nine_rounds(planes, keys, column * CIPHER, states)
    below_masks(states, here, keys, column * CIPHER, lsb, scratch, masks)
    for lane in range(LANES):
        word = masks[lane]
        while word:
            number = label_of(lane, trailing_zeros(word))
            word &= word - np.uint64(1)
            if number < size:
                add_hit(hits, count, np.int64(waiting[column, number]), column & 15, groups, column >> 4)
                count += 1
    return count


@njit(nogil=True, cache=True)
def scan(data, start, count, group_keys, lazy_keys, groups, msb, lsb, hits, limits):  # type: ignore[no-untyped-def]
    """Good labels among labels start … count-1 of `data`.

    data: uint64[2 * n], n a multiple of SLICE not below count; group_keys, lazy_keys: see `ciphers`; msb: uint64[16],
    lsb: uint64[16 * LAZY_BYTES]: see `spread_bits`, msb empty for a top byte of 0; hits: uint64, at least
    2 * SLICE * 16 * groups elements; limits: int64[2], gets the next label to go on with and the number of hits.
    A hit is ((label // 8 * groups + group) * 8 + label % 8) * 16 + nonce within the group; they are in no order.
    """
    planes, states = np.empty(STATE, np.uint64), np.empty(2 * STATE, np.uint64)
    scratch, masks = np.empty(8 * LANES, np.uint64), np.empty(16 * LANES, np.uint64)
    lazy_work = (
        np.empty(2 * SLICE, np.uint64),
        np.empty(STATE, np.uint64),
        states,
        scratch,
        np.empty(LANES, np.uint64),
    )
    waiting = np.empty((groups * 16, SLICE), np.uint32)
    sizes = np.zeros(groups * 16, np.int64)
    position, found, pending = start, 0, 0
    while position < count and found + pending + SLICE * 16 * groups <= len(hits):
        to_planes(data, 2 * position, planes)
        for group in range(groups):
            here = nine_rounds(planes, group_keys, group * CIPHER, states)
            if len(msb):
                below_masks(states, here, group_keys, group * CIPHER, msb, scratch, masks)
                for nonce in range(16):
                    for lane in range(LANES):
                        word = masks[nonce * LANES + lane]
                        while word:
                            label = position + label_of(lane, trailing_zeros(word))
                            word &= word - np.uint64(1)
                            if label < count:
                                add_hit(hits, found, label, nonce, groups, group)
                                found += 1
            equal_masks(states, here, group_keys, group * CIPHER, masks)
            for nonce in range(16):
                column = group * 16 + nonce
                for lane in range(LANES):
                    word = masks[nonce * LANES + lane]
                    while word:
                        label = position + label_of(lane, trailing_zeros(word))
                        word &= word - np.uint64(1)
                        if label < count:
                            waiting[column, sizes[column]] = label
                            sizes[column] += 1
                            pending += 1
                            if sizes[column] == SLICE:
                                size = sizes[column]
                                found = lazy_hits(
                                    data, waiting, column, size, lazy_keys, groups, lsb, lazy_work, hits, found
                                )
                                sizes[column] = 0
                                pending -= size
        position += SLICE
    for column in range(groups * 16):
        if sizes[column]:
            found = lazy_hits(data, waiting, column, sizes[column], lazy_keys, groups, lsb, lazy_work, hits, found)
    limits[0] = min(position, count)
    limits[1] = found


def spread_bits(data: bytes) -> npt.NDArray[np.uint64]:
    """Every bit of some bytes, lowest first, as two words of ones or zeros."""
    bits = np.unpackbits(np.frombuffer(data, np.uint8), bitorder="little").astype(np.uint64)
    return np.repeat(-bits, 2)


def ciphers(keys: Sequence[bytes], top: int) -> npt.NDArray[np.uint64]:
    """Round keys as `scan` reads them; `top` is the byte that results of group ciphers are compared with."""
    return np.concatenate([spread_bits(part) for key in keys for part in _cipher(key, top)])


def _cipher(key: bytes, top: int) -> list[bytes]:
    """Round keys with the substitution's constant in them, and the opposite of the state that becomes `top`."""
    first, *others = expand_key(key)
    wanted = before_last_substitution(key, top)
    return [first, *(bytes(byte ^ 0x63 for byte in one) for one in others), bytes(255 - byte for byte in wanted)]
