"""The network's verdict on a proof of sequential work, one proof or many.

A proof whose elements all have 32 bytes is judged in one compiled call; others, which the network's rules also cover,
step by step in Python. Both give the same verdicts and the same reasons. Protocol 02-poet, section 5.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from kernels.posw import sha256_verify
from protocol.crypto import merkle
from protocol.types.poet import NODE_SIZE, SECURITY_PARAM, MembershipProof, MerkleProof
from prover.errors import DataError
from prover.poet.round import fiat_shamir
from prover.poet.round.labels import label, node_of
from prover.poet.round.processors import usable_cores


class PoetProofInvalid(DataError):
    """The proof does not hold.

    reason: proven_leaves_count, indices_count, no_leaves, indices_not_sorted, indices_duplicate, root_mismatch,
    snapshot_count, label_mismatch.
    """

    reason: str

    def __init__(self, message: str, reason: str) -> None:
        super().__init__(message)
        self.reason = reason

    def __reduce__(self) -> tuple[type[PoetProofInvalid], tuple[str, str]]:
        """Copies between processes are made from both arguments."""
        return (type(self), (str(self), self.reason))


@dataclass(frozen=True, slots=True)
class Task:
    """One proof to judge, for `verify_many`."""

    proof: MerkleProof
    statement: bytes
    num_leaves: int
    security_param: int = SECURITY_PARAM


def verify(proof: MerkleProof, statement: bytes, num_leaves: int, security_param: int = SECURITY_PARAM) -> None:
    """Returns when the proof shows num_leaves (0 to 2^64 - 1) sequential leaves for the statement.

    Raises PoetProofInvalid with the first reason that the network gives. The interpreter lock is free meanwhile.
    """
    count = len(proof.proven_leaves)
    if count != security_param:
        raise PoetProofInvalid(
            f"number of proven leaves ({count}) must be equal to security param ({security_param})",
            "proven_leaves_count",
        )
    expected = min(num_leaves, security_param)
    if expected != count or count == 0:
        # too few leaves to draw from, or nothing to draw: the checks before the walk say so
        indices = fiat_shamir.draw(proof.root, num_leaves, security_param)
        _partial_tree(proof, indices, statement)
    parts = (proof.root, *proof.proven_leaves, *proof.proof_nodes)
    if set(map(len, parts)) == {NODE_SIZE}:
        _verify_compiled(proof, statement, num_leaves)
    else:
        _verify_any_lengths(proof, statement, num_leaves, security_param)


def _verify_compiled(proof: MerkleProof, statement: bytes, num_leaves: int) -> None:
    leaves, nodes = b"".join(proof.proven_leaves), b"".join(proof.proof_nodes)
    code, actual = sha256_verify.verify(statement, proof.root, num_leaves, leaves, nodes)
    if code == sha256_verify.VALID:
        return
    if code == sha256_verify.ROOT_MISMATCH:
        raise _root_mismatch()
    if code == sha256_verify.SNAPSHOT_COUNT:
        raise _snapshot_count(proof)
    raise _label_mismatch(code, actual, proof.proven_leaves[code])


def _verify_any_lengths(proof: MerkleProof, statement: bytes, num_leaves: int, security_param: int) -> None:
    indices = fiat_shamir.draw(proof.root, num_leaves, security_param)
    tree = _partial_tree(proof, indices, statement)
    if tree.root != proof.root:
        raise _root_mismatch()
    if len(tree.left_siblings) != len(proof.proven_leaves):
        raise _snapshot_count(proof)
    for position, (index, siblings) in enumerate(zip(indices, tree.left_siblings, strict=True)):
        expected = label(statement, index, siblings)
        if expected != proof.proven_leaves[position]:
            raise _label_mismatch(position, expected, proof.proven_leaves[position])


def _partial_tree(proof: MerkleProof, indices: Sequence[int], statement: bytes) -> merkle.PartialTree:
    try:
        return merkle.partial_tree(indices, proof.proven_leaves, proof.proof_nodes, node_of(statement))
    except merkle.InvalidPartialTree as error:
        raise PoetProofInvalid(f"error while validating merkle proof: {error}", error.reason) from None


def _root_mismatch() -> PoetProofInvalid:
    return PoetProofInvalid("merkle proof not valid", "root_mismatch")


def _snapshot_count(proof: MerkleProof) -> PoetProofInvalid:
    return PoetProofInvalid(
        "merkle proof not valid: the nodes do not reach all of the "
        f"{len(proof.proven_leaves)} proven leaves (len(parkingSnapshots) != len(proof.ProvenLeaves))",
        "snapshot_count",
    )


def _label_mismatch(position: int, expected: bytes, found: bytes) -> PoetProofInvalid:
    return PoetProofInvalid(
        f"label at index {position} incorrect - expected: {expected.hex()} actual: {found.hex()}",
        "label_mismatch",
    )


def verify_many(tasks: Iterable[Task], threads: int | None = None) -> list[PoetProofInvalid | None]:
    """A verdict for each task, in their order: None, or why not. threads: default one a usable core."""

    def judge(task: Task) -> PoetProofInvalid | None:
        try:
            verify(task.proof, task.statement, task.num_leaves, task.security_param)
        except PoetProofInvalid as error:
            return error
        return None

    workers = threads or usable_cores()
    if workers == 1:
        return [judge(task) for task in tasks]
    with ThreadPoolExecutor(workers, "poet-verify") as pool:
        return list(pool.map(judge, tasks))


def is_member(proof: MembershipProof, challenge: bytes, statement: bytes) -> bool:
    """Whether a challenge is among the members whose root is the statement. Protocol 02-poet-client, section 8."""
    return merkle.validate([proof.leaf_index], [challenge], proof.nodes, statement)


def are_members(challenges: Sequence[tuple[int, bytes]], nodes: Sequence[bytes], statement: bytes) -> bool:
    """Several challenges with their indices in one proof, as the network judges them: of two with one index the
    first counts, and an index that the nodes do not lead to is not looked at."""
    first: dict[int, bytes] = {}
    for index, challenge in challenges:
        first.setdefault(index, challenge)
    indices = sorted(first)
    return merkle.validate(indices, [first[index] for index in indices], nodes, statement)
