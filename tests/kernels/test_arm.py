"""Arm's instructions for AES and SHA-2, without an Arm processor.

What LLVM makes of the kernels for such a processor is read; and the kernels run here, with each of the instructions
replaced by what its manual says that it does.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from llvmlite import binding, ir

from kernels.posw import sha256_arm
from kernels.posw.sha256_constants import K
from kernels.vectors import arm, target
from tests.support.cli import ROOT

I32, I64 = ir.IntType(32), ir.IntType(64)
WORDS, BYTES, WIDE = ir.VectorType(I32, 4), ir.VectorType(ir.IntType(8), 16), ir.VectorType(I64, 2)

# -- what LLVM makes of them


@pytest.fixture(scope="module", params=["neoverse-n1", "apple-m1", "cortex-a76"])
def machine(request: pytest.FixtureRequest) -> Any:
    """LLVM's idea of a processor, for which it compiles here."""
    binding.initialize_all_targets()
    binding.initialize_all_asmprinters()
    triple = "arm64-apple-macosx11.0.0" if request.param.startswith("apple") else "aarch64-unknown-linux-gnu"
    return binding.Target.from_triple(triple).create_target_machine(cpu=request.param, opt=3)


def assembly(machine: Any, kinds: Sequence[Any], result: Any, code: Callable[..., Any]) -> str:
    """Of one function, after the passes that join instructions."""
    module = ir.Module()
    function = ir.Function(module, ir.FunctionType(result, kinds), "kernel")
    builder = ir.IRBuilder(function.append_basic_block())
    builder.ret(code(builder, *function.args))
    parsed = binding.parse_assembly(str(module))
    options = binding.create_pipeline_tuning_options(speed_level=3)
    binding.create_pass_builder(machine, options).getModulePassManager().run(
        parsed, binding.create_pass_builder(machine, options)
    )
    return str(machine.emit_assembly(parsed))


def instructions(text: str, *names: str) -> list[int]:
    return [len(re.findall(rf"^\s+{name}[.\s]", text, re.MULTILINE)) for name in names]


def test_ten_rounds_of_aes_are_their_instructions_and_two_additions(machine: Any) -> None:
    """The key of a round goes into the next one's instruction: only the first and the last are added apart."""

    def encrypt(builder: Any, state: Any, *keys: Any) -> Any:
        state = builder.xor(state, keys[0])
        for number in range(1, 11):
            state = arm.aes_round(builder, number == 10, state, keys[number])
        return state

    text = assembly(machine, [WIDE] * 12, WIDE, encrypt)
    assert instructions(text, "aese", "aesmc", "eor") == [10, 9, 2]
    assert instructions(text, "bl", "tbl") == [0, 0], "neither a call nor a table"


def test_a_block_of_sha_256_is_sixteen_pairs_and_twelve_of_its_schedule(machine: Any) -> None:
    def compress(builder: Any, s0: Any, s1: Any, *words: Any) -> Any:
        schedule = list(words)
        for group in range(16):
            message = builder.add(schedule[group], ir.Constant(WORDS, K[4 * group : 4 * group + 4]))
            s0, s1 = sha256_arm.four_rounds(builder, s0, s1, message)
            if group < 12:
                begun = sha256_arm.words_begun(builder, schedule[group], schedule[group + 1])
                schedule.append(sha256_arm.words_ended(builder, begun, schedule[group + 2], schedule[group + 3]))
        return builder.xor(s0, s1)

    text = assembly(machine, [WORDS] * 6, WORDS, compress)
    assert instructions(text, "sha256h", "sha256h2", "sha256su0", "sha256su1") == [16, 16, 12, 12]
    assert instructions(text, "bl", "ror") == [0, 0], "neither a call nor a rotation of single words"


# -- the kernels, with the instructions replaced


def _x86(builder: Any, name: str, state: Any) -> Any:
    function = ir.FunctionType(WIDE, [WIDE, WIDE])
    called = builder.module.globals.get(f"llvm.x86.aesni.{name}") or ir.Function(
        builder.module, function, f"llvm.x86.aesni.{name}"
    )
    return builder.call(called, [state, ir.Constant(WIDE, [0, 0])])


def aese(builder: Any, state: Any, key: Any) -> Any:
    """SubBytes(ShiftRows(state ^ key)): the last round of x86 without a key."""
    mixed = _x86(builder, "aesenclast", builder.bitcast(builder.xor(state, key), WIDE))
    return builder.bitcast(mixed, BYTES)


def aesmc(builder: Any, state: Any) -> Any:
    """MixColumns: a whole round of x86, before which the other two of its steps are undone."""
    undone = _x86(builder, "aesdeclast", builder.bitcast(state, WIDE))
    return builder.bitcast(_x86(builder, "aesenc", undone), BYTES)


def _parts(builder: Any, vector: Any) -> list[Any]:
    return [builder.extract_element(vector, ir.Constant(I32, place)) for place in range(4)]


def _whole(builder: Any, words: Sequence[Any]) -> Any:
    vector = ir.Constant(WORDS, ir.Undefined)
    for place, word in enumerate(words):
        vector = builder.insert_element(vector, word, ir.Constant(I32, place))
    return vector


def _turned(builder: Any, word: Any, *counts: int, shifted: int = 0) -> Any:
    """The exclusive-or of right rotations, and of a right shift."""
    total = builder.lshr(word, ir.Constant(I32, shifted)) if shifted else ir.Constant(I32, 0)
    for count in counts:
        right, left = ir.Constant(I32, count), ir.Constant(I32, 32 - count)
        total = builder.xor(total, builder.or_(builder.lshr(word, right), builder.shl(word, left)))
    return total


