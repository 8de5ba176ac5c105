"""How far identities are, told from rows and time: the same as what their machine does. Protocol 04, section 3."""

from __future__ import annotations

from dataclasses import replace
from itertools import groupby

import pytest

from node.activation.rules import ZERO_CHALLENGE
from node.activation.smeshing.parameters import SmeshingParameters
from node.activation.smeshing.times import Timeline
from node.contract.demands import VerifyPost
from node.contract.instants import Instant
from node.queries import smeshing
from node.queries.smeshing import MomentKind, Phase, Progress
from node.store.own import SIGNED, Kind, Slot
from node.store.view import Rows
from protocol.numbers.durations import SECOND
from protocol.types.ids import EpochId, LayerId
from tests.node.activation.smeshing.rig import Rig, end_of, round_end, round_start
from tests.node.activation.smeshing.stand_ins import PARAMETERS, POET_A, POET_B, TIME, TIMELINE, A, B

EARLY = replace(PARAMETERS, cycle_gap=2400 * SECOND)
"""A round ends before the epoch in which its activations are published."""


WAY = [
    Phase.FIRST_PROOF,
    Phase.WAITING_FOR_REGISTRATION,
    Phase.POSITIONING,
    Phase.REGISTERING,
    Phase.IN_ROUND,
    Phase.WAITING_FOR_ROUND_PROOF,
    Phase.PROVING,
    Phase.VERIFYING,
    Phase.READY,
]


class Watched(Rig):
    """Notes after every turn how far the first identity is."""

    def begin(self) -> None:
        self.seen_phases: list[Phase] = getattr(self, "seen_phases", [])
        super().begin()
        self.seen_phases.append(self.progress().phase)

    def turn(self, *inputs: object) -> None:
        super().turn(*inputs)  # type: ignore[arg-type]
        self.seen_phases.append(self.progress().phase)

    def progress(self, now: Instant | None = None) -> Progress:
        timeline = Timeline(TIME, self.parameters)
        view = self.stores.view()
        return smeshing.progress(view, timeline, A.identity, now or self.now, is_synced=self.is_synced)

    def phases(self) -> list[Phase]:
        """Without repetitions."""
        return [phase for phase, _ in groupby(self.seen_phases)]


def test_from_nothing_to_an_activation() -> None:
    rig = Watched(A, parameters=EARLY)
    rig.run_until(end_of(3))
    # it is signed and sent when its epoch begins, and the next challenge is made later
    assert rig.phases()[: len(WAY) + 2] == [*WAY, Phase.SENDING, Phase.WAITING_FOR_REGISTRATION]
    assert rig.sent_epochs(A) == [3]


def test_the_epoch_is_the_one_for_which_the_machine_plans() -> None:
    rig = Watched(A)
    assert rig.progress().publish_epoch is None, "nothing is planned before the first proof"
    rig.run_until(Instant(round_start(3) - 1))
    before = rig.progress()
    assert (before.phase, before.publish_epoch) == (Phase.REGISTERING, 3)
    assert before.registrations.keys() == {POET_A, POET_B}
    assert {one.round_end for one in before.registrations.values()} == {round_end(3)}
    rig.run_until(end_of(3))
    assert rig.sent_epochs(A) == [3] and rig.progress().publish_epoch == 4


def test_nobody_takes_the_challenge() -> None:
    rig = Watched(A)
    for poet in rig.poets.values():
        poet.is_up = False
    rig.run_until(Instant(round_start(3) + 1))
    assert rig.progress().phase in (Phase.REGISTERING, Phase.WAITING_FOR_REGISTRATION)
    assert Phase.IN_ROUND not in rig.phases()


def test_a_proof_of_space_that_is_not_checked_yet() -> None:
    rig = Watched(A)
    rig.run_until(Instant(round_end(3)))
    rig.withheld = lambda demand: isinstance(demand, VerifyPost) and demand.metadata.challenge != ZERO_CHALLENGE
    rig.run_until(end_of(3))
    assert rig.progress().phase is Phase.VERIFYING


def test_while_activations_of_the_past_are_missing() -> None:
    rig = Watched(A)
    rig.is_synced = False
    rig.run_until(end_of(2))
    assert rig.progress().phase is Phase.SYNCING


def test_one_that_nobody_has_is_sent_again() -> None:
    """It was signed, and the node was stopped before it was stored."""
    rig = Watched(A)
    rig.run_until(end_of(3))
    view = rig.stores.view()
    signed = view.get(SIGNED, Slot(A.identity, Kind.ATX, 3))
    assert signed is not None
    fresh = Watched(A)
    rows = Rows(fresh.stores.view())
    rows.put(SIGNED, Slot(A.identity, Kind.ATX, 3), signed)
    fresh.stores.write(rows)
    assert fresh.progress().phase is Phase.SENDING
    assert fresh.progress().publish_epoch == 3


def test_restarts_change_nothing_of_what_is_told() -> None:
    rig = Watched(A, parameters=EARLY)
    rig.restarts_at = lambda turn: turn % 7 == 0
    rig.run_until(end_of(3))
    assert rig.sent_epochs(A) == [3]
    assert [phase for phase in WAY if phase in rig.phases()] == rig.phases()[: len(WAY)]


@pytest.mark.parametrize("parameters", (PARAMETERS, EARLY))
def test_moments_follow_each_other(parameters: SmeshingParameters) -> None:
    """Whether a round ends before the epoch of publication, or in it."""
    found = smeshing.moments(Timeline(TIME, parameters), EpochId(5))
    assert {one.kind for one in found} == set(MomentKind)
    assert [one.at for one in found] == sorted(one.at for one in found)
    kinds = [one.kind for one in found]
    is_early = kinds.index(MomentKind.ROUND_END) < kinds.index(MomentKind.PUBLICATION)
    assert is_early == (parameters is EARLY)


def test_moments_are_as_the_machine_has_them() -> None:
    found = smeshing.moments(TIMELINE, EpochId(5))
    by_kind = {one.kind: one.at for one in found}
    assert by_kind[MomentKind.ROUND_START] == round_start(5) < by_kind[MomentKind.ROUND_END] == round_end(5)
    assert by_kind[MomentKind.PUBLICATION_END] == end_of(5) + 1


def test_activations_in_which_others_publish_count_too() -> None:
    rig = Rig(A, B)
    rig.run_until(end_of(3))
    view = rig.stores.view()
    for key in (A, B):
        (known,) = smeshing.activations_of(view, key.identity, EpochId(3))
        assert (known.stored.smesher, known.stored.publish_epoch) == (key.identity, 3)
    assert not list(smeshing.activations_of(view, A.identity, EpochId(2)))


def test_nothing_was_proposed() -> None:
    assert smeshing.proposals(Rig(A).stores.view(), A.identity, LayerId(0), LayerId((1 << 32) - 1)) == {}
