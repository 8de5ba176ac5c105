"""Whole nodes of several kinds that are stopped at drawn moments, and who compares what they say in all their lives.

Nodes 0 and 1 are never stopped: they are what the others are compared with. Node 2 has one identity, node 3 three,
node 4 none: it only looks on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal

from node.activation.machine import TOPIC as ATXS
from node.assembly.node import Node
from node.assembly.parameters import NodeParameters
from node.beacon.machine import BEACONS
from node.beacon.memory import FIRST_VOTES, FOLLOWING_VOTES
from node.certificates.machine import TOPIC as CERTIFY
from node.engine.edges import Input, Outputs, Send
from node.ledger.tables import LAYERS
from node.mesh.tables import MESH_HASHES
from node.proposals.machine import TOPIC as PROPOSALS
from node.schema import OWN, STATE
from node.sim.chance import Chance
from node.sim.disk import Crash
from node.sim.forging import HARE3, HARE4
from node.sim.invariants.agreement import Distances, FrontierMoves, OneBeacon, OneStateRoot
from node.sim.invariants.base import Invariant
from node.sim.invariants.health import NobodyStops
from node.sim.invariants.signing import NobodyHonestMarked, SignaturesStand
from node.sim.keys import SimKey, SimKeys
from node.sim.node import Plan, SimNode
from node.sim.ports import Holding, Surroundings
from node.sim.running import Run, prepare
from node.sim.scenario import CrashOf, Scenario
from node.sim.staging import Staged
from node.sim.virtual.space import VirtualSpace
from node.sim.whole import K2, Whole, WholeNodes, config_of, poets_of, simulated, wallets_of
from node.sim.world import Setting
from node.store.view import View
from protocol.numbers.durations import MILLISECOND
from protocol.numbers.layers import NetworkTime
from protocol.types.activation import ActivationTxV1
from protocol.types.beacon import FirstVotingMessage, FollowingVotingMessage
from protocol.types.certificates import CertifyMessage
from protocol.types.hare import Hare3Message, Hare4Message
from protocol.types.ids import EpochId, LayerId
from protocol.types.proposals import Proposal

EPOCH = 4
"""Layers."""
IDENTITIES = (1, 1, 1, 3, 0)
"""Of each node."""
NEVER_STOPPED = (0, 1)
OBSERVER = IDENTITIES.index(0)
UNITS = (40, 40, 24, 8, 0)
"""Space units of each identity of a node: a committee holds with those alone that are never stopped."""
Hare = Literal["3", "4", "3 to 4"]
UPGRADE = 14
"""The layer in which version 4 of hare begins, where version 3 runs before."""


@dataclass(frozen=True)
class Various:
    """A recipe: nodes without an identity, with one, with several; with one version of hare, or with both."""

    hare: Hare = "4"

    def time(self, scenario: Scenario) -> NetworkTime:
        """As Recipe says."""
        return WholeNodes().time(scenario)

    def parameters_of(self, scenario: Scenario, seed: int) -> NodeParameters:
        """Those of `node.sim.whole`, with these versions of hare."""
        config = config_of(seed, scenario)
        later = replace(config.hare4, enable=self.hare != "3", enable_layer=UPGRADE if self.hare == "3 to 4" else 0)
        earlier = replace(config.hare4, enable=self.hare != "4", protocolname=HARE3)
        if self.hare == "3 to 4":
            earlier = replace(earlier, disable_layer=UPGRADE)
        return simulated(replace(config, hare3=earlier, hare4=later))

    def make(self, scenario: Scenario, seed: int, staged: Staged) -> tuple[Setting, list[Plan]]:
        """As Recipe says."""
        parameters = self.parameters_of(scenario, seed)
        genesis_id = config_of(seed, scenario).genesis.identity.genesis_id
        golden = parameters.activation.golden_atx
        keys = [
            [SimKey(seed, 10 * node + one, genesis_id) for one in range(many)] for node, many in enumerate(IDENTITIES)
        ]
        build = Whole(parameters, wallets_of(seed, scenario, genesis_id), len(IDENTITIES)).build
        plans = [
            Plan(node, SimKeys(keys[node]), staged.clocks[node], build, (STATE, OWN), staged.roles[node])
            for node in range(scenario.nodes)
        ]
        holdings = {key.identity: Holding(UNITS[node], golden) for node, of in enumerate(keys) for key in of}
        around = Surroundings(VirtualSpace(K2, parameters.activation.labels_per_unit), holdings, poets_of(parameters))
        setting = Setting(
            parameters.time,
            genesis_id,
            around,
            crashes=staged.crashes,
            degree=scenario.degree,
            quantum=10 * MILLISECOND,
        )
        return setting, plans


def assembled(node: SimNode) -> Node:
    """All of a node that is up."""
    assert node.built is not None and isinstance(node.built.node, Node)
    return node.built.node


Said = tuple[object, ...]


def slot_of(topic: str, data: bytes) -> Said | None:
    """What a message was signed for, from its bytes alone; None for one that has no slot."""
    if topic == ATXS:
        atx = ActivationTxV1.codec.decode(data)
        return topic, atx.smesher_id, atx.publish_epoch
    if topic == PROPOSALS:
        ballot = Proposal.codec.decode(data).inner.ballot
        return topic, ballot.smesher_id, ballot.inner.layer
    if topic == CERTIFY:
        word = CertifyMessage.codec.decode(data)
        return topic, word.smesher_id, word.content.layer
    if topic == HARE3:
        hare = Hare3Message.codec.decode(data)
        return topic, hare.sender, hare.body.layer, hare.body.iter_round
    if topic == HARE4:
        hare4 = Hare4Message.codec.decode(data)
        return topic, hare4.sender, hare4.body.layer, hare4.body.iter_round
    if topic == FIRST_VOTES:
        first = FirstVotingMessage.codec.decode(data)
        return topic, first.smesher_id, first.body.epoch
    if topic == FOLLOWING_VOTES:
        following = FollowingVotingMessage.codec.decode(data)
        return topic, following.smesher_id, following.body.epoch, following.body.round
    return None


class OneMessageASlot(Invariant):
    """What leaves a node for a slot is the same in all of its lives. Looks at the messages alone, not at any table."""

    name = "one message a slot"

    def __init__(self) -> None:
        super().__init__()
        self.said: dict[Said, bytes] = {}

    def turned(self, node: SimNode, inputs: Sequence[Input], outputs: Outputs) -> None:
        """As Watcher says."""
        for output in outputs:
            slot = slot_of(output.topic, output.data) if isinstance(output, Send) else None
            if slot is not None:
                assert isinstance(output, Send)
                if self.said.setdefault(slot, output.data) != output.data:
                    self.violated(f"two messages left for {slot}", node)

    def started(self, node: SimNode, outputs: Outputs) -> None:
        """As Watcher says."""
        self.turned(node, (), outputs)


class NothingForgotten(Invariant):
    """Beacons, and what came of each layer when it was verified, are the same in all lives of a node, and are there in
    the end; what machines hold in memory is there again after a kill. (Which layers are verified is counted anew with
    the ballots that have come since: tortoise may take back the newest one, restarted or not.)"""

    name = "nothing is forgotten"

    def __init__(self) -> None:
        super().__init__()
        self._before: dict[int, dict[int, int]] = {}
        self._ended: dict[int, Crash] = {}
        self._decided: dict[tuple[int, str, int], bytes] = {}
        self.restarts = 0

    def turned(self, node: SimNode, inputs: Sequence[Input], outputs: Outputs) -> None:
        """As Watcher says."""
        self._before[node.number] = _memory(node)

    def crashed(self, node: SimNode, kind: Crash) -> None:
        """As Watcher says."""
        self._ended[node.number] = kind

    def started(self, node: SimNode, outputs: Outputs) -> None:
        """As Watcher says."""
        ended = self._ended.pop(node.number, None)
        if ended is None:
            return
        self.restarts += 1
        if ended is Crash.KILL and node.number in self._before:
            before, columns = self._before[node.number], assembled(node).rooms.columns
            for epoch, count in before.items():
                if len(columns.epoch(EpochId(epoch))) < count:
                    self.violated(f"had {count} activations of epoch {epoch} in memory, comes back with fewer", node)

    def put_back(self, node: SimNode) -> None:
        """A node that is down has an old state, of which its memory comes."""
        self._before.pop(node.number, None)

    def layer_began(self, layer: LayerId) -> None:
        """As Watcher says."""
        for node in self.world.nodes:
            if node.is_up:
                self._compare(node)

    def _compare(self, node: SimNode) -> None:
        decided = node.read(lambda view: decided_of(view, node.verified, settled(node)))
        for (what, number), value in decided.items():
            if self._decided.setdefault((node.number, what, number), value) != value:
                self.violated(f"has decided another {what} of {number} than before", node)

    def ended(self) -> None:
        """As Watcher says."""
        for node in self.world.nodes:
            decided = node.read(lambda view, node=node: decided_of(view, node.verified, settled(node)))
            mine = {(what, number) for of, what, number in self._decided if of == node.number}
            if mine - decided.keys():
                self.violated(f"has lost {sorted(mine - decided.keys())}", node)


def _memory(node: SimNode) -> dict[int, int]:
    """How many activations of two epochs are in memory."""
    columns = assembled(node).rooms.columns
    epoch = node.time.epoch_of(node.time.layer_at(node.local()))
    return {of: len(columns.epoch(EpochId(of))) for of in (epoch, epoch + 1)}


def settled(node: SimNode) -> int:
    """The newest layer whose hash in the mesh is final: up to hdist layers, who has not heard hare's outcome abstains,
    whatever tortoise has verified (06-tortoise, section 4)."""
    whole = assembled(node)
    current = node.time.layer_at(node.local())
    return min(node.verified, current - whole.parameters.tortoise.hdist - 2)


def decided_of(view: View, verified: int, settled: int) -> dict[tuple[str, int], bytes]:
    """Beacons, the state of every layer that is verified, the mesh of every one that is settled."""
    found: dict[tuple[str, int], bytes] = {}
    for epoch, beacon in view.scan(BEACONS):
        found["beacon", int(epoch)] = beacon
    for layer, row in view.scan(LAYERS):
        if layer <= verified:
            found["state", int(layer)] = row.state_hash
    for layer, opinion in view.scan(MESH_HASHES):
        if layer <= settled:
            found["mesh", int(layer)] = opinion
    return found


def drawn_restarts(seed: int, layers: int, each: int) -> list[CrashOf]:
    """So many restarts of each node that is ever stopped: between two units, or in the middle of a commit, where the
    own store is ahead; of the process alone, or with the power of the machine."""
    chance = Chance(seed, "restarts")
    found = []
    for node in range(len(IDENTITIES)):
        if node in NEVER_STOPPED:
            continue
        length = (layers - 9.0) / max(1, each)
        for number in range(each):
            at = 3.0 + length * number + length * chance.below(900) / 1000
            if chance.happens(0.5):  # when most is said: from the begin of a layer to the end of hare
                at = int(at) + chance.below(400) / 1000
            how: Literal["kill", "power"] = "power" if chance.happens(0.5) else "kill"
            downtime = float(chance.choice([0, 0, 1, 5, 30]))
            found.append(CrashOf(round(at, 4), node, how, downtime, chance.below(5)))
    return found


@dataclass(frozen=True)
class Restarted:
    """A run with restarts, and who looked on."""

    run: Run
    forgotten: NothingForgotten
    messages: OneMessageASlot


def restarted(seed: int, hare: Hare, layers: int, each: int) -> Restarted:
    """A run that has not begun, with restarts."""
    recipe = Various(hare)
    scenario = Scenario(
        "restarts", len(IDENTITIES), layers, EPOCH, transactions=2, events=tuple(drawn_restarts(seed, layers, each))
    )
    distances = Distances(config_of(seed, scenario).tortoise.hdist, 4 * EPOCH)
    forgotten, messages = NothingForgotten(), OneMessageASlot()
    weights = {node: UNITS[node] * many for node, many in enumerate(IDENTITIES)}
    invariants: list[Invariant] = [
        NobodyStops(),
        SignaturesStand(),
        messages,
        NobodyHonestMarked(),
        OneBeacon(),
        OneStateRoot(distances),
        FrontierMoves(distances, weights),
        forgotten,
    ]
    return Restarted(prepare(scenario, seed, recipe, invariants), forgotten, messages)


def said_by(made: Restarted, node: int) -> set[str]:
    """On which topics the identities of a node have signed something."""
    identities = made.run.world.nodes[node].identities
    return {str(topic) for topic, identity, *_ in made.messages.said if identity in identities}


def as_the_twin(run: Run) -> None:
    """Every node has what those have that were never stopped."""
    nodes = run.world.nodes
    twin = nodes[NEVER_STOPPED[0]]
    for node in nodes:
        assert node.is_up
        until = min(node.verified, twin.verified)
        assert until >= run.scenario.layers - 4, f"node {node.number} has verified up to {node.verified}"
        mesh = min(settled(node), settled(twin))
        mine, its = (one.read(partial(decided_of, verified=until, settled=mesh)) for one in (node, twin))
        assert mine == its, f"node {node.number}"
        assert node.read(lambda view: view.get(BEACONS, EpochId(run.scenario.layers // EPOCH - 1)))
