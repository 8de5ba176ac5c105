"""What the two roles of a PoET server say to each other: rounds go to the worker, progress and proofs come back.

Plain records that travel between threads as they are and between processes as one line of JSON each. A proof is
acknowledged once it is stored, and only then does the worker forget the round. Specified in protocol 02-poet,
sections 7.6 and 8.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import Any

from protocol.types.poet import MerkleProof


@dataclass(frozen=True, slots=True)
class Assignment:
    """To the worker: a closed round to be worked on."""

    round_id: int
    statement: bytes


@dataclass(frozen=True, slots=True)
class Stored:
    """To the worker: the proof of a round is on stable storage."""

    round_id: int


@dataclass(frozen=True, slots=True)
class Finished:
    """From the worker: a round's proof; an empty proof and no leaves where there is no worker."""

    round_id: int
    num_leaves: int
    nip: MerkleProof


@dataclass(frozen=True, slots=True)
class Progress:
    """From the worker: where it stands."""

    state: str = "idle"
    """idle, working, proving, waiting (for the proof to be stored), down, disabled."""
    round_id: int | None = None
    num_leaves: int = 0
    leaves_per_second: float = 0.0
    """Over the last seconds."""
    mean_leaves_per_second: float = 0.0
    """Since the worker took the round up."""
    deadline_ns: int | None = None
    disk_bytes: int = 0
    problem: str = ""
    """What keeps it from its work, for a person; empty if nothing does."""
    problems: tuple[str, ...] = field(default=())
    """Rounds that cannot be gone on with, and why."""

    def public(self) -> dict[str, Any]:
        """For the status page."""
        return asdict(self)


ToWorker = Assignment | Stored
FromWorker = Finished | Progress


def to_line(message: ToWorker | FromWorker) -> bytes:
    """One line of JSON."""
    fields = asdict(message)
    if isinstance(message, Assignment):
        fields["statement"] = message.statement.hex()
    if isinstance(message, Finished):
        fields["nip"] = {
            "root": message.nip.root.hex(),
            "proven_leaves": [one.hex() for one in message.nip.proven_leaves],
            "proof_nodes": [one.hex() for one in message.nip.proof_nodes],
        }
    return json.dumps({"message": type(message).__name__, **fields}).encode() + b"\n"


def from_line(line: bytes) -> ToWorker | FromWorker:
    """The message of a line. Raises ValueError for anything else."""
    fields = json.loads(line)
    kind = fields.pop("message", None)
    if kind == "Assignment":
        return Assignment(fields["round_id"], bytes.fromhex(fields["statement"]))
    if kind == "Stored":
        return Stored(fields["round_id"])
    if kind == "Finished":
        nip = fields["nip"]
        lists = [tuple(bytes.fromhex(one) for one in nip[key]) for key in ("proven_leaves", "proof_nodes")]
        proof = MerkleProof(bytes.fromhex(nip["root"]), *lists)
        return Finished(fields["round_id"], fields["num_leaves"], proof)
    if kind == "Progress":
        fields["problems"] = tuple(fields["problems"])
        return Progress(**fields)
    raise ValueError(f"a message of the kind {kind!r} is not known")
