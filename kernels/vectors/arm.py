"""Arm's instructions for AES and SHA-2 as LLVM code: one function an instruction, named as in its manual.

All 64-bit Arm processors of the last ten years have them (extensions FEAT_AES, FEAT_SHA256), bar the Raspberry Pi 4.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.core import cgutils

_BYTES = ir.VectorType(ir.IntType(8), 16)


def _call(builder: Any, name: str, *arguments: Any) -> Any:
    kind = arguments[0].type
    function = ir.FunctionType(kind, [kind] * len(arguments))
    return builder.call(
        cgutils.get_or_insert_function(builder.module, function, f"llvm.aarch64.crypto.{name}"), arguments
    )


def aese(builder: Any, state: Any, key: Any) -> Any:
    """ShiftRows and SubBytes of state ^ key: <16 x i8>."""
    return _call(builder, "aese", state, key)


def aesmc(builder: Any, state: Any) -> Any:
    """MixColumns of a state: <16 x i8>."""
    return _call(builder, "aesmc", state)


def sha256h(builder: Any, abcd: Any, efgh: Any, message: Any) -> Any:
    """A, B, C, D after four rounds; `message`: four words of the schedule plus round constants. <4 x i32> all."""
    return _call(builder, "sha256h", abcd, efgh, message)


def sha256h2(builder: Any, efgh: Any, abcd: Any, message: Any) -> Any:
    """E, F, G, H after four rounds; `abcd` as it was before them."""
    return _call(builder, "sha256h2", efgh, abcd, message)


def sha256su0(builder: Any, words_0: Any, words_4: Any) -> Any:
    """Words 0 to 3 of the schedule plus σ0 of words 1 to 4."""
    return _call(builder, "sha256su0", words_0, words_4)


def sha256su1(builder: Any, part: Any, words_8: Any, words_12: Any) -> Any:
    """Words 16 to 19: `part` from `sha256su0`, plus words 9 to 12, plus σ1 of words 14 to 17."""
    return _call(builder, "sha256su1", part, words_8, words_12)


def aes_round(builder: Any, last: bool, state: Any, key: Any) -> Any:
    """One round as x86 has it: the key is added at the end. LLVM joins it with the next round's `aese`."""
    zero = ir.Constant(_BYTES, [0] * 16)
    mixed = aese(builder, builder.bitcast(state, _BYTES), zero)
    if not last:
        mixed = aesmc(builder, mixed)
    return builder.xor(builder.bitcast(mixed, state.type), key)
