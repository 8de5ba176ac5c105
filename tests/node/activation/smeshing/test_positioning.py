"""On what a new activation builds: chains that are verified in full, the search over the columns, the commitment."""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import replace

import numpy as np

from node.activation.columns import AtxColumns, AtxRow, EpochColumns
from node.activation.smeshing.chain import ChainCheck, Finding, Trust
from node.activation.smeshing.positioning import AT_ONCE, Search, chosen
from node.activation.smeshing.space import builds_on
from node.activation.tables import ATXS, BLOBS, COMMITMENTS, Validity
from node.contract.demands import (
    ChooseCommitment,
    Demand,
    Failed,
    PostVerdict,
    Result,
    VerifyPost,
)
from node.contract.effects import Ask
from node.contract.inputs import Answer, Tick
from node.contract.instants import Instant
from node.contract.machine import Machine
from node.contract.steps import NOTHING, Step
from node.store.view import Rows, View
from protocol.numbers.durations import SECOND
from protocol.types.activation import ActivationTxV1, PostV1
from protocol.types.activation_v2 import SubPostV2
from protocol.types.ids import Address, AtxId, EpochId, NodeId
from tests.node.activation.forge import GOLDEN, POST, Forged, merged, v1, v2
from tests.node.contract.world import Key

from .rig import START, Rig, end_of
from .stand_ins import PARAMETERS, TIMELINE, A, B, C

D = Key(4)
FULLY = replace(PARAMETERS, post_valid_delay=(1 << 63) - 1)
"""As on the main network: nothing is taken as valid because it is old."""


def node(*forged: Forged, versions: dict[int, int] | None = None, now: Instant = START) -> Rig:
    """One that has received these."""
    rig = Rig(now=now, parameters=FULLY, versions=versions)
    rig.receive(*forged)
    assert all(rig.stores.view().has(ATXS, one.id) for one in forged)
    return rig


def trust(rig: Rig, before: int = 0, own: Iterable[NodeId] = ()) -> Trust:
    return Trust(rig.activation, Instant(before), frozenset(own))


def verified(rig: Rig, forged: Forged, trusted: Trust, bad: PostV1 | None = None) -> tuple[Finding, list[VerifyPost]]:
    """What is found of an activation, and the checks that were made for it; the rows are written."""
    rows = Rows(rig.stores.view())
    check, asked = ChainCheck(forged.id, trusted), []
    step: VerifyPost | Finding | None = check.advance(rows)
    while not isinstance(step, Finding):
        if step is None:
            step = check.advance(rows)
        else:
            asked.append(step)
            step = check.answered(rows, PostVerdict(step.post != bad))
    if not rows.is_empty:
        rig.stores.write(rows)
    return step, asked


def validity(rig: Rig, forged: Forged) -> Validity:
    return Validity(rig.stored(forged.id).validity)


# ---- chains ----


def test_everything_that_it_builds_on_is_verified_once() -> None:
    base, first = v1(B, 0), v1(A, 0)
    second = v1(A, 1, first, positioning=base.id)
    third = v1(A, 2, second, positioning=base.id)
    rig = node(base, first, second, third)
    found, asked = verified(rig, third, trust(rig))
    assert found is Finding.HOLDS
    assert [one.node_id for one in asked] == [A.identity] * 3 + [B.identity]
    assert all(one.positions is None and one.is_urgent for one in asked)
    assert {validity(rig, one) for one in (base, first, second, third)} == {Validity.VALID}
    assert verified(rig, third, trust(rig)) == (Finding.HOLDS, [])


def test_a_proof_that_fails_invalidates_what_builds_on_it_and_nothing_else() -> None:
    bad = PostV1(66, b"\1", 1)
    root, broken = v1(B, 0), v1(C, 1, v1(C, 0), post=bad)
    above = v1(A, 1, v1(A, 0), positioning=root.id)
    top = v1(B, 2, root, positioning=broken.id)
    rig = node(root, v1(C, 0), broken, v1(A, 0), above, top)
    assert verified(rig, top, trust(rig), bad)[0] is Finding.FAILS
    assert [validity(rig, one) for one in (top, broken)] == [Validity.INVALID] * 2
    assert validity(rig, root) is Validity.VALID and validity(rig, above) is Validity.UNKNOWN
    # it is not verified again
    assert verified(rig, top, trust(rig)) == (Finding.FAILS, [])


def test_nothing_is_noted_where_a_check_was_not_made_or_something_is_missing() -> None:
    first = v1(A, 0)
    second = v1(A, 1, first)
    rig = node(first, second)
    rows = Rows(rig.stores.view())
    check = ChainCheck(second.id, trust(rig))
    assert isinstance(check.advance(rows), VerifyPost)
    assert check.answered(rows, Failed("stopped")) is Finding.UNKNOWN and rows.is_empty
    gone = Rows(rig.stores.view())
    gone.delete(BLOBS, first.id)
    rig.stores.write(gone)
    assert verified(rig, second, trust(rig))[0] is Finding.UNKNOWN
    assert validity(rig, second) is Validity.UNKNOWN
    assert ChainCheck(AtxId(bytes([7] * 32)), trust(rig)).advance(rows) is Finding.UNKNOWN


