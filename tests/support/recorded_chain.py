"""A recorded chain, as a peer that has all of it, and a node that takes it up from there layer by layer.

The node is assembled as any other, and asks the peer for objects by their ids; proofs of space, nonces and proofs of
work are verified for real. In place of hare and sync stands `Outcomes`, which is told what came of each layer: the peer
answers no other question. Format: `chain/README.md` of the vectors.
"""

from __future__ import annotations

import functools
import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any, TypeVar

from api.config.node import overlay
from node.assembly.node import Node, assemble
from node.assembly.parameters import NodeParameters, parameters_of
from node.assembly.rooms import Rooms, Surroundings
from node.bootstrap.document import VERSION
from node.certificates.machine import HINT as CERTIFICATE
from node.contract.checks import NetworkChecker
from node.contract.demands import (
    BootstrapDocument,
    Demand,
    Failed,
    Fetch,
    Request,
    Result,
    VerifyPoet,
    VerifyPost,
    VerifyVrfNonce,
)
from node.contract.effects import Ask, Emit, Penalise
from node.contract.inputs import Answer, Tick
from node.contract.instants import Instant
from node.contract.machine import Machine
from node.contract.messages import Message, Origin, PeerId
from node.contract.steps import NOTHING, Judged, Step
from node.contract.verdicts import ACCEPT, Verdict
from node.engine.edges import Call, Input, Judge, Output, Returned, Send
from node.engine.errors import MachineFailed
from node.fetch.protocols import ACTIVE_SETS, OBJECTS
from node.hare.tables import WEAK_COINS
from node.mempool.tables import PENDING, TRANSACTIONS
from node.sim.chance import Chance
from node.store.memory import MemoryBackend
from node.store.store import Backend
from node.store.view import Rows, View
from node.sync.tables import TABLES as SYNC
from protocol.params.config import networks
from protocol.params.config.node import Config
from protocol.types.fetch import Hint, RequestBatch, ResponseBatch, ResponseMessage
from protocol.types.ids import BlockId, LayerId, NodeId, as_hash32
from tests.support.node_stores import stores_over
from tests.support.real_proofs import Verifier
from tests.vector_cases.consensus_support import Keys

T = TypeVar("T")

PEER = PeerId(b"a peer that has it all")
OUTCOME = "outcome"
"""The channel of what hare came to."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a layer, as the record has it."""

    layer: LayerId
    block: BlockId | None
    """What is certified, zeros for none; None: nothing was."""
    coin: bool | None
    certificate: bytes | None

    def encode(self) -> bytes:
        """For `Outcomes`."""
        coin = b"\2" if self.coin is None else bytes([self.coin])
        return self.layer.to_bytes(4, "big") + coin + (self.block or b"")


class Outcomes(Machine):
    """Stands where hare and the making of blocks stand in a node that is there: takes what they came to."""

    name, hints = "outcomes", (OUTCOME,)

    def __init__(self, rooms: Rooms) -> None:
        self._mesh = rooms.mesh
        self._tortoise = rooms.tortoise

    def admit(self, message: Message, view: View, now: Instant) -> Judged:
        """As Machine says."""
        layer, coin, block = LayerId(int.from_bytes(message.data[:4], "big")), message.data[4], message.data[5:]
        rows = Rows(view)
        if coin < 2:
            rows.put(WEAK_COINS, layer, bool(coin))
            self._tortoise.on_weak_coin(layer, bool(coin))
        if block:
            processed = self._mesh.process_hare_output(rows, layer, BlockId(block))
        else:
            processed = self._mesh.process_layer(rows, layer)
        assert processed.refused is None, processed.refused
        return Judged(ACCEPT, rows, [Ask(Fetch(Hint.BLOCK, as_hash32(one)), one) for one in processed.missing])

    def answer(self, answer: Answer, view: View, now: Instant) -> Step:
        """As Machine says: a block came that is voted for; the next layer takes it up."""
        return NOTHING


