"""What clients are told of turns: each stored thing once, in its order; nothing is made of which nobody hears."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TypeVar

import pytest

from api.services.node.bus import Bus
from api.services.node.events import (
    AccountChanged,
    AtxAdded,
    Event,
    LayerStatus,
    LayerUpdated,
    NodeErred,
    ProposalSeen,
    ProposalStatus,
    RewardPaid,
    SmesherConvicted,
    StatusChanged,
    TransactionAdded,
    TransactionDone,
    UserEvent,
)
from api.services.node.telling import MOST_LAYERS, Telling
from node.activation.tables import ATXS
from node.beacon.machine import BEACONS
from node.blocks.machine import BlockMade
from node.blocks.tables import AGREED
from node.certificates.tables import CERTIFICATES
from node.contract.effects import Emit
from node.contract.instants import Instant
from node.engine.edges import Input, Output, Outputs
from node.engine.errors import MachineFailed
from node.ledger.tables import LAYERS, RESULTS, REWARDS
from node.malfeasance.tables import PROOFS
from node.mempool.tables import TRANSACTIONS
from node.proposals.builder import ProposalMade
from node.proposals.store import ProposalStore
from node.runtime.facts import Facts, facts_of
from node.store.view import Rows, StoreView, View
from protocol.types.ids import BlockId, LayerId, NodeId, ProposalId
from protocol.types.proposals import Proposal
from tests.support.imported_chain import SHORT
from tests.support.recorded_chain import RecordedChain, Replay
from tests.vector_cases.harness import load

E = TypeVar("E", bound=Event)


class Heard(Bus):
    """Keeps all that is told, of kinds that somebody is said to hear of."""

    def __init__(self, *deaf: type[object]) -> None:
        super().__init__(asyncio.new_event_loop())
        self._loop.close()
        self.told: list[Event] = []
        self._deaf = deaf

    def hears(self, kind: type[object]) -> bool:
        """As Bus says."""
        return kind not in self._deaf

    def publish(self, events: Iterable[Event]) -> None:
        """As Bus says."""
        self.told += events

    def of(self, kind: type[E]) -> list[E]:
        """All of one kind."""
        return [event for event in self.told if isinstance(event, kind)]

    def layers(self, status: LayerStatus) -> list[LayerId]:
        """Of which something was told."""
        return [event.layer for event in self.of(LayerUpdated) if event.status is status]


class Watched(Replay):
    """A node that takes a recorded chain up, and somebody who looks on from its second turn."""

    telling: Telling | None = None

    def _turn(self, *inputs: Input) -> Sequence[Output]:
        self.turns += 1
        engine, told = self._node.engine, self.telling
        engine.prepare(inputs, self.now)

        def show(rows: Rows, outputs: Outputs) -> None:
            if told is not None:
                told.committed(rows, [one.event for one in outputs if isinstance(one, Emit)], facts_of(self._node))

        return engine.commit(show=show)


@pytest.fixture(scope="module")
def chain() -> RecordedChain:
    return RecordedChain(load(SHORT))


@pytest.mark.parametrize("restart_every", [None, 40])
def test_each_thing_that_a_chain_stores_is_told_once(chain: RecordedChain, restart_every: int | None) -> None:
    replay, bus = Watched(chain), Heard()
    replay.telling = Telling(bus, chain.parameters, lambda: replay.now, lambda: None, frozenset)
    before = replay.view()
    known = set(before.keys(ATXS)), set(before.keys(LAYERS))
    replay.restart_every = restart_every
    replay.run(chain.applied)
    assert restart_every is None or replay.restarts > 3
    view = replay.view()

    with_header = {id for id, row in view.scan(TRANSACTIONS) if row.header is not None}
    assert Counter(event.id for event in bus.of(TransactionAdded)) == Counter(with_header) and len(with_header) > 20
    assert Counter(event.id for event in bus.of(AtxAdded)) == Counter(set(view.keys(ATXS)) - known[0])
    assert [event.identity for event in bus.of(SmesherConvicted)] == list(view.keys(PROOFS))
    assert Counter(map(repr, bus.of(RewardPaid))) == Counter(repr(RewardPaid(one)) for _, one in view.scan(REWARDS))
    results = bus.of(TransactionDone)
    assert Counter(event.id for event in results) == Counter(view.keys(RESULTS))
    assert all(view.get(RESULTS, event.id) == event.result for event in results)
    in_layers = [id for _, applied in view.scan(LAYERS) for id in applied.transactions]
    assert [event.id for event in results] == in_layers, "by layers, and as they were executed"

    assert bus.layers(LayerStatus.APPLIED) == sorted(set(view.keys(LAYERS)) - known[1])
    certified = {layer for (layer, _), row in view.scan(CERTIFICATES) if row.is_valid}
    assert Counter(bus.layers(LayerStatus.APPROVED)) == Counter(certified) and certified
    facts = facts_of(replay.node)
    confirmed = bus.layers(LayerStatus.CONFIRMED)
    assert confirmed == list(range(confirmed[0], confirmed[-1] + 1)) and len(confirmed) > 20
    assert confirmed[-1] >= min(facts.applied, facts.verified)
    opened = bus.layers(LayerStatus.OPENED)
    assert opened == list(range(opened[0], facts.latest + 1))
    beacons = [event.event.beacon.epoch for event in bus.of(UserEvent) if event.event.HasField("beacon")]
    assert beacons == sorted(set(view.keys(BEACONS)))
    assert _in_order(bus, view)


def _in_order(bus: Heard, view: View) -> bool:
    """A layer's accounts, rewards and results come before its being applied, and that before its being confirmed."""
    place = {(event.layer, event.status): at for at, event in enumerate(bus.told) if isinstance(event, LayerUpdated)}
    for at, event in enumerate(bus.told):
        if isinstance(event, TransactionDone):
            assert at < place[event.result.layer, LayerStatus.APPLIED]
        if isinstance(event, RewardPaid):
            assert at < place[event.reward.layer, LayerStatus.APPLIED]
    for layer in bus.layers(LayerStatus.CONFIRMED):
        assert place[layer, LayerStatus.APPLIED] < place[layer, LayerStatus.CONFIRMED]
    touched = {address for _, applied in view.scan(LAYERS) for address in applied.accounts}
    return touched <= {event.address for event in bus.of(AccountChanged)}


