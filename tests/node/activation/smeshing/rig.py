"""A node that smeshes, in virtual time: the machines of activations, PoET proofs, malfeasance and smeshing in one
engine, with PoET servers and provers in memory. It can be stopped after any turn and begun anew on its stores."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from typing import TypeVar

from node.activation import tables
from node.activation.columns import AtxColumns, AtxRow
from node.activation.machine import TOPIC, ActivationMachine
from node.activation.parameters import ActivationParameters
from node.activation.poets import PoetMachine
from node.activation.smeshing.events import ChallengeDropped, NotPublished, ProofNotMade
from node.activation.smeshing.machine import SmeshingMachine
from node.activation.smeshing.parameters import SmeshingParameters
from node.activation.smeshing.tables import TABLES as SMESHING
from node.activation.smeshing.times import Timeline
from node.contract.demands import (
    CertifyAtPoet,
    Demand,
    DescribePost,
    Failed,
    Fetch,
    HeldSpace,
    PoetProofOf,
    PostVerdict,
    ProvePost,
    RegisterAtPoet,
    Result,
    VerifyPoet,
    VerifyPost,
    VerifyVrfNonce,
)
from node.contract.effects import Emit, StopIdentity
from node.contract.inputs import Tick
from node.contract.instants import Instant
from node.contract.machine import Machine
from node.contract.owed import OWED
from node.engine.edges import Abandon, Call, Input
from node.malfeasance.machine import MalfeasanceMachine
from node.malfeasance.tables import TABLES as MALFEASANCE
from node.sim.chance import Chance
from node.store.memory import MemoryBackend
from node.store.own import SIGNED, Kind, OwnStore, Slot
from node.store.store import Store
from node.store.stores import Stores
from node.store.table import Schema
from node.store.view import Rows, View
from protocol.types.activation import ActivationTxV1, PostV1, publish_epoch_of, version_of
from protocol.types.activation_v2 import ActivationTxV2
from protocol.types.ids import AtxId, EpochId, LayerId, NodeId
from protocol.types.poet import PoetProofMessage
from tests.node.activation.forge import COINBASE, GOLDEN, LABELS, TICK, Forged
from tests.node.contract.world import Key, World
from tests.vector_cases.consensus_support import KeyRing

from .stand_ins import DOWN, PARAMETERS, POET_A, POET_B, TIME, TIMELINE, A, B, C, Poet, Prover

T = TypeVar("T")

STATE = Schema("state", 1, (OWED, *tables.TABLES, *MALFEASANCE))
OWN = Schema("own", 1, (SIGNED, *SMESHING))


def copied(view: View, schema: Schema) -> MemoryBackend:
    """A backend with the rows that a view has of a store, as a backup is."""
    backend = MemoryBackend()
    store = Store(schema, backend)
    rows = Rows(store.view())
    for table in schema.tables:
        for key, row in view.scan(table):
            rows.put(table, key, row)
    store.write(rows)
    return backend


class Rig:
    """A node, its world, its clock."""

    def __init__(
        self,
        *keys: Key,
        now: Instant | None = None,
        parameters: SmeshingParameters = PARAMETERS,
        versions: dict[int, int] | None = None,
    ) -> None:
        self.keys = KeyRing(*keys)
        self.parameters = parameters
        self.activation = ActivationParameters(GOLDEN, TICK, LABELS, 2, 1000, 37, 1, versions or {})
        self.state, self.own = MemoryBackend(), MemoryBackend()
        timeline = Timeline(TIME, parameters)
        self.poets = {POET_A: Poet(timeline), POET_B: Poet(timeline)}
        self.provers = {key.identity: Prover(number) for number, key in enumerate((A, B, C), 1)}
        self.invalid: set[PostV1] = set()
        """Proofs of space that do not hold."""
        self.results: dict[type[Demand], Callable[[Demand], Result | None]] = {}
        """Other answers to demands of a kind; None: the usual one."""
        self.withheld: Callable[[Demand], bool] = lambda demand: False
        """What is not answered for the time being."""
        self.is_synced = True
        self.sends = True
        self.now = TIMELINE.epoch_start(2) if now is None else now
        self.next_layer = TIME.layer_at(self.now) + 1
        self.events: list[object] = []
        self.stopped: dict[NodeId, str] = {}
        self.sent: list[bytes] = []
        self.calls: Counter[str] = Counter()
        self.turns = 0
        self.dice = Chance(11)
        self.restarts_at: Callable[[int], bool] = lambda turn: False
        self.objects: dict[bytes, bytes] = {}
        self.answered: set[int] = set()
        self.later: list[tuple[Instant, Call]] = []
        self.begin()

    # ---- the node ----

    def begin(self) -> None:
        """Start on the stores, as after a kill."""
        self.stores = Stores(Store(STATE, self.state), OwnStore(OWN, self.own))
        self.columns = AtxColumns()
        self.smeshing = SmeshingMachine(
            self.parameters,
            self.activation,
            TIME,
            self.keys,
            self.columns,
            lambda: COINBASE,
            lambda: self.is_synced,
            Chance(7),
        )
        self.activations = ActivationMachine(
            self.activation,
            TIME,
            self.keys,
            self.columns,
            self,
            lambda identity, challenge: (3,),
            lambda: self.is_synced,
            lambda view: EpochId(0),
        )
        keeper = MalfeasanceMachine(self.keys, tables, self, lambda: self.is_synced)
        machines: list[Machine] = [self.activations, PoetMachine(), keeper, self.smeshing, *self.more_machines()]
        self.later.clear()
        self.answered.clear()
        self.seen = 0
        self.world = World(self.stores, machines, derived=(self.columns,), now=self.now, sends=self.sends)
        self._take_outputs()

    def more_machines(self) -> Iterable[Machine]:
        return ()

    def on_atx(self, epoch: EpochId, atx: AtxRow, *, is_new: bool) -> None: ...

    def on_malicious(self, node: NodeId) -> None:
        self.columns.mark_malicious(node)

    def add_key(self, key: Key) -> None:
        self.keys.keys.append(key)

    # ---- time ----

    def run_until(self, end: Instant) -> None:
        """Everything that falls due and is answered until then."""
        while True:
            is_done = self._answer_calls()
            due = [Instant(TIME.start_ns(self.next_layer))]
            timer = self.world.engine.next_due()
            due += [] if timer is None else [timer]
            due += [when for when, _ in self.later]
            if not is_done and min(due) > self.now:
                continue
            when = max(min(due), self.now)
            if when > end:
                self.now = self.world.now = end
                return
            self.now = self.world.now = when
            inputs: list[Input] = []
            if TIME.start_ns(self.next_layer) <= when:
                inputs.append(Tick(LayerId(self.next_layer), Instant(TIME.start_ns(self.next_layer))))
                self.next_layer += 1
            ready = [one for one in self.later if one[0] <= when]
            self.later = [one for one in self.later if one[0] > when]
            for _, call in ready:
                inputs.append(self.world.returned(call, self._proven(call)))
            self.turn(*inputs)

    def turn(self, *inputs: Input) -> None:
        self.world.turn(*inputs, now=self.now)
        self.turns += 1
        self._take_outputs()
        if self.restarts_at(self.turns):
            self.now = Instant(self.now + DOWN)
            self.begin()

    def receive(self, *forged: Forged) -> None:
        """A peer sends activations, and has what they build on."""
        for one in forged:
            self.objects[one.id] = one.data
            self.objects |= {round.ref(): PoetProofMessage.codec.encode(round) for round in one.poets}
            self.world.now = self.now
            self.turn(self.world.gossip(TOPIC, one.data))
            self._answer_calls()

    def _take_outputs(self) -> None:
        new = self.world.log[self.seen :]
        self.seen = len(self.world.log)
        for one in new:
            if isinstance(one, Emit):
                self.events.append(one.event)
            elif isinstance(one, StopIdentity):
                self.stopped[one.identity] = one.sentence
                self.keys.stop(one.identity, one.sentence)
            elif isinstance(one, Abandon):
                self.answered.add(one.call)
                self.later = [pending for pending in self.later if pending[1].call != one.call]
        self.sent += [data for data in self.world.sent() if data not in self.sent]

    # ---- the world ----

    def _answer_calls(self) -> bool:
        """Answer what is asked for, in any order; False where the node was begun anew meanwhile."""
        engine = self.world.engine
        while engine is self.world.engine:
            calls = [
                one for one in self.world.of(Call) if one.call not in self.answered and not self.withheld(one.demand)
            ]
            if not calls:
                return True
            call = calls[self.dice.below(len(calls))]
            self.answered.add(call.call)
            self.calls[type(call.demand).__name__] += 1
            special = self.results.get(type(call.demand), lambda demand: None)(call.demand)
            if special is None and isinstance(call.demand, ProvePost):
                prover = self.provers[call.demand.identity]
                ready = prover.ready.setdefault(call.demand.challenge, self.now + prover.takes)
                self.later.append((Instant(ready), call))
                continue
            if isinstance(call.demand, Fetch) and call.demand.id in self.objects:
                self.turn(self.world.fetched(call, self.objects[call.demand.id]))
                continue
            self.turn(self.world.returned(call, self._result(call.demand) if special is None else special))
        return False

    def _proven(self, call: Call) -> Result:
        assert isinstance(call.demand, ProvePost)
        return self.provers[call.demand.identity].prove(call.demand)

    def _result(self, demand: Demand) -> Result:
        match demand:
            case RegisterAtPoet():
                return self.poets[demand.server].register(demand, self.now)
            case PoetProofOf():
                return self.poets[demand.server].proof(demand, self.now)
            case CertifyAtPoet():
                return Failed("no_certifier")
            case DescribePost():
                return HeldSpace(GOLDEN, self.provers[demand.identity].units)
            case VerifyPost():
                return PostVerdict(
                    demand.post not in self.invalid, reason="wrong" if demand.post in self.invalid else ""
                )
            case VerifyVrfNonce() | VerifyPoet():
                return True
            case _:
                return Failed("not_found")

    # ---- what became of it ----

    def of(self, kind: type[T]) -> list[T]:
        """Events of a kind."""
        return [one for one in self.events if isinstance(one, kind)]

    def signed(self, key: Key) -> dict[int, bytes]:
        """What an identity has signed, by publish epoch."""
        found = self.stores.view().scan(SIGNED)
        return {slot.number: data for slot, data in found if slot[:2] == Slot(key.identity, Kind.ATX, 0)[:2]}

    def atx(self, key: Key, epoch: int) -> ActivationTxV1 | ActivationTxV2:
        """The activation of an identity, as it was signed."""
        data = self.signed(key)[epoch]
        version = version_of(publish_epoch_of(data), self.activation.versions)
        return (ActivationTxV1.codec if version == 1 else ActivationTxV2.codec).decode(data)

    def stored(self, id: AtxId) -> tables.StoredAtx:
        found = self.stores.view().get(tables.ATXS, id)
        assert found is not None
        return found

    def sent_epochs(self, key: Key) -> list[int]:
        """The publish epochs of what an identity sent, in that order."""
        found = []
        for data in self.sent:
            epoch = publish_epoch_of(data)
            if self.signed(key).get(epoch) == data:
                found.append(epoch)
        return found


START = TIMELINE.epoch_start(2)


def end_of(epoch: int) -> Instant:
    """Just before an epoch is over."""
    return Instant(TIMELINE.publication_end(EpochId(epoch)) - 1)


def round_start(publish: int) -> Instant:
    """Of the round for a publish epoch."""
    return TIMELINE.round_start(EpochId(publish))


def round_end(publish: int) -> Instant:
    """The same."""
    return TIMELINE.round_end(EpochId(publish))


def sentences(rig: Rig, kind: type[ChallengeDropped] | type[ProofNotMade] | type[NotPublished]) -> list[str]:
    """What an owner was told."""
    return [event.sentence for event in rig.of(kind)]
