"""SHA-256's compression function on the processor's own instructions, alone and four side by side.

A state is two vectors of four words, in the order that the instructions want (`sha256_x86`, `sha256_arm`). One block is
a chain of dependent instructions, whose latency is the whole cost of a chain of hashes; everything else runs beside
them. Independent chains fill the gaps of each other: on x86 four of them take 1.6 times as long as one. FIPS 180-4;
prototype of `DESIGN` D1.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from kernels.posw.sha256_constants import INITIAL, MASK, PADDING_32, K, small_sigma_0
from kernels.vectors import target
from kernels.vectors.simd import Vector

if target.family() == "arm":
    from kernels.posw import sha256_arm as own
else:
    from kernels.posw import sha256_x86 as own  # type: ignore[no-redef]

LANE = Vector(32, 4)
STATE = types.UniTuple(LANE, 2)
FOUR = types.UniTuple(STATE, 4)

_I32 = ir.IntType(32)
_V4 = ir.VectorType(_I32, 4)
_INITIAL_0, _INITIAL_1 = ([INITIAL[place] for place in places] for places in own.ORDER)


def _vector(words: list[int]) -> Any:
    return ir.Constant(_V4, words)


def _swapped(builder: Any, value: Any) -> Any:
    kind = ir.FunctionType(_V4, [_V4])
    return builder.call(cgutils.get_or_insert_function(builder.module, kind, "llvm.bswap.v4i32"), [value])


class _Schedule:
    """The message words of one block, four at a time; words known beforehand are folded where they allow it."""

    def __init__(self, builder: Any, words: list[Any], known: list[list[int] | None]) -> None:
        self.builder = builder
        self.words = words
        self.known = known

    def next(self, group: int) -> Any:
        """Four words plus round constants for rounds 4 * group …; prepares the words of group + 4."""
        builder, words, known = self.builder, self.words, self.known
        a, b, c, d = (words[(group + offset) % 4] for offset in range(4))
        first = _vector(K[4 * group : 4 * group + 4])
        message = builder.add(a, first)
        if group < 12:
            constant_a, constant_b = known[group % 4], known[(group + 1) % 4]
            if constant_a is not None and constant_b is not None:
                following = [*constant_a[1:], constant_b[0]]
                mixed = _vector([(x + small_sigma_0(y)) & MASK for x, y in zip(constant_a, following, strict=True)])
            else:
                mixed = own.words_begun(builder, a, b)
            words[group % 4] = own.words_ended(builder, mixed, c, d)
            known[group % 4] = None
        return message


def _rounds(builder: Any, blocks: list[tuple[Any, Any, _Schedule]]) -> list[tuple[Any, Any]]:
    """64 rounds of independent blocks, four rounds of each in turn; without the final addition."""
    states = [(s0, s1) for s0, s1, _ in blocks]
    for group in range(16):
        for number, (_, _, schedule) in enumerate(blocks):
            states[number] = own.four_rounds(builder, *states[number], schedule.next(group))
    return states


def _byte_pointer(context: Any, builder: Any, array_type: Any, array: Any, offset: Any) -> Any:
    data = context.make_array(array_type)(context, builder, array).data
    return builder.bitcast(builder.gep(data, [offset]), _V4.as_pointer())


def _load(builder: Any, pointer: Any, position: int) -> Any:
    value = builder.load(builder.gep(pointer, [ir.Constant(_I32, position)]))
    value.align = 1
    return _swapped(builder, value)


@intrinsic
def initial(_typing: Any) -> Any:
    """The state before the first block."""

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return context.make_tuple(builder, signature.return_type, [_vector(_INITIAL_0), _vector(_INITIAL_1)])

    return STATE(), code


@intrinsic
def absorb(_typing: Any, state: Any, buffer: Any, offset: Any) -> Any:
    """The state after the 64 bytes of `buffer` (uint8) from `offset`."""

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        pointer = _byte_pointer(context, builder, signature.args[1], args[1], args[2])
        words = [_load(builder, pointer, position) for position in range(4)]
        before = [builder.extract_value(args[0], half) for half in range(2)]
        schedule = _Schedule(builder, words, [None] * 4)
        ((s0, s1),) = _rounds(builder, [(before[0], before[1], schedule)])
        after = [builder.add(s0, before[0]), builder.add(s1, before[1])]
        return context.make_tuple(builder, signature.return_type, after)

    return STATE(STATE, buffer, offset), code


@intrinsic
def store(_typing: Any, state: Any, buffer: Any, offset: Any) -> Any:
    """Writes a finished state as the 32 bytes of a digest."""

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        pointer = _byte_pointer(context, builder, signature.args[1], args[1], args[2])
        halves = own.digest_words(builder, *(builder.extract_value(args[0], half) for half in range(2)))
        for position, words in enumerate(halves):
            place = builder.gep(pointer, [ir.Constant(_I32, position)])
            builder.store(_swapped(builder, words), place).align = 1
        return context.get_dummy_value()

    return types.none(STATE, buffer, offset), code


@intrinsic
def load(_typing: Any, buffer: Any, offset: Any) -> Any:
    """The inverse of `store`: a digest as a state."""

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        pointer = _byte_pointer(context, builder, signature.args[0], args[0], args[1])
        front, back = (_load(builder, pointer, position) for position in range(2))
        halves = list(own.state_of(builder, front, back))
        return context.make_tuple(builder, signature.return_type, halves)

    return STATE(buffer, offset), code


@intrinsic
def to_chain(_typing: Any, state: Any) -> Any:
    """A digest in the form that `rehash` passes on: without the final addition, which is off the path there."""

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        halves = [
            builder.sub(builder.extract_value(args[0], half), _vector(words))
            for half, words in enumerate((_INITIAL_0, _INITIAL_1))
        ]
        return context.make_tuple(builder, signature.return_type, halves)

    return STATE(STATE), code


@intrinsic
def from_chain(_typing: Any, link: Any) -> Any:
    """The inverse of `to_chain`."""

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        halves = [
            builder.add(builder.extract_value(args[0], half), _vector(words))
            for half, words in enumerate((_INITIAL_0, _INITIAL_1))
        ]
        return context.make_tuple(builder, signature.return_type, halves)

    return STATE(STATE), code


def _rehash(context: Any, builder: Any, signature: Any, args: Any) -> Any:
    blocks = []
    for link in args:
        halves = own.digest_words(builder, *(builder.extract_value(link, half) for half in range(2)))
        # the final addition of the hash before, behind the shuffle: LLVM folds it with the round constants
        words = [builder.add(half, _vector(INITIAL[4 * number : 4 * number + 4])) for number, half in enumerate(halves)]
        padding = [PADDING_32[0:4], PADDING_32[4:8]]
        words += [_vector(part) for part in padding]
        schedule = _Schedule(builder, words, [None, None, *padding])
        blocks.append((_vector(_INITIAL_0), _vector(_INITIAL_1), schedule))
    links = [context.make_tuple(builder, signature.args[0], list(state)) for state in _rounds(builder, blocks)]
    if len(links) == 1:
        return links[0]
    return context.make_tuple(builder, signature.return_type, links)


@intrinsic
def rehash(_typing: Any, link: Any) -> Any:
    """SHA-256 of a 32-byte digest, both in the form of `to_chain`."""
    return STATE(STATE), _rehash


@intrinsic
def rehash_four(_typing: Any, a: Any, b: Any, c: Any, d: Any) -> Any:
    """`rehash` of four digests, interleaved."""
    return FOUR(STATE, STATE, STATE, STATE), _rehash


@intrinsic
def absorb_four(
    _typing: Any, a: Any, b: Any, c: Any, d: Any, buffer: Any, at_a: Any, at_b: Any, at_c: Any, at_d: Any
) -> Any:
    """`absorb` of four blocks of one buffer into four states, interleaved."""

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        blocks = []
        for state, offset in zip(args[:4], args[5:], strict=True):
            pointer = _byte_pointer(context, builder, signature.args[4], args[4], offset)
            words = [_load(builder, pointer, position) for position in range(4)]
            before = [builder.extract_value(state, half) for half in range(2)]
            blocks.append((before[0], before[1], _Schedule(builder, words, [None] * 4)))
        states = []
        for (old_0, old_1, _), (s0, s1) in zip(blocks, _rounds(builder, blocks), strict=True):
            states.append(context.make_tuple(builder, STATE, [builder.add(s0, old_0), builder.add(s1, old_1)]))
        return context.make_tuple(builder, signature.return_type, states)

    return FOUR(STATE, STATE, STATE, STATE, buffer, at_a, at_b, at_c, at_d), code