def _four_rounds(builder: Any, abcd: Any, efgh: Any, message: Any) -> tuple[Any, Any]:
    """FIPS 180-4, section 6.2.2."""
    a, b, c, d = _parts(builder, abcd)
    e, f, g, h = _parts(builder, efgh)
    for word in _parts(builder, message):
        choice = builder.xor(builder.and_(e, f), builder.and_(builder.not_(e), g))
        majority = builder.xor(builder.xor(builder.and_(a, b), builder.and_(a, c)), builder.and_(b, c))
        first = builder.add(builder.add(h, _turned(builder, e, 6, 11, 25)), builder.add(choice, word))
        second = builder.add(_turned(builder, a, 2, 13, 22), majority)
        a, b, c, d, e, f, g, h = builder.add(first, second), a, b, c, builder.add(d, first), e, f, g
    return _whole(builder, (a, b, c, d)), _whole(builder, (e, f, g, h))


def sha256h(builder: Any, abcd: Any, efgh: Any, message: Any) -> Any:
    return _four_rounds(builder, abcd, efgh, message)[0]


def sha256h2(builder: Any, efgh: Any, abcd: Any, message: Any) -> Any:
    return _four_rounds(builder, abcd, efgh, message)[1]


def sha256su0(builder: Any, words_0: Any, words_4: Any) -> Any:
    words = [*_parts(builder, words_0), _parts(builder, words_4)[0]]
    sigma = [_turned(builder, word, 7, 18, shifted=3) for word in words[1:]]
    return builder.add(words_0, _whole(builder, sigma))


def sha256su1(builder: Any, part: Any, words_8: Any, words_12: Any) -> Any:
    later = [*_parts(builder, words_8)[1:], *_parts(builder, words_12)]
    made = list(_parts(builder, words_12)[2:])
    for place, word in enumerate(_parts(builder, part)):
        before = _turned(builder, made[place], 17, 19, shifted=10)
        made.append(builder.add(builder.add(word, later[place]), before))
    return _whole(builder, made[2:])


def pretend() -> None:
    """From here on this process compiles for an Arm processor, whose instructions are those above."""
    found = target._host_features()
    target._host_features = lambda: found | {"sha2"}  # type: ignore[assignment]
    target.family = lambda: "arm"
    for name in ("aese", "aesmc", "sha256h", "sha256h2", "sha256su0", "sha256su1"):
        setattr(arm, name, globals()[name])


needs_aes = pytest.mark.skipif(
    target.family() != "x86" or not target.has_aes(), reason="NOT TESTED: Arm's AES is made of that of x86"
)


def as_on_arm(code: str, cache: Path) -> str:
    """Runs a script in a process that pretends, with a cache of its own: the sources are the same."""
    script = f"from tests.kernels.test_arm import pretend\npretend()\n{code}"
    finished = subprocess.run(
        [sys.executable, "-c", script],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), "NUMBA_CACHE_DIR": str(cache), target.FORCE_VARIABLE: ""},
        capture_output=True,
        text=True,
        timeout=280,
    )
    assert finished.returncode == 0, finished.stderr
    return finished.stdout.strip()


@needs_aes
def test_the_scan_on_arm_follows_the_rule(tmp_path: Path) -> None:
    code = (
        "from kernels.scan import aes\n"
        "from tests.kernels.scan import test_aes as tests\n"
        "tests.test_the_limit_itself_is_not_below_it(0)\n"
        "tests.test_the_limit_itself_is_not_below_it(77)\n"
        "print(aes.name(), tests.check_several() > 0)\n"
    )
    assert as_on_arm(code, tmp_path) == "AES instructions of Arm True"


@needs_aes
def test_chains_of_hashes_on_arm_are_sha_256(tmp_path: Path) -> None:
    code = (
        "import hashlib\n"
        "from kernels.posw import sha256, sha256_instructions, sha256_arm\n"
        "assert sha256.code is sha256_instructions and sha256_instructions.own is sha256_arm\n"
        "value = expected = bytes(range(32))\n"
        "for _ in range(50): expected = hashlib.sha256(expected).digest()\n"
        "print(sha256.chain(value, 50) == expected)\n"
    )
    assert as_on_arm(code, tmp_path) == "True"


def test_instructions_are_used_on_the_processors_that_have_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """An Arm processor has a feature of the same name as x86: the path is chosen by both."""
    for machine, features, aes, sha in (
        ("x86_64", {"aes", "sha", "sse4.1", "ssse3"}, True, True),
        ("AMD64", {"sha", "ssse3"}, False, False),
        ("aarch64", {"aes", "sha2", "neon"}, True, True),
        ("aarch64", {"neon", "sha"}, False, False),
        ("riscv64", {"aes", "sha2"}, False, False),
    ):
        monkeypatch.setattr(target.platform, "machine", lambda machine=machine: machine)
        monkeypatch.setattr(target, "_host_features", lambda features=features: frozenset(features))
        monkeypatch.delenv(target.FORCE_VARIABLE, raising=False)
        assert (target.has_aes(), target.has_sha256()) == (aes, sha), (machine, features)


def test_apples_processors_have_them_though_llvm_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(target.platform, "machine", lambda: "arm64")
    monkeypatch.setattr(target.platform, "system", lambda: "Darwin")
    monkeypatch.setattr(binding, "get_host_cpu_features", dict)
    assert target._host_features.__wrapped__() == {"aes", "sha2"}
