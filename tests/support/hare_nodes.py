"""A node of hare for vectors and tests: the machine in the engine, beside the one that keeps proofs of malfeasance.

Proofs of own identities are made at once, messages that are sent count as sent; everything else that leaves is kept.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from node.beacon.machine import BEACONS
from node.blocks.patrol import LayerPatrol
from node.blocks.tables import AGREED
from node.contract.demands import Demand, Failed, PeerRequest, ProveVrf, Request, Result
from node.contract.inputs import Sent, Tick
from node.contract.instants import Instant
from node.contract.messages import Message, Origin, PeerId
from node.contract.owed import OWED
from node.contract.verdicts import Verdict
from node.eligibility.active_set import ActiveSet, Member
from node.eligibility.errors import EligibilityError
from node.engine.edges import Call, Incoming, Input, Judge, Outgoing, Output, Returned, Send
from node.engine.engine import Engine
from node.hare.machine import HareMachine
from node.hare.parameters import NEVER, HareBounds, HareParameters
from node.hare.tables import WEAK_COINS
from node.malfeasance.machine import MalfeasanceMachine
from node.malfeasance.tables import MARKS, PROOFS, Mark
from node.store.memory import MemoryBackend
from node.store.own import SIGNED, OwnStore
from node.store.store import Store
from node.store.stores import Stores
from node.store.table import Schema
from node.store.view import Rows, StoreView, View
from protocol.numbers.durations import SECOND
from protocol.numbers.layers import NetworkTime
from protocol.types.ballots import VotingEligibility
from protocol.types.ids import AtxId, Beacon, EpochId, LayerId, NodeId, ProposalId, VrfSignature
from tests.vector_cases.consensus_support import CountingChecker, Key, KeyRing

T = TypeVar("T")

GENESIS = 1_700_000_000 * SECOND
LAYER = 300 * SECOND
PREROUND_DELAY, ROUND = 25 * SECOND, 12 * SECOND


def parameters(number: int = 3, **changes: object) -> HareParameters:
    """Those of a version, as on the main network where nothing else is said."""
    given: dict[str, object] = {
        "is_enabled": True,
        "enable_layer": LayerId(0),
        "disable_layer": NEVER,
        "topic": f"/h/{number}.0",
        "committee": 50,
        "leaders": 5,
        "iterations_limit": 4,
        "preround_delay": PREROUND_DELAY,
        "round_duration": ROUND,
    }
    return HareParameters(**{**given, **changes})  # type: ignore[arg-type]


def disabled(number: int) -> HareParameters:
    """Those of a version that does not run."""
    return parameters(number, is_enabled=False)


@dataclass(frozen=True, slots=True)
class KeptProposal:
    """A LayerProposal."""

    id: ProposalId
    atx_id: AtxId
    smesher: NodeId
    beacon: Beacon
    eligibilities: tuple[VotingEligibility, ...] = ()
    is_malicious: bool = False


def by_proof(proof: str | None) -> tuple[VotingEligibility, ...]:
    """The eligibility of a proposal, of which nothing but the proof is looked at."""
    return () if proof is None else (VotingEligibility(0, VrfSignature(bytes.fromhex(proof))),)


@dataclass(frozen=True, slots=True)
class KeptAtx:
    """An ATX of one epoch."""

    id: AtxId
    node: NodeId
    weight: int = 10
    base_height: int = 0
    height: int = 1


@dataclass(slots=True)
class Surroundings:
    """What the machine asks of other rooms. Mutable."""

    atxs: Sequence[KeptAtx] = ()
    """Active in every epoch; of an identity with several, the last one has the seats."""
    proposals: dict[LayerId, list[KeptProposal]] = field(default_factory=dict)
    others: Sequence[KeptAtx] = ()
    """ATXs that are known, but have no seats."""
    is_synced: bool = True
    has_active_set: bool = True
    asked: int = 0
    """How often it was asked who is active."""
    coins: list[tuple[LayerId, bool]] = field(default_factory=list)
    """What tortoise was told."""

    def active_set(self, view: View, layer: LayerId) -> ActiveSet:
        """As Oracle says."""
        self.asked += 1
        if not self.has_active_set:
            raise EligibilityError("Nothing says who is active.", "empty_active_set")
        members = {atx.node: Member(atx.id, atx.weight) for atx in self.atxs}
        return ActiveSet(members, sum(member.weight for member in members.values()))

    def of_layer(self, layer: LayerId) -> Sequence[KeptProposal]:
        """As Proposals says."""
        return self.proposals.get(layer, ())

    def get(self, epoch: EpochId, id: AtxId) -> KeptAtx | None:
        """As Atxs says."""
        return next((atx for atx in (*self.atxs, *self.others) if atx.id == id), None)

    def by_node(self, epoch: EpochId, node: NodeId) -> Sequence[KeptAtx]:
        """As Atxs says."""
        return [atx for atx in self.atxs if atx.node == node]

    def on_weak_coin(self, layer: LayerId, is_heads: bool) -> None:
        """As WeakCoins says."""
        self.coins.append((layer, is_heads))


class _Identities:
    def exists(self, view: View, identity: NodeId) -> bool:
        return True

    def commitment_of(self, view: View, identity: NodeId) -> AtxId | None:
        return None

    def on_malicious(self, node: NodeId) -> None:
        """As Followers says: nobody follows here."""


def new_stores() -> Stores:
    """In memory."""
    state = Schema("state", 1, (OWED, BEACONS, AGREED, WEAK_COINS, PROOFS, MARKS))
    return Stores(Store.in_memory(state), OwnStore(Schema("own", 1, (SIGNED,)), MemoryBackend()))


class HareNode:
    """One node. `answers` gives the results of requests to peers; without it they stay open."""

    def __init__(
        self,
        genesis_id: bytes,
        keys: Sequence[Key],
        surroundings: Surroundings,
        beacons: Mapping[int, bytes],
        hare3: HareParameters | None = None,
        hare4: HareParameters | None = None,
        layers_per_epoch: int = 4,
        stores: Stores | None = None,
        bounds: HareBounds | None = None,
        now: int = GENESIS,
        answers: Callable[[Request], Result] | None = None,
        is_proving: bool = True,
    ) -> None:
        self.time = NetworkTime(GENESIS, LAYER, layers_per_epoch)
        self.surroundings, self.answers, self.is_proving = surroundings, answers, is_proving
        self.keys, self.patrol = KeyRing(*keys), LayerPatrol()
        self.stores = stores or new_stores()
        rows = Rows(self.stores.view())
        for epoch, beacon in beacons.items():
            rows.put(BEACONS, EpochId(epoch), beacon)
        self.stores.write(rows)
        self.machine = HareMachine(
            hare3 or (parameters(3) if hare4 is None else disabled(3)),
            hare4 or disabled(4),
            self.time,
            surroundings,
            surroundings,
            surroundings,
            self.keys,
            self.patrol,
            surroundings,
            lambda: surroundings.is_synced,
            bounds,
        )
        identities = _Identities()
        keeper = MalfeasanceMachine(self.keys, identities, identities, lambda: False)
        self.checker = CountingChecker(genesis_id)
        self.engine = Engine([self.machine, keeper], self.stores, self.checker)
        self.now = Instant(now)
        self.log: list[Output] = []
        self._take(self.engine.start(self.now))

    # ---- what happens ----

    def turn(self, *inputs: Input, now: int | None = None) -> list[Output]:
        """One turn, and those that its answers make; what has left in them."""
        self.now = self.now if now is None else Instant(now)
        return self._take(self.engine.turn(inputs, self.now))

    def tick(self, layer: int) -> list[Output]:
        """A layer begins."""
        begin = self.at(layer)
        return self.turn(Tick(LayerId(layer), begin), now=begin)

    def at(self, layer: int, seconds: float = 0) -> Instant:
        """A moment of a layer."""
        return Instant(self.time.start_ns(layer) + int(seconds * SECOND))

    def gossip(self, topic: str, data: bytes, peer: bytes = b"peer") -> Message:
        """A message of a peer, to be handed to `turn`."""
        return Message(topic, data, Origin.GOSSIP, self.now, PeerId(peer))

    def hear(self, topic: str, data: bytes, peer: bytes = b"peer") -> Verdict:
        """What becomes of a message of a peer."""
        message = self.gossip(topic, data, peer)
        (judged,) = [one for one in self.turn(message) if isinstance(one, Judge) and one.message is message]
        return judged.verdict

    def ask(self, protocol: str, data: bytes) -> Result:
        """The answer to a request of a peer."""
        incoming = Incoming(1, PeerRequest(protocol, data, PeerId(b"peer")), self.now)
        (answer,) = [one for one in self.turn(incoming) if isinstance(one, Outgoing)]
        return answer.result

    def convict(self, identity: bytes) -> None:
        """An identity is known to have broken the rules."""
        rows = Rows(self.stores.view())
        rows.put(MARKS, NodeId(identity), Mark(0))
        self.stores.write(rows)

    def _take(self, outputs: Sequence[Output]) -> list[Output]:
        left = list(outputs)
        self.log += outputs
        returned: list[Input] = []
        for one in outputs:
            if isinstance(one, Send):
                returned.append(Returned(one.call, Sent(), self.now))
            elif isinstance(one, Call):
                result = self._result(one.demand)
                if result is not None:
                    returned.append(Returned(one.call, result, self.now))
        if returned:
            left += self._take(self.engine.turn(returned, self.now))
        return left

    def _result(self, demand: Demand) -> Result | None:
        if isinstance(demand, ProveVrf) and self.is_proving:
            key = next((key for key in self.keys.keys if key.identity == demand.identity), None)
            return Failed("refused") if key is None else key.prove(demand.alpha)
        if isinstance(demand, Request) and self.answers is not None:
            return self.answers(demand)
        return None

    # ---- what is there ----

    @property
    def running(self) -> list[LayerId]:
        """Layers that have a session."""
        return sorted(self.machine._memory.sessions)

    @property
    def messages(self) -> int:
        """Messages in memory, of all sessions."""
        return sum(session.messages for session in self.machine._memory.sessions.values())

    @property
    def lists(self) -> int:
        """Messages whose full lists are kept for peers."""
        return len(self.machine._memory.lists)

    def of(self, kind: type[T]) -> list[T]:
        """What has left of one kind."""
        return [one for one in self.log if isinstance(one, kind)]

    def view(self) -> StoreView:
        """What is stored."""
        return self.stores.view()
