"""Vector types for numba: a value of type `Vector` is one LLVM vector, an operation is one LLVM instruction.

LLVM splits a vector that is wider than a register into several registers and interleaves their
instructions, so the same source serves every processor. Operations work on any element size and
length; counts and positions must be compile-time constants. Rows: a vector of 32-bit words is read as
lanes of four words (128 bits), one lane a label; a tuple of them is row after row, each in one vector a register
(prototype: `DESIGN` D1). A `shape` is a tuple of zeros, one a register: its length is known when code is made.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic, models, register_model

from kernels.vectors import target

target.variant()  # numba's target must be set before anything below is compiled

_I32 = ir.IntType(32)
_BYTE_POINTER = ir.IntType(8).as_pointer()


class Vector(types.Type):
    """The numba type of an LLVM vector of `length` unsigned integers of `bits` bits."""

    def __init__(self, bits: int, length: int) -> None:
        self.bits = bits
        self.length = length
        super().__init__(name=f"u{bits}x{length}")


def _llvm(vector: Vector) -> ir.VectorType:
    return ir.VectorType(ir.IntType(vector.bits), vector.length)


@register_model(Vector)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, data_model_manager: Any, vector: Vector) -> None:
        super().__init__(data_model_manager, vector, _llvm(vector))


def _pointer(context: Any, builder: Any, array_type: Any, array: Any, offset: Any, element: Any) -> Any:
    data = context.make_array(array_type)(context, builder, array).data
    return builder.bitcast(builder.gep(data, [offset]), element.as_pointer())


def _shuffle(builder: Any, a: Any, b: Any, mask: list[int]) -> Any:
    return builder.shuffle_vector(a, b, ir.Constant(ir.VectorType(_I32, len(mask)), mask))


def _undefined(vector: ir.VectorType) -> Any:
    return ir.Constant(vector, ir.Undefined)


def rotate_left(builder: Any, value: Any, count: int) -> Any:
    """LLVM code: rotate every element of an LLVM vector left by a constant."""
    vector = value.type
    suffix = f"v{vector.count}i{vector.element.width}"
    function = cgutils.get_or_insert_function(
        builder.module, ir.FunctionType(vector, [vector] * 3), f"llvm.fshl.{suffix}"
    )
    return builder.call(function, [value, value, ir.Constant(vector, [count] * vector.count)])


@intrinsic
def xor(_typing: Any, a: Any, b: Any) -> Any:
    """Element-wise exclusive or."""
    return a(a, b), lambda context, builder, signature, args: builder.xor(*args)


@intrinsic(prefer_literal=True)
def load(_typing: Any, array: Any, offset: Any, length: Any) -> Any:
    """`length` consecutive elements of an array, from element `offset`; aligned to one element."""
    vector = Vector(array.dtype.bitwidth, length.literal_value)

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        value = builder.load(_pointer(context, builder, signature.args[0], args[0], args[1], _llvm(vector)))
        value.align = vector.bits // 8
        return value

    return vector(array, offset, length), code


@intrinsic
def store(_typing: Any, array: Any, offset: Any, value: Any) -> Any:
    """Writes a vector to consecutive elements of an array, from element `offset`."""

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        pointer = _pointer(context, builder, signature.args[0], args[0], args[1], args[2].type)
        builder.store(args[2], pointer).align = value.bits // 8
        return context.get_dummy_value()

    return types.none(array, offset, value), code


def _load_tuple(context: Any, builder: Any, signature: Any, args: Any) -> Any:
    """The code of both intrinsics that load a tuple of vectors; how many and how long, the signature says."""
    vector, values = signature.return_type.dtype, []
    for position in range(len(signature.return_type)):
        start = builder.add(args[1], ir.Constant(args[1].type, position * vector.length))
        value = builder.load(_pointer(context, builder, signature.args[0], args[0], start, _llvm(vector)))
        value.align = vector.bits // 8
        values.append(value)
    return context.make_tuple(builder, signature.return_type, values)


@intrinsic(prefer_literal=True)
def load_many(_typing: Any, array: Any, offset: Any, count: Any, length: Any) -> Any:
    """`count` vectors of `length` elements, one behind the other from element `offset`, as a tuple."""
    loaded = types.UniTuple(Vector(array.dtype.bitwidth, length.literal_value), count.literal_value)
    return loaded(array, offset, count, length), _load_tuple


@intrinsic
def store_many(_typing: Any, array: Any, offset: Any, values: Any) -> Any:
    """The inverse of `load_many`."""
    vector = values.dtype

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        for position in range(len(values)):
            start = builder.add(args[1], ir.Constant(args[1].type, position * vector.length))
            pointer = _pointer(context, builder, signature.args[0], args[0], start, _llvm(vector))
            builder.store(builder.extract_value(args[2], position), pointer).align = vector.bits // 8
        return context.get_dummy_value()

    return types.none(array, offset, values), code


def _lanes_of(vectors: list[Any]) -> int:
    return int(vectors[0].type.count) // 4


@intrinsic
def xor_rows(_typing: Any, a: Any, b: Any) -> Any:
    """Element-wise exclusive or of two tuples of vectors."""

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        pairs = [tuple(builder.extract_value(arg, place) for arg in args) for place in range(len(a))]
        return context.make_tuple(builder, signature.return_type, [builder.xor(*pair) for pair in pairs])

    return a(a, b), code


@intrinsic
def add_rows(_typing: Any, a: Any, b: Any) -> Any:
    """Element-wise sum of two tuples of vectors."""

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        pairs = [tuple(builder.extract_value(arg, place) for arg in args) for place in range(len(a))]
        return context.make_tuple(builder, signature.return_type, [builder.add(*pair) for pair in pairs])

    return a(a, b), code


def _half(upper: bool) -> Any:
    @intrinsic
    def half(_typing: Any, rows: Any) -> Any:
        """The first, or the last, half of a tuple."""
        size = len(rows) // 2

        def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            places = range(size, 2 * size) if upper else range(size)
            values = [builder.extract_value(args[0], place) for place in places]
            return context.make_tuple(builder, signature.return_type, values)

        return types.UniTuple(rows.dtype, size)(rows), code

    return half


lower_half, upper_half = _half(False), _half(True)


@intrinsic
def joined(_typing: Any, a: Any, b: Any) -> Any:
    """Two tuples, one behind the other."""

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        values = [builder.extract_value(arg, place) for arg in args for place in range(len(a))]
        return context.make_tuple(builder, signature.return_type, values)

    return types.UniTuple(a.dtype, 2 * len(a))(a, b), code


@intrinsic(prefer_literal=True)
def offsets_of_lanes(_typing: Any, shape: Any, stride: Any, lanes: Any) -> Any:
    """`lane * stride` for every lane of `len(shape)` registers with `lanes` each, as a tuple of int64."""
    count = len(shape) * lanes.literal_value

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        wide = ir.IntType(64)
        offsets = [builder.mul(args[1], ir.Constant(wide, lane)) for lane in range(count)]
        return context.make_tuple(builder, signature.return_type, offsets)

    return types.UniTuple(types.int64, count)(shape, types.int64, lanes), code


@intrinsic(prefer_literal=True)
def load_registers(_typing: Any, array: Any, offset: Any, shape: Any, length: Any) -> Any:
    """8 rows of `len(shape)` vectors of `length` elements, one behind the other from element `offset`, as a tuple."""
    loaded = types.UniTuple(Vector(array.dtype.bitwidth, length.literal_value), 8 * len(shape))
    return loaded(array, offset, shape, length), _load_tuple


def _transpose(builder: Any, rows: list[Any]) -> list[Any]:
    """Transposes a square of lanes (lane = 4 words): row i, lane j becomes row j, lane i. 1, 2 or 4 rows."""
    if len(rows) == 1:
        return rows

    def lanes(a: Any, b: Any, picked: tuple[int, ...]) -> Any:
        return _shuffle(builder, a, b, [4 * lane + word for lane in picked for word in range(4)])

    if len(rows) == 2:
        a, b = rows
        return [lanes(a, b, (0, 2)), lanes(a, b, (1, 3))]
    a, b, c, d = rows
    low_ab, high_ab = lanes(a, b, (0, 1, 4, 5)), lanes(a, b, (2, 3, 6, 7))
    low_cd, high_cd = lanes(c, d, (0, 1, 4, 5)), lanes(c, d, (2, 3, 6, 7))
    even, odd = (0, 2, 4, 6), (1, 3, 5, 7)
    return [
        lanes(low_ab, low_cd, even),
        lanes(low_ab, low_cd, odd),
        lanes(high_ab, high_cd, even),
        lanes(high_ab, high_cd, odd),
    ]


def _squares(builder: Any, values: list[Any]) -> Iterator[tuple[int, list[Any]]]:
    """The square blocks of 8 rows of registers: (their first row, their rows), register after register."""
    registers, width = len(values) // 8, _lanes_of(values)
    for register in range(registers):
        rows = values[register::registers]
        for row in range(0, 8, width):
            yield row, rows[row : row + width]


@intrinsic
def store_rows(_typing: Any, array: Any, offset: Any, stride: Any, rows: Any) -> Any:
    """Writes the 8 rows of every lane to memory as 32 consecutive words, lane l at `offset + l * stride`.

    `rows` is a tuple: row 0 of all registers, row 1 of all, … The lanes of one register are transposed first, so that
    memory is written in whole registers.
    """

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        values = [builder.extract_value(args[3], place) for place in range(len(rows))]
        first_lane = 0
        for row, square in _squares(builder, values):
            for lane, piece in enumerate(_transpose(builder, square)):
                start = builder.add(
                    builder.add(args[1], ir.Constant(args[1].type, 4 * row)),
                    builder.mul(args[2], ir.Constant(args[2].type, first_lane + lane)),
                )
                pointer = _pointer(context, builder, signature.args[0], args[0], start, piece.type)
                builder.store(piece, pointer).align = 16
            if row + len(square) == 8:
                first_lane += len(square)
        return context.get_dummy_value()

    return types.none(array, offset, stride, rows), code


@intrinsic(prefer_literal=True)
def load_rows(_typing: Any, array: Any, offsets: Any, shape: Any) -> Any:
    """The inverse of `store_rows` for `len(shape)` registers: lane l read from word `offsets[l]`."""
    registers = len(shape)
    width = len(offsets) // registers
    vector = Vector(array.dtype.bitwidth, 4 * width)

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        by_register: list[list[Any]] = []
        for register in range(registers):
            rows: list[Any] = []
            for row in range(0, 8, width):
                pieces = []
                for lane in range(register * width, (register + 1) * width):
                    offset = builder.extract_value(args[1], lane)
                    start = builder.add(offset, ir.Constant(offset.type, 4 * row))
                    place = _pointer(context, builder, signature.args[0], args[0], start, _llvm(vector))
                    piece = builder.load(place)
                    piece.align = 16
                    pieces.append(piece)
                rows.extend(_transpose(builder, pieces))
            by_register.append(rows)
        joined_rows = [rows[row] for row in range(8) for rows in by_register]
        return context.make_tuple(builder, signature.return_type, joined_rows)

    return types.UniTuple(vector, 8 * registers)(array, offsets, shape), code


@intrinsic
def prefetch_rows(_typing: Any, array: Any, offsets: Any) -> Any:
    """Asks the memory for the two cache lines of every lane's row, without waiting for them."""
    lanes = len(offsets)

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        function = cgutils.get_or_insert_function(
            builder.module,
            ir.FunctionType(ir.VoidType(), [_BYTE_POINTER, _I32, _I32, _I32]),
            "llvm.prefetch.p0i8",
        )
        read, keep_near, data = ir.Constant(_I32, 0), ir.Constant(_I32, 3), ir.Constant(_I32, 1)
        for lane in range(lanes):
            offset = builder.extract_value(args[1], lane)
            for line in (0, 16):
                start = builder.add(offset, ir.Constant(offset.type, line))
                pointer = _pointer(context, builder, signature.args[0], args[0], start, ir.IntType(8))
                builder.call(function, [pointer, read, keep_near, data])
        return context.get_dummy_value()

    return types.none(array, offsets), code


