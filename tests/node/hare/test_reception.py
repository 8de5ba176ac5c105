"""Messages of peers: a burst with an equivocator, forged fields, floods, own words that come from outside."""

from __future__ import annotations

from dataclasses import replace

from node.contract.effects import StopIdentity
from node.contract.messages import Message, Origin
from node.contract.steps import Found, Judged, Needs, Ticket
from node.engine.edges import Judge, Send
from node.hare.gossip import HareInput
from node.hare.parameters import HareBounds
from node.hare.protocol import HareProtocol
from node.hare.seats import Committee
from node.hare.session import Session
from node.hare.versions import Version
from node.malfeasance.tables import PROOFS
from node.malfeasance.verdicts import World as ProofWorld
from node.malfeasance.verdicts import offender
from protocol.crypto import signing
from protocol.types.hare import Hare3Body, Hare3Value, HareRound, IterRound
from protocol.types.ids import EdSignature, Hash32, LayerId, ProposalId, VrfSignature
from protocol.types.malfeasance import MalfeasanceProof
from tests.node.hare.words import (
    BEACON,
    COMMIT,
    FIRST,
    GENESIS_ID,
    KEYS,
    ME,
    NOTIFY,
    OTHER,
    PREROUND,
    PROPOSE,
    REFERENCE,
    TOPIC,
    TOPIC_4,
    A,
    B,
    C,
    around,
    atx,
    committee,
    decoded,
    key,
    listening,
    node,
    reasons,
    seats,
    short_word,
    signed,
    word,
)
from tests.vector_cases.consensus_support import Key

MANY = 4000
"""Seats, so that each of 63 keys has some."""


# ---- the walk ----


def test_a_burst_of_64_preround_messages_with_an_equivocator() -> None:
    members = [key(number) for number in range(1, 64)]
    known = around([], [A, B, C])
    known.atxs = [atx(one.identity) for one in members]
    one = node([], known, committee=MANY)
    one.tick(FIRST)

    def say(who: int, *ids: ProposalId) -> bytes:
        return _of_many(members[who], len(members), PREROUND, Hare3Value(ids))

    equivocator = 0
    honest = [say(who, A.id) for who in range(1, 62)]
    false = [say(equivocator, *ids) for ids in ((A.id,), (B.id,), (C.id,))]
    burst = [*honest[:20], false[0], *honest[20:40], false[1], *honest[40:], false[2]]
    assert len(burst) == 64
    messages = [one.gossip(TOPIC, data) for data in burst]
    one.turn(*messages)

    assert one.checker.batches == [64] and one.checker.vrf_batches == [64], "each in one batch"
    assert [output.message for output in one.of(Judge)] == messages
    assert reasons(one) == [*[("accept", "")] * 63, ("ignore", "dropped")]  # the second one too: it is the evidence
    assert one.messages == 62

    ((identity, stored),) = one.view().scan(PROOFS)
    assert identity == members[equivocator].identity
    rules = ProofWorld(
        verify=lambda domain, public, data, signature: signing.verify(domain, public, data, signature, GENESIS_ID),
        identity_exists=lambda public: True,
        commitment_of=lambda public: None,
        is_index_invalid=lambda question: False,
    )
    proof = MalfeasanceProof.codec.decode(stored.proof)
    assert offender(proof, rules) == identity
    first, second = (decoded(data) for data in false[:2])
    hashes = [message.inner.msg_hash for message in proof.proof.messages]
    assert hashes == [first.body.hash(), second.body.hash()], "first the one that was there"

    # from now on it is known: what it says elsewhere counts, but not as a valid vote, and is no new proof
    for letter in (b"x", b"y"):
        value = Hare3Value((), Hash32(letter * 32))
        one.hear(TOPIC, _of_many(members[equivocator], len(members), COMMIT, value))
    assert reasons(one)[-2:] == [("accept", ""), ("ignore", "dropped")]
    assert len(list(one.view().scan(PROOFS))) == 1


def _of_many(one: Key, members: int, at: IterRound, value: Hare3Value) -> bytes:
    return signed(one, Hare3Body(LayerId(FIRST), at, value, seats(one, at, members, committee=MANY)))


