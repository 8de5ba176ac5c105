"""Rules of activations where they turn: one epoch, one in sequence, one unit, one identity more or less."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import pytest

from node.activation import rules, rules_v1, rules_v2
from node.activation.columns import AtxColumns, AtxRow
from node.activation.contradictions import Contradiction, Kind
from node.activation.errors import AtxRefused
from node.activation.parameters import ActivationParameters
from node.activation.tables import ATXS, POSTS, StoredAtx, StoredPost, put_atx
from node.store.view import Rows, View
from protocol.types.activation import ActivationTxV1
from protocol.types.activation_v2 import ActivationTxV2, SubPostV2
from protocol.types.ids import EMPTY_ATX_ID, Address, AtxId, EpochId, NodeId
from tests.support.node_stores import Kept

from .forge import GOLDEN, LABELS, NONCE, POST, TICK, Forged, merged, sign_v1, v1
from .test_machine import EPOCH, A, B, Node, _married, at, stores_in_memory, told

PARAMETERS = ActivationParameters(GOLDEN, TICK, LABELS, 2, 1000, 37, 1, {5: 2})
OLD = AtxId(b"o" * 32)


def reason_of(rule: Callable[[], object]) -> str | None:
    """Why a rule refuses; None: it does not."""
    try:
        rule()
    except AtxRefused as error:
        return error.reason
    return None


def reading(publish_epoch: int, rule: Callable[[View], object]) -> str | None:
    """Why a rule refuses where the activation OLD, of an epoch, is stored."""
    kept = Kept()
    stored = StoredAtx(
        A.identity, EpochId(publish_epoch), 4, Address(bytes(24)), 10, GOLDEN, NONCE, 100, 5, 50, 1, 1, 1
    )

    def put(rows: Rows) -> None:
        put_atx(rows, OLD, stored, b"")
        rows.put(POSTS, (OLD, A.identity), StoredPost(EMPTY_ATX_ID, 0, 10, EpochId(publish_epoch)))

    kept.unit(put)
    return kept.read(lambda view: reason_of(lambda: rule(view)))


def test_an_activation_comes_one_epoch_early_at_most() -> None:
    for publish, expected in ((1, None), (5, None), (6, None), (7, "publish_epoch_too_far")):
        assert reason_of(partial(rules.check_publish_epoch, EpochId(publish), EpochId(5))) == expected


@pytest.mark.parametrize(("epoch", "is_before"), [(4, True), (5, False), (6, False)])
def test_what_it_builds_on_is_of_an_earlier_epoch(epoch: int, is_before: bool) -> None:
    publish = EpochId(5)
    positioning = reading(epoch, lambda view: rules.base_height(view, PARAMETERS, OLD, publish, "lost"))
    assert positioning == (None if is_before else "positioning_epoch_not_before")
    commitment = reading(epoch, lambda view: rules.check_commitment(view, PARAMETERS, OLD, publish, "lost"))
    assert commitment == (None if is_before else "commitment_epoch_not_before")
    previous = reading(epoch, lambda view: rules.check_before(rules.previous(view, OLD), publish))
    assert previous == (None if is_before else "previous_epoch_not_before")


def following(sequence: int, units: int = 10) -> ActivationTxV1:
    """The next one of A after OLD, whose sequence is 4 and which has 10 units."""
    atx = v1(A, 5, v1(A, 2), units=units).atx
    assert isinstance(atx, ActivationTxV1)
    challenge = replace(atx.inner.challenge, sequence=sequence, prev_atx=OLD)
    return sign_v1(A, replace(atx, inner=replace(atx.inner, challenge=challenge)))


@pytest.mark.parametrize(("sequence", "reason"), [(4, "sequence_wrong"), (5, None), (6, "sequence_wrong")])
def test_activations_of_an_identity_are_counted(sequence: int, reason: str | None) -> None:
    assert reading(4, lambda view: rules_v1.basis(following(sequence), view, PARAMETERS)) == reason


@pytest.mark.parametrize(("units", "effective", "must_check_nonce"), [(9, 9, False), (10, 10, False), (11, 10, True)])
def test_space_that_grew_counts_from_the_next_one_on_and_its_nonce_is_looked_at(
    units: int, effective: int, must_check_nonce: bool
) -> None:
    found: list[rules_v1.Basis] = []
    assert reading(4, lambda view: found.append(rules_v1.basis(following(5, units), view, PARAMETERS))) is None
    assert [(basis.units, basis.must_check_nonce) for basis in found] == [(effective, must_check_nonce)]


def test_nobody_follows_an_activation_of_another_one() -> None:
    node = Node(stores_in_memory())
    first, other = v1(A, 2), v1(B, 2)
    for one in (first, other):
        assert told(node.judge(one)) == ("accept", "")
    assert told(node.judge(v1(B, 3, first))) == ("reject", "previous_of_other_smesher")
    assert told(node.judge(v1(B, 3, other))) == ("accept", "")


def test_two_activations_of_an_epoch_are_a_contradiction() -> None:
    node = Node(stores_in_memory())
    assert told(node.judge(v1(A, 2))) == ("accept", "")
    assert told(node.judge(v1(B, 2))) == ("accept", "")
    assert told(node.judge(v1(A, 2, units=11))) == ("ignore", "malicious_atx")
    assert node.columns.is_malicious(A.identity) and not node.columns.is_malicious(B.identity)


# ---- version 2 ----


def test_one_identity_has_one_proof_in_a_merged_one() -> None:
    for index, reason in ((0, "marriage_index_twice"), (1, None)):
        posts = [SubPostV2(0, 0, 0, POST, 10), SubPostV2(index, 0, 1, POST, 10)]
        atx = merged(A, 8, OLD, [OLD], [(posts, 10)]).atx
        assert isinstance(atx, ActivationTxV2)
        assert reason_of(partial(rules_v2.check_syntax, atx, PARAMETERS, EpochId(8))) == reason


def at_work() -> tuple[Node, Forged]:
    """A node that knows a marriage of A and B, in the epoch in which they publish together."""
    node = Node(stores_in_memory())
    marriage, firsts = _married(node)
    node.world.turn(now=at(8 * EPOCH))
    return node, merged(A, 8, marriage.id, [marriage.id, firsts[1].id], [
        ([SubPostV2(0, 0, 0, POST, 10)], 12), ([SubPostV2(1, 1, 0, POST, 10)], 7),
    ])  # fmt: skip


def test_a_merged_one_is_as_high_as_its_shortest_round() -> None:
    node, both = at_work()
    assert told(node.judge(both)) == ("accept", "")
    stored = node.world.view().get(ATXS, both.id)
    assert stored is not None and (stored.ticks, stored.weight) == (7, 10 * 12 + 10 * 7)


def test_whoever_signs_has_a_proof_in_it() -> None:
    node, both = at_work()
    assert isinstance(both.atx, ActivationTxV2)
    marriage = both.atx.marriage_atx
    assert marriage is not None
    of_b = [([SubPostV2(1, 0, 0, POST, 10)], 7)]
    alone = merged(A, 8, marriage, [both.atx.previous_atxs[1]], of_b)
    assert told(node.judge(alone)) == ("reject", "signer_not_included")


def test_a_marriage_merged_twice_in_an_epoch_is_a_contradiction() -> None:
    node, both = at_work()
    assert isinstance(both.atx, ActivationTxV2) and both.atx.marriage_atx is not None
    marriage, first_of_b = both.atx.previous_atxs
    of_a = merged(A, 8, marriage, [marriage], [([SubPostV2(0, 0, 0, POST, 10)], 10)])
    of_b = merged(B, 8, marriage, [first_of_b], [([SubPostV2(1, 0, 0, POST, 10)], 10)])
    for one, kinds in ((of_a, []), (of_b, [Kind.DOUBLE_MERGE])):
        assert told(node.judge(one)) == ("accept", "")
        assert [event.kind for event in node.events(Contradiction)] == kinds


# ---- columns ----


def test_candidates_are_the_highest_whose_smesher_is_not_marked() -> None:
    columns = AtxColumns()
    for number, (base, height) in enumerate([(90, 100), (10, 300), (20, 200), (0, 400)]):
        id, node = AtxId(bytes([number]) * 32), NodeId(bytes([number]) * 32)
        columns.add(EpochId(3), AtxRow(id, node, Address(bytes(24)), 1, base, height, 0))
    columns.mark_malicious(NodeId(b"\3" * 32))
    assert [id[0] for id in columns.epoch(EpochId(3)).highest(4)] == [1, 2, 0]
    assert columns.epoch(EpochId(3)).highest(1) == [AtxId(b"\1" * 32)]


def test_the_median_is_of_those_who_are_not_marked_and_the_mean_of_two() -> None:
    columns = AtxColumns()
    for number, height in enumerate((10, 25, 90, 900)):
        id, node = AtxId(bytes([number]) * 32), NodeId(bytes([number]) * 32)
        columns.add(EpochId(3), AtxRow(id, node, Address(bytes(24)), 1, 0, height, 0))
    assert columns.median_height(EpochId(3)) == (25 + 90) // 2
    columns.mark_malicious(NodeId(b"\3" * 32))
    assert columns.median_height(EpochId(3)) == 25
