"""The label of a leaf and the node of two children: what the sequential chain is made of.

A label is 400 nested hashes of the statement, the leaf's index and the nodes parked left of it. Here they are written
for any lengths, as the network's verifier takes them; the compiled kernels make the same from arrays.
Protocol 02-poet, sections 2.1 and 3.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from kernels.posw import sha256
from protocol.crypto.merkle import Join

NESTING = sha256.NESTING
"""SHA-256 invocations in a label."""


def message(index: int, left_siblings: Sequence[bytes]) -> bytes:
    """What is hashed behind the statement: the index and the parked nodes, the lowest first; empty ones vanish."""
    return index.to_bytes(8, "big") + b"".join(left_siblings)


def label(statement: bytes, index: int, left_siblings: Sequence[bytes]) -> bytes:
    """The label of leaf `index` (below 2^64), 32 bytes."""
    return sha256.label(statement + message(index, left_siblings))


def node(statement: bytes, left: bytes, right: bytes) -> bytes:
    """An inner node of the tree of a statement."""
    return hashlib.sha256(statement + left + right).digest()


def node_of(statement: bytes) -> Join:
    """`node` with its statement given."""
    return lambda left, right: node(statement, left, right)
