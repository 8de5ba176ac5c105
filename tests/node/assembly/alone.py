"""A network of one node, in virtual time: everything that its identities say is said, judged and counted by its own
machines. Provers and a PoET in memory stand in for space and time; keys, signatures and VRF proofs are real."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TypeVar

from node.activation.smeshing.times import Timeline
from node.assembly.node import Node, assemble
from node.assembly.parameters import NodeParameters, check, parameters_of
from node.assembly.rooms import Surroundings
from node.contract.checks import NetworkChecker
from node.contract.demands import (
    BootstrapDocument,
    CertifyAtPoet,
    Demand,
    DescribePost,
    Failed,
    HeldSpace,
    PoetProofOf,
    PostVerdict,
    ProvePost,
    ProveVrf,
    RegisterAtPoet,
    Result,
    VerifyPoet,
    VerifyPost,
    VerifyVrfNonce,
)
from node.contract.effects import Emit, Penalise, StopIdentity
from node.contract.inputs import Sent, Tick
from node.contract.instants import Instant
from node.engine.edges import Abandon, Call, Input, Output, Returned, Send
from node.engine.errors import MachineFailed
from node.sim.chance import Chance
from node.store.memory import MemoryBackend
from node.store.view import View
from protocol.numbers.durations import SECOND
from protocol.numbers.time import Time
from protocol.params.config import consensus, networks
from protocol.params.config.services import PoetServer
from protocol.types.ids import Address, LayerId
from tests.node.activation.forge import GOLDEN, LABELS, TICK
from tests.node.activation.smeshing.stand_ins import POET_A, Poet, Prover
from tests.node.contract.world import GENESIS, GENESIS_ID, LAYER
from tests.support.node_stores import stores_over
from tests.vector_cases.consensus_support import Key, Keys

T = TypeVar("T")

EPOCH = 8
"""Layers."""
COINBASE = Address(bytes(4) + b"\x33" * 20)


def network() -> NodeParameters:
    """A network of one node whose times are those of the main one, in short epochs."""
    base = networks.STANDALONE
    config = replace(
        base,
        main=replace(
            base.main,
            layer_duration_ns=LAYER,
            layer_average_size=10,
            layers_per_epoch=EPOCH,
            tick_size=TICK,
            poet_servers=(PoetServer(POET_A),),
        ),
        genesis=replace(base.genesis, time=Time.of(GENESIS), accounts={}),
        tortoise=replace(base.tortoise, hdist=4, window_size=3 * EPOCH),
        hare3=replace(
            base.hare3,
            committee=50,
            preround_delay_ns=25 * SECOND,
            round_duration_ns=12 * SECOND,
            protocolname="/h/3.0",
        ),
        beacon=consensus.Beacon(
            rounds_number=4,
            grace_period_duration_ns=20 * SECOND,
            proposal_duration_ns=60 * SECOND,
            first_voting_round_duration_ns=60 * SECOND,
            voting_round_duration_ns=30 * SECOND,
            weak_coin_round_duration_ns=30 * SECOND,
            sync_weight_units=10,
        ),
        post=replace(base.post, labels_per_unit=LABELS, min_numunits=1, max_numunits=1000, k2=37, k3=1),
        poet=replace(
            base.poet,
            phase_shift_ns=2 * LAYER,
            cycle_gap_ns=LAYER,
            grace_period_ns=100 * SECOND,
            positioning_atx_selection_timeout_ns=20 * SECOND,
        ),
        syncer=replace(base.syncer, interval_ns=30 * SECOND, gossipduration_ns=40 * SECOND),
        active_set_preparation=consensus.ActiveSetPreparation(window_ns=60 * SECOND, retry_interval_ns=10 * SECOND),
    )
    found = parameters_of(config)
    # the stand-ins belong to another genesis
    found = replace(
        found,
        genesis_id=GENESIS_ID,
        activation=replace(found.activation, golden_atx=GOLDEN),
        proposals=replace(found.proposals, golden_atx=GOLDEN),
        vm=replace(found.vm, genesis_id=GENESIS_ID),
    )
    check(found)
    return found


class Alone:
    """The node, its clock, and what it asks for. Mutable."""

    def __init__(self, identities: int = 2) -> None:
        self.parameters = network()
        self.time = self.parameters.time
        self.keys = [Key(f"{number:064x}", GENESIS_ID) for number in range(1, identities + 1)]
        self.provers = {key.identity: Prover(number, units=9 + number) for number, key in enumerate(self.keys, 1)}
        self.poet = Poet(Timeline(self.time, self.parameters.smeshing))
        self.backends = MemoryBackend(), MemoryBackend()
        self.now = Instant(self.time.start_ns(0))
        self.next_layer = LayerId(0)
        self.events: list[object] = []
        self.sent: list[tuple[str, bytes]] = []
        self.stopped: list[StopIdentity] = []
        self.begin()

    def begin(self) -> None:
        """It starts on its stores; what it waited for is forgotten."""
        given = Surroundings(
            stores_over(self.backends),
            NetworkChecker(GENESIS_ID),
            Keys(self.keys),
            seed=bytes(32),
            random=Chance(1),
            peers=lambda: [],
            coinbase=lambda: COINBASE,
        )
        self.node: Node = assemble(self.parameters, given)
        self._later: list[tuple[Instant, Call]] = []
        self._carry_out(self.node.engine.start(self.now))

    def view(self) -> View:
        """What is stored."""
        return self.node.stores.view()

    def of(self, kind: type[T]) -> list[T]:
        """Events of a kind."""
        return [one for one in self.events if isinstance(one, kind)]

    # ---- time ----

    def run(self, layer: float) -> None:
        """Until so many layers are over, or a part of one."""
        end = Instant(self.time.start_ns(0) + int(layer * LAYER))
        while self.now < end:
            tick = Instant(self.time.start_ns(self.next_layer))
            timer = self.node.engine.next_due()
            due = [tick, end, *([] if timer is None else [timer]), *(when for when, _ in self._later)]
            self.now = max(self.now, min(due))
            ready = [call for when, call in self._later if when <= self.now]
            self._later = [one for one in self._later if one[0] > self.now]
            inputs: list[Input] = [self._returned(call) for call in ready]
            if tick <= self.now:
                inputs.append(Tick(self.next_layer, tick))
                self.next_layer = LayerId(self.next_layer + 1)
            self._carry_out(self.node.engine.turn(inputs, self.now))

    def _carry_out(self, outputs: Sequence[Output]) -> None:
        waiting = list(outputs)
        while waiting:
            match waiting.pop(0):
                case Emit(event):
                    assert not isinstance(event, MachineFailed), event.error
                    self.events.append(event)
                case Send(call, topic, data):
                    self.sent.append((topic, data))
                    waiting += self.node.engine.turn([Returned(call, Sent(), self.now)], self.now)
                case Call(call, ProvePost(identity, challenge)) as open_call:
                    prover = self.provers[identity]
                    ready = prover.ready.setdefault(challenge, self.now + prover.takes)
                    self._later.append((Instant(ready), open_call))
                case Call() as open_call:
                    waiting += self.node.engine.turn([self._returned(open_call)], self.now)
                case Abandon(call):
                    self._later = [one for one in self._later if one[1].call != call]
                case StopIdentity() as stopped:
                    self.stopped.append(stopped)
                case Penalise() as blame:
                    raise AssertionError(blame)

    # ---- the world ----

    def _returned(self, call: Call) -> Returned:
        return Returned(call.call, self._result(call.demand), self.now)

    def _result(self, demand: Demand) -> Result:
        match demand:
            case ProveVrf(identity, alpha):
                return next(key for key in self.keys if key.identity == identity).prove(alpha)
            case ProvePost():
                return self.provers[demand.identity].prove(demand)
            case DescribePost():
                return HeldSpace(GOLDEN, self.provers[demand.identity].units)
            case RegisterAtPoet():
                return self.poet.register(demand, self.now)
            case PoetProofOf():
                return self.poet.proof(demand, self.now)
            case VerifyPost():
                return PostVerdict(True)
            case VerifyVrfNonce() | VerifyPoet():
                return True
            case CertifyAtPoet():
                return Failed("no_certifier")
            case BootstrapDocument():
                return Failed("not_found")
        raise AssertionError(f"it asks for {demand}")
