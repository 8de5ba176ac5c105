"""When a node counts as synced, and for what it may sign: one layer, one nanosecond more or less."""

from __future__ import annotations

from node.contract.instants import Instant
from node.sync.parameters import SyncParameters
from node.sync.states import SyncState, SyncStatus
from protocol.numbers.layers import NetworkTime
from protocol.types.ids import LayerId

PARAMETERS = SyncParameters(2, 4, gossip_duration=10, out_of_sync_layers=3)


def status() -> SyncStatus:
    return SyncStatus(PARAMETERS, NetworkTime(0, 100, 4))


def after(found: SyncStatus, now: int, last: int = 19, *, has_succeeded: bool = True) -> SyncState:
    """The state after a run in layer 20 up to a layer."""
    found.after_run(LayerId(20), LayerId(last), Instant(now), has_succeeded=has_succeeded, is_state_synced=True)
    return found.state


def test_a_node_listens_before_it_takes_part() -> None:
    found = status()
    assert after(found, 100, last=18) is SyncState.NOT_SYNCED
    assert [after(found, now) for now in (100, 109, 110)] == [SyncState.GOSSIP, SyncState.GOSSIP, SyncState.SYNCED]


def test_a_node_that_falls_behind_is_not_synced() -> None:
    for last, expected in ((18, SyncState.SYNCED), (17, SyncState.NOT_SYNCED)):
        found = status()
        after(found, 100)
        after(found, 110)
        assert after(found, 120, last, has_succeeded=False) is expected


def test_nothing_is_signed_for_what_began_before_the_node_took_part() -> None:
    found = status()
    assert not found.may_sign(Instant(1000))
    after(found, 100)
    assert not found.may_sign(Instant(1000))
    after(found, 110)
    assert [found.may_sign(Instant(begin)) for begin in (109, 110, 111)] == [False, True, True]