def test_what_is_trusted() -> None:
    first = v1(A, 0)
    second = v1(A, 1, first)
    rig = node(first, second)
    assert verified(rig, second, trust(rig, own=[A.identity])) == (Finding.HOLDS, [])
    assert verified(rig, second, trust(rig, before=START + 1)) == (Finding.HOLDS, [])
    assert ChainCheck(GOLDEN, trust(rig)).advance(Rows(rig.stores.view())) is Finding.HOLDS
    restored = Rows(rig.stores.view())
    stored = restored.get(ATXS, first.id)
    assert stored is not None
    restored.put(ATXS, first.id, replace(stored, received=0))
    restored.delete(BLOBS, first.id)  # as a checkpoint has it
    rig.stores.write(restored)
    found, asked = verified(rig, second, trust(rig))
    assert found is Finding.HOLDS and len(asked) == 1


def test_the_commitment_of_a_first_activation_counts() -> None:
    """It is looked at last, and only of a first one."""
    first = v1(A, 0)
    assert isinstance(first.atx, ActivationTxV1)
    other = AtxId(b"c" * 32)
    challenge = replace(first.atx.inner.challenge, commitment_atx=other)
    atx = replace(first.atx, inner=replace(first.atx.inner, challenge=challenge))
    assert builds_on(atx) == [GOLDEN, other]
    assert builds_on(v1(A, 1, first).atx) == [first.id, GOLDEN]
    assert builds_on(v2(A, 3).atx) == [GOLDEN, GOLDEN]
    assert builds_on(v2(A, 3, first.id).atx) == [first.id, GOLDEN]


def test_merged_and_growing_activations_are_checked_as_they_were_made() -> None:
    first, other = v1(A, 0, units=10), v1(B, 0, units=10)
    marriage = v2(A, 1, first.id, units=20, marries=[(A, AtxId(bytes(32))), (B, other.id)])
    parts = (SubPostV2(0, 0, 0, PostV1(5, b"", 5), 30), SubPostV2(1, 1, 1, PostV1(6, b"", 6), 7))
    both = merged(A, 3, marriage.id, [marriage.id, other.id], [(parts, 10)])
    rig = node(first, other, marriage, both, versions={1: 2}, now=TIMELINE.epoch_start(3))
    assert rig.stored(both.id).units == 27  # 20 before, of the 30 that are declared
    found, asked = verified(rig, both, trust(rig))
    assert found is Finding.HOLDS
    assert [(one.node_id, one.num_units, one.post) for one in asked[:3]] == [
        (A.identity, 30, PostV1(5, b"", 5)),
        (B.identity, 7, PostV1(6, b"", 6)),
        (A.identity, 20, POST),
    ]


# ---- the search ----


def test_the_highest_comes_first_and_who_broke_the_rules_never() -> None:
    dice = random.Random(5)
    columns = EpochColumns()
    rows = []
    for _ in range(500):
        height = dice.randrange(60)
        row = AtxRow(AtxId(dice.randbytes(32)), NodeId(dice.randbytes(32)), Address(bytes(24)), 1, 0, height, 0)
        columns.add(row, is_malicious=dice.random() < 0.3)
        rows.append(row)
    honest = {columns.at(int(row)).id for row in np.flatnonzero(~columns.column("is_malicious"))}
    heights = {row.id: row.height for row in rows}
    expected = sorted((heights[id] for id in honest), reverse=True)
    for count in (1, 7, 64, 300, 10_000):
        found = columns.highest(count)
        assert len(set(found)) == len(found) == min(count, len(honest)) and set(found) <= honest
        assert [heights[id] for id in found] == expected[: len(found)]
    columns.add(replace(rows[0], id=AtxId(b"h" * 32), height=(1 << 64) - 1))
    assert columns.highest(1) == [AtxId(b"h" * 32)]


