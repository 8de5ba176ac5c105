"""PoET proofs that come because an activation names them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from node.activation.poets import PoetMachine
from node.activation.tables import POET_BLOBS, POETS, TABLES, PoetFacts
from node.contract.demands import Failed, Result, VerifyPoet
from node.contract.instants import Instant
from node.contract.messages import Message, Origin
from node.contract.steps import Found, Judged, Needs, Ticket
from node.store.memory import MemoryBackend
from node.store.store import Store
from node.store.table import Schema
from protocol.types.fetch import Hint
from protocol.types.ids import PoetProofRef

from .forge import TICK, poet

NOW = Instant(1_700_000_000_000_000_000)
PROOF = poet([b"m" * 32, b"n" * 32], 10)
REF = PoetProofRef(PROOF.ref())


class Node:
    def __init__(self) -> None:
        self.machine = PoetMachine()
        self.store = Store(Schema("activation", 1, TABLES), MemoryBackend())
        self.asked: list[object] = []

    def judge(self, data: bytes, answer: Result = True, expected: bytes = REF) -> tuple[str, str]:
        message = Message(Hint.POET, data, Origin.FETCHED, NOW, expected=expected)
        judged = self.machine.admit(message, self.store.view(), NOW)
        if isinstance(judged, Needs):
            self.asked += judged.demands
            found = Found(results=[answer])
            judged = self.machine.proceed(Ticket(0, message, judged.memo, NOW), found, self.store.view(), NOW)
        assert isinstance(judged, Judged)
        if judged.rows is not None:
            self.store.write(judged.rows)
        return judged.verdict.judgement.value, judged.verdict.reason


def test_a_new_proof_is_verified_and_kept_and_a_known_one_is_not_looked_at() -> None:
    node = Node()
    assert node.judge(PROOF.codec.encode(PROOF)) == ("accept", "")
    assert node.asked == [VerifyPoet(PROOF, REF)]
    view = node.store.view()
    assert view.get(POETS, REF) == PoetFacts(10 * TICK, PROOF.statement)
    assert view.get(POET_BLOBS, REF) == PROOF.codec.encode(PROOF)
    # its reference does not cover the statement: the first one stays
    other = replace(PROOF, statement=b"s" * 32)
    assert other.ref() == REF
    assert node.judge(other.codec.encode(other)) == ("accept", "")
    assert len(node.asked) == 1 and node.store.view().get(POETS, REF) == PoetFacts(10 * TICK, PROOF.statement)


@pytest.mark.parametrize(
    ("data", "answer", "expected", "reason"),
    [
        (b"", True, REF, "malformed"),
        (PROOF.codec.encode(PROOF) + b"\0", True, REF, "malformed"),
        (PROOF.codec.encode(PROOF), True, b"x" * 32, "wrong_hash"),
        (PROOF.codec.encode(PROOF), False, REF, "poet_invalid"),
        (PROOF.codec.encode(PROOF), Failed("stopped"), REF, "poet_invalid"),
    ],
)
def test_a_bad_one_is_dropped_and_nobody_is_blamed(data: bytes, answer: Result, expected: bytes, reason: str) -> None:
    node = Node()
    assert node.judge(data, answer, expected) == ("ignore", reason)
    assert list(node.store.view().keys(POETS)) == []
    assert node.judge(PROOF.codec.encode(PROOF)) == ("accept", "")  # and the right one is taken afterwards
