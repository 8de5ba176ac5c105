"""Eight lanes of 64 bits for long straight algorithms: field arithmetic, SHA-512.

Python unrolls such an algorithm and writes its LLVM code; numba, which would take minutes to infer the types of so many
instructions, compiles only the loops around it. The 52-bit multiply-add is an instruction where the processor has IFMA
and a portable twin elsewhere; everything else lowers to whatever vectors there are.
"""

from __future__ import annotations

import inspect
from typing import Any

from llvmlite import ir
from numba import njit
from numba.core import cgutils, types
from numba.extending import intrinsic

from kernels.vectors import target
from kernels.vectors.simd import rotate_left

LANES = 8
"""64-bit lanes of one vector: one 512-bit register, or the smaller ones that it is split into."""

HAS_MULTIPLY_ADD_52 = target.has_feature("avx512ifma")
"""Whether the code of this process may use the 52-bit multiply-add instructions; else their portable twin is taken."""

LOW_52 = 2**52 - 1
_LOW_26 = 2**26 - 1

_I1, _I32, _I64 = ir.IntType(1), ir.IntType(32), ir.IntType(64)
_BYTE_POINTER = ir.IntType(8).as_pointer()
_LANE_VECTOR = ir.VectorType(_I64, LANES)
_LANE_MASK = ir.VectorType(_I1, LANES)


