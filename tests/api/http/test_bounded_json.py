"""A look at JSON before it is parsed: by bytes, in time that does not grow faster than they do."""

from __future__ import annotations

import asyncio
import json
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.http.bounded_json import LOOKED_AT_ONCE, JsonLimits, TooComplex, check, parsed

FEW = JsonLimits(members=10, depth=3)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b'{"a":[1,{"b":2}]}',
        b"[1,2,3,4,5,6,7,8,9,10]",
        b'{"text":"' + b"[{,:" * 1000 + b'"}',
        b'{"text":"' + b'\\"[' * 15 + b'"}',
        b"9" * 5000,
    ],
)
def test_small_documents_pass(body: bytes) -> None:
    check(body, FEW)


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"[" * 4, "nested more than 3 deep"),
        (b'{"a":' * 4, "nested more than 3 deep"),
        (b'[[[["a"]]]]', "nested more than 3 deep"),
        (b"[" + b"1," * 31 + b"1]", "more than 10 members"),
        (b"[" + b"[]," * 20 + b"1]", "more than 10 members"),
        (b"[" + b'"",' * 40 + b"1]", "more than 10 members"),
        (b"{" + b'"":0,' * 40 + b'"":0}', "more than 10 members"),
    ],
)
def test_what_would_cost_much_is_refused(body: bytes, why: str) -> None:
    with pytest.raises(TooComplex, match=why):
        check(body, FEW)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(alphabet='ab"\\[]{},:', max_size=12),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=4),
    max_leaves=12,
)


def depth(value: object) -> int:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return 0 if inner is None else 1 + max(map(depth, inner), default=0)


@given(VALUES)
def test_the_depth_is_that_of_the_document_whatever_its_texts_hold(value: object) -> None:
    body = json.dumps(value).encode()
    found = depth(value)
    check(body, JsonLimits(depth=max(found, 1)))
    if found > 1:
        with pytest.raises(TooComplex, match="nested"):
            check(body, JsonLimits(depth=found - 1))


def test_large_documents_are_read_in_another_thread_one_after_another() -> None:
    threads: list[int] = []

    def read(body: bytes) -> int:
        threads.append(threading.get_ident())
        return len(body)

    async def main() -> list[int]:
        sizes = (10, LOOKED_AT_ONCE, LOOKED_AT_ONCE + 1, LOOKED_AT_ONCE * 2)
        return [await parsed(read, bytes(size)) for size in sizes]

    assert asyncio.run(main()) == [10, LOOKED_AT_ONCE, LOOKED_AT_ONCE + 1, LOOKED_AT_ONCE * 2]
    here = threading.get_ident()
    assert threads[:2] == [here, here] and here not in threads[2:] and threads[2] == threads[3]
