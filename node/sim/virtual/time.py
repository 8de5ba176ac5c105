"""Virtual PoET servers: rounds that end on time, and proofs of them which prove nothing and yet can be checked.

A round takes challenges until it starts; from its end on its proof can be had, which covers them in their order. The
tree of its members is a real one, the root of its work is a hash of what it would be of.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field

from node.contract.demands import Failed, Registered, Result, RoundProof, VerifyPoet
from node.contract.instants import Instant
from protocol.crypto.merkle import root_of
from protocol.types.ids import Hash32
from protocol.types.poet import MerkleProof, PoetProof, PoetProofMessage

PROVEN_LEAVES = 2
"""Leaves in a virtual proof; the network's have 150."""


def proof_of(members: Sequence[bytes], leaves: int, service: bytes, round_id: str) -> PoetProofMessage:
    """The one valid proof of a round of so many leaves."""
    statement = Hash32(root_of(members))
    return PoetProofMessage(_work(statement, leaves), service, round_id.encode(), statement)


def _work(statement: bytes, leaves: int) -> PoetProof:
    def node(name: bytes) -> bytes:
        return hashlib.sha256(name + statement + leaves.to_bytes(8, "little")).digest()

    proven = tuple(node(b"leaf %d" % number) for number in range(PROVEN_LEAVES))
    return PoetProof(MerkleProof(node(b"root"), proven, (node(b"node"),)), leaves)


@dataclass(slots=True)
class _Round:
    members: list[bytes] = field(default_factory=list)
    by_identity: dict[bytes, bytes] = field(default_factory=dict)


class VirtualPoet:
    """One server. Its rounds follow each other: each starts when the one before it has ended and a gap is over."""

    def __init__(self, address: str, first_start: Instant, period: int, duration: int, ticks_leaves: int) -> None:
        """first_start: of round 0; period: from one start to the next; duration: of a round, both nanoseconds;
        ticks_leaves: leaves that a round makes."""
        self.service = hashlib.sha256(address.encode()).digest()
        self._first, self._period, self._duration = first_start, period, duration
        self._leaves = ticks_leaves
        self._rounds: dict[int, _Round] = {}

    def start_of(self, number: int) -> Instant:
        """When a round starts."""
        return Instant(self._first + number * self._period)

    def end_of(self, number: int) -> Instant:
        """When a round ends."""
        return Instant(self.start_of(number) + self._duration)

    def open_round(self, now: Instant) -> int:
        """The round that takes challenges now."""
        return 0 if now < self._first else (now - self._first) // self._period + 1

    def register(self, identity: bytes, challenge: bytes, deadline: Instant, now: Instant) -> Registered | Failed:
        """Take a challenge; the same one again changes nothing, and an identity has one in a round."""
        number = self.open_round(now)
        if self.start_of(number) > deadline:
            return Failed("refused", f"round {number} starts after the deadline")
        round = self._rounds.setdefault(number, _Round())
        if round.by_identity.setdefault(identity, challenge) != challenge:
            return Failed("conflict")
        if challenge not in round.members:
            round.members.append(challenge)
        return Registered(str(number), self.end_of(number))

    def proof(self, round_id: str, now: Instant) -> Result:
        """The proof of a round that has ended."""
        number = int(round_id)
        if number not in self._rounds or now < self.end_of(number):
            return Failed("not_found")
        members = self._rounds[number].members
        return RoundProof(proof_of(members, self._leaves, self.service, round_id), tuple(members))


def verify(work: VerifyPoet) -> bool:
    """The answer to a demand: whether a proof is that of its statement and its leaves."""
    proof = work.proof
    return proof.ref() == work.ref and proof.proof == _work(proof.statement, proof.proof.leaf_count)
