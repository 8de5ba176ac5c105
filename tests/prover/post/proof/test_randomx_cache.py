"""One RandomX memory between proofs: made once, shared, given back, whatever fails."""

from __future__ import annotations

import threading
from contextlib import ExitStack
from dataclasses import dataclass

import pytest

from prover.post.proof.randomx_cache import RandomXCache


@dataclass
class Fake:
    full: bool
    closed: bool = False

    def close(self) -> None:
        assert not self.closed, "closed twice"
        self.closed = True


class Source:
    """Makes memories; `only_light` as where memory is short."""

    def __init__(self, only_light: bool = False) -> None:
        self.made: list[Fake] = []
        self.only_light = only_light
        self.failing = False
        self.now = 0.0

    def open(self, full: bool) -> Fake:
        if self.failing:
            raise MemoryError
        self.made.append(Fake(full and not self.only_light))
        return self.made[-1]

    def cache(self, idle_s: float = 10.0) -> RandomXCache[Fake]:
        return RandomXCache(self.open, idle_s=idle_s, clock=lambda: self.now)


def test_it_is_made_once_and_shared() -> None:
    source = Source()
    cache = source.cache()
    assert cache.state == "none"
    for _ in range(3):
        with cache.lend(True) as one, cache.lend(False) as two:
            assert one is two and one.full
    assert len(source.made) == 1 and cache.state == "full"


def test_it_is_given_back_after_the_idle_time_and_never_while_it_is_used() -> None:
    source = Source()
    cache = source.cache()
    with cache.lend(False):
        source.now = 100.0
        assert not cache.release_idle()
    source.now = 109.9
    assert not cache.release_idle()
    source.now = 110.0
    assert cache.release_idle() and source.made[0].closed and cache.state == "none"
    assert not cache.release_idle()
    with cache.lend(False) as again:
        assert not again.closed


def test_a_light_one_may_be_given_back_earlier_than_a_full_one() -> None:
    source = Source()
    cache = RandomXCache(source.open, idle_s=10.0, light_idle_s=1.0, clock=lambda: source.now)
    with cache.lend(False):
        pass
    source.now = 1.0
    assert cache.release_idle()
    with cache.lend(True):
        pass
    source.now = 10.9
    assert not cache.release_idle()
    source.now = 11.0
    assert cache.release_idle()


def test_the_full_one_takes_the_place_of_the_light_one() -> None:
    source = Source()
    cache = source.cache()
    with ExitStack() as stack:
        light = stack.enter_context(cache.lend(False))
        full = stack.enter_context(cache.lend(True))
        assert (light.full, full.full, light.closed) == (False, True, False), "a lent one lives until it is returned"
    assert light.closed and not full.closed and cache.state == "full"


def test_where_the_full_one_does_not_fit_the_light_one_serves() -> None:
    cache = Source(only_light=True).cache()
    with cache.lend(True) as memory:
        assert not memory.full
    assert cache.state == "light"


def test_a_failure_reaches_the_borrower_and_the_next_one_tries_again() -> None:
    source = Source()
    cache = source.cache()
    source.failing = True
    with pytest.raises(MemoryError), cache.lend(True):
        raise AssertionError("there is none")
    assert cache.state == "none"
    source.failing = False
    with cache.lend(True) as memory:
        assert memory.full


def test_a_borrower_who_fails_returns_it() -> None:
    source = Source()
    cache = source.cache()
    with pytest.raises(ValueError), cache.lend(True):
        raise ValueError
    source.now = 10.0
    assert cache.release_idle()


def test_closing_waits_for_nobody_and_takes_nothing_from_a_borrower() -> None:
    source = Source()
    cache = source.cache()
    with cache.lend(True) as memory:
        cache.close()
        assert not memory.closed
    assert memory.closed
    cache.close()


def test_whoever_comes_while_it_is_made_waits_for_it() -> None:
    making, go = threading.Event(), threading.Event()
    source = Source()

    def slow(full: bool) -> Fake:
        making.set()
        assert go.wait(10)
        return source.open(full)

    cache = RandomXCache(slow)
    got: list[Fake] = []

    def borrow() -> None:
        with cache.lend(True) as memory:
            got.append(memory)

    threads = [threading.Thread(target=borrow) for _ in range(3)]
    for thread in threads:
        thread.start()
    assert making.wait(10) and cache.state == "building"
    go.set()
    for thread in threads:
        thread.join(10)
    assert len(source.made) == 1 and got == source.made * 3
