"""What is signed is sent, once for an epoch, and contradicts nothing, whatever is lost or comes from elsewhere."""

from __future__ import annotations

from dataclasses import replace

from node.activation.smeshing.events import (
    ChallengeDropped,
    NotPublished,
    Published,
    RegisteredAt,
)
from node.activation.smeshing.tables import (
    INITIAL_POSTS,
    NIPOSTS,
)
from node.activation.tables import ATXS, POET_BLOBS, POETS
from node.contract.demands import (
    Demand,
    Failed,
    Result,
    VerifyPost,
)
from node.contract.instants import Instant
from node.contract.owed import OWED
from node.store.memory import MemoryBackend
from node.store.view import Rows
from protocol.numbers.durations import SECOND
from protocol.types.activation import ActivationTxV1
from tests.node.activation.forge import v1

from .rig import START, STATE, Rig, copied, end_of, round_end, round_start, sentences
from .stand_ins import PARAMETERS, A


def test_nothing_new_is_signed_before_the_node_is_synced() -> None:
    rig = Rig(A)
    rig.is_synced = False
    rig.run_until(Instant(round_start(3) - 100 * SECOND))
    assert rig.of(RegisteredAt) == [] and rig.stores.view().has(INITIAL_POSTS, A.identity)
    rig.is_synced = True
    rig.run_until(Instant(round_end(3) - 1))
    assert len(rig.of(RegisteredAt)) == 0  # the layer after came when the round had started
    rig = Rig(A)
    rig.run_until(Instant(round_start(3) + 1))
    rig.is_synced = False
    rig.begin()
    rig.run_until(Instant(round_end(3) + 400 * SECOND))
    # proofs are made meanwhile; to sign, what others know of the identity must be here
    assert rig.stores.view().has(NIPOSTS, A.identity) and rig.signed(A) == {}
    rig.is_synced = True
    rig.run_until(end_of(3))
    assert rig.sent_epochs(A) == [3]


def test_what_the_own_handler_does_not_take_is_published_again_as_it_was_signed() -> None:
    rig = Rig(A)
    rig.run_until(Instant(round_end(3) - 1))

    def verify(demand: Demand) -> Result | None:
        assert isinstance(demand, VerifyPost)
        return None if demand.is_urgent else Failed("stopped")  # only the handler's own checks fail

    rig.results[VerifyPost] = verify
    rig.run_until(Instant(round_end(3) + 700 * SECOND))
    refused = sentences(rig, NotPublished)
    assert len(refused) >= 2 and "could not be checked" in refused[0]
    (signed,) = rig.signed(A).values()
    assert rig.sent == [] and rig.of(Published) == []
    rig.results.clear()
    rig.run_until(end_of(3))
    assert rig.sent == [signed] and rig.signed(A)[3] == signed


def test_what_the_network_did_not_take_is_sent_after_a_restart() -> None:
    rig = Rig(A)
    rig.sends = False
    rig.begin()
    rig.run_until(Instant(round_end(3) + 100 * SECOND))
    assert len(rig.sent) == 1 and rig.of(Published) == []
    assert len(list(rig.stores.view().keys(OWED))) == 1
    rig.is_synced = False  # it is signed already, so that need not be waited for
    rig.sends, rig.sent = True, []
    rig.begin()
    rig.run_until(Instant(rig.now + SECOND))
    assert rig.sent == [rig.signed(A)[3]] and len(rig.of(Published)) == 1
    assert list(rig.stores.view().keys(OWED)) == []


def test_a_signed_one_that_the_state_does_not_know_goes_out_before_anything_is_built_beside_it() -> None:
    rig = Rig(A)
    rig.run_until(end_of(3))
    backup = copied(rig.stores.view(), STATE)
    rig.run_until(Instant(round_end(4) + 100 * SECOND))
    assert rig.sent_epochs(A) == [3, 4]
    signed, sent = rig.signed(A), rig.sent
    rig.objects |= dict(rig.stores.view().scan(POET_BLOBS))  # peers have got them with the activation
    rig.state = backup
    rig.sent = []
    rig.begin()
    assert rig.stores.view().get(ATXS, rig.atx(A, 4).id()) is None
    rig.run_until(end_of(5))
    assert rig.sent[0] == sent[-1] and rig.sent_epochs(A) == [4, 5]
    last = rig.atx(A, 5)
    assert isinstance(last, ActivationTxV1)
    assert last.inner.challenge.prev_atx == rig.atx(A, 4).id() and rig.signed(A)[4] == signed[4]


