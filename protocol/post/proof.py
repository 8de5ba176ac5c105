"""The words of a proof of space-time: difficulty, ciphers' keys, k2pow input, index packing, order of checks.

Pure functions and records; the work on data and devices is in `prover.post`. Specified in protocol 01-post,
sections 4, 5 and 6.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from blake3 import blake3

from protocol.errors import ProtocolError, shown
from protocol.types.ids import ID_SIZE

NONCES_PER_GROUP = 16
"""Proving nonces that share one cipher and one proof of work."""

MAX_GROUPS = 256
"""The number of a nonce group is one byte in the k2pow input."""

CHALLENGE_SIZE = 32
POW_BITS = 56
"""Bits of a k2pow solution that are hashed; the top byte of the u64 is not."""

LSB_BITS = 56
RANDOMX_KEY = b"spacemesh-randomx-cache-key"
"""The key of the RandomX cache."""


@dataclass(frozen=True, slots=True)
class Proof:
    """A proof of space-time."""

    nonce: int
    """The winning proving nonce (u32)."""
    indices: bytes
    """K2 label indices, packed."""
    pow: int
    """The k2pow solution of the nonce's group (u64)."""


@dataclass(frozen=True, slots=True)
class ProofMetadata:
    """Whose proof it is, and of what."""

    node_id: bytes
    commitment_atx_id: bytes
    challenge: bytes
    num_units: int


@dataclass(frozen=True, slots=True)
class Difficulty:
    """The threshold of good labels, split as the ciphers test it."""

    value: int
    """u64: floor(2^64 K1 / num_labels)."""

    @property
    def msb(self) -> int:
        """What the group cipher's byte is compared with."""
        return self.value >> LSB_BITS

    @property
    def lsb(self) -> int:
        """What the lazy cipher's low 56 bits are compared with."""
        return self.value & ((1 << LSB_BITS) - 1)


