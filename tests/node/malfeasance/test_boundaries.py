"""Nobody is convicted who did nothing wrong: one message twice, messages of two occasions, a chain of ATXs."""

from __future__ import annotations

from dataclasses import replace

import pytest

from node.malfeasance import verdicts as malfeasance
from node.malfeasance.tables import MARKS
from protocol.crypto.signing import Domain
from protocol.types.activation import ActivationTxV1
from protocol.types.hare import HareMetadata
from protocol.types.ids import AtxId, EdSignature, Hash32, LayerId
from protocol.types.malfeasance import HareProof, HareProofMsg, InvalidPrevATXProof, MalfeasanceProof

from .test_machine import A, Node
from .test_verdicts import CULPRIT, NODE, atx, refusal, world


def said(layer: int, round: int, hash: int) -> HareProofMsg:
    inner = HareMetadata(LayerId(layer), round, Hash32(bytes([hash]) * 32))
    return HareProofMsg(inner, NODE, EdSignature(CULPRIT.sign(Domain.HARE, HareMetadata.codec.encode(inner))))


def test_two_messages_of_one_occasion_convict() -> None:
    proof = MalfeasanceProof(LayerId(9), HareProof((said(5, 7, 1), said(5, 7, 2))))
    assert malfeasance.offender(proof, world()) == NODE


def test_one_message_that_was_sent_twice_does_not() -> None:
    assert refusal(HareProof((said(5, 7, 1), said(5, 7, 1))), world()) == "invalid_proof"


@pytest.mark.parametrize(("layer", "round"), [(4, 7), (6, 7), (5, 6), (5, 8)])
def test_messages_of_two_occasions_do_not(layer: int, round: int) -> None:
    assert refusal(HareProof((said(5, 7, 1), said(layer, round, 2))), world()) == "invalid_proof"


def following(previous: bytes, sequence: int) -> ActivationTxV1:
    found = atx(sequence)
    challenge = replace(found.inner.challenge, prev_atx=AtxId(previous * 32))
    unsigned = replace(found, inner=replace(found.inner, challenge=challenge))
    return replace(unsigned, signature=EdSignature(CULPRIT.sign(Domain.ATX, unsigned.signed_bytes())))


def test_two_activations_convict_where_they_follow_the_same_one_and_only_there() -> None:
    proof = MalfeasanceProof(LayerId(9), InvalidPrevATXProof(following(b"a", 1), following(b"a", 2)))
    assert malfeasance.offender(proof, world()) == NODE
    for one, other in ((b"a", b"b"), (b"b", b"a")):
        assert refusal(InvalidPrevATXProof(following(one, 1), following(other, 2)), world()) == "invalid_proof"


def test_who_is_convicted_without_a_message_for_it_is_marked_for_good() -> None:
    node = Node()
    node.convict(A.identity, b"")
    assert node.store.view().has(MARKS, A.identity) and node.told == [A.identity]
