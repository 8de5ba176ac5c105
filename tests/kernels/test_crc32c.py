"""CRC-32C against published values and against itself bit by bit."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kernels import crc32c as crc
from kernels.crc32c import POLYNOMIAL, crc32c, first_end


def bit_by_bit(data: bytes) -> int:
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (POLYNOMIAL if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


@pytest.mark.parametrize(
    ("data", "checksum"),
    [
        (b"123456789", 0xE3069283),
        # RFC 3720, B.4
        (bytes(32), 0x8A9136AA),
        (b"\xff" * 32, 0x62A8AB43),
        (bytes(range(32)), 0x46DD794E),
        (b"", 0),
    ],
)
def test_known_answers(data: bytes, checksum: int) -> None:
    assert crc32c(data) == checksum == bit_by_bit(data)


@given(st.binary(max_size=100), st.integers(0, 100))
def test_pieces_make_the_whole(data: bytes, cut: int) -> None:
    assert crc32c(data[:cut], data[cut:]) == crc32c(data) == bit_by_bit(data)


@given(st.binary(max_size=3), st.binary(min_size=1, max_size=60), st.integers(0, 60))
def test_the_end_that_a_checksum_covers_is_found(start: bytes, data: bytes, end: int) -> None:
    found = first_end(start, data, crc32c(start, data[:end]))
    assert found is not None and found <= end and crc32c(start, data[:found]) == crc32c(start, data[:end])
    assert first_end(start, data, bit_by_bit(start + data + b"other") ^ 1) in (None, *range(len(data) + 1))


@settings(deadline=None)  # it is compiled in the first case
@given(st.binary(min_size=1, max_size=60), st.integers(0, 60))
def test_compiled_and_by_hand_are_the_same(data: bytes, end: int) -> None:
    answers = []
    for left in (crc.BY_HAND, 0):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(crc, "_by_hand", [left])
            answers.append((crc32c(data), first_end(data[:3], data, crc32c(data[:3], data[:end]))))
    assert answers[0] == answers[1]
