"""A share of a pool: so many at once, urgent ones first, fewer while own proofs are made; nothing is lost."""

from __future__ import annotations

import threading

import pytest

from api.node.ports.share import MOST_WAITING, Share
from node.runtime.workers import Work, Workers

WAIT_S = 30.0


class Pool:
    """Holds what it is given until a test has it done."""

    def __init__(self) -> None:
        self.given: list[Work] = []
        self.urgent: list[bool] = []
        self.takes = True

    def put(self, work: Work, *, is_urgent: bool = False) -> bool:
        if self.takes:
            self.given.append(work)
            self.urgent.append(is_urgent)
        return self.takes

    def give_up(self, call: int) -> bool:
        return False

    def calls(self) -> list[int]:
        return [work.call for work in self.given]


def work(call: int, done: list[int]) -> Work:
    return Work(call, "kind", lambda: done.append(call))


def test_so_many_at_once_and_urgent_ones_first() -> None:
    pool, done, refused = Pool(), list[int](), list[int]()
    share = Share(pool, lambda: 2, refused.append)
    for call in range(4):
        assert share.put(work(call, done))
    assert share.put(work(9, done), is_urgent=True)
    assert pool.calls() == [0, 1]
    pool.given[0].do()
    assert pool.calls() == [0, 1, 9] and pool.urgent == [False, False, True]
    assert share.give_up(2) and not share.give_up(2) and not share.give_up(0), "that one is done"
    for one in pool.given[1:]:
        one.do()
    assert pool.calls() == [0, 1, 9, 3] and done == [0, 1, 9] and refused == []


def test_it_shrinks_and_grows_and_never_to_nothing() -> None:
    pool, done, most = Pool(), list[int](), [3]
    share = Share(pool, lambda: most[0], done.append)
    for call in range(8):
        share.put(work(call, []))
    most[0] = 0
    for place in range(3):
        pool.given[place].do()
    assert len(pool.given) == 4, "one goes on"
    most[0] = 4
    pool.given[3].do()
    assert len(pool.given) == 8


def test_one_that_fails_gives_its_place_back() -> None:
    pool = Pool()
    share = Share(pool, lambda: 1, lambda call: None)

    def fail() -> None:
        raise ZeroDivisionError

    share.put(Work(1, "kind", fail))
    share.put(work(2, []))
    with pytest.raises(ZeroDivisionError):
        pool.given[0].do()
    assert pool.calls() == [1, 2]


def test_what_the_pool_does_not_take_is_answered() -> None:
    pool, refused = Pool(), list[int]()
    share = Share(pool, lambda: 2, refused.append)
    pool.takes = False
    assert share.put(work(1, [])) and share.put(work(2, []))
    assert refused == [1, 2]
    pool.takes = True
    share.put(work(3, []))
    assert pool.calls() == [3]


def test_no_more_wait_than_is_bounded() -> None:
    pool = Pool()
    share = Share(pool, lambda: 1, lambda call: None)
    assert all(share.put(work(call, [])) for call in range(MOST_WAITING + 1))
    assert not share.put(work(-1, []))
    assert share.put(work(-2, []), is_urgent=True)


def test_in_real_threads_all_are_done() -> None:
    workers, done, running, most_running, lock = Workers("share", 4, 1000), list[int](), [0], [0], threading.Lock()
    over = threading.Event()
    share = Share(workers, lambda: 2, lambda call: None)

    def one(call: int) -> None:
        with lock:
            running[0] += 1
            most_running[0] = max(most_running[0], running[0])
        with lock:
            running[0] -= 1
            done.append(call)
            if len(done) == 300:
                over.set()

    for call in range(300):
        share.put(Work(call, "kind", lambda call=call: one(call)))  # type: ignore[misc]
    assert over.wait(WAIT_S) and most_running[0] <= 2
    assert workers.close(WAIT_S)
