"""Vectors of the beacon's machine: consensus/beacon_handlers.json and consensus/beacon_runs.json.

The machine is driven as the engine drives it, with ticks, timers, messages and answers. In the recorded runs all nodes
act at once; here a run is one node that is given what it received: proposals before their phase ends, first votes in
round 0, votes and coins in theirs.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import Any

import numpy as np

from node.beacon.epochs import EpochAtxs
from node.beacon.machine import BEACONS, BeaconMachine
from node.beacon.memory import COINS, FIRST_VOTES, FOLLOWING_VOTES, PROPOSALS
from node.beacon.parameters import BeaconParameters
from node.contract.checks import NetworkChecker
from node.contract.demands import ProveVrf
from node.contract.effects import Ask, Publish, SetTimer
from node.contract.inputs import Answer, Tick, Timer
from node.contract.instants import Instant
from node.contract.messages import Message, Origin
from node.contract.steps import Step
from node.store.memory import MemoryBackend
from node.store.store import Store
from node.store.table import Schema
from protocol.numbers.durations import SECOND
from protocol.numbers.layers import NetworkTime
from protocol.types.beacon import FollowingVotingMessage, WeakCoinMessage
from protocol.types.ids import EpochId, LayerId, NodeId, VrfSignature
from tests.vector_cases.consensus_support import Key, Keys, judged
from tests.vector_cases.harness import Case, Context, NotUnderstood, unknown_sections, vectors

LAYERS_PER_EPOCH = 10
LAYER = 3600 * SECOND
GENESIS = 1_700_000_000 * SECOND
PROPOSAL, FIRST, VOTING, COIN = 240 * SECOND, 1800 * SECOND, 240 * SECOND, 240 * SECOND
GRACE = 30 * SECOND
CHANNELS = {
    "proposal": PROPOSALS,
    "first_votes": FIRST_VOTES,
    "following_votes": FOLLOWING_VOTES,
    "weak_coin": COINS,
}


class _Smeshers:
    """The ATXs of one epoch."""

    def __init__(self, epoch: int, start: int, rows: Sequence[Any]) -> None:
        self._epoch, self._start = epoch, start
        self._rows = [row for row in rows if row.get("has_atx", True)]
        self._by_node = {row["node_id"]: row for row in self._rows}

    def atxs(self, epoch: EpochId) -> EpochAtxs:
        rows = self._rows if epoch == self._epoch else []
        nodes = b"".join(bytes.fromhex(row["node_id"]) for row in rows)
        return EpochAtxs(
            np.frombuffer(nodes, ">u8").astype(np.uint64).reshape(-1, 4),
            np.array([row["weight"] for row in rows], np.uint64),
            np.array([self._start + _after_start(row) for row in rows], np.int64),
            np.array([row["malicious"] for row in rows], np.bool_),
        )

    def nonce(self, node: NodeId, epoch: EpochId) -> int | None:
        row = self._by_node.get(node.hex())
        return None if row is None else row["vrf_nonce"]

    def units(self, node: NodeId, epoch: EpochId) -> int:
        row = self._by_node.get(node.hex())
        return 0 if row is None or row["malicious"] else row["num_units"]


def _after_start(row: Any) -> int:
    if "received_minus_epoch_start_ns" in row:
        return int(row["received_minus_epoch_start_ns"])
    return -int(row["received_before_epoch_by_ns"])


class _Node:
    """One machine on a store of its own, and what it wants next."""

    def __init__(self, document: Any, smeshers: Sequence[Any], own: Sequence[Key], theta: str, grace: int) -> None:
        self.epoch = EpochId(document["epoch"])
        length = document.get("layers_per_epoch", LAYERS_PER_EPOCH)
        self.time = NetworkTime(GENESIS, LAYER, length, checkpoint_genesis=length * self.epoch - 1)
        self.first_layer = self.time.first_layer(self.epoch)
        self.begin = Instant(self.time.start_ns(self.first_layer))
        parameters = BeaconParameters(
            kappa=document["kappa"],
            q=Fraction(document["q"]),
            theta=Fraction(theta),
            rounds=document["rounds"],
            grace=grace,
            proposal_duration=PROPOSAL,
            first_voting_duration=FIRST,
            voting_duration=VOTING,
            weak_coin_duration=COIN,
            votes_limit=document["votes_limit"],
            sync_weight_units=800,
        )
        self.is_synced = False
        self._own = {key.identity: key for key in own}
        self.machine = BeaconMachine(
            parameters,
            self.time,
            Keys(own),
            _Smeshers(self.epoch, self.begin, smeshers),
            lambda: self.is_synced,
        )
        self.store = Store(Schema("beacon", 1, (BEACONS,)), MemoryBackend())
        self._checker = NetworkChecker(bytes.fromhex(document["genesis_id"]))
        self.now = self.begin
        self.timer: Timer | None = None
        self.published: list[tuple[str, bytes]] = []

    def tick(self) -> None:
        self._follow(self.machine.tick(Tick(LayerId(self.first_layer), self.begin), self.store.view(), self.now))

    def fire(self) -> None:
        """The phase that runs ends."""
        timer = self.timer
        assert timer is not None, "no phase runs"
        self.timer, self.now = None, timer.due
        self._follow(self.machine.timer(timer, self.store.view(), self.now))

    def _follow(self, step: Step) -> None:
        if step.rows is not None:
            self.store.write(step.rows)
        for effect in step.effects:
            if isinstance(effect, SetTimer):
                self.timer = Timer(effect.key, effect.due)
            elif isinstance(effect, Publish):
                self.published.append((effect.topic, effect.data))
            elif isinstance(effect, Ask):
                assert isinstance(effect.demand, ProveVrf)
                proof = self._own[effect.demand.identity].prove(effect.demand.alpha)
                answer = Answer(effect.tag, effect.demand, proof, self.now)
                self._follow(self.machine.answer(answer, self.store.view(), self.now))

    def receive(self, kind: str, data: bytes) -> tuple[str, str | None]:
        """Verdict and reason of a message."""
        message = Message(CHANNELS[kind], data, Origin.GOSSIP, self.now)
        found = judged(self.machine, message, self.store, self.now, self._checker)
        return found.verdict.judgement.value, found.verdict.reason or None


@vectors("consensus/beacon_handlers.json", variants=False)
def handlers(document: Any, context: Context) -> Iterator[Any]:
    known = ("epoch", "genesis_id", "kappa", "layers_per_epoch", "q", "rounds", "smeshers", "steps", "votes_limit")
    yield from unknown_sections(document, known)
    yield Case("steps", lambda: _handlers(document))


def _handlers(document: Any) -> None:
    # no smesher of the recorded node takes part: only what comes in is judged
    node = _Node(document, document["smeshers"], [], "1/4", GRACE)
    node.tick()
    for position, step in enumerate(document["steps"]):
        where = f"step {position} ({step['op']} {step.get('name', '')})"
        match step["op"]:
            case "start_protocol":
                node.is_synced = True
                node.tick()
            case "first_round_started":
                node.fire()
            case "round_1_started":
                node.fire()
            case "round_2_started_next_round_votes_allowed":
                node.fire()  # the votes of round 1 end
                _toss(node)
                node.fire()
                node.now = Instant(node.now + VOTING + COIN - GRACE + 1)
            case "next_epoch_proposals_allowed":
                node.now = Instant(node.time.start_ns(node.time.first_layer(node.epoch + 1)) - GRACE + 1)
            case "proposal" | "first_votes" | "following_votes":
                if step["name"] == "in_protocol_late_after_phase_end_within_grace":
                    phase_end = node.machine.states[node.epoch].phase_end
                    assert phase_end is not None
                    node.now = Instant(phase_end + GRACE // 2)
                found = node.receive(step["op"], bytes.fromhex(step["bytes"]))
                assert found == (step["verdict"], step["error"]), f"{where}: {found}"
            case _:
                raise NotUnderstood(f"{where}: unknown")
        if step.get("state"):
            _check_state(node, step["state"], where)


def _toss(node: _Node) -> None:
    """A coin of round 1, so that the run goes on: the handlers' scenario has none."""
    node.machine._memory.coin.take(VrfSignature(bytes(80)))


