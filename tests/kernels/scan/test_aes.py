"""AES of the proving pass: known answers, and every path against plain AES, one label and one nonce after another.

A path belongs to the instructions that a process may use, so those that this process does not take run in others.
"""

from __future__ import annotations

import functools
import json
import os
import random
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from kernels.scan import aes
from kernels.scan import scalar as aes_scalar
from kernels.scan import sliced as aes_sliced
from kernels.scan.scalar import before_last_substitution, encryptor, expand_key
from kernels.vectors import target
from tests.support.cli import ROOT, environment

ALL_56 = (1 << 56) - 1
OTHER_PATHS = ["portable"]
if "avx2" in target.supported_variants():
    OTHER_PATHS = [*target.supported_variants(), "avx2-vaes", "avx2-aes-vaes"]


def test_known_answers_of_the_standard() -> None:
    """FIPS 197, appendices A.1 (last round key) and C.1."""
    assert expand_key(bytes.fromhex("2b7e151628aed2a6abf7158809cf4f3c"))[10].hex() == "d014f9a8c9ee2589e13f0cc8b6630ca6"
    cipher = encryptor(bytes(range(16)))
    assert cipher(bytes.fromhex("00112233445566778899aabbccddeeff")).hex() == "69c4e0d86a7b0430d8cdb78070b4c55a"


@pytest.mark.parametrize("result", [0, 1, 0x63, 255])
def test_the_state_before_the_last_substitution(result: int) -> None:
    key = bytes(range(16))
    state, table = before_last_substitution(key, result), aes_scalar.sbox()
    substituted = bytes(table[byte] for byte in state)
    moved = bytes(substituted[byte * 5 % 16] for byte in range(16))
    assert bytes(a ^ b for a, b in zip(moved, expand_key(key)[10])) == bytes([result] * 16)


