"""The state of one epoch: its smeshers, what they proposed and how they voted.

Made from the ATXs of the epoch when its first message comes; a million of them take a second. Protocol 04b, sections
1.4 to 1.6.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from node.activation.columns import order_of, row_of, total
from node.beacon.parameters import BeaconParameters
from node.beacon.thresholds import proposal_threshold
from node.beacon.votes import Class, OwnVotes, Proposal, ProposalFacts, classify, decode_bits, own_votes
from node.contract.instants import Instant
from protocol.crypto import vrf
from protocol.types.ids import NodeId, RoundId, VrfSignature

Words = np.ndarray[Any, np.dtype[np.uint64]]


@dataclass(frozen=True, slots=True)
class EpochAtxs:
    """The ATXs of an epoch as columns, in the order in which they came."""

    nodes: Words
    """Rows of four words, whose order as numbers is that of the bytes."""
    weights: Words
    received: np.ndarray[Any, np.dtype[np.int64]]
    """Nanoseconds since 1970; 0 for those of a checkpoint."""
    is_malicious: np.ndarray[Any, np.dtype[np.bool_]]


@dataclass(frozen=True, slots=True)
class Smesher:
    """One smesher of an epoch, by its first ATX."""

    weight: int
    received: int
    is_malicious: bool


class Smeshers:
    """Who may propose and vote in an epoch. Mutable: late ATXs are added."""

    def __init__(self, atxs: EpochAtxs) -> None:
        order = order_of(atxs.nodes)
        nodes = atxs.nodes[order]
        is_first = np.ones(len(nodes), bool)
        is_first[1:] = (nodes[1:] != nodes[:-1]).any(axis=1)
        rows = order[is_first]
        self._atxs = EpochAtxs(atxs.nodes[rows], atxs.weights[rows], atxs.received[rows], atxs.is_malicious[rows])
        self._late: dict[NodeId, Smesher] = {}

    def received_before(self, instant: int) -> int:
        """How many came before an instant, late ones left out."""
        return int((self._atxs.received < instant).sum())

    def get(self, node: NodeId) -> Smesher | None:
        """One smesher; None where it has no ATX."""
        late = self._late.get(node)
        if late is not None:
            return late
        of = self._atxs
        row = row_of(of.nodes, node)
        if row is None:
            return None
        return Smesher(int(of.weights[row]), int(of.received[row]), bool(of.is_malicious[row]))

    def add(self, node: NodeId, weight: int, received: int) -> None:
        """An ATX came after the state was made; another one of a known smesher is ignored."""
        if self.get(node) is None:
            self._late[node] = Smesher(weight, received, False)


class EpochState:
    """One epoch. Mutable."""

    def __init__(self, parameters: BeaconParameters, atxs: EpochAtxs, start: Instant) -> None:
        """start: the beginning of the epoch. Raises ValueError where no honest smesher has weight."""
        honest = atxs.weights[~atxs.is_malicious]
        self.weight = total(honest)
        if self.weight == 0:
            raise ValueError("no honest smesher of the epoch has weight")
        self._parameters = parameters
        self._start = start
        self.smeshers = Smeshers(atxs)
        early, in_time = (self.smeshers.received_before(at) for at in (start - parameters.grace, start))
        self._threshold = proposal_threshold(parameters.kappa, parameters.q, early)
        self._strict_threshold = proposal_threshold(parameters.kappa, parameters.q, in_time)
        self.phase_end: Instant | None = None
        """When the proposal phase ended."""
        self.valid: set[Proposal] = set()
        self.potentially_valid: set[Proposal] = set()
        self.margins: dict[Proposal, int] = {}
        self._proposed: set[NodeId] = set()
        self._voted: set[tuple[NodeId, RoundId]] = set()
        self._first_votes: dict[NodeId, tuple[Proposal, ...]] = {}

    def classify(self, smesher: Smesher, proof: VrfSignature, received: Instant) -> Class:
        """What a proposal of a smesher is worth that came at an instant."""
        late = 0 if self.phase_end is None else received - self.phase_end
        facts = ProposalFacts(proof, smesher.received - self._start, late)
        return classify(facts, self._parameters.grace, self._threshold, self._strict_threshold)

    def has_proposed(self, node: NodeId) -> bool:
        """Whether a smesher's proposal was taken already."""
        return node in self._proposed

    def propose(self, node: NodeId, proof: VrfSignature, received: Instant) -> Class:
        """Take a proposal whose proof is valid; a margin that was there begins anew. Raises KeyError for a stranger."""
        smesher = self.smeshers.get(node)
        if smesher is None:
            raise KeyError(node)
        self._proposed.add(node)
        found = self.classify(smesher, proof, received)
        if found is Class.VALID and smesher.is_malicious:
            found = Class.POTENTIALLY_VALID
        if found is not Class.INVALID:
            proposal = vrf.beacon_proposal(proof)
            (self.valid if found is Class.VALID else self.potentially_valid).add(proposal)
            self.margins[proposal] = 0
        return found

    def register_vote(self, node: NodeId, round: RoundId) -> bool:
        """Note that a smesher voted in a round; whether it had not before."""
        if (node, round) in self._voted:
            return False
        self._voted.add((node, round))
        return True

    def _vote(self, proposal: Proposal, weight: int) -> None:
        if proposal in self.margins:
            self.margins[proposal] += weight

    def vote_first(self, node: NodeId, valid: Sequence[Proposal], potentially_valid: Sequence[Proposal]) -> bool:
        """Count the first vote of a smesher; whether it has an ATX."""
        smesher = self.smeshers.get(node)
        if smesher is None:
            return False
        weight = 0 if smesher.is_malicious else smesher.weight
        for proposal in valid:
            self._vote(proposal, weight)
        for proposal in potentially_valid:
            self._vote(proposal, -weight)
        self._first_votes[node] = (*valid, *potentially_valid)[: self._parameters.votes_limit]
        return True

    def vote(self, node: NodeId, bits: bytes) -> str | None:
        """Count a later vote of a smesher; why it does not count, else None."""
        smesher = self.smeshers.get(node)
        if smesher is None:
            return "miner_not_active"
        first = self._first_votes.get(node)
        if first is None:
            return "no_first_votes"
        weight = 0 if smesher.is_malicious else smesher.weight
        support, against = decode_bits(first, bits)
        for proposal in support:
            self._vote(proposal, weight)
        for proposal in against:
            self._vote(proposal, -weight)
        return None

    def first_vote_of(self, node: NodeId) -> tuple[Proposal, ...]:
        """What a smesher's later votes refer to; empty where it has not voted."""
        return self._first_votes.get(node, ())

    def has_voted_first(self, node: NodeId) -> bool:
        """Whether a smesher's first vote was counted."""
        return node in self._first_votes

    def own_votes(self) -> OwnVotes:
        """What follows from all votes so far."""
        return own_votes(self.margins, self._parameters.theta, self.weight)