def _check_state(node: _Node, expected: Any, where: str) -> None:
    state = node.machine.states[node.epoch]
    found = {
        "epoch_weight": state.weight,
        "margins": {one.hex(): str(margin) for one, margin in sorted(state.margins.items())},
        "potentially_valid": sorted(one.hex() for one in state.potentially_valid),
        "valid": sorted(one.hex() for one in state.valid),
    }
    assert found == expected, f"{where}: {found}, expected {expected}"


@vectors("consensus/beacon_runs.json", variants=False)
def runs(document: Any, context: Context) -> Iterator[Any]:
    yield from unknown_sections(document, ("runs",))
    for run in document["runs"]:
        for node in run["nodes"]:
            yield Case(f"{run['name']} node {node['node']}", lambda run=run, node=node: _run(run, node))


def _run(run: Any, recorded: Any) -> None:
    genesis_id = bytes.fromhex(run["genesis_id"])
    mine = [one for one in run["smeshers"] if one["node"] == recorded["node"]]
    own = [Key(one["key_seed"], genesis_id) for one in mine]
    node = _Node(run, run["smeshers"], own, run["theta"], run["grace_ns"])
    messages = {one["id"]: one for one in run["messages"]}
    received = [messages[id] for id in recorded["received"]]
    node.is_synced = True
    node.tick()
    _feed(node, recorded, [one for one in received if one["type"] == "proposal"])
    node.fire()
    _feed(node, recorded, [one for one in received if one["type"] == "first_votes"])
    for round in range(1, run["rounds"]):
        node.fire()  # the votes before are counted, ours of this round go out
        votes = [one for one in received if one["type"] == "following_votes" and _round(one) == round]
        _feed(node, recorded, votes)
        node.fire()
        _feed(node, recorded, [one for one in received if one["type"] == "weak_coin" and _round(one) == round])
    node.fire()
    beacon = node.store.view().get(BEACONS, EpochId(node.epoch + 1))
    assert (beacon and beacon.hex()) == recorded["beacon"], f"{beacon and beacon.hex()}"
    _check_published(run, recorded, node)


