"""Two sides that compare their keys: afterwards each has what the other had, whatever the sets; and no peer harms."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.p2p.rangesync.keys import NO_FINGERPRINT, KeySet
from node.p2p.rangesync.reconcile import ReconcileParameters, Reconciler, similarity
from node.p2p.wire.errors import LIMIT, MALFORMED, WireError
from protocol.types.ids import Hash32
from protocol.types.rangesync import (
    MAX_SAMPLE,
    MESSAGE,
    Done,
    EmptyRange,
    EmptySet,
    EndRound,
    Fingerprint,
    ItemBatch,
    Probe,
    Sample,
)


def letter(one: str) -> bytes:
    return one.encode().ljust(32, b"\0")


def run(first: Reconciler, second: Reconciler, x: bytes | None = None, y: bytes | None = None) -> int:
    """How many turns there were, those of both sides."""
    data, turns, sides = first.begin(x, y), 1, [second, first]
    while data:
        data = sides[0].feed(data)
        sides.reverse()
        turns += bool(data)
    first.ended()
    second.ended()
    return turns


ROUNDS = [
    ("", "abcd", None, "abcd", "abcd", (2, 2, 2, 2)),
    ("ab", "cd", None, "abcd", "abcd", (3, 2, 2, 2)),
    ("acdefghijklmn", "bcdopqr", None, "abcdefghijklmnopqr", "abcdefghijklmnopqr", (4, 4, 3, 3)),
    ("acdefghijklmn", "bcdopqr", "ah", "abcdefghijklmn", "abcdefgopqr", (3, 3, 2, 2)),
    ("acdefghijklmn", "bcdopqr", "ha", "acdefghijklmnopqr", "bcdhijklmnopqr", (4, 3, 3, 2)),
    ("bcd", "a", None, "abcd", "abcd", (2, 2, 2, 2)),
]
"""Protocol 09a, section 7: the sets, the range, the sets afterwards, the rounds with 1 to 4 keys of a range sent."""


@pytest.mark.parametrize(("a", "b", "ends", "then_a", "then_b", "rounds"), ROUNDS)
def test_known_sets_take_the_rounds_that_are_known(
    a: str, b: str, ends: str | None, then_a: str, then_b: str, rounds: tuple[int, ...]
) -> None:
    x, y = (letter(ends[0]), letter(ends[1])) if ends else (None, None)
    for send_range, expected in enumerate(rounds, 1):
        parameters = ReconcileParameters(send_range=send_range)
        first = Reconciler(KeySet(map(letter, a)), parameters)
        second = Reconciler(KeySet(map(letter, b)), parameters)
        assert -(-run(first, second, x, y) // 2) == expected
        assert {*map(letter, a), *first.received} == set(map(letter, then_a))
        assert {*map(letter, b), *second.received} == set(map(letter, then_b))


def sets(rng: random.Random) -> tuple[list[bytes], list[bytes]]:
    begins = [rng.randbytes(1) for _ in range(rng.randrange(1, 8))]
    pool = [rng.choice(begins) + rng.randbytes(rng.choice([11, 31])) for _ in range(rng.randrange(60))]
    pool = [key.ljust(32, b"\0") for key in pool]
    return [one for one in pool if rng.random() < 0.8], [one for one in pool if rng.random() < 0.8]


@given(st.integers(0, 1 << 32))
def test_afterwards_both_have_all(seed: int) -> None:
    rng = random.Random(seed)
    ours, theirs = sets(rng)

    def parameters() -> ReconcileParameters:
        return ReconcileParameters(
            send_range=rng.randrange(1, 20),
            chunk=rng.randrange(1, 20),
            sample=rng.randrange(1, 30),
            max_difference=rng.choice([None, 0.0, 0.3]),
            recent_span=rng.choice([0, 1]),
        )

    first = Reconciler(KeySet(ours, ours[:3]), parameters())
    second = Reconciler(KeySet(theirs, theirs[-2:]), parameters())
    run(first, second)
    assert {*ours, *first.received} == {*theirs, *second.received} == {*ours, *theirs}


@given(st.integers(0, 1 << 32))
def test_of_a_range_both_have_all_that_is_in_it(seed: int) -> None:
    rng = random.Random(seed)
    ours, theirs = sets(rng)
    x, y = (rng.randbytes(1).ljust(32, b"\0") for _ in range(2))
    first, second = (Reconciler(KeySet(keys), ReconcileParameters(send_range=2)) for keys in (ours, theirs))
    run(first, second, x, y)

    def inside(keys: object) -> set[bytes]:
        assert isinstance(keys, set)
        return {key for key in keys if (x <= key < y if x < y else key >= x or key < y)}

    assert inside({*ours, *first.received}) == inside({*theirs, *second.received}) == inside({*ours, *theirs})
    assert inside(set(first.received)) == set(first.received)


@given(
    st.lists(st.binary(min_size=1, max_size=1), max_size=30), st.binary(min_size=1, max_size=1), st.binary(max_size=1)
)
def test_a_range_is_what_its_keys_are(keys: list[bytes], x: bytes, y: bytes) -> None:
    keys, x, y = [key.ljust(32, b"\1") for key in keys], x.ljust(32, b"\0"), y.ljust(32, b"\0")
    found = KeySet(keys)
    inside = found.range(x, y)
    low = sorted({key for key in keys if key >= x and (x >= y or key < y)})
    high = sorted({key for key in keys if key < y and x >= y})
    expected = low + [key for key in high if key not in low]
    assert inside.count == len(found.keys(inside)) == len(expected)
    assert found.keys(inside) == expected
    assert found.first(inside, 3) == expected[:3]
    if inside.count > 1:
        first, middle, second = found.split(inside, y)
        assert found.keys(first) + found.keys(second) == expected
        assert found.keys(second)[0] == middle
        assert first.count == inside.count // 2


def test_a_fingerprint_is_the_exclusive_or_of_keys() -> None:
    key = bytes.fromhex("1122330000000000000000cc").ljust(32, b"\0")
    other = bytes.fromhex("0102030405060708090a0b0c").ljust(32, b"\0")
    both = KeySet([key, other])
    whole = both.whole
    assert whole is not None
    assert both.range(whole, whole).fingerprint.hex() == "1020300405060708090a0bc0"


def test_samples_are_compared_as_the_network_does() -> None:
    assert similarity([1, 2, 3, 4], [1, 2, 3, 9]) == 0.75
    assert similarity([], []) == 1.0
    assert similarity([], [1]) == 0.0


KEYS = KeySet(bytes([number]).ljust(32, b"\0") for number in range(1, 9))


def side(parameters: ReconcileParameters | None = None) -> Reconciler:
    return Reconciler(KEYS, parameters or ReconcileParameters())


def test_a_probe_is_answered_without_the_keys() -> None:
    keys = KeySet([letter("a")])
    known = keys.range(letter("a"), letter("a"))
    for fingerprint, sample in ((NO_FINGERPRINT, [0]), (known.fingerprint, [])):
        found = Reconciler(keys, ReconcileParameters())
        asked = Probe(Hash32(letter("a")), Hash32(letter("a")), fingerprint, 10)
        answer = found.feed(MESSAGE.encode(asked) + MESSAGE.encode(EndRound()))
        message, at = MESSAGE.read(answer, 0)
        assert isinstance(message, Sample)
        assert (message.num_items, list(message.sample)) == (1, sample)
        assert answer[at:] == MESSAGE.encode(Done())
    empty = Reconciler(KeySet([]), ReconcileParameters())
    answer = empty.feed(MESSAGE.encode(Probe(None, None, NO_FINGERPRINT, 10)))
    assert answer == MESSAGE.encode(Sample(None, None, NO_FINGERPRINT, 0, ()))


X = Hash32(letter("a"))


@pytest.mark.parametrize(
    ("messages", "reason"),
    [
        ([Fingerprint(None, None, NO_FINGERPRINT, 1)], MALFORMED),
        ([EmptyRange(X, None)], MALFORMED),
        ([Probe(X, X, NO_FINGERPRINT, MAX_SAMPLE + 1)], LIMIT),
        ([Done(), EndRound()], MALFORMED),
        ([ItemBatch([bytes(32)] * 3)], LIMIT),
        ([EmptySet()] * 20, LIMIT),
    ],
)
def test_a_rule_that_is_broken_ends_the_comparison(messages: list[object], reason: str) -> None:
    with pytest.raises(WireError) as error:
        side(ReconcileParameters(max_keys=2, max_messages=10)).feed(b"".join(map(MESSAGE.encode, messages)))
    assert error.value.reason == reason


def test_a_peer_that_sends_without_end_is_left() -> None:
    found = side(ReconcileParameters(max_bytes=1000))
    million_keys = b"\6\x02\x09\x3d\0\1"
    with pytest.raises(WireError) as error:
        for _ in range(100):
            found.feed(million_keys + bytes(91))
    assert error.value.reason == LIMIT


def test_a_peer_that_goes_within_its_turn_has_not_finished() -> None:
    found = side()
    found.feed(MESSAGE.encode(EmptySet()))
    with pytest.raises(WireError):
        found.ended()


@given(st.binary(max_size=200))
def test_no_bytes_of_a_peer_are_another_error(data: bytes) -> None:
    found = side()
    try:
        found.feed(data)
        found.ended()
    except WireError as error:
        assert error.reason
