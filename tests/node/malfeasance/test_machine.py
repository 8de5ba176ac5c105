"""The machine that keeps proofs, beside what the recorded cases show: reports, marks, work that was not done."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from node.contract.checks import NetworkChecker
from node.contract.demands import Failed, PostVerdict, Result, VerifyPost
from node.contract.effects import Emit, Publish, StopIdentity
from node.contract.instants import Instant
from node.contract.messages import Message, Origin
from node.contract.ports import Signer
from node.contract.steps import Found, Judged, Needs, Step, Ticket
from node.contract.verdicts import Judgement
from node.malfeasance.machine import TOPIC, Convicted, MalfeasanceMachine
from node.malfeasance.tables import MARKS, PROOFS, TABLES, is_malicious, malicious
from node.store.memory import MemoryBackend
from node.store.store import Store
from node.store.table import Schema
from node.store.view import View
from protocol.crypto.signing import Domain
from protocol.types.activation import (
    ActivationTxV1,
    ATXMetadata,
    InnerActivationTxV1,
    MembershipProofV1,
    NIPostChallengeV1,
    NIPostV1,
    PostMetadataV1,
    PostV1,
)
from protocol.types.ids import EMPTY_ADDRESS, EMPTY_ATX_ID, AtxId, EdSignature, EpochId, Hash32, LayerId, NodeId
from protocol.types.malfeasance import (
    AtxProof,
    AtxProofMsg,
    InvalidPostIndexProof,
    MalfeasanceGossip,
    MalfeasanceProof,
)
from tests.node.contract.world import GENESIS_ID, Key
from tests.vector_cases.consensus_support import KeyRing

NOW = Instant(1_700_000_000_000_000_000)
A, B = Key(1), Key(2)


class Node:
    """The machine on a store; every identity has an activation."""

    def __init__(self, own: Sequence[Signer] = (), is_synced: bool = True) -> None:
        self.told: list[NodeId] = []
        self.machine = MalfeasanceMachine(KeyRing(*own), self, self, lambda: is_synced)
        self.store = Store(Schema("malfeasance", 1, TABLES), MemoryBackend())
        self.post: Result = PostVerdict(False, 3)

    def exists(self, view: View, identity: NodeId) -> bool:
        return True

    def commitment_of(self, view: View, identity: NodeId) -> AtxId | None:
        return AtxId(b"g" * 32)

    def on_malicious(self, node: NodeId) -> None:
        self.told.append(node)

    def judge(self, proof: MalfeasanceProof) -> Judged:
        data = MalfeasanceGossip.codec.encode(MalfeasanceGossip(proof))
        message = Message(TOPIC, data, Origin.GOSSIP, NOW)
        judged = self.machine.admit(message, self.store.view(), NOW)
        while isinstance(judged, Needs):
            signatures = NetworkChecker(GENESIS_ID).signatures(judged.signatures)
            assert all(isinstance(one, VerifyPost) and one.positions == (3,) for one in judged.demands)
            found = Found(signatures, (), [self.post for _ in judged.demands])
            judged = self.machine.proceed(Ticket(0, message, judged.memo, NOW), found, self.store.view(), NOW)
        if judged.rows is not None:
            self.store.write(judged.rows)
        return judged

    def convict(self, identity: NodeId, proof: bytes) -> Step:
        step = self.machine.convict(identity, proof, self.store.view(), NOW)
        if step.rows is not None:
            self.store.write(step.rows)
        return step


def two_atxs(signer: Key, epoch: int = 3) -> MalfeasanceProof:
    """A proof that holds."""

    def one(hash: bytes) -> AtxProofMsg:
        metadata = ATXMetadata(EpochId(epoch), Hash32(hash * 32))
        signature = signer.sign(Domain.ATX, ATXMetadata.codec.encode(metadata))
        return AtxProofMsg(metadata, signer.identity, signature)

    return MalfeasanceProof(LayerId(9), AtxProof((one(b"1"), one(b"2"))))


def wrong_index(signer: Key) -> MalfeasanceProof:
    """A proof about a proof of space."""
    nipost = NIPostV1(MembershipProofV1((), 0), PostV1(1, b"", 1), PostMetadataV1(bytes(32), 128))
    challenge = NIPostChallengeV1(EpochId(3), 1, AtxId(b"p" * 32), EMPTY_ATX_ID)
    unsigned = ActivationTxV1(
        InnerActivationTxV1(challenge, EMPTY_ADDRESS, 4, nipost), signer.identity, EdSignature(bytes(64))
    )
    signature = signer.sign(Domain.ATX, unsigned.signed_bytes())
    return MalfeasanceProof(
        LayerId(9), InvalidPostIndexProof(ActivationTxV1(unsigned.inner, signer.identity, signature), 3)
    )


def encoded(proof: MalfeasanceProof) -> bytes:
    return MalfeasanceProof.codec.encode(proof)


def test_a_report_is_kept_told_and_published_once() -> None:
    node = Node()
    first, second = encoded(two_atxs(A)), encoded(two_atxs(A, epoch=4))
    step = node.convict(A.identity, first)
    assert [type(one) for one in step.effects] == [Emit, Publish]
    published = step.effects[1]
    assert isinstance(published, Publish) and published.topic == TOPIC
    assert MalfeasanceGossip.codec.decode(published.data) == MalfeasanceGossip(two_atxs(A))
    assert node.convict(A.identity, second) == Step()
    assert node.store.view().get(PROOFS, A.identity).proof == first  # type: ignore[union-attr]
    assert node.told == [A.identity]


def test_before_all_is_synced_a_report_is_not_published() -> None:
    node = Node(is_synced=False)
    step = node.convict(A.identity, encoded(two_atxs(A)))
    assert [type(one) for one in step.effects] == [Emit] and node.store.view().has(PROOFS, A.identity)


def test_a_mark_is_kept_and_a_proof_may_follow_it() -> None:
    node = Node(own=[A])
    step = node.convict(A.identity, b"")
    assert step.effects[0] == Emit(Convicted(A.identity, b"", True))
    assert isinstance(step.effects[1], StopIdentity)
    assert node.convict(A.identity, b"") == Step()
    view = node.store.view()
    assert view.has(MARKS, A.identity) and not view.has(PROOFS, A.identity) and is_malicious(view, A.identity)
    assert node.judge(two_atxs(A)).verdict.is_accepted
    view = node.store.view()
    assert view.has(PROOFS, A.identity) and malicious(view) == [A.identity]
    node.convict(B.identity, encoded(two_atxs(B)))
    assert malicious(node.store.view()) == sorted([A.identity, B.identity])
    assert node.convict(B.identity, b"") == Step()  # a proof says more than a mark


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (PostVerdict(False, 3), ("accept", "")),
        (PostVerdict(False), ("accept", "")),
        (PostVerdict(True), ("reject", "invalid_proof")),
        (Failed("stopped"), ("ignore", "not_checked")),
    ],
)
def test_a_proof_of_space_that_was_not_checked_convicts_nobody(answer: Result, expected: tuple[str, str]) -> None:
    node = Node()
    node.post = answer
    judged = node.judge(wrong_index(A))
    assert (judged.verdict.judgement.value, judged.verdict.reason) == expected
    assert node.store.view().has(PROOFS, A.identity) is judged.verdict.is_accepted
    assert node.told == ([A.identity] if judged.verdict.is_accepted else [])


def test_every_forged_byte_is_answered() -> None:
    """One bit of a proof changed in turn: nothing is kept that would not hold."""
    for proof in (two_atxs(A), wrong_index(A)):
        data = encoded(proof)
        for position in range(1, len(data)):  # the layer before is for people
            node = Node()
            forged = bytearray(data + b"\0")
            forged[position] ^= 1 << position % 8
            message = Message(TOPIC, bytes(forged), Origin.GOSSIP, NOW)
            judged = node.machine.admit(message, node.store.view(), NOW)
            if isinstance(judged, Needs):
                signatures = NetworkChecker(GENESIS_ID).signatures(judged.signatures)
                judged = node.machine.proceed(
                    Ticket(0, message, judged.memo, NOW), Found(signatures), node.store.view(), NOW
                )
            if isinstance(judged, Judged):
                assert judged.verdict.judgement is Judgement.REJECT
                continue
            # the smesher has signed this: a value has several encodings, and which index is wrong is not signed
            read = MalfeasanceGossip.codec.decode(bytes(forged)).proof.proof
            assert isinstance(read, InvalidPostIndexProof) and isinstance(proof.proof, InvalidPostIndexProof)
            assert position == len(data) - 1 or read == proof.proof
            assert read.atx == proof.proof.atx and node.told == []
