"""Vectors of certificates: consensus/certifier.json.

The recorded program counts a smesher as often as it speaks, and takes entries of other blocks and layers. Ours does
not: where a block's messages repeat a smesher, or a certificate has entries that do not belong to it, the rows and the
verdict that ours gives are computed here from what each smesher said once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from node.beacon.machine import BEACONS
from node.certificates.machine import HINT, TOPIC, BlockCertified, CertificateMachine, NotCertified
from node.certificates.parameters import CertificateParameters
from node.certificates.tables import CERTIFICATES, HARE_OUTPUTS, TABLES, StoredCertificate
from node.contract.checks import NetworkChecker
from node.contract.demands import ProveVrf
from node.contract.effects import Ask, Effect, Emit, Publish
from node.contract.inputs import Answer, Change, Tick
from node.contract.instants import Instant
from node.contract.messages import Message, Origin
from node.contract.steps import Judged, Step
from node.eligibility.active_set import ActiveSet, Member, target_epoch
from node.eligibility.errors import EligibilityError
from node.store.memory import MemoryBackend
from node.store.own import Kind
from node.store.store import Store
from node.store.table import Schema
from node.store.view import Rows, View
from protocol.numbers.durations import SECOND
from protocol.numbers.layers import NetworkTime
from protocol.types.certificates import Certificate, CertifyMessage
from protocol.types.ids import AtxId, BlockId, LayerId, NodeId
from tests.vector_cases.consensus_support import Key, Keys, judged
from tests.vector_cases.harness import Case, Context, NotUnderstood, unknown_sections, vectors

LAYER = 300 * SECOND
GENESIS = 1_700_000_000 * SECOND
REASONS = {"oracle_not_active": "not_active", "oracle_empty_active_set": "empty_active_set"}
"""Names of the vectors for reasons that the eligibility oracle gives."""

Place = tuple[int, str]
"""A layer and a block in it."""


class _Oracle:
    """The same smeshers in the epochs 2 to 4."""

    def __init__(self, document: Any, setup: Any) -> None:
        self._time = NetworkTime(GENESIS, LAYER, document["layers_per_epoch"], document["effective_genesis"])
        self._confidence = setup["confidence_param"]
        rows = setup["active_set_epochs_2_to_4"]
        members = {
            NodeId(bytes.fromhex(row["node_id"])): Member(AtxId(bytes.fromhex(row["atx"])), row["weight"])
            for row in rows
        }
        self._set = ActiveSet(members, sum(row["weight"] for row in rows))

    def active_set(self, view: View, layer: LayerId) -> ActiveSet:
        if not 2 <= target_epoch(self._time, self._confidence, layer) <= 4:
            raise EligibilityError(f"Nobody is active in layer {layer}.", "empty_active_set")
        return self._set


class _Tortoise:
    def __init__(self) -> None:
        self.told: list[Any] = []

    def on_hare_output(self, layer: LayerId, block: BlockId) -> None:
        self.told.append({"on_hare_output": [layer, block.hex()]})


class _Node:
    """One machine on a store of its own."""

    def __init__(self, document: Any, setup: Any) -> None:
        genesis_id = bytes.fromhex(document["genesis_id"])
        rows = setup["active_set_epochs_2_to_4"]
        self.keys = {key.identity: key for key in (Key(rows[i]["key_seed"], genesis_id) for i in setup["own_signers"])}
        self.tortoise = _Tortoise()
        self.checker = NetworkChecker(genesis_id)
        self.time = NetworkTime(GENESIS, LAYER, document["layers_per_epoch"])
        assert self.time.effective_genesis == document["effective_genesis"]
        self.machine = CertificateMachine(
            CertificateParameters(
                setup["committee"], setup["threshold"], setup["layer_buffer"], setup["layers_to_keep"]
            ),
            self.time,
            _Oracle(document, setup),
            self.tortoise,
            Keys(list(self.keys.values())),
            self.checker,
            lambda begin: True,
        )
        self.store = Store(Schema("certificates", 1, (BEACONS, *TABLES)), MemoryBackend())
        beacons = Rows(self.store.view())
        for epoch in setup["beacon_known_epochs"]:
            beacons.put(BEACONS, epoch, bytes.fromhex(setup["beacon"]))
        self.store.write(beacons)
        self.events: list[object] = []
        self.published: list[Publish] = []
        self.now = Instant(GENESIS)
        self.set_layer(setup["current_layer"])

    def set_layer(self, layer: int) -> None:
        """The clock, without what follows from a layer's begin: the vectors do that apart from it."""
        self.now = Instant(self.time.start_ns(layer))
        self.machine._current = LayerId(layer)

    def tick(self) -> None:
        self._follow(self.machine.tick(Tick(self.machine._current, self.now), self.store.view(), self.now))

    def _follow(self, step: Step | Judged, is_certifying: bool = False) -> None:
        if step.rows is not None:
            self.store.write(step.rows)
        for effect in step.effects:
            self._effect(effect, is_certifying)

    def _effect(self, effect: Effect, is_certifying: bool) -> None:
        if isinstance(effect, Emit):
            self.events.append(effect.event)
        elif isinstance(effect, Publish):
            self.published.append(effect)
        elif isinstance(effect, Ask) and is_certifying:
            assert isinstance(effect.demand, ProveVrf)
            proof = self.keys[effect.demand.identity].prove(effect.demand.alpha)
            answer = Answer(effect.tag, effect.demand, proof, self.now)
            self._follow(self.machine.answer(answer, self.store.view(), self.now))

    def put(self, layer: int, block: str, row: StoredCertificate) -> None:
        rows = Rows(self.store.view())
        rows.put(CERTIFICATES, (LayerId(layer), BlockId(bytes.fromhex(block))), row)
        self.store.write(rows)

    def hare_output(self, layer: int, block: str, is_certifying: bool) -> None:
        rows = Rows(self.store.view())
        rows.put(HARE_OUTPUTS, LayerId(layer), BlockId(bytes.fromhex(block)))
        self.store.write(rows)
        change = Change(HARE_OUTPUTS, (LayerId(layer),))
        self._follow(self.machine.changed(change, self.store.view(), self.now), is_certifying)

    def receive(self, message: Message) -> tuple[str, str | None]:
        found = judged(self.machine, message, self.store, self.now, self.checker)
        self._follow(found)
        return found.verdict.judgement.value, found.verdict.reason or None

    def rows(self) -> dict[Place, tuple[int | None, bool]]:
        """Signatures and validity of all rows."""
        return {
            (layer, block.hex()): (
                None if row.certificate is None else len(row.certificate.signatures),
                row.is_valid,
            )
            for (layer, block), row in self.store.view().scan(CERTIFICATES)
        }


