"""Vectors of messages with real signatures and VRF proofs, and the verdicts on proofs of malfeasance."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from node.contract.checks import NetworkChecker
from node.contract.demands import PostVerdict
from node.contract.instants import Instant
from node.contract.messages import Message, Origin
from node.contract.verdicts import Judgement, Verdict
from node.malfeasance import verdicts as malfeasance
from node.malfeasance.machine import TOPIC, MalfeasanceMachine
from node.malfeasance.tables import TABLES
from node.store.memory import MemoryBackend
from node.store.store import Store
from node.store.table import Schema
from node.store.view import View
from protocol.codec.declare import Codec, CodecError
from protocol.crypto import signing, vrf
from protocol.types import eligibility
from protocol.types.activation_v2 import ActivationTxV2
from protocol.types.certificates import CERTIFIER_ROUND
from protocol.types.fetch import Hint
from protocol.types.hare import Hare4Body, signed_bytes
from protocol.types.ids import AtxId, NodeId
from protocol.types.malfeasance import InvalidPostIndexProof, MalfeasanceGossip, MalfeasanceProof, ProofDoubleMarry
from tests.vector_cases.consensus_support import Keys, judged
from tests.vector_cases.harness import Case, Context, Later, NotUnderstood, unknown_sections, vectors
from tests.vector_cases.types_wire import codec_of

UNHEX = bytes.fromhex
NOW = Instant(1_700_000_000_000_000_000)


def same(found: object, expected: object, what: str = "found") -> None:
    assert found == expected, f"{what} {found}, expected {expected}"


@vectors("types/signed.json", variants=False)
def signed_cases(document: Any, context: Context) -> Iterator[Case | Later]:
    sections = ("messages", "vrf_messages", "malfeasance", "double_marry")
    yield from unknown_sections(document, known=("description", "reference", *sections))
    prefixes = {entry["prefix"] for entry in document["messages"]}
    if len(prefixes) != 1:
        raise NotUnderstood(f"messages of the networks {sorted(prefixes)}")
    prefix = UNHEX(prefixes.pop())
    for entry in document["messages"]:
        yield Case(entry["name"], lambda entry=entry: check_message(entry))
    for entry in document["vrf_messages"]:
        yield Case(entry["name"], lambda entry=entry: check_vrf_message(entry))
    for entry in document["malfeasance"]:
        yield Case(f"malfeasance {entry['name']}", lambda entry=entry: check_malfeasance(entry, prefix))
    for entry in document["double_marry"]:
        yield Case(f"double_marry {entry['name']}", lambda entry=entry: check_double_marriage(entry, prefix))


# ---- messages ----

DERIVED: dict[str, Callable[[Any], Any]] = {
    "id": lambda record: record.id().hex(),
    "marriages_root": lambda record: record.marriages_root().hex(),
    "ballot_id": lambda record: record.inner.ballot.id().hex(),
    "body_hash": lambda record: record.body.hash().hex(),
    "absolute_round": lambda record: record.body.iter_round.absolute(),
    "shape_valid": lambda record: record.is_well_formed(),
    "message_id": lambda record: record.body.hash().hex(),
}
"""What is computed from a message."""

SIGNED_BODY = ("signed_body", "signed_body_hash")
"""In Hare 4's preround another body is signed than is sent."""

VRF = ("beacon", "vrf_alpha", "vrf_valid")
"""The eligibility in it."""

KNOWN = {"name", "type", "prefix", "seed", "public_key", "domain_byte", "signed_bytes", "signature", "valid", "encoded"}


