"""Verdicts on proofs, in the reference's order of checks and with its failing index.

`check` decides from a proof, its metadata and the network's parameters; `check_many` shares one run of the
label engine among the indices of many proofs. Beside the verdict stands a diagnosis for people. What the
reference does not check (index range, repeats, order, padding, the top byte of pow) is not checked here.
Specified in protocol 01-post, section 6.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Protocol

from protocol.errors import ProtocolError
from protocol.post.proof import (
    CHALLENGE_SIZE,
    LSB_BITS,
    MAX_GROUPS,
    NONCES_PER_GROUP,
    Difficulty,
    Proof,
    ProofMetadata,
    group_key,
    lazy_key,
    packed_size,
    pow_input,
    proving_difficulty,
    required_bits,
    scale_pow_difficulty,
    selection,
    unpack_indices,
)
from protocol.post.rules import check_scrypt_n, commitment
from protocol.types.ids import ID_SIZE
from prover.post.layout import Layout, file_name

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

PowHash = Callable[[bytes], bytes]
"""The RandomX hash under the network's key."""


class Labels(Protocol):
    """What recomputes labels: `kernels.labels.cpu.LabelEngine`."""

    def labels32(self, commitments: Sequence[bytes], indices: Sequence[int]) -> npt.NDArray[np.uint8]:
        """Full labels of any indices, one commitment for each."""


class Failure(Enum):
    """Why a proof is invalid; the names are the reference's."""

    NUM_UNITS_TOO_SMALL = "NumUnitsTooSmall"
    NUM_UNITS_TOO_LARGE = "NumUnitsTooLarge"
    NONCE_GROUP_OUT_OF_BOUNDS = "NonceGroupOutOfBounds"
    INVALID_POW = "InvalidPoW"
    INVALID_INDICES_LEN = "InvalidIndicesLen"
    INVALID_NUM_LABELS = "InvalidNumLabels"
    INVALID_MSB = "InvalidMsb"
    INVALID_LSB = "InvalidLsb"


@dataclass(frozen=True, slots=True)
class VerifyParams:
    """What a network demands of a proof."""

    k1: int
    k2: int
    pow_difficulty: bytes
    """32 bytes, for one unit."""
    min_num_units: int
    max_num_units: int
    labels_per_unit: int
    scrypt_n: int


@dataclass(frozen=True, slots=True)
class Mode:
    """Which positions of a proof are checked."""

    positions: tuple[int, ...]
    """In the order of checking; positions past K2 select nothing."""

    @classmethod
    def all(cls, k2: int) -> Mode:
        """Every index, in order."""
        return cls(tuple(range(k2)))

    @classmethod
    def one(cls, position: int, k2: int) -> Mode:
        """One index; past the last one nothing is checked."""
        return cls((position,) if 0 <= position < k2 else ())

    @classmethod
    def subset(cls, k3: int, seed: bytes, k2: int, metadata: ProofMetadata) -> Mode:
        """K3 indices that depend on the verifier's seed; with K3 = K2 all of them, in order."""
        if k3 == k2:
            return cls.all(k2)
        order = selection(k2, seed, metadata.node_id, metadata.challenge)
        return cls(tuple(position for position, _ in zip(order, range(k3), strict=False)))


@dataclass(frozen=True, slots=True)
class Verdict:
    """Valid when `failure` is None; `position` is the failing index's place in the proof."""

    failure: Failure | None = None
    position: int | None = None
    diagnosis: str = ""
    label_index: int | None = None
    label: bytes | None = None
    cipher_value: int | None = None
    """The byte of the group cipher, or the low 56 bits of the lazy cipher, that failed."""

    @property
    def valid(self) -> bool:
        """Whether the proof holds."""
        return self.failure is None


@dataclass(frozen=True, slots=True)
class Unusable:
    """What of a proof's data is of no use; nothing: the proof holds."""

    labels: frozenset[int] = frozenset()
    """Indices of labels that are wrong on disk."""
    files: Mapping[int, str] = field(default_factory=dict)
    """Files that are left out whole, and why."""


