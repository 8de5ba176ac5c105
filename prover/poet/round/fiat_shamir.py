"""Which leaves a proof has to show: drawn from its root, not chosen by the prover. Protocol 02-poet, section 3."""

from __future__ import annotations

import hashlib


def draw(root: bytes, num_leaves: int, security_param: int) -> tuple[int, ...]:
    """`security_param` distinct leaf indices below num_leaves, ascending; all of them where there are fewer leaves."""
    if security_param > num_leaves:
        return tuple(range(num_leaves))
    found: set[int] = set()
    counter = 0
    while len(found) < security_param:
        digest = hashlib.sha256(root + counter.to_bytes(4, "big")).digest()
        found.add(int.from_bytes(digest[:8], "big") % num_leaves)
        counter += 1
    return tuple(sorted(found))