class _Once:
    """What each smesher said, counted once: by this rule ours is other than what is recorded."""

    def __init__(self, threshold: int) -> None:
        self._threshold = threshold
        self._seats: dict[Place, dict[bytes, int]] = {}
        self.refused: set[Place] = set()
        """Blocks that have a certificate in the vectors, and none here."""

    def hears(self, bytes_: bytes, verdict: str) -> None:
        """A message that was judged."""
        if verdict != "accept":
            return
        message = CertifyMessage.codec.decode(bytes_)
        place = (message.content.layer, message.content.block_id.hex())
        seats = self._seats.setdefault(place, {})
        if message.smesher_id in seats and sum(seats.values()) < self._threshold:
            self.refused.add(place)
        seats.setdefault(message.smesher_id, message.content.eligibility_count)
        if sum(seats.values()) >= self._threshold:
            self.refused.discard(place)

    def refuses(self, layer: int, certificate: Certificate) -> bool:
        """Whether a certificate has too few seats when only what belongs to it counts, and each smesher once."""
        seats = {
            entry.smesher_id: entry.content.eligibility_count
            for entry in certificate.signatures
            if (entry.content.layer, entry.content.block_id) == (layer, certificate.block_id)
        }
        is_refused = sum(seats.values()) < self._threshold
        place = (layer, certificate.block_id.hex())
        if is_refused:
            self.refused.add(place)
        else:
            self.refused.discard(place)
        return is_refused