# ---- single turns ----


class Turns:
    """A telling, and turns that write what a test says over an empty store."""

    def __init__(self, chain: RecordedChain, bus: Heard) -> None:
        self.replay = Replay(chain)
        self.now = Instant(chain.parameters.time.start_ns(20))
        self.facts = Facts(True, True, *[LayerId(20)] * 4)
        self.proposals = self.replay.node.rooms.proposals
        self.peers: list[str] = []
        self.telling = Telling(bus, chain.parameters, lambda: self.now, self._store, lambda: tuple(self.peers))
        self.bus = bus
        self.turn()

    def _store(self) -> ProposalStore:
        return self.proposals

    def turn(self, *events: object, rows: Rows | None = None, **facts: object) -> list[Event]:
        """What is told of a turn."""
        self.facts = replace(self.facts, **facts)  # type: ignore[arg-type]
        before = len(self.bus.told)
        view = self.replay.view()
        self.telling.committed(rows or Rows(view), events, self.facts)
        return self.bus.told[before:]


def test_nothing_is_read_for_kinds_of_which_nobody_hears(chain: RecordedChain, monkeypatch: pytest.MonkeyPatch) -> None:
    bus = Heard(
        TransactionAdded, AtxAdded, LayerUpdated, AccountChanged, RewardPaid, TransactionDone, ProposalSeen,
        SmesherConvicted, StatusChanged,
    )  # fmt: skip
    replay = Watched(chain)
    replay.run(LayerId(chain.first + 2))
    replay.telling = Telling(bus, chain.parameters, lambda: replay.now, lambda: None, frozenset)
    kept = {BEACONS.name}
    reads: list[str] = []
    put_rows, read = Rows.put_rows, StoreView.read

    def counted(rows: Rows, table: object) -> object:
        reads.append(table.name)  # type: ignore[attr-defined]
        return put_rows(rows, table)  # type: ignore[arg-type]

    committed = replay.telling.committed

    def watched(rows: Rows, events: Sequence[object], facts: Facts) -> None:
        with monkeypatch.context() as patch:
            patch.setattr(Rows, "put_rows", counted)
            patch.setattr(StoreView, "read", lambda *given: reads.append("a read") or read(*given))
            committed(rows, events, facts)

    monkeypatch.setattr(replay.telling, "committed", watched)
    replay.run(LayerId(chain.first + 6))
    assert set(reads) == kept
    assert {type(event) for event in bus.told} <= {UserEvent}


