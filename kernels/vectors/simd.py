"""Vector types for numba: a value of type `Vector` is one LLVM vector, an operation is one LLVM instruction.

LLVM splits a vector that is wider than a register into several registers and interleaves their
instructions, so the same source serves every processor. Operations work on any element size and
length; counts and positions must be compile-time constants. Rows: a vector of 32-bit words is read as
lanes of four words (128 bits), one lane a label (prototype: `DESIGN` D1).
"""

from __future__ import annotations

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
def add(_typing: Any, a: Any, b: Any) -> Any:
    """Element-wise sum, modulo 2^bits."""
    return a(a, b), lambda context, builder, signature, args: builder.add(*args)


@intrinsic
def xor(_typing: Any, a: Any, b: Any) -> Any:
    """Element-wise exclusive or."""
    return a(a, b), lambda context, builder, signature, args: builder.xor(*args)


@intrinsic(prefer_literal=True)
def rotl(_typing: Any, a: Any, count: Any) -> Any:
    """Every element rotated left by the constant `count` bits."""
    amount = count.literal_value
    return a(a, count), lambda context, builder, signature, args: rotate_left(builder, args[0], amount)


@intrinsic(prefer_literal=True)
def rotate_words(_typing: Any, a: Any, count: Any) -> Any:
    """The four words of every lane moved `count` places towards the front, cyclically."""
    mask = [lane + (word + count.literal_value) % 4 for lane in range(0, a.length, 4) for word in range(4)]

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return _shuffle(builder, args[0], _undefined(args[0].type), mask)

    return a(a, count), code


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


@intrinsic(prefer_literal=True)
def load_many(_typing: Any, array: Any, offset: Any, count: Any, length: Any) -> Any:
    """`count` vectors of `length` elements, one behind the other from element `offset`, as a tuple."""
    vector = Vector(array.dtype.bitwidth, length.literal_value)
    number = count.literal_value

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        values = []
        for position in range(number):
            start = builder.add(args[1], ir.Constant(args[1].type, position * vector.length))
            value = builder.load(_pointer(context, builder, signature.args[0], args[0], start, _llvm(vector)))
            value.align = vector.bits // 8
            values.append(value)
        return context.make_tuple(builder, signature.return_type, values)

    return types.UniTuple(vector, number)(array, offset, count, length), code


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


@intrinsic(prefer_literal=True)
def lane_offsets(_typing: Any, start: Any, stride: Any, lanes: Any) -> Any:
    """`start + lane * stride` for every lane, as a tuple of int64."""
    count = lanes.literal_value

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        wide = ir.IntType(64)
        offsets = [builder.add(args[0], builder.mul(args[1], ir.Constant(wide, lane))) for lane in range(count)]
        return context.make_tuple(builder, signature.return_type, offsets)

    return types.UniTuple(types.int64, count)(types.int64, types.int64, lanes), code


def _registers(lanes: int) -> int:
    """How many of the lanes of a vector share one register, in the variant in use."""
    return min(lanes, target.variant().registers // 128)


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


@intrinsic
def store_rows(_typing: Any, array: Any, offset: Any, stride: Any, rows: Any) -> Any:
    """Writes the 8 rows of every lane to memory as 32 consecutive words, lane l at `offset + l * stride`.

    The lanes of one register are transposed first, so that memory is written in whole registers.
    """
    vector = rows.dtype
    lanes = vector.length // 4
    width = _registers(lanes)

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        values = [builder.extract_value(args[3], row) for row in range(8)]
        part_type = ir.VectorType(_I32, 4 * width)
        for part in range(0, lanes, width):
            mask = list(range(4 * part, 4 * (part + width)))
            pieces = [_shuffle(builder, value, _undefined(value.type), mask) for value in values]
            for row in range(0, 8, width):
                for lane, piece in enumerate(_transpose(builder, pieces[row : row + width])):
                    start = builder.add(
                        builder.add(args[1], ir.Constant(args[1].type, 4 * row)),
                        builder.mul(args[2], ir.Constant(args[2].type, part + lane)),
                    )
                    pointer = _pointer(context, builder, signature.args[0], args[0], start, part_type)
                    builder.store(piece, pointer).align = 16
        return context.get_dummy_value()

    return types.none(array, offset, stride, rows), code


@intrinsic
def load_rows(_typing: Any, array: Any, offsets: Any) -> Any:
    """The inverse of `store_rows`: the 8 rows of every lane, lane l read from word `offsets[l]`."""
    lanes = len(offsets)
    vector = Vector(array.dtype.bitwidth, 4 * lanes)
    width = _registers(lanes)

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        part_type = ir.VectorType(_I32, 4 * width)
        parts: list[list[Any]] = []
        for part in range(0, lanes, width):
            rows: list[Any] = []
            for row in range(0, 8, width):
                pieces = []
                for lane in range(part, part + width):
                    offset = builder.extract_value(args[1], lane)
                    start = builder.add(offset, ir.Constant(offset.type, 4 * row))
                    piece = builder.load(_pointer(context, builder, signature.args[0], args[0], start, part_type))
                    piece.align = 16
                    pieces.append(piece)
                rows.extend(_transpose(builder, pieces))
            parts.append(rows)
        joined = []
        for row in range(8):
            pieces = [rows[row] for rows in parts]
            while len(pieces) > 1:
                mask = list(range(2 * pieces[0].type.count))
                pieces = [_shuffle(builder, a, b, mask) for a, b in zip(pieces[::2], pieces[1::2], strict=True)]
            joined.append(pieces[0])
        return context.make_tuple(builder, signature.return_type, joined)

    return types.UniTuple(vector, 8)(array, offsets), code


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
def row_offsets(_typing: Any, selector: Any, mask: Any, offset: Any, stride: Any) -> Any:
    """For every lane l: `offset + l * stride + 32 * (first word of the lane & mask)`, as a tuple of int64."""
    lanes = selector.length // 4

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        value, mask_value, start, step = args
        wide = ir.IntType(64)
        offsets = []
        for lane in range(lanes):
            first = builder.zext(builder.extract_element(value, ir.Constant(_I32, 4 * lane)), wide)
            row = builder.shl(builder.and_(first, mask_value), ir.Constant(wide, 5))
            base = builder.add(start, builder.mul(step, ir.Constant(wide, lane)))
            offsets.append(builder.add(base, row))
        return context.make_tuple(builder, signature.return_type, offsets)

    result = types.UniTuple(types.int64, lanes)
    return result(selector, types.int64, types.int64, types.int64), code
