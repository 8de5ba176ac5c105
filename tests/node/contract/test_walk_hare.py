"""Walks: a burst of 64 hare messages with an equivocator; an own message; a key added in the middle of a session."""

from __future__ import annotations

from node.contract.effects import Emit, StopIdentity
from node.contract.verdicts import ACCEPT, Judgement
from node.engine.edges import Judge
from node.malfeasance.verdicts import World as ProofWorld
from node.malfeasance.verdicts import offender
from node.store.own import SIGNED, Kind, Slot
from protocol.crypto import signing
from protocol.types.hare import Hare3Message, IterRound
from protocol.types.ids import LayerId
from protocol.types.malfeasance import MalfeasanceProof
from tests.vector_cases.consensus_support import KeyRing

from .conftest import OpenStores
from .hare import PROOFS, ROUND_SECONDS, ROUNDS, TOPIC, Hare, HareEnded, Proofs, message
from .world import ALICE, GENESIS_ID, Key, World, at

PREROUND = IterRound(0, 0)
LAYER = 10


def node(open_stores: OpenStores, *keys: Key) -> tuple[World, Hare, KeyRing[Key]]:
    ring = KeyRing(*keys)
    hare = Hare(ring)
    return World(open_stores(PROOFS)(), [hare, Proofs()]), hare, ring


def test_a_burst_of_64_messages_with_an_equivocator(open_stores: OpenStores) -> None:
    world, hare, _ = node(open_stores)
    world.tick(LAYER)
    equivocator = Key(1000)
    honest = [message(Key(number), LAYER, PREROUND, (b"a" * 20,)) for number in range(1, 62)]
    false = [message(equivocator, LAYER, PREROUND, (one * 20,)) for one in (b"a", b"b", b"c")]
    burst = [*honest[:20], false[0], *honest[20:40], false[1], *honest[40:], false[2]]
    assert len(burst) == 64
    messages = [world.gossip(TOPIC, data) for data in burst]
    world.turn(*messages, now=at(LAYER, 12))

    assert world.checker.batches == [64]  # all signatures in one batch
    judged = {one.message: one.verdict for one in world.of(Judge)}
    assert [one.message for one in world.of(Judge)] == messages
    *others, third = messages
    assert all(judged[one] == ACCEPT for one in others)  # the second one too: it is the evidence
    assert (judged[third].judgement, judged[third].reason) == (Judgement.IGNORE, "duplicate")
    assert len(hare.sessions[LayerId(LAYER)].first) == 62

    ((identity, stored),) = world.view().scan(PROOFS)
    assert identity == equivocator.identity
    proof = MalfeasanceProof.codec.decode(stored)
    rules = ProofWorld(
        verify=lambda domain, key, data, signature: signing.verify(domain, key, data, signature, GENESIS_ID),
        identity_exists=lambda key: True,
        commitment_of=lambda key: None,
        is_index_invalid=lambda question: False,
    )
    assert offender(proof, rules) == equivocator.identity


def test_a_message_of_no_session_is_ignored_before_its_signature_is_looked_at(open_stores: OpenStores) -> None:
    world, _, _ = node(open_stores)
    world.tick(LAYER)
    good = message(Key(1), LAYER, PREROUND, (b"a" * 20,))
    forged = bytearray(good)
    forged[-1] ^= 1
    inputs = [
        world.gossip(TOPIC, b"nonsense"),
        world.gossip(TOPIC, message(Key(1), LAYER + 1, PREROUND, (b"a" * 20,))),
        world.gossip(TOPIC, bytes(forged)),
        world.gossip(TOPIC, good),
        world.gossip("other topic", good),
    ]
    world.turn(*inputs)
    judged = {one.message: one.verdict for one in world.of(Judge)}
    assert [(judged[one].judgement.value, judged[one].reason) for one in inputs] == [
        ("reject", "malformed"),
        ("ignore", "no_session"),
        ("reject", "signature"),
        ("accept", ""),
        ("ignore", "no_handler"),
    ]
    assert world.checker.batches == [2]
    assert world.engine.counts[TOPIC, "reject", "signature"] == 1


