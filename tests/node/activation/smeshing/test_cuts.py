"""A node that smeshes is stopped after any of its turns: nothing is signed twice, nothing forgotten, nothing registered
again that is kept."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from node.activation.smeshing.events import Published
from node.activation.smeshing.tables import CHALLENGES, REGISTRATIONS
from node.contract.owed import OWED
from node.store.own import SIGNED

from .rig import Rig, end_of
from .stand_ins import POET_A, TIMELINE, A, B


def whole(restarts_at: Callable[[int], bool] | None = None, versions: dict[int, int] | None = None) -> Rig:
    """Two identities over two activations, one server of two down for the first round."""
    rig = Rig(A, B, versions=versions)
    if restarts_at is not None:
        rig.restarts_at = restarts_at
    rig.poets[POET_A].is_up = False
    rig.run_until(TIMELINE.epoch_start(3))
    rig.poets[POET_A].is_up = True
    rig.run_until(end_of(4))
    return rig


def signed_of(rig: Rig) -> dict[object, bytes]:
    return dict(rig.stores.view().scan(SIGNED))


def check(rig: Rig, uncut: Rig) -> None:
    signed = signed_of(rig)
    assert signed.keys() == signed_of(uncut).keys()
    for key in (A, B):
        assert rig.sent_epochs(key) == [3, 4]
        first, second = rig.atx(key, 3), rig.atx(key, 4)
        assert rig.stored(first.id()).publish_epoch == 3 and rig.stored(second.id()).publish_epoch == 4
    # everything that left is what was signed: no second one for an epoch
    assert sorted(rig.sent) == sorted(signed.values())
    assert list(rig.stores.view().keys(OWED)) == [] and rig.stopped == {}
    for poet in rig.poets.values():
        seen = {(work.identity, work.challenge) for work in poet.registered}
        # what was answered is never registered again
        assert len(poet.registered) == len(seen) == len({(work.identity, work.deadline) for work in poet.registered})
    assert {row.publish_epoch for _, row in rig.stores.view().scan(CHALLENGES)} == {5}
    assert len(list(rig.stores.view().keys(REGISTRATIONS))) == 4


@pytest.fixture(scope="module")
def uncut() -> Rig:
    """The run with which those are compared that are cut."""
    return whole()


def test_the_run_that_is_cut(uncut: Rig) -> None:
    assert 100 < uncut.turns < 400
    assert len(uncut.of(Published)) == 4
    check(uncut, uncut)


@pytest.mark.parametrize("part", range(8))
def test_a_restart_after_any_turn(uncut: Rig, part: int) -> None:
    for cut in range(1 + part, uncut.turns + 1, 8):
        rig = whole(lambda turn, cut=cut: turn == cut)
        check(rig, uncut)


@pytest.mark.parametrize("every", [5, 7])
def test_restarts_all_the_time(uncut: Rig, every: int) -> None:
    check(whole(lambda turn: turn % every == 0), uncut)


def test_restarts_all_the_time_in_version_2() -> None:
    uncut = whole(versions={3: 2})
    check(whole(lambda turn: turn % 6 == 0, versions={3: 2}), uncut)