@vectors("consensus/certifier.json", variants=False)
def certifier(document: Any, context: Context) -> Iterator[Any]:
    known = ("certify_round", "effective_genesis", "genesis_id", "layers_per_epoch", "scenarios")
    yield from unknown_sections(document, known)
    for scenario in document["scenarios"]:
        yield Case(scenario["name"], lambda scenario=scenario: _scenario(document, scenario))


def _scenario(document: Any, scenario: Any) -> None:
    node = _Node(document, scenario["setup"])
    once = _Once(scenario["setup"]["threshold"])
    for position, step in enumerate(scenario["steps"]):
        where = f"step {position} ({step['op']} {step.get('name', '')})"
        node.tortoise.told.clear()
        match step["op"]:
            case "current_layer":
                node.set_layer(step["layer"])
                continue
            case "stored_hare_output":
                node.put(step["layer"], step["block"], StoredCertificate(None, True))
                continue
            case "stored_certificate":
                certificate = Certificate.codec.decode(bytes.fromhex(step["certificate"]))
                node.put(step["layer"], certificate.block_id.hex(), StoredCertificate(certificate, True))
                continue
            case "prune":
                node.tick()
            case "register":
                node.hare_output(step["layer"], step["block"], is_certifying=False)
                assert step["error"] is None, where
            case "certify_if_eligible":
                _certify(node, step, where)
            case "gossip":
                data = bytes.fromhex(step["bytes"])
                found = node.receive(Message(TOPIC, data, Origin.GOSSIP, node.now))
                expected = step["verdict"], REASONS.get(step["error"], step["error"])
                assert found == expected, f"{where}: {found}"
                once.hears(data, step["verdict"])
            case "synced_certificate":
                _synced(node, once, step, where)
            case _:
                raise NotUnderstood(f"{where}: unknown")
        _check_after(node, once, step, where)


def _certify(node: _Node, step: Any, where: str) -> None:
    node.events.clear()
    node.published.clear()
    node.hare_output(step["layer"], step["block"], is_certifying=True)
    reasons = [event.reason for event in node.events if isinstance(event, NotCertified)]
    expected = REASONS.get(step["error"], step["error"])
    assert reasons == ([] if expected is None else [expected]), f"{where}: {reasons}"
    assert sorted(one.data.hex() for one in node.published) == (step["published_sorted"] or []), where
    for one in node.published:
        smesher = CertifyMessage.codec.decode(one.data).smesher_id
        assert one.slot is not None and one.slot[:3] == (smesher, Kind.CERTIFY, step["layer"]), where


def _synced(node: _Node, once: _Once, step: Any, where: str) -> None:
    data = bytes.fromhex(step["certificate"])
    asked = step["layer"].to_bytes(4, "big")
    verdict, reason = node.receive(Message(HINT, data, Origin.FETCHED, node.now, expected=asked))
    expected = step["error"]
    if once.refuses(step["layer"], Certificate.codec.decode(data)):
        expected = "certificate_below_threshold"
    assert reason == expected and (verdict == "accept") is (expected is None), f"{where}: {verdict} {reason}"


def _check_after(node: _Node, once: _Once, step: Any, where: str) -> None:
    recorded = {(row["layer"], row["block"]): (row["signatures"], row["valid"]) for row in step["rows_after"] or ()}
    expected = {place: row for place, row in recorded.items() if place not in once.refused}
    assert node.rows() == expected, f"{where}: {node.rows()}, expected {expected}"
    assert node.tortoise.told == (step["tortoise"] or []), f"{where}: {node.tortoise.told}"
    certified = Counter(node.time.epoch_of(one.layer) for one in node.events if isinstance(one, BlockCertified))
    for layer, _ in once.refused & recorded.keys():
        certified[node.time.epoch_of(layer)] += 1
    counts = {str(epoch): count for epoch, count in certified.items()}
    assert counts == step["cert_count_after"], f"{where}: {counts}"
    if step["op"] != "certify_if_eligible":  # the recorded program certifies without registering
        layers: Sequence[int] = step["cached_layers_after"] or ()
        assert list(node.machine.layers) == list(layers), f"{where}: {node.machine.layers}"