def test_layers_are_not_told_again_when_the_node_begins_anew_but_when_they_are_undone(chain: RecordedChain) -> None:
    turns = Turns(chain, Heard())

    def confirmed(**facts: object) -> list[int]:
        told = turns.turn(**facts)
        return [one.layer for one in told if isinstance(one, LayerUpdated) and one.status is LayerStatus.CONFIRMED]

    assert confirmed(applied=LayerId(25), verified=LayerId(23)) == [21, 22, 23]
    assert confirmed(verified=LayerId(15)) == [], "its memory begins anew"
    assert confirmed(verified=LayerId(24)) == [24]
    assert confirmed(applied=LayerId(22)) == [], "layers are undone"
    assert confirmed(applied=LayerId(25)) == [23, 24]
    assert len(confirmed(applied=LayerId(10_000), verified=LayerId(10_000))) == MOST_LAYERS


def test_the_status_is_told_when_it_is_another_or_a_layer_begins(chain: RecordedChain) -> None:
    turns = Turns(chain, Heard())
    assert turns.turn() == []
    assert turns.turn(is_synced=False) == [StatusChanged()]
    assert turns.turn(is_synced=False) == []
    turns.now = Instant(chain.parameters.time.start_ns(21))
    assert turns.turn() == [StatusChanged()]
    turns.peers.append("a")
    assert turns.turn() == [StatusChanged()]
    assert turns.turn() == []


def test_proposals_are_told_when_they_are_made_and_when_a_block_is_made_of_them(
    chain: RecordedChain, monkeypatch: pytest.MonkeyPatch
) -> None:
    turns = Turns(chain, Heard())
    made: dict[ProposalId, Proposal] = {ProposalId(bytes([number]) * 20): object() for number in (1, 2)}  # type: ignore[misc]
    monkeypatch.setattr(turns.proposals, "proposal", lambda view, layer, id: made.get(id))
    first, second = made
    layer = LayerId(20)
    told = turns.turn(ProposalMade(NodeId(bytes(32)), layer, first))
    assert ProposalSeen(first, made[first], ProposalStatus.CREATED) in told
    rows = Rows(turns.replay.view())
    rows.put(AGREED, layer, [first, second, ProposalId(bytes([9]) * 20)])
    told = turns.turn(BlockMade(layer, BlockId(b"b" * 20)), rows=rows)
    assert [(one.id, one.status) for one in told if isinstance(one, ProposalSeen)] == [
        (first, ProposalStatus.INCLUDED),
        (second, ProposalStatus.INCLUDED),
    ]
    assert LayerUpdated(layer, LayerStatus.APPROVED) in told
    empty = turns.turn(BlockMade(layer, BlockId(bytes(20))), rows=rows)
    assert not any(isinstance(one, ProposalSeen) for one in empty)


def test_a_machine_that_fails_is_told_of(chain: RecordedChain) -> None:
    turns = Turns(chain, Heard())
    (told,) = turns.turn(MachineFailed("hare", "b1", "KeyError at sessions.py:10"))
    assert isinstance(told, NodeErred)
    assert (told.level, told.trace) == (4, "KeyError at sessions.py:10") and "hare" in told.message
