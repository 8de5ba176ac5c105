"""The wall clock never goes back a little, and follows a large step."""

from __future__ import annotations

import time

import pytest

from node.runtime.clock import LARGEST_STEP_BACK, WallClock


def test_a_small_step_back_is_none_a_large_one_is_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = WallClock()
    told = []
    for now in (10**18, 10**18 - LARGEST_STEP_BACK, 10**18 + 1, 10**18 - LARGEST_STEP_BACK, 10**18 + 5):
        monkeypatch.setattr(time, "time_ns", lambda now=now: now)
        told.append(clock.now() - 10**18)
    assert told == [0, 0, 1, -LARGEST_STEP_BACK, 5]
