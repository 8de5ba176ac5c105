"""A node that knows nothing catches up with one that took up a recorded chain: activations, ballots, blocks, state.

Both are assembled as in the world. What one asks, the other answers from its rows; proofs are verified for real.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from node.activation.tables import ATXS
from node.assembly.node import Node, assemble
from node.assembly.rooms import Surroundings
from node.beacon.machine import BEACONS
from node.contract.checks import NetworkChecker
from node.contract.demands import (
    BootstrapDocument,
    Demand,
    Failed,
    PeerRequest,
    Request,
    VerifyPoet,
    VerifyPost,
    VerifyVrfNonce,
)
from node.contract.effects import Emit, Penalise
from node.contract.inputs import Tick
from node.contract.instants import Instant, after
from node.contract.messages import PeerId
from node.contract.owed import OWED
from node.contract.ports import Keys as KeysPort
from node.engine.edges import Call, Incoming, Input, Outgoing, Output, Returned
from node.engine.errors import MachineFailed
from node.ledger import state
from node.ledger.tables import ACCOUNTS, LAYERS
from node.mesh.tables import BALLOTS, MESH_HASHES
from node.schema import OWN, STATE
from node.sim.chance import Chance
from node.store.memory import MemoryBackend
from node.store.own import SIGNED
from node.store.stores import Stores
from node.store.view import View
from protocol.types.ids import Address, EpochId, LayerId
from tests.node.contract.world import stores_on
from tests.support.node_stores import stores_over
from tests.support.recorded_chain import Replay
from tests.vector_cases.consensus_support import Keys

THERE, HERE = PeerId(b"has the chain"), PeerId(b"begins")
LAYERS_OF_PATIENCE = 100


def stores_in_memory() -> Callable[[], Stores]:
    """Opens the same stores each time."""
    backends = MemoryBackend(), MemoryBackend()
    return lambda: stores_over(backends)


@dataclass
class Newcomer:
    """A node without anything, and the one that it asks."""

    replay: Replay
    blamed: list[Penalise] = field(default_factory=list)
    events: list[object] = field(default_factory=list)
    requests: int = 0
    keys: KeysPort = field(default_factory=Keys)
    peers: tuple[PeerId, ...] = (THERE,)
    coinbase: Callable[[], Address] | None = None
    open_stores: Callable[[], Stores] = field(default_factory=stores_in_memory)
    """As they were left."""

    def __post_init__(self) -> None:
        self.time = self.replay.chain.parameters.time
        self.now = max(self.replay.now, Instant(self.time.start_ns(self.replay.chain.last + 1)))
        self.layer = self.time.layer_at(self.now)
        self.asked: dict[int, int] = {}
        """Numbers of requests there, and of the calls here."""
        self.node = self.begin()

    def begin(self) -> Node:
        """It starts, perhaps once more."""
        of = self.replay.chain.parameters
        # one peer is all that there is
        sync = replace(of.sync, malfeasance=replace(of.sync.malfeasance, min_peers=1))
        given = Surroundings(
            self.open_stores(),
            NetworkChecker(of.genesis_id),
            self.keys,
            seed=b"\1" * 32,
            random=Chance(2),
            coinbase=self.coinbase,
            peers=lambda: self.peers,
        )
        self.node = assemble(replace(of, sync=sync), given)
        self.asked.clear()
        self._carry_out(self.node.engine.start(self.now))
        return self.node

    @property
    def until(self) -> LayerId:
        """The last layer whose state it can know: nobody votes on later ones, and their certificates count no more."""
        return LayerId(self.replay.chain.last - self.replay.chain.parameters.tortoise.hdist + 1)

    @property
    def has_caught_up(self) -> bool:
        """Whether it knows this state, and that no more is to be had."""
        return self.node.rooms.mesh.in_state >= self.until and self.node.sync.status.listens

    def run(self, turns: int) -> Iterator[int]:
        """So many turns of both, time passing where nothing else happens."""
        for turn in range(turns):
            if self.has_caught_up:
                return
            yield turn
            there, here = self.replay.node.engine, self.node.engine
            due = [one for one in (there.next_due(), here.next_due()) if one is not None]
            self.now = max(self.now, min(due, default=after(self.now, self.time.layer_duration_ns)))
            self._ticks()
            self._carry_out(there.turn([], self.now), is_there=True)
            self._carry_out(here.turn([], self.now))
        raise AssertionError(
            f"after {turns} turns it is at layer {self.node.rooms.mesh.in_state}: {self.node.sync.progress}"
        )

    def _ticks(self) -> None:
        while self.layer < self.time.layer_at(self.now):
            self.layer = LayerId(self.layer + 1)
            assert self.layer < self.replay.chain.last + LAYERS_OF_PATIENCE, f"{self.node.sync.progress}"
            self._turn(Tick(self.layer, Instant(self.time.start_ns(self.layer))))

    def _turn(self, *inputs: Input) -> None:
        self._carry_out(self.node.engine.turn(inputs, self.now))

    def _carry_out(self, outputs: Sequence[Output], is_there: bool = False) -> None:
        for output in outputs:
            match output:
                case Call(call, demand) if is_there:
                    answers = self.replay.node.engine.turn([Returned(call, Failed("no_peers"), self.now)], self.now)
                    self._carry_out(answers, is_there=True)
                case Call(call, demand):
                    self._answer(call, demand)
                case Outgoing(number, result):
                    if (waiting := self.asked.pop(number, None)) is not None:
                        self._turn(Returned(waiting, result, self.now))
                case Penalise():
                    self.blamed.append(output)
                case Emit(event):
                    assert not isinstance(event, MachineFailed), event.error
                    self.events += [] if is_there else [event]

    def _answer(self, call: int, demand: Demand) -> None:
        match demand:
            case Request(protocol, data):
                self.requests += 1
                self.asked[self.requests] = call
                request = Incoming(self.requests, PeerRequest(protocol, data, HERE), self.now)
                self._carry_out(self.replay.node.engine.turn([request], self.now), is_there=True)
            case VerifyPost() | VerifyVrfNonce() | VerifyPoet():
                self._turn(Returned(call, self.replay.verifier.answer(demand), self.now))
            case BootstrapDocument():
                self._turn(Returned(call, Failed("not_found"), self.now))
            case _:
                raise AssertionError(f"it asks for {demand}")


def rows(view: View, table: Any, until: LayerId) -> dict[Any, Any]:
    return {layer: row for layer, row in view.scan(table) if layer <= until}


@pytest.mark.parametrize(("backend", "kills"), [("memory", 0), ("leveldb", 7)])
def test_a_newcomer_comes_to_the_same_state(whole_chain: Replay, backend: str, kills: int, tmp_path: Path) -> None:
    tables = [table for table in (*STATE.tables, *OWN.tables) if table not in (OWED, SIGNED)]
    with stores_on(backend, tmp_path, *tables) as open_stores:
        _comes_to_the_same_state(Newcomer(whole_chain, open_stores=open_stores), kills)


def _comes_to_the_same_state(newcomer: Newcomer, kills: int) -> None:
    replay = newcomer.replay
    for turn in newcomer.run(20_000):
        if kills and turn % 25 == 24:
            kills -= 1
            newcomer.begin()
    assert not kills
    here, there, until = newcomer.node.stores.view(), replay.view(), newcomer.until
    assert not newcomer.blamed
    for table in (LAYERS, MESH_HASHES):
        assert rows(here, table, until) == rows(there, table, until)
    accounts = {address: state.account(there, address, until) for address in there.keys(ACCOUNTS)}
    assert {address: state.account(here, address, until) for address in accounts} == accounts
    assert dict(here.scan(BALLOTS)) == dict(there.scan(BALLOTS))
    assert dict(here.scan(ATXS)).keys() == dict(there.scan(ATXS)).keys()
    # nobody published the first beacon once more: it is what the ballots say, as all others
    beacons = {EpochId(row["epoch"]): bytes.fromhex(row["beacon"]) for row in replay.chain.document["beacons"]}
    assert {epoch: beacon for epoch, beacon in here.scan(BEACONS) if epoch in beacons} == beacons
    assert newcomer.node.sync.progress.stopped_by == ""
