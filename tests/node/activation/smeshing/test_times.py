"""The moments of an epoch, for the main network and at the edges."""

from __future__ import annotations

import pytest

from node.activation.smeshing.parameters import SmeshingParameters
from node.activation.smeshing.times import Timeline
from node.contract.instants import Instant
from protocol.numbers.durations import HOUR, MILLISECOND, MINUTE, SECOND
from protocol.numbers.layers import NetworkTime
from protocol.types.ids import EpochId

DAY = 24 * HOUR
MAINNET = Timeline(
    NetworkTime(0, 5 * MINUTE, 4032),
    SmeshingParameters((), 240 * HOUR, 12 * HOUR, HOUR, 50 * MINUTE, 25 * SECOND, (1 << 63) - 1),
)
EPOCH = 14 * DAY
P = EpochId(10)


def test_the_main_network() -> None:
    assert MAINNET.round_start(P) == 9 * EPOCH + 10 * DAY
    assert MAINNET.building(P) == MAINNET.round_start(P) - HOUR
    assert MAINNET.search_end(P) == MAINNET.round_start(P) - 10 * MINUTE
    assert MAINNET.round_end(P) == 10 * EPOCH + 9 * DAY + 12 * HOUR
    assert MAINNET.round_start(EpochId(11)) - MAINNET.round_end(P) == 12 * HOUR
    assert MAINNET.proof_deadline(P) == 11 * EPOCH - 12 * HOUR
    assert (MAINNET.publication(P), MAINNET.publication_end(P)) == (10 * EPOCH, 11 * EPOCH)
    assert MAINNET.patience_end(P) == MAINNET.round_end(P) + 90 * MINUTE
    assert MAINNET.jitter_bounds() == (8640 * MILLISECOND, 17280 * MILLISECOND)


@pytest.mark.parametrize(
    ("now", "previous", "expected"),
    [
        (9 * EPOCH, None, 10),
        (9 * EPOCH + 10 * DAY - 1, None, 10),
        (9 * EPOCH + 10 * DAY, None, 11),  # the round has just started
        (10 * EPOCH - 1, None, 11),
        (10 * EPOCH, None, 11),
        (9 * EPOCH, 9, 10),
        (9 * EPOCH, 10, 11),  # published early: not twice for an epoch
        (9 * EPOCH, 3, 10),
        (9 * EPOCH + 11 * DAY, 9, 11),  # published late: that round is missed
    ],
)
def test_the_next_epoch_for_which_one_can_register(now: int, previous: int | None, expected: int) -> None:
    before = None if previous is None else EpochId(previous)
    assert MAINNET.next_publish_epoch(Instant(now), before) == expected


def test_without_a_timeout_the_search_ends_with_the_round() -> None:
    timeline = Timeline(MAINNET.time, SmeshingParameters((), 240 * HOUR, 12 * HOUR, HOUR, 0, SECOND, 0))
    assert timeline.search_end(P) == timeline.round_start(P)