class RecordedChain:
    """The document, by what is asked for."""

    def __init__(self, document: Any) -> None:
        self.document = document
        base = networks.BY_NAME[document["config"]["preset"]]
        self.config: Config = overlay(base, document["config"])
        self.parameters: NodeParameters = parameters_of(self.config)
        self.objects: dict[tuple[str, bytes], bytes] = {
            (hint, as_hash32(bytes.fromhex(row[id])) if len(row[id]) == 40 else bytes.fromhex(row[id])): bytes.fromhex(
                row["encoded"]
            )
            for hint, section, id in (
                (Hint.ATX, "atxs", "id"),
                (Hint.POET, "poet_proofs", "ref"),
                (Hint.ACTIVE_SET, "activesets", "id"),
                (Hint.BALLOT, "ballots", "id"),
                (Hint.BLOCK, "blocks", "id"),
                (Hint.TX, "transactions", "id"),
                (Hint.MALFEASANCE, "malfeasance", "smesher"),
            )
            for row in document[section]
        }
        self.first = LayerId(document["meta"]["effective_genesis"] + 1)
        self.last = LayerId(max(row["layer"] for row in document["layers"]))
        time = self.parameters.time
        seen: set[tuple[str, int]] = set()
        self.malicious: dict[NodeId, LayerId] = {}
        """Who broke the rules, and the layer in which that came out: by a proof, or by a second activation of an
        epoch."""
        for row in sorted((*document["atxs"], *document["malfeasance"]), key=lambda row: int(row["received_ns"])):
            what = row["smesher"], row.get("publish_epoch", -1)
            if what in seen or "publish_epoch" not in row:
                layer = time.layer_at(int(row["received_ns"]))
                self.malicious.setdefault(NodeId(bytes.fromhex(row["smesher"])), layer)
            seen.add(what)
        self.applied = LayerId(max(row["layer"] for row in document["layers"] if row["state_hash"]))
        """The last layer that was applied."""
        self.clean = LayerId(min([self.applied, *(layer - 1 for layer in self.malicious.values())]))
        """The last layer before anybody broke the rules."""

    def objects_of(self, data: bytes) -> bytes:
        """The answer to a request for objects."""
        batch = RequestBatch.codec.decode(data)
        found = [ResponseMessage(one.hash, self.objects.get((one.hint, one.hash), b"")) for one in batch.requests]
        return ResponseBatch.codec.encode(ResponseBatch(batch.id, found))

    def coming(self) -> Iterator[tuple[LayerId, list[tuple[Hint, bytes, Instant]]]]:
        """Activations and proofs of malfeasance, and when each came, by the layer in which it came."""
        found = [
            (hint, bytes.fromhex(row[id]), Instant(int(row["received_ns"])))
            for hint, section, id in ((Hint.ATX, "atxs", "id"), (Hint.MALFEASANCE, "malfeasance", "smesher"))
            for row in self.document[section]
        ]
        found.sort(key=lambda one: one[2])
        for layer, came in groupby(found, key=lambda one: self.parameters.time.layer_at(one[2])):
            yield layer, list(came)

    def ballots(self, layer: LayerId) -> list[bytes]:
        """Ids of a layer's ballots, as they are asked for."""
        return [as_hash32(bytes.fromhex(row["id"])) for row in self.document["ballots"] if row["layer"] == layer]

    def outcome(self, layer: LayerId) -> Outcome:
        """What became of a layer."""
        certified = [row for row in self.document["certificates"] if row["layer"] == layer and row["valid"]]
        (row,) = [row for row in self.document["layers"] if row["layer"] == layer] or [{"weak_coin": None}]
        block = BlockId(bytes.fromhex(certified[0]["block"])) if certified else None
        data = bytes.fromhex(certified[0]["encoded"]) if certified and certified[0]["encoded"] else None
        coin = None if row["weak_coin"] is None else bool(row["weak_coin"])
        return Outcome(layer, block, coin, data)

    def fallback(self) -> bytes:
        """The document that gave the nodes their first beacon."""
        said = self.document["meta"]["bootstrap_beacon"]
        of_epoch = {"number": said["epoch"], "beacon": said["beacon"]}
        return json.dumps({"version": VERSION, "data": {"epoch": of_epoch}}).encode()


@functools.cache
def _verifier(genesis_id: bytes) -> list[Verifier]:
    return []


def verifier_of(chain: RecordedChain) -> Verifier:
    """One for each chain, so that a second replay need not compute again."""
    kept = _verifier(chain.parameters.genesis_id)
    if not kept:
        kept.append(Verifier(chain.config))
    return kept[0]


