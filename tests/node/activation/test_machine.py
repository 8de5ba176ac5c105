"""The machines of activations and of malfeasance in one engine: what waits for what, and what a restart finds again."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import TypeVar

import numpy as np
import pytest

from node.activation import tables
from node.activation.columns import AtxColumns, AtxRow
from node.activation.contradictions import Contradiction, Kind
from node.activation.errors import AtxRefused
from node.activation.machine import TOPIC, ActivationMachine
from node.activation.marriages import equivocation_set, members
from node.activation.parameters import ActivationParameters
from node.activation.poets import PoetMachine
from node.activation.tables import ATXS, MARRIAGES
from node.contract.demands import (
    Failed,
    Fetch,
    PostVerdict,
    Result,
    VerifyPoet,
    VerifyPost,
    VerifyVrfNonce,
)
from node.contract.effects import Emit, StopIdentity
from node.contract.messages import Message, Origin
from node.contract.owed import OWED
from node.contract.verdicts import Judgement, Verdict
from node.engine.edges import Call, Judge
from node.malfeasance.machine import TOPIC as PROOF_TOPIC
from node.malfeasance.machine import Convicted, MalfeasanceMachine
from node.malfeasance.tables import MARKS, PROOFS
from node.malfeasance.tables import TABLES as MALFEASANCE
from node.store.own import SIGNED, OwnStore
from node.store.store import Store
from node.store.stores import Stores
from node.store.table import Schema
from node.store.view import Rows
from protocol.numbers.layers import NetworkTime
from protocol.types.activation import ActivationTxV1, PostV1
from protocol.types.activation_v2 import ActivationTxV2, SubPostV2
from protocol.types.fetch import Hint
from protocol.types.ids import EMPTY_ATX_ID, EpochId, NodeId
from protocol.types.malfeasance import MalfeasanceGossip
from tests.node.contract.world import ALICE, GENESIS, LAYER, Key, World, at, stores_on
from tests.vector_cases.consensus_support import KeyRing

from .forge import GOLDEN, LABELS, POST, TICK, Forged, merged, v1, v2

EPOCH = 4
"""Layers."""
TABLES = (*tables.TABLES, *MALFEASANCE)
OpenStores = Callable[[], Stores]
T = TypeVar("T")


@pytest.fixture(params=["memory", "leveldb"])
def open_stores(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[OpenStores]:
    """Opens the same stores again and again, as after a kill."""
    with stores_on(request.param, tmp_path, *TABLES) as opened:
        yield opened


def stores_in_memory() -> Stores:
    """Of another node."""
    state = Schema("state", 1, (OWED, *TABLES))
    return Stores(Store.in_memory(state), OwnStore.in_memory(Schema("own", 1, (SIGNED,))))


class Node:
    """Both machines, the columns, and a network in which everything that was forged can be had."""

    def __init__(self, stores: Stores, own: Sequence[Key] = (), first_epoch: int = 0, fully: bool = False) -> None:
        self.columns = AtxColumns()
        self.seen: list[tuple[int, AtxRow, bool]] = []
        self.is_synced = True
        self.objects: dict[bytes, bytes] = {}
        self.posts: dict[PostV1, Result] = {}
        """What checking gives; all others are valid."""
        self.others: Result = True
        keys = KeyRing(*own)
        self.keys = keys
        parameters = ActivationParameters(GOLDEN, TICK, LABELS, 2, 1000, 37, 37 if fully else 1, {5: 2})
        machine = ActivationMachine(
            parameters,
            NetworkTime(GENESIS, LAYER, EPOCH),
            keys,
            self.columns,
            self,
            lambda identity, challenge: (3,),
            lambda: self.is_synced,
            lambda view: EpochId(first_epoch),
        )
        keeper = MalfeasanceMachine(keys, tables, self, lambda: self.is_synced)
        self.world = World(stores, [machine, PoetMachine(), keeper], derived=(self.columns,), now=at(6 * EPOCH))

    # ---- for the machines ----

    def on_atx(self, epoch: EpochId, atx: AtxRow, *, is_new: bool) -> None:
        self.seen.append((epoch, atx, self.columns.is_malicious(atx.node)))

    def on_malicious(self, node: NodeId) -> None:
        self.columns.mark_malicious(node)

    # ---- for the tests ----

    def knows(self, *forged: Forged) -> None:
        """Peers have these."""
        for one in forged:
            self.objects[one.id] = one.data
            self.objects |= {round.ref(): round.codec.encode(round) for round in one.poets}

    def begin(self, forged: Forged) -> Message:
        """A peer sends it; nothing that it waits for comes."""
        self.knows(forged)
        message = self.world.gossip(TOPIC, forged.data)
        self.world.turn(message)
        return message

    def judge(self, forged: Forged) -> Verdict:
        """A peer sends it, and everything comes."""
        message = self.begin(forged)
        self.settle()
        return self.verdict(message)

    def settle(self) -> None:
        """Answer calls until none is open."""
        answered: set[int] = set()
        while calls := [one for one in self.world.of(Call) if one.call not in answered]:
            for call in calls:
                answered.add(call.call)
                self.answer(call)

    def answer(self, call: Call) -> None:
        if isinstance(call.demand, Fetch) and call.demand.id in self.objects:
            self.world.turn(self.world.fetched(call, self.objects[call.demand.id]))
        else:
            self.world.turn(self.world.returned(call, self._result(call)))

    def _result(self, call: Call) -> Result:
        match call.demand:
            case VerifyPost(post=post):
                return self.posts.get(post, PostVerdict(True))
            case VerifyVrfNonce() | VerifyPoet():
                return self.others
            case _:
                return Failed("not_found")

    def verdict(self, message: Message) -> Verdict:
        (found,) = [one.verdict for one in self.world.of(Judge) if one.message is message]
        return found

    def events(self, kind: type[T]) -> list[T]:
        return [one.event for one in self.world.of(Emit) if isinstance(one.event, kind)]

    def waits_for(self, kind: type[object]) -> Call:
        """The last call of a kind."""
        return [one for one in self.world.of(Call) if isinstance(one.demand, kind)][-1]


def told(verdict: Verdict) -> tuple[str, str]:
    return verdict.judgement.value, verdict.reason


A, B, C = Key(1), Key(2), Key(3)


def test_it_is_taken_with_everything_that_it_builds_on(open_stores: OpenStores) -> None:
    node = Node(open_stores())
    first = v1(A, 2)
    second = v1(A, 3, first, positioning=first.id, units=8)
    node.knows(first)
    assert told(node.judge(second)) == ("accept", "")
    view = node.world.view()
    stored = view.get(ATXS, second.id)
    assert stored is not None
    assert (stored.units, stored.ticks, stored.base_height, stored.weight) == (8, 10, 10, 80)
    assert (stored.vrf_nonce, stored.received, stored.commitment_atx) == (77, at(6 * EPOCH), None)
    assert view.get(tables.BLOBS, second.id) == second.data
    # the one that came because it was asked for was stored before
    assert [(epoch, row.id, row.weight) for epoch, row, _ in node.seen] == [(3, first.id, 100), (4, second.id, 80)]
    assert node.columns.by_node(EpochId(4), A.identity)[0].received == at(6 * EPOCH)
    # K3 of K2: the initial proof whole, all others at the positions that this node chose
    positions = [one.demand.positions for one in node.world.of(Call) if isinstance(one.demand, VerifyPost)]
    assert positions == [None, (3,), (3,)]
    assert node.world.engine.open_calls == node.world.engine.waiting == 0


def test_every_label_is_checked_where_k3_is_k2(open_stores: OpenStores) -> None:
    node = Node(open_stores(), fully=True)
    first = v1(A, 2)
    node.judge(first)
    assert {one.demand.positions for one in node.world.of(Call) if isinstance(one.demand, VerifyPost)} == {None}
    stored = node.world.view().get(ATXS, first.id)
    assert stored is not None and stored.validity == tables.Validity.VALID


def test_gossip_is_not_heard_before_all_is_synced(open_stores: OpenStores) -> None:
    node = Node(open_stores())
    node.is_synced = False
    assert told(node.judge(v1(A, 2))) == ("ignore", "not_synced")
    fetched = Message(Hint.ATX, v1(A, 2).data, Origin.FETCHED, at(24), ALICE, v1(A, 2).id)
    node.world.turn(fetched)
    node.settle()
    assert told(node.verdict(fetched)) == ("accept", "")


@pytest.mark.parametrize("version", [1, 2])
def test_what_cannot_be_checked_or_had_is_ignored(open_stores: OpenStores, version: int) -> None:
    forged = v1(A, 2) if version == 1 else v2(A, 5)
    node = Node(open_stores())
    node.others = Failed("stopped")
    assert told(node.judge(forged)) == ("ignore", "not_checked")
    node = Node(open_stores())
    node.posts[POST] = Failed("stopped")
    assert told(node.judge(forged)) == ("ignore", "not_checked")
    node = Node(open_stores())
    message = node.begin(forged)
    node.objects.clear()
    node.settle()
    assert told(node.verdict(message)) == ("ignore", "poet_unavailable")
    assert list(node.world.view().keys(ATXS)) == [] and node.seen == []


@pytest.mark.parametrize("version", [1, 2])
def test_a_bad_dependency_is_its_fault_and_a_lying_peer_is_not(open_stores: OpenStores, version: int) -> None:
    bad = v1(A, 2, ticks=0, units=1)
    above = v1(A, 3, bad) if version == 1 else v2(A, 5, bad.id)
    node = Node(open_stores())
    node.knows(bad)
    assert told(node.judge(above)) == ("reject", "dependency_rejected")
    assert isinstance(bad.atx, ActivationTxV1)
    stolen = ActivationTxV1.codec.encode(replace(bad.atx, signature=above.atx.signature))
    for lie in (b"nonsense", v1(B, 2).data, stolen):
        node = Node(open_stores())
        message = node.begin(above)
        node.objects[bad.id] = lie
        node.settle()
        assert told(node.verdict(message)) == ("ignore", "atxs_unavailable")


def test_a_known_one_goes_no_further_and_a_forged_signature_is_told_first(open_stores: OpenStores) -> None:
    node = Node(open_stores())
    first = v1(A, 2)
    one, other = node.begin(first), node.world.gossip(TOPIC, first.data)
    node.world.turn(other)
    node.settle()
    assert told(node.verdict(one)) == ("accept", "")
    assert told(node.verdict(other)) == ("ignore", "known_atx")
    assert len(node.seen) == 1
    assert isinstance(first.atx, ActivationTxV1)
    forged = replace(first, atx=replace(first.atx, signature=v1(A, 3).atx.signature))
    assert told(node.judge(forged)) == ("reject", "bad_signature")
    again = v2(B, 5)
    assert told(node.judge(again)) == told(node.judge(again)) == ("accept", "")


def test_a_weight_with_which_tortoise_cannot_count_is_refused(open_stores: OpenStores) -> None:
    node = Node(open_stores())
    assert told(node.judge(v1(A, 2, units=1000, ticks=(1 << 63) // 1000))) == ("accept", "")
    assert told(node.judge(v1(B, 2, units=1000, ticks=(1 << 63) // 1000 + 1))) == ("reject", "weight_overflow")
    assert told(node.judge(v2(B, 5, units=1 << 8, ticks=1 << 55))) == ("reject", "weight_overflow")


# ---- who contradicts itself ----


def test_two_in_an_epoch_are_proven_to_everybody(open_stores: OpenStores) -> None:
    node = Node(open_stores())
    first, second = v1(A, 2), v1(A, 2, units=11)
    node.judge(first)
    assert told(node.judge(second)) == ("ignore", "malicious_atx")
    assert [is_malicious for _, _, is_malicious in node.seen] == [False, True]  # before its weight is counted
    proof = node.world.view().get(PROOFS, A.identity)
    assert proof is not None
    (gossip,) = node.world.sent()
    assert (
        MalfeasanceGossip.codec.decode(gossip).proof.codec.encode(MalfeasanceGossip.codec.decode(gossip).proof)
        == proof.proof
    )
    assert [event.identity for event in node.events(Convicted)] == [A.identity]
    # a node that knows one of the two is convinced by the proof, and keeps the first that it saw
    other = Node(stores_in_memory())
    other.judge(first)
    message = other.world.gossip(PROOF_TOPIC, gossip)
    other.world.turn(message)
    assert told(other.verdict(message)) == ("accept", "")
    assert other.columns.is_malicious(A.identity) and other.world.view().get(PROOFS, A.identity) == proof
    # one more of the smesher is stored without another proof
    assert told(node.judge(v1(A, 2, units=12))) == ("accept", "")
    assert node.world.view().get(PROOFS, A.identity) == proof and len(node.world.sent()) == 1


def test_while_syncing_proofs_are_kept_and_not_published(open_stores: OpenStores) -> None:
    node = Node(open_stores())
    node.is_synced = False
    for forged in (v1(A, 2), v1(A, 2, units=11)):
        node.knows(forged)
        fetched = Message(Hint.ATX, forged.data, Origin.FETCHED, at(24), ALICE, forged.id)
        node.world.turn(fetched)
        node.settle()
        assert told(node.verdict(fetched)) == ("accept", "")
    assert node.world.view().has(PROOFS, A.identity) and node.world.sent() == []


def test_a_wrong_index_convicts_and_the_activation_is_not_kept(open_stores: OpenStores) -> None:
    node = Node(open_stores())
    first = v1(A, 2)
    node.judge(first)
    bad = PostV1(1, b"", 1)
    node.posts[bad] = PostVerdict(False, 3, "wrong")
    second = v1(A, 3, first, post=bad)
    assert told(node.judge(second)) == ("ignore", "malicious_atx")
    assert not node.world.view().has(ATXS, second.id) and node.columns.is_malicious(A.identity)
    # the own message of the proof has the index checked once more, alone
    assert node.waits_for(VerifyPost).demand.positions == (3,)  # type: ignore[union-attr]
    assert len(node.world.sent()) == 1
    assert told(node.judge(second)) == ("reject", "known_malicious")
    # version 2 knows no such proof
    assert told(node.judge(v2(A, 5, first.id, post=bad))) == ("reject", "post_invalid")


def test_we_do_not_convict_ourselves(open_stores: OpenStores) -> None:
    node = Node(open_stores(), own=[A])
    first = v1(A, 2)
    node.judge(first)
    assert told(node.judge(v1(A, 2, units=11))) == ("ignore", "own_double_publish")
    assert told(node.judge(v1(A, 3))) == ("ignore", "own_wrong_previous")
    assert [one.identity for one in node.world.of(StopIdentity)] == [
        A.identity,
        A.identity,
    ]  # the key is in use elsewhere
    assert not node.columns.is_malicious(A.identity) and len(node.seen) == 1


def test_an_own_identity_that_others_convict_is_stopped(open_stores: OpenStores) -> None:
    other = Node(stores_in_memory())
    other.judge(v1(A, 2))
    other.judge(v1(A, 2, units=11))
    node = Node(open_stores(), own=[A])
    node.judge(v1(A, 2))
    node.world.turn(node.world.gossip(PROOF_TOPIC, other.world.sent()[0]))
    assert [one.identity for one in node.world.of(StopIdentity)] == [A.identity]
    assert [event.is_own for event in node.events(Convicted)] == [True]


def test_a_restart_finds_activations_and_who_is_malicious(open_stores: OpenStores) -> None:
    node = Node(open_stores())
    first = v1(A, 2)
    for forged in (first, v1(A, 2, units=11), v1(B, 3, positioning=first.id), v2(C, 5), v2(C, 5, units=3)):
        assert node.judge(forged).judgement is not Judgement.REJECT
    assert node.events(Contradiction)[0].kind is Kind.DOUBLE_POST
    assert node.world.view().has(MARKS, C.identity)
    assert len(node.world.sent()) == 1  # nothing is published of the mark
    again = Node(open_stores())
    assert again.columns.is_malicious(A.identity) and again.columns.is_malicious(C.identity)
    assert not again.columns.is_malicious(B.identity)
    for epoch in (3, 4, 6):
        _same_rows(node.columns, again.columns, EpochId(epoch))
    # what is before the window is left out
    late = Node(open_stores(), first_epoch=4)
    assert len(late.columns.epoch(EpochId(3))) == 0 and len(late.columns.epoch(EpochId(4))) == 1
    assert told(late.judge(v1(C, 2))) == ("accept", "")
    assert len(late.columns.epoch(EpochId(3))) == 0


def _same_rows(one: AtxColumns, other: AtxColumns, epoch: EpochId) -> None:
    left, right = one.epoch(epoch), other.epoch(epoch)
    assert len(left) == len(right) > 0
    for row in range(len(left)):
        atx = left.at(row)
        found = right.find(atx.id)
        assert found is not None and right.at(found) == atx
        assert left.column("is_malicious")[row] == right.column("is_malicious")[found]
    nodes = {left.at(row).node for row in range(len(left))}
    assert all(len(other.by_node(epoch, node)) == len(one.by_node(epoch, node)) for node in nodes)
    assert np.array_equal(np.sort(left.column("order")), np.sort(right.column("order")))


# ---- marriages ----


def _married(node: Node) -> tuple[Forged, list[Forged]]:
    """A marries B in epoch 5: the activation, and the first ones of A, B and C."""
    firsts = [v2(one, 5) for one in (A, B, C)]
    for one in firsts:
        node.judge(one)
    marriage = v2(A, 6, firsts[0].id, marries=[(A, EMPTY_ATX_ID), (B, firsts[1].id)])
    assert told(node.judge(marriage)) == ("accept", "")
    return marriage, firsts


def test_a_merged_one_counts_for_all_of_its_identities(open_stores: OpenStores) -> None:
    node = Node(open_stores())
    marriage, firsts = _married(node)
    node.world.turn(now=at(8 * EPOCH))
    solo = v2(B, 6, firsts[1].id)
    node.judge(solo)
    posts = [SubPostV2(0, 0, 0, POST, 10), SubPostV2(1, 1, 1, POST, 7)]
    both = merged(B, 8, marriage.id, [marriage.id, solo.id], [(posts, 10)])
    assert told(node.judge(both)) == ("accept", "")
    stored = node.world.view().get(ATXS, both.id)
    assert stored is not None and (stored.units, stored.weight, stored.smesher) == (17, 170, B.identity)
    assert node.events(Contradiction) == []
    again = merged(A, 8, marriage.id, [marriage.id], [([SubPostV2(0, 0, 0, POST, 10)], 10)])
    assert told(node.judge(again)) == ("accept", "")
    assert [event.kind for event in node.events(Contradiction)] == [Kind.DOUBLE_POST]
    assert node.columns.is_malicious(A.identity) and not node.columns.is_malicious(B.identity)


def test_what_a_merged_one_builds_on_is_read_again_after_the_wait(open_stores: OpenStores) -> None:
    """If other things follow from it then, all proofs are checked anew."""
    node = Node(open_stores())
    marriage, _ = _married(node)
    node.world.turn(now=at(8 * EPOCH))
    waiting = node.begin(merged(A, 8, marriage.id, [marriage.id], [([SubPostV2(0, 0, 0, POST, 10)], 10)]))
    node.answer(node.waits_for(Fetch))
    node.answer(node.waits_for(VerifyPoet))
    checks = len([one for one in node.world.of(Call) if isinstance(one.demand, VerifyPost)])
    node.answer(node.waits_for(VerifyPost))
    nonce = node.waits_for(VerifyVrfNonce)
    # meanwhile the space of A becomes smaller on record: the plan is another one
    rows = tables.POSTS
    view = node.world.view()
    post = view.get(rows, (marriage.id, A.identity))
    assert post is not None
    changes = Rows(view)
    changes.put(rows, (marriage.id, A.identity), replace(post, units=4))
    node.world.stores.state.write(changes)
    node.answer(nonce)
    assert len([one for one in node.world.of(Call) if isinstance(one.demand, VerifyPost)]) == checks + 1
    node.answer(node.waits_for(VerifyPost))
    node.answer(node.waits_for(VerifyVrfNonce))
    assert told(node.verdict(waiting)) == ("accept", "")
    assert [row.units for key, row in node.world.view().scan(rows) if row.publish_epoch == 8] == [10]
    assert [atx.units for _, atx in node.world.view().scan(ATXS) if atx.publish_epoch == 8] == [4]


def test_a_second_marriage_is_found_also_where_the_first_was_restored(open_stores: OpenStores) -> None:
    node = Node(open_stores())
    marriage, firsts = _married(node)
    second = v2(C, 6, firsts[2].id, marries=[(C, EMPTY_ATX_ID), (B, firsts[1].id)])
    changes = Rows(node.world.view())
    changes.delete(tables.BLOBS, marriage.id)  # as a checkpoint leaves it
    node.world.stores.state.write(changes)
    assert told(node.judge(second)) == ("accept", "")
    assert node.events(Contradiction) == [Contradiction(Kind.DOUBLE_MARRY, B.identity, second.id, marriage.id)]
    # who published it is marked; both sets are one, and the first marriage stays
    view = node.world.view()
    assert list(view.keys(MARKS)) == [C.identity]
    rows = dict(view.scan(MARRIAGES))
    assert {row.set for row in rows.values()} == {1} and rows[B.identity].atx == marriage.id
    assert members(view, 1) == [A.identity, B.identity, C.identity]


def test_a_merged_one_needs_its_marriage_on_record(open_stores: OpenStores) -> None:
    node = Node(open_stores())
    marriage, _ = _married(node)
    both = merged(A, 8, marriage.id, [marriage.id], [([SubPostV2(0, 0, 0, POST, 10)], 10)])
    assert isinstance(both.atx, ActivationTxV2)
    changes = Rows(node.world.view())
    assert equivocation_set(both.atx, changes) == [A.identity, B.identity]
    changes.delete(ATXS, marriage.id)
    with pytest.raises(AtxRefused) as refused:
        equivocation_set(both.atx, changes)
    assert refused.value.reason == "marriage_atx_unknown"


def test_who_marries_a_marked_identity_is_marked_too(open_stores: OpenStores) -> None:
    node = Node(open_stores())
    firsts = [v2(A, 5), v2(B, 5)]
    for one in (*firsts, v2(B, 5, units=3)):
        node.judge(one)
    assert node.columns.is_malicious(B.identity) and not node.columns.is_malicious(A.identity)
    node.judge(v2(A, 6, firsts[0].id, marries=[(B, firsts[1].id), (A, EMPTY_ATX_ID)]))
    view = node.world.view()
    assert view.has(MARKS, A.identity) and node.columns.is_malicious(A.identity)
    assert [(row.set, row.order, row.index) for _, row in view.scan(MARRIAGES)] in (
        [(1, 1, 0), (1, 2, 1)],
        [(1, 2, 1), (1, 1, 0)],
    )


# ---- whatever comes ----


def test_no_forged_field_stops_the_node_or_leaves_anything_behind(open_stores: OpenStores) -> None:
    """Every byte of valid activations changed in turn, and signed as if it were meant: the answer is a verdict."""
    dice = Random(5)
    node = Node(open_stores())
    node.world.checker.signatures = lambda checks: [True] * len(checks)  # type: ignore[method-assign]
    first = v1(A, 2)
    marriage, _ = _married(node)
    node.judge(first)
    samples = [v1(B, 3), v1(A, 3, first), v2(Key(9), 5), marriage]
    node.knows(*samples)
    before = len(node.seen)
    taken = 0
    for sample in samples:
        for position in range(0, len(sample.data), 3):
            data = bytearray(sample.data)
            data[position] ^= 1 << dice.randrange(8)
            message = node.world.gossip(TOPIC, bytes(data))
            node.world.turn(message)
            node.settle()
            verdict = node.verdict(message)
            node.world.log.clear()
            taken += verdict.is_accepted or verdict.reason == "malicious_atx"
    assert len(node.seen) - before <= taken
    counts = node.world.engine.counts
    assert ("ax1", "ignore", "fault") not in counts
    reasons = {reason for channel, _, reason in counts if channel == TOPIC}
    assert {"malformed", "membership_invalid", "poet_unavailable", "atxs_unavailable"} <= reasons
    assert node.world.engine.waiting == node.world.engine.open_calls == 0