def own_proof_fault(verdict: Verdict, layout: Layout, directory: Path) -> str:
    """What to tell of a proof that was made from the data of a directory and does not hold: where the label lies."""
    place = ""
    if verdict.label_index is not None and verdict.label_index < layout.num_labels:
        number, offset = layout.locate(verdict.label_index)
        place = f" That label is in {file_name(number)} at byte offset {offset}."
    return (
        f"The proof that was found is not valid: {verdict.diagnosis}.{place} Run smesher verify "
        f"{quote(str(directory))} and smesher repair."
    )


@dataclass(frozen=True, slots=True)
class Claim:
    """A proof to verify."""

    proof: Proof
    metadata: ProofMetadata
    mode: Mode


@dataclass(frozen=True, slots=True)
class _Open:
    """A claim whose labels still have to be looked at."""

    claim: Claim
    difficulty: Difficulty
    indices: tuple[int, ...]
    """Label indices of the chosen positions."""


def check_input(proof: Proof, metadata: ProofMetadata) -> None:
    """What the reference's library refuses before verifying. Raises ProtocolError (reason `input`)."""
    for name, value, size in (
        ("node id", metadata.node_id, ID_SIZE),
        ("commitment ATX id", metadata.commitment_atx_id, ID_SIZE),
        ("challenge", metadata.challenge, CHALLENGE_SIZE),
    ):
        if len(value) != size:
            raise ProtocolError(f"The {name} has {len(value)} bytes, expected {size}.", "input")
    if not proof.indices:
        raise ProtocolError("The proof has no indices.", "input")


def check(claim: Claim, params: VerifyParams, labels: Labels, pow_hash: PowHash) -> Verdict:
    """The verdict on one proof. Raises ProtocolError for parameters that no proof can be verified with."""
    return check_many([claim], params, labels, pow_hash)[0]


def check_many(
    claims: Sequence[Claim], params: VerifyParams, labels: Labels, pow_hash: PowHash, *, threads: int = 1
) -> list[Verdict]:
    """The verdicts on many proofs; their labels are computed together.

    `pow_hash` is called from so many threads at once; how many the labels get is the engine's matter.
    """
    import numpy as np  # loading it takes longer than all that is asked before labels

    check_scrypt_n(params.scrypt_n)
    first = _in_threads(threads, lambda claim: _before_labels(claim, params, pow_hash), claims)
    waiting = [one for one in first if isinstance(one, _Open)]
    keys: list[bytes] = []
    indices: list[int] = []
    for one in waiting:
        key = commitment(one.claim.metadata.node_id, one.claim.metadata.commitment_atx_id)
        keys.extend([key] * len(one.indices))
        indices.extend(one.indices)
    computed = labels.labels32(keys, indices) if indices else np.empty((0, 32), np.uint8)
    verdicts, at = [], 0
    for item in first:
        if isinstance(item, Verdict):
            verdicts.append(item)
        else:
            verdicts.append(_judge(item, [label[:16].tobytes() for label in computed[at : at + len(item.indices)]]))
            at += len(item.indices)
    return verdicts


def _in_threads(
    threads: int, work: Callable[[Claim], Verdict | _Open], claims: Sequence[Claim]
) -> list[Verdict | _Open]:
    if min(threads, len(claims)) <= 1:
        return [work(claim) for claim in claims]
    pool = ThreadPoolExecutor(threads, "verify")
    try:
        return list(pool.map(work, claims))
    finally:
        pool.shutdown(cancel_futures=True)  # whoever interrupts the wait does not wait for all of them