def test_a_third_message_costs_a_signature_and_no_proof() -> None:
    one = listening()
    for ids in ((A.id,), (B.id,), (C.id,)):
        one.hear(TOPIC, word(ME, PREROUND, 4, *ids))
    one.hear(TOPIC, word(OTHER, PREROUND, 4, A.id))
    one.hear(TOPIC, word(OTHER, PREROUND, 4, A.id))
    assert reasons(one) == [
        ("accept", ""), ("accept", ""), ("ignore", "dropped"), ("accept", ""), ("ignore", "dropped"),
    ]  # fmt: skip
    assert len(one.checker.batches) == 5 and len(one.checker.vrf_batches) == 3


def test_who_is_convicted_between_its_two_messages_needs_no_other_proof() -> None:
    one = listening()
    assert one.hear(TOPIC, word(ME, PREROUND, 4, A.id)).is_accepted
    one.convict(ME.identity)
    assert one.hear(TOPIC, word(ME, PREROUND, 4, B.id)).is_accepted
    assert not list(one.view().scan(PROOFS))


# ---- the order of the checks ----


def test_nothing_is_checked_for_who_is_in_no_session_and_no_proof_for_who_signs_badly_or_cannot_have_seats() -> None:
    one = listening()
    good = word(ME, PREROUND, 4, A.id)
    forged = bytearray(good)
    forged[-1] ^= 1
    stranger = key(99)
    for data in (
        b"nonsense",
        word(ME, COMMIT, 4),
        word(ME, PREROUND, 4, A.id, reference=REFERENCE),
        word(ME, PREROUND, 4, A.id, layer=FIRST + 1),
        bytes(forged),
        word(stranger, PREROUND, 4, A.id),
    ):
        one.hear(TOPIC, data)
    assert reasons(one) == [
        ("reject", "malformed"),
        ("reject", "missing_reference"),
        ("reject", "unexpected_reference"),
        ("ignore", "no_session"),
        ("reject", "bad_signature"),
        ("ignore", "not_eligible"),
    ]
    assert one.checker.batches == [1, 1] and one.checker.vrf_batches == []
    assert one.messages == 0


def test_a_session_that_ends_while_a_message_is_looked_at_takes_it_no_more() -> None:
    one = listening()
    message = Message(TOPIC, word(ME, PREROUND, 4, A.id), Origin.GOSSIP, one.now)
    step = one.machine.admit(message, one.view(), one.now)
    assert isinstance(step, Needs)
    one.machine._memory.sessions.clear()
    found = one.machine.proceed(Ticket(0, message, step.memo, one.now), Found((True,)), one.view(), one.now)
    assert isinstance(found, Judged) and found.verdict.reason == "no_session"


# ---- floods ----


def test_of_rounds_that_nobody_counts_so_many_messages_are_kept_and_they_are_in_nobodys_way() -> None:
    one = listening(HareBounds(uncounted=3))
    rounds = [
        *(IterRound(0, round) for round in (HareRound.SOFTLOCK, HareRound.WAIT1)),
        *(IterRound(number, HareRound.PREROUND) for number in range(1, 4)),
        *(IterRound(number, HareRound.PROPOSE) for number in range(4, 6)),
    ]
    for at in rounds:
        one.hear(TOPIC, word(ME, at, 4, A.id))
    assert reasons(one) == [("accept", "")] * 3 + [("ignore", "too_many_uncounted")] * 4
    assert len(one.checker.vrf_batches) == 3, "nothing is proven for what is not kept"
    honest = [PREROUND, *(IterRound(number, round) for number in range(4) for round in (3, 6, 7))]
    for sender in (ME, OTHER):
        for at in honest:
            reference = REFERENCE if at.round > 3 else None
            assert one.hear(TOPIC, word(sender, at, 4, reference=reference)).is_accepted, at
    assert one.messages == 3 + 2 * len(honest)


def test_who_has_seats_can_keep_no_more_than_one_message_a_round() -> None:
    """Every round that there is, three times, by one member."""
    one = listening(HareBounds(uncounted=100))
    for number in range(12):
        for round in range(8):
            for letter in (b"1", b"2", b"3"):
                reference = Hash32(letter * 32) if round in (6, 7) else None
                ids = () if reference else (ProposalId(letter * 20),)
                one.hear(TOPIC, word(ME, IterRound(number, round), 4, *ids, reference=reference))
    assert one.messages == 8 * 12
    (session,) = one.machine._memory.sessions.values()
    assert session.uncounted == 8 * 12 - (1 + 3 * 4)


