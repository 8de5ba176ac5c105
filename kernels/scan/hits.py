"""What the paths of the proving scan share: bits of a mask, and how a good label is numbered."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import njit
from numba.core import cgutils, types
from numba.extending import intrinsic

_I64 = ir.IntType(64)


@intrinsic
def trailing_zeros(_typing: Any, value: Any) -> Any:
    """Zero bits below the lowest one bit."""

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        function = cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(_I64, [_I64, ir.IntType(1)]), "llvm.cttz.i64"
        )
        return builder.call(function, [args[0], ir.Constant(ir.IntType(1), 0)])

    return types.int64(types.uint64), code


@njit(nogil=True)
def add_hit(hits, count, label, nonce, groups, group):  # type: ignore[no-untyped-def]
    """Good labels are numbered so that their numbers ascend in the order (chunk of 8, group, label, nonce)."""
    hits[count] = (((label >> 3) * groups + group) * 8 + (label & 7)) * 16 + nonce
