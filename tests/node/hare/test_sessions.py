"""Sessions: when they begin and end, what is said in them and when, and what they leave behind."""

from __future__ import annotations

from dataclasses import replace

import pytest

from kernels import seats as kernel
from node.blocks.tables import AGREED
from node.contract.demands import Failed, ProveVrf
from node.contract.inputs import Tick
from node.engine.edges import Call, Judge, Returned, Send
from node.hare.events import HareAgreed, HareBegan, HareEnded, HareSkipped, HareUnsaid
from node.hare.protocol import reference_of
from node.hare.tables import WEAK_COINS
from node.store.own import SIGNED, Kind, Slot
from protocol.numbers.durations import SECOND
from protocol.types.eligibility import hare_input
from protocol.types.hare import MAX_PROPOSALS
from protocol.types.ids import Hash32, LayerId, ProposalId
from tests.node.hare.words import (
    BEACON,
    COMMIT,
    END,
    FIRST,
    IDS,
    ME,
    NOTIFY,
    OTHER,
    PREROUND,
    PROPOSE,
    TOPIC,
    A,
    B,
    alone,
    around,
    events,
    key,
    node,
    pass_time,
    proposal,
    said,
    word,
)

# ---- a session ----


def test_a_node_with_all_seats_agrees_with_itself_and_leaves_rows_for_those_who_follow() -> None:
    one = alone()
    pass_time(one, FIRST, END)
    view = one.view()
    assert view.get(AGREED, LayerId(FIRST)) == IDS
    assert one.surroundings.coins == [(FIRST, view.get(WEAK_COINS, LayerId(FIRST)))]
    assert events(one) == [
        HareBegan(LayerId(FIRST), 1),
        HareAgreed(LayerId(FIRST), IDS, 1),
        HareEnded(LayerId(FIRST), True, 7),
    ]
    assert one.patrol.is_in_charge(LayerId(FIRST)), "blocks say when the layer is complete"
    assert (one.running, one.messages, one.engine.open_calls) == ([], 0, 0)
    assert one.engine.next_due() is None


