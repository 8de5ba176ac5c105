"""A short run of the fuzzer over every reader of the PoET, and damaged requests to a server that runs."""

from __future__ import annotations

import logging
from collections.abc import Callable
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.api.services.poet.test_ours import body_of, get, make, member
from tests.fuzz import poet as poet_fuzz
from tests.vector_cases.poet_server import PlayedServer

__all__ = ["make"]

TARGETS = poet_fuzz.targets()


@pytest.mark.parametrize("name", TARGETS)
def test_only_its_own_errors_come_out(name: str) -> None:
    target = TARGETS[name]
    assert all(poet_fuzz.check(name, target, right) for right in target.right)

    @settings(max_examples=150, deadline=None)
    @given(seed=st.integers(0, 1 << 64), right=st.sampled_from(target.right))
    def check(seed: int, right: bytes) -> None:
        poet_fuzz.check(name, target, poet_fuzz.damaged(right, Random(seed)))

    @settings(max_examples=50, deadline=None)
    @given(data=st.binary(max_size=200))
    def check_any(data: bytes) -> None:
        poet_fuzz.check(name, target, data)

    check()
    check_any()


def test_a_find_is_told() -> None:
    broken = poet_fuzz.Target(lambda data: data[:1] or 1 / 0, (b"a",), (KeyError,))
    assert poet_fuzz.check("broken", broken, b"a")
    with pytest.raises(poet_fuzz.Found, match="ZeroDivisionError"):
        poet_fuzz.check("broken", broken, b"")
    unstable = poet_fuzz.Target(lambda data: data + b"x", (b"a",), (), lambda value: value)
    with pytest.raises(poet_fuzz.Found, match="another value"):
        poet_fuzz.check("unstable", unstable, b"a")


def test_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert poet_fuzz.main(["--cases", "20", "--seed", "3", "--only", "gateway"]) == 0
    assert "gateway: 20 cases" in capsys.readouterr().out


def test_a_running_server_answers_whatever_it_is_sent(
    make: Callable[..., PlayedServer], caplog: pytest.LogCaptureFixture
) -> None:
    random = Random(5)
    with make() as server, caplog.at_level(logging.ERROR):
        right = body_of(member(server, 1))
        for _ in range(300):
            answer = server.exchange(poet_fuzz.damaged(right, random), half_close=True)
            assert answer == b"" or answer.startswith(b"HTTP/1."), answer[:100]
        assert get(server, "/v1/info")[0] == "HTTP/1.1 200 OK"
    assert not caplog.records, [record.getMessage() for record in caplog.records]
