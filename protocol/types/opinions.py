"""The hash of an opinion: all votes up to a layer in 32 bytes, each layer hashed onto the one before.

Protocol 03-encoding-and-types, section 5.
"""

from __future__ import annotations

from collections.abc import Iterable

from protocol.crypto.hashing import hash32

from .ids import BlockId, Hash32

ABSTAIN = b"\0"
"""What stands in place of votes where the layer is undecided."""

EMPTY_MESH_HASH = Hash32(hash32())
"""The hash of the mesh before its first layer."""


def opinion_hash(previous: Hash32 | None, supported: Iterable[tuple[BlockId, int]] | None) -> Hash32:
    """The hash of an opinion after one more layer.

    previous: the hash up to the layer before; None: there is no such layer. supported: id and height of each
    supported block, none of them is a vote against all; None is to abstain.
    """
    if supported is None:
        votes = ABSTAIN
    else:
        votes = b"".join(block_id + height.to_bytes(8, "little") for block_id, height in supported)
    return Hash32(hash32(previous or b"", votes))
