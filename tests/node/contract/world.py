"""A driver for the walks: an engine on stores, a clock that stands still until told, everything that leaves kept."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from node.contract.bounds import Bounds
from node.contract.demands import Demand, Fetch
from node.contract.inputs import Sent, Tick
from node.contract.instants import Instant
from node.contract.machine import Derived, Machine
from node.contract.messages import Message, Origin, PeerId
from node.contract.owed import OWED
from node.contract.verdicts import Verdict
from node.engine.edges import Call, Input, Judge, Output, Returned, Send
from node.engine.engine import Engine
from node.store.level import open_own_store, open_store
from node.store.memory import MemoryBackend
from node.store.own import SIGNED, OwnStore
from node.store.store import Store
from node.store.stores import Stores
from node.store.table import Schema, Table
from node.store.view import StoreView
from protocol.numbers.durations import SECOND
from protocol.types.ids import LayerId
from tests.vector_cases import consensus_support

T = TypeVar("T")

GENESIS_ID = b"walks of a node....."
GENESIS = Instant(1_700_000_000 * SECOND)
LAYER = 300 * SECOND

ALICE, BOB, CAROL = PeerId(b"alice"), PeerId(b"bob"), PeerId(b"carol")


def at(layer: int, seconds: float = 0) -> Instant:
    """A moment of a layer."""
    return Instant(GENESIS + layer * LAYER + int(seconds * SECOND))


class Key(consensus_support.Key):
    """A Signer of this network, by a number."""

    def __init__(self, number: int) -> None:
        super().__init__(f"{number:064x}", GENESIS_ID)


class World:
    """One node. `sends` is False where the network takes nothing."""

    def __init__(
        self,
        stores: Stores,
        machines: Sequence[Machine],
        bounds: Bounds | None = None,
        derived: Sequence[Derived] = (),
        now: Instant = GENESIS,
        sends: bool = True,
    ) -> None:
        self.stores = stores
        self.checker = consensus_support.CountingChecker(GENESIS_ID)
        self.engine = Engine(machines, stores, self.checker, bounds or Bounds(), derived)
        self.now = now
        self.sends = sends
        self.log: list[Output] = []
        """Everything that has left."""
        self.started = self._out(self.engine.start(now))

    def turn(self, *inputs: Input, now: Instant | None = None) -> list[Output]:
        """One turn, and those that the network's answers make; what has left."""
        if now is not None:
            self.now = now
        return self._out(self.engine.turn(inputs, self.now))

    def tick(self, layer: int) -> list[Output]:
        """A layer begins."""
        return self.turn(Tick(LayerId(layer), at(layer)), now=at(layer))

    def gossip(self, topic: str, data: bytes, peer: PeerId = ALICE, received: Instant | None = None) -> Message:
        """A message of a peer."""
        return Message(topic, data, Origin.GOSSIP, self.now if received is None else received, peer)

    def fetched(self, call: Call, data: bytes, peer: PeerId = BOB) -> Message:
        """What a peer sends for a call."""
        assert isinstance(call.demand, Fetch)
        return Message(call.demand.hint, data, Origin.FETCHED, self.now, peer, call.demand.id)

    def returned(self, call: Call, result: object) -> Returned:
        """What comes of a call."""
        return Returned(call.call, result, self.now)  # type: ignore[arg-type]

    def call_for(self, demand: type[Demand], having: Callable[[Demand], bool] = lambda one: True) -> Call:
        """The one call of a kind that has left."""
        (found,) = [one for one in self.of(Call) if isinstance(one.demand, demand) and having(one.demand)]
        return found

    def of(self, kind: type[T]) -> list[T]:
        """What has left of one kind."""
        return [one for one in self.log if isinstance(one, kind)]

    def verdicts(self) -> list[Verdict]:
        """All verdicts, in their order."""
        return [one.verdict for one in self.of(Judge)]

    def sent(self) -> list[bytes]:
        """All messages that were published."""
        return [one.data for one in self.of(Send)]

    def view(self) -> StoreView:
        """What is stored."""
        return self.stores.view()

    def _out(self, outputs: Sequence[Output]) -> list[Output]:
        all_outputs = list(outputs)
        self.log += outputs
        answers = [Returned(one.call, Sent(), self.now) for one in outputs if isinstance(one, Send)]
        if self.sends and answers:
            all_outputs += self._out(self.engine.turn(answers, self.now))
        return all_outputs


@contextmanager
def stores_on(backend: str, folder: Path, *tables: Table[object, object]) -> Iterator[Callable[[], Stores]]:
    """How to open the stores of these tables, again and again: what was written is there, as after a kill."""
    state = Schema("state", 1, (OWED, *(table for table in tables if not table.is_own)))
    own = Schema("own", 1, (SIGNED, *(table for table in tables if table.is_own)))
    opened: list[Stores] = []
    in_memory = MemoryBackend(), MemoryBackend()

    def open_again() -> Stores:
        for before in opened:
            before.close()
        if backend == "leveldb":
            stores = Stores(open_store(folder / "state", state), open_own_store(folder / "own", own))
        else:
            stores = Stores(Store(state, in_memory[0]), OwnStore(own, in_memory[1]))
        opened.append(stores)
        return stores

    yield open_again
    for one in opened:
        one.close()