def test_each_round_is_executed_at_its_time_and_what_is_said_names_its_slot() -> None:
    one = alone()
    times = []
    while (due := one.engine.next_due()) is not None:
        before = len(one.of(Send))
        one.turn(now=due)
        rounds = [message.body.iter_round for message in said(one)[before:]]
        times += [((due - one.at(FIRST)) // SECOND, at.iter, int(at.round)) for at in rounds]
    assert times == [(25, 0, 0), (49, 0, 3), (85, 0, 6), (97, 0, 7), (133, 1, 3), (169, 1, 6), (181, 1, 7)]
    stored = dict(one.view().scan(SIGNED))
    slots = [Slot(ME.identity, Kind.HARE, FIRST, 7 * at_iter + round) for _, at_iter, round in times]
    assert [stored[slot] for slot in slots] == [output.data for output in one.of(Send)]
    assert len(stored) == len(slots)


def test_proofs_are_asked_for_a_round_before_they_are_needed() -> None:
    one = node([ME], around([ME], [A]), is_proving=False)
    asked: list[tuple[float, int]] = []
    key_of = {one_key.identity: one_key for one_key in (ME,)}

    def prove(outputs: list[object]) -> None:
        for left in outputs:
            if isinstance(left, Call) and isinstance(left.demand, ProveVrf):
                asked.append(((one.now - one.at(FIRST)) / SECOND, left.call))
                proof = key_of[left.demand.identity].prove(left.demand.alpha)
                prove(list(one.turn(Returned(left.call, proof, one.now))))

    prove(list(one.tick(FIRST)))
    while (due := one.engine.next_due()) is not None:
        prove(list(one.turn(now=due)))
    assert [seconds for seconds, _ in asked] == [0, 37, 73, 85, 121, 157, 169]
    assert len(said(one)) == 7


def test_a_proof_that_comes_late_is_good_until_the_next_round() -> None:
    one = node([ME], around([ME], [A]), is_proving=False)
    one.tick(FIRST)
    (call,) = one.of(Call)
    assert isinstance(call.demand, ProveVrf)
    one.turn(now=one.at(FIRST, 25))
    assert said(one) == []
    one.turn(Returned(call.call, ME.prove(call.demand.alpha), one.now), now=one.at(FIRST, 30))
    (message,) = said(one)
    assert message.body.iter_round == PREROUND and message.body.value.proposals == (A.id,)

    one.turn(now=one.at(FIRST, 37))
    late = one.of(Call)[-1]
    assert isinstance(late.demand, ProveVrf)
    one.turn(now=one.at(FIRST, 49))
    one.turn(now=one.at(FIRST, 61))
    one.turn(Returned(late.call, ME.prove(late.demand.alpha), one.now))
    assert len(said(one)) == 1, "the propose round is over"


def test_a_proof_that_comes_after_the_next_word_signs_nothing() -> None:
    """Commit and notify follow each other: seats in the one are none in the other."""
    others = [key(2), key(3)]
    one = node([ME], around([ME, *others], [A]), is_proving=False)
    one.tick(FIRST)
    commits = []
    while one.now < one.at(FIRST, 97):
        due = one.engine.next_due()
        assert due is not None
        at = one.machine._memory.sessions[LayerId(FIRST)].protocol.next_round
        one.turn(now=due)
        if at in (PREROUND, PROPOSE, COMMIT):
            reference = reference_of([A.id]) if at == COMMIT else None
            ids = () if at == COMMIT else (A.id,)
            for other in others:
                assert one.hear(TOPIC, word(other, at, 3, *ids, reference=reference)).is_accepted
        commits += [call for call in one.of(Call) if call.demand.alpha == commit_question() and call not in commits]
    session = one.machine._memory.sessions[LayerId(FIRST)]
    assert session.said is not None and session.said.at == NOTIFY
    (late,) = commits
    one.turn(Returned(late.call, ME.prove(late.demand.alpha), one.now))
    assert said(one) == [] and not list(one.view().keys(SIGNED))


def commit_question() -> bytes:
    return hare_input(BEACON, COMMIT.absolute(), LayerId(FIRST))


def test_a_proof_that_cannot_be_had_means_no_seats_and_the_preround_is_executed_at_once() -> None:
    one = node([ME], around([ME], [A]), is_proving=False)
    one.tick(FIRST)
    (call,) = one.of(Call)
    assert one.engine.next_due() == one.at(FIRST, 25)
    one.turn(Returned(call.call, Failed("refused"), one.now))
    assert one.engine.next_due() == one.at(FIRST, 37)
    pass_time(one, FIRST, 40)
    assert said(one) == []


def test_who_has_no_seats_executes_the_preround_at_once_and_listens() -> None:
    one = node([OTHER], around([ME], [A]))
    one.tick(FIRST)
    assert one.engine.next_due() == one.at(FIRST, 37)
    assert one.hear(TOPIC, word(ME, PREROUND, 1, A.id)).is_accepted
    assert one.of(Call) == []


def test_a_key_added_in_the_middle_of_a_session_joins_the_next_layer() -> None:
    one = node([ME], around([ME, OTHER], [A], (FIRST, FIRST + 1)))
    one.tick(FIRST)
    one.keys.keys.append(OTHER)
    pass_time(one, FIRST, 290)
    assert {message.sender for message in said(one)} == {ME.identity}
    before = len(said(one))
    one.tick(FIRST + 1)
    pass_time(one, FIRST + 1, 290)
    later = [message for message in said(one)[before:] if message.body.layer == FIRST + 1]
    assert {message.sender for message in later} == {ME.identity, OTHER.identity}
    preround = [message.sender for message in later if message.body.iter_round == PREROUND]
    assert preround == [ME.identity, OTHER.identity]


def test_a_key_that_was_stopped_says_nothing_more_in_the_session_that_runs() -> None:
    one = alone()
    pass_time(one, FIRST, 48)  # the proof for the next round is there
    one.keys.stop(ME.identity, "its owner wants it so")
    pass_time(one, FIRST, END)
    assert [message.body.iter_round for message in said(one)] == [PREROUND]
    assert len(list(one.view().keys(SIGNED))) == 1
    assert not one.running


@pytest.mark.parametrize("seconds", [0, 25, 26, 50, 86, 100, 140])
def test_after_a_restart_in_the_middle_of_a_session_nothing_is_signed_twice(seconds: int) -> None:
    first = alone()
    pass_time(first, FIRST, seconds)
    before = dict(first.view().scan(SIGNED))
    again = node([ME], around([ME], [A], (FIRST, FIRST + 1)), stores=first.stores, now=first.at(FIRST, seconds))
    again.tick(FIRST)  # even if it were told of the layer once more
    pass_time(again, FIRST, 299)
    assert (said(again), events(again), again.running) == ([], [], [])
    assert dict(again.view().scan(SIGNED)) == before
    for data in [output.data for output in first.of(Send)]:
        assert again.hear(TOPIC, data).reason == "no_session"
    again.tick(FIRST + 1)
    pass_time(again, FIRST + 1, 290)
    assert [message.body.layer for message in said(again)] == [FIRST + 1] * 7
    after = dict(again.view().scan(SIGNED))
    assert len(after) == len(before) + 7
    assert all(after[slot] == data for slot, data in before.items())


def test_what_was_signed_for_a_slot_is_sent_again_whatever_is_believed_now() -> None:
    """As after a restored state: the own store is ahead."""
    first = alone()
    pass_time(first, FIRST, 30)
    (sent,) = [output.data for output in first.of(Send)]
    again = node([ME], around([ME], [B]), stores=first.stores)
    again.tick(FIRST)
    pass_time(again, FIRST, 30)
    assert [output.data for output in again.of(Send)] == [sent]
    assert again.engine.counts[TOPIC, "slot_taken", "HARE"] == 1


# ---- when there is none ----


def test_the_genesis_has_no_session() -> None:
    one = node([ME], around([ME], [A]))
    one.tick(FIRST - 1)
    assert (events(one), one.running) == ([], [])
    one.tick(FIRST)
    assert one.running == [FIRST]


def test_a_layer_has_one_session_even_if_it_is_told_of_twice() -> None:
    one = alone()
    pass_time(one, FIRST, 50)
    one.turn(Tick(LayerId(FIRST), one.at(FIRST)))
    pass_time(one, FIRST, END)
    one.turn(Tick(LayerId(FIRST), one.at(FIRST)))
    assert len(said(one)) == 7 and not one.running
    assert [type(event) for event in events(one)] == [HareBegan, HareAgreed, HareEnded]


def test_a_layer_that_began_before_the_node_has_none() -> None:
    one = node([ME], around([ME], [A]), now=alone().at(FIRST, 1))
    one.tick(FIRST)
    assert (events(one), one.running) == ([], [])
    assert not one.patrol.is_in_charge(LayerId(FIRST))


@pytest.mark.parametrize(
    ("is_synced", "beacon", "reason"),
    [(False, BEACON, "not_synced"), (True, bytes(4), "beacon_missing"), (True, None, "beacon_missing")],
)
def test_it_takes_a_synced_node_and_a_beacon(is_synced: bool, beacon: bytes | None, reason: str) -> None:
    one = node([ME], around([ME], [A]), beacons={} if beacon is None else {2: beacon})
    one.surroundings.is_synced = is_synced
    one.tick(FIRST)
    assert events(one) == [HareSkipped(LayerId(FIRST), reason)]
    assert not one.running and not one.patrol.is_in_charge(LayerId(FIRST))
    assert one.hear(TOPIC, word(ME, PREROUND, 1, A.id)).reason == "no_session"


def test_a_layer_whose_session_would_be_over_is_not_begun_any_more() -> None:
    one = node([ME], around([ME], [A]))
    one.turn(Tick(LayerId(FIRST), one.at(FIRST)), now=one.at(FIRST, END))
    assert events(one) == [HareSkipped(LayerId(FIRST), "over")]
    one.turn(Tick(LayerId(FIRST + 1), one.at(FIRST + 1)), now=one.at(FIRST + 1, END - 1))
    assert one.running == [FIRST + 1]


def test_without_anybody_active_the_session_ends_with_its_iterations_and_patrol_is_cleared() -> None:
    one = node([ME], around([ME], [A]))
    one.surroundings.has_active_set = False
    one.tick(FIRST)
    assert one.hear(TOPIC, word(ME, PREROUND, 1, A.id)).reason == "not_eligible"
    pass_time(one, FIRST, END - 1)
    assert one.running == [FIRST] and one.patrol.is_in_charge(LayerId(FIRST))
    pass_time(one, FIRST, END)
    assert not one.running and not one.patrol.is_in_charge(LayerId(FIRST))
    assert events(one) == [HareBegan(LayerId(FIRST), 1), HareEnded(LayerId(FIRST), False, 0)]
    assert not one.view().has(AGREED, LayerId(FIRST)) and not one.surroundings.coins


def test_who_is_active_is_asked_once_a_session_and_once_a_round_as_long_as_it_cannot_be_told() -> None:
    """Making an active set takes long: no message of a peer makes us try."""
    one = node([ME], around([ME], [A]))
    one.surroundings.has_active_set = False
    one.tick(FIRST)
    for at in (PREROUND, COMMIT):
        reference = None if at == PREROUND else Hash32(bytes(32))
        assert one.hear(TOPIC, word(ME, at, 1, reference=reference)).reason == "not_eligible"
    assert one.surroundings.asked == 1
    pass_time(one, FIRST, 37)
    assert one.surroundings.asked == 2
    one.surroundings.has_active_set = True
    pass_time(one, FIRST, 49)
    assert one.surroundings.asked == 3
    pass_time(one, FIRST, 86)
    assert one.surroundings.asked == 3
    assert one.hear(TOPIC, word(ME, NOTIFY, 1, reference=Hash32(bytes(32)))).reason == ""


def test_a_result_of_the_last_hardlock_still_counts() -> None:
    one = alone(iterations_limit=1)
    pass_time(one, FIRST, 109)
    assert one.view().get(AGREED, LayerId(FIRST)) == IDS
    assert events(one)[-1] == HareEnded(LayerId(FIRST), True, 4)
    assert not one.patrol.is_in_charge(LayerId(FIRST))


# ---- what is said ----


def test_of_more_proposals_than_a_message_holds_nothing_is_said() -> None:
    makers = [number.to_bytes(32, "big") for number in range(MAX_PROPOSALS + 1)]
    many = [replace(proposal(1, maker), id=ProposalId(maker[-20:])) for maker in makers]
    one = node([ME], around([ME], many))
    one.tick(FIRST)
    pass_time(one, FIRST, 26)
    assert said(one) == []
    assert events(one)[-1] == HareUnsaid(LayerId(FIRST), PREROUND, "too_many_proposals")
    assert one.running, "the session goes on"


def test_what_counts_seats_is_compiled_before_the_first_message() -> None:
    alone()
    assert kernel.binomial_cdf.signatures and kernel.eligibility_counts.signatures


def test_an_own_message_is_judged_and_counted_like_any_other() -> None:
    one = alone()
    pass_time(one, FIRST, 26)
    assert one.engine.counts[TOPIC, "accept", ""] == 1
    assert one.checker.batches == [1] and one.checker.vrf_batches == [1]
    assert one.messages == 1
    assert not one.of(Judge), "nobody else waits for this verdict"