def check_message(entry: dict[str, Any]) -> None:
    if unknown := set(entry) - KNOWN - set(DERIVED) - set(SIGNED_BODY) - set(VRF):
        raise NotUnderstood(f"the fields {sorted(unknown)}")
    codec = codec_of(entry["type"])
    record: Any = codec.decode(UNHEX(entry["encoded"]))
    same(codec.encode(record).hex(), entry["encoded"], "encoded again")
    signer = signing.Signer(UNHEX(entry["seed"]), UNHEX(entry["prefix"]))
    same(signer.public_key.hex(), entry["public_key"], "public key")
    domain = signing.Domain(entry["domain_byte"])
    message = signed_part(entry, record)
    same(message.hex(), entry["signed_bytes"], "signed bytes")
    signature = signer.sign(domain, message)
    same(signature.hex(), entry["signature"], "signature")
    same(signature, record.signature, "signature in the message")
    verdict = signing.verify(domain, signer.public_key, message, record.signature, UNHEX(entry["prefix"]))
    same(verdict, entry["valid"], "verdict")
    for name, derive in DERIVED.items():
        if name in entry:
            same(derive(record), entry[name], name)
    if "vrf_alpha" in entry:
        check_eligibility(entry, record, signer.public_key)


def signed_part(entry: dict[str, Any], record: Any) -> bytes:
    """What is signed of a message."""
    if "signed_body" not in entry:
        signed: bytes = record.signed_bytes()
        return signed
    body = Hare4Body.codec.decode(UNHEX(entry["signed_body"]))
    same(body.hash().hex(), entry["signed_body_hash"], "hash of the signed body")
    rebuilt = record.body.in_full(tuple(reversed(body.value.proposals)))
    same(Hare4Body.codec.encode(rebuilt).hex(), entry["signed_body"], "the signed body from the one that was sent")
    return signed_bytes(body)


def check_eligibility(entry: dict[str, Any], record: Any, public_key: bytes) -> None:
    if entry["type"] == "CertifyMessage":
        layer, round, proof = record.content.layer, CERTIFIER_ROUND, record.content.proof
    else:
        layer, round = record.body.layer, record.body.iter_round.absolute()
        proof = record.body.eligibility.proof
    alpha = eligibility.hare_input(UNHEX(entry["beacon"]), round, layer)
    same(alpha.hex(), entry["vrf_alpha"], "VRF input")
    if "vrf_valid" in entry:
        same(vrf.verify(public_key, alpha, proof), entry["vrf_valid"], "verdict on the eligibility")


def check_vrf_message(entry: dict[str, Any]) -> None:
    seed, key = UNHEX(entry["seed"]), UNHEX(entry["public_key"])
    record: Any = codec_of(entry["type"]).decode(UNHEX(entry["encoded"]))
    nonce, epoch = int(entry["nonce"]), entry["epoch"]
    match entry["type"]:
        case "ProposalMessage":
            alpha, proof = eligibility.beacon_proposal_input(nonce, record.epoch), record.vrf_signature
        case "WeakCoinMessage":
            alpha = eligibility.weak_coin_input(nonce, record.epoch, record.round, record.unit)
            proof = record.vrf_signature
            same((record.round, record.unit), (entry["round"], entry["unit"]), "round and unit")
        case "VotingEligibility":
            alpha = eligibility.voting_input(UNHEX(entry["beacon"]), epoch, nonce, record.j)
            proof = record.sig
        case other:
            raise NotUnderstood(f"the type {other!r}")
    same(alpha.hex(), entry["alpha"], "VRF input")
    same(proof.hex(), entry["proof"], "proof in the message")
    same(vrf.prove(seed, alpha).hex(), entry["proof"], "proof")
    assert vrf.verify(key, alpha, proof), "the proof is right"
    assert not vrf.verify(key, alpha + b"\0", proof), "the proof is not one of another input"


# ---- malfeasance ----


def verifier(prefix: bytes) -> malfeasance.Verify:
    return lambda domain, key, message, signature: signing.verify(domain, key, message, signature, prefix)


def verdict(convict: Callable[[], NodeId], entry: dict[str, Any]) -> None:
    try:
        found = convict()
    except malfeasance.InvalidProof as error:
        assert not entry["valid"], f"refused: {error}"
        assert entry["error"] in (error.reason, "reference_panics"), f"{error.reason}, expected {entry['error']}"
        return
    assert entry["valid"], f"accepted, expected {entry['error']}"
    same(found.hex(), entry["offender"], "offender")


