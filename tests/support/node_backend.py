"""What the services of a node stand on, for tests: a `Backend` over stores, without a driver, threads or sockets.

Rows are read from the stores as they are. What only memory knows is asked of a node that is assembled on the same
stores when it is first needed; transactions are judged by it at once, as if a peer had been asked for them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import TypeVar

from api.services.node.backend import NetworkFacts, PeerFacts
from api.services.node.bus import Bus
from node.assembly.node import Node, assemble
from node.assembly.parameters import NodeParameters, parameters_of
from node.assembly.rooms import Rooms, Surroundings
from node.contract.checks import NetworkChecker
from node.contract.instants import Instant
from node.contract.messages import Message, Origin
from node.contract.verdicts import Verdict
from node.engine.edges import Judge
from node.ledger.vm import Vm
from node.mesh.tables import BALLOTS_BY_SMESHER, BLOCKS_BY_LAYER, PROCESSED
from node.runtime.facts import Facts
from node.sim.chance import Chance
from node.store.keys import ONLY
from node.store.memory import MemoryBackend
from node.store.store import Backend as Files
from node.store.view import BACKWARDS, Rows, View
from protocol.params.config.node import Config
from protocol.types.fetch import Hint
from protocol.types.ids import LayerId
from protocol.types.transactions import transaction_id
from tests.support.node_stores import stores_over
from tests.vector_cases.consensus_support import Keys

T = TypeVar("T")


class Company:
    """A Peering that says what it is told. Mutable."""

    def __init__(self, network: NetworkFacts | None = None, peers: Sequence[PeerFacts] = ()) -> None:
        self.this = network or NetworkFacts("this node")
        self.others = list(peers)

    def network(self) -> NetworkFacts:
        """As Peering says."""
        return self.this

    def peers(self) -> Sequence[PeerFacts]:
        """As Peering says."""
        return self.others


class StoresBackend:
    """A Backend. The clock stands where it is put."""

    def __init__(
        self,
        config: Config,
        files: tuple[Files, Files] | None = None,
        *,
        now: Instant | None = None,
        loop: asyncio.AbstractEventLoop | None = None,
        company: Company | None = None,
    ) -> None:
        """files: the backends of the state and of the own store; None: new ones in memory. now: None, at the genesis.
        loop: in which events are handed out; None: the one that runs."""
        self.config = config
        self.parameters: NodeParameters = parameters_of(config)
        self.stores = stores_over(files or (MemoryBackend(), MemoryBackend()))
        self.clock = Instant(self.parameters.time.genesis_ns) if now is None else now
        self.bus = Bus(loop or asyncio.get_running_loop())
        self.peering = company or Company()
        self.version = self.build = ""
        self.told: Facts | None = None
        """What `facts` says; None: what follows from rows, of a node that is not synced."""
        self.ended_after: float | None = None
        """Seconds after which the process was told to end."""

    def at_layer(self, layer: int) -> None:
        """Put the clock to the start of a layer."""
        self.clock = Instant(self.parameters.time.start_ns(layer))

    # ---- Backend ----

    def now(self) -> Instant:
        """As Backend says."""
        return self.clock

    @property
    def facts(self) -> Facts:
        """As Backend says."""
        if self.told is not None:
            return self.told
        with self.view() as view:
            return facts_of(view, self.parameters)

    @contextmanager
    def view(self) -> Iterator[View]:
        """As Backend says."""
        view = self.stores.view()
        try:
            yield view
        finally:
            view.close()

    async def ask(self, question: Callable[[Rooms, View], T]) -> T:
        """As Backend says."""
        rooms = self.node.rooms
        with self.view() as view:
            return question(rooms, view)

    async def submit(self, raw: bytes) -> Verdict:
        """As Backend says."""
        id = transaction_id(raw)
        message = Message(Hint.TX, raw, Origin.FETCHED, self.clock, expected=id)
        outputs = self.node.engine.turn([message], self.clock)
        (verdict,) = [output.verdict for output in outputs if isinstance(output, Judge) and output.message is message]
        return verdict

    def shut_down(self, delay_s: float) -> None:
        """As Backend says."""
        self.ended_after = delay_s

    # ---- for tests ----

    @cached_property
    def node(self) -> Node:
        """A node on the stores that has started. It puts what the genesis of the network says."""
        given = Surroundings(
            self.stores,
            NetworkChecker(self.parameters.genesis_id),
            Keys(),
            seed=bytes(32),
            random=Chance(1),
            peers=lambda: [],
        )
        node = assemble(self.parameters, given)
        node.engine.start(self.clock)
        return node

    def start_again(self) -> None:
        """The next one who asks the node asks a new one, which takes up what is stored."""
        vars(self).pop("node", None)

    def write(self, put: Callable[[Rows], object]) -> None:
        """One batch of rows."""
        with self.view() as view:
            rows = Rows(view)
            put(rows)
            self.stores.write(rows)


def facts_of(view: View, parameters: NodeParameters) -> Facts:
    """What a node that is not synced says of itself, as far as rows tell."""
    genesis = parameters.time.effective_genesis
    applied = Vm(parameters.vm).last_applied(view)
    processed = max(genesis, view.get(PROCESSED, ONLY) or genesis)
    seen = [entry[0] for entry, _ in view.find(BALLOTS_BY_SMESHER, BACKWARDS)][:1]
    seen += [entry for entry, _ in view.find(BLOCKS_BY_LAYER, BACKWARDS)][:1]
    return Facts(
        is_synced=False,
        is_atx_synced=False,
        latest=LayerId(max([genesis, applied, processed, *seen])),
        applied=applied,
        processed=processed,
        verified=applied,
    )
