"""Short ids: which proposals they stand for, and the exchange of full lists with peers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from node.contract.demands import Failed, Request, Result
from node.contract.effects import Penalise
from node.contract.instants import Instant
from node.engine.edges import Call, Judge
from node.hare import exchange
from node.hare.parameters import HareBounds
from protocol.codec.declare import CodecError
from protocol.numbers.durations import SECOND
from protocol.types.hare import MAX_EXCHANGED_IDS, CompactIdRequest, Hare4Message
from protocol.types.ids import CompactProposalId, Hash32, LayerId, ProposalId
from tests.node.hare.words import FIRST, ME, OTHER, TOPIC_4, A, B, around, decoded, key, node, proposal, short_word
from tests.support.hare_nodes import HareNode, KeptProposal

UNKNOWN = proposal(9)
SAME = b"same"


def listening(proposals: Sequence[KeptProposal], result: Result | None = None, **bounds: int) -> HareNode:
    """A node without keys in the session of the first layer. result: of every request."""
    one = node([], around([ME, OTHER], proposals), number=4, bounds=HareBounds(**bounds))
    one.answers = None if result is None else lambda request: result
    one.tick(FIRST)
    return one


def requests(one: HareNode) -> list[Request]:
    return [call.demand for call in one.of(Call) if isinstance(call.demand, Request)]


def id_of(data: bytes) -> Hash32:
    return Hare4Message.codec.decode(data).body.hash()


# ---- matching ----


def plain(proposals: Sequence[KeptProposal], compact: Sequence[bytes]) -> tuple[ProposalId, ...] | None:
    """The same, written as the specification says it."""
    local = sorted((one.id, one.eligibilities[0].sig[:4]) for one in proposals)
    taken = [False] * len(local)
    found = []
    for short in compact:
        for position, (id, own) in enumerate(local):
            if own == short and not taken[position]:
                taken[position] = True
                found.append(id)
                break
        else:
            return None
    return tuple(sorted(found))


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 40), st.sampled_from([b"aaaa", b"bbbb", b"cccc"])), unique_by=lambda one: one[0]),
    st.lists(st.sampled_from([b"aaaa", b"bbbb", b"cccc"]), max_size=8),
)
def test_short_ids_are_matched_as_specified(known: list[tuple[int, bytes]], compact: list[bytes]) -> None:
    proposals = [proposal(number, compact=short) for number, short in known]
    found = exchange.matched(exchange.by_short_id(proposals), [CompactProposalId(short) for short in compact])
    assert found == plain(proposals, compact)


def test_a_proposal_without_eligibilities_has_no_short_id() -> None:
    bare = replace(A, eligibilities=())
    assert exchange.matched(exchange.by_short_id([bare]), [CompactProposalId(b"\1\0\0\0")]) is None
    assert exchange.compacted([bare, B], [A.id]) is None
    assert exchange.compacted([bare, B], [B.id]) == [b"\2\0\0\0"]
    assert exchange.compacted([B], [A.id]) is None, "it is not here"


# ---- frames ----


@settings(max_examples=100, deadline=None)
@given(st.lists(st.binary(min_size=20, max_size=20), max_size=60), st.binary(max_size=9))
def test_a_frame_is_read_as_it_was_made_whatever_follows(ids: list[bytes], rest: bytes) -> None:
    frame = exchange.response([ProposalId(id) for id in ids])
    assert exchange.responded(frame + rest) == tuple(ids)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=100))
def test_of_any_bytes_reading_a_frame_says_why_not(data: bytes) -> None:
    try:
        ids = exchange.responded(data)
    except (CodecError, ValueError):
        return
    assert exchange.responded(exchange.response(ids)) == ids


def test_frames_that_lie_about_their_length_are_refused() -> None:
    frame = exchange.response([A.id, B.id])
    for length in (1, 40, 42, 44):
        with pytest.raises((CodecError, ValueError)):
            exchange.responded(bytes([length << 2]) + frame[1:])
    with pytest.raises(ValueError, match="fewer than 1000000"):
        exchange.responded(exchange.c32.encode(1_000_000) + bytes(10))
    most = exchange.response([A.id] * MAX_EXCHANGED_IDS)
    assert len(exchange.responded(most)) == MAX_EXCHANGED_IDS
    with pytest.raises(CodecError):
        exchange.response([A.id] * (MAX_EXCHANGED_IDS + 1))


# ---- asking a peer ----


def test_a_list_with_a_proposal_that_is_not_here_is_asked_of_the_peer_that_sent_it() -> None:
    one = listening([A], exchange.response([UNKNOWN.id, A.id]))
    data = short_word(ME, 2, [A, UNKNOWN])
    assert one.hear(TOPIC_4, data, b"sender").is_accepted
    (asked,) = requests(one)
    assert (asked.protocol, asked.peer, asked.timeout) == (exchange.PROTOCOL, b"sender", 5_000_000_000)
    assert CompactIdRequest.codec.decode(asked.data).msg_id == id_of(data)
    # and it serves others now
    assert one.ask(exchange.PROTOCOL, asked.data) == exchange.response(sorted((A.id, UNKNOWN.id)))


def test_proposals_that_come_later_fit_too_and_are_gone_through_only_then() -> None:
    one = listening([A])
    session = one.machine._memory.sessions[LayerId(FIRST)]
    assert one.hear(TOPIC_4, short_word(ME, 2, [A])).is_accepted
    before = session.by_short_id([A])
    assert session.by_short_id([A]) is before
    one.surroundings.proposals[LayerId(FIRST)] = [A, UNKNOWN]
    assert one.hear(TOPIC_4, short_word(OTHER, 2, [A, UNKNOWN])).is_accepted
    assert not requests(one) and session.by_short_id([A, UNKNOWN]) is not before


def test_a_list_that_fits_by_chance_is_asked_for_once_the_signature_says_so() -> None:
    ours, meant = proposal(3, compact=SAME), proposal(5, compact=SAME)
    one = listening([ours], exchange.response([meant.id]))
    assert one.hear(TOPIC_4, short_word(ME, 2, [meant])).is_accepted
    assert len(requests(one)) == 1 and len(one.checker.batches) == 2


def test_a_second_list_must_have_as_many_ids_as_were_sent() -> None:
    ours, meant = proposal(3, compact=SAME), proposal(5, compact=SAME)
    one = listening([ours], exchange.response([meant.id, A.id]))
    assert one.hear(TOPIC_4, short_word(ME, 2, [meant])).reason == "fetched_length_mismatch"


@pytest.mark.parametrize(
    ("result", "verdict"),
    [
        (Failed("timeout"), ("ignore", "fetch_failed")),
        (b"", ("ignore", "fetch_failed")),
        (b"\xff" * 40, ("ignore", "fetch_failed")),
        (exchange.response([A.id, B.id]), ("reject", "bad_signature")),
        (exchange.response([]), ("reject", "bad_signature")),
    ],
)
def test_a_list_that_does_not_come_or_is_another_ends_the_message(result: Result, verdict: tuple[str, str]) -> None:
    one = listening([A], result)
    found = one.hear(TOPIC_4, short_word(ME, 2, [A, UNKNOWN]), b"sender")
    assert (found.judgement.value, found.reason) == verdict
    assert len(requests(one)) == 1, "nobody is asked twice"
    assert (one.messages, one.lists) == (0, 0)
    blamed = [penalty.peer for penalty in one.of(Penalise)]
    assert blamed == ([b"sender"] if isinstance(result, bytes) and verdict[0] == "ignore" else [])


def test_a_message_that_waits_for_its_list_ends_with_its_session() -> None:
    one = listening([A])
    message = one.gossip(TOPIC_4, short_word(ME, 2, [A, UNKNOWN]))
    one.turn(message)
    assert not one.of(Judge) and one.engine.waiting == 1
    while one.running:
        due = one.engine.next_due()
        assert due is not None
        one.turn(now=due)
    assert [judged.verdict.reason for judged in one.of(Judge)] == ["expired"]
    assert one.engine.waiting == one.engine.open_calls == 0


def test_without_proposals_of_the_layer_nobody_is_asked() -> None:
    one = listening([], exchange.response([A.id]))
    assert one.hear(TOPIC_4, short_word(ME, 2, [A])).reason == "no_local_proposals"
    assert one.hear(TOPIC_4, short_word(ME, 2, [])).reason == "no_local_proposals"
    assert not requests(one)


def test_a_list_that_was_got_once_is_not_asked_for_again() -> None:
    one = listening([A], exchange.response([A.id, UNKNOWN.id]))
    data = short_word(ME, 2, [A, UNKNOWN])
    assert one.hear(TOPIC_4, data, b"first").is_accepted
    assert one.hear(TOPIC_4, data, b"second").reason == "dropped"
    assert len(requests(one)) == 1


# ---- serving peers ----


def test_only_lists_of_messages_that_were_relayed_are_served() -> None:
    one = listening([A, B])
    relayed = short_word(ME, 2, [A, B])
    strange = short_word(key(77), 2, [A])
    assert one.hear(TOPIC_4, relayed).is_accepted
    assert one.hear(TOPIC_4, strange).reason == "not_eligible"
    ask = CompactIdRequest.codec.encode
    assert one.ask(exchange.PROTOCOL, ask(CompactIdRequest(id_of(relayed)))) == exchange.response((A.id, B.id))
    assert one.ask(exchange.PROTOCOL, ask(CompactIdRequest(id_of(strange)))) == Failed("not_found")
    for data in (b"", bytes(31), bytes(33)):
        assert one.ask(exchange.PROTOCOL, data) == Failed("malformed")


def test_a_node_serves_its_own_list_before_anybody_has_answered() -> None:
    one = node([ME], around([ME, OTHER], [A, B]), number=4)
    one.tick(FIRST)
    one.turn(now=one.at(FIRST, 25))
    (sent,) = [output.data for output in one.log if hasattr(output, "topic")]
    assert decoded(sent, 4).body.value.proposals == ()
    request = CompactIdRequest.codec.encode(CompactIdRequest(id_of(sent)))
    assert one.ask(exchange.PROTOCOL, request) == exchange.response((A.id, B.id))


def test_a_node_without_version_4_serves_nothing() -> None:
    one = node([], around([ME], [A]))
    assert one.ask(exchange.PROTOCOL, bytes(32)) == Failed("no_protocol")


def test_lists_are_bounded_by_number_and_by_ids_and_the_oldest_go() -> None:
    lists = exchange.FullLists(HareBounds(lists=3, list_ids=10, uncounted_lists=2))
    ids = [Hash32(bytes([number]) * 32) for number in range(9)]
    for id in ids[:4]:
        lists.put(LayerId(1), id, (A.id, B.id), is_counted=True)
    assert [lists.get(id) is not None for id in ids[:4]] == [False, True, True, True]
    lists.put(LayerId(2), ids[4], tuple([A.id] * 8), is_counted=True)
    assert [lists.get(id) is not None for id in ids[:5]] == [False, False, False, True, True]
    assert (len(lists), lists.ids) == (2, 10)
    lists.put(LayerId(2), ids[4], (A.id,), is_counted=False)
    assert lists.ids == 10, "the first one stays"
    for id in ids[6:]:
        lists.put(LayerId(1), id, (B.id,), is_counted=False)
    assert [lists.get(id) is not None for id in ids[6:]] == [False, True, True]
    assert (len(lists), lists.ids) == (4, 12), "they drive out no other"
    lists.forget_before(LayerId(2))
    assert (len(lists), lists.ids) == (1, 8)
    lists.put(LayerId(2), ids[5], tuple([A.id] * 11), is_counted=True)
    assert (len(lists), lists.ids) == (0, 0), "one that is too long is not kept at all"


def test_a_list_too_long_for_an_answer_is_not_served() -> None:
    lists = exchange.FullLists(HareBounds())
    id = Hash32(bytes(32))
    lists.put(LayerId(1), id, tuple([A.id] * (MAX_EXCHANGED_IDS + 1)), is_counted=True)
    assert exchange.Answers(lists, HareBounds()).answer(exchange.request(id), Instant(0)) == "too_long"


def test_so_many_lists_are_given_in_a_second() -> None:
    one = listening([A, B], answers=3)
    data = short_word(ME, 2, [A, B])
    assert one.hear(TOPIC_4, data).is_accepted
    request = exchange.request(id_of(data))
    given = exchange.response((A.id, B.id))
    assert [one.ask(exchange.PROTOCOL, request) for _ in range(5)] == [given] * 3 + [Failed("busy")] * 2
    one.turn(now=one.now + SECOND)
    assert one.ask(exchange.PROTOCOL, request) == given