def expected(labels: bytes, count: int, groups: list[bytes], lazy: list[bytes], msb: int, lsb: int) -> list[int]:
    """The rule of protocol 01-post, section 5.3, in the order of the pass."""
    found = []
    outer, inner = [encryptor(key) for key in groups], [encryptor(key) for key in lazy]
    for label in range(count):
        block = labels[16 * label : 16 * label + 16]
        for group, cipher in enumerate(outer):
            for nonce, value in enumerate(cipher(block)):
                low = int.from_bytes(inner[16 * group + nonce](block)[:7], "little") if value == msb else 0
                if value < msb or (value == msb and low < lsb):
                    found.append(((label // 8 * len(groups) + group) * 8 + label % 8) * 16 + nonce)
    return sorted(found)


def check(count: int, groups: int, msb: int, lsb: int, seed: int) -> int:
    """The scan of this process against the rule; the number of good labels."""
    source = random.Random(seed)
    keys = [source.randbytes(16) for _ in range(groups)]
    lazy = [source.randbytes(16) for _ in range(16 * groups)]
    labels = source.randbytes(16 * count) + bytes(16 * (-count % aes.STEP))
    scanner = aes.Scanner(keys, lazy, msb, lsb)
    found = scanner.good(np.frombuffer(labels, np.uint64).copy(), count, scanner.room()).tolist()
    assert found == expected(labels, count, keys, lazy, msb, lsb)
    return len(found)


def check_several() -> int:
    """What every path has to get right: few labels and many, borders of the steps, top bytes that are used or not."""
    total = check(1, 1, 0, ALL_56, 1) + check(8, 2, 1, 1 << 55, 2)
    total += check(515, 3, 0, 1 << 54, 3) + check(777, 1, 7, 12345 << 40, 4)
    total += check(200, 2, 255, ALL_56, 5) + check(64, 1, 128, 0, 6)
    return total + check(5000, 1, 0, 1 << 55, 7)  # bit-sliced: more candidates for a nonce than a slice has


@settings(max_examples=25, deadline=None)
@given(
    count=st.integers(0, 700),
    groups=st.integers(1, 4),
    msb=st.sampled_from([0, 0, 1, 3, 200, 255]),
    lsb=st.integers(0, ALL_56),
    seed=st.integers(0, 1 << 32),
)
@example(count=8, groups=1, msb=0, lsb=0, seed=0)
def test_the_scan_follows_the_rule(count: int, groups: int, msb: int, lsb: int, seed: int) -> None:
    check(count, groups, msb, lsb, seed)


@pytest.mark.parametrize("msb", [0, 77])
def test_the_limit_itself_is_not_below_it(msb: int) -> None:
    source = random.Random(msb)
    keys, lazy = [source.randbytes(16)], [source.randbytes(16) for _ in range(16)]
    labels = source.randbytes(16 * aes.STEP)
    lows = sorted(
        int.from_bytes(encryptor(lazy[nonce])(labels[at : at + 16])[:7], "little")
        for at in range(0, len(labels), 16)
        for nonce, value in enumerate(encryptor(keys[0])(labels[at : at + 16]))
        if value == msb
    )
    array = np.frombuffer(labels, np.uint64).copy()
    for place, low in enumerate(lows):
        for lsb, more in ((low, 0), (low + 1, 1)):
            scanner = aes.Scanner(keys, lazy, msb, lsb)
            found = scanner.good(array, aes.STEP, scanner.room())
            below = int((np.frombuffer(_encrypted(keys[0], labels), np.uint8) < msb).sum())
            assert len(found) == below + place + more


def _encrypted(key: bytes, labels: bytes) -> bytes:
    cipher = encryptor(key)
    return b"".join(cipher(labels[at : at + 16]) for at in range(0, len(labels), 16))


@functools.cache
def in_a_child(forced: str) -> dict[str, object]:
    """Name of the path that a process takes, and how many good labels it found."""
    script = (
        "import json; from kernels.scan import aes; from tests.kernels.scan import test_aes as tests; "
        "tests.test_the_limit_itself_is_not_below_it(0); tests.test_the_limit_itself_is_not_below_it(77); "
        "print(json.dumps({'path': aes.name(), 'good': tests.check_several()}))"
    )
    finished = subprocess.run(
        [sys.executable, "-c", script],
        cwd=ROOT,
        env=environment(**{target.FORCE_VARIABLE: forced}),
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert finished.returncode == 0, finished.stderr
    found: dict[str, object] = json.loads(finished.stdout)
    return found


@pytest.mark.parametrize("forced", OTHER_PATHS)
def test_every_path_follows_the_rule(forced: str) -> None:
    found = in_a_child(forced)
    assert found["good"] == check_several()
    if forced in ("portable", "avx2-aes-vaes"):
        assert str(found["path"]).startswith("bit-sliced")


def test_the_paths_are_different_ones() -> None:
    paths = {in_a_child(forced)["path"] for forced in OTHER_PATHS}
    assert len(paths) > 1 or len(OTHER_PATHS) == 1


def test_a_feature_is_left_out_of_the_middle_variant_only() -> None:
    script = "from kernels.vectors import target; target.variant()"
    for forced, said in (("avx512-vaes", "cannot be left out"), ("avx2-sse2", "cannot be left out"), ("no-vaes", "no")):
        finished = subprocess.run(
            [sys.executable, "-c", script],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT), target.FORCE_VARIABLE: forced},
            capture_output=True,
            text=True,
        )
        assert finished.returncode != 0 and said in finished.stderr.splitlines()[-1]


def test_planes_and_back() -> None:
    """Every label stands where `label_of` says, with its bits in the planes of their numbers."""
    source = np.random.default_rng(3)
    labels = source.integers(0, 1 << 64, 2 * aes_sliced.SLICE, dtype=np.uint64)
    planes = np.empty(aes_sliced.STATE, np.uint64)
    aes_sliced.to_planes(labels, np.int64(0), planes)
    rows = planes.reshape(aes_sliced.PLANES, aes_sliced.LANES)
    seen = set()
    for lane in range(aes_sliced.LANES):
        for bit in range(0, 64, 7):
            label = int(aes_sliced.label_of(lane, bit))
            seen.add(label)
            number = int(labels[2 * label]) | int(labels[2 * label + 1]) << 64
            found = sum((int(rows[plane, lane]) >> bit & 1) << plane for plane in range(aes_sliced.PLANES))
            assert found == number
    assert len(seen) == 10 * aes_sliced.LANES


def test_a_step_needs_no_more_room_than_there_is() -> None:
    """Where all labels are good the hits come in several turns."""
    scanner = aes.Scanner([bytes(16)], [bytes([number]) * 16 for number in range(16)], 255, ALL_56)
    labels = np.random.default_rng(1).integers(0, 1 << 64, 2 * 4 * aes.STEP * 16, dtype=np.uint64)
    count = len(labels) // 2
    good = scanner.good(labels, count, scanner.room())
    assert len(good) == 16 * count and (np.diff(good.astype(np.int64)) > 0).all()