def check_malfeasance(entry: dict[str, Any], prefix: bytes) -> None:
    known = {UNHEX(one) for one in entry["identities_with_an_atx"]}
    commitments = {UNHEX(key): AtxId(UNHEX(atx)) for key, atx in entry["commitment_atx_in_database"].items()}
    world = malfeasance.World(
        verify=verifier(prefix),
        identity_exists=lambda node_id: node_id in known,
        commitment_of=lambda node_id: commitments.get(node_id),
        is_index_invalid=lambda question: bool(entry["label_at_index_is_invalid"]),
    )
    proof = MalfeasanceProof.codec.decode(UNHEX(entry["encoded"]))
    same(UNHEX(entry["encoded"])[len(encoded_layer(proof))], entry["type"], "type")
    verdict(lambda: malfeasance.offender(proof, world), entry)
    gossip = MalfeasanceGossip.codec.decode(UNHEX(entry["gossip_encoded"]))
    same(gossip.proof, proof, "gossiped proof")
    # a node that has to check a proof of space which is not there crashes; ours refuses
    is_taken = entry["valid"] and not (
        isinstance(proof.proof, InvalidPostIndexProof) and getattr(proof.proof.atx.inner.nipost, "post", None) is None
    )
    asked = UNHEX(entry["offender"]) if is_taken else bytes(32)
    for message in (
        Message(TOPIC, UNHEX(entry["gossip_encoded"]), Origin.GOSSIP, NOW),
        Message(Hint.MALFEASANCE, UNHEX(entry["encoded"]), Origin.FETCHED, NOW, expected=asked),
    ):
        keeper = _Keeper(world)
        found = keeper.verdict(message, prefix, bool(entry.get("label_at_index_is_invalid")))
        same(found.judgement is Judgement.ACCEPT, is_taken, f"{message.channel}: {found}")
        same(keeper.told, [asked] if is_taken else [], "who is told of")


class _Keeper:
    """The machine that keeps proofs, in a world that is given."""

    def __init__(self, world: malfeasance.World) -> None:
        self._world = world
        self.told: list[NodeId] = []

    def verdict(self, message: Message, prefix: bytes, is_index_invalid: bool) -> Verdict:
        """Of a message."""
        machine = MalfeasanceMachine(Keys([]), self, self, lambda: True)
        store = Store(Schema("malfeasance", 1, TABLES), MemoryBackend())
        checker, answer = NetworkChecker(prefix), lambda demand: PostVerdict(not is_index_invalid)
        return judged(machine, message, store, NOW, checker, answer).verdict

    def exists(self, view: View, identity: NodeId) -> bool:
        return self._world.identity_exists(identity)

    def commitment_of(self, view: View, identity: NodeId) -> AtxId | None:
        return self._world.commitment_of(identity)

    def on_malicious(self, node: NodeId) -> None:
        self.told.append(node)


def encoded_layer(proof: MalfeasanceProof) -> bytes:
    layer: Codec[int] = MalfeasanceProof.codec.members["layer"]
    return layer.encode(proof.layer)


def check_double_marriage(entry: dict[str, Any], prefix: bytes) -> None:
    try:
        proof = ProofDoubleMarry.codec.decode(UNHEX(entry["encoded"]))
    except CodecError as error:
        assert not entry["valid"], f"refused: {error}"
        return
    verdict(lambda: malfeasance.double_marriage_offender(proof, verifier(prefix)), entry)
    for name, marriage in zip(("atx1", "atx2"), proof.proofs):
        if name in entry:
            atx = ActivationTxV2.codec.decode(UNHEX(entry[name]))
            same(malfeasance.marriage_proof(atx, marriage.certificate_index), marriage, f"the proof from {name}")
