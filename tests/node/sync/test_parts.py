"""The parts of sync by themselves: the fork finder, lists, epochs, proofs, layers, states."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest

from node.activation.tables import ATXS, StoredAtx
from node.contract.demands import Failed, Fetch, Fetched, Request, Result
from node.contract.effects import Emit
from node.contract.instants import Instant
from node.contract.messages import PeerId
from node.contract.verdicts import ACCEPT, ignore, reject
from node.fetch import protocols
from node.malfeasance.tables import PROOFS, StoredProof
from node.mesh.tables import BALLOTS, MESH_HASHES
from node.store.view import Rows
from node.sync.atxs import AtxSync, EpochDownloaded
from node.sync.fork import ForkFinder, LayerHash
from node.sync.layers import LayerIncomplete, LayerOutcome, LayerSync
from node.sync.malfeasance import MalfeasanceSync
from node.sync.objects import Outcome, outcome_of
from node.sync.parameters import AtxSyncParameters, MalfeasanceSyncParameters, SyncParameters
from node.sync.states import SyncState, SyncStatus
from node.sync.tables import EPOCHS, MALFEASANCE_SYNCED, ONLY
from protocol.crypto.hashing import hash32
from protocol.numbers.durations import HOUR, MINUTE, SECOND
from protocol.types.fetch import FetchEpochData, Hint, LayerData, MaliciousIDs, MeshHashRequest
from protocol.types.ids import (
    EMPTY_ADDRESS,
    AtxId,
    BallotId,
    EpochId,
    Hash32,
    LayerId,
    NodeId,
    as_hash32,
)
from tests.node.contract.world import GENESIS, at
from tests.node.fetch.network import Seeded

from .driver import Driver
from .world import FIRST, TIME, Key, ballot

A, B, C = PeerId(b"a"), PeerId(b"b"), PeerId(b"c")
PARAMETERS = SyncParameters(hare_delay_layers=2, certificate_distance=3)
GOT = Fetched(ACCEPT)
ZERO = LayerId(FIRST - 1)


# ---- the fork finder ----


def mesh(length: int, fork: int | None = None) -> list[Hash32]:
    """Hashes of the layers from ZERO on; from one on they are others."""
    found, before = [], hash32(b"")
    for layer in range(ZERO, ZERO + length + 1):
        before = hash32(before, b"other" if fork is not None and layer >= fork else b"same")
        found.append(Hash32(before))
    return found


class Meshes:
    """Our mesh in the store, and that of a peer."""

    def __init__(self, length: int, fork: int | None) -> None:
        self.length = length
        self.theirs = mesh(length, fork)
        self.driver = Driver(self.answer)
        self.finder = ForkFinder(PARAMETERS, self.driver.peers, ZERO)
        self.driver.put(self.fill)
        self.change = lambda hashes: hashes

    def fill(self, rows: Rows) -> None:
        for layer, hash in enumerate(mesh(self.length), ZERO):
            rows.put(MESH_HASHES, LayerId(layer), hash)

    def answer(self, demand: Any) -> Result:
        request = MeshHashRequest.codec.decode(demand.data)
        assert request.is_valid()
        layers = [*range(request.start, request.end, request.step), request.end]
        return protocols.MESH_HASH_LIST.encode(self.change([self.theirs[layer - ZERO] for layer in layers]))

    def find(self, layer: int | None = None) -> LayerId | None:
        at_layer = ZERO + self.length if layer is None else layer
        differing = LayerHash(LayerId(at_layer), self.theirs[at_layer - ZERO])
        return self.driver.run(lambda turn: self.finder.find(turn, A, differing))

    @property
    def questions(self) -> int:
        return len(self.driver.asked)


@pytest.mark.parametrize("fork", [ZERO + 1, ZERO + 2, ZERO + 99, ZERO + 100, ZERO + 500, ZERO + 999, ZERO + 1000])
def test_one_difference_in_a_thousand_layers_is_found_in_few_questions(fork: int) -> None:
    meshes = Meshes(1000, fork)
    assert meshes.find() == fork - 1
    assert meshes.questions <= 2  # a 99th each time


def test_every_fork_of_a_mesh_is_found() -> None:
    for fork in range(ZERO + 1, ZERO + 173):
        meshes = Meshes(172, fork)
        assert meshes.find() == fork - 1 and meshes.questions <= 2


def test_the_steps_grow_with_the_logarithm() -> None:
    assert Meshes(90, ZERO + 40).find() == ZERO + 39
    meshes = Meshes(20_000, ZERO + 12_345)
    assert meshes.find() == ZERO + 12_344 and meshes.questions <= 3


def test_where_a_peer_agreed_last_the_search_begins() -> None:
    meshes = Meshes(1000, ZERO + 900)
    meshes.finder.agree(A, LayerHash(LayerId(ZERO + 899), meshes.theirs[899]), GENESIS)
    assert meshes.find(ZERO + 900) == ZERO + 899 and meshes.questions == 0  # adjacent: nothing to ask
    meshes = Meshes(1000, ZERO + 900)
    meshes.finder.agree(A, LayerHash(LayerId(ZERO + 890), meshes.theirs[890]), GENESIS)
    assert meshes.find(ZERO + 950) == ZERO + 899 and meshes.questions == 1
    meshes = Meshes(1000, ZERO + 900)
    meshes.finder.agree(A, LayerHash(LayerId(ZERO + 880), Hash32(bytes(32))), GENESIS)  # we think otherwise now
    assert meshes.find() == ZERO + 899


@pytest.mark.parametrize(
    "change",
    [
        lambda hashes: [Hash32(bytes(32)), *hashes[1:]],
        lambda hashes: [*hashes[:-1], Hash32(bytes(32))],
        lambda hashes: hashes[:-1],
        lambda hashes: [*hashes, hashes[0]],
        lambda hashes: [],
    ],
    ids=["another first one", "another last one", "fewer", "more", "none"],
)
def test_a_peer_whose_mesh_changes_meanwhile_is_given_up(change: Any) -> None:
    meshes = Meshes(300, ZERO + 200)
    meshes.change = change
    assert meshes.find() is None and meshes.questions == 1


def test_a_peer_that_differs_nowhere_means_that_our_mesh_has_changed() -> None:
    meshes = Meshes(300, None)
    meshes.finder.agree(B, LayerHash(LayerId(ZERO + 5), meshes.theirs[5]), GENESIS)
    assert meshes.find() is None and meshes.finder.agreed == 0


def test_what_is_remembered_is_forgotten_in_time_and_bounded() -> None:
    meshes = Meshes(10, None)
    finder = meshes.finder
    for number in range(2000):
        finder.add_resynced(LayerHash(LayerId(number), Hash32(bytes(32))), GENESIS)
    assert len(finder._resynced) == PARAMETERS.max_resynced
    assert not finder.needs_resync(LayerHash(LayerId(1999), Hash32(bytes(32))))
    finder.agree(A, LayerHash(ZERO, Hash32(bytes(32))), GENESIS)
    finder.agree(C, LayerHash(ZERO, Hash32(bytes(32))), GENESIS)
    finder.forget_stale(Instant(GENESIS + PARAMETERS.max_stale // 2))
    assert finder.agreed == 2
    finder.forget_stale(Instant(GENESIS + PARAMETERS.max_stale))
    assert finder.agreed == 1 and not finder._resynced  # A is connected still


# ---- activations ----


def stored_atx(epoch: int) -> StoredAtx:
    return StoredAtx(NodeId(bytes(32)), EpochId(epoch), 0, EMPTY_ADDRESS, 1, None, 0, 0, 1, 1, 1, 1, 1)


class Epoch:
    """Activations of an epoch: who lists which, and what comes of each."""

    def __init__(self, lists: dict[PeerId, list[bytes]], results: dict[bytes, list[Result]] | None = None) -> None:
        self.lists = lists
        self.results = results or {}
        self.driver = Driver(self.answer, tuple(lists))
        self.tries: Counter[bytes] = Counter()

    def answer(self, demand: Any) -> Result:
        if isinstance(demand, Request):
            assert demand.data == protocols.epoch_request(EpochId(5))
            ids = self.lists[demand.peer]
            return Failed("timeout") if ids is None else FetchEpochData.codec.encode(FetchEpochData(ids))  # type: ignore[arg-type]
        assert isinstance(demand, Fetch) and demand.hint == Hint.ATX
        self.tries[demand.id] += 1
        results = self.results.get(demand.id)
        result = GOT if results is None else results[min(self.tries[demand.id], len(results)) - 1]
        if result == GOT:
            self.driver.put(lambda rows: rows.put(ATXS, AtxId(demand.id), stored_atx(5)))
        return result

    def download(self, until: int = 0, pauses: int = 10_000, **changes: Any) -> bool | None:
        parameters = replace(PARAMETERS, atxs=replace(AtxSyncParameters(), **changes))
        sync = AtxSync(parameters, self.driver.peers, Seeded(1))
        return self.driver.run(lambda turn: sync.download(turn, EpochId(5), Instant(until)), pauses)


IDS = [bytes([number]) * 32 for number in range(1, 60)]


def test_an_epoch_is_downloaded_in_batches_and_windows() -> None:
    epoch = Epoch({A: IDS, B: IDS[:30]})
    assert epoch.download(batch=10, at_once=4)
    assert epoch.tries == dict.fromkeys(IDS, 1) and epoch.driver.most_at_once == 4
    assert len(epoch.driver.requests("ax/1")) == 2
    view = epoch.driver.store.view()
    row = view.get(EPOCHS, EpochId(5))
    assert row is not None and (row.total, row.downloaded, row.is_complete) == (59, 59, True)
    assert [one.event for one in epoch.driver.effects if isinstance(one, Emit)] == [EpochDownloaded(EpochId(5), 59, 0)]
    assert epoch.download() and len(epoch.driver.requests("ax/1")) == 2  # complete: nothing is asked


def test_lists_are_asked_for_after_a_second_and_then_every_few_hours() -> None:
    epoch = Epoch({A: IDS[:2]})
    assert epoch.download(until=GENESIS + 13 * HOUR)
    times = [at - GENESIS for at, _ in epoch.driver.requests("ax/1")]
    assert 0.9 * SECOND <= times[0] <= 1.1 * SECOND
    gaps = [later - earlier for earlier, later in pairwise(times)]
    assert len(times) == 5 and all(3.6 * HOUR <= gap <= 4.4 * HOUR + SECOND for gap in gaps)
    assert len(set(gaps)) > 1  # not all nodes at once


def test_until_a_list_comes_it_is_asked_for_every_second() -> None:
    epoch = Epoch({A: None, B: None})  # type: ignore[dict-item]
    assert epoch.download(pauses=10) is None
    assert len(epoch.driver.requests("ax/1")) >= 10
    assert epoch.driver.now - GENESIS < 15 * SECOND


def test_without_peers_a_download_ends() -> None:
    assert Epoch({}).download() is False


def test_what_does_not_come_is_tried_so_many_times_and_left_out() -> None:
    late, never, bad = IDS[0], IDS[1], IDS[2]
    results: dict[bytes, list[Result]] = {
        late: [Failed("timeout"), Fetched(ignore("atxs_unavailable")), Fetched(ignore("expired")), GOT],
        never: [Failed("not_found")],
        bad: [Fetched(reject("bad_signature"))],
    }
    epoch = Epoch({A: IDS[:10]}, results)
    assert epoch.download(max_tries=6)
    assert (epoch.tries[late], epoch.tries[never], epoch.tries[bad]) == (4, 6, 1)
    assert [one.event for one in epoch.driver.effects if isinstance(one, Emit)] == [EpochDownloaded(EpochId(5), 8, 2)]
    assert epoch.driver.blamed() == []


def test_a_list_of_what_nobody_has_is_let_go() -> None:
    unknown = [hash32(number.to_bytes(4, "big")) for number in range(5000)]
    epoch = Epoch({A: unknown, B: IDS[:5]}, {id: [Failed("not_found")] for id in unknown})
    assert epoch.download(max_unknown=100, batch=50, max_tries=2)
    assert epoch.driver.blamed() == [(A, "unknown_ids")]
    assert len(epoch.tries) <= 150 + 5 and all(epoch.tries[id] == 1 for id in IDS[:5])


def test_ids_on_a_list_are_looked_up_so_many_a_step() -> None:
    epoch = Epoch({A: IDS})
    epoch.driver.put(lambda rows: [rows.put(ATXS, AtxId(id), stored_atx(5)) for id in IDS])  # type: ignore[func-returns-value]
    sync = AtxSync(replace(PARAMETERS, ids_of_step=10), epoch.driver.peers, Seeded(1))
    assert epoch.driver.run(lambda turn: sync.download(turn, EpochId(5), Instant(0)))
    assert epoch.driver.pauses == 6 and not epoch.tries


# ---- proofs of malfeasance ----


class Proofs:
    """Who lists which identities, and what comes of each proof."""

    def __init__(self, lists: dict[PeerId, list[bytes]], results: dict[bytes, Result] | None = None) -> None:
        self.lists = lists
        self.results = results or {}
        self.driver = Driver(self.answer, tuple(lists))
        self.tries: Counter[bytes] = Counter()

    def answer(self, demand: Any) -> Result:
        if isinstance(demand, Request):
            assert demand.data == b""
            return MaliciousIDs.codec.encode(MaliciousIDs([NodeId(id) for id in self.lists[demand.peer]]))
        assert isinstance(demand, Fetch) and demand.hint == Hint.MALFEASANCE
        self.tries[demand.id] += 1
        result = self.results.get(demand.id, GOT)
        if result == GOT:
            self.driver.put(lambda rows: rows.put(PROOFS, NodeId(demand.id), StoredProof(b"proof", 1)))
        return result

    def sync(self, **changes: Any) -> MalfeasanceSync:
        own = replace(MalfeasanceSyncParameters(), **changes)
        return MalfeasanceSync(replace(PARAMETERS, malfeasance=own), self.driver.peers)


def test_the_first_sync_of_proofs_needs_enough_peers() -> None:
    proofs = Proofs({A: IDS[:3], B: IDS[2:5], C: []})
    sync = proofs.sync(min_peers=3)
    proofs.driver.run(sync.first)
    assert proofs.tries == dict.fromkeys(IDS[:5], 1) and len(proofs.driver.requests("ml/1")) == 3
    view = proofs.driver.store.view()
    done = view.get(MALFEASANCE_SYNCED, ONLY)
    assert done is not None and not sync.is_due(view, proofs.driver.now, Instant(0), Instant(done))


def test_with_too_few_peers_it_goes_on_every_minute() -> None:
    proofs = Proofs({A: IDS[:3]})
    assert proofs.driver.run(proofs.sync(min_peers=2).first, pauses=5) is None
    times = [at - GENESIS for at, _ in proofs.driver.requests("ml/1")]
    assert [round(time / MINUTE) for time in times] == [0, 1, 2, 3, 4, 5]
    assert not proofs.driver.store.view().has(MALFEASANCE_SYNCED, ONLY)


def test_afterwards_proofs_are_asked_for_every_half_hour() -> None:
    proofs = Proofs({A: IDS[:3]})
    assert proofs.driver.run(proofs.sync().loop, pauses=4) is None
    times = [at - GENESIS for at, _ in proofs.driver.requests("ml/1")]
    assert [round(time / MINUTE) for time in times] == [30, 60, 90, 120]
    assert proofs.driver.store.view().has(MALFEASANCE_SYNCED, ONLY)


def test_proofs_that_do_not_come_are_given_up() -> None:
    proofs = Proofs({A: IDS[:3]}, {IDS[0]: Failed("not_found"), IDS[1]: Fetched(reject("invalid_proof"))})
    proofs.driver.run(proofs.sync(min_peers=1, max_tries=4).first)
    assert proofs.tries == {IDS[0]: 4, IDS[1]: 1, IDS[2]: 1}


def test_the_first_sync_is_due_once_in_a_part_of_an_epoch() -> None:
    proofs = Proofs({})
    sync = proofs.sync(max_epoch_percent=25)
    begin, end = Instant(1000), Instant(2000)

    def is_due(done: int, now: int) -> bool:
        proofs.driver.put(lambda rows: rows.put(MALFEASANCE_SYNCED, ONLY, done))
        return sync.is_due(proofs.driver.store.view(), Instant(now), begin, end)

    assert sync.is_due(proofs.driver.store.view(), Instant(1500), begin, end)
    assert is_due(999, 1100) and not is_due(1000, 1100) and not is_due(1000, 1250) and is_due(1000, 1251)


# ---- layers ----


class Layer:
    """A layer: who names which ballots, and what comes of each."""

    def __init__(self, lists: dict[PeerId, list[bytes] | None], results: dict[bytes, Result] | None = None) -> None:
        self.lists = lists
        self.results = results or {}
        self.driver = Driver(self.answer, tuple(lists))
        self.fetched: list[Fetch] = []
        self.sync = LayerSync(PARAMETERS, self.driver.peers)

    def answer(self, demand: Any) -> Result:
        if isinstance(demand, Request):
            ids = self.lists[demand.peer]
            return Failed("timeout") if ids is None else LayerData.codec.encode(LayerData([BallotId(id) for id in ids]))
        self.fetched.append(demand)
        return self.results.get(demand.id[:20], GOT)

    def run(self) -> LayerOutcome | None:
        return self.driver.run(lambda turn: self.sync.sync(turn, LayerId(12)))


SHORT = [bytes([number]) * 20 for number in range(1, 9)]


def test_the_ballots_of_all_peers_are_got_from_who_named_them() -> None:
    layer = Layer({A: SHORT[:3], B: SHORT[2:5], C: []})
    known = ballot(Key(1), 12, AtxId(IDS[0]))
    layer.lists[C] = [known.id()]
    layer.driver.put(lambda rows: rows.put(BALLOTS, known.id(), known))
    assert layer.run() is LayerOutcome.DONE
    assert {one.id: set(one.peers) for one in layer.fetched} == {
        as_hash32(BallotId(id)): {peer for peer in (A, B) if id in (layer.lists[peer] or ())} for id in SHORT[:5]
    }


@pytest.mark.parametrize(
    ("lists", "outcome"),
    [
        ({}, LayerOutcome.NO_PEERS),
        ({A: None, B: None}, LayerOutcome.NO_ANSWER),
        ({A: None, B: []}, LayerOutcome.NO_ANSWER),
        ({A: [], B: []}, LayerOutcome.DONE),
        ({A: None, B: SHORT[:1]}, LayerOutcome.DONE),
    ],
)
def test_a_layer_without_ballots_is_believed_when_all_say_so(
    lists: dict[PeerId, list[bytes] | None], outcome: LayerOutcome
) -> None:
    assert Layer(lists).run() is outcome


def test_who_names_what_nobody_has_is_blamed_and_holds_nobody_up() -> None:
    layer = Layer({A: SHORT[:2], B: SHORT[1:3]}, {SHORT[2]: Failed("not_found"), SHORT[0]: Fetched(reject("bad"))})
    assert layer.run() is LayerOutcome.DONE
    assert layer.driver.blamed() == [(B, "unknown_ids")]


def test_a_layer_of_which_something_is_missing_is_tried_again_and_then_passed_over() -> None:
    layer = Layer({A: SHORT[:2]}, {SHORT[0]: Fetched(ignore("atx_unavailable"))})
    assert [layer.run() for _ in range(3)] == [LayerOutcome.INCOMPLETE, LayerOutcome.INCOMPLETE, LayerOutcome.DONE]
    assert [one.event for one in layer.driver.effects if isinstance(one, Emit)] == [LayerIncomplete(LayerId(12), 1)]


@pytest.mark.parametrize(
    ("result", "outcome"),
    [
        (GOT, Outcome.HERE),
        (Fetched(reject("expired")), Outcome.REFUSED),
        (Fetched(ignore("too_old")), Outcome.REFUSED),
        (Fetched(ignore("expired")), Outcome.LATER),
        (Fetched(ignore("missing_transactions")), Outcome.LATER),
        (Fetched(ignore("ballots_unavailable")), Outcome.LATER),
        (Failed("not_found"), Outcome.UNKNOWN),
        (Failed("no_peers"), Outcome.LATER),
        (Failed("timeout"), Outcome.LATER),
    ],
)
def test_what_came_of_an_object(result: Result, outcome: Outcome) -> None:
    assert outcome_of(result) is outcome


# ---- states ----

CURRENT = 20
DONE = {"has_succeeded": True, "is_state_synced": True}
FAILED = {"has_succeeded": False, "is_state_synced": True}


class States:
    """A status, with a clock."""

    def __init__(self, state: SyncState = SyncState.NOT_SYNCED) -> None:
        self.status = SyncStatus(PARAMETERS, TIME)
        self.status.state = state
        self.now = at(CURRENT)

    def before(self, last: int, current: int = CURRENT) -> SyncState:
        self.status.before_run(LayerId(current), LayerId(last), self.now)
        return self.status.state

    def after(self, last: int = CURRENT - 1, current: int = CURRENT, **what: bool) -> SyncState:
        self.status.after_run(LayerId(current), LayerId(last), self.now, **what)
        return self.status.state

    def wait(self, duration: int) -> None:
        self.now = Instant(self.now + duration)


def test_from_nothing_to_synced_a_node_listens_for_a_while() -> None:
    states = States()
    assert states.after(**FAILED) is SyncState.NOT_SYNCED
    assert states.after(last=CURRENT - 2, **DONE) is SyncState.NOT_SYNCED
    assert states.after(has_succeeded=True, is_state_synced=False) is SyncState.NOT_SYNCED
    assert states.after(**DONE) is SyncState.GOSSIP and states.status.listens and not states.status.is_synced
    states.wait(PARAMETERS.gossip_duration - 1)
    assert states.after(**DONE) is SyncState.GOSSIP
    states.wait(1)
    assert states.after(**DONE) is SyncState.SYNCED
    assert not states.status.may_sign(at(CURRENT)) and states.status.may_sign(at(CURRENT + 1))


@pytest.mark.parametrize("what", [FAILED, {"has_succeeded": True, "is_state_synced": False}])
def test_a_run_that_fails_while_listening_begins_the_wait_anew(what: dict[str, bool]) -> None:
    states = States()
    states.after(**DONE)
    states.wait(PARAMETERS.gossip_duration - 1)
    assert states.after(**what) is SyncState.GOSSIP
    states.wait(PARAMETERS.gossip_duration - 1)
    assert states.after(**DONE) is SyncState.GOSSIP
    states.wait(1)
    assert states.after(**DONE) is SyncState.SYNCED


@pytest.mark.parametrize("state", [SyncState.GOSSIP, SyncState.SYNCED])
def test_too_many_layers_behind_a_node_is_not_synced(state: SyncState) -> None:
    assert States(state).before(last=CURRENT - 2) is state
    assert States(state).before(last=CURRENT - 3) is SyncState.NOT_SYNCED


def test_a_synced_node_stays_so_when_a_run_fails_until_it_is_too_far_behind() -> None:
    states = States(SyncState.SYNCED)
    assert states.after(last=CURRENT - 2, **FAILED) is SyncState.SYNCED
    assert states.after(has_succeeded=True, is_state_synced=False) is SyncState.SYNCED
    assert states.after(last=CURRENT - 3, **FAILED) is SyncState.NOT_SYNCED
    assert states.status.synced_since is None


def test_up_to_the_genesis_every_node_is_synced() -> None:
    states = States()
    assert states.before(last=ZERO, current=ZERO) is SyncState.SYNCED and not states.status.is_atx_synced
    assert States().before(last=ZERO, current=ZERO + 1) is SyncState.NOT_SYNCED
    early = States()
    assert early.before(last=ZERO, current=2) is SyncState.SYNCED and early.status.is_atx_synced