def at_once(claim: Claim, params: VerifyParams) -> Verdict | None:
    """The verdict on a proof that is refused before anything has to be computed; None for all others."""
    proof, metadata = claim.proof, claim.metadata
    units, allowed = metadata.num_units, f"{params.min_num_units} to {params.max_num_units} are allowed"
    if units < params.min_num_units:
        return Verdict(Failure.NUM_UNITS_TOO_SMALL, diagnosis=f"{units} units, {allowed}")
    if units > params.max_num_units:
        return Verdict(Failure.NUM_UNITS_TOO_LARGE, diagnosis=f"{units} units, {allowed}")
    group = proof.nonce // NONCES_PER_GROUP
    if group >= MAX_GROUPS:
        return Verdict(
            Failure.NONCE_GROUP_OUT_OF_BOUNDS, diagnosis=f"nonce {proof.nonce} is in group {group}, at most 255 exist"
        )
    return None


def hashed_of(claim: Claim) -> bytes:
    """What the proof's k2pow is the hash of; where `at_once` has no verdict."""
    proof, metadata = claim.proof, claim.metadata
    return pow_input(proof.pow, proof.nonce // NONCES_PER_GROUP, metadata.challenge, metadata.node_id)


def _before_labels(claim: Claim, params: VerifyParams, pow_hash: PowHash) -> Verdict | _Open:
    refused = at_once(claim, params)
    if refused is not None:
        return refused
    proof, units = claim.proof, claim.metadata.num_units
    threshold = scale_pow_difficulty(params.pow_difficulty, units)
    hashed = pow_hash(hashed_of(claim))
    if hashed >= threshold:
        return Verdict(
            Failure.INVALID_POW,
            diagnosis=f"the k2pow hash {hashed.hex()} is not below {threshold.hex()}: another challenge, node id, "
            "number of units or pow difficulty than the prover's",
        )
    num_labels = units * params.labels_per_unit
    bits = required_bits(num_labels)
    expected = packed_size(bits, params.k2)
    if len(proof.indices) != expected:
        return Verdict(
            Failure.INVALID_INDICES_LEN,
            diagnosis=f"{len(proof.indices)} bytes of indices, expected {expected} ({params.k2} of {bits} bits): "
            "another K2, number of units or labels per unit than the prover's",
        )
    try:
        difficulty = proving_difficulty(params.k1, num_labels)
    except ProtocolError as error:
        return Verdict(Failure.INVALID_NUM_LABELS, diagnosis=str(error))
    unpacked = unpack_indices(proof.indices, bits, params.k2)
    return _Open(claim, difficulty, tuple(unpacked[position] for position in claim.mode.positions))


def _judge(item: _Open, labels: Sequence[bytes]) -> Verdict:
    """Section 5.3 for every chosen label; the first bad one decides."""
    proof, challenge = item.claim.proof, item.claim.metadata.challenge
    group, offset = divmod(proof.nonce, NONCES_PER_GROUP)
    outer = _cipher(group_key(challenge, group, proof.pow))
    lazy = None
    for position, index, label in zip(item.claim.mode.positions, item.indices, labels, strict=True):
        value = outer(label)[offset]
        if value < item.difficulty.msb:
            continue
        where = f"position {position} of the proof (label {index}, {label.hex()})"
        if value > item.difficulty.msb:
            return Verdict(
                Failure.INVALID_MSB,
                position,
                f"{where} is not good: {value} is above {item.difficulty.msb}. The label on the prover's disk is "
                "wrong, or it was made with another identity or scrypt N",
                index,
                label,
                value,
            )
        lazy = lazy or _cipher(lazy_key(challenge, proof.nonce, proof.pow))
        low = int.from_bytes(lazy(label)[:8], "little") & ((1 << LSB_BITS) - 1)
        if low >= item.difficulty.lsb:
            return Verdict(
                Failure.INVALID_LSB,
                position,
                f"{where} is not good: {low} is not below {item.difficulty.lsb}. The label on the prover's disk is "
                "wrong, or K1 differs",
                index,
                label,
                low,
            )
    return Verdict()


def _cipher(key: bytes) -> Callable[[bytes], bytes]:
    from kernels.scan.scalar import encryptor

    return encryptor(key)