def proving_difficulty(k1: int, num_labels: int) -> Difficulty:
    """How many labels are good, so that K1 are expected for each nonce. Section 5.1.

    Raises ProtocolError (reason `num_labels`) when there are none, or not more than K1.
    """
    if num_labels == 0:
        raise ProtocolError("There are no labels to prove, expected more than 0.", "num_labels")
    if num_labels <= k1:
        raise ProtocolError(f"There are {num_labels} labels, expected more than K1 = {k1}.", "num_labels")
    return Difficulty((k1 << 64) // num_labels)


def group_key(challenge: bytes, group: int, pow: int) -> bytes:
    """The AES-128 key of a nonce group's cipher. Section 5.2."""
    return blake3(challenge + group.to_bytes(4, "little") + pow.to_bytes(8, "little")).digest()[:16]


def lazy_key(challenge: bytes, nonce: int, pow: int) -> bytes:
    """The AES-128 key of one nonce's lazy cipher. Section 5.2."""
    group = nonce // NONCES_PER_GROUP
    text = challenge + group.to_bytes(4, "little") + pow.to_bytes(8, "little") + nonce.to_bytes(4, "little")
    return blake3(text).digest()[:16]


def scale_pow_difficulty(difficulty: bytes, num_units: int) -> bytes:
    """The k2pow threshold for so many units: floor(difficulty / num_units), 32 bytes big-endian. Section 4.

    Raises ProtocolError (reason `num_units`) for 0 units: the reference ends its process there.
    """
    if num_units < 1:
        raise ProtocolError(f"The number of units is {num_units}, expected at least 1.", "num_units")
    return (int.from_bytes(difficulty, "big") // num_units).to_bytes(32, "big")


def pow_input(pow: int, group: int, challenge: bytes, node_id: bytes) -> bytes:
    """The 48 bytes that RandomX hashes. Section 4."""
    low = (pow & ((1 << POW_BITS) - 1)).to_bytes(7, "little")
    return low + bytes([group]) + challenge[:8] + node_id


def required_bits(num_labels: int) -> int:
    """Bits of one packed index: those of `num_labels` itself, not of the largest index. Section 5.4."""
    return num_labels.bit_length()


def packed_size(bits: int, k2: int) -> int:
    """Bytes of K2 packed indices."""
    return -(-bits * k2 // 8)


def pack_indices(indices: Sequence[int], bits: int) -> bytes:
    """Indices one after another, least significant bit first. Section 5.4."""
    joined = sum(index << (bits * position) for position, index in enumerate(indices))
    return joined.to_bytes(packed_size(bits, len(indices)), "little")


def unpack_indices(packed: bytes, bits: int, count: int) -> list[int]:
    """The first `count` indices; padding bits are not looked at."""
    joined, mask = int.from_bytes(packed, "little"), (1 << bits) - 1
    return [joined >> (bits * position) & mask for position in range(count)]


def selection(k2: int, seed: bytes, node_id: bytes, challenge: bytes) -> Iterator[int]:
    """Positions 0 … k2-1 in the order in which a verifier with this seed checks them. Section 6."""
    return selection_from(k2, seed + node_id + challenge)


def selection_from(k2: int, stream_seed: bytes) -> Iterator[int]:
    """The partial Fisher-Yates shuffle over the BLAKE3 stream of a seed."""
    positions = list(range(k2))
    numbers = _u16_stream(stream_seed)
    for place in range(k2):
        remaining = k2 - place
        limit = 65535 - 65535 % remaining
        number = next(value for value in numbers if value < limit)
        other = place + number % remaining
        positions[place], positions[other] = positions[other], positions[place]
        yield positions[place]


def _u16_stream(seed: bytes) -> Iterator[int]:
    stream, offset = blake3(seed), 0
    while True:
        block = stream.digest(length=256, seek=offset)
        for at in range(0, len(block), 2):
            yield int.from_bytes(block[at : at + 2], "little")
        offset += len(block)


def proof_to_json(proof: Proof) -> dict[str, object]:
    """The certifier's form of a proof. Section 5.5."""
    return {"nonce": proof.nonce, "indices": base64.b64encode(proof.indices).decode(), "pow": proof.pow}


def metadata_to_json(metadata: ProofMetadata) -> dict[str, object]:
    """The certifier's form of a proof's metadata. Section 5.5."""
    return {
        "node_id": base64.b64encode(metadata.node_id).decode(),
        "commitment_atx_id": base64.b64encode(metadata.commitment_atx_id).decode(),
        "challenge": base64.b64encode(metadata.challenge).decode(),
        "num_units": metadata.num_units,
    }


def proof_from_json(document: object) -> Proof:
    """Raises ProtocolError (reason `json`) that names the field."""
    fields = _fields(document, "the proof", ("nonce", "indices", "pow"))
    return Proof(
        _number(fields["nonce"], "nonce", 32),
        _base64(fields["indices"], "indices"),
        _number(fields["pow"], "pow", 64),
    )


def metadata_from_json(document: object) -> ProofMetadata:
    """Raises ProtocolError (reason `json`) that names the field."""
    fields = _fields(document, "the metadata", ("node_id", "commitment_atx_id", "challenge", "num_units"))
    return ProofMetadata(
        _base64(fields["node_id"], "node_id", ID_SIZE),
        _base64(fields["commitment_atx_id"], "commitment_atx_id", ID_SIZE),
        _base64(fields["challenge"], "challenge", CHALLENGE_SIZE),
        _number(fields["num_units"], "num_units", 32),
    )


def _fields(document: object, what: str, names: Sequence[str]) -> dict[str, object]:
    if not isinstance(document, dict):
        raise ProtocolError(f"Expected {what} as a JSON object with {', '.join(names)}.", "json")
    missing = [name for name in names if name not in document]
    if missing:
        raise ProtocolError(f"The field {missing[0]} of {what} is missing.", "json")
    return document


def _number(value: object, name: str, bits: int) -> int:
    if type(value) is not int or not 0 <= value < 1 << bits:
        raise ProtocolError(f"The field {name} is {shown(value)}, expected a whole number below 2^{bits}.", "json")
    return value


def _base64(value: object, name: str, size: int | None = None) -> bytes:
    try:
        data = base64.b64decode(value, validate=True) if isinstance(value, str) else None
    except ValueError:
        data = None
    if data is None or (size is not None and len(data) != size):
        expected = "base64" if size is None else f"base64 of {size} bytes"
        raise ProtocolError(f"The field {name} is {shown(value)}, expected {expected}.", "json")
    return data
