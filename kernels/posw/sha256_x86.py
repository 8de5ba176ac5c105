"""The SHA extensions of x86 processors for `sha256_instructions`.

A state is (F, E, B, A) and (H, G, D, C); four rounds are two dependent `sha256rnds2`.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.core import cgutils

ORDER = ((5, 4, 1, 0), (7, 6, 3, 2))
"""Words of a digest in the two vectors of a state."""

_I32 = ir.IntType(32)
_V4 = ir.VectorType(_I32, 4)


def _call(builder: Any, name: str, *arguments: Any) -> Any:
    kind = ir.FunctionType(_V4, [_V4] * len(arguments))
    return builder.call(cgutils.get_or_insert_function(builder.module, kind, f"llvm.x86.{name}"), arguments)


def _shuffle(builder: Any, a: Any, b: Any, *mask: int) -> Any:
    return builder.shuffle_vector(a, b, ir.Constant(ir.VectorType(_I32, 4), list(mask)))


def words_begun(builder: Any, a: Any, b: Any) -> Any:
    """The words of the schedule 16 places on, as far as those of `a` and the next four, `b`, give them."""
    return _call(builder, "sha256msg1", a, b)


def words_ended(builder: Any, begun: Any, c: Any, d: Any) -> Any:
    """The same with what the eight words after those give."""
    return _call(builder, "sha256msg2", builder.add(begun, _shuffle(builder, c, d, 1, 2, 3, 4)), d)


def four_rounds(builder: Any, s0: Any, s1: Any, message: Any) -> tuple[Any, Any]:
    """A state after four rounds; `message`: words of the schedule plus round constants."""
    s1 = _call(builder, "sha256rnds2", s1, s0, message)
    return _call(builder, "sha256rnds2", s0, s1, _shuffle(builder, message, message, 2, 3, 0, 1)), s1


def digest_words(builder: Any, s0: Any, s1: Any) -> tuple[Any, Any]:
    """(A, B, C, D) and (E, F, G, H) of a state."""
    return _shuffle(builder, s0, s1, 3, 2, 7, 6), _shuffle(builder, s0, s1, 1, 0, 5, 4)


def state_of(builder: Any, front: Any, back: Any) -> tuple[Any, Any]:
    """The inverse of `digest_words`."""
    return _shuffle(builder, front, back, 5, 4, 1, 0), _shuffle(builder, front, back, 7, 6, 3, 2)