def test_more_candidates_are_taken_out_when_those_before_fail() -> None:
    rig = node()
    columns = AtxColumns()
    for number in range(3 * AT_ONCE):
        id = AtxId(number.to_bytes(32, "big"))
        columns.add(EpochId(3), AtxRow(id, NodeId(id), Address(bytes(24)), 1, 0, number // 2, 0))
    search = Search(trust(rig), EpochId(3))
    rows = Rows(rig.stores.view())
    # none of them is stored, so nothing is known of any
    assert search.advance(rows, columns) is None and search.found == GOLDEN
    assert len(search.seen) == 3 * AT_ONCE


def test_the_own_previous_one_wins_unless_another_is_higher() -> None:
    mine, higher = v1(A, 0, ticks=10), v1(B, 0, ticks=11)
    rig = node(mine, higher, v1(C, 0, ticks=10))
    view = rig.stores.view()
    assert chosen(view, GOLDEN, GOLDEN, None) == GOLDEN
    assert chosen(view, GOLDEN, higher.id, None) == higher.id
    assert chosen(view, GOLDEN, GOLDEN, mine.id) == mine.id
    assert chosen(view, GOLDEN, higher.id, mine.id) == higher.id
    assert chosen(view, GOLDEN, v1(C, 0, ticks=10).id, mine.id) == mine.id


def positioning(rig: Rig, key: Key = A) -> AtxId:
    rig.run_until(end_of(3))
    atx = rig.atx(key, 3)
    return atx.inner.challenge.positioning_atx  # type: ignore[union-attr]


def test_a_challenge_builds_on_the_highest_chain_that_holds() -> None:
    bad = PostV1(66, b"\1", 1)
    low, high = v1(B, 1, ticks=20), v1(C, 1, ticks=30)
    broken = v1(D, 1, v1(D, 0), ticks=40, post=bad)
    rig = Rig(A, parameters=FULLY)
    rig.receive(low, high, v1(D, 0), broken)
    rig.invalid.add(bad)
    assert positioning(rig) == high.id
    assert [validity(rig, one) for one in (broken, high)] == [Validity.INVALID, Validity.VALID]
    assert validity(rig, low) is Validity.UNKNOWN


def test_identities_share_one_search() -> None:
    rig = Rig(A, B, parameters=FULLY)
    rig.receive(v1(C, 1, ticks=30))
    checks: list[VerifyPost] = []

    def verify(demand: Demand) -> Result | None:
        assert isinstance(demand, VerifyPost)
        checks.append(demand)
        return None

    rig.results[VerifyPost] = verify
    assert positioning(rig, A) == positioning(rig, B) == v1(C, 1, ticks=30).id
    assert len([one for one in checks if one.node_id == C.identity]) == 1


def test_a_search_that_takes_too_long_does_not_cost_the_round() -> None:
    rig = Rig(A, parameters=FULLY)
    rig.receive(v1(C, 1, ticks=30))
    rig.withheld = lambda demand: isinstance(demand, VerifyPost) and demand.node_id == C.identity
    rig.run_until(Instant(TIMELINE.search_end(EpochId(3)) - 1))
    assert rig.poets["http://a"].registered == []
    rig.run_until(TIMELINE.search_end(EpochId(3)))
    assert len(rig.poets["http://a"].registered) == 1
    rig.withheld = lambda demand: False
    assert positioning(rig) == GOLDEN


def test_an_empty_network_begins_at_the_golden_one() -> None:
    assert positioning(Rig(A, parameters=FULLY)) == GOLDEN


# ---- the commitment ----


class Asking(Machine):
    """Somebody who is about to make labels."""

    name = "asking"
    ticks = True

    def __init__(self, identity: NodeId) -> None:
        self.identity = identity
        self.found: list[Result] = []

    def tick(self, tick: Tick, view: View, now: Instant) -> Step:
        return NOTHING if self.found else Step(effects=[Ask(ChooseCommitment(self.identity), "commitment")])

    def answer(self, answer: Answer, view: View, now: Instant) -> Step:
        assert not hasattr(answer.result, "verdict")
        self.found.append(answer.result)  # type: ignore[arg-type]
        return NOTHING


class CommitmentRig(Rig):
    def __init__(self, identity: NodeId) -> None:
        self.asking = Asking(identity)
        super().__init__(parameters=FULLY)

    def more_machines(self) -> Iterable[Machine]:
        return [self.asking]


def commitment(rig: CommitmentRig) -> Result | None:
    rig.run_until(Instant(rig.now + 301 * SECOND))
    return rig.asking.found[0] if rig.asking.found else None


def test_new_labels_are_bound_to_the_highest_chain_that_holds() -> None:
    rig = CommitmentRig(A.identity)
    assert commitment(rig) == GOLDEN
    rig = CommitmentRig(A.identity)
    rig.receive(v1(B, 1, ticks=20), v1(C, 1, ticks=30), v1(D, 0, ticks=90))
    rig.is_synced = False
    assert commitment(rig) is None
    rig.is_synced = True
    assert commitment(rig) == v1(C, 1, ticks=30).id


def test_labels_of_an_identity_are_bound_once() -> None:
    rig = CommitmentRig(B.identity)
    rig.receive(v1(B, 1, ticks=20), v1(C, 1, ticks=30))
    assert commitment(rig) == GOLDEN  # of its first activation
    rig = CommitmentRig(B.identity)
    rig.receive(v1(B, 1, ticks=20))
    rows = Rows(rig.stores.view())
    rows.delete(COMMITMENTS, B.identity)
    rig.stores.write(rows)
    found = commitment(rig)
    assert isinstance(found, Failed) and found.reason == "not_found"
