"""Arm's SHA-256 instructions for `sha256_instructions`.

A state is (A, B, C, D) and (E, F, G, H), as in a digest; four rounds are a `sha256h` and a `sha256h2`.
"""

from __future__ import annotations

from typing import Any

from kernels.vectors import arm

ORDER = ((0, 1, 2, 3), (4, 5, 6, 7))
"""Words of a digest in the two vectors of a state."""


def words_begun(builder: Any, a: Any, b: Any) -> Any:
    """The words of the schedule 16 places on, as far as those of `a` and the next four, `b`, give them."""
    return arm.sha256su0(builder, a, b)


def words_ended(builder: Any, begun: Any, c: Any, d: Any) -> Any:
    """The same with what the eight words after those give."""
    return arm.sha256su1(builder, begun, c, d)


def four_rounds(builder: Any, s0: Any, s1: Any, message: Any) -> tuple[Any, Any]:
    """A state after four rounds; `message`: words of the schedule plus round constants."""
    return arm.sha256h(builder, s0, s1, message), arm.sha256h2(builder, s1, s0, message)


def digest_words(builder: Any, s0: Any, s1: Any) -> tuple[Any, Any]:
    """(A, B, C, D) and (E, F, G, H) of a state."""
    return s0, s1


def state_of(builder: Any, front: Any, back: Any) -> tuple[Any, Any]:
    """The inverse of `digest_words`."""
    return front, back
