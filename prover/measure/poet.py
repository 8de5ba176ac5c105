"""How fast this core works on a round: leaves, one dependent hash, verification, and hashlib beside them.

All are measured in turns, by the time of the measuring thread, and medians are taken: a machine that is busy for a
while then slows all of them and moves their ratios little. Protocol 02-poet, section 3.1.
"""

from __future__ import annotations

import hashlib
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from kernels.posw import sha256
from kernels.vectors import target
from protocol.types.poet import SECURITY_PARAM, MerkleProof
from prover.errors import Interrupted
from prover.poet.round.extract import extract
from prover.poet.round.verify import verify

CHAINED = 1_000_000
"""Steps of t = SHA-256(t) in one measurement."""

HASHLIB_CHAINED = 20_000
HASHLIB_BYTES = 4 << 20
PROOF_LEAVES = 5_000
VERIFICATIONS = 20
LEAVES = 3_000
COMPRESSIONS_A_LEAF = 411
"""SHA-256 compressions that a leaf and its share of the tree take. Protocol 02-poet, section 3.1."""

MIN_ROUNDS = 3
STATEMENT = b"1234567890abcdefghij"
"""The reference's own benchmark works on this statement."""


@dataclass(frozen=True, slots=True)
class Figures:
    """Medians over `rounds` interleaved measurements."""

    leaves_per_second: float
    """By the wall clock."""
    leaves_per_cpu_second: float
    """By the time of the hashing thread."""
    compression_ns: float
    """One step of a chain t = SHA-256(t)."""
    verify_us: float
    """A proof of 150 leaves."""
    hashlib_chained_ns: float
    """One step of the same chain with hashlib called in a loop."""
    hashlib_update_ns: float
    """One block of a long hashlib update."""
    rounds: int
    sha_instructions: bool

    @property
    def bound(self) -> float:
        """Leaves a second if a leaf were nothing but its dependent compressions."""
        return 1e9 / (COMPRESSIONS_A_LEAF * self.compression_ns)

    def as_json(self) -> dict[str, object]:
        """For machines."""
        return {
            "leaves_per_second": round(self.leaves_per_second, 1),
            "leaves_per_cpu_second": round(self.leaves_per_cpu_second, 1),
            "compression_ns": round(self.compression_ns, 3),
            "share_of_latency_bound": round(self.leaves_per_cpu_second / self.bound, 4),
            "verify_us": round(self.verify_us, 1),
            "hashlib_chained_ns": round(self.hashlib_chained_ns, 2),
            "hashlib_update_ns": round(self.hashlib_update_ns, 2),
            "sha_instructions": self.sha_instructions,
            "rounds": self.rounds,
        }


class _AllLeaves:
    """Every leaf of a small round, in memory."""

    height = 0
    statement = STATEMENT

    def __init__(self, nodes: sha256.Bytes) -> None:
        self._nodes = nodes

    def read(self, first: int, count: int) -> bytes:
        return bytes(self._nodes[32 * first : 32 * (first + count)].tobytes())


class _Round:
    """A round that goes on from measurement to measurement."""

    def __init__(self) -> None:
        self._slots = sha256.new_slots()
        self._ring = np.zeros(32 * PROOF_LEAVES, np.uint8)
        self._control = np.zeros(3, np.int64)
        self._statement = sha256.as_array(STATEMENT)

    def advance(self, leaves: int) -> None:
        self._control[sha256.LIMIT] += leaves
        self._control[sha256.TAKEN] = self._control[sha256.DONE]
        sha256.advance(self._statement, self._slots, self._ring, 0, self._control)

    def proof(self) -> MerkleProof:
        self.advance(PROOF_LEAVES)
        return extract(_AllLeaves(self._ring), PROOF_LEAVES, SECURITY_PARAM, threads=1)


def measure(seconds: float, stopped: Callable[[], bool] = lambda: False) -> Figures:
    """Measures for about `seconds` (compiling, where it is needed, is part of them), at least three rounds.

    Raises Interrupted when `stopped` says so.
    """
    began = time.monotonic()
    work = _Round()
    proof = work.proof()
    verify(proof, STATEMENT, PROOF_LEAVES)
    sha256.chain(bytes(32), 1)
    taken: dict[str, list[float]] = {name: [] for name in ("leaf", "wall", "chain", "verify", "loop", "update")}
    data = bytes(HASHLIB_BYTES)
    rounds = 0
    while rounds < MIN_ROUNDS or time.monotonic() - began < seconds:
        if stopped():
            raise Interrupted("The measurement was interrupted.")
        wall = time.perf_counter()
        taken["leaf"].append(_cpu(lambda: work.advance(LEAVES)) / LEAVES)
        taken["wall"].append((time.perf_counter() - wall) / LEAVES)
        taken["chain"].append(_cpu(lambda: sha256.chain(bytes(32), CHAINED)) / CHAINED)
        taken["verify"].append(_cpu(lambda: _verify_again(proof)) / VERIFICATIONS)
        taken["loop"].append(_cpu(_hashlib_chain) / HASHLIB_CHAINED)
        taken["update"].append(_cpu(lambda: hashlib.sha256(data).digest()) / (HASHLIB_BYTES // 64))
        rounds += 1
    median = {name: statistics.median(values) for name, values in taken.items()}
    return Figures(
        1 / median["wall"],
        1 / median["leaf"],
        median["chain"] * 1e9,
        median["verify"] * 1e6,
        median["loop"] * 1e9,
        median["update"] * 1e9,
        rounds,
        target.has_sha256(),
    )


def _cpu(work: Callable[[], object]) -> float:
    before = time.thread_time()
    work()
    return time.thread_time() - before


def _verify_again(proof: MerkleProof) -> None:
    for _ in range(VERIFICATIONS):
        verify(proof, STATEMENT, PROOF_LEAVES)


def _hashlib_chain() -> None:
    value = bytes(32)
    for _ in range(HASHLIB_CHAINED):
        value = hashlib.sha256(value).digest()
