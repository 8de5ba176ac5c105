"""What a PoET server writes to disk, byte for byte as the reference does: keys, rounds, proofs.

Three records in XDR: the server's key (`state.bin`), a round in work (`rounds/<n>/state.bin`) and a stored proof.
Files are replaced as a whole: written beside, flushed to the disk, renamed. Specified in protocol 02-poet,
section 4.2.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, TypeVar

from protocol.codec.declare import Codec, CodecError, Record, record, u32, u64, up_to
from protocol.codec.xdr import MAX_LENGTH, TIME, required, xdr
from protocol.errors import ProtocolError
from protocol.numbers.time import ZERO_TIME, Time
from protocol.types.poet import MerkleProof
from prover import durable
from prover.errors import DataError

STATE_FILE = "state.bin"
STATE_BYTES = 256 << 20
"""Of a state file at most: the reference may keep all members of a round in it."""

PRIVATE_KEY_SIZE = 64
"""Seed and public key."""

R = TypeVar("R")
Bytes = Annotated[bytes, up_to(MAX_LENGTH)]
ListOfBytes = Annotated[Sequence[Bytes], up_to(MAX_LENGTH)]


class XdrError(ProtocolError):
    """A file or row that is cut off or no such record."""


@record
class ServerState(Record):
    """The server's key."""

    private_key: Bytes
    """64 bytes."""


@record
class ExecutionState(Record):
    """What the work of a round has come to."""

    security_param: Annotated[int, u32]
    """Leaves that are drawn."""
    members: ListOfBytes
    """Left over from old versions, and empty."""
    statement: Bytes
    """The root over the members' challenges."""
    parked_nodes: ListOfBytes
    """Left over from old versions, and empty."""
    num_leaves: Annotated[int, u64]
    """Leaves that are made and on stable storage."""
    nip: MerkleProof | None
    """The proof, once it is drawn."""


@record
class RoundState(Record):
    """Where the work of one round stands."""

    started: Annotated[Time, TIME]
    """The zero time: the round was never started."""
    execution: Annotated[ExecutionState, required(ExecutionState)]
    """A round without it cannot be gone on with."""

    @classmethod
    def new(cls, statement: bytes, security_param: int, started: Time = ZERO_TIME) -> RoundState:
        """A round of which no leaf is made."""
        return cls(started, ExecutionState(security_param, (), statement, (), 0, None))

    def after(self, num_leaves: int, nip: MerkleProof | None = None) -> RoundState:
        """The round with so many leaves, and with its proof once that is drawn."""
        return replace(self, execution=replace(self.execution, num_leaves=num_leaves, nip=nip))


@record
class ProofRecord(Record):
    """A proof as it lies in the database."""

    nip: MerkleProof
    """What was drawn."""
    members: ListOfBytes
    """The challenges in leaf order."""
    num_leaves: Annotated[int, u64]
    """Leaves of the whole tree."""
    service_pubkey: Bytes
    """The server's public key."""
    round_id: Annotated[str, up_to(MAX_LENGTH)]
    """A decimal number."""


def encode_server_state(private_key: bytes) -> bytes:
    """The content of the server's state.bin."""
    return xdr(ServerState).encode(ServerState(private_key))


def decode_server_state(data: bytes, file: str = STATE_FILE) -> bytes:
    """The private key (64 bytes). Raises XdrError, also for a key of another length."""
    key = _read(xdr(ServerState), data, file).private_key
    if len(key) != PRIVATE_KEY_SIZE:
        raise XdrError(f"{file}: the private key has {len(key)} bytes, expected {PRIVATE_KEY_SIZE}.")
    return key


def encode_round_state(state: RoundState) -> bytes:
    """The content of a round's state.bin."""
    return xdr(RoundState).encode(state)


def decode_round_state(data: bytes, file: str = STATE_FILE) -> RoundState:
    """A round's state. Raises XdrError where the data is cut off or says nothing about the execution."""
    return _read(xdr(RoundState), data, file)


def encode_proof(record: ProofRecord) -> bytes:
    """The value of a proof in the database."""
    return xdr(ProofRecord).encode(record)


def decode_proof(data: bytes, what: str = "the proof record") -> ProofRecord:
    """A proof from the database. Raises XdrError."""
    return _read(xdr(ProofRecord), data, what)


def _read(codec: Codec[R], data: bytes, what: str) -> R:
    """The record at the start of the data; what follows is ignored, as the reference does."""
    try:
        return codec.read(data)[0]
    except CodecError as error:
        raise XdrError(f"{what} was cut off or is no such record: {error}") from None


def read_round_state(directory: Path) -> RoundState:
    """The state in a round's directory. Raises DataError naming the file, FileNotFoundError if there is none."""
    path = directory / STATE_FILE
    try:
        return decode_round_state(durable.read_whole(path, STATE_BYTES), str(path))
    except XdrError as error:
        raise DataError(f"{error} Move the directory {directory} away to go on without this round.") from None


def write_round_state(directory: Path, state: RoundState) -> None:
    """Replaces the state in a round's directory. Raises OSError."""
    durable.replace(directory / STATE_FILE, encode_round_state(state))
