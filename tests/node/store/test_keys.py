"""Keys sort as bytes as they do as values, and come back."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.store.keys import KeyCodec, compound, fixed, successor, tail, text_tail, u8, u16, u32, u32_descending, u64
from node.store.own import Kind, Slot, SlotKey
from node.store.view import Span

KINDS: dict[str, tuple[KeyCodec[Any], st.SearchStrategy[Any]]] = {
    "u8": (u8, st.integers(0, 255)),
    "u32": (u32, st.integers(0, 2**32 - 1)),
    "u64": (u64, st.integers(0, 2**64 - 1)),
    "fixed": (fixed(3), st.binary(min_size=3, max_size=3)),
    "tail": (tail, st.binary(max_size=4)),
    "compound": (
        compound(fixed(2), u16, tail),
        st.tuples(st.binary(min_size=2, max_size=2), st.integers(0, 65535), st.binary(max_size=3)),
    ),
    "slot": (
        SlotKey(),
        st.builds(
            Slot,
            st.binary(min_size=32, max_size=32),
            st.sampled_from(Kind),
            st.integers(0, 2**32 - 1),
            st.integers(0, 2**32 - 1),
        ),
    ),
}


@pytest.mark.parametrize("kind", KINDS)
@given(data=st.data())
def test_keys_sort_as_their_bytes_and_come_back(kind: str, data: st.DataObject) -> None:
    codec, values = KINDS[kind]
    a, b = data.draw(values), data.draw(values)
    assert codec.decode(codec.encode(a)) == a
    assert (codec.encode(a) < codec.encode(b)) is (a < b)
    assert codec.size is None or len(codec.encode(a)) == codec.size


@given(st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1))
def test_the_greatest_comes_first_where_keys_descend(a: int, b: int) -> None:
    assert u32_descending.decode(u32_descending.encode(a)) == a
    assert (u32_descending.encode(a) < u32_descending.encode(b)) is (a > b)


@given(st.text(max_size=5), st.text(max_size=5))
def test_texts_sort_as_their_code_points(a: str, b: str) -> None:
    assert text_tail.decode(text_tail.encode(a)) == a
    assert (text_tail.encode(a) < text_tail.encode(b)) is (a < b)


@pytest.mark.parametrize(
    ("codec", "key"),
    [
        (u8, 256),
        (u8, -1),
        (u32_descending, -1),
        (u32_descending, 2**32),
        (u64, 2**64),
        (fixed(2), b"a"),
        (compound(u8, u8), (1,)),
        (compound(u8, u8), (1, 2, 3)),
    ],
)
def test_a_key_that_does_not_fit_is_refused(codec: KeyCodec[Any], key: Any) -> None:
    with pytest.raises(ValueError, match="key"):
        codec.encode(key)


@pytest.mark.parametrize(
    ("codec", "data"), [(u16, b"a"), (fixed(2), b"abc"), (compound(u8, u8), b"abc"), (SlotKey(), bytes(41))]
)
def test_bytes_that_are_no_key_are_refused(codec: KeyCodec[Any], data: bytes) -> None:
    with pytest.raises(ValueError, match=r"key|Kind"):
        codec.decode(data)


def test_only_the_last_part_may_be_of_any_length() -> None:
    with pytest.raises(ValueError, match="last part"):
        compound(tail, u8)


@given(st.binary(max_size=3), st.binary(max_size=4))
def test_the_successor_is_above_everything_with_the_prefix_and_nothing_else(prefix: bytes, key: bytes) -> None:
    above = successor(prefix)
    is_below = above is None or key < above
    assert (prefix <= key and is_below) is key.startswith(prefix)


def test_a_span_is_cut_by_all_of_its_bounds() -> None:
    codec = compound(fixed(1), u8)
    assert Span().bounds(codec) == (b"", None)
    assert Span(within=(b"a",)).bounds(codec) == (b"a", b"b")
    assert Span(within=(b"a",), start=(b"a", 3), last=(b"a", 5)).bounds(codec) == (b"a\3", b"a\6")
    assert Span(within=(b"a",), stop=(b"z",)).bounds(codec) == (b"a", b"b")
    assert Span(start=(b"a", 255), last=(b"\xff", 255)).bounds(codec) == (b"a\xff", None)
