"""What the mempool refuses. Protocol 07-vm-and-transactions, section 7."""

from __future__ import annotations

from node.errors import NodeError


class MempoolError(NodeError):
    """A transaction that is refused; nothing was changed.

    reason: bad_nonce, insufficient_balance.
    """
