"""Whatever is published as a document: it is read, or refused by name. What is read can be told again."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from node.bootstrap.document import VERSION, read, required_epochs
from node.bootstrap.errors import DocumentRefused
from protocol.numbers.layers import NetworkTime
from protocol.types.ids import EpochId

REASONS = {"json", "schema", "version", "beacon"}
WORDS = st.sampled_from(["version", "data", "epoch", "number", "beacon", "activeSet", VERSION, "0x", "ab" * 32, "zz"])
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | WORDS
ANYTHING = st.recursive(
    SCALARS, lambda inner: st.lists(inner) | st.dictionaries(WORDS | st.text(), inner), max_leaves=20
)
EPOCH = st.fixed_dictionaries(
    {}, optional={"number": SCALARS, "beacon": SCALARS, "activeSet": ANYTHING, "more": ANYTHING}
)
DOCUMENTS = st.fixed_dictionaries(
    {"version": st.just(VERSION) | SCALARS, "data": st.fixed_dictionaries({"epoch": EPOCH | ANYTHING}) | ANYTHING}
)


def judged(data: bytes) -> str:
    try:
        found = read(data)
    except DocumentRefused as error:
        assert error.reason in REASONS and len(str(error)) < 400
        return error.reason
    assert 0 <= found.epoch < 1 << 32
    assert found.beacon is None or len(found.beacon) == 4
    assert all(len(id) == 32 for id in found.active_set)
    return ""


@given(st.binary())
def test_bytes_of_any_kind(data: bytes) -> None:
    judged(data)


@given(ANYTHING | DOCUMENTS)
def test_json_of_any_kind(document: Any) -> None:
    judged(json.dumps(document).encode())


@given(
    st.integers(0, (1 << 32) - 1),
    st.binary(min_size=4, max_size=40).filter(lambda beacon: any(beacon[:4])),
    st.lists(st.binary(min_size=32, max_size=32), unique=True),
)
def test_what_is_written_is_read(epoch: int, beacon: bytes, ids: list[bytes]) -> None:
    said = {"number": epoch, "beacon": beacon.hex(), "activeSet": ["0x" + id.hex() for id in ids]}
    found = read(json.dumps({"version": VERSION, "data": {"epoch": said}}).encode())
    assert (found.epoch, found.beacon, list(found.active_set)) == (epoch, beacon[:4], ids)


def test_spaces_make_an_id_that_names_nothing() -> None:
    said = {"beacon": "01020304", "activeSet": ["ab" * 31 + " ab"]}
    assert read(json.dumps({"version": VERSION, "data": {"epoch": said}}).encode()).active_set == (bytes(32),)


@given(st.integers(0, 1 << 20), st.integers(1, 1 << 20))
def test_documents_are_asked_for_around_the_present(current: int, restored: int) -> None:
    found = required_epochs(NetworkTime(0, 1, 10, restored), EpochId(current))
    assert list(found) == sorted(set(found)) and all(abs(epoch - current) <= 1 for epoch in found)
    assert current < 2 or {current, current + 1} <= set(found)
