"""What the vectors do not say of certificates: who counts twice, what does not belong, restarts."""

from __future__ import annotations

from dataclasses import replace

import pytest

from node.beacon.machine import BEACONS
from node.certificates.machine import HINT, TOPIC, CertificateMachine
from node.certificates.parameters import CertificateParameters
from node.certificates.tables import CERTIFICATES, HARE_OUTPUTS, TABLES, StoredCertificate, hare_output
from node.contract.checks import NetworkChecker
from node.contract.demands import ProveVrf
from node.contract.effects import Ask, Publish
from node.contract.inputs import Answer, Change, Tick
from node.contract.instants import Instant
from node.contract.messages import Message, Origin
from node.contract.steps import Found, Judged, Needs, Step, Ticket
from node.eligibility.active_set import ActiveSet, Member
from node.eligibility.committee import Stake, counts
from node.store.memory import MemoryBackend
from node.store.store import Store
from node.store.table import Schema
from node.store.view import Rows, View
from protocol.crypto.signing import Domain
from protocol.numbers.durations import SECOND
from protocol.numbers.layers import NetworkTime
from protocol.types.certificates import CERTIFIER_ROUND, Certificate, CertifyContent, CertifyMessage
from protocol.types.eligibility import hare_input
from protocol.types.ids import EMPTY_BLOCK_ID, AtxId, Beacon, BlockId, EdSignature, EpochId, LayerId, NodeId
from tests.vector_cases.consensus_support import Key, Keys, judged

GENESIS_ID = bytes(20)
LAYER = LayerId(12)
COMMITTEE = 40
KEYS = [Key(f"{seed:064x}", GENESIS_ID) for seed in range(1, 6)]
ACTIVE = ActiveSet({key.identity: Member(AtxId(key.identity), 50) for key in KEYS}, 250)
BEACON = Beacon(b"\1\2\3\4")
A, B = BlockId(b"\x0a" * 20), BlockId(b"\x0b" * 20)
TIME = NetworkTime(0, 300 * SECOND, 4)
CHECKER = NetworkChecker(GENESIS_ID)


def word(key: Key, block: BlockId = A, layer: LayerId = LAYER) -> CertifyMessage:
    """The message of a smesher with the seats that it has."""
    proof = key.prove(hare_input(BEACON, CERTIFIER_ROUND, layer))
    count = counts(COMMITTEE, ACTIVE.total, [Stake(50, proof)])[0]
    return signed(key, CertifyContent(layer, block, count, proof))


def signed(key: Key, content: CertifyContent) -> CertifyMessage:
    return CertifyMessage(content, key.sign(Domain.HARE, CertifyContent.codec.encode(content)), key.identity)


SEATS = {key.identity: word(key).content.eligibility_count for key in KEYS}


class Oracle:
    def active_set(self, view: View, layer: LayerId) -> ActiveSet:
        return ACTIVE


class Tortoise:
    def __init__(self) -> None:
        self.told: list[tuple[LayerId, BlockId]] = []

    def on_hare_output(self, layer: LayerId, block: BlockId) -> None:
        self.told.append((layer, block))


class Node:
    """One machine on a store, both of which can be begun anew."""

    def __init__(self, threshold: int = sum(SEATS.values()), own: int = 0, store: Store | None = None) -> None:
        self.tortoise = Tortoise()
        self.now = Instant(TIME.start_ns(LAYER))
        self.keys = Keys(KEYS[:own])
        self.signs_from = Instant(0)
        """The own identities sign for no layer that began before."""
        self.threshold = threshold
        self.machine = CertificateMachine(
            CertificateParameters(COMMITTEE, threshold, 2, 4, blocks_by_smesher=2),
            TIME,
            Oracle(),
            self.tortoise,
            self.keys,
            CHECKER,
            lambda begin: begin >= self.signs_from,
        )
        self.store = store or Store(Schema("certificates", 1, (BEACONS, *TABLES)), MemoryBackend())
        if store is None:
            rows = Rows(self.store.view())
            rows.put(BEACONS, EpochId(3), BEACON)
            self.store.write(rows)
        # as the engine starts it; nothing is owed in a store without that table's rows
        self.machine.start(self.store.view(), self.now)

    def follow(self, step: Step | Judged) -> Step | Judged:
        if step.rows is not None:
            self.store.write(step.rows)
        return step

    def gossip(self, message: CertifyMessage) -> tuple[str, str]:
        data = CertifyMessage.codec.encode(message)
        found = judged(self.machine, Message(TOPIC, data, Origin.GOSSIP, self.now), self.store, self.now, CHECKER)
        self.follow(found)
        return found.verdict.judgement.value, found.verdict.reason

    def with_valid_signature(self, message: CertifyMessage) -> tuple[str, str]:
        """As if the signature were valid: whoever signs can make any number of them for the same words."""
        data = CertifyMessage.codec.encode(message)
        received = Message(TOPIC, data, Origin.GOSSIP, self.now)
        needs = self.machine.admit(received, self.store.view(), self.now)
        assert isinstance(needs, Needs)
        ticket = Ticket(0, received, needs.memo, self.now)
        found = self.machine.proceed(ticket, Found((True,), (True,)), self.store.view(), self.now)
        assert isinstance(found, Judged)
        return found.verdict.judgement.value, found.verdict.reason

    def fetched(self, certificate: Certificate, layer: LayerId = LAYER) -> tuple[str, str]:
        data = Certificate.codec.encode(certificate)
        message = Message(HINT, data, Origin.FETCHED, self.now, expected=layer.to_bytes(4, "big"))
        found = judged(self.machine, message, self.store, self.now, CHECKER)
        self.follow(found)
        return found.verdict.judgement.value, found.verdict.reason

    def hare_output(self, block: BlockId) -> Step | Judged:
        rows = Rows(self.store.view())
        rows.put(HARE_OUTPUTS, LAYER, block)
        self.store.write(rows)
        return self.follow(self.machine.changed(Change(HARE_OUTPUTS, (LAYER,)), self.store.view(), self.now))

    def row(self, block: BlockId = A) -> StoredCertificate | None:
        return self.store.view().get(CERTIFICATES, (LAYER, block))