class Lanes:
    """Writes LLVM code on vectors of eight unsigned lanes, at the end of a basic block.

    Values are LLVM values of eight lanes; places are LLVM pointers to 64-bit words.
    """

    def __init__(self, builder: Any) -> None:
        self.builder = builder
        self.add, self.sub, self.mul = builder.add, builder.sub, builder.mul
        self.xor, self.either, self.both, self.invert = builder.xor, builder.or_, builder.and_, builder.not_

    def constant(self, value: int) -> Any:
        """The same number in all lanes, modulo 2^64."""
        return ir.Constant(_LANE_VECTOR, [value % 2**64] * LANES)

    def lane_numbers(self, stride: int = 1) -> Any:
        """stride times the number of the lane."""
        return ir.Constant(_LANE_VECTOR, [stride * lane for lane in range(LANES)])

    def call(self, name: str, *arguments: Any) -> Any:
        """An LLVM intrinsic that returns a vector."""
        kind = ir.FunctionType(_LANE_VECTOR, [argument.type for argument in arguments])
        return self.builder.call(cgutils.get_or_insert_function(self.builder.module, kind, name), arguments)

    def multiply_low(self, total: Any, a: Any, b: Any) -> Any:
        """total + (a * b mod 2^52), of the low 52 bits of a and b."""
        if HAS_MULTIPLY_ADD_52:
            return self.call("llvm.x86.avx512.vpmadd52l.uq.512", total, a, b)
        return self.builder.call(_portable_multiply_add(self.builder.module, is_high=False), (total, a, b))

    def multiply_high(self, total: Any, a: Any, b: Any) -> Any:
        """total + floor(a * b / 2^52), of the low 52 bits of a and b."""
        if HAS_MULTIPLY_ADD_52:
            return self.call("llvm.x86.avx512.vpmadd52h.uq.512", total, a, b)
        return self.builder.call(_portable_multiply_add(self.builder.module, is_high=True), (total, a, b))

    def keep(self, value: Any, mask: int) -> Any:
        return self.builder.and_(value, self.constant(mask))

    def right(self, value: Any, bits: int) -> Any:
        return self.builder.lshr(value, self.constant(bits))

    def right_signed(self, value: Any, bits: int) -> Any:
        return self.builder.ashr(value, self.constant(bits))

    def left(self, value: Any, bits: int) -> Any:
        return self.builder.shl(value, self.constant(bits))

    def rotate_right(self, value: Any, bits: int) -> Any:
        return rotate_left(self.builder, value, 64 - bits)

    def byte_swap(self, value: Any) -> Any:
        return self.call("llvm.bswap.v8i64", value)

    def magnitude(self, value: Any) -> Any:
        """The absolute value of signed lanes."""
        return self.call("llvm.abs.v8i64", value, ir.Constant(_I1, 0))

    def is_equal(self, a: Any, b: Any) -> Any:
        return self.builder.icmp_unsigned("==", a, b)

    def is_negative(self, a: Any) -> Any:
        return self.builder.icmp_signed("<", a, self.constant(0))

    def choose(self, condition: Any, when_true: Any, when_false: Any) -> Any:
        return self.builder.select(condition, when_true, when_false)

    def flag(self, condition: Any) -> Any:
        """All ones where the condition holds, else zero."""
        return self.builder.sext(condition, _LANE_VECTOR)

    def at(self, place: Any, words: Any) -> Any:
        """The place so many words further on."""
        return self.builder.gep(place, [words if isinstance(words, ir.Value) else ir.Constant(_I64, words)])

    def load(self, place: Any, words: int = 0) -> Any:
        value = self.builder.load(self.builder.bitcast(self.at(place, words), _LANE_VECTOR.as_pointer()))
        value.align = 8
        return value

    def store(self, value: Any, place: Any, words: int = 0) -> None:
        self.builder.store(value, self.builder.bitcast(self.at(place, words), _LANE_VECTOR.as_pointer())).align = 8

    def gather(self, place: Any, indices: Any) -> Any:
        """Lane i gets the word at place + indices[i]."""
        if HAS_MULTIPLY_ADD_52:
            every_lane, bytes_a_word = ir.Constant(_LANE_MASK, [1] * LANES), ir.Constant(_I32, 8)
            start = self.builder.bitcast(place, _BYTE_POINTER)
            name = "llvm.x86.avx512.mask.gather.qpq.512"
            return self.call(name, self.constant(0), start, indices, every_lane, bytes_a_word)
        value = self.constant(0)
        for lane in range(LANES):
            number = ir.Constant(_I32, lane)
            word = self.builder.load(self.at(place, self.builder.extract_element(indices, number)))
            value = self.builder.insert_element(value, word, number)
        return value

    def load_rows(self, place: Any, offsets: Any, count: int) -> list[Any]:
        """`count` words, a multiple of 8, from place + offsets[lane] on: word i of every lane in the i-th vector."""
        starts = [self.at(place, self.builder.load(self.at(offsets, lane))) for lane in range(LANES)]
        values = []
        for first in range(0, count, LANES):
            values += self.transpose([self.load(start, first) for start in starts])
        return values

    def store_rows(self, values: list[Any], place: Any, stride: int) -> None:
        """The inverse of `load_rows`, to place + lane * stride; as many values as are a multiple of 8."""
        for first in range(0, len(values), LANES):
            for lane, row in enumerate(self.transpose(values[first : first + LANES])):
                self.store(row, place, lane * stride + first)

    def transpose(self, rows: list[Any]) -> list[Any]:
        """Lane j of vector i becomes lane i of vector j."""
        for distance in (1, 2, 4):
            turned = list(rows)
            for i in range(LANES):
                if i & distance:
                    continue
                first, second = rows[i], rows[i + distance]
                kept = [lane if not lane & distance else lane - distance + LANES for lane in range(LANES)]
                moved = [lane + distance if not lane & distance else lane + LANES for lane in range(LANES)]
                turned[i] = self._pick(first, second, kept)
                turned[i + distance] = self._pick(first, second, moved)
            rows = turned
        return rows

    def _pick(self, first: Any, second: Any, places: list[int]) -> Any:
        mask = ir.Constant(ir.VectorType(_I32, LANES), places)
        return self.builder.shuffle_vector(first, second, mask)

    def prefetch(self, place: Any, indices: Any, count: int) -> None:
        """Asks the memory, for every lane, for `count` words from place + indices[lane] on."""
        function = cgutils.get_or_insert_function(
            self.builder.module,
            ir.FunctionType(ir.VoidType(), [_BYTE_POINTER, _I32, _I32, _I32]),
            "llvm.prefetch.p0i8",
        )
        read, keep_near, data = ir.Constant(_I32, 0), ir.Constant(_I32, 3), ir.Constant(_I32, 1)
        for lane in range(LANES):
            start = self.at(place, self.builder.extract_element(indices, ir.Constant(_I32, lane)))
            for words in (*range(0, count - 1, 8), count - 1):
                line = self.builder.bitcast(self.at(start, words), _BYTE_POINTER)
                self.builder.call(function, [line, read, keep_near, data])


