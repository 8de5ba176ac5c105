"""SHA-256's compression function in plain words, for processors without instructions for it.

A state is eight words. The rounds work on single words, which is where the latency is; the message words of the next
rounds are made four at a time in vectors, on the units that the rounds leave idle. What is known of a block when the
code is made, such as the padding of a 32-byte message, LLVM folds. FIPS 180-4.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from kernels.posw.sha256_constants import INITIAL, PADDING_32, K

STATE = types.UniTuple(types.uint32, 8)

_I32 = ir.IntType(32)
_V4 = ir.VectorType(_I32, 4)


_V2 = ir.VectorType(ir.IntType(64), 2)


def _word(value: int) -> Any:
    return ir.Constant(_I32, value)


def _intrinsic(builder: Any, name: str, kind: Any, *arguments: Any) -> Any:
    function = ir.FunctionType(kind, [kind] * len(arguments))
    return builder.call(cgutils.get_or_insert_function(builder.module, function, name), arguments)


def _rotated(builder: Any, value: Any, count: int) -> Any:
    """Right rotation of a word, or of each word of a vector."""
    if value.type == _I32:
        return _intrinsic(builder, "llvm.fshr.i32", _I32, value, value, _word(count))
    return _intrinsic(builder, "llvm.fshr.v4i32", _V4, value, value, ir.Constant(_V4, [count] * 4))


def _shifted(builder: Any, vector: Any, count: int) -> Any:
    return builder.lshr(vector, ir.Constant(vector.type, [count] * vector.type.count))


def _shuffle(builder: Any, a: Any, b: Any, *mask: int) -> Any:
    return builder.shuffle_vector(a, b, ir.Constant(ir.VectorType(_I32, 4), list(mask)))


def _xor(builder: Any, a: Any, b: Any, c: Any) -> Any:
    return builder.xor(builder.xor(a, b), c)


def _round(builder: Any, state: list[Any], b_xor_c: Any, message: Any) -> tuple[list[Any], Any]:
    """One round; `message` is the message word plus the round constant. Also returns b ^ c of the next round."""
    a, b, c, d, e, f, g, h = state
    # three rotations at once, not nested: one more copy, but a shorter path
    start = builder.add(h, message)
    choice = builder.xor(g, builder.and_(e, builder.xor(f, g)))
    big_1 = _xor(builder, *(_rotated(builder, e, count) for count in (6, 11, 25)))
    big_0 = _xor(builder, *(_rotated(builder, a, count) for count in (2, 13, 22)))
    a_xor_b = builder.xor(a, b)
    majority = builder.xor(builder.and_(a_xor_b, b_xor_c), b)
    second = builder.add(majority, big_0)
    first = builder.add(builder.add(start, choice), big_1)
    new_e = builder.add(d, first)
    return [builder.add(first, second), a, b, c, new_e, e, f, g], a_xor_b


def _small_1(builder: Any, doubled: Any) -> Any:
    """σ1 of two words, each given twice side by side; the results are in the even places.

    A 64-bit shift of a doubled word is its rotation, one instruction where there is no rotation of vectors.
    """
    wide = builder.bitcast(doubled, _V2)
    tens = builder.bitcast(_shifted(builder, doubled, 10), _V2)
    return builder.bitcast(_xor(builder, _shifted(builder, wide, 17), _shifted(builder, wide, 19), tens), _V4)


class _Schedule:
    """The message words of one block, four at a time; `step` does a quarter of the work for the words 16 later."""

    def __init__(self, builder: Any, words: list[Any]) -> None:
        self.builder = builder
        self.groups = [self._packed(words[4 * number : 4 * number + 4]) for number in range(4)]
        self._sum: Any = None
        self._part: Any = None

    def _packed(self, words: list[Any]) -> Any:
        vector = ir.Constant(_V4, ir.Undefined)
        for position, word in enumerate(words):
            vector = self.builder.insert_element(vector, word, _word(position))
        return vector

    def messages(self, group: int) -> list[Any]:
        """Words plus round constants for the four rounds of a group."""
        constants = ir.Constant(_V4, K[4 * group : 4 * group + 4])
        message = self.builder.add(self.groups[group], constants)
        return [self.builder.extract_element(message, _word(position)) for position in range(4)]

    def step(self, group: int, quarter: int) -> None:
        """Between the rounds of a group: what the words of group + 4 need."""
        builder = self.builder
        a, b, c, d = self.groups[group : group + 4]
        zero = ir.Constant(_V4, [0] * 4)
        if quarter == 0:
            x = _shuffle(builder, a, b, 1, 2, 3, 4)
            self._part = _xor(builder, _rotated(builder, x, 7), _rotated(builder, x, 18), _shifted(builder, x, 3))
            self._sum = builder.add(a, _shuffle(builder, c, d, 1, 2, 3, 4))
        elif quarter == 1:
            self._sum = builder.add(self._sum, self._part)
            last = _small_1(builder, _shuffle(builder, d, zero, 2, 2, 3, 3))
            self._part = _shuffle(builder, last, zero, 0, 2, 4, 4)
        elif quarter == 2:
            self._sum = builder.add(self._sum, self._part)
            new = _small_1(builder, _shuffle(builder, self._sum, zero, 0, 0, 1, 1))
            self._part = _shuffle(builder, new, zero, 4, 4, 0, 2)
        else:
            self.groups.append(builder.add(self._sum, self._part))


def _compress(builder: Any, state: list[Any], words: list[Any]) -> list[Any]:
    after = list(state)
    schedule = _Schedule(builder, words)
    b_xor_c = builder.xor(after[1], after[2])
    for group in range(16):
        for quarter, message in enumerate(schedule.messages(group)):
            # LLVM keeps about this order: the schedule's part behind the round, or it delays the round by a seventh
            after, b_xor_c = _round(builder, after, b_xor_c, message)
            if group < 12:
                schedule.step(group, quarter)
    return [builder.add(new, old) for new, old in zip(after, state)]


def _bytes(context: Any, builder: Any, array_type: Any, array: Any, offset: Any) -> Any:
    data = context.make_array(array_type)(context, builder, array).data
    return builder.bitcast(builder.gep(data, [offset]), _I32.as_pointer())


def _load(builder: Any, pointer: Any, count: int) -> list[Any]:
    words = []
    for number in range(count):
        value = builder.load(builder.gep(pointer, [_word(number)]))
        value.align = 1
        words.append(_intrinsic(builder, "llvm.bswap.i32", _I32, value))
    return words


def _parts(builder: Any, state: Any) -> list[Any]:
    return [builder.extract_value(state, number) for number in range(8)]


@intrinsic
def initial(_typing: Any) -> Any:
    """The state before the first block."""

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return context.make_tuple(builder, signature.return_type, [_word(value) for value in INITIAL])

    return STATE(), code


@intrinsic
def absorb(_typing: Any, state: Any, buffer: Any, offset: Any) -> Any:
    """The state after the 64 bytes of `buffer` (uint8) from `offset`."""

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        words = _load(builder, _bytes(context, builder, signature.args[1], args[1], args[2]), 16)
        after = _compress(builder, _parts(builder, args[0]), words)
        return context.make_tuple(builder, signature.return_type, after)

    return STATE(STATE, buffer, offset), code


@intrinsic
def store(_typing: Any, state: Any, buffer: Any, offset: Any) -> Any:
    """Writes a finished state as the 32 bytes of a digest."""

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        pointer = _bytes(context, builder, signature.args[1], args[1], args[2])
        for number, word in enumerate(_parts(builder, args[0])):
            place = builder.gep(pointer, [_word(number)])
            builder.store(_intrinsic(builder, "llvm.bswap.i32", _I32, word), place).align = 1
        return context.get_dummy_value()

    return types.none(STATE, buffer, offset), code


@intrinsic
def load(_typing: Any, buffer: Any, offset: Any) -> Any:
    """The inverse of `store`: a digest as a state."""

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        words = _load(builder, _bytes(context, builder, signature.args[0], args[0], args[1]), 8)
        return context.make_tuple(builder, signature.return_type, words)

    return STATE(buffer, offset), code


def _rehash_one(context: Any, builder: Any, link: Any) -> Any:
    words = [*_parts(builder, link), *(_word(value) for value in PADDING_32)]
    return context.make_tuple(builder, STATE, _compress(builder, [_word(value) for value in INITIAL], words))


@intrinsic
def rehash(_typing: Any, link: Any) -> Any:
    """SHA-256 of a 32-byte digest."""

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return _rehash_one(context, builder, args[0])

    return STATE(STATE), code


@intrinsic
def to_chain(_typing: Any, state: Any) -> Any:
    """A digest in the form that `rehash` passes on; here they are the same."""
    return STATE(STATE), lambda context, builder, signature, args: args[0]


@intrinsic
def from_chain(_typing: Any, link: Any) -> Any:
    """The inverse of `to_chain`."""
    return STATE(STATE), lambda context, builder, signature, args: args[0]
