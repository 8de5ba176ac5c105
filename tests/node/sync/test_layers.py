"""The ballots of a layer, and whether the node is synced."""

from __future__ import annotations

from typing import Any

import pytest

from node.contract.demands import Failed, Fetch, Fetched, Request, Result
from node.contract.effects import Emit
from node.contract.instants import Instant
from node.contract.messages import PeerId
from node.contract.verdicts import ACCEPT, ignore, reject
from node.mesh.tables import BALLOTS
from node.sync.layers import LayerIncomplete, LayerOutcome, LayerSync
from node.sync.objects import Outcome, outcome_of
from node.sync.parameters import SyncParameters
from node.sync.states import SyncState, SyncStatus
from protocol.types.fetch import LayerData
from protocol.types.ids import (
    AtxId,
    BallotId,
    LayerId,
    as_hash32,
)
from tests.node.contract.world import at

from .chain import FIRST, TIME, Key, ballot
from .driver import Driver

A, B, C = PeerId(b"a"), PeerId(b"b"), PeerId(b"c")
PARAMETERS = SyncParameters(hare_delay_layers=2, certificate_distance=3)
GOT = Fetched(ACCEPT)
ZERO = LayerId(FIRST - 1)


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
    known = ballot(Key(1), 12, AtxId(b"\1" * 32))
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
