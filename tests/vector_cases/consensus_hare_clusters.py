"""Vectors of whole sessions of hare: consensus/hare3_cluster.json and hare4_cluster.json.

Every node is the real machine. As recorded, all messages of a step reach all nodes in one order, also those of the
node itself, so there is no engine here: it would have a node judge its own messages first, which is another order where
two nodes share a key. Recorded prerounds of version 3 list proposals in the order of a Go map, ours in ascending order:
they are compared sorted, and ours are sent.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from dataclasses import replace
from typing import Any

from node.beacon.machine import BEACONS
from node.blocks.patrol import LayerPatrol
from node.blocks.tables import AGREED
from node.contract.checks import NetworkChecker
from node.contract.demands import Demand, Failed, PeerRequest, ProveVrf, Request, Result
from node.contract.effects import Ask, Effect, Emit, Publish, Reply, ReportMalfeasance, SetTimer, StopIdentity
from node.contract.inputs import Answer, Asked, Tick, Timer
from node.contract.instants import Instant
from node.contract.messages import Message, Origin, PeerId
from node.contract.steps import Judged, Step
from node.contract.verdicts import Judgement
from node.hare.machine import HareMachine
from node.hare.tables import WEAK_COINS
from node.malfeasance.tables import MARKS, PROOFS, StoredProof, malicious
from node.store.own import Kind
from node.store.store import Store
from node.store.table import Schema
from node.store.view import Rows
from protocol.numbers.layers import NetworkTime
from protocol.types.hare import Hare3Message, Hare4Message, HareRound, IterRound
from protocol.types.ids import AtxId, Beacon, EdSignature, LayerId, NodeId, ProposalId
from tests.support.hare_nodes import (
    GENESIS,
    LAYER,
    PREROUND_DELAY,
    ROUND,
    KeptAtx,
    KeptProposal,
    Surroundings,
    by_proof,
    disabled,
    parameters,
)
from tests.vector_cases.consensus_support import Key, Keys, judged
from tests.vector_cases.harness import Case, Context, NotUnderstood, unknown_sections, vectors

NO_SIGNATURE = EdSignature(bytes(64))


@vectors("consensus/hare3_cluster.json", "consensus/hare4_cluster.json", variants=False)
def hare_cluster(document: Any, context: Context) -> Iterator[Any]:
    yield from unknown_sections(document, ("clusters",))
    for cluster in document["clusters"]:
        yield Case(cluster["name"], lambda cluster=cluster: _run(cluster, _number(cluster)))


def _number(cluster: Any) -> int:
    """The version: only 4 knows short ids."""
    first = bytes.fromhex(next(step for step in cluster["steps"] if step["published"])["published"][0]["bytes"])
    has_short = any(proposal["first_eligibility_vrf"] is not None for proposal in cluster["proposals"])
    decoded = Hare4Message.codec.decode(first) if has_short else Hare3Message.codec.decode(first)
    return 4 if isinstance(decoded, Hare4Message) else 3


class _Node:
    """One machine on a store of its own."""

    def __init__(self, cluster: Any, row: Any, number: int, peers: list[_Node]) -> None:
        genesis_id, length = bytes.fromhex(cluster["genesis_id"]), cluster["layers_per_epoch"]
        self.layer = LayerId(cluster["layer"])
        known = {proposal["id"]: _proposal(proposal) for proposal in cluster["proposals"]}
        atxs = [_atx(atx) for atx in cluster["atxs"]]
        self.around = Surroundings(atxs, {self.layer: [known[id] for id in row["proposals"] or ()]})
        committee = parameters(
            number,
            committee=cluster["committee"],
            leaders=cluster["leaders"],
            iterations_limit=cluster["iterations_limit"],
        )
        self.keys = [Key(seed, genesis_id) for seed in row["key_seeds"]]
        self.time, self.checker, self.patrol = (
            NetworkTime(GENESIS, LAYER, length),
            NetworkChecker(genesis_id),
            LayerPatrol(),
        )
        self.machine = HareMachine(
            committee if number == 3 else disabled(3),
            committee if number == 4 else disabled(4),
            self.time,
            self.around,
            self.around,
            self.around,
            Keys(self.keys),
            self.patrol,
            self.around,
            lambda: True,
        )
        self.store = Store.in_memory(Schema("hare", 1, (BEACONS, AGREED, WEAK_COINS, PROOFS, MARKS)))
        rows = Rows(self.store.view())
        rows.put(BEACONS, self.time.epoch_of(self.layer), bytes.fromhex(cluster["beacon"]))
        self.store.write(rows)
        self.peers = peers
        self.now = Instant(self.time.start_ns(self.layer))
        self.timers: dict[Hashable, Instant] = {}
        self.published: list[Publish] = []
        self._follow(self.machine.tick(Tick(self.layer, self.now), self.store.view(), self.now))

    def wait(self, now: int) -> list[Publish]:
        """What it publishes when its timers fall due."""
        self.now = Instant(now)
        for key, due in list(self.timers.items()):
            if due <= now:
                del self.timers[key]
                self._follow(self.machine.timer(Timer(key, due), self.store.view(), self.now))
        published, self.published = self.published, []
        return published

    def hear(self, data: bytes, place: int) -> None:
        """A message of a node, which may be this one."""
        peer = PeerId(str(place).encode())
        origin = Origin.OWN if self.peers[place] is self else Origin.GOSSIP
        message = Message(self.machine.topics[0], data, origin, self.now, None if origin is Origin.OWN else peer)
        found = judged(self.machine, message, self.store, self.now, self.checker, self._answer)
        assert found.verdict.judgement is not Judgement.REJECT, f"a message of node {place}: {found.verdict}"
        self._follow(found)

    def serve(self, request: Request) -> Result:
        """The answer to another node."""
        asked = Asked(1, PeerRequest(request.protocol, request.data, request.peer), self.now)
        (reply,) = self.machine.serve(asked, self.store.view(), self.now).effects
        assert isinstance(reply, Reply)
        assert not isinstance(reply.result, Failed), "whoever sent a message has its list"
        return reply.result

    def _answer(self, demand: Demand) -> Result:
        assert isinstance(demand, Request)
        return self.peers[int(demand.peer)].serve(demand)

    def _follow(self, step: Step | Judged) -> None:
        if step.rows is not None:
            self.store.write(step.rows)
        for effect in step.effects:
            self._effect(effect)

    def _effect(self, effect: Effect) -> None:
        match effect:
            case Publish():
                self.published.append(effect)
            case SetTimer(key, due):
                self.timers[key] = due
            case Ask(ProveVrf(identity, alpha) as demand, tag):
                (key,) = [key for key in self.keys if key.identity == identity]
                answer = Answer(tag, demand, key.prove(alpha), self.now)
                self._follow(self.machine.answer(answer, self.store.view(), self.now))
            case ReportMalfeasance(identity, proof):
                rows = Rows(self.store.view())
                rows.put(PROOFS, identity, StoredProof(proof, self.now))
                self.store.write(rows)
            case StopIdentity(identity):
                assert any(key.identity == identity for key in self.keys), "an own one: the recorded program goes on"
            case Emit():
                pass
            case _:
                raise AssertionError(f"{effect}")


class _Cluster:
    def __init__(self, cluster: Any, number: int) -> None:
        self.number = number
        self.nodes: list[_Node] = []
        for row in cluster["nodes"]:
            if row["node"] != len(self.nodes):
                raise NotUnderstood(f"node {row['node']} stands at place {len(self.nodes)}")
            self.nodes.append(_Node(cluster, row, number, self.nodes))

    def step(self, number: int, published: list[dict[str, Any]]) -> None:
        """A round: what every node sends, then to all of them in the recorded order."""
        first = self.nodes[0]
        now = first.time.start_ns(first.layer) + PREROUND_DELAY + number * ROUND
        sent: dict[tuple[int, str], bytes] = {}
        for place, node in enumerate(self.nodes):
            for one in node.wait(now):
                decoded = self._decode(one.data)
                at = decoded.body.iter_round.absolute()
                assert one.slot == (decoded.sender, Kind.HARE, node.layer, at), "what is signed names its slot"
                sent[place, decoded.sender.hex()] = one.data
        expected = {(row["node"], row["sender"]): row for row in published}
        assert sent.keys() == expected.keys(), f"step {number}: {sorted(sent)} speak, expected {sorted(expected)}"
        for key, row in expected.items():
            recorded = bytes.fromhex(row["bytes"])
            assert self._comparable(sent[key]) == self._comparable(recorded), f"step {number}, node {row['node']}"
            decoded = self._decode(sent[key])
            assert decoded.body.eligibility.count == row["count"]
            assert decoded.body.iter_round == IterRound(row["iter"], row["round"])
        for row in sorted(published, key=lambda row: row["seq"]):
            for node in self.nodes:
                node.hear(sent[row["node"], row["sender"]], row["node"])

    def _decode(self, data: bytes) -> Hare3Message | Hare4Message:
        return Hare3Message.codec.decode(data) if self.number == 3 else Hare4Message.codec.decode(data)

    def _comparable(self, data: bytes) -> object:
        decoded = self._decode(data)
        if isinstance(decoded, Hare3Message) and decoded.body.iter_round.round == HareRound.PREROUND:
            value = replace(decoded.body.value, proposals=tuple(sorted(decoded.body.value.proposals)))
            return replace(decoded, body=replace(decoded.body, value=value), signature=NO_SIGNATURE)
        return data


def _atx(row: dict[str, Any]) -> KeptAtx:
    return KeptAtx(
        AtxId(bytes.fromhex(row["id"])),
        NodeId(bytes.fromhex(row["node_id"])),
        row["weight"],
        row["base_height"],
        row["height"],
    )


def _proposal(row: dict[str, Any]) -> KeptProposal:
    return KeptProposal(
        ProposalId(bytes.fromhex(row["id"])),
        AtxId(bytes.fromhex(row["atx"])),
        NodeId(bytes.fromhex(row["smesher"])),
        Beacon(bytes.fromhex(row["beacon"])),
        by_proof(row["first_eligibility_vrf"]),
    )


def _run(cluster: Any, number: int) -> None:
    nodes = _Cluster(cluster, number)
    for place, step in enumerate(cluster["steps"]):
        if step["step"] != place:
            raise NotUnderstood(f"step {step['step']} stands at place {place}")
        nodes.step(place, step["published"] or [])
    for row in cluster["outputs"]:
        node = nodes.nodes[row["node"]]
        view = node.store.view()
        result = view.get(AGREED, node.layer)
        found = {
            "node": row["node"],
            "coin": view.get(WEAK_COINS, node.layer),
            "result": None if result is None else [id.hex() for id in result],
            "malicious": [identity.hex() for identity in malicious(view)] or None,
            "in_charge_after": node.patrol.is_in_charge(node.layer),
        }
        assert found == row, f"{found}, expected {row}"
        assert node.around.coins == [(node.layer, row["coin"])]
        assert not node.machine._memory.sessions, "the session has ended"