@intrinsic
def row_offsets(_typing: Any, rows: Any, mask: Any, offset: Any, stride: Any) -> Any:
    """For every lane l: `offset + l * stride + 32 * (first word of the lane in row 4 & mask)`, as a tuple of int64."""
    registers = len(rows) // 8
    width = rows.dtype.length // 4

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        values, mask_value, start, step = args
        wide = ir.IntType(64)
        offsets = []
        for lane in range(registers * width):
            register, place = divmod(lane, width)
            selector = builder.extract_value(values, 4 * registers + register)
            first = builder.zext(builder.extract_element(selector, ir.Constant(_I32, 4 * place)), wide)
            row = builder.shl(builder.and_(first, mask_value), ir.Constant(wide, 5))
            base = builder.add(start, builder.mul(step, ir.Constant(wide, lane)))
            offsets.append(builder.add(base, row))
        return context.make_tuple(builder, signature.return_type, offsets)

    result = types.UniTuple(types.int64, registers * width)
    return result(rows, types.int64, types.int64, types.int64), code


@intrinsic
def double_round(_typing: Any, rows: Any) -> Any:
    """A double round of ChaCha on 4 rows of registers, instruction by instruction in all registers: each waits for the
    one before, so that several registers in lock step hide what an instruction takes."""
    registers = len(rows) // 4

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        values = [builder.extract_value(args[0], place) for place in range(len(rows))]
        a, b, c, d = (values[row * registers : (row + 1) * registers] for row in range(4))

        def turned(vectors: list[Any], count: int) -> list[Any]:
            size = vectors[0].type.count
            mask = [lane + (word + count) % 4 for lane in range(0, size, 4) for word in range(4)]
            return [_shuffle(builder, one, _undefined(one.type), mask) for one in vectors]

        def added(one: list[Any], other: list[Any]) -> list[Any]:
            return [builder.add(*pair) for pair in zip(one, other, strict=True)]

        def mixed(one: list[Any], other: list[Any], count: int) -> list[Any]:
            both = [builder.xor(*pair) for pair in zip(one, other, strict=True)]
            return [rotate_left(builder, value, count) for value in both]

        for diagonal in (False, True):
            if diagonal:
                b, c, d = turned(b, 1), turned(c, 2), turned(d, 3)
            a = added(a, b)
            d = mixed(d, a, 16)
            c = added(c, d)
            b = mixed(b, c, 12)
            a = added(a, b)
            d = mixed(d, a, 8)
            c = added(c, d)
            b = mixed(b, c, 7)
        b, c, d = turned(b, 3), turned(c, 2), turned(d, 1)
        return context.make_tuple(builder, signature.return_type, [*a, *b, *c, *d])

    return rows(rows), code
