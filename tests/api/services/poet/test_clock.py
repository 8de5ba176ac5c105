"""Time for rounds: the wall clock's, but a jump of it is believed only after it has been steady for a while."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from api.services.poet.clock import JUMP_NS, LONGEST_SETTLING_NS, SteadyClock, settling_ns, since_boot
from api.services.poet.service import PoetService
from api.services.poet.worker_link import NoWorker
from prover.poet.server.registration import Code, Refused, Registered, Submit
from tests.api.services.poet.test_ours import FLAGS, GENESIS_NS, get, make, member
from tests.vector_cases.poet_server import PlayedServer

__all__ = ["make"]

SECOND = 10**9
SETTLE = 10 * SECOND
DAY = 86_400 * SECOND


class Clocks:
    """A wall clock and one that nobody sets."""

    def __init__(self) -> None:
        self.wall, self.steady = 1_800_000_000 * SECOND, 5 * SECOND

    def pass_(self, nanoseconds: int) -> None:
        self.wall += nanoseconds
        self.steady += nanoseconds

    def clock(self, settle: int = SETTLE) -> SteadyClock:
        return SteadyClock(settle, lambda: self.wall, lambda: self.steady)


def test_without_jumps_it_is_the_wall_clock() -> None:
    clocks = Clocks()
    clock = clocks.clock()
    for step in (0, 1, SECOND, DAY):
        clocks.pass_(step)
        assert clock() == clocks.wall and clock.problem == ""


@pytest.mark.parametrize("jump", [11 * DAY, -11 * DAY, 3 * SECOND, -3 * SECOND])
def test_a_jump_is_believed_after_it_has_been_steady(jump: int) -> None:
    clocks = Clocks()
    clock = clocks.clock()
    right = clocks.wall
    clocks.wall += jump
    assert clock() == right and clock.jumps == 1 and "set by" in clock.problem
    for _ in range(9):
        clocks.pass_(SECOND)
        right += SECOND
        assert clock() == right and clock.problem
    clocks.pass_(SECOND)
    assert clock() == clocks.wall and clock.problem == "" and clock.jumps == 1


def test_a_jump_that_is_taken_back_is_as_if_it_had_not_been() -> None:
    clocks = Clocks()
    clock = clocks.clock()
    clocks.wall += 11 * DAY
    clock()
    clocks.pass_(2 * SECOND)
    clock()
    clocks.wall -= 11 * DAY
    assert clock() == clocks.wall and clock.jumps == 2 and clock.problem, "it has to be steady again"
    clocks.pass_(SETTLE)
    assert clock() == clocks.wall and clock.problem == ""


def test_small_corrections_are_followed_and_many_of_them_are_a_jump() -> None:
    clocks = Clocks()
    clock = clocks.clock()
    clocks.wall += JUMP_NS
    assert clock() == clocks.wall and clock.jumps == 0
    clocks.pass_(SECOND)
    clocks.wall += JUMP_NS // 2
    clock()
    assert clock.jumps == 1, "half a second at a time would lead as far"
    slewed = Clocks()
    clock = slewed.clock()
    for _ in range(10_000):  # five seconds in ten thousand: how a clock is corrected gently
        slewed.pass_(SECOND)
        slewed.wall += SECOND // 2000
        assert clock() == slewed.wall
    assert clock.jumps == 0


def test_how_long_it_settles() -> None:
    assert settling_ns(20 * SECOND) == 2 * SECOND
    assert settling_ns(12 * 3600 * SECOND) == LONGEST_SETTLING_NS == 120 * SECOND
    assert settling_ns(0) == settling_ns(-1) == 0
    assert since_boot() <= since_boot()


# ---- a server


def service(tmp_path: Path, clocks: Clocks) -> PoetService:
    from api.services.poet.config import load

    found = PoetService(
        load([f"--poetdir={tmp_path}", *FLAGS], {}),
        NoWorker(),
        wall=lambda: clocks.wall,
        monotonic=lambda: clocks.steady,
    )
    found.open()
    return found


def test_a_clock_that_is_days_ahead_for_two_seconds_closes_no_round(tmp_path: Path) -> None:
    """The gap between rounds is 20 s here, so a clock has to be steady for 2 s."""
    clocks = Clocks()
    clocks.wall = GENESIS_NS
    found = service(tmp_path, clocks)
    closed: list[int] = []
    found._close = lambda close: closed.append(close.round_id)  # type: ignore[method-assign]
    clocks.wall += 11 * DAY
    found.tick()
    clocks.pass_(SECOND)
    found.tick()
    assert "set by +950,400 s" in found.clock_problem
    clocks.wall -= 11 * DAY
    for _ in range(3):
        found.tick()
        clocks.pass_(SECOND)
    found.tick()
    assert (closed, found.machine.open_round, found.clock_problem) == ([], 0, "")
    assert found.time.jumps == 2
    clocks.pass_(60 * SECOND)
    found.tick()
    assert closed == [0], "and then rounds close as ever"
    found._close_files()


def test_a_clock_behind_what_the_disk_knows_is_said_and_nobody_registers(
    make: Callable[..., PlayedServer],
) -> None:
    with make(leaves={0: 200}) as server:
        assert isinstance(server.register(member(server, 1)), Registered)
        server.set_clock(server.config.schedule.end(0) + 1)
    with make(now_ns=GENESIS_NS) as server:
        state = json.loads(get(server, "/status.json")[1])
        assert "behind" in state["clock"] and state["open_round"]["id"] == 1
        assert "Clock" in get(server, "/status")[1]
        refused = server.register(member(server, 2))
        assert isinstance(refused, Refused) and refused.code == Code.UNAVAILABLE
        server.now_ns = server.config.schedule.start(0) + SECOND
        assert isinstance(server.register(member(server, 2)), Registered)
        assert json.loads(get(server, "/status.json")[1])["clock"] == ""


# ---- conflicts


def test_conflicting_registrations_are_counted_and_shown(make: Callable[..., PlayedServer]) -> None:
    with make() as server:
        assert json.loads(get(server, "/status.json")[1])["conflicts"]["total"] == 0
        first, other = member(server, 1), member(server, 1, bytes(32))
        assert isinstance(server.register(first), Registered)
        for _ in range(3):
            answer = server.register(other)
            assert isinstance(answer, Refused) and answer.code == Code.ALREADY_EXISTS
        found = json.loads(get(server, "/status.json")[1])["conflicts"]
        assert (found["total"], found["per_minute"]) == (3, 0.3)
        assert found["latest"] == [{"pubkey": first.pubkey.hex(), "times": 3}]
        assert "Conflicting registrations" in get(server, "/status")[1]


def test_any_message_that_a_node_signed_registers_for_it_and_the_node_is_shown(
    make: Callable[..., PlayedServer],
) -> None:
    """The network's rule, which we cannot change alone: the signature says nothing about what it is for."""
    from nacl.bindings import crypto_sign, crypto_sign_seed_keypair

    public, secret = crypto_sign_seed_keypair((1).to_bytes(32, "big"))
    ballot = b"genesis" + bytes(range(100))
    with make() as server:
        signature = crypto_sign(ballot, secret)[:64]
        stolen = Submit(ballot[:-32], ballot[-32:], public, signature, 0, server.service.pow_params())
        assert isinstance(server.register(stolen), Registered)
        assert isinstance(server.register(member(server, 1)), Refused)
        latest = json.loads(get(server, "/status.json")[1])["conflicts"]["latest"]
        assert latest == [{"pubkey": public.hex(), "times": 1}]
