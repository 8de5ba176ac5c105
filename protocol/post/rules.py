"""Proof of Space-Time: the few rules that need no data and no device.

The commitment ties labels to an identity; the VRF difficulty is the threshold that the full 32-byte label at
the VRF nonce has to stay below. Specified in protocol 01-post, sections 1, 2, 2.1 and 2.2.
"""

from __future__ import annotations

from blake3 import blake3

from protocol.errors import ProtocolError
from protocol.types.ids import ID_SIZE

LABEL_SIZE = 16
"""Bytes of a label on disk: the first half of the 32-byte scrypt output. Protocol 01-post, section 1."""

MIN_LABELS = 9
"""The smallest number of labels whose VRF difficulty fits into 32 bytes. Protocol 01-post, section 2.2."""

MAX_LABELS = 2**63 - 1
"""The largest number of labels with a meaningful VRF difficulty: above it the reference casts below 0."""

CPU_PROVIDER_ID = 4294967295
"""The provider id that stands for the CPU (2^32 - 1). Protocol 01-post, section 7."""


def commitment(node_id: bytes, commitment_atx_id: bytes) -> bytes:
    """The 32 bytes that every label of this identity commits to: BLAKE3 of both ids, one after the other.

    Raises ProtocolError (reason `id_length`) when an id is not 32 bytes.
    """
    for name, value in (("node id", node_id), ("commitment ATX id", commitment_atx_id)):
        if len(value) != ID_SIZE:
            raise ProtocolError(
                f"The {name} has {len(value)} bytes, expected {ID_SIZE} ({2 * ID_SIZE} hex digits).",
                "id_length",
            )
    return blake3(node_id + commitment_atx_id).digest()


def vrf_difficulty(num_labels: int) -> bytes:
    """The threshold (32 bytes, big-endian) that a VRF nonce's full label must be strictly below.

    `floor(2^256 / num_labels) << 3`: eight hits are expected in the data. The shift comes after the floor.
    Raises ProtocolError with reason `no_labels` (0 or fewer), `too_few_labels` (1 to 8: the value does not
    fit into 32 bytes) or `too_many_labels` (2^63 and more); the reference crashes or returns nonsense there.
    """
    if num_labels <= 0:
        raise ProtocolError(
            f"There is no VRF difficulty for {num_labels} labels, expected at least {MIN_LABELS}.",
            "no_labels",
        )
    if num_labels < MIN_LABELS:
        raise ProtocolError(
            f"There is no VRF difficulty for {num_labels} labels, expected at least {MIN_LABELS}.",
            "too_few_labels",
        )
    if num_labels > MAX_LABELS:
        raise ProtocolError(
            f"There is no VRF difficulty for {num_labels} labels, expected at most 2^63 - 1 ({MAX_LABELS}).",
            "too_many_labels",
        )
    return (((1 << 256) // num_labels) << 3).to_bytes(32, "big")


def check_scrypt_n(n: int) -> int:
    """Return `n` when it can be scrypt's N, a power of two from 2; a label costs `128 * n` bytes of memory.

    Raises ProtocolError (reason `scrypt_n`) otherwise: the reference ends its process on such values.
    """
    if n < 2 or n & (n - 1):
        raise ProtocolError(f"scrypt N is {n}, expected a power of two that is 2 or larger, such as 8192.", "scrypt_n")
    return n
