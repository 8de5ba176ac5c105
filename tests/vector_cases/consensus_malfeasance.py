"""Vectors of the machine that keeps proofs: consensus/malfeasance.json.

A proof of space is valid unless its nonce is 1000 or 1001. What a node knows of smeshers is given.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

from node.contract.checks import NetworkChecker
from node.contract.demands import Demand, PostVerdict, VerifyPost
from node.contract.effects import Effect, Emit, StopIdentity
from node.contract.instants import Instant
from node.contract.messages import Message, Origin
from node.malfeasance.info import info
from node.malfeasance.machine import TOPIC, Convicted, MalfeasanceMachine
from node.malfeasance.tables import PROOFS, TABLES
from node.store.memory import MemoryBackend
from node.store.store import Store
from node.store.table import Schema
from node.store.view import Rows, View
from protocol.types.fetch import Hint
from protocol.types.ids import AtxId, NodeId
from protocol.types.malfeasance import MalfeasanceGossip, MalfeasanceProof
from tests.vector_cases.consensus_support import Keys, SilentKey, judged
from tests.vector_cases.harness import Case, Context, NotUnderstood, unknown_sections, vectors

UNHEX = bytes.fromhex
NOW = Instant(1_700_000_000_000_000_000)
WRONG = (1000, 1001)
REASONS = {
    "no_equivocation": "invalid_proof",
    "post_is_valid": "invalid_proof",
    "same_atx": "invalid_proof",
    "different_previous": "invalid_proof",
    "different_smesher": "invalid_proof",
    "bad_signature": "invalid_signature",
}
"""Our words for those of the vectors."""


class _Node:
    """The machine on a store, who knows identities, and who is told of them."""

    def __init__(self, document: Any) -> None:
        self._identities = {NodeId(UNHEX(one["node_id"])): one for one in document["identities"]}
        own = Keys([SilentKey(node) for node, one in self._identities.items() if one["own"]])
        self._checker = NetworkChecker(UNHEX(document["genesis_id"]))
        self.machine = MalfeasanceMachine(own, self, self, lambda: True)
        self.store = Store(Schema("malfeasance", 1, TABLES), MemoryBackend())
        self.calls: list[dict[str, Any]] = []
        self.events: list[Effect] = []

    def exists(self, view: View, identity: NodeId) -> bool:
        return identity in self._identities and self._identities[identity]["has_atx"]

    def commitment_of(self, view: View, identity: NodeId) -> AtxId | None:
        found = self._identities.get(identity, {}).get("commitment_in_db")
        return None if found is None else AtxId(UNHEX(found))

    def on_malicious(self, node: NodeId) -> None:
        self.calls.append({"call": "tortoise_on_malfeasance", "node_id": node.hex()})

    def forget(self) -> None:
        rows = Rows(self.store.view())
        for node in list(self.store.view().keys(PROOFS)):
            rows.delete(PROOFS, node)
        self.store.write(rows)

    def judge(self, message: Message) -> tuple[str, str | None]:
        """Verdict and reason of a message."""
        self.calls, self.events = [], []
        found = judged(self.machine, message, self.store, NOW, self._checker, self._verify)
        if found.rows is not None:
            self.store.write(found.rows)
        self.events = list(found.effects)
        return found.verdict.judgement.value, found.verdict.reason or None

    def _verify(self, demand: Demand) -> PostVerdict:
        assert isinstance(demand, VerifyPost)
        assert demand.positions is not None and len(demand.positions) == 1
        self.calls.append(
            {
                "call": "verify_post",
                "challenge": demand.metadata.challenge.hex(),
                "commitment_atx": demand.commitment_atx.hex(),
                "labels_per_unit": str(demand.metadata.labels_per_unit),
                "node_id": demand.node_id.hex(),
                "nonce": demand.post.nonce,
                "num_units": demand.num_units,
            }
        )
        return PostVerdict(demand.post.nonce not in WRONG)


@vectors("consensus/malfeasance.json", variants=False)
def malfeasance(document: Any, context: Context) -> Iterator[Any]:
    yield from unknown_sections(document, ("cases", "genesis_id", "golden_atx", "identities"))
    node = _Node(document)
    for entry in document["cases"]:
        yield Case(entry["name"], partial(_case, node, entry))


def _case(node: _Node, entry: Any) -> None:
    if not entry["identities_kept_from_previous_case"]:
        node.forget()
    data = UNHEX(entry["bytes"])
    before = _stored(node)
    match entry["transport"]:
        case "gossip":
            message = Message(TOPIC, data, Origin.OWN if entry["from_self"] else Origin.GOSSIP, NOW)
        case "sync":
            message = Message(Hint.MALFEASANCE, data, Origin.FETCHED, NOW, expected=UNHEX(entry["requested_hash"]))
        case other:
            raise NotUnderstood(f"the transport {other!r}")
    verdict, reason = node.judge(message)
    if entry.get("panic"):
        assert (verdict, reason) == ("reject", "invalid_proof"), f"{verdict} {reason}"
        assert _stored(node) == before and not node.calls, "the state was changed"
        return
    expected = REASONS.get(entry["error"], entry["error"])
    assert (verdict, reason) == (entry["verdict"], expected), f"{verdict} {reason}"
    assert node.calls == (entry["calls"] or []), f"{node.calls}"
    assert _stored(node) == (entry["stored_after"] or []), f"{_stored(node)}"
    _check_events(node, _stored(node) != before)
    if entry.get("info") is not None:
        is_gossip = entry["transport"] == "gossip"
        proof = MalfeasanceGossip.codec.decode(data).proof if is_gossip else MalfeasanceProof.codec.decode(data)
        assert info(proof) == entry["info"], f"{info(proof)}"


def _stored(node: _Node) -> list[dict[str, str]]:
    return [{"node_id": id.hex(), "proof": row.proof.hex()} for id, row in node.store.view().scan(PROOFS)]


def _check_events(node: _Node, is_new: bool) -> None:
    """Interfaces are told once, and an identity of ours is stopped."""
    events = [one.event for one in node.events if isinstance(one, Emit)]
    assert len(events) == is_new, f"{events}"
    for event in events:
        assert isinstance(event, Convicted)
        stopped = [one.identity for one in node.events if isinstance(one, StopIdentity)]
        assert stopped == ([event.identity] if event.is_own else []), f"{stopped}"