class Replay:
    """A node that takes a recorded chain up. Mutable."""

    def __init__(self, chain: RecordedChain) -> None:
        self.chain = chain
        self.verifier = verifier_of(chain)
        self.backends: tuple[Backend, Backend] = (MemoryBackend(), MemoryBackend())
        self.now = Instant(chain.parameters.time.genesis_ns)
        self.events: list[object] = []
        self.verdicts: dict[tuple[str, bytes | None], Verdict] = {}
        """What became of each message that was delivered, the last time."""
        self.turns = 0
        self.sent = 0
        """Messages that the node has published."""
        self.restart_every: int | None = None
        """After about so many turns the node is killed, and begins again on its stores; None: never."""
        self.restarts = 0
        self._random = random.Random(1)
        self._restart_at = 0
        self._uncertified: list[tuple[LayerId, bytes]] = []
        """Certificates that cannot be judged yet."""
        self._coming = dict(chain.coming())
        self._begin()

    def everything(self) -> dict[bytes, bytes]:
        """All rows of the state, but for those that tell when something came: how far sync is, and in the mempool."""
        snapshot = self.backends[0].snapshot()
        timed = tuple(table.prefix for table in (*SYNC, TRANSACTIONS, PENDING))
        found = {key: row for key, row in snapshot.scan(b"", None, False) if not key.startswith(timed)}
        snapshot.close()
        view = self.view()
        for id, row in view.scan(TRANSACTIONS):
            found[TRANSACTIONS.prefix + id] = TRANSACTIONS.row.encode(replace(row, received=0))
        for principal, nonce, _, id in view.keys(PENDING):
            found[PENDING.prefix + principal + nonce.to_bytes(8, "big") + id] = b""
        return found

    @property
    def node(self) -> Node:
        """As it runs now."""
        return self._node

    def view(self) -> View:
        """What is stored."""
        return self._node.stores.view()

    def _begin(self) -> None:
        parameters = self.chain.parameters
        given = Surroundings(
            stores_over(self.backends),
            NetworkChecker(parameters.genesis_id),
            Keys(),
            seed=bytes(32),
            random=Chance(1),
            peers=lambda: [PEER],
        )
        self._node = assemble(parameters, given, lambda rooms: [Outcomes(rooms)])
        assert self._settle(self._node.engine.start(self.now)), "nobody kills it here"

    # ---- the chain ----

    def run(self, until: LayerId) -> None:
        """All layers up to one."""
        for layer in range(self.chain.parameters.time.layer_at(self.now), until + 1):
            self.layer(LayerId(layer))

    def layer(self, layer: LayerId) -> None:
        """One layer: it begins, ATXs and ballots come, and then what became of it."""
        start = Instant(self.chain.parameters.time.start_ns(layer))
        self._deliver(Tick(layer, start), start)
        for ballot in self.chain.ballots(layer):
            self.fetched(Hint.BALLOT, ballot, self.now)
        for hint, id, received in self._coming.get(layer, ()):
            self.fetched(hint, id, received)
        if layer < self.chain.first:
            return
        outcome = self.chain.outcome(layer)
        self._uncertified += [] if outcome.certificate is None else [(layer, outcome.certificate)]
        self._uncertified = [one for one in self._uncertified if not self._certify(*one)]
        if outcome.block is not None and any(outcome.block):
            self.fetched(Hint.BLOCK, as_hash32(outcome.block), self.now)
        self._deliver(Message(OUTCOME, outcome.encode(), Origin.FETCHED, self.now, PEER), self.now)

    def _certify(self, layer: LayerId, data: bytes) -> bool:
        """A certificate comes; whether that need not be tried again once the beacon of its epoch is known."""
        asked = layer.to_bytes(4, "big")
        self._deliver(Message(CERTIFICATE, data, Origin.FETCHED, self.now, PEER, expected=asked), self.now)
        return self.verdicts[CERTIFICATE, asked].reason != "beacon_missing"

    def fetched(self, hint: Hint, id: bytes, received: Instant) -> None:
        """An object comes as if it had been asked for."""
        data = self.chain.objects[hint, id]
        self._deliver(Message(hint, data, Origin.FETCHED, received, PEER, expected=id), received)

    # ---- the driver ----

    def _deliver(self, one: Input, now: Instant) -> None:
        """One input, and all that follows from it; once more where the node was killed on the way."""
        self.now = max(self.now, now)
        if not self._settle(self._turn(one)):
            self._deliver(one, now)

    def _turn(self, *inputs: Input) -> Sequence[Output]:
        self.turns += 1
        return self._node.engine.turn(inputs, self.now)

    def _settle(self, outputs: Sequence[Output]) -> bool:
        """Answers what leaves, each answer in a turn of its own, and lets time pass as long as anything waits. Whether
        the node lived to see the last turn."""
        waiting, engine = list(outputs), self._node.engine
        while True:
            if self.restart_every is not None and self.turns >= self._restart_at:
                self._restart_at = self.turns + self._random.randrange(1, 2 * self.restart_every)
                self.restarts += 1
                self._begin()
                return False
            if waiting:
                waiting += self._carry_out(waiting.pop(0))
            elif engine.waiting or engine.open_calls:
                due = engine.next_due()
                assert due is not None, "what waits has an end"
                self.now = max(self.now, due)
                waiting += self._turn()
            else:
                return True

    def _carry_out(self, output: Output) -> Sequence[Output]:
        match output:
            case Emit(event):
                assert not isinstance(event, MachineFailed), event.error
                self.events.append(event)
            case Judge(message, verdict):
                self.verdicts[message.channel, message.expected] = verdict
            case Send():
                self.sent += 1
            case Call(call, demand):
                return self._turn(Returned(call, self._answer(demand), self.now))
            case Penalise():
                raise AssertionError(f"the peer is blamed: {output}")
        return ()

    def _answer(self, demand: Demand) -> Result:
        match demand:
            case Request(protocol, data):
                return self.chain.objects_of(data) if protocol in (OBJECTS, ACTIVE_SETS) else Failed("no_protocol")
            case VerifyPost() | VerifyVrfNonce() | VerifyPoet():
                return self.verifier.answer(demand)
            case BootstrapDocument(epoch):
                is_there = epoch == self.chain.document["meta"]["bootstrap_beacon"]["epoch"]
                return self.chain.fallback() if is_there else Failed("not_found")
        raise AssertionError(f"the node asks for {demand}")