def test_every_smesher_has_seats_here() -> None:
    assert all(SEATS.values())


def test_a_smesher_counts_once_and_a_second_form_of_its_word_goes_no_further() -> None:
    node = Node(threshold=sum(SEATS.values()))
    node.hare_output(A)
    message = word(KEYS[0])
    assert node.gossip(message) == ("accept", "")
    assert node.gossip(message) == ("accept", "")
    assert node.with_valid_signature(replace(message, signature=EdSignature(bytes(64)))) == ("ignore", "repeated")
    for key in KEYS[1:-1]:
        assert node.gossip(word(key)) == ("accept", "")
    assert node.row() is None
    assert node.gossip(word(KEYS[-1])) == ("accept", "")
    row = node.row()
    assert row is not None and row.certificate is not None and row.is_valid
    assert [one.smesher_id for one in row.certificate.signatures] == [key.identity for key in KEYS]


def test_no_seats_say_nothing() -> None:
    message = word(KEYS[0])
    none = signed(KEYS[0], replace(message.content, eligibility_count=0))
    assert Node().gossip(none) == ("ignore", "not_eligible")


def test_a_smesher_is_heard_on_so_many_blocks_of_a_layer() -> None:
    node = Node()
    blocks = [BlockId(bytes((number,)) * 20) for number in range(1, 4)]
    found = [node.gossip(word(KEYS[0], block)) for block in blocks]
    assert found == [("accept", ""), ("accept", ""), ("ignore", "too_many_blocks")]


@pytest.mark.parametrize("what", ["block", "layer", "smesher"])
def test_entries_that_do_not_belong_to_a_certificate_do_not_count(what: str) -> None:
    entries = [word(key) for key in KEYS]
    if what == "block":
        entries[2] = word(KEYS[2], B)
    elif what == "layer":
        entries[2] = word(KEYS[2], A, LayerId(13))
    else:
        entries[2] = entries[1]
    node = Node()
    assert node.fetched(Certificate(A, entries)) == ("ignore", "certificate_below_threshold")
    assert node.row() is None
    node = Node(threshold=sum(SEATS.values()) - SEATS[KEYS[2].identity])
    assert node.fetched(Certificate(A, entries)) == ("accept", "")


def test_a_certificate_with_a_forged_entry_falls_short() -> None:
    entries = [word(key) for key in KEYS]
    entries[0] = replace(entries[0], signature=entries[1].signature)
    assert Node().fetched(Certificate(A, entries)) == ("ignore", "certificate_below_threshold")


def test_hare_output_of_a_layer_is_its_one_valid_block() -> None:
    node = Node()
    assert hare_output(node.store.view(), LAYER) is None
    assert node.fetched(Certificate(A, [word(key) for key in KEYS])) == ("accept", "")
    assert hare_output(node.store.view(), LAYER) == A
    second = Certificate(B, [word(key, B) for key in KEYS])
    assert node.fetched(second) == ("ignore", "multiple_valid_certificates")
    assert hare_output(node.store.view(), LAYER) == EMPTY_BLOCK_ID
    assert node.tortoise.told == [(LAYER, EMPTY_BLOCK_ID)]


def test_started_again_it_still_makes_the_certificate_of_what_hare_came_to() -> None:
    first = Node()
    first.hare_output(A)
    again = Node(store=first.store)
    for key in KEYS:
        assert again.gossip(word(key)) == ("accept", "")
    assert again.row() is not None


def test_forgotten_layers_are_taken_up_no_more() -> None:
    node = Node()
    node.gossip(word(KEYS[0]))
    for layer in range(LAYER + 1, LAYER + 6):
        assert list(node.machine.layers) == [LAYER]
        due = Instant(TIME.start_ns(layer))
        node.machine.tick(Tick(LayerId(layer), due), node.store.view(), due)
    assert list(node.machine.layers) == []


def test_an_own_identity_certifies_in_a_slot_and_one_that_is_gone_does_not() -> None:
    node = Node(own=2)
    asks = [effect for effect in node.hare_output(A).effects if isinstance(effect, Ask)]
    assert [ask.demand.identity for ask in asks if isinstance(ask.demand, ProveVrf)] == [
        key.identity for key in KEYS[:2]
    ]
    node.keys.keys = KEYS[1:2]
    published: list[Publish] = []
    for ask, key in zip(asks, KEYS):
        assert isinstance(ask.demand, ProveVrf)
        answer = Answer(ask.tag, ask.demand, key.prove(ask.demand.alpha), node.now)
        step = node.machine.answer(answer, node.store.view(), node.now)
        published += [effect for effect in step.effects if isinstance(effect, Publish)]
    assert [CertifyMessage.codec.decode(one.data) for one in published] == [word(KEYS[1])]
    assert published[0].slot is not None and NodeId(published[0].slot.identity) == KEYS[1].identity
    assert published[0].owed_until == TIME.start_ns(LAYER + 4)


def test_nothing_is_certified_of_a_layer_that_began_before_the_node_might_sign() -> None:
    node = Node(own=1)
    node.signs_from = Instant(TIME.start_ns(LAYER) + 1)
    assert node.hare_output(A).effects == []
    node.signs_from = Instant(TIME.start_ns(LAYER))
    assert [type(effect) for effect in node.hare_output(A).effects] == [Ask]