def test_lists_of_rounds_that_nobody_counts_are_not_kept() -> None:
    version = Version(3, committee(3, iterations_limit=2))
    layer = LayerId(FIRST)
    session = Session(
        version, layer, listening().now, Committee(version.parameters, layer, BEACON), (), HareProtocol(10)
    )
    ids = tuple(ProposalId(bytes([number]) * 20) for number in range(50))
    counted = [PREROUND, PROPOSE, IterRound(1, HareRound.PROPOSE)]
    named = [COMMIT, NOTIFY, IterRound(255, HareRound.COMMIT)]
    others = [IterRound(1, 0), IterRound(0, 1), IterRound(0, 4), IterRound(2, 3), IterRound(255, 3), IterRound(254, 6)]
    for at in (*counted, *named, *others):
        reference = REFERENCE if at in named else None
        hash = Hash32(bytes([at.iter, at.round]) * 16)
        message = HareInput(
            ME.identity, at, ids, reference, hash, VrfSignature(bytes(80)), 1, 5, False, EdSignature(bytes(64))
        )
        assert session.receive(message) is None
    kept = session.protocol._gossip._kept
    assert {at for at, senders in kept.items() for one in senders.values() if one.message.proposals} == set(counted)
    assert (session.messages, session.uncounted) == (len(counted) + len(named) + len(others), len(others))


def test_a_session_that_ends_frees_all_that_it_held() -> None:
    one = listening(number=4)
    for sender in KEYS:
        one.hear(TOPIC_4, short_word(sender, 4, [A, B, C]))
    assert (one.messages, one.lists) == (4, 4)
    while (due := one.engine.next_due()) is not None:
        one.turn(now=due)
    assert (one.messages, one.running) == (0, [])
    one.tick(FIRST + 1)
    assert one.lists == 4, "peers may still ask"
    one.tick(FIRST + 2)
    assert one.lists == 0 and one.machine._memory.lists.ids == 0


# ---- own identities ----


def test_an_own_message_that_comes_back_is_known() -> None:
    one = node([ME], around(KEYS, [A]))
    one.tick(FIRST)
    one.turn(now=one.at(FIRST, 25))
    (sent,) = one.of(Send)
    assert one.hear(TOPIC, sent.data).reason == "dropped"
    assert not one.of(StopIdentity)


def test_an_own_message_that_this_node_did_not_make_stops_the_identity_and_counts_like_any_other() -> None:
    one = node([ME], around(KEYS, [A]))
    one.tick(FIRST)
    one.turn(now=one.at(FIRST, 25))
    assert one.hear(TOPIC, word(ME, PREROUND, 4, B.id)).is_accepted, "it is the evidence"
    (stopped, _) = one.of(StopIdentity)  # the proof that is kept against it stops it as well
    assert stopped.identity == ME.identity and "signs on another machine too" in stopped.sentence
    assert [identity for identity, _ in one.view().scan(PROOFS)] == [ME.identity]
    one.keys.stop(stopped.identity, stopped.sentence)
    sent = len(one.of(Send))
    one.turn(now=one.at(FIRST, 49))
    assert len(one.of(Send)) == sent


def test_an_own_message_from_outside_stops_the_identity_before_it_has_said_anything_itself() -> None:
    one = node([ME], around(KEYS, [A]))
    one.tick(FIRST)
    assert one.hear(TOPIC, word(ME, COMMIT, 4, reference=REFERENCE)).is_accepted
    (stopped,) = one.of(StopIdentity)
    assert stopped.identity == ME.identity
    assert not list(one.view().scan(PROOFS)), "one message is no contradiction"


def test_another_form_of_an_own_short_message_is_still_our_own() -> None:
    one = node([ME], around(KEYS, [A, B]), number=4)
    one.tick(FIRST)
    one.turn(now=one.at(FIRST, 25))
    (sent,) = one.of(Send)
    message = decoded(sent.data, 4)
    value = replace(message.body.value, compact_proposals=tuple(reversed(message.body.value.compact_proposals)))
    other = type(message).codec.encode(replace(message, body=replace(message.body, value=value)))
    assert other != sent.data
    assert one.hear(TOPIC_4, other).reason == "dropped"
    assert not one.of(StopIdentity)


def test_every_key_has_seats_in_every_round() -> None:
    """So that what is refused above is refused for what it says."""
    assert all(seats(one, at, 4).count > 0 for one in KEYS for at in (PREROUND, PROPOSE, COMMIT, NOTIFY))
