"""What a PoET server writes to disk, byte for byte as the reference does: keys, rounds, proofs.

Three records in XDR: the server's key (`state.bin`), a round in work (`rounds/<n>/state.bin`) and a stored proof.
Files are replaced as a whole: written beside, flushed to the disk, renamed. Specified in protocol 02-poet,
section 4.2.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from protocol.codec.xdr import ZERO_TIME, Reader, Time, Writer, XdrError
from prover import durable
from prover.errors import DataError

STATE_FILE = "state.bin"
STATE_BYTES = 256 << 20
"""Of a state file at most: the reference may keep all members of a round in it."""

PRIVATE_KEY_SIZE = 64
"""Seed and public key."""


@dataclass(frozen=True, slots=True)
class Nip:
    """A proof without its leaf count: what is known once the chain has ended."""

    root: bytes = b""
    proven_leaves: tuple[bytes, ...] = ()
    proof_nodes: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True)
class RoundState:
    """Where the work of one round stands."""

    statement: bytes
    security_param: int
    started: Time = ZERO_TIME
    """The zero time: the round was never started."""
    num_leaves: int = 0
    nip: Nip | None = None
    """Set once the proof is drawn."""
    members: tuple[bytes, ...] = ()
    parked_nodes: tuple[bytes, ...] = ()
    """Both are left over from old versions, and empty."""


@dataclass(frozen=True, slots=True)
class ProofRecord:
    """A proof as it lies in the database."""

    nip: Nip
    members: tuple[bytes, ...]
    """The challenges in leaf order."""
    num_leaves: int
    service_pubkey: bytes
    round_id: str


def _write_nip(writer: Writer, nip: Nip) -> None:
    writer.opaque(nip.root)
    writer.opaques(nip.proven_leaves)
    writer.opaques(nip.proof_nodes)


def _read_nip(reader: Reader) -> Nip:
    return Nip(reader.opaque("Root"), tuple(reader.opaques("ProvenLeaves")), tuple(reader.opaques("ProofNodes")))


def encode_server_state(private_key: bytes) -> bytes:
    """The content of the server's state.bin."""
    writer = Writer()
    writer.opaque(private_key)
    return writer.bytes()


def decode_server_state(data: bytes, file: str = STATE_FILE) -> bytes:
    """The private key (64 bytes). Raises XdrError, also for a key of another length."""
    key = Reader(data, file).opaque("PrivKey")
    if len(key) != PRIVATE_KEY_SIZE:
        raise XdrError(f"{file}: PrivKey has {len(key)} bytes, expected {PRIVATE_KEY_SIZE}")
    return key


def encode_round_state(state: RoundState) -> bytes:
    """The content of a round's state.bin."""
    writer = Writer()
    writer.time(state.started)
    writer.bool(True)
    writer.u32(state.security_param)
    writer.opaques(state.members)
    writer.opaque(state.statement)
    writer.opaques(state.parked_nodes)
    writer.u64(state.num_leaves)
    writer.bool(state.nip is not None)
    if state.nip is not None:
        _write_nip(writer, state.nip)
    return writer.bytes()


def decode_round_state(data: bytes, file: str = STATE_FILE) -> RoundState:
    """A round's state. Raises XdrError where the data is cut off or says nothing about the execution."""
    reader = Reader(data, file)
    started = reader.time("ExecutionStarted")
    if not reader.bool("Execution"):
        raise XdrError(f"{file}: Execution is absent, so the round cannot be gone on with")
    security_param = reader.u32("SecurityParam")
    members = tuple(reader.opaques("Members"))
    statement = reader.opaque("Statement")
    parked = tuple(reader.opaques("ParkedNodes"))
    num_leaves = reader.u64("NumLeaves")
    nip = reader.optional("NIP", lambda: _read_nip(reader))
    return RoundState(statement, security_param, started, num_leaves, nip, members, parked)


def encode_proof(record: ProofRecord) -> bytes:
    """The value of a proof in the database."""
    writer = Writer()
    _write_nip(writer, record.nip)
    writer.opaques(record.members)
    writer.u64(record.num_leaves)
    writer.opaque(record.service_pubkey)
    writer.string(record.round_id)
    return writer.bytes()


def decode_proof(data: bytes, what: str = "the proof record") -> ProofRecord:
    """A proof from the database. Raises XdrError."""
    reader = Reader(data, what)
    nip = _read_nip(reader)
    members = tuple(reader.opaques("Members"))
    num_leaves = reader.u64("NumLeaves")
    return ProofRecord(nip, members, num_leaves, reader.opaque("ServicePubKey"), reader.string("RoundID"))


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