def _portable_multiply_add(module: Any, is_high: bool) -> Any:
    """The portable twin of the multiply-add instruction, as a function of the module: unrolled it would be too much."""
    name = f"multiply_add_{'high' if is_high else 'low'}_52"
    if name in module.globals:
        return module.globals[name]
    function = ir.Function(module, ir.FunctionType(_LANE_VECTOR, [_LANE_VECTOR] * 3), name)
    function.linkage = "internal"
    function.attributes.add("noinline")
    lanes = Lanes(ir.IRBuilder(function.append_basic_block()))
    total, a, b = function.args
    a_low, b_low = lanes.keep(a, _LOW_26), lanes.keep(b, _LOW_26)
    a_high, b_high = lanes.keep(lanes.right(a, 26), _LOW_26), lanes.keep(lanes.right(b, 26), _LOW_26)
    middle = lanes.add(lanes.mul(a_low, b_high), lanes.mul(a_high, b_low))
    low = lanes.add(lanes.mul(a_low, b_low), lanes.left(lanes.keep(middle, _LOW_26), 26))
    if is_high:
        high = lanes.add(lanes.mul(a_high, b_high), lanes.add(lanes.right(middle, 26), lanes.right(low, 52)))
        lanes.builder.ret(lanes.add(total, high))
    else:
        lanes.builder.ret(lanes.add(total, lanes.keep(low, LOW_52)))
    return function


def lane_operation(body: Any, writer: Any = Lanes) -> Any:
    """Makes `body(lanes, *places)` a compiled function `operation(memory, *places)` that numba can call.

    `memory` is an array of uint64; a place is an offset in it, in words, or another such array (meaning its start).
    `writer` is Lanes or a class derived from it: what `body` gets.
    """

    def typing(typing_context: Any, memory: Any, *places: Any) -> Any:
        def code(context: Any, builder: Any, signature: Any, values: Any) -> Any:
            given = [
                context.make_array(kind)(context, builder, value).data if isinstance(kind, types.Array) else value
                for kind, value in zip(signature.args, values)
            ]
            # these bodies are long; copied into every caller, and theirs, they would take minutes to compile
            builder.function.attributes.add("noinline")
            is_pointer = [isinstance(place.type, ir.PointerType) for place in given]
            pointers = [at if known else builder.gep(given[0], [at]) for at, known in zip(given, is_pointer)]
            body(writer(builder), *pointers[1:])
            return context.get_dummy_value()

        return types.void(memory, *places), code

    # numba looks at the names of the parameters, and wants them one by one
    names = ["memory", *list(inspect.signature(body).parameters)[1:]]
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    parameters = [inspect.Parameter(name, kind) for name in ["typing_context", *names]]
    typing.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    typing.__name__ = body.__name__
    operation = _with_places(intrinsic(typing), len(names) - 1)
    operation.__name__, operation.__qualname__, operation.__doc__ = body.__name__, body.__qualname__, body.__doc__
    return njit(nogil=True)(operation)


def _with_places(code: Any, count: int) -> Any:
    """A function around an intrinsic with `count` places: numba repeats an intrinsic's code wherever it is called."""
    functions = {
        1: lambda memory, a: code(memory, a),
        2: lambda memory, a, b: code(memory, a, b),
        3: lambda memory, a, b, c: code(memory, a, b, c),
        4: lambda memory, a, b, c, d: code(memory, a, b, c, d),
        5: lambda memory, a, b, c, d, e: code(memory, a, b, c, d, e),
    }
    return functions[count]