def _round(message: Any) -> int:
    data = bytes.fromhex(message["bytes"])
    if message["type"] == "weak_coin":
        return WeakCoinMessage.codec.decode(data).round
    return FollowingVotingMessage.codec.decode(data).body.round


def _feed(node: _Node, recorded: Any, messages: Sequence[Any]) -> None:
    for message in messages:
        verdict, reason = node.receive(message["type"], bytes.fromhex(message["bytes"]))
        expected = recorded["errors"].get(str(message["id"]))
        if message["type"] == "weak_coin" and reason == "not_smallest":
            continue  # which coins come first is a race; the smallest decides
        assert reason == expected, f"message {message['id']} ({message['type']}): {verdict} {reason}"


def _check_published(run: Any, recorded: Any, node: _Node) -> None:
    """What the node said is what it is recorded to have said; whether a coin was sent is a race."""
    sent = {(one["type"], one["bytes"]) for one in run["messages"] if one["from_node"] == recorded["node"]}
    kinds = {channel: kind for kind, channel in CHANNELS.items()}
    ours = {(kinds[channel], data.hex()) for channel, data in node.published}
    for name in ("proposal", "first_votes", "following_votes"):
        theirs = {one for one in sent if one[0] == name}
        assert {one for one in ours if one[0] == name} == theirs, f"{name}: {len(ours)} and {len(theirs)}"