def test_what_is_in_the_making_is_not_lost_when_an_older_one_is_sent_again() -> None:
    rig = Rig(A)
    rig.run_until(Instant(round_end(3) - 1))
    backup = copied(rig.stores.view(), STATE)
    rig.run_until(Instant(round_start(4) + 1))
    rig.objects |= dict(rig.stores.view().scan(POET_BLOBS))
    rig.state, rig.sent = backup, []
    rig.begin()
    rig.run_until(end_of(4))
    assert rig.sent_epochs(A) == [3, 4]
    for poet in rig.poets.values():
        assert [work.deadline for work in poet.registered] == [round_start(3), round_start(4), round_start(5)]


def test_the_proof_of_the_round_is_not_lost_with_the_state() -> None:
    rig = Rig(A)
    rig.run_until(Instant(round_end(3) + 59 * SECOND))
    rows = Rows(rig.stores.view())
    (ref,) = rows.keys(POETS)
    rows.delete(POETS, ref)
    rows.delete(POET_BLOBS, ref)
    rig.stores.write(rows)
    rig.begin()
    rig.run_until(end_of(3))
    assert rig.sent_epochs(A) == [3] and rig.stores.view().has(POET_BLOBS, ref)


def test_an_activation_from_elsewhere_stops_the_identity() -> None:
    rig = Rig(A)
    rig.run_until(Instant(START + 100 * SECOND))
    rig.receive(v1(A, 2))
    assert list(rig.stopped) == [A.identity] and "in use elsewhere" in rig.stopped[A.identity]


def test_an_activation_of_the_past_that_sync_brings_counts_as_signed() -> None:
    rig = Rig(A)
    forged = v1(A, 1)
    rig.receive(forged)
    assert rig.stopped == {} and rig.signed(A) == {1: forged.data}
    rig.run_until(end_of(3))
    atx = rig.atx(A, 3)
    assert isinstance(atx, ActivationTxV1)
    assert (atx.inner.challenge.prev_atx, atx.inner.challenge.sequence) == (forged.id, 1)


def test_an_activation_that_comes_between_challenge_and_publication_is_not_contradicted() -> None:
    rig = Rig(A)
    rig.run_until(Instant(round_start(3) + 1))
    rig.receive(v1(A, 1))  # sync was late: the identity is no new one
    rig.run_until(end_of(3))
    assert rig.signed(A).keys() == {1} and rig.sent == []
    (sentence,) = sentences(rig, ChallengeDropped)
    assert "contradict" in sentence
    rig.run_until(end_of(4))
    assert rig.sent_epochs(A) == [4]
    atx = rig.atx(A, 4)
    assert isinstance(atx, ActivationTxV1) and atx.inner.challenge.prev_atx == v1(A, 1).id


def test_what_is_stored_counts_as_signed_where_the_own_store_is_new() -> None:
    rig = Rig(A)
    rig.run_until(end_of(3))
    rig.own = MemoryBackend()
    rig.begin()
    assert set(rig.signed(A)) == {3}
    rig.run_until(end_of(4))
    assert rig.stopped == {}


def test_activations_of_the_epoch_are_sent_again() -> None:
    rig = Rig(A, parameters=replace(PARAMETERS, regossip_interval=300 * SECOND))
    rig.run_until(end_of(3))
    log = [data for data in rig.world.sent() if data == rig.signed(A)[3]]
    assert len(log) == 1 + (end_of(3) - round_end(3) - 60 * SECOND) // (300 * SECOND)
    rig.run_until(Instant(end_of(4) - 2000 * SECOND))
    assert len([data for data in rig.world.sent() if data == rig.signed(A)[3]]) == len(log)