def test_a_message_that_comes_after_the_timer_of_its_session_meets_none(open_stores: OpenStores) -> None:
    world, _, _ = node(open_stores)
    world.tick(LAYER)
    end = ROUND_SECONDS * (len(ROUNDS) + 1)
    data = message(Key(1), LAYER, PREROUND, (b"a" * 20,))
    before = world.gossip(TOPIC, data, received=at(LAYER, end - 1))
    same = world.gossip(TOPIC, message(Key(2), LAYER, PREROUND, (b"a" * 20,)), received=at(LAYER, end))
    # both came while the node stood still, and so did the timers: all are taken in their order
    world.turn(same, before, now=at(LAYER, end + 5))
    judged = {one.message: one.verdict for one in world.of(Judge)}
    assert judged[before] == ACCEPT
    assert judged[same].reason == "no_session"
    assert [one.event for one in world.of(Emit)] == [HareEnded(LayerId(LAYER), 1)]


def test_an_own_message_is_judged_counted_stored_and_then_sent(open_stores: OpenStores) -> None:
    me = Key(1)
    world, hare, _ = node(open_stores, me)
    world.tick(LAYER)
    assert world.sent() == []
    world.turn(now=at(LAYER, ROUND_SECONDS))
    (data,) = world.sent()
    assert data == message(me, LAYER, PREROUND, (b"p" * 20,))
    ((place, counted),) = hare.sessions[LayerId(LAYER)].first.items()
    assert place == (PREROUND, me.identity) and counted == Hare3Message.codec.decode(data)
    assert world.checker.batches == [1]  # it passes the same checks as any other
    assert world.view().get(SIGNED, Slot(me.identity, Kind.HARE, LAYER, 0)) == data
    assert world.of(Judge) == []  # nobody else waits for this verdict
    assert world.engine.counts[TOPIC, "accept", ""] == 1


def test_an_own_message_that_comes_back_is_known_and_one_of_another_machine_stops_the_identity(
    open_stores: OpenStores,
) -> None:
    me = Key(1)
    world, _, ring = node(open_stores, me)
    world.tick(LAYER)
    world.turn(now=at(LAYER, ROUND_SECONDS))
    world.turn(world.gossip(TOPIC, world.sent()[0]))
    assert [one.reason for one in world.verdicts()] == ["own"]
    world.turn(world.gossip(TOPIC, message(me, LAYER, PREROUND, (b"other" * 4,)), ALICE))
    (stopped,) = world.of(StopIdentity)
    assert stopped.identity == me.identity and "signs on another machine too" in stopped.sentence
    ring.stop(stopped.identity, stopped.sentence)
    world.tick(LAYER + 1)
    world.turn(now=at(LAYER + 1, ROUND_SECONDS))
    # the session that ran keeps its signers; the next one has none
    assert {Hare3Message.codec.decode(data).body.layer for data in world.sent()} == {LAYER}


def test_a_key_added_in_the_middle_of_a_session_joins_the_next_layer(open_stores: OpenStores) -> None:
    first, second = Key(1), Key(2)
    world, _, ring = node(open_stores, first)
    world.tick(LAYER)
    world.turn(now=at(LAYER, ROUND_SECONDS))
    ring.keys.append(second)
    for place in range(2, len(ROUNDS) + 2):
        world.turn(now=at(LAYER, place * ROUND_SECONDS))
    senders = [Hare3Message.codec.decode(data).sender for data in world.sent()]
    assert senders == [first.identity] * len(ROUNDS)
    world.tick(LAYER + 1)
    world.turn(now=at(LAYER + 1, ROUND_SECONDS))
    decoded = [Hare3Message.codec.decode(data) for data in world.sent()[len(ROUNDS) :]]
    assert {one.sender for one in decoded} == {first.identity, second.identity}
    assert {one.body.layer for one in decoded} == {LAYER + 1}
    assert world.checker.batches[-1] == 2  # both own messages in one batch
    assert {slot.identity for slot in world.view().keys(SIGNED)} == {first.identity, second.identity}
