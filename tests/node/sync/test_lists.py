"""Lists of peers, and what is on them: activations of an epoch, proofs of malfeasance."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import pairwise
from typing import Any

from node.activation.tables import ATXS, StoredAtx
from node.contract.demands import Failed, Fetch, Fetched, Request, Result
from node.contract.effects import Emit
from node.contract.instants import Instant
from node.contract.messages import PeerId
from node.contract.verdicts import ACCEPT, ignore, reject
from node.fetch import protocols
from node.malfeasance.tables import PROOFS, StoredProof
from node.sim.chance import Chance
from node.sync.atxs import AtxSync, EpochDownloaded
from node.sync.malfeasance import MalfeasanceSync
from node.sync.parameters import AtxSyncParameters, MalfeasanceSyncParameters, SyncParameters
from node.sync.tables import EPOCHS, MALFEASANCE_SYNCED, ONLY
from protocol.crypto.hashing import hash32
from protocol.numbers.durations import HOUR, MINUTE, SECOND
from protocol.types.fetch import FetchEpochData, Hint, MaliciousIDs
from protocol.types.ids import (
    EMPTY_ADDRESS,
    AtxId,
    EpochId,
    NodeId,
)
from tests.node.contract.world import GENESIS

from .driver import Driver

A, B, C = PeerId(b"a"), PeerId(b"b"), PeerId(b"c")
PARAMETERS = SyncParameters(hare_delay_layers=2, certificate_distance=3)
GOT = Fetched(ACCEPT)


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
        self.sync: AtxSync | None = None

    def answer(self, demand: Any) -> Result:
        if self.sync is not None and isinstance(demand, Fetch):
            assert self.sync.progress is not None and self.sync.progress.passed < self.sync.progress.total
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
        sync = self.sync = AtxSync(parameters, self.driver.peers, Chance(1))
        return self.driver.run(lambda turn: sync.download(turn, EpochId(5), Instant(until)), pauses)


IDS = [bytes([number]) * 32 for number in range(1, 60)]


def test_an_epoch_is_downloaded_in_batches_and_windows() -> None:
    epoch = Epoch({A: IDS, B: IDS[:30]})
    assert epoch.download(batch=10, at_once=4)
    assert epoch.tries == dict.fromkeys(IDS, 1) and epoch.driver.most_at_once == 4
    assert epoch.sync is not None and epoch.sync.progress is None
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
    late, never, bad, slow = IDS[:4]
    results: dict[bytes, list[Result]] = {
        late: [Failed("timeout"), Fetched(ignore("atxs_unavailable")), Fetched(ignore("expired")), GOT],
        never: [Failed("not_found")],
        bad: [Fetched(reject("bad_signature"))],
        slow: [Failed("timeout")],
    }
    epoch = Epoch({A: IDS[:10]}, results)
    assert epoch.download(max_tries=6)
    assert [epoch.tries[id] for id in (late, never, bad, slow)] == [4, 2, 1, 6]
    assert [one.event for one in epoch.driver.effects if isinstance(one, Emit)] == [EpochDownloaded(EpochId(5), 7, 3)]
    assert epoch.driver.blamed() == []


def test_a_list_of_what_nobody_has_is_let_go() -> None:
    unknown = [hash32(number.to_bytes(4, "big")) for number in range(5000)]
    epoch = Epoch({A: unknown, B: IDS[:5]}, {id: [Failed("not_found")] for id in unknown})
    assert epoch.download(max_unknown=100, batch=50, max_tries=2)
    assert epoch.driver.blamed() == [(A, "unknown_ids")]
    assert len(epoch.tries) <= 150 + 5 and all(epoch.tries[id] == 1 for id in IDS[:5])


def test_a_list_of_which_most_is_made_up_does_not_count_as_one() -> None:
    made_up = [hash32(number.to_bytes(4, "big")) for number in range(6)]
    results: dict[bytes, list[Result]] = {id: [Failed("not_found")] for id in made_up}
    epoch = Epoch({A: [*IDS[:5], *made_up]}, results)
    assert epoch.download(pauses=50, max_tries=2) is None
    assert set(epoch.driver.blamed()) == {(A, "unknown_ids")}
    assert epoch.driver.store.view().get(EPOCHS, EpochId(5)).asked == 0  # type: ignore[union-attr]
    with_half = Epoch({A: [*IDS[:6], *made_up]}, results)
    assert with_half.download(max_tries=2) and not with_half.driver.blamed()


def test_whoever_makes_up_ids_cannot_go_on_for_ever() -> None:
    made_up: set[bytes] = set()

    class Fresh(Epoch):
        """Each list has the true ids, and others that were never there before."""

        def answer(self, demand: Any) -> Result:
            if isinstance(demand, Request):
                new = {hash32(bytes([len(made_up) + number])) for number in range(4)}
                made_up.update(new)
                self.lists = {A: [*IDS[:5], *new]}
            elif demand.id in made_up:
                self.tries[demand.id] += 1
                return Failed("not_found")
            return super().answer(demand)

    epoch = Fresh({A: []})
    assert epoch.download(list_interval=SECOND)
    assert len(epoch.driver.requests("ax/1")) == 1 and set(epoch.tries.values()) == {1, 2}
    assert all(fetch.peers == (A,) for _, fetch in epoch.driver.asked if isinstance(fetch, Fetch))


def test_ids_on_a_list_are_looked_up_so_many_a_step() -> None:
    epoch = Epoch({A: IDS})
    epoch.driver.put(lambda rows: [rows.put(ATXS, AtxId(id), stored_atx(5)) for id in IDS])  # type: ignore[func-returns-value]
    sync = AtxSync(replace(PARAMETERS, ids_of_step=10), epoch.driver.peers, Chance(1))
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


def test_with_few_peers_it_is_patient_and_not_for_ever() -> None:
    proofs = Proofs({A: IDS[:3]})
    sync = proofs.sync(min_peers=2, patient_rounds=4)
    proofs.driver.run(sync.first)
    assert len(proofs.driver.requests("ml/1")) == 4
    assert sync.is_due(proofs.driver.store.view(), proofs.driver.now, Instant(0), Instant(1))
    nobody = Proofs({})
    assert nobody.driver.run(nobody.sync(patient_rounds=4).first, pauses=50) is None


def test_afterwards_proofs_are_asked_for_every_half_hour() -> None:
    proofs = Proofs({A: IDS[:3]})
    assert proofs.driver.run(proofs.sync().loop, pauses=4) is None
    times = [at - GENESIS for at, _ in proofs.driver.requests("ml/1")]
    assert [round(time / MINUTE) for time in times] == [30, 60, 90, 120]
    assert proofs.driver.store.view().has(MALFEASANCE_SYNCED, ONLY)


def test_proofs_that_do_not_come_are_given_up() -> None:
    results = {
        IDS[0]: Failed("not_found"),
        IDS[1]: Fetched(reject("invalid_proof")),
        IDS[3]: Failed("timeout"),
    }
    proofs = Proofs({A: IDS[:4]}, results)
    proofs.driver.run(proofs.sync(min_peers=1, max_tries=4).first)
    assert proofs.tries == {IDS[0]: 2, IDS[1]: 1, IDS[2]: 1, IDS[3]: 4}


def test_the_first_sync_is_due_once_in_a_part_of_an_epoch() -> None:
    proofs = Proofs({})
    sync = proofs.sync(max_epoch_fraction=0.25)
    begin, end = Instant(1000), Instant(2000)

    def is_due(done: int, now: int) -> bool:
        proofs.driver.put(lambda rows: rows.put(MALFEASANCE_SYNCED, ONLY, done))
        return sync.is_due(proofs.driver.store.view(), Instant(now), begin, end)

    assert sync.is_due(proofs.driver.store.view(), Instant(1500), begin, end)
    assert is_due(999, 1100) and not is_due(1000, 1100) and not is_due(1000, 1250) and is_due(1000, 1251)
