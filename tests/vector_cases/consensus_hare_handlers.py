"""Vectors of messages of hare as they come by gossip: consensus/hare3_handler.json and hare4_handler.json.

Two answers differ on purpose. Where the recorded program ends (`panic`), ours rejects and changes nothing. It keeps
full lists for peers of whoever signs well; ours of messages that were relayed, so that nobody without seats fills the
memory.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from node.contract.demands import Failed, Request, Result
from node.contract.verdicts import Verdict
from node.engine.edges import Call
from node.hare.exchange import PROTOCOL
from node.malfeasance.tables import PROOFS, malicious
from protocol.types.hare import Hare4Message, HareRound
from protocol.types.ids import AtxId, Beacon, LayerId, NodeId, ProposalId
from tests.support.hare_nodes import HareNode, KeptAtx, KeptProposal, Surroundings, by_proof, parameters
from tests.vector_cases.harness import Case, Context, NotUnderstood, unknown_sections, vectors

SECTIONS = (
    "active_set", "beacon", "cases", "committee", "current", "genesis_id", "known_malicious", "layer",
    "layers_per_epoch", "leaders", "own_node",
)  # fmt: skip
SECTIONS_4 = ("cache_cleaning", "compact", "local_proposals")
PEER = b"peerX"


@vectors("consensus/hare3_handler.json", "consensus/hare4_handler.json", variants=False)
def hare_handler(document: Any, context: Context) -> Iterator[Any]:
    is_compact = "compact" in document
    yield from unknown_sections(document, (*SECTIONS, *SECTIONS_4) if is_compact else SECTIONS)
    handler = _Handler(document, 4 if is_compact else 3)
    for case in document["cases"]:
        yield Case(case["name"], lambda case=case: handler.judge(case))
    for case in document.get("compact", ()):
        yield Case(f"compact {case['name']}", lambda case=case: handler.compact(case))
    if is_compact:
        yield Case("cache_cleaning", lambda: handler.clean(document["cache_cleaning"]))


class _Handler:
    """One node with a session, on which the cases follow each other."""

    def __init__(self, document: Any, number: int) -> None:
        self.number, self.layer = number, LayerId(document["layer"])
        committee = parameters(number, committee=document["committee"], leaders=document["leaders"])
        atxs = [
            KeptAtx(AtxId(bytes.fromhex(row["id"])), NodeId(bytes.fromhex(row["node_id"])), row["weight"])
            for row in document["active_set"]
        ]
        self.around = Surroundings(atxs)
        self.proposals = [
            KeptProposal(
                ProposalId(bytes.fromhex(row["id"])),
                AtxId(bytes(32)),
                NodeId(bytes(32)),
                Beacon(bytes(4)),
                by_proof(row["first_eligibility_vrf"]),
            )
            for row in document.get("local_proposals", ())
        ]
        self.around.proposals[self.layer] = self.proposals
        length = document["layers_per_epoch"]
        self.node = HareNode(
            bytes.fromhex(document["genesis_id"]),
            (),  # nobody of ours takes part, so the preround is over at once
            self.around,
            {self.layer // length: bytes.fromhex(document["beacon"])},
            layers_per_epoch=length,
            answers=self._answer,
            **({"hare3": committee} if number == 3 else {"hare4": committee}),
        )
        self.node.convict(bytes.fromhex(document["known_malicious"]))
        self.node.tick(self.layer)
        if document["current"] != [0, HareRound.SOFTLOCK]:
            raise NotUnderstood(f"the session stands at {document['current']}")
        self.response: Result = Failed("no_peers")
        self.relayed: set[bytes] = set()
        """Ids of relayed messages with short ids."""

    def _answer(self, request: Request) -> Result:
        return self.response

    def _hear(self, data: bytes) -> Verdict:
        verdict = self.node.hear(self.node.machine.topics[0], data, PEER)
        if verdict.is_accepted and self.number == 4:
            body = Hare4Message.codec.decode(data).body
            if body.iter_round.round == HareRound.PREROUND:
                self.relayed.add(body.hash())
        return verdict

    def judge(self, case: Any) -> None:
        self.response = Failed("no_peers")
        verdict = self._hear(bytes.fromhex(case["bytes"]))
        if case.get("panic"):
            assert (verdict.judgement.value, verdict.reason) == ("reject", "unknown_round")
        else:
            found = verdict.judgement.value, verdict.reason or None
            assert found == (case["verdict"], case["error"]), f"{found}"
        view = self.node.view()
        proofs = [{"proof": row.proof.hex(), "smesher": identity.hex()} for identity, row in view.scan(PROOFS)]
        assert proofs == (case["stored_proofs_after"] or []), proofs
        assert [identity.hex() for identity in malicious(view)] == case["malicious_after"]

    def compact(self, case: Any) -> None:
        data = bytes.fromhex(case["bytes"])
        assert Hare4Message.codec.decode(data).body.hash().hex() == case["msg_id"]
        self.response = Failed("no_peers") if case["response_fails"] else bytes.fromhex(case["response"])
        self.around.proposals[self.layer] = [] if case["error"] == "no_local_proposals" else self.proposals
        before = len(self.node.of(Call))
        verdict = self._hear(data)
        found = verdict.judgement.value, verdict.reason or None
        assert found == (case["verdict"], case["error"]), f"{found}"
        asked = [one.demand for one in self.node.of(Call)[before:]]
        requests = [{"peer": one.peer.decode(), "request": one.data.hex()} for one in asked if isinstance(one, Request)]
        assert requests == (case["requests"] or []), requests
        served = self.node.ask(PROTOCOL, bytes.fromhex(case["msg_id"]))
        assert (None if isinstance(served, Failed) else served) == (
            None if case["served"] is None else bytes.fromhex(case["served"])
        ), served

    def clean(self, row: Any) -> None:
        """Lists of a layer are there until the one after the next begins."""
        assert 0 < len(self.relayed) <= row["before"]
        assert self.node.lists == len(self.relayed)
        self.node.tick(self.layer + 1)
        assert row["after_clean_of_layers_below_layer"] == row["before"]
        assert self.node.lists == len(self.relayed)
        self.node.tick(self.layer + 2)
        assert self.node.lists == row["after_clean_of_layers_below_layer_plus_1"] == 0
